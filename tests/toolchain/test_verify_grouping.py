"""Runs of a model with a fixed batch are judged together where that changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from tests.conftest import Exported
from tests.toolchain.planting import Sketch
from tests.toolchain.test_verify import change_weight, changed
from toolchain.ops.bounds import FLOAT32_ROUNDOFF
from toolchain.reference import Reference
from toolchain.shapes import infer
from toolchain.verify import comparison, verify
from toolchain.verify.grouping import stackable, stacked
from toolchain.verify.judge import exact
from toolchain.verify.regions import cut

PICTURE = np.zeros((2, 3, 4, 4), np.float32)
ROWS = np.zeros((2, 3), np.float32)
KERNEL = np.ones((3, 3, 1, 1), np.float32)
SQUARE = np.ones((3, 3), np.float32)


def node(operator: str, *inputs: str, **attributes: Any) -> tuple[str, tuple[str, ...], str, dict[str, Any]]:
    return operator, inputs, "y", attributes


@pytest.mark.parametrize(
    ("sketch", "expected"),
    [
        (Sketch((node("Conv", "x", "w"),), {"x": PICTURE}, {"w": KERNEL}), True),
        (Sketch((node("MaxPool", "x", kernel_shape=[2, 2]),), {"x": PICTURE}, {}), True),
        (Sketch((node("Gemm", "x", "w"),), {"x": ROWS}, {"w": SQUARE}), True),
        (Sketch((node("Gemm", "x", "w", "c"),), {"x": ROWS}, {"w": SQUARE, "c": np.ones(3, np.float32)}), True),
        (Sketch((node("Add", "x", "c"),), {"x": ROWS}, {"c": np.ones((1, 3), np.float32)}), True),
        (Sketch((node("Add", "x", "z"),), {"x": ROWS, "z": ROWS}, {}), True),
        # A constant for each sample, samples as factors, samples turned, moved or mixed.
        (Sketch((node("Gemm", "x", "w", "c"),), {"x": ROWS}, {"w": SQUARE, "c": np.ones((2, 3), np.float32)}), False),
        (Sketch((node("Add", "x", "c"),), {"x": ROWS}, {"c": np.ones((2, 3), np.float32)}), False),
        (Sketch((node("Add", "x", "z"),), {"x": PICTURE[:, :2, :2, 0], "z": PICTURE[:, 0, 0, :2]}, {}), False),
        (Sketch((node("Gemm", "w", "x", transB=1),), {"x": SQUARE[:2]}, {"w": SQUARE[:2]}), False),
        (Sketch((node("Gemm", "x", "w", transA=1),), {"x": SQUARE[:2]}, {"w": SQUARE[:2]}), False),
        (Sketch((node("Reshape", "x", "s"),), {"x": ROWS}, {"s": np.array([2, 3])}), False),
        (Sketch((node("Softmax", "x", axis=0),), {"x": ROWS}, {}), False),
        (Sketch((node("Concat", "x", "z", axis=0),), {"x": ROWS[:1], "z": ROWS[:1]}, {}), False),
    ],
    ids=lambda value: "-".join(n[0] for n in value.nodes) if isinstance(value, Sketch) else str(value),
)
def test_only_nodes_that_treat_samples_apart_are_judged_together(sketch: Sketch, expected: bool) -> None:
    model = ir.from_proto(sketch.proto())
    reference = Reference(model)
    (region,) = cut(reference.steps, reference.constants, {*sketch.data, "y"})
    batch = len(next(iter(sketch.data.values())))
    assert stackable(region, reference.constants, infer(model), batch) is expected
    if expected:
        rng = np.random.default_rng(0)
        runs = [{n: rng.random(a.shape, a.dtype) for n, a in sketch.data.items()} for _ in range(2)]
        apart = [exact(region, reference.constants, run, FLOAT32_ROUNDOFF) for run in runs]
        value, bound = exact(region, reference.constants, stacked(runs), FLOAT32_ROUNDOFF)
        np.testing.assert_allclose(value, np.concatenate([y for y, _ in apart]), rtol=1e-14)
        limits = [np.broadcast_to(limit.sound, y.shape) for y, limit in apart]
        np.testing.assert_allclose(np.broadcast_to(bound.sound, value.shape), np.concatenate(limits), rtol=1e-14)


def test_the_verdict_does_not_depend_on_how_many_runs_are_judged_together(
    exported: Exported, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    good = exported("lenet5")
    bad = changed(good, tmp_path, change_weight(1, 1.01))
    together = verify(good, bad, data="mnist:test:20")
    monkeypatch.setattr(comparison, "BATCH", 1)
    apart = verify(good, bad, data="mnist:test:20")
    assert [r.status for r in together.regions] == [r.status for r in apart.regions]
    assert together.defects
    for one, other in zip(together.regions, apart.regions, strict=True):
        assert (one.elements, one.differing, one.nodes) == (other.elements, other.differing, other.nodes)
        assert one.sound_ratio == pytest.approx(other.sound_ratio, rel=1e-4)
        assert one.worst is not None
        assert other.worst is not None
        assert (one.worst.sample, one.worst.index) == (other.worst.sample, other.worst.index)
        assert (one.cause and one.cause.kind) == (other.cause and other.cause.kind)
