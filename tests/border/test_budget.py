"""Every attack is answered within the budget, in a process with limits; and no file of the corpus takes longer."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.border.attacks import ATTACKS
from tests.border.measure import BYTES, SECONDS
from tests.conftest import ROOT

MIB = 1 << 20
CORPUS = sorted((ROOT / "tests" / "border" / "corpus").glob("*"))


def measured(paths: Sequence[Path]) -> Iterator[dict[str, object]]:
    """What loading files takes, one after the other in a process of its own."""
    command = [sys.executable, "-m", "tests.border.measure", *map(str, paths)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()
    assert len(lines) == len(paths)
    yield from map(json.loads, lines)


def test_every_attack_is_answered_within_the_budget(tmp_path: Path) -> None:
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("the peak of memory is measured with Linux's /proc")
    paths = [attack.write(tmp_path / str(index) / "folder") for index, attack in enumerate(ATTACKS)]
    for attack, line in zip(ATTACKS, measured(paths), strict=True):
        path = Path(str(line["path"]))
        assert not path.is_file() or path.stat().st_size <= MIB or attack.group == "the path", attack.title
        assert line["answer"] == ("" if attack.answer is None else attack.answer.__name__), attack.title
        assert float(str(line["scaled"])) < SECONDS, (attack.title, line)
        assert int(str(line["bytes"])) < BYTES, (attack.title, line)


def test_the_corpus_is_answered_within_the_budget() -> None:
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("the peak of memory is measured with Linux's /proc")
    for line in measured(CORPUS):
        assert float(str(line["scaled"])) < SECONDS, line
        assert int(str(line["bytes"])) < BYTES, line
