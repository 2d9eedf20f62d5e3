"""Errors of many values together: what float32 may do, and what shorter arithmetic and wrong weights do."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from toolchain.verify.arithmetic import BFLOAT16, FLOAT16, FLOAT32, TF32, Arithmetic
from toolchain.verify.distribution import Distribution, examine, permitted
from toolchain.verify.suspicion import cause_of
from toolchain.verify.taps import Taps, merged

Single = NDArray[np.float32]
ROWS, CHANNELS = 64, 24


def factors(terms: int, rows: int = ROWS, seed: int = 0) -> tuple[Single, Single, Single]:
    """Data as behind a Relu, weights as He's, and biases."""
    rng = np.random.default_rng(seed)
    x = np.maximum(rng.standard_normal((rows, terms)), 0).astype(np.float32)
    w = (rng.standard_normal((CHANNELS, terms)) * np.sqrt(2 / terms)).astype(np.float32)
    return x, w, (rng.standard_normal(CHANNELS) * 0.1).astype(np.float32)


def in_order(x: Single, w: Single, b: Single) -> Single:
    """The worst plain loop: one term after the other, every product and every sum rounded."""
    total = np.zeros((len(x), len(w)), np.float32)
    for k in range(x.shape[1]):
        total = total + x[:, k, None] * w[None, :, k]
    return total + b


def in_parts(x: Single, w: Single, b: Single) -> Single:
    """Eight sums side by side, as vector units do."""
    lanes = [in_order(x[:, i::8], w[:, i::8], np.zeros_like(b)) for i in range(8)]
    return np.sum(lanes, axis=0, dtype=np.float32) + b


def sample(x: Single, w: Single, b: Single, y: Single) -> Taps:
    data, weights, bias = (a.astype(np.float64)[None] for a in (x, w, b))
    exact = data @ weights.swapaxes(1, 2) + bias[:, None]
    ones = np.ones_like(exact)
    return Taps(data, weights, bias, exact, y.astype(np.float64)[None], ones, 0 * ones)


def rounded(arithmetic: Arithmetic, a: Single, mode: str = "nearest") -> Single:
    return arithmetic.rounded(a.astype(np.float64), mode).astype(np.float32)  # type: ignore[arg-type]


@pytest.mark.parametrize("terms", [1, 2, 25, 576, 4608])
@pytest.mark.parametrize("summed", [in_order, in_parts])
def test_float32_is_not_suspected_in_any_plain_order(terms: int, summed: Callable[..., Single]) -> None:
    x, w, b = factors(terms)
    found = examine(sample(x, w, b, summed(x, w, b)))
    assert not found.suspicious, found
    assert found.describe() == ""
    assert 0 < found.rms < 1, "the permitted deviation bounds what is seen"
    assert found.systematic is not None
    assert found.systematic.score < 1


def test_the_permitted_variance_is_what_a_loop_shows_within_a_factor() -> None:
    """One term after the other has the variance of the derivation, with ``1 / x^2`` over a binade in place of 1."""
    x, w, b = factors(1000, rows=256)
    found = examine(sample(x, w, b, in_order(x, w, b)))
    assert 0.25 < found.rms < 0.75


def test_the_permitted_variance_of_one_product_is_a_third_of_u_squared_a_rounding() -> None:
    one = np.ones((1, 1, 1))
    taps = Taps(3 * one, 2 * one, 0 * one[0], 6 * one, 6 * one, one, 0 * one)
    u = FLOAT32.sums
    # The product, the sum of one term, and the result: 36 each, and another 36 for the walk between partial sums.
    assert permitted(taps)[0, 0, 0] == pytest.approx(u**2 / 3 * 4 * 36, rel=1e-12)
    assert permitted(taps, TF32)[0, 0, 0] > (2 * TF32.factors) ** 2 * 36


