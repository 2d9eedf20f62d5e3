"""What is in a model: its layers with shapes, parameters, work, memory and receptive fields."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import onnx_ir as ir

from models.inputs import ImageInput
from toolchain.data import input_of, labels_of
from toolchain.errors import FileError, ShapeError
from toolchain.load import load
from toolchain.ops import registry
from toolchain.ops.operator import Spec
from toolchain.receptive import Field, formula, joined, seen, start
from toolchain.shapes import Typed, given, walk

CONVOLUTIONS = {"Conv": (1, 2), "QLinearConv": (3, 8), "ConvInteger": (1, None)}
"""Positions of weight and bias."""
CARRIERS = frozenset({"DequantizeLinear", "QuantizeLinear", "Identity", "Cast", "Reshape", "Transpose", "Constant"})
"""Operators that hand on constant weights: what they carry counts at the node that uses it."""
NO_PARAMETERS = frozenset({"Reshape", "Resize", "Upsample", "Pad", "Slice", "Clip", "QuantizeLinear", "Gather"})


@dataclass(frozen=True)
class Tensor:
    """An input or output of the graph.

    Attributes:
        name: in the graph.
        dtype: element type, ONNX's name.
        shape: as the file states it, free dimensions by name.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...] | None


@dataclass(frozen=True)
class Layer:
    """One node.

    Attributes:
        name: the node's name.
        operator: ONNX's name, with the domain if it is not ai.onnx.
        version: of the operator's definition in force.
        shape: of the first output; ``None`` if it is not known.
        dtype: of the first output.
        formula: how the output sizes of a window come about, with numbers; else empty.
        parameters: weights that the node uses, elements.
        dense_parameters: what a fully connected layer between the same tensors would need; ``None`` for a node
            that is no convolution.
        macs: multiply-accumulates.
        activation_bytes: of the outputs; zero where they are constant.
        receptive_field: elements of the input that one output sees, for each spatial axis; ``None`` if unknown.
        constant: the outputs do not depend on the graph's inputs.
        problem: why the node is not supported, or its shapes unknown; else empty.
    """

    name: str
    operator: str
    version: int
    shape: tuple[int, ...] | None
    dtype: str
    formula: str
    parameters: int
    dense_parameters: int | None
    macs: int
    activation_bytes: int
    receptive_field: tuple[int, ...] | None
    constant: bool
    problem: str


@dataclass(frozen=True)
class Inspection:
    """A model's facts.

    Attributes:
        model: the file.
        ir_version: of the file.
        opsets: version by domain (``""`` is ai.onnx).
        producer: who wrote it.
        inputs: of the graph.
        outputs: of the graph.
        image: how a picture becomes the input, if the metadata says so.
        labels: names of the classes, if the metadata says so.
        metadata: all of it.
        layers: the nodes in order.
        parameters: weights, each counted once.
        parameter_bytes: of these as stored.
        macs: for one run with the batch as bound.
        activation_bytes: sum over all nodes.
        peak_bytes: most activations alive at once, running the nodes in order and freeing what is used up.
        problems: what is not supported or not known, one line each.
    """

    model: str
    ir_version: int
    opsets: Mapping[str, int]
    producer: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    image: ImageInput | None
    labels: tuple[str, ...] | None
    metadata: Mapping[str, str]
    layers: tuple[Layer, ...]
    parameters: int
    parameter_bytes: int
    macs: int
    activation_bytes: int
    peak_bytes: int
    problems: tuple[str, ...]

    def to_dict(self) -> dict[str, object]:
        """As JSON-able values."""
        return asdict(self)


@dataclass(frozen=True)
class Supported:
    """An operator that the toolchain knows.

    Attributes:
        operator: ONNX's name, with the domain if it is not ai.onnx.
        versions: of its definition.
    """

    operator: str
    versions: tuple[int, ...]


@dataclass(frozen=True)
class Operators:
    """The support table.

    Attributes:
        operators: in the order of names.
    """

    operators: tuple[Supported, ...]

    def to_dict(self) -> dict[str, object]:
        """As JSON-able values."""
        return asdict(self)

    def markdown(self) -> str:
        """The table as the documentation shows it."""
        rows = [f"| {o.operator} | {', '.join(map(str, o.versions))} |" for o in self.operators]
        return "\n".join(("| Operator | Versions |", "|---|---|", *rows)) + "\n"


