"""QuantizeLinear and DequantizeLinear: https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html.

Quantizing is exact: ``x / scale`` is a quotient of rationals, rounded half to even, then the zero point is added
and the sum saturates. The specification lets an implementation divide in the precision of the scale; where that
may cross a tie, the bound says one step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from toolchain.ops.attributes import data_type, integer, nothing
from toolchain.ops.bounds import Bound, ulps
from toolchain.ops.cast import FLOAT8, SMALL_FLOATS, is_integer, shortened, to_float8
from toolchain.ops.exact import Pair, positive, requantize, round_quotient, tie_bound, whole
from toolchain.ops.operator import Array, Inputs, NodeFacts, Operator, Spec, optional, required
from toolchain.ops.shaping import axis_of
from toolchain.ops.spreads import corners

VERSIONS = frozenset({10, 13, 19, 21, 23, 24, 25, 28})
QUANTIZE_ROUNDINGS = 3.0
"""Of a quotient in floating point: a reciprocal or the scale's conversion, a product, a conversion."""


@dataclass(frozen=True)
class Linear:
    """Attributes.

    Attributes:
        axis: of scales along an axis or in blocks.
        block: elements a scale holds for along the axis; 0 for one scale a tensor or a slice.
        saturate: float8: too large values become the largest.
        output: element type of the output where stated.
        precision: element type in which an implementation divides, where stated.
    """

    axis: int
    block: int
    saturate: bool
    output: ir.DataType | None
    precision: ir.DataType | None


def parse(facts: NodeFacts) -> Linear:
    """Read the attributes."""
    block = integer(facts, "block_size", 0)
    if block < 0:
        raise facts.unsupported(f"block_size is {block}", "expected a positive number, or 0 for no blocks")
    return Linear(
        axis=integer(facts, "axis", 1),
        block=block,
        saturate=bool(integer(facts, "saturate", 1)),
        output=data_type(facts, "output_dtype"),
        precision=data_type(facts, "precision"),
    )


