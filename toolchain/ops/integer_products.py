"""ConvInteger, MatMulInteger, QLinearConv and QLinearMatMul, exact: https://onnx.ai/onnx/operators/.

The meaning is arithmetic on rationals: with ``acc = sum (x - zx)(w - zw) + b`` the output is
``saturate(round(acc * sx * sw / sy) + zy)``, the float32 scales read as the rationals that they are and the bias
taken at the scale ``sx * sw``. Accumulators are sums of integers below 2^16, computed in float64: exact for up to
2^37 terms.

An implementation in float32 forms ``acc`` as a float, one or two products and quotients of scales, and one product
of both: its quotient is within ``gamma_5`` of the exact one, and where that reaches a tie the bound says one step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from toolchain.ops import conv
from toolchain.ops.attributes import nothing
from toolchain.ops.bounds import Bound, gamma
from toolchain.ops.cast import is_integer
from toolchain.ops.exact import positive, requantize, round_quotient, tie_bound, two_product, whole
from toolchain.ops.matmul import product_shape
from toolchain.ops.moving import exact_bound
from toolchain.ops.operator import Array, Inputs, Operator, Spec, optional, required

REQUANTIZE_ROUNDINGS = 5
INT32_SPAN = 2.0**32


def by_output_channel(parameter: Array, rank: int, channels: int, what: str) -> Array:
    """A scalar, or one value an output channel, ready to broadcast with [N, M, ...]."""
    if parameter.size == 1:
        return parameter.reshape(())
    if parameter.shape != (channels,):
        raise ValueError(
            f"{what} has shape {list(parameter.shape)}; expected a scalar or [{channels}], one an output channel"
        )
    return parameter.reshape(-1, *(1,) * (rank - 2))


def scalar(parameter: Array, what: str) -> Array:
    """A parameter that has to be one value.

    Raises:
        ValueError: it has several.
    """
    if parameter.size != 1:
        raise ValueError(f"{what} has shape {list(parameter.shape)}; expected a scalar")
    return parameter.reshape(())


def shifted_conv(node: conv.Conv, x: Array, x_zero: Array | None, w: Array, w_zero: Array | None) -> Array:
    """Accumulators of a convolution of integers less their zero points; padding stands for the zero point."""
    for array in (x, w):
        if not is_integer(array.dtype):
            raise ValueError(f"an operand is {array.dtype}; expected integers")
    g = conv.geometry(node, x.shape, w.shape)
    a = whole(x) - (0.0 if x_zero is None else whole(scalar(x_zero, "zero point of the input")))
    b = whole(w)
    if w_zero is not None:
        zero = by_output_channel(w_zero, w.ndim, w.shape[0], "zero point of the weight")
        b = b - whole(zero).reshape(-1, *(1,) * (w.ndim - 1))
    return conv.convolve(g.padded(a, 0), b, g, node.group)


def wrap_int32(accumulator: Array) -> Array:
    """Exact integers as int32; sums beyond it wrap, as two's complement does."""
    return np.mod(accumulator, INT32_SPAN).astype(np.uint32).view(np.int32).reshape(accumulator.shape)


def conv_integer(node: conv.Conv, inputs: Inputs) -> tuple[Array, ...]:
    """int32 accumulators of a convolution."""
    x, w = required(inputs, 0), required(inputs, 1)
    return (wrap_int32(shifted_conv(node, x, optional(inputs, 2), w, optional(inputs, 3))),)


