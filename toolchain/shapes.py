"""Type and shape of every tensor, by the operators' own rules.

Free dimensions are bound first: the batch to 1, others by the caller. Small constants are carried along, for
operators whose shapes depend on content (Reshape, Resize, Pad).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from toolchain.errors import FileError, ShapeError, ToolchainError, UnsafeError, UnsupportedError
from toolchain.layouts import MAX_RANK
from toolchain.nodes import Step, facts, prepare
from toolchain.ops.operator import NodeFacts, Spec, widen
from toolchain.ops.shaping import FOLD_LIMIT
from toolchain.scales import scale_problem

Shape = tuple[int, ...]

MAX_TENSOR_BYTES = 1 << 30
"""Of one tensor for one batch; the largest of VGG16 has 13 million."""
SHAPE_LIMIT = 64
"""Elements of the largest tensor whose content can decide a shape, while a file is loaded; shapes have ten."""


@dataclass(frozen=True)
class Typed:
    """A node and what is known of its tensors.

    Attributes:
        facts: the node as it stands.
        step: its operator and attributes; ``None`` where the toolchain does not support it.
        names: of its outputs; ``None`` for one left out.
        inputs: one a tensor; ``None`` where it is left out or unknown.
        outputs: one a tensor, where it is known.
        problem: why the outputs are not known, or known only from what the file states; else empty.
    """

    facts: NodeFacts
    step: Step | None
    input_names: tuple[str | None, ...]
    names: tuple[str | None, ...]
    inputs: tuple[Spec | None, ...]
    outputs: tuple[Spec | None, ...]
    problem: str = ""


def infer(model: ir.Model, shapes: Mapping[str, Sequence[int]] | None = None) -> dict[str, Spec]:
    """Infer type and shape of every tensor of the main graph.

    Args:
        model: from ``load``.
        shapes: of graph inputs, by name; free batch dimensions (axis 0) of others are taken as 1.

    Returns:
        By tensor name: inputs, initializers and every node's outputs.

    Raises:
        ShapeError: ``shapes`` does not fit the inputs, or a dimension stays free.
        UnsupportedError: a node has no operator here, or shapes that it does not accept.
    """
    specs = given(model, shapes)
    for typed in walk(model, specs):
        if typed.problem:
            raise UnsupportedError(typed.problem)
    return specs


def given(
    model: ir.Model, shapes: Mapping[str, Sequence[int]] | None = None, fold: int = FOLD_LIMIT
) -> dict[str, Spec]:
    """What is known before the first node: initializers and inputs.

    Args:
        model: from ``load``.
        shapes: as for :func:`infer`.
        fold: elements of the largest initializer whose content is carried along.

    Raises:
        ShapeError: ``shapes`` does not fit the inputs, or a dimension stays free.
    """
    specs: dict[str, Spec] = {}
    for name, value in model.graph.initializers.items():
        tensor = value.const_value
        if tensor is not None:
            spec = Spec(tensor.dtype, tuple(tensor.shape.numpy()))
            specs[name] = Spec(spec.dtype, spec.shape, widen(tensor.numpy())) if spec.size <= fold else spec
    inputs = {value.name or "": value for value in model.graph.inputs if value.name not in specs}
    for name in shapes or {}:
        if name not in inputs:
            raise ShapeError(f"the model has no input {name!r}; its inputs are {', '.join(map(repr, inputs))}")
    for name, value in inputs.items():
        specs[name] = _bind(value, None if shapes is None else shapes.get(name))
    return specs


def check_sizes(model: ir.Model, name: str) -> None:
    """Refuse a model with a tensor that a small file makes enormous, as far as shapes follow from the file.

    A shape that depends on free dimensions other than the batch is only known when data is given.

    Args:
        model: a whole model, its local functions inlined.
        name: how messages call it.

    Raises:
        FileError: a scale of a quantized tensor means nothing.
        UnsafeError: an input or a node's output takes more than :data:`MAX_TENSOR_BYTES`, has more than
            :data:`MAX_RANK` dimensions, or one larger than any tensor.
    """
    try:
        specs = given(model, fold=SHAPE_LIMIT)
    except ShapeError:
        return
    for value in model.graph.inputs:
        if problem := _oversized(specs[value.name or ""]):
            raise UnsafeError(f"{name}: input {value.name!r} {problem}")
    for node, typed in zip(model.graph, walk(model, specs, hint=False), strict=True):
        if problem := scale_problem(node, typed.inputs):
            raise FileError(f"{name}: {typed.facts.where()}: {problem}")
        for tensor, spec in zip(typed.names, typed.outputs, strict=True):
            if spec is not None:
                if problem := _oversized(spec):
                    raise UnsafeError(f"{name}: {typed.facts.where()}: output {tensor!r} {problem}")
                if tensor is not None and spec.value is not None and spec.size > SHAPE_LIMIT:
                    specs[tensor] = Spec(spec.dtype, spec.shape)


def _oversized(spec: Spec) -> str:
    """What is wrong with a tensor's size, or nothing."""
    shape, size = spec.shape, spec.size
    if len(shape) > MAX_RANK:
        return f"has {len(shape)} dimensions; at most {MAX_RANK} are read"
    beside_zero = not size and max(shape) > 8 * MAX_TENSOR_BYTES
    if beside_zero or (size > MAX_TENSOR_BYTES // 16 and size * _bits(spec) > 8 * MAX_TENSOR_BYTES):
        return f"of shape {list(shape)} takes more than {MAX_TENSOR_BYTES} bytes; no network of this kind has that"
    return ""


def _bits(spec: Spec) -> int:
    """Of an element; a string's is the least that it takes."""
    return 8 if spec.dtype in (ir.DataType.STRING, ir.DataType.UNDEFINED) else spec.dtype.bitwidth


def walk(model: ir.Model, specs: dict[str, Spec], *, hint: bool = True) -> Iterator[Typed]:
    """Every node in order with its tensors' types; adds what it finds to ``specs``.

    A node whose outputs cannot be inferred takes the types that the file states for them, where it does.

    Args:
        model: from ``load``.
        specs: from :func:`given`.
        hint: whether problems name the nearest operator.
    """
    opsets = model.opset_imports
    for index, node in enumerate(model.graph):
        about = facts(node, index, opsets)
        input_names = tuple([None if value is None else value.name for value in node.inputs])
        inputs = tuple([None if name is None else specs.get(name) for name in input_names])
        prepared, outputs, problem = _node(node, about, inputs, hint)
        names = tuple([value.name or None for value in node.outputs])
        specs.update({n: s for n, s in zip(names, outputs, strict=True) if n is not None and s is not None})
        yield Typed(about, prepared, input_names, names, inputs, outputs, problem)


def _node(
    node: ir.Node, about: NodeFacts, inputs: tuple[Spec | None, ...], hint: bool
) -> tuple[Step | None, tuple[Spec | None, ...], str]:
    """A node's operator, its outputs' types, and what is wrong with it."""
    prepared: Step | None = None
    outputs = node.outputs
    try:
        prepared = prepare(node, about, hint=hint)
        for value, spec in zip(node.inputs, inputs, strict=True):
            if value is not None and spec is None:
                problem = f"{about.where()}: shape of input {value.name!r} is not known"
                return prepared, tuple(map(_stated, outputs)), problem
        found = prepared.operator.infer(prepared.attributes, inputs)
    except ToolchainError as error:
        return prepared, tuple(map(_stated, outputs)), str(error)
    except (ValueError, TypeError, IndexError, KeyError, ZeroDivisionError, OverflowError) as error:
        shown = [None if spec is None else list(spec.shape) for spec in inputs]
        problem = f"{about.where()}: does not take inputs of shapes {shown}: {error}; repair the model"
        return prepared, tuple(map(_stated, outputs)), problem
    return prepared, (*found, *map(_stated, outputs[len(found) :]))[: len(outputs)], ""


def _stated(value: ir.Value) -> Spec | None:
    """What the file says of a tensor, if it says all."""
    if value.dtype is None or value.shape is None or not all(isinstance(d, int) for d in value.shape):
        return None
    return Spec(value.dtype, tuple(int(d) for d in value.shape))  # type: ignore[arg-type]


def _bind(value: ir.Value, wanted: Sequence[int] | None) -> Spec:
    """An input with every dimension fixed."""
    stated = None if value.shape is None else list(value.shape)
    shown = None if stated is None else [d if isinstance(d, int) else str(d) for d in stated]
    if value.dtype is None:
        raise ShapeError(f"input {value.name!r} states no element type; repair the model")
    if wanted is not None:
        fits = stated is None or (
            len(stated) == len(wanted)
            and all(not isinstance(d, int) or d == w for d, w in zip(stated, wanted, strict=True))
        )
        if not fits or min(wanted, default=1) < 0:
            raise ShapeError(f"input {value.name!r} has shape {shown}; received {list(wanted)}")
        return Spec(value.dtype, tuple(int(d) for d in wanted))
    if stated is None:
        raise ShapeError(f"input {value.name!r} states no shape; give it (--shape)")
    bound = [d if isinstance(d, int) else 1 if axis == 0 else None for axis, d in enumerate(stated)]
    if None in bound:
        raise ShapeError(f"input {value.name!r} has free dimensions {shown}; give them all (--shape)")
    return Spec(value.dtype, tuple(int(d) for d in bound if d is not None))