def spread_out(node: Linear, parameter: Array, shape: tuple[int, ...], what: str) -> Array:
    """A scale or zero point, ready to broadcast with a tensor.

    Args:
        node: attributes.
        parameter: one element, one an entry of the axis, or one a block.
        shape: of the tensor.
        what: for messages.

    Raises:
        ValueError: its shape fits none of the three.
    """
    if parameter.size == 1 and not (node.block and parameter.ndim == len(shape) > 0):
        return parameter.reshape(())
    axis = axis_of(node.axis, len(shape))
    if node.block:
        blocks = -(-shape[axis] // node.block)
        if parameter.shape != (*shape[:axis], blocks, *shape[axis + 1 :]):
            raise ValueError(
                f"{what} has shape {list(parameter.shape)}; expected {blocks} blocks of {node.block} "
                f"along axis {axis} of {list(shape)}"
            )
        return np.take(np.repeat(parameter, node.block, axis), np.arange(shape[axis]), axis)
    if parameter.shape != (shape[axis],):
        raise ValueError(
            f"{what} has shape {list(parameter.shape)}; expected a scalar or {shape[axis]} values for axis {axis}"
        )
    return parameter.reshape(-1, *(1,) * (len(shape) - axis - 1))


def _zero_point(node: Linear, inputs: Inputs, shape: tuple[int, ...]) -> Array | None:
    value = optional(inputs, 2)
    return None if value is None else spread_out(node, value, shape, "zero point")


def quantized_type(node: Linear, zero_point: Array | None) -> np.dtype[np.generic]:
    """The zero point's type, else the stated one, else uint8."""
    if zero_point is not None:
        return zero_point.dtype
    return np.dtype(np.uint8) if node.output is None else node.output.numpy()


def _numerator(x: Array) -> Pair:
    high = np.where(np.isfinite(x), x, np.sign(np.nan_to_num(x)) * np.float64(2.0**200))
    return Pair(high, np.zeros(()))


def _to_small_float(node: Linear, x: Array, scale: Array, zero: Array | None, dtype: np.dtype[np.generic]) -> Array:
    """The nearest value of a float type of 8 bits or fewer, a tie to even.

    A float64 quotient that is a midpoint of the target may have been rounded to it; the side on which the true
    quotient lies is the sign of ``x - q scale``, which is exact since a midpoint has few bits.
    """
    q = np.asarray(x / scale)
    fraction, _ = np.frexp(q)
    short = np.isfinite(q) & (np.mod(fraction * 2.0**12, 1.0) == 0)
    side = np.where(short, x - np.where(short, q, 0.0) * scale, 0.0)
    q = np.where(side == 0, q, np.nextafter(q, np.where(side > 0, np.inf, -np.inf)))
    if zero is not None:
        q = q + zero.astype(np.float64)
    if dtype in FLOAT8:
        return to_float8(q, dtype, saturate=node.saturate)
    with np.errstate(all="ignore"):
        return shortened(q, dtype).astype(dtype)


def quantize(node: Linear, inputs: Inputs) -> tuple[Array, ...]:
    """``saturate(round(x / scale) + zero_point)``.

    Raises:
        ValueError: a scale is not positive and finite, or shapes do not fit.
    """
    x = required(inputs, 0).astype(np.float64)
    scale = spread_out(node, positive(required(inputs, 1), "the scale"), x.shape, "scale")
    zero = _zero_point(node, inputs, x.shape)
    dtype = quantized_type(node, zero)
    with np.errstate(all="ignore"):
        if not is_integer(dtype):
            return (_to_small_float(node, x, scale, zero, dtype),)
        rounded = round_quotient(_numerator(x), scale)
    return (requantize(rounded, 0 if zero is None else zero, dtype),)


def _quantize_infer(node: Linear, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    zero = optional(inputs, 2)
    stated = ir.DataType.UINT8 if node.output is None else node.output
    return (Spec(stated if zero is None else zero.dtype, required(inputs, 0).shape),)


_ROUNDOFF = {ir.DataType.FLOAT16: 2.0**-11, ir.DataType.BFLOAT16: 2.0**-8, ir.DataType.FLOAT: 2.0**-24}


def _quantize_bound(node: Linear, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
    """One step where the quotient lies within its floating-point error of a tie; else exact."""
    x = required(inputs, 0).astype(np.float64)
    scale = spread_out(node, positive(required(inputs, 1), "the scale"), x.shape, "scale")
    zero = _zero_point(node, inputs, x.shape)
    u = max(roundoff, _ROUNDOFF.get(node.precision or ir.DataType.UNDEFINED, 0.0))
    with np.errstate(all="ignore"):
        quotient = x / scale
        error = QUANTIZE_ROUNDINGS * u * np.abs(np.clip(quotient, -(2.0**20), 2.0**20))
        if is_integer(exact[0].dtype):
            quotient = np.clip(quotient, -(2.0**20), 2.0**20)
            return (tie_bound(quotient, error, 0 if zero is None else zero, exact[0]),)
        return (_small_float_bound(node, quotient, error, exact[0]),)


def _small_float_bound(node: Linear, quotient: Array, error: Array, exact: Array) -> Bound:
    """The distance to the neighbour where the error reaches it."""
    y = exact.astype(np.float64)
    reached = []
    for sign in (-1.0, 1.0):
        moved = quotient + sign * error
        other = (
            to_float8(moved, exact.dtype, saturate=node.saturate)
            if exact.dtype in FLOAT8
            else shortened(moved, exact.dtype).astype(exact.dtype)
        )
        difference = np.abs(other.astype(np.float64) - y)
        both = np.isnan(y) & np.isnan(other.astype(np.float64))
        reached.append(np.where(both | (other.astype(np.float64) == y), 0.0, difference))
    limit = np.nan_to_num(np.maximum(*reached), nan=np.inf, posinf=np.inf)
    return Bound(limit, limit)


def dequantize(node: Linear, inputs: Inputs) -> tuple[Array, ...]:
    """``(x - zero_point) * scale``: exact in float64.

    Raises:
        ValueError: shapes do not fit.
    """
    x = whole(required(inputs, 0))
    scale = spread_out(node, required(inputs, 1).astype(np.float64), x.shape, "scale")
    zero = _zero_point(node, inputs, x.shape)
    return (np.asarray((x if zero is None else x - zero.astype(np.float64)) * scale),)


def _dequantize_infer(node: Linear, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    scale = required(inputs, 1)
    dtype = node.output or (ir.DataType.FLOAT if scale.dtype.numpy() in SMALL_FLOATS else scale.dtype)
    return (Spec(dtype, required(inputs, 0).shape),)


def _dequantize_bound(node: Linear, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
    """One rounding of the product, and one of an integer of more bits than the significand."""
    return (ulps(exact[0], 1.0, roundoff),)


def dynamic_parameters(x: Array) -> tuple[Array, Array]:
    """Scale (rounded to float32, its type) and real zero point of a tensor; the range always contains 0.

    The specification divides by zero for a tensor of zeros; its scale is 1 here, as in ONNX Runtime.
    """
    low, high = np.min(x, initial=0.0), np.max(x, initial=0.0)
    scale = np.float64(np.float32((high - low) / 255.0)) if high > low else np.float64(1.0)
    return np.asarray(scale), np.asarray(-low / scale)


def dynamic_quantize(node: None, inputs: Inputs) -> tuple[Array, ...]:
    """To uint8 with scale and zero point from the tensor's own range."""
    x = required(inputs, 0)
    scale, _ = dynamic_parameters(x)
    low = np.asarray(-np.min(x, initial=0.0))
    zero = requantize(round_quotient(Pair(low, np.zeros(())), scale), 0, np.dtype(np.uint8))
    y = requantize(round_quotient(_numerator(x), scale), zero, np.dtype(np.uint8))
    return y, np.asarray(scale), zero


def _dynamic_infer(node: None, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    x = required(inputs, 0)
    return Spec(ir.DataType.UINT8, x.shape), Spec(ir.DataType.FLOAT, ()), Spec(ir.DataType.UINT8, ())


def _dynamic_bound(node: None, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
    """The scale has two roundings (and ours one); a quotient by it has those and its own."""
    x = required(inputs, 0)
    scale, middle = dynamic_parameters(x)
    error = (QUANTIZE_ROUNDINGS + 3.0) * roundoff
    zero = tie_bound(np.asarray(middle), np.asarray(error * abs(middle)), 0, exact[2])
    quotient = x / scale
    y = tie_bound(quotient, error * np.abs(quotient), exact[2], exact[0])
    return Bound(y.sound + zero.sound, y.probable + zero.probable), ulps(scale, 2.0, roundoff), zero


OPERATORS = (
    Operator("QuantizeLinear", VERSIONS, parse, quantize, _quantize_infer, _quantize_bound, spread=corners),
    Operator(
        "DequantizeLinear",
        VERSIONS,
        parse,
        dequantize,
        _dequantize_infer,
        _dequantize_bound,
        spread=corners,
        budget="1",
    ),
    Operator(
        "DynamicQuantizeLinear",
        frozenset({11}),
        nothing,
        dynamic_quantize,
        _dynamic_infer,
        _dynamic_bound,
    ),
)
