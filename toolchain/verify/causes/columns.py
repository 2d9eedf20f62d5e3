"""What an output element of a linear operator is a sum over."""

from __future__ import annotations

import numpy as np

from toolchain.nodes import Step
from toolchain.ops.operator import Array
from toolchain.ops.windows import Windows


def columns(step: Step, x: Array, w: tuple[int, ...], elements: Array, *, fill: float = 0.0) -> Array | None:
    """The data under each of some output elements: [elements, depth], in the order of the weight's taps.

    Args:
        step: Conv, QLinearConv, Gemm, MatMul or QLinearMatMul.
        x: data.
        w: shape of the weight.
        elements: indices of output elements, [elements, rank].
        fill: of padding.

    Returns:
        ``None`` for another operator, or where the weight has a batch.
    """
    name = step.operator.name
    if name in ("Conv", "QLinearConv", "ConvInteger"):
        windows: Windows = step.attributes.windows
        g = windows.resolve(x.shape[2:], w[2:])
        view = g.view(np.ascontiguousarray(g.padded(x, fill)))
        each = w[0] // step.attributes.group
        start = elements[:, 1] // each * w[1]
        channels = start[:, None] + np.arange(w[1])[None]
        places = tuple(elements[:, 2 + axis, None] for axis in range(len(g.kernel)))
        return np.asarray(view[(elements[:, 0, None], channels, *places)]).reshape(len(elements), -1)
    if name == "Gemm" and len(w) == 2:
        return np.asarray((x.T if step.attributes.transpose_a else x)[elements[:, 0]])
    if name in ("MatMul", "QLinearMatMul", "MatMulInteger") and len(w) == 2 and x.ndim > 1:
        return np.asarray(x[tuple(elements[:, axis] for axis in range(x.ndim - 1))])
    return None
