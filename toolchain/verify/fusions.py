"""What ONNX Runtime's fused operators compute where they mean something else than the nodes that they replace.

QLinearSoftmax (onnxruntime/contrib_ops/cpu/quantization/qlinear_softmax.cc) multiplies by ``floor(1 / y_scale)`` in the
place of dividing by ``y_scale``: it agrees with Softmax between DequantizeLinear and QuantizeLinear only where
``1 / y_scale`` is a whole number.

QLinearAveragePool with ``count_include_pad`` divides by all taps of the kernel, those of a last window under
``ceil_mode`` that lie beyond the padding included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from toolchain.ops.arrays import Array
from toolchain.ops.bounds import FLOAT32_ROUNDOFF, gamma
from toolchain.ops.exact import requantize
from toolchain.ops.pool import geometry
from toolchain.ops.shaping import axis_of
from toolchain.verify.reach import computing, scale_of
from toolchain.verify.regions import Region

Interval = tuple[Array, Array]
Fused = Callable[[Region, Mapping[str, Array], Mapping[str, Array], Array], Interval | None]

ROUNDINGS = 6
"""Of a float32 quotient besides those of its sum: a table, products, a quotient."""


def _softmax(
    region: Region, constants: Mapping[str, Array], tensors: Mapping[str, Array], exact: Array
) -> Interval | None:
    """QLinearSoftmax."""
    (node,) = computing(region)
    makers = {name: step for step in region.steps for name in step.outputs if name}
    source = makers[node.inputs[0] or ""]
    x = tensors[source.inputs[0] or ""]
    rest = node.facts.version < 13
    axis = axis_of(int(node.facts.attributes.get("axis", 1 if rest else -1)), x.ndim)
    rows = x.reshape(int(np.prod(x.shape[:axis])), -1) if rest else np.moveaxis(x, axis, -1)
    distance = rows.astype(np.float64) - rows.max(axis=-1, keepdims=True)
    power = np.exp(distance * float(constants[source.inputs[1] or ""].reshape(())))
    scale, zero = scale_of(region, constants, exact.shape)
    factor = float(np.floor(np.float32(1.0) / np.float32(scale.reshape(()))))
    quotient = power / power.sum(axis=-1, keepdims=True) * factor
    error = quotient * gamma(ROUNDINGS + rows.shape[-1], FLOAT32_ROUNDOFF)

    return _ends(quotient, error, zero, exact, lambda y: y.reshape(x.shape) if rest else np.moveaxis(y, -1, axis))


def _ends(
    quotient: Array, error: Array, zero: Array, exact: Array, placed: Callable[[Array], Array] = lambda y: y
) -> Interval:
    """Quotients within an error, rounded, shifted and saturated."""
    low, high = (requantize(np.rint(q), zero.reshape(()), exact.dtype) for q in (quotient - error, quotient + error))
    return placed(low), placed(high)


def _average_pool(
    region: Region, constants: Mapping[str, Array], tensors: Mapping[str, Array], exact: Array
) -> Interval | None:
    """QLinearAveragePool: sums over the taps in the input, divided by all taps of the kernel."""
    (node,) = computing(region)
    if not node.attributes.count_include_pad:
        return None
    source = next(step for step in region.steps if step.outputs[0] == node.inputs[0])
    x, scale_in, *rest = (constants[n] if n in constants else tensors[n] for n in source.inputs if n)
    real = (x.astype(np.float64) - (float(rest[0].reshape(())) if rest else 0.0)) * float(scale_in.reshape(()))
    g = geometry(node.attributes.windows, x.shape)
    total, reached = np.zeros(exact.shape), np.zeros(exact.shape)
    for (_, part), (_, size) in zip(g.taps(g.padded(real, 0.0)), g.taps(g.padded(np.abs(real), 0.0)), strict=True):
        total, reached = total + part, reached + size
    taps = float(np.prod(g.kernel))
    scale, zero = scale_of(region, constants, exact.shape)
    error = gamma(ROUNDINGS + int(taps), FLOAT32_ROUNDOFF) * (reached / taps / scale + np.abs(zero))
    return _ends(total / taps / scale, error, zero, exact)


_FUSED: dict[str, Fused] = {"QLinearSoftmax": _softmax, "QLinearAveragePool": _average_pool}


def fused(
    kernel: str, region: Region, constants: Mapping[str, Array], tensors: Mapping[str, Array], exact: Array
) -> Interval | None:
    """The integers that the runtime's own operator gives, or ``None`` where none is known to differ.

    Args:
        kernel: operator of the runtime's node that made the tensor.
        region: the nodes that it replaces, from tensors of integers to one.
        constants: initialisers, widened.
        tensors: the backend's, at least the region's inputs.
        exact: the integers that are meant.

    Returns:
        The least and the largest (they differ where its own quotient lies near a tie).
    """
    found = _FUSED.get(kernel)
    return None if found is None else found(region, constants, tensors, exact)
