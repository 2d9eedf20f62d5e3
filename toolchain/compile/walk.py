"""The walk over an ONNX graph that lowers every node, and the borders between float and int8."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from toolchain.compile.integral import EIGHT_BITS, as_integers, check_integers, moves, taken_as_integers
from toolchain.compile.kernels import lowerings
from toolchain.compile.kernels.bounds import bounds
from toolchain.compile.kernels.quantize import DequantizeS8, QuantizeF32
from toolchain.compile.kernels.reorder import Reorder, SignU8, UnsignS8
from toolchain.compile.kernels.strides import same_order
from toolchain.compile.lowering import Fixed, Lowering, Operand, Site, by_name, map_of, one_sample, quantization
from toolchain.compile.names import Names, values_of
from toolchain.compile.program import Layer
from toolchain.compile.tensor import INT8_HIGH, INT8_LOW, Element, Quantization, Tensor, plane_of
from toolchain.errors import UnsupportedError
from toolchain.nodes import Step, steps
from toolchain.ops.operator import Spec
from toolchain.shapes import infer

Array = NDArray[Any]
CLAMPS = ("Relu", "Clip")
ROWS = ("Gemm", "MatMul")
"""They take vectors one behind the other."""


@dataclass(frozen=True)
class Lowered:
    """A graph as layers.

    Attributes:
        inputs: of the graph, in the caller's memory.
        outputs: of the graph, in the caller's memory.
        layers: in order.
        floats: names of nodes computed in float although the model is quantized.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    layers: tuple[Layer, ...]
    floats: tuple[str, ...]


@dataclass(frozen=True)
class Finish:
    """What follows a node up to the rounding of its result.

    Attributes:
        quantized: of the result.
        low, high: clamps, from Relu and Clip in between.
        names: of the quantized values.
        steps: the nodes in between and the QuantizeLinear.
        moved: nothing follows: the result is moved at the scale of its inputs.
    """

    quantized: Quantization
    low: int
    high: int
    names: tuple[str, ...]
    steps: tuple[Step, ...] = ()
    moved: bool = False

    @property
    def nodes(self) -> tuple[str, ...]:
        """Names of the steps."""
        return tuple(step.name for step in self.steps)


def lower(
    model: ir.Model, shapes: Mapping[str, Sequence[int]] | None = None, reserved: Collection[str] = ()
) -> Lowered:
    """Every node as a layer.

    Args:
        model: rewritten, of fixed shapes.
        shapes: of graph inputs with free dimensions.
        reserved: names that no value of the compiler's own may have, besides those of the model.

    Raises:
        UnsupportedError: a node without a kernel; names it, the reason and what would help.
        ShapeError: free dimensions, or more than one sample.
    """
    return _Walk(model, infer(model, shapes), Names({*reserved, *values_of(model)})).run()