@pytest.mark.parametrize("terms", [4608, 25088])
@pytest.mark.parametrize("arithmetic", [TF32, FLOAT16, BFLOAT16], ids=lambda a: a.name)
@pytest.mark.parametrize("mode", ["nearest", "truncated"])
def test_shorter_factors_are_seen_and_named_where_the_probable_limit_is_blind(
    terms: int, arithmetic: Arithmetic, mode: str
) -> None:
    x, w, b = factors(terms, rows=8)
    y = in_parts(rounded(arithmetic, x, mode), rounded(arithmetic, w, mode), b)
    taps = sample(x, w, b, y)
    found = examine(taps)
    assert found.coarse
    assert found.looks_like is not None
    assert found.looks_like.where == "factors"
    named = {found.looks_like.arithmetic, *found.looks_like.alike}
    assert arithmetic.name in named
    assert named == {arithmetic.name} or named == {"TF32", "float16"}, "which the same numbers may not tell apart"
    assert found.looks_like.correlation > 0.99
    assert arithmetic.name in found.describe()
    assert cause_of(found).kind == "precision"
    assert not examine(taps, arithmetic).coarse, "what is declared is no suspicion"
    if terms == 25088 and arithmetic is not BFLOAT16:
        magnitude = np.abs(taps.data) @ np.abs(taps.weights).swapaxes(1, 2)
        probable = 4 * np.sqrt(terms + 1) * FLOAT32.sums * magnitude
        assert (np.abs(taps.received - taps.exact) < probable).mean() > 0.99


@pytest.mark.parametrize("part", ["inputs", "weights"])
def test_one_rounded_factor_is_told_from_two(part: str) -> None:
    x, w, b = factors(2048)
    y = in_parts(rounded(BFLOAT16, x) if part == "inputs" else x, rounded(BFLOAT16, w) if part == "weights" else w, b)
    found = examine(sample(x, w, b, y))
    assert found.looks_like is not None
    assert (found.looks_like.arithmetic, found.looks_like.where) == ("bfloat16", part)


def test_small_numbers_tell_float16_from_tf32() -> None:
    x, w, b = factors(2048)
    w = (w * 2.0**-12).astype(np.float32)
    for arithmetic in (TF32, FLOAT16):
        found = examine(sample(x, w, b, in_parts(rounded(arithmetic, x), rounded(arithmetic, w), b)))
        assert found.looks_like is not None
        assert (found.looks_like.arithmetic, found.looks_like.alike) == (arithmetic.name, ())


@pytest.mark.parametrize("arithmetic", [FLOAT16, BFLOAT16], ids=lambda a: a.name)
def test_rounded_results_are_told_from_rounded_factors(arithmetic: Arithmetic) -> None:
    x, w, b = factors(2048)
    found = examine(sample(x, w, b, rounded(arithmetic, in_parts(x, w, b))))
    assert found.looks_like is not None
    assert found.looks_like.where == "results"


def changed(array: Single, index: tuple[int, ...], factor: float) -> Single:
    copy = array.copy()
    copy[index] *= np.float32(factor)
    return copy


@pytest.mark.parametrize("terms", [25, 400, 4608])
def test_one_weight_off_by_a_ten_thousandth_is_found(terms: int) -> None:
    x, w, b = factors(terms, rows=128)
    tap = int(np.abs(w[5]).argmax())
    found = examine(sample(x, w, b, in_parts(x, changed(w, (5, tap), 1.0001), b)))
    assert found.suspicious
    assert found.systematic is not None
    assert (found.systematic.kind, found.systematic.channel, found.systematic.tap) == ("weight", 5, tap)
    assert found.systematic.relative == pytest.approx(1e-4, rel=0.1)
    assert f"weight {tap} of output channel 5" in found.describe()
    assert cause_of(found).kind == "weight"


def test_a_bias_and_a_scale_are_told_apart() -> None:
    x, w, b = factors(400, rows=256)
    bias = examine(sample(x, w, b, in_parts(x, w, changed(b, (3,), 1.0005)))).systematic
    assert bias is not None
    assert (bias.kind, bias.channel) == ("bias", 3)
    assert bias.score > 1
    assert bias.relative == pytest.approx(5e-4, rel=0.1)
    x = np.random.default_rng(5).standard_normal(x.shape).astype(np.float32)
    scale = examine(sample(x, w, b, in_parts(x, changed(w, (7,), 1.00001), b))).systematic
    assert scale is not None
    assert (scale.kind, scale.channel) == ("scale", 7)
    assert scale.relative == pytest.approx(1e-5, rel=0.1)