def operators() -> Operators:
    """Every operator that the toolchain knows, with the versions of its definition."""
    found = registry().values()
    return Operators(
        tuple(
            sorted(
                (Supported(_operator(o.domain, o.name), tuple(sorted(o.versions))) for o in found),
                key=lambda supported: supported.operator,
            )
        )
    )


def inspect(
    model: Path | str | ir.Model,
    *,
    shape: Mapping[str, Sequence[int]] | Sequence[int] | None = None,
) -> Inspection:
    """Say what is in a model.

    Args:
        model: an ONNX file, or a loaded model.
        shape: of the only input, or of inputs by name, where dimensions are free; a free batch is taken as 1.

    Raises:
        ToolchainError: the file cannot be read, or ``shape`` does not fit. Operators that are not supported are
            no error: they are listed.
    """
    name = str(model) if isinstance(model, Path | str) else (model.graph.name or "model")
    loaded = load(model) if isinstance(model, Path | str) else model
    specs = given(loaded, _shapes(loaded, shape))
    survey = _Survey(loaded, specs)
    layers = tuple(survey.layer(typed) for typed in walk(loaded, specs))
    image, labels, broken = _metadata(loaded)
    return Inspection(
        model=name,
        ir_version=loaded.ir_version,
        opsets=dict(sorted(loaded.opset_imports.items())),
        producer=" ".join(part for part in (loaded.producer_name, loaded.producer_version) if part),
        inputs=tuple(_tensor(value) for value in loaded.graph.inputs),
        outputs=tuple(_tensor(value) for value in loaded.graph.outputs),
        image=image,
        labels=labels,
        metadata=dict(sorted(loaded.metadata_props.items())),
        layers=layers,
        parameters=sum(spec.size for spec in survey.used.values()),
        parameter_bytes=sum(_bytes(spec) for spec in survey.used.values()),
        macs=sum(layer.macs for layer in layers),
        activation_bytes=sum(layer.activation_bytes for layer in layers),
        peak_bytes=_peak(loaded, specs, survey.constant),
        problems=(*broken, *(layer.problem for layer in layers if layer.problem)),
    )


class _Survey:
    """What nodes say of one another: where weights come from, what depends on the input, what it sees."""

    def __init__(self, model: ir.Model, specs: Mapping[str, Spec]) -> None:
        self.specs = specs
        self.constant = set(model.graph.initializers)
        self.origin = {name: name for name in self.constant}
        self.used: dict[str, Spec] = {}
        self.fields: dict[str, Field] = {}
        self.spatial: tuple[int, ...] = ()
        images = [v.name or "" for v in model.graph.inputs if v.name not in self.constant]
        shapes = [specs[name].shape for name in images]
        if len(images) == 1 and len(shapes[0]) > 2:
            self.spatial = shapes[0][2:]
            self.fields[images[0]] = start(self.spatial)

    def layer(self, typed: Typed) -> Layer:
        """One node's facts."""
        present = [name for name in typed.input_names if name is not None]
        constant = all(name in self.constant for name in present)
        names = [name for name in typed.names if name is not None]
        if constant:
            self.constant.update(names)
        parameters = self._parameters(typed, constant)
        first = typed.outputs[0] if typed.outputs else None
        known = typed.step is not None and not typed.problem and first is not None
        field = self._field(typed, present) if known else None
        return Layer(
            name=typed.facts.name,
            operator=_operator(typed.facts.domain, typed.facts.op_type),
            version=typed.facts.version,
            shape=None if first is None else first.shape,
            dtype="" if first is None else first.dtype.name,
            formula=formula(typed.step, typed.inputs) if known and typed.step is not None else "",
            parameters=parameters,
            dense_parameters=_dense(typed),
            macs=_macs(typed),
            activation_bytes=0 if constant else sum(_bytes(s) for s in typed.outputs if s is not None),
            receptive_field=None if field is None or constant else field.within(self.spatial),
            constant=constant,
            problem=typed.problem,
        )

    def _parameters(self, typed: Typed, constant: bool) -> int:
        """Elements of the weights that the node uses; those it only hands on count later."""
        operator, names = typed.facts.op_type, typed.input_names
        if operator in CARRIERS and constant:
            source = self.origin.get(names[0] or "") if names else typed.names[0]
            for name in typed.names:
                if name is not None and source is not None:
                    self.origin[name] = source
            return 0
        if operator in NO_PARAMETERS or operator == "DequantizeLinear":
            return 0
        total = 0
        for name, spec in zip(names, typed.inputs, strict=True):
            source = self.origin.get(name or "")
            if source is None or spec is None or not _is_weight(spec):
                continue
            self.used.setdefault(source, self.specs[source])
            total += self.specs[source].size
        return total

    def _field(self, typed: Typed, present: Sequence[str]) -> Field | None:
        """The receptive field of the outputs."""
        fields = [self.fields[name] for name in present if name in self.fields]
        before, output = joined(fields), typed.outputs[0]
        if before is None or typed.step is None or output is None:
            return None
        after = seen(typed.step, typed.inputs, output, before, self.spatial)
        self.fields.update({name: after for name in typed.names if name is not None})
        return after


