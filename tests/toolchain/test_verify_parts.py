"""The pieces of ``verify``: bounds, spreads, regions, tallies, layouts."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.ops import registry
from toolchain.ops.bounds import FLOAT32_ROUNDOFF, Bound, accumulated, gamma, ulps
from toolchain.ops.operator import NodeFacts
from toolchain.verify.observe import block_size
from toolchain.verify.regions import Region, cut, uncovered
from toolchain.verify.survivors import unblock
from toolchain.verify.tally import Tally, distance, ratio

U = FLOAT32_ROUNDOFF


def facts(op_type: str, version: int, **attributes: object) -> NodeFacts:
    return NodeFacts("n", op_type, "", version, attributes, (True, True, True), 1)


def test_gamma_is_highams_and_infinite_where_it_means_nothing() -> None:
    assert gamma(1, U) == U / (1 - U)
    assert gamma(1000, U) == pytest.approx(1000 * U / (1 - 1000 * U), rel=1e-15)
    assert gamma(2**24, U) == math.inf
    assert gamma(2**25, U) == math.inf


@given(st.integers(1, 400), st.integers(0, 2**32 - 1))
def test_no_order_of_float32_summation_leaves_the_sound_bound(terms: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal(terms) * 10.0 ** rng.integers(-6, 6, terms)).astype(np.float32)
    w = rng.standard_normal(terms).astype(np.float32)
    exact = math.fsum(float(a) * float(b) for a, b in zip(x, w, strict=True))
    magnitude = math.fsum(abs(float(a) * float(b)) for a, b in zip(x, w, strict=True))
    bound = accumulated(magnitude, terms, U)
    products = x * w
    orders = [products, products[::-1], np.sort(products), rng.permutation(products)]
    sums = [float(np.add.accumulate(order, dtype=np.float32)[-1]) for order in orders]
    assert all(abs(s - exact) <= bound.sound for s in sums)


def test_an_ulp_budget_of_half_admits_the_nearest_value_and_not_the_next_but_one() -> None:
    exact = np.array([1.0 + 2.0**-25, 0.75, -3.1])
    nearest = exact.astype(np.float32)
    limit = ulps(exact, 0.5, U).sound
    assert np.all(np.abs(nearest - exact) <= limit)
    beyond = np.nextafter(np.nextafter(nearest, np.float32(9)), np.float32(9))
    assert np.all(np.abs(beyond.astype(np.float64) - exact) > limit)


@pytest.mark.parametrize("op", ["Relu", "Tanh", "Sigmoid", "Exp", "Abs"])
def test_spread_covers_every_point_of_the_error_box(op: str) -> None:
    operator = registry()[("", op)]
    x = np.linspace(-3, 3, 61)
    error = np.full_like(x, 0.2)
    assert operator.spread is not None
    node = operator.parse(facts(op, max(operator.versions)))
    (limit,) = operator.spread(operator, node, [x], [error], U)
    exact = operator.evaluate(node, [x])[0]
    for step in np.linspace(-0.2, 0.2, 21):
        assert np.all(np.abs(operator.evaluate(node, [x + step])[0] - exact) <= limit * (1 + 1e-12) + 1e-15)


def test_spread_of_a_convolution_is_the_absolute_weights_times_the_error() -> None:
    operator = registry()[("", "Conv")]
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((1, 2, 6, 6)), rng.standard_normal((3, 2, 3, 3))
    e = np.abs(rng.standard_normal(x.shape))
    node = operator.parse(facts("Conv", 22))
    assert operator.spread is not None
    (limit,) = operator.spread(operator, node, [x, w, None], [e, None, None], U)
    worst = operator.evaluate(node, [e, np.abs(w), None])[0]
    assert np.all(limit >= worst)
    assert np.all(limit <= worst * 1.001)
    # The limit is reached: the error that has the sign of the weights at one output.
    signs = np.zeros_like(x)
    signs[0, :, :3, :3] = np.sign(w[1])
    shifted = operator.evaluate(node, [x + signs * e, w, None])[0] - operator.evaluate(node, [x, w, None])[0]
    assert shifted[0, 1, 0, 0] == pytest.approx(worst[0, 1, 0, 0])


def step(name: str, inputs: list[str | None], outputs: list[str | None]) -> SimpleNamespace:
    return SimpleNamespace(
        name=name, inputs=tuple(inputs), outputs=tuple(outputs), operator=SimpleNamespace(name="Relu")
    )


def test_regions_end_at_observed_tensors_and_share_hidden_nodes() -> None:
    graph = [
        step("a", ["x", "w"], ["ta"]),
        step("b", ["ta"], ["tb"]),
        step("c", ["tb", None], ["tc"]),
        step("d", ["tb", "tc"], ["td"]),
        step("e", ["td"], ["te"]),
        step("dead", ["x"], ["unused"]),
    ]
    regions = cut(graph, {"w"}, {"x", "tc", "td"})  # type: ignore[arg-type]
    assert [(r.tensor, tuple(s.name for s in r.steps), r.inputs) for r in regions] == [
        ("tc", ("a", "b", "c"), ("x",)),
        ("td", ("a", "b", "d"), ("tc", "x")),
    ]
    # What no output depends on means nothing; what an output depends on must be judged.
    assert uncovered(graph, regions, ("td",)) == ()  # type: ignore[arg-type]
    assert uncovered(graph, regions, ("te",)) == ("e",)  # type: ignore[arg-type]


def test_distance_and_ratio_of_special_values() -> None:
    a = np.array([1.0, np.inf, np.inf, np.nan, np.nan, -np.inf, 0.0], np.float32)
    b = np.array([1.5, np.inf, -np.inf, np.nan, 1.0, 3.0, -0.0])
    error = distance(a, b)
    assert error.tolist() == [0.5, 0.0, math.inf, 0.0, math.inf, math.inf, 0.0]
    assert ratio(np.array([0.0, 1.0, 1.0, 0.0]), np.array([0.0, 0.0, np.inf, np.nan])).tolist() == [
        0.0,
        math.inf,
        0.0,
        0.0,
    ]
    assert ratio(np.array([math.inf]), np.array([np.inf])).tolist() == [math.inf]


def test_tally_keeps_the_worst_element_and_where_it_is() -> None:
    tally = Tally(Region("t", (), ()))
    limit = Bound(np.full(3, 1e-3), np.full(3, 1e-4))
    tally.add(0, np.array([1.0, 2.0, 3.0], np.float32), np.array([1.0, 2.0, 3.0]), limit)
    tally.add(7, np.array([1.0, 2.5, 3.0], np.float32), np.array([1.0, 2.0, 3.0]), limit)
    verdict = tally.verdict()
    assert verdict.status == "defect"
    assert verdict.worst is not None
    assert (verdict.worst.sample, verdict.worst.index) == (7, (1,))
    assert verdict.worst.expected == 2.0
    assert verdict.worst.received == 2.5
    assert verdict.sound_ratio == 500.0
    assert (verdict.elements, verdict.differing) == (6, 1)


def test_a_value_between_the_limits_is_suspect() -> None:
    tally = Tally(Region("t", (), ()))
    tally.add(0, np.array([1.0005], np.float32), np.array([1.0]), Bound(np.array(1e-3), np.array(1e-4)))
    assert tally.verdict().status == "suspect"


def test_a_wrong_shape_is_a_defect_that_says_so() -> None:
    tally = Tally(Region("t", (), ()))
    tally.add(0, np.zeros((2, 3), np.float32), np.zeros((3, 2)), Bound(np.zeros(()), np.zeros(())))
    verdict = tally.verdict()
    assert verdict.status == "defect"
    assert "[2, 3]" in verdict.problem
    assert "[3, 2]" in verdict.problem


def test_unblocking_is_the_inverse_of_the_blocked_layout() -> None:
    x = np.arange(2 * 16 * 3 * 5, dtype=np.float32).reshape(2, 16, 3, 5)
    stored = np.ascontiguousarray(x.reshape(2, 2, 8, 3, 5).transpose(0, 1, 3, 4, 2)).reshape(x.shape)
    assert np.array_equal(unblock(stored, 8), x)


def test_the_runtime_names_a_block_size_that_exists() -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra `cpu`")
    assert block_size() in (4, 8, 16)
