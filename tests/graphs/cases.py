"""Graphs on which something was wrong once, shrunk; each must be judged right from then on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.graphs.exclusions import F32, chain, one, ramp
from tests.graphs.sketch import Graph

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
}
