"""What part of the input a value depends on: the receptive field.

A field has for each spatial axis a size and a jump, both in elements of the input: neighbouring values of the
tensor see parts of ``size`` elements that lie ``jump`` apart. A window of ``k`` elements (``d (k - 1) + 1``
when dilated) grows the size by ``(k - 1) jump`` and its stride multiplies the jump (W. Luo et al.,
Understanding the effective receptive field in deep convolutional neural networks, NeurIPS 2016). Where paths meet
the larger field counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from toolchain.nodes import Step
from toolchain.ops.operator import Spec
from toolchain.ops.windows import Geometry, Windows

PRODUCTS = frozenset({"Gemm", "MatMul", "QLinearMatMul", "MatMulInteger"})
TRANSPOSED = "ConvTranspose"


@dataclass(frozen=True)
class Field:
    """A receptive field.

    Attributes:
        size: elements of the input along each spatial axis.
        jump: input elements between the fields of neighbours; empty once the spatial axes are gone.
    """

    size: tuple[Fraction, ...]
    jump: tuple[Fraction, ...]

    def within(self, spatial: Sequence[int]) -> tuple[int, ...]:
        """Size in whole elements, no more than the input has."""
        return tuple(min(-(-s.numerator // s.denominator), n) for s, n in zip(self.size, spatial, strict=True))


def start(spatial: Sequence[int]) -> Field:
    """Of the input itself."""
    one = (Fraction(1),) * len(spatial)
    return Field(one, one)


def whole(spatial: Sequence[int]) -> Field:
    """Everything."""
    return Field(tuple(map(Fraction, spatial)), ())


def joined(fields: Iterable[Field]) -> Field | None:
    """The largest of several along each axis; ``None`` of none."""
    found = list(fields)
    if not found:
        return None
    size = tuple(max(axis) for axis in zip(*(f.size for f in found), strict=True))
    jumps = [f.jump for f in found]
    return Field(size, tuple(max(axis) for axis in zip(*jumps, strict=True)) if all(jumps) else ())


def geometry(step: Step, inputs: Sequence[Spec | None]) -> Geometry | None:
    """The windows of a convolution or pool over these inputs; ``None`` of any other node."""
    windows = getattr(step.attributes, "windows", None)
    x = inputs[0] if inputs else None
    if not isinstance(windows, Windows) or x is None or step.operator.name == TRANSPOSED:
        return None
    kernel = None
    if windows.kernel_shape is None:
        place = 3 if step.operator.name == "QLinearConv" else 1
        weight = inputs[place] if place < len(inputs) else None
        kernel = None if weight is None else weight.shape[2:]
    return windows.resolve(x.shape[2:], kernel)


def seen(step: Step, inputs: Sequence[Spec | None], output: Spec, field: Field, spatial: Sequence[int]) -> Field:
    """The field of a node's output.

    Args:
        step: the node.
        inputs: types of its inputs; the first one carries the spatial axes.
        output: type of its first output.
        field: of its inputs, joined.
        spatial: sizes of the network's input.
    """
    name, x = step.operator.name, inputs[0]
    if name in PRODUCTS:
        return whole(spatial)
    if x is None or not field.jump:
        return field
    if len(output.shape) != len(x.shape) and output.size != x.size:
        return whole(spatial)
    if len(output.shape) != len(x.shape) or name == "Transpose":
        return replace(field, jump=())
    g = geometry(step, inputs)
    if g is not None:
        spans = [d * (k - 1) for k, d in zip(g.kernel, g.dilations, strict=True)]
        return _grown(field, spans, [Fraction(s) for s in g.strides])
    sizes = list(zip(x.shape[2:], output.shape[2:], strict=True))
    if name == TRANSPOSED:
        weight = inputs[1]
        kernel = weight.shape[2:] if weight is not None else (1,) * len(sizes)
        strides = step.attributes.windows.strides or (1,) * len(sizes)
        spans = [-(-k // s) - 1 for k, s in zip(kernel, strides, strict=True)]
        return _grown(field, spans, [Fraction(1, s) for s in strides])
    if name in ("Resize", "Upsample"):
        return _grown(field, [1] * len(sizes), [Fraction(a, b) if b else Fraction(1) for a, b in sizes])
    return _grown(field, [a - 1 if b == 1 else 0 for a, b in sizes], [Fraction(1)] * len(sizes))


def _grown(field: Field, spans: Sequence[int], strides: Sequence[Fraction]) -> Field:
    return Field(
        tuple(size + span * jump for size, span, jump in zip(field.size, spans, field.jump, strict=True)),
        tuple(jump * stride for jump, stride in zip(field.jump, strides, strict=True)),
    )


def formula(step: Step, inputs: Sequence[Spec | None]) -> str:
    """How output sizes come about, with the numbers: ``floor((32 + 2*0 - 5)/1) + 1 = 28``; else empty."""
    g = geometry(step, inputs)
    if g is None:
        return ""
    ceil = bool(step.attributes.windows.ceil_mode)
    axes = [_axis(g, axis, ceil) for axis in range(len(g.kernel))]
    return axes[0] if len(set(axes)) == 1 else "; ".join(axes)


def _axis(g: Geometry, axis: int, ceil: bool) -> str:
    size, begin, end, kernel = g.spatial[axis], g.begins[axis], g.ends[axis], g.kernel[axis]
    stride, dilation, out = g.strides[axis], g.dilations[axis], g.output[axis]
    padding = f"2*{begin}" if begin == end else f"{begin} + {end}"
    span = f"{kernel}" if dilation == 1 else f"({dilation}*({kernel} - 1) + 1)"
    room = size + begin + end - dilation * (kernel - 1) - 1
    dropped = ceil and -(-room // stride) + 1 > out
    rounding = "ceil" if ceil else "floor"
    tail = " - 1 (a window that starts in the padding)" if dropped else ""
    return f"{rounding}(({size} + {padding} - {span})/{stride}) + 1{tail} = {out}"
