"""Every listed defect of ONNX Runtime's integer arithmetic is still there, and is named by its class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.graphs.defects import DEFECTS, Defect, out_of_range, saturates
from tests.graphs.sketch import Graph

pytest.importorskip("onnxruntime", reason="judging needs the extra `cpu`")

from tests.graphs.judging import loaded
from toolchain.errors import UsageError
from toolchain.session import OPTIMIZATION
from toolchain.verify import Verification, verify

BY_NAME = {defect.name: defect for defect in DEFECTS}


def judged(graph: Graph, folder: Path, level: str) -> Verification:
    path = folder / "feeds.npz"
    np.savez(path, **graph.feeds)
    return verify(loaded(graph), data=str(path), optimization=level, end_to_end=False)


@pytest.fixture(params=BY_NAME)
def defect(request: pytest.FixtureRequest) -> Defect:
    found = BY_NAME[request.param]
    if not found.everywhere and not saturates():
        pytest.skip("only x86 processors with AVX2 and without VNNI have the saturating kernels")
    return found


def test_a_defect_is_named_by_its_class(defect: Defect, tmp_path: Path) -> None:
    found = judged(defect.graph(), tmp_path, defect.level)
    counts = found.deviations
    assert not found.ok
    assert counts.wrong > 0
    assert counts.unknown == 0
    assert counts.wrong == (counts.saturation if defect.kind == "saturation" else counts.fusion)
    (first, *_) = found.defects
    assert defect.kind in first.describe()


def test_a_less_optimised_graph_is_right(defect: Defect, tmp_path: Path) -> None:
    before = OPTIMIZATION[OPTIMIZATION.index(defect.level) - 1]
    found = judged(defect.graph(), tmp_path, before)
    assert found.deviations.wrong == 0
    assert found.deviations.elements > 0


def test_a_pool_that_the_runtime_fuses_and_then_refuses(tmp_path: Path) -> None:
    assert judged(out_of_range(), tmp_path, "basic").ok
    with pytest.raises(UsageError, match="out of computation range"):
        judged(out_of_range(), tmp_path, "extended")


def test_names_are_unique_and_reasons_are_given() -> None:
    assert len(BY_NAME) == len(DEFECTS)
    assert all(len(defect.reason) > 15 for defect in DEFECTS)
