"""How far the runtime's float32 may carry a quotient before it is rounded to an integer.

An integer kernel computes one quotient in float32 and rounds it; where a tie lies between that and the exact quotient,
its answer is one step off and still correct arithmetic. The error depends on which kernel ran:

- products (QLinearConv, QGemm, QLinearMatMul): the accumulator as a float, a product and a quotient of scales, their
  product: 5 roundings of the quotient;
- element-wise kernels and pools: some add the zero points before they round, so that the roundings count on the sum of
  all magnitudes, the zero points included;
- kernels that move or select integers, and code that promises the exact ones: none;
- anything else ran as float nodes, or as several: the composed limit of those nodes, and 3 roundings of the quotient.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.nodes import Step
from toolchain.ops.arrays import Array
from toolchain.ops.bounds import gamma
from toolchain.ops.integer_products import REQUANTIZE_ROUNDINGS
from toolchain.ops.operator import Spec
from toolchain.ops.qlinear import ROUNDINGS, SIGMOID, SOFTMAX_ULPS
from toolchain.ops.quantize_linear import QUANTIZE_ROUNDINGS, spread_out
from toolchain.reference import evaluate
from toolchain.verify.judge import exact
from toolchain.verify.kernels import EXACT, NEAR
from toolchain.verify.regions import Region

Floats = NDArray[np.float64]

PRODUCTS = frozenset({"QLinearConv", "QGemm", "QLinearMatMul"})
MOVING = frozenset(
    {
        *("MaxPool", "NhwcMaxPool", "Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Slice", "Gather"),
        *("Split", "Expand", "Identity", "Resize", "Pad", "Concat", "DepthToSpace", "SpaceToDepth"),
    }
)
_WINDOWS = frozenset({"AveragePool", "GlobalAveragePool"})


def computing(region: Region) -> tuple[Step, ...]:
    """The steps that neither quantize nor dequantize."""
    return tuple(s for s in region.steps if s.operator.name not in ("QuantizeLinear", "DequantizeLinear"))


def scale_of(region: Region, constants: Mapping[str, Array], shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Scale and zero point of the output, ready to broadcast."""
    step = region.steps[-1]
    scale = spread_out(step.attributes, constants[step.inputs[1] or ""].astype(np.float64), shape, "scale")
    zero = step.inputs[2] if len(step.inputs) > 2 else None
    if zero is None:
        return scale, np.zeros(())
    return scale, spread_out(step.attributes, constants[zero].astype(np.float64), shape, "zero point")


def reach(
    kernel: str,
    region: Region,
    constants: Mapping[str, Array],
    tensors: Mapping[str, Array],
    quotient: Floats,
    roundoff: float,
    specs: Mapping[str, Spec],
) -> Floats:
    """How far from the exact quotient the runtime's may be, element by element.

    Args:
        kernel: operator of the runtime's node that made the tensor.
        region: from tensors of integers to one.
        constants: initialisers, widened.
        tensors: the backend's, at least the region's inputs.
        quotient: the exact ones, in float64.
        roundoff: unit roundoff of float32 arithmetic.
        specs: types of the model's tensors.

    Raises:
        UnsupportedError: float nodes whose errors cannot be composed.
    """
    size = np.abs(quotient)
    alone = not any(s.operator.name == "QuantizeLinear" for s in region.steps[:-1])
    if kernel == EXACT or (kernel == NEAR and len(region.steps) == 1) or (alone and kernel in MOVING):
        return np.zeros_like(size)
    if alone and kernel in PRODUCTS:
        return np.asarray(gamma(REQUANTIZE_ROUNDINGS, roundoff) * size)
    nodes = computing(region)
    if not nodes:
        return np.asarray(gamma(QUANTIZE_ROUNDINGS + 1, roundoff) * size)
    if alone and kernel.startswith("QLinear"):
        scale, zero = scale_of(region, constants, quotient.shape)
        terms, magnitude = _magnitude(nodes[0], region, constants, tensors, size, scale)
        return np.asarray(gamma(ROUNDINGS + terms, roundoff) * (magnitude + np.abs(zero)))
    source = region.steps[-1].inputs[0] or ""
    _, bound = exact(Region(source, region.steps[:-1], region.inputs), constants, tensors, roundoff, specs)
    scale, _ = scale_of(region, constants, quotient.shape)
    return np.asarray(bound.sound / scale + gamma(QUANTIZE_ROUNDINGS, roundoff) * (size + bound.sound / scale))


def _magnitude(
    node: Step,
    region: Region,
    constants: Mapping[str, Array],
    tensors: Mapping[str, Array],
    size: Floats,
    scale: Array,
) -> tuple[int, Floats]:
    """How many terms a sum has, and the sum of the magnitudes that an implementation adds, over the scale."""
    name = node.operator.name
    if name == "Sigmoid":
        return 0, size * 4 * SIGMOID.relative + SIGMOID.absolute / scale
    if name == "Softmax":
        return int(size.shape[-1] if size.ndim else 1), size * SOFTMAX_ULPS
    if name not in _WINDOWS and name not in ("Add", "Sub"):
        return 0, size
    uncancelled = {
        step.outputs[0] or "": _raw(step, constants, tensors)
        for step in region.steps
        if step.operator.name == "DequantizeLinear"
    }
    operands = [uncancelled[n] for n in node.inputs if n in uncancelled]
    if name in ("Add", "Sub"):
        return 0, np.asarray(sum(operands) / scale)
    (mean,) = evaluate(node, operands)
    return int(np.prod(operands[0].shape[2:])), np.asarray(mean / scale)


def _raw(step: Step, constants: Mapping[str, Array], tensors: Mapping[str, Array]) -> Any:
    """``(|q| + |zero|) scale``: the magnitudes of an implementation that subtracts the zero point late."""
    q, scale, *rest = (constants[n] if n in constants else tensors[n] for n in step.inputs if n)
    zero = np.abs(spread_out(step.attributes, rest[0].astype(np.float64), q.shape, "zero point")) if rest else 0.0
    factor = spread_out(step.attributes, scale.astype(np.float64), q.shape, "scale")
    return (np.abs(q.astype(np.float64)) + zero) * factor