def _is_weight(spec: Spec) -> bool:
    """Scalars, and int64 tensors (shapes, axes, indices), are no parameters."""
    return bool(spec.shape) and spec.dtype != ir.DataType.INT64


def _dense(typed: Typed) -> int | None:
    """Parameters of a fully connected layer between a convolution's input and output, for one sample."""
    if typed.facts.op_type not in CONVOLUTIONS or typed.problem:
        return None
    weight, bias = CONVOLUTIONS[typed.facts.op_type]
    x, y = typed.inputs[0], typed.outputs[0]
    if x is None or y is None or len(typed.inputs) <= weight:
        return None
    has_bias = bias is not None and bias < len(typed.inputs) and typed.inputs[bias] is not None
    outputs = math.prod(y.shape[1:])
    return math.prod(x.shape[1:]) * outputs + (outputs if has_bias else 0)


def _macs(typed: Typed) -> int:
    outputs = [spec for spec in typed.outputs if spec is not None]
    if typed.step is None or typed.problem or len(outputs) != len(typed.outputs):
        return 0
    return typed.step.operator.macs(typed.step.attributes, typed.inputs, outputs)


def _bytes(spec: Spec) -> int:
    bits = 0 if spec.dtype in (ir.DataType.STRING, ir.DataType.UNDEFINED) else spec.dtype.bitwidth
    return (spec.size * bits + 7) // 8


def _peak(model: ir.Model, specs: Mapping[str, Spec], constant: set[str]) -> int:
    """Most bytes of activations alive at once."""
    nodes = list(model.graph)
    last: dict[str, int] = {v.name or "": len(nodes) for v in model.graph.outputs}
    for index, node in enumerate(nodes):
        for value in node.inputs:
            if value is not None and value.name is not None:
                last[value.name] = max(last.get(value.name, index), index)
    alive = {v.name or "" for v in model.graph.inputs} - constant
    peak = 0
    for index, node in enumerate(nodes):
        alive.update(v.name for v in node.outputs if v.name and v.name not in constant)
        peak = max(peak, sum(_bytes(specs[name]) for name in alive if name in specs))
        alive = {name for name in alive if last.get(name, -1) > index}
    return peak


def _shapes(
    model: ir.Model, shape: Mapping[str, Sequence[int]] | Sequence[int] | None
) -> Mapping[str, Sequence[int]] | None:
    if shape is None or isinstance(shape, Mapping):
        return shape
    names = [v.name or "" for v in model.graph.inputs if v.name not in model.graph.initializers]
    if len(names) != 1:
        raise ShapeError(
            f"the model has {len(names)} inputs ({', '.join(names)}); say which one the shape is for (NAME=N,C,...)"
        )
    return {names[0]: shape}


def _metadata(model: ir.Model) -> tuple[ImageInput | None, tuple[str, ...] | None, tuple[str, ...]]:
    """Input and labels as described, and what is wrong with the description."""
    image: ImageInput | None = None
    labels: tuple[str, ...] | None = None
    broken = []
    try:
        image = input_of(model)
    except FileError as error:
        broken.append(str(error))
    try:
        labels = labels_of(model)
    except FileError as error:
        broken.append(str(error))
    return image, labels, tuple(broken)


def _tensor(value: ir.Value) -> Tensor:
    shape = None if value.shape is None else tuple(d if isinstance(d, int) else str(d) for d in value.shape)
    return Tensor(value.name or "", value.dtype.name if value.dtype else "?", shape)


def _operator(domain: str, name: str) -> str:
    return f"{domain}.{name}" if domain else name
