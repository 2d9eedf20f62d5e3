"""The lesson runs from the first cell to the last; its cells assert what they claim."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

LESSON = Path(__file__).resolve().parents[2] / "models" / "lesson.ipynb"
MAX_CELL_LINES = 40
MAX_COLUMNS = 120
CELL_SECONDS = 120


@pytest.fixture(scope="module")
def lesson() -> nbformat.NotebookNode:
    return nbformat.read(LESSON, as_version=4)


def test_committed_without_outputs(lesson: nbformat.NotebookNode) -> None:
    nbformat.validate(lesson)
    for cell in lesson.cells:
        if cell.cell_type == "code":
            assert not cell.outputs, f"cell {cell.id} holds outputs; clear them before committing"
            assert cell.execution_count is None
    assert set(lesson.metadata) == {"kernelspec", "language_info"}


def test_cells_are_short(lesson: nbformat.NotebookNode) -> None:
    for cell in lesson.cells:
        lines = cell.source.splitlines()
        assert len(lines) <= MAX_CELL_LINES, f"cell {cell.id} has {len(lines)} lines"
        assert max(map(len, lines)) <= MAX_COLUMNS, f"cell {cell.id} has a long line"


def test_every_step_claims_something(lesson: nbformat.NotebookNode) -> None:
    helpers = {"setup", "pictures"}
    for cell in lesson.cells:
        if cell.cell_type == "code" and cell.id not in helpers:
            assert re.search(r"^ *assert ", cell.source, re.MULTILINE), f"cell {cell.id} asserts nothing"


def test_every_exercise_has_an_answer(lesson: nbformat.NotebookNode) -> None:
    text = "\n".join(cell.source for cell in lesson.cells if cell.cell_type == "markdown")
    numbers = [int(number) for number in re.findall(r"\*\*Exercise (\d+)\.\*\*", text)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) == text.count("<summary>Answer</summary>") == text.count("</details>")


def test_runs(lesson: nbformat.NotebookNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="the last section exports the trained network")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("PYTHONPATH", str(LESSON.parents[1]))
    client = nbclient.NotebookClient(
        lesson, timeout=CELL_SECONDS, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    pictures = [out for cell in lesson.cells if cell.cell_type == "code" for out in cell.outputs if "data" in out]
    assert len(pictures) >= 20
