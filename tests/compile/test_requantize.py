"""The proof of requantization, held against brute force."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.compile.requantize import INT32_HIGH, INT32_LOW, Kind, Requantizer, Target, exact, prove, requantizer

SCALES = st.builds(
    lambda mantissa, exponent: Fraction(mantissa) * Fraction(2) ** exponent,
    st.integers(2**23, 2**24 - 1),
    st.integers(-34, -22),
)


@settings(max_examples=150, deadline=None)
@given(
    sx=SCALES,
    sw=SCALES,
    sy=SCALES,
    start=st.integers(-3000, 0),
    length=st.integers(0, 4000),
    zero=st.sampled_from((-128, -1, 0, 1, 127)),
    low=st.sampled_from((-128, -1, 0)),
)
def test_every_accumulator_is_rounded_exactly(
    sx: Fraction, sw: Fraction, sy: Fraction, start: int, length: int, zero: int, low: int
) -> None:
    target = Target(sx * sw / sy, start, start + length)
    made = requantizer([target], zero, low, 127)
    for accumulator in range(target.least, target.most + 1):
        assert made.value(accumulator, 0) == exact(accumulator, target, zero, low, 127)


@pytest.mark.parametrize(
    "ratio", [Fraction(1, 4), Fraction(1, 2), Fraction(3, 8), Fraction(1, 9), Fraction(5, 18), Fraction(7)]
)
@pytest.mark.parametrize("zero", [-128, -1, 0, 1])
def test_ties_go_to_the_even_neighbour(ratio: Fraction, zero: int) -> None:
    target = Target(ratio, -1100, 1100)
    made = requantizer([target], zero, -128, 127)
    for accumulator in range(target.least, target.most + 1):
        assert made.value(accumulator, 0) == exact(accumulator, target, zero, -128, 127)


def test_the_cheapest_form_is_chosen() -> None:
    wide = Target(Fraction(1, 1001), -100000, 100000)
    assert requantizer([Target(Fraction(1, 777), -50000, 50001)], 0, -128, 127).kind is Kind.HIGH
    assert requantizer([Target(Fraction(1, 4), -512, 508)], -1, -128, 127).kind is Kind.EVEN
    assert requantizer([Target(Fraction(3, 5), -90, 90)], 0, -128, 127).kind is Kind.WIDE
    assert requantizer([Target(Fraction(1, 18), -1000, 1000)], 0, -128, 127).kind is Kind.THRESHOLDS
    far = Target(Fraction(1, 2**40 + 1), -(2**30), 2**30)
    assert requantizer([wide, far], 0, -128, 127).kind in (Kind.HIGH, Kind.CHANNELS)


def test_channels_have_their_own_numbers() -> None:
    targets = [Target(Fraction(1, n), -40 * n, 200 * n + 1) for n in (7, 101, 100003)]
    made = requantizer(targets, 3, -128, 127)
    for channel, target in enumerate(targets):
        for accumulator in range(target.least, target.most + 1, max(1, (target.most - target.least) // 5000)):
            assert made.value(accumulator, channel) == exact(accumulator, target, 3, -128, 127)


def test_the_ends_of_int32() -> None:
    for ratio in (Fraction(1, 2**24 + 1), Fraction(1, 2**31 - 1), Fraction(127, 2**31)):
        target = Target(ratio, INT32_LOW, INT32_HIGH)
        made = requantizer([target], 0, -128, 127)
        for accumulator in (INT32_LOW, INT32_LOW + 1, -1, 0, 1, INT32_HIGH - 1, INT32_HIGH):
            assert made.value(accumulator, 0) == exact(accumulator, target, 0, -128, 127)


def test_a_wrong_multiplier_does_not_pass_the_proof() -> None:
    target = Target(Fraction(1, 777), -50000, 50001)
    made = requantizer([target], 0, -128, 127)
    off = Requantizer(made.kind, made.shift, 0, -128, 127, (made.multipliers[0] + 2**12,))
    with pytest.raises(ArithmeticError, match="another value"):
        prove(off, [target])
    assert prove(made, [target]) > 100
