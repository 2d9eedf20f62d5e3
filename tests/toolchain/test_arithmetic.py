"""Arithmetics: how each rounds, which one a backend's options say, and which one it shows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.load import read
from toolchain.ops.operator import widen
from toolchain.reference import Reference
from toolchain.session import SessionOptions
from toolchain.verify import probe as probing
from toolchain.verify.arithmetic import ARITHMETICS, BFLOAT16, FLOAT16, FLOAT32, TF32, Arithmetic, Mode
from toolchain.verify.probe import declared, probe, probed

FLOATS = st.floats(width=32, allow_nan=False)


@given(st.lists(FLOATS, min_size=1, max_size=40))
def test_rounding_is_that_of_the_types(values: list[float]) -> None:
    x = np.array(values, dtype=np.float32)
    wide = x.astype(np.float64)
    with np.errstate(over="ignore"):
        assert np.array_equal(FLOAT16.rounded(wide), x.astype(np.float16).astype(np.float64))
    assert np.array_equal(FLOAT32.rounded(wide), wide)
    bfloat = x.astype(ml_dtypes.bfloat16).astype(np.float64)
    kept = np.isfinite(bfloat)  # the largest float32 numbers round to infinity in bfloat16
    assert np.array_equal(BFLOAT16.rounded(wide)[kept], bfloat[kept])
    bits = x.view(np.uint32) & np.uint32(0xFFFFE000)
    assert np.array_equal(TF32.rounded(wide, "truncated"), bits.view(np.float32).astype(np.float64))


@pytest.mark.parametrize("arithmetic", ARITHMETICS, ids=lambda a: a.name)
def test_the_unit_roundoff_bounds_every_rounding_and_is_reached_at_a_tie(arithmetic: Arithmetic) -> None:
    rng = np.random.default_rng(0)
    x = (1 + rng.random(4000)) * 2.0 ** rng.integers(-10, 10, 4000)
    u = 2.0**-arithmetic.bits
    assert np.all(np.abs(arithmetic.rounded(x) - x) <= u * np.abs(x))
    assert np.all(np.abs(arithmetic.rounded(x, "truncated") - x) <= 2 * u * np.abs(x))
    tie = 1 + u
    assert arithmetic.rounded(np.array([tie]))[0] == 1.0
    assert arithmetic.rounded(np.array([tie * (1 + 2.0**-40)]))[0] == 1 + 2 * u
    assert arithmetic.factors == (0.0 if arithmetic is FLOAT32 else u)


def test_special_numbers_stay() -> None:
    x = np.array([0.0, -0.0, math.inf, -math.inf, math.nan, 65519.0, 65520.0, -1e30])
    y = FLOAT16.rounded(x)
    assert np.array_equal(y, [0, 0, math.inf, -math.inf, math.nan, 65504, math.inf, -math.inf], equal_nan=True)
    assert np.signbit(y[1])


@pytest.mark.parametrize(
    ("provider", "given_options", "expected"),
    [
        ("cpu", {}, FLOAT32),
        ("xnnpack", {}, FLOAT32),
        ("cuda", {}, TF32),
        ("cuda", {"use_tf32": "0"}, FLOAT32),
        ("cuda", {"use_tf32": "1"}, TF32),
        ("tensorrt", {}, TF32),
        ("tensorrt", {"trt_fp16_enable": "1"}, FLOAT16),
        ("tensorrt", {"trt_fp16_enable": "True", "trt_bf16_enable": "True"}, BFLOAT16),
        ("tensorrt", {"trt_fp16_enable": "0", "use_tf32": "0"}, FLOAT32),
        ("qnn", {}, FLOAT16),
        ("qnn", {"enable_htp_fp16_precision": "0"}, FLOAT32),
        ("openvino", {}, None),
        ("openvino", {"precision": "ACCURACY"}, FLOAT32),
        ("openvino", {"precision": "FP16"}, FLOAT16),
        ("coreml", {}, None),
        ("directml", {}, FLOAT32),
    ],
)
def test_options_say_the_arithmetic(provider: str, given_options: dict[str, str], expected: Arithmetic | None) -> None:
    assert declared(SessionOptions(provider=provider, provider_options=tuple(given_options.items()))) == expected


@pytest.mark.parametrize(("machine", "expected"), [("aarch64", BFLOAT16), ("arm64", BFLOAT16), ("x86_64", FLOAT32)])
def test_fast_bfloat16_products_are_declared_on_arm_only(
    monkeypatch: pytest.MonkeyPatch, machine: str, expected: Arithmetic
) -> None:
    monkeypatch.setattr(probing.platform, "machine", lambda: machine)
    entry = ("mlas.enable_gemm_fastmath_arm64_bfloat16", "1")
    assert declared(SessionOptions(session_options=(entry,))) == expected
    assert declared(SessionOptions()) == FLOAT32


def planted(arithmetic: Arithmetic, mode: Mode = "nearest", *, stored: bool = False, weights: bool = True) -> Any:
    """A backend that rounds factors: the interpreter on rounded inputs and constants."""

    def opens(content: bytes) -> Any:
        reference = Reference(read(content, "probe"))
        for name, array in reference.constants.items():
            if array.dtype == np.float64 and weights:
                reference.constants[name] = arithmetic.rounded(array, mode)

        def run(feeds: Mapping[str, Any]) -> dict[str, Any]:
            short = {name: arithmetic.rounded(widen(a), mode).astype(np.float32) for name, a in feeds.items()}
            with np.errstate(all="ignore"):
                outputs = reference.run(short)
                outputs = {n: np.nan_to_num(y, nan=0.0, posinf=np.inf, neginf=-np.inf) for n, y in outputs.items()}
                return {n: arithmetic.rounded(y).astype(np.float32) if stored else y.astype(np.float32)
                        for n, y in outputs.items()}  # fmt: skip

        return run

    return opens


@pytest.mark.parametrize("mode", ["nearest", "truncated"])
@pytest.mark.parametrize("arithmetic", [FLOAT32, TF32, BFLOAT16], ids=lambda a: a.name)
def test_the_small_model_tells_arithmetics_apart(arithmetic: Arithmetic, mode: Mode) -> None:
    found = probed(None, planted(arithmetic, mode))
    assert found.found == arithmetic.name
    assert found.arithmetic == arithmetic.name
    assert found.agrees
    assert (found.worst < 1e-6) == (arithmetic is FLOAT32)


@pytest.mark.parametrize("arithmetic", [TF32, BFLOAT16], ids=lambda a: a.name)
def test_results_that_are_stored_short_are_the_same_arithmetic(arithmetic: Arithmetic) -> None:
    assert probed(None, planted(arithmetic, stored=True)).found == arithmetic.name


def test_what_options_say_and_what_is_shown_must_agree() -> None:
    hidden = probed(FLOAT32, planted(TF32))
    assert (hidden.declared, hidden.found, hidden.arithmetic) == ("float32", "TF32", "float32")
    assert not hidden.agrees
    assert hidden.describe() == "its options say float32; a small model shows TF32"
    better = probed(TF32, planted(FLOAT32))
    assert better.agrees, "finer than allowed"
    assert better.arithmetic == "TF32", "what is allowed is what another shape may use"
    assert probed(FLOAT32, planted(FLOAT32)).describe() == ""


def test_an_arithmetic_that_is_not_known_is_said_to_be_none() -> None:
    odd = Arithmetic("odd", 5, 2.0**-100, 1e30)
    found = probed(FLOAT32, planted(odd))
    assert found.found == ""
    assert not found.agrees
    assert "none that is known" in found.describe()
    assert found.arithmetic == "float32"
    assert probed(FLOAT32, planted(BFLOAT16, weights=False)).found == "", "one factor of two is another arithmetic"


def test_this_machine_computes_float32() -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra `cpu`")
    found = probe(SessionOptions())
    assert (found.declared, found.found) == ("float32", "float32")
    assert found.worst < 2.0**-23