class _Walk:
    def __init__(self, model: ir.Model, specs: Mapping[str, Spec], names: Names) -> None:
        self.model = model
        self.specs = specs
        self.names = names
        self.converted: dict[tuple[Tensor, int], Tensor] = {}
        """By a tensor and its other plane, or 0: what it became as floats."""
        self.steps = steps(model)
        self.values: dict[str, Operand] = {
            name: Fixed(name, value.const_value.numpy())
            for name, value in model.graph.initializers.items()
            if value.const_value is not None
        }
        self.readers: dict[str, list[Step]] = defaultdict(list)
        for step in self.steps:
            for name in step.inputs:
                if name:
                    self.readers[name].append(step)
        self.outputs = [value.name or "" for value in model.graph.outputs]
        self.layers: list[Layer] = []
        self.floats: list[str] = []
        self.absorbed: set[str | None] = set()
        """Results of nodes that are built into the one before: names of nodes need not be unique."""
        self.quantized = any(step.facts.op_type == "QuantizeLinear" for step in self.steps)

    def run(self) -> Lowered:
        inputs = [self._input(value) for value in self.model.graph.inputs if value.name not in self.values]
        for step in self.steps:
            if step.outputs[0] not in self.absorbed and step.outputs[0] not in self.values:
                self._node(step)
        outputs = tuple(self._output(name) for name in self.outputs)
        return Lowered(tuple(inputs), outputs, tuple(self.layers), tuple(self.floats))

    def _input(self, value: ir.Value) -> Tensor:
        name = value.name or ""
        spec = self.specs[name]
        one_sample(name, spec)
        if spec.dtype == ir.DataType.FLOAT:
            made = replace(map_of(name, spec), plane=1)
        elif spec.dtype == ir.DataType.INT8:
            made = replace(map_of(name, spec, self._stated(name)), plane=1)
        elif spec.dtype == ir.DataType.UINT8:
            made = Tensor(name, Element.UINT8, spec.shape)
            signed = map_of(self.names.fresh(f"{name}_signed"), spec, as_integers(spec.dtype))
            self._add(SignU8(signed.name, (), (made,), signed), (name,))
            return made
        else:
            raise UnsupportedError(f"graph input {name!r} is {spec.dtype}; C code takes FLOAT, INT8 and UINT8")
        self.values[name] = made
        return made

    def _stated(self, name: str) -> Quantization:
        """What an int8 input means, where its only reader dequantizes it: for the header."""
        readers = self.readers[name]
        if len(readers) == 1 and readers[0].facts.op_type == "DequantizeLinear":
            return self._parameters(readers[0])
        return Quantization(Fraction(1), 0)

    def _node(self, step: Step) -> None:
        op_type = step.facts.op_type
        if op_type == "DequantizeLinear":
            self._dequantize(step)
        elif op_type == "QuantizeLinear":
            self._quantize(step)
        else:
            self._operator(step)

    def _parameters(self, step: Step) -> Quantization:
        scale, zero = (self._fixed(step, index) for index in (1, 2))
        if scale is None:
            raise step.facts.unsupported("its scale is computed by the model", "quantize statically")
        stored = step.inputs[0] if step.facts.op_type == "DequantizeLinear" else step.outputs[0]
        dtype = self.specs[stored or ""].dtype
        return quantization(None if zero is None else zero.values, scale.values, dtype, step.facts.where())

    def _fixed(self, step: Step, index: int) -> Fixed | None:
        name = step.inputs[index] if index < len(step.inputs) else None
        if name is None:
            return None
        value = self.values[name]
        if not isinstance(value, Fixed):
            raise step.facts.unsupported(f"input {index} is computed by the model", "quantize statically")
        return value

    def _dequantize(self, step: Step) -> None:
        source, out = self.values[step.inputs[0] or ""], step.outputs[0] or ""
        if isinstance(source, Fixed):
            self.values[out] = self._constant(step, source)
            return
        if not isinstance(source, Tensor) or source.element is not Element.INT8:
            raise step.facts.unsupported("it dequantizes no 8-bit tensor", "quantize to int8 or uint8")
        self.values[out] = replace(source, quantization=self._parameters(step), buffer=source.memory)

    def _constant(self, step: Step, source: Fixed) -> Fixed:
        """A quantized constant."""
        if step.attributes.block:
            raise step.facts.unsupported("weights with a scale for each block", "quantize per tensor or per channel")
        scale, zero = self._fixed(step, 1), self._fixed(step, 2)
        values = source.values
        axis = step.attributes.axis % max(values.ndim, 1)
        if scale is None:
            raise step.facts.unsupported("its scale is computed by the model", "quantize statically")
        if zero is not None and zero.values.any():
            shape = [-1 if i == axis else 1 for i in range(values.ndim)] if zero.values.size > 1 else []
            wide = np.float64 if "float" in values.dtype.name else np.int64
            values = values.astype(wide) - zero.values.astype(wide).reshape(shape)
        scales = scale.values.astype(np.float64).reshape(-1)
        if not np.isfinite(scales).all():
            raise step.facts.unsupported("a scale is NaN or infinite", "repair the model")
        return Fixed(source.name, values, tuple(Fraction(float(s)) for s in scales), axis)

    def _quantize(self, step: Step) -> None:
        source, out = self.values[step.inputs[0] or ""], step.outputs[0] or ""
        made = map_of(out, self.specs[out], self._parameters(step))
        if not isinstance(source, Tensor):
            raise step.facts.unsupported("it quantizes a constant", "fold the constants")
        if source.element is Element.INT8:
            site = Site(step, (source,), made, (step.name,), self.names)
            self._put(site, lowerings()["Identity"].integer, (out,))
        else:
            # A float map keeps its order under another shape; only one in ONNX's order is turned on the way.
            placed = made if source.plane == 1 else replace(made, plane=source.plane)
            self._add(QuantizeF32(step.name, (step.name,), (source,), placed), (out,))

    def _operator(self, step: Step) -> None:
        lowering = by_name(lowerings(), step)
        out = step.outputs[0] or ""
        self._check_results(step)
        inputs = tuple(None if name is None else self._taken(self._read(step, name), lowering) for name in step.inputs)
        tensors = [value for value in inputs if isinstance(value, Tensor)]
        if not tensors:
            raise step.facts.unsupported("all its inputs are constants", "fold the constants")
        whole = bool(tensors) and all(tensor.element is Element.INT8 for tensor in tensors)
        finish = self._finish(step, tensors) if whole and lowering.integer else None
        if finish is not None and self._integers(step, inputs, lowering, finish):
            return
        if lowering.real is None:
            what = "has no float kernel" if lowering.integer else "has no kernel"
            raise step.facts.unsupported(f"it is not between quantized tensors and {what}", "quantize the model")
        if self.quantized:
            self.floats.append(step.name)
        floats = tuple(
            self._taken(self._float(value), lowering) if isinstance(value, Tensor) else value for value in inputs
        )
        self._put(Site(step, floats, map_of(out, self.specs[out]), (step.name,), self.names), lowering.real, (out,))

    def _integers(self, step: Step, inputs: tuple[Operand, ...], lowering: Lowering, finish: Finish) -> bool:
        """Lower a node between 8-bit tensors; whether there is a kernel, where floats could be moved as well."""
        out, name = step.outputs[0] or "", finish.names[0]
        if finish.moved:  # the model's own value is a float, which others see under its name
            name = self.names.fresh(f"{name}_integers")
        made = replace(map_of(out, self.specs[out], finish.quantized, finish.low, finish.high), name=name)
        site = Site(step, inputs, made, (step.name, *finish.nodes), self.names)
        try:
            self._put(site, lowering.integer, finish.names)
        except UnsupportedError:
            if not finish.moved or lowering.real is None:
                raise
            return False
        self.absorbed.update(absorbed.outputs[0] for absorbed in finish.steps)
        return True

    def _check_results(self, step: Step) -> None:
        """Refuse results that no kernel makes."""
        for name in step.outputs[1:]:
            if name and (name in self.readers or name in self.outputs):
                raise step.facts.unsupported(f"its output {name!r} is used", "only the first one has a kernel")
        out = step.outputs[0] or ""
        spec = self.specs[out]
        if 0 in spec.shape:
            raise step.facts.unsupported(f"its result {list(spec.shape)} is empty", "take it out of the model")
        if spec.dtype is not ir.DataType.FLOAT and spec.dtype not in EIGHT_BITS:
            raise step.facts.unsupported(f"its result is {spec.dtype}", "C computes FLOAT, INT8 and UINT8")

    def _read(self, step: Step, name: str) -> Operand:
        """What an operator reads: of an 8-bit tensor that no DequantizeLinear has given a meaning, the integers."""
        value = self.values[name]
        if not isinstance(value, Tensor) or self.specs[name].dtype not in EIGHT_BITS:
            return value
        check_integers(step)
        return taken_as_integers(value, self.specs[name].dtype)

    def _put(self, site: Site, rule: Any, names: Sequence[str]) -> None:
        """Lower a node and give its result its names."""
        made = rule(site)
        if isinstance(made, tuple):
            self.layers += made[:-1]
            made = made[-1]
        if isinstance(made, Layer):
            self._add(made, names)
        else:
            self.values.update(dict.fromkeys(names, made))

    def _add(self, layer: Layer, names: Sequence[str]) -> None:
        self.layers.append(layer)
        self.values.update(dict.fromkeys(names, layer.output))

    def _finish(self, step: Step, sources: Sequence[Tensor]) -> Finish | None:
        """How the node's result is rounded to 8 bits, or that it is moved without; ``None`` if it has to be a float."""
        found = self._rounded(step, sources[0])
        same = len({source.quantized for source in sources}) == 1
        if found is None and same and moves(step, self.values, sources[0].quantized):
            return Finish(sources[0].quantized, INT8_LOW, INT8_HIGH, (step.outputs[0] or "",), moved=True)
        return found

    def _rounded(self, step: Step, source: Tensor) -> Finish | None:
        out = step.outputs[0] or ""
        if self.specs[out].dtype in EIGHT_BITS:
            return Finish(source.quantized, INT8_LOW, INT8_HIGH, (out,))
        readers = self.readers[out]
        if out in self.outputs or not readers:
            return None
        if all(r.facts.op_type == "QuantizeLinear" and r.inputs[0] == out for r in readers):
            found = {self._parameters(reader) for reader in readers}
            names = tuple(reader.outputs[0] or "" for reader in readers)
            return Finish(found.pop(), INT8_LOW, INT8_HIGH, names, tuple(readers)) if len(found) == 1 else None
        if len(readers) == 1 and readers[0].facts.op_type in CLAMPS:
            later = self._rounded(readers[0], source)
            return None if later is None else self._clamped(readers[0], later)
        return None

    def _clamped(self, step: Step, later: Finish) -> Finish:
        """With a Relu or Clip in front: rounding rises, so clamping its result clamps its argument.

        The last clamp wins: it holds the bounds of those in front of it as well.
        """
        q = later.quantized
        least: Fraction | None = Fraction(0)
        most: Fraction | None = None
        if step.facts.op_type == "Relu":
            pass
        else:
            unknown = Tensor("", Element.FLOAT, ())  # neither the first input nor a bound that is computed is known yet
            inputs = tuple(None if name is None else self.values.get(name, unknown) for name in step.inputs)
            least, most = bounds(Site(step, inputs, Tensor("", Element.INT8, ()), ()))

        def rounded(value: Fraction) -> int:
            return min(max(round(value / q.scale) + q.zero, later.low), later.high)

        low = later.low if least is None else rounded(least)
        high = later.high if most is None else rounded(most)
        return replace(later, low=min(low, high), high=high, steps=(step, *later.steps))

    def _taken(self, value: Operand, lowering: Lowering) -> Operand:
        """An operand in the order of memory that a kernel takes."""
        if not isinstance(value, Tensor) or lowering.any_order:
            return value
        if lowering.op_type in ROWS:
            return self._placed(value, 1) if value.size != value.shape[-1] else value
        # Maps are channels-last; one from the caller, or one reshaped, may not be.
        return self._placed(value, plane_of(value.shape)) if len(value.shape) in (3, 4) else value

    def _float(self, tensor: Tensor) -> Tensor:
        """A tensor as floats, stored in the same order."""
        if tensor.element is Element.FLOAT:
            return tensor
        key = (tensor, 0)
        if key not in self.converted:
            made = Tensor(self.names.fresh(f"{tensor.name}_float"), Element.FLOAT, tensor.shape, tensor.plane)
            self._add(DequantizeS8(made.name, (), (tensor,), made), ())
            self.converted[key] = made
        return self.converted[key]

    def _placed(self, tensor: Tensor, plane: int) -> Tensor:
        """A tensor in another order of memory."""
        if same_order(tensor, plane):
            return tensor if tensor.plane == plane else replace(tensor, plane=plane, buffer=tensor.memory)
        if plane != 1 and tensor.plane != 1:
            tensor = self._placed(tensor, 1)
        key = (tensor, plane)
        if key not in self.converted:
            name = self.names.fresh(f"{tensor.name}_{'ordered' if plane > 1 else 'unordered'}")
            made = replace(tensor, name=name, plane=plane, buffer="")
            self._add(Reorder(name, (), (tensor,), made), ())
            self.converted[key] = made
        return self.converted[key]

    def _output(self, name: str) -> Tensor:
        """A graph output, in the caller's memory and order."""
        value = self.values[name]
        if not isinstance(value, Tensor):
            raise UnsupportedError(f"graph output {name!r} is a constant; take it out of the model")
        wants_float = self.specs[name].dtype == ir.DataType.FLOAT
        if wants_float and value.element is Element.INT8:
            made = Tensor(name, Element.FLOAT, value.shape)
            nodes = tuple(s.name for s in self.steps if name in s.outputs)
            self._add(DequantizeS8(nodes[0] if nodes else name, nodes, (value,), made), (name,))
            return made
        if value.quantization is not None and value.quantization.unsigned and not wants_float:
            made = Tensor(name, Element.UINT8, value.shape, buffer=f"{name} of the caller")
            self._add(UnsignS8(f"{name}_unsigned", (), (value,), made), ())
            return made
        writers = [layer for layer in self.layers if layer.output.memory == value.memory]
        if value.plane == 1 and writers and not value.buffer and value.name == name and self.outputs.count(name) == 1:
            return value
        made = replace(value, name=name, plane=1, buffer=f"{name} of the caller")
        self._add(Reorder(f"{name}_order", (), (value,), made), ())
        return made
