"""The vector forms of tanh, sigmoid and the like over a sweep of all float32 bit patterns, within their budgets."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest

from benchmarks.ulps import ROUNDOFF, sweep
from tests.compile.test_float_wide import BUILDS
from toolchain.compile.build import WARNINGS, run
from toolchain.compile.generate import RUNTIME
from toolchain.nodes import version_in_force
from toolchain.ops import registry
from toolchain.ops.operator import NodeFacts

SOURCE = """
#include "activationwide_f32.h"
void apply(int32_t kind, float alpha, float beta, float *values, int64_t count);
void apply(int32_t kind, float alpha, float beta, float *values, int64_t count)
{
    const activation_f32 activation = {.kind = (activation_kind)kind, .alpha = alpha, .beta = beta};
    activationwide_f32(&activation, values, (ptrdiff_t)count);
}
"""
WIDEST = 16
KINDS = {
    "LeakyRelu": (2, {"alpha": 0.3}),
    "Tanh": (3, {}),
    "Sigmoid": (4, {}),
    "Elu": (5, {"alpha": 0.7}),
    "HardSigmoid": (6, {"alpha": 0.2, "beta": 0.5}),
}
"""By operator: its place in ``activation_kind``."""


@pytest.fixture(scope="module", params=BUILDS)
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder: Path = tmp_path_factory.mktemp("functions")
    (folder / "apply.c").write_text(SOURCE, encoding="utf-8")
    made = folder / "libapply.so"
    flags = (*WARNINGS, *BUILDS[request.param], f"-I{RUNTIME}", "-shared", "-fPIC")
    run(["gcc", *flags, "apply.c", "-o", made, "-lm"], folder)
    loaded = ctypes.CDLL(str(made))
    loaded.apply.argtypes = [ctypes.c_int32, ctypes.c_float, ctypes.c_float, ctypes.c_void_p, ctypes.c_int64]
    return loaded


def _applied(library: ctypes.CDLL, op_type: str, x: np.ndarray) -> np.ndarray:
    kind, attributes = KINDS[op_type]
    y = np.pad(x, (0, -x.size % WIDEST)).astype(np.float32)
    library.apply(kind, attributes.get("alpha", 0.0), attributes.get("beta", 0.0), y.ctypes.data, y.size)
    return y[: x.size]


@pytest.mark.parametrize("op_type", KINDS)
def test_within_the_budget_of_every_backend(op_type: str, library: ctypes.CDLL) -> None:
    operator = registry()["", op_type]
    version = version_in_force("", op_type, 22)
    attributes = {name: float(np.float32(value)) for name, value in KINDS[op_type][1].items()}
    node = operator.parse(NodeFacts("case", op_type, "", version, attributes, (True,), 1))
    x = sweep(40_009)
    wide = x.astype(np.float64)
    (exact,) = operator.evaluate(node, [wide])
    (limit,) = operator.bound(node, [wide], [exact], ROUNDOFF)
    got = _applied(library, op_type, x).astype(np.float64)
    with np.errstate(invalid="ignore"):
        right = (got == exact) | (np.abs(got - exact) <= limit.sound)
    assert right.all(), x[~right][:5]


def test_tanh_stays_within_one_and_a_nan_stays_one(library: ctypes.CDLL) -> None:
    x = np.linspace(-10, 10, 160_001, dtype=np.float32)
    assert np.abs(_applied(library, "Tanh", x)).max() == 1.0
    for op_type in KINDS:
        assert np.isnan(_applied(library, op_type, np.array([1.0, np.nan, -1.0], dtype=np.float32))).tolist() == [
            False,
            True,
            False,
        ]
