"""As many graphs are judged as are asked for, whatever part of those drawn cannot be."""

from __future__ import annotations

import importlib

import pytest

pytest.importorskip("onnxruntime", reason="judging needs the extra `cpu`")
pytest.importorskip("torch", reason="judging needs the extra `train`")

alarms = importlib.import_module("tests.graphs.alarms")
overflows = alarms.overflows


def test_graphs_that_are_not_judged_are_drawn_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    def often(tensors: object) -> bool:
        drawn.append(tensors)
        return len(drawn) % 2 == 1 or bool(overflows(tensors))

    monkeypatch.setattr(alarms, "overflows", often)
    found = alarms.count(4, 3)
    assert found.graphs == 4
    assert found.overflowing >= 4
    assert found.regions >= 8, "every graph is judged twice"
    assert not found.defects


def test_too_few_that_can_be_judged_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarms, "overflows", lambda _: True)
    with pytest.raises(RuntimeError, match="of 14 graphs drawn only 0 were judged; asked for 2"):
        alarms.count(2, 3)
