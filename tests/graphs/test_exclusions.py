"""Every exclusion still stands: on its example the runtime, or ``verify``, still parts from the interpreter."""

from __future__ import annotations

import numpy as np
import pytest

from tests.graphs import exclusions
from tests.graphs.sketch import Candidate, Sketch
from tests.graphs.small import F32, chain, one
from toolchain.errors import ToolchainError

pytest.importorskip("onnxruntime", reason="judging needs the extra `cpu`")
pytest.importorskip("torch", reason="judging needs the extra `train`")

from tests.graphs.judging import interpret, judge, loaded
from toolchain.verify import verify

BY_NAME = {entry.name: entry for entry in exclusions.EXCLUSIONS}


@pytest.mark.parametrize("name", BY_NAME)
def test_an_exclusion_still_disagrees(name: str) -> None:
    graph = BY_NAME[name].example()
    model = loaded(graph)
    interpret(model, graph)
    with pytest.raises((AssertionError, ToolchainError)):
        judge(model, graph)


@pytest.mark.parametrize("name", BY_NAME)
def test_an_exclusion_bars_its_own_example(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    met: list[bool] = []
    add = Sketch.add

    def spying(sketch: Sketch, *arguments: object, **attributes: object) -> str | None:
        def applies(candidate: Candidate) -> bool:
            met.append(BY_NAME[name].applies(candidate))
            return False

        sketch.barred = applies
        return add(sketch, *arguments, **attributes)  # type: ignore[arg-type]

    monkeypatch.setattr(Sketch, "add", spying)
    BY_NAME[name].example()
    assert any(met)


def test_names_are_unique_and_reasons_are_given() -> None:
    assert len(BY_NAME) == len(exclusions.EXCLUSIONS)
    assert all(len(entry.reason) > 40 for entry in exclusions.EXCLUSIONS)
    assert not exclusions.barred(Candidate("Relu", 14, {}, ()))


def test_a_wrong_graph_is_not_judged_right() -> None:
    """What the random graphs rest on can fail: a model against another one."""
    graph, other = one("Relu", F32([[-1, 2]])), one("Abs", F32([[-1, 2]]))
    found = verify(loaded(graph), loaded(other), synthetic=1, end_to_end=False)
    assert not found.ok
    assert chain(np.zeros(2, F32), ("Relu", (), {})).operators == ("Relu",)
