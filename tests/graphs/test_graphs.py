"""Random graphs: the interpreter against its own shape rules, ONNX Runtime and PyTorch."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.graphs import cases, small
from tests.graphs.sketch import Graph
from tests.graphs.strategy import graphs

pytest.importorskip("onnxruntime", reason="judging needs the extra `cpu`")
pytest.importorskip("torch", reason="judging needs the extra `train`")

from tests.graphs.judging import compare, interpret, judge, loaded, overflows

SHARES = 4
EACH = 125
"""500 graphs in every run."""
ALL = int(os.environ.get("ONNX_EDGE_GRAPHS", "100000"))
"""Graphs of a sweep, over all its chunks."""
CHUNK = 500
"""Graphs of a chunk, which are the same whatever the number of chunks."""
QUIET = {
    "deadline": None, "database": None, "suppress_health_check": list(HealthCheck), "print_blob": False,
    "phases": (Phase.generate, Phase.shrink),
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
@pytest.mark.parametrize("chunk", range(-(-ALL // CHUNK)))
def test_many_random_graphs(chunk: int) -> None:
    run(min(CHUNK, ALL - chunk * CHUNK), 1000 + chunk)


def test_a_failure_prints_what_can_be_kept() -> None:
    drawn: list[Graph] = []

    @seed(2)
    @settings(max_examples=100, **QUIET)  # type: ignore[arg-type]
    @given(graphs())
    def fail_at_last(graph: Graph) -> None:
        drawn.append(graph)
        assert len(drawn) < 100

    with pytest.raises(AssertionError) as caught:
        fail_at_last()
    assert repr(drawn[-1]) in "\n".join(caught.value.__notes__)
    for graph in drawn:
        again = eval(repr(graph), {"kept": small.kept, "tensor": small.tensor})  # noqa: S307 - it is our own text
        assert again.proto.SerializeToString() == graph.proto.SerializeToString()
        assert {n: a.tobytes() for n, a in again.feeds.items()} == {n: a.tobytes() for n, a in graph.feeds.items()}


@pytest.mark.parametrize("name", cases.CASES)
def test_shrunk_failures_of_the_past(name: str) -> None:
    check(cases.CASES[name]())
