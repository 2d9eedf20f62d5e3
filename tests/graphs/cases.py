"""Graphs on which something was wrong once, shrunk; each must be judged right from then on.

A failure prints its graph as ``kept(...)``, which can stand here as it is, behind a name and ``lambda:``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.graphs.sketch import Graph
from tests.graphs.small import F32, after_adding, chain, one, ramp

CASES: dict[str, Callable[[], Graph]] = {
    "MaxPool wider apart than its kernel": lambda: one("MaxPool", ramp(1, 2, 7), kernel_shape=[1], strides=[3]),
    "Clip before MaxPool": lambda: chain(
        -ramp(1, 2, 4), ("Clip", (F32(-0.25), F32(-0.25)), {}), ("MaxPool", (), {"kernel_shape": [1], "strides": [3]})
    ),
    "ConvTranspose under SAME of one element": lambda: one(
        "ConvTranspose", ramp(1, 1, 1), ramp(1, 1, 3), strides=[3], auto_pad="SAME_UPPER"
    ),
    "Softsign of -3 after Log": lambda: chain(ramp(2, 3), ("Log", (), {}), ("Softsign", (), {})),
    "Resize of one row": lambda: one(
        "Resize", ramp(1, 1, 1, 4), None, None, np.array([1, 1, 1, 8]), mode="cubic", exclude_outside=1
    ),
    "Pow of minus infinity and minus zero by one half": lambda: after_adding(
        [-np.inf, -0.0, np.inf, np.nan, -1, 4], "Pow", F32(0.5)
    ),
    "Gemm between integers where C is not optional": lambda: chain(
        ramp(1, 2),
        ("QuantizeLinear", (F32(0.25), np.uint8(3)), {}),
        ("DequantizeLinear", (F32(0.25), np.uint8(3)), {}),
        ("Gemm", (ramp(2, 3), ramp(3)), {}),
        opset=10,
    ),
    "ReduceProd that underflows on the way": lambda: one(
        "ReduceProd", F32([[3e-23, 3e-23, 400, 1.7]]), opset=13, axes=[1]
    ),
}