def _conv_integer_infer(node: conv.Conv, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    (spec,) = conv.infer(node, inputs[:2])
    return (Spec(ir.DataType.INT32, spec.shape),)


def _rows(parameter: Array, shape: tuple[int, ...]) -> Array:
    """Parameter of the left operand: a scalar, one a row, or [..., M, 1]."""
    if parameter.size == 1:
        return parameter.reshape(())
    return parameter.reshape(-1, 1) if parameter.ndim == 1 and len(shape) > 1 else parameter


def _columns(parameter: Array) -> Array:
    """Parameter of the right operand: a scalar, one a column, or [..., 1, N]."""
    return parameter.reshape(()) if parameter.size == 1 else parameter


def shifted_matmul(a: Array, a_zero: Array | None, b: Array, b_zero: Array | None) -> Array:
    """Accumulators of a matrix product of integers less their zero points."""
    for array in (a, b):
        if not is_integer(array.dtype):
            raise ValueError(f"an operand is {array.dtype}; expected integers")
    left, right = whole(a), whole(b)
    if a_zero is not None:
        left = left - whole(_rows(a_zero, a.shape))
    if b_zero is not None:
        right = right - whole(_columns(b_zero))
    return np.asarray(left @ right)


def matmul_integer(node: None, inputs: Inputs) -> tuple[Array, ...]:
    """int32 accumulators of a matrix product."""
    a, b = required(inputs, 0), required(inputs, 1)
    return (wrap_int32(shifted_matmul(a, optional(inputs, 2), b, optional(inputs, 3))),)


def _matmul_integer_infer(node: None, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    return (Spec(ir.DataType.INT32, product_shape(required(inputs, 0).shape, required(inputs, 1).shape)),)


@dataclass(frozen=True)
class Requantization:
    """From accumulators to output.

    Attributes:
        accumulator: exact integers.
        multiplier: ``sx * sw``, exact.
        scale: of the output.
        zero: zero point of the output.
    """

    accumulator: Array
    multiplier: Array
    scale: Array
    zero: Array

    def output(self) -> Array:
        """``saturate(round(acc * multiplier / scale) + zero)``."""
        numerator = two_product(self.accumulator, self.multiplier)
        return requantize(round_quotient(numerator, self.scale), self.zero, self.zero.dtype)

    def bound(self, exact: Array, roundoff: float) -> Bound:
        """One step where the quotient is within ``gamma_5`` of a tie."""
        quotient = self.accumulator * self.multiplier / self.scale
        error = gamma(REQUANTIZE_ROUNDINGS, roundoff) * np.abs(quotient)
        return tie_bound(quotient, error, self.zero, exact)


def _conv_requantization(node: conv.Conv, inputs: Inputs) -> Requantization:
    x, sx, zx, w, sw, zw, sy, zy = (required(inputs, i) for i in range(8))
    accumulator = shifted_conv(node, x, zx, w, zw)
    bias = optional(inputs, 8)
    if bias is not None:
        accumulator = accumulator + whole(bias).reshape(-1, *(1,) * (x.ndim - 2))
    channels = by_output_channel(positive(sw, "scale of the weight"), x.ndim, w.shape[0], "scale of the weight")
    multiplier = scalar(positive(sx, "scale of the input"), "scale of the input") * channels
    return Requantization(
        accumulator,
        multiplier,
        scalar(positive(sy, "scale of the output"), "scale of the output"),
        scalar(zy, "zero point of the output"),
    )


def _matmul_requantization(node: None, inputs: Inputs) -> Requantization:
    a, sa, za, b, sb, zb, sy, zy = (required(inputs, i) for i in range(8))
    accumulator = shifted_matmul(a, za, b, zb)
    multiplier = _rows(positive(sa, "scale of a"), a.shape) * _columns(positive(sb, "scale of b"))
    zero = _rows(zy, accumulator.shape)
    return Requantization(accumulator, multiplier, _rows(positive(sy, "scale of y"), accumulator.shape), zero)


def qlinear_conv(node: conv.Conv, inputs: Inputs) -> tuple[Array, ...]:
    """Convolution of quantized tensors, requantized exactly.

    Raises:
        ValueError: shapes do not fit, an operand is no integer, or a scale is not positive and finite.
    """
    return (_conv_requantization(node, inputs).output(),)


def _qlinear_conv_infer(node: conv.Conv, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    (spec,) = conv.infer(node, [required(inputs, 0), required(inputs, 3)])
    return (Spec(required(inputs, 7).dtype, spec.shape),)


def _qlinear_conv_bound(node: conv.Conv, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
    return (_conv_requantization(node, inputs).bound(exact[0], roundoff),)


def qlinear_matmul(node: None, inputs: Inputs) -> tuple[Array, ...]:
    """Matrix product of quantized tensors, requantized exactly.

    Raises:
        ValueError: shapes do not fit, an operand is no integer, or a scale is not positive and finite.
    """
    return (_matmul_requantization(node, inputs).output(),)


def _qlinear_matmul_infer(node: None, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    shape = product_shape(required(inputs, 0).shape, required(inputs, 3).shape)
    return (Spec(required(inputs, 7).dtype, shape),)


def _qlinear_matmul_bound(node: None, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
    return (_matmul_requantization(node, inputs).bound(exact[0], roundoff),)


def _conv_macs(node: conv.Conv, inputs: Sequence[Spec | None], outputs: Sequence[Spec]) -> int:
    return outputs[0].size * int(np.prod(required(inputs, 1).shape[1:]))


def _qlinear_conv_macs(node: conv.Conv, inputs: Sequence[Spec | None], outputs: Sequence[Spec]) -> int:
    return outputs[0].size * int(np.prod(required(inputs, 3).shape[1:]))


def _matmul_macs(node: None, inputs: Sequence[Spec | None], outputs: Sequence[Spec]) -> int:
    return outputs[0].size * int(required(inputs, 0).shape[-1])


OPERATORS = (
    Operator("ConvInteger", frozenset({10}), conv.parse, conv_integer, _conv_integer_infer, exact_bound, _conv_macs),
    Operator(
        "MatMulInteger",
        frozenset({10}),
        nothing,
        matmul_integer,
        _matmul_integer_infer,
        exact_bound,
        _matmul_macs,
    ),
    Operator(
        "QLinearConv",
        frozenset({10}),
        conv.parse,
        qlinear_conv,
        _qlinear_conv_infer,
        _qlinear_conv_bound,
        _qlinear_conv_macs,
    ),
    Operator(
        "QLinearMatMul",
        frozenset({10, 21}),
        nothing,
        qlinear_matmul,
        _qlinear_matmul_infer,
        _qlinear_matmul_bound,
        _matmul_macs,
    ),
)
