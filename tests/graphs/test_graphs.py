"""Random graphs: the interpreter against its own shape rules, ONNX Runtime and PyTorch."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, seed, settings

from tests.graphs import cases
from tests.graphs.sketch import Graph
from tests.graphs.strategy import graphs

pytest.importorskip("onnxruntime", reason="judging needs the extra `cpu`")
pytest.importorskip("torch", reason="judging needs the extra `train`")

from tests.graphs.judging import compare, interpret, judge, loaded, overflows

SHARES = 4
EACH = 125
"""500 graphs in every run."""
CHUNKS = 50
ALL = int(os.environ.get("ONNX_EDGE_GRAPHS", "10000"))
"""Graphs of a sweep, over all its chunks. What it finds is shrunk, understood, and kept in cases or exclusions."""
QUIET = {
    "deadline": None, "database": None, "suppress_health_check": list(HealthCheck), "print_blob": False,
}  # fmt: skip


def check(graph: Graph) -> None:
    """Everything that is asked of one graph."""
    model = loaded(graph)
    tensors = interpret(model, graph)
    if overflows(tensors):
        return
    judge(model, graph)
    compare(model, tensors, graph)


def run(examples: int, number: int) -> None:
    """Draw and check; a failure is shrunk."""

    @seed(number)
    @settings(max_examples=examples, **QUIET)  # type: ignore[arg-type]
    @given(graphs())
    def drawn(graph: Graph) -> None:
        check(graph)

    drawn()


@pytest.mark.parametrize("share", range(SHARES))
def test_random_graphs(share: int) -> None:
    run(EACH, share)


@pytest.mark.sweep
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_many_random_graphs(chunk: int) -> None:
    run(max(1, ALL // CHUNKS), 1000 + chunk)


@pytest.mark.parametrize("name", cases.CASES)
def test_shrunk_failures_of_the_past(name: str) -> None:
    check(cases.CASES[name]())