def test_equal_windows_count_once() -> None:
    """A thousand black windows err alike: that is one rounding and no bias."""
    x, w, b = factors(25, rows=40)
    x[1:] = np.where(np.arange(39)[:, None] < 30, x[0], x[1:])
    y = in_order(x, w, b)
    taps = merged([sample(x, w, b, y)])
    assert taps.positions == 10
    assert not examine(taps).suspicious
    many = sample(np.repeat(x[:1], 1000, axis=0), w, b, np.repeat(y[:1], 1000, axis=0))
    assert examine(many).elements == CHANNELS, "also where nobody merged them"
    assert not examine(many).suspicious


def test_outputs_that_hide_their_error_are_left_out() -> None:
    x, w, b = factors(50)
    taps = sample(x, w, b, in_order(x, w, b))
    hidden = Taps(taps.data, taps.weights, taps.bias, taps.exact, taps.received, taps.slope * np.nan, taps.behind)
    found = examine(hidden)
    assert found == Distribution(0, "float32", 0.0, coarse=False)
    assert not found.suspicious


def test_few_values_say_nothing_about_the_mean() -> None:
    x, w, b = factors(100, rows=1)
    taps = sample(x, w[:4], b[:4], in_order(x, w[:4], b[:4]))
    wrong = Taps(taps.data, taps.weights, taps.bias, taps.exact, taps.exact * 1.001, taps.slope, taps.behind)
    found = examine(wrong)
    assert found.elements == 4
    assert not found.coarse
    assert found.looks_like is None


def test_a_fault_behind_what_folding_may_do_is_not_suspected() -> None:
    """Folded weights round alike over all positions: systematic, and correct."""
    x, w, b = factors(200)
    scale = np.float32(1.7)
    folded = (w * scale).astype(np.float32)
    exact_scale = float(scale)
    taps = sample(x, w, b, in_parts(x, folded, (b * scale).astype(np.float32)))
    slope = np.full_like(taps.exact, exact_scale)
    behind = np.abs(taps.exact * exact_scale) * 2.0**-23
    made = Taps(taps.data, taps.weights, taps.bias, taps.exact * exact_scale, taps.received, slope, behind, folds=True)
    assert not examine(made).suspicious
    worse = sample(x, w, b, in_parts(x, changed(folded, (2, 9), 1.001), (b * scale).astype(np.float32)))
    made = Taps(taps.data, taps.weights, taps.bias, taps.exact * exact_scale, worse.received, slope, behind, folds=True)
    found = examine(made).systematic
    assert found is not None
    assert found.score > 1
    assert (found.channel, found.tap) == (2, 9)


@pytest.mark.parametrize("seed", range(3))
def test_channels_that_show_nothing_do_not_make_the_others_loud(seed: int) -> None:
    """Behind a Relu most outputs hide their error, and a tap meets few positions: many directions have no data."""
    rng = np.random.default_rng(seed)
    x = np.where(rng.random((75, 400)) < 0.04, rng.exponential(1.0, (75, 400)), 0.0).astype(np.float32)
    w = (rng.standard_normal((200, 400)) * 0.07).astype(np.float32)
    b = (rng.standard_normal(200) * 0.1).astype(np.float32)
    taps = sample(x, w, b, in_order(x, w, b))
    loud = taps.exact + np.sqrt(permitted(taps)) * rng.standard_normal(taps.exact.shape)
    slope = np.where(rng.random(taps.slope.shape) < 0.8, np.nan, taps.slope)
    found = examine(Taps(taps.data, taps.weights, taps.bias, taps.exact, loud, slope, taps.behind))
    assert not found.suspicious, found
    assert found.systematic is not None
    assert found.systematic.score > 0.4, "the strongest of 80,000 directions is not far from what chance explains"
