"""When two ways of computing the same outputs agree, and where they part."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from toolchain.agree import Layer, OutputAgreement, OutputTally, parted

GRAPH = ir.from_onnx_text(
    """<ir_version: 10, opset_import: ["" : 20]>
    two (float[N, 3] a, float[N, 3] b) => (float[N, 3] y) { [sub] d = Sub(a, b) [relu] y = Relu(d) }"""
)


def output(**facts: object) -> OutputAgreement:
    usual = {"difference": 0.0, "float32_error": 0.0, "magnitude": 0.0, "sample": 0, "index": (0,)}
    return OutputAgreement("y", "n", 1, **{**usual, "expected": 0.0, "received": 0.0, **facts})  # type: ignore[arg-type]


def test_the_limit_at_its_edges() -> None:
    assert output(difference=4.0, float32_error=1.0).ok
    assert not output(difference=np.nextafter(4.0, 5.0), float32_error=1.0).ok
    assert output(difference=2.0**-24, magnitude=1.0).ok
    assert not output(difference=2.0**-23, magnitude=1.0).ok
    assert output().ok
    assert not output(difference=1e-300).ok
    assert not output(float32_error=np.inf).ok, "an overflow limits nothing"
    assert not output(problem="shape").ok


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_on_one_side_only_differs(bad: float) -> None:
    value = ir.Value(name="y")
    for expected, received in ((bad, 1.0), (1.0, bad)):
        tally = OutputTally(value)
        tally.add(0, 1, np.array([0.0, expected]), np.array([0.0, received]), 1e-6)
        assert tally.verdict().difference == np.inf
        assert not tally.verdict().ok
    tally = OutputTally(value)
    tally.add(0, 1, np.array([0.0, bad]), np.array([0.0, bad]), 1e-6)
    assert tally.verdict().ok


def test_the_worst_of_all_batches_is_kept() -> None:
    tally = OutputTally(ir.Value(name="y"))
    for start, difference in ((0, 0.0), (2, 0.5), (4, -0.75), (6, 0.25)):
        tally.add(start, 2, np.zeros((2, 3)), np.array([[0, 0, 0], [0, difference, 0]]), 1e-7)
    found = tally.verdict()
    assert (found.samples, found.sample, found.index) == (8, 4, (1, 1))
    assert (found.expected, found.received, found.difference) == (0.0, -0.75, 0.75)


def test_integers_have_no_float_to_be_rounded_to() -> None:
    tally = OutputTally(ir.Value(name="y"))
    tally.add(0, 1, np.array([-128, -1, 0, 1, 127]), np.array([-128, -1, 0, 1, 126]), 0.0)
    assert tally.verdict().limit == 0.0
    assert not tally.verdict().ok


def test_where_two_computations_part() -> None:
    graph = GRAPH
    d, y = np.array([[-1.0, 0.5, 2.0]]), np.array([[0.0, 0.5, 2.0]])
    layers = [Layer("first", d, d), Layer("second", y, y)]
    assert parted(layers, graph, {"d": d, "y": y}) is None
    assert parted([], graph, {"d": d}) is None
    behind = parted(layers, graph, {"d": d.ravel(), "y": y + 1.0})
    assert behind is not None
    assert (behind.after, behind.layer, behind.node) == ("first", "second", "relu")
    start = parted(layers, graph, {"d": d + 1.0, "y": y + 1.0})
    assert start is not None
    assert (start.after, start.layer, start.node) == ("", "first", "sub")
