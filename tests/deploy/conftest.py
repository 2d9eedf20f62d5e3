"""The apps of ``deploy/`` are no package of this project: they are found as on a device, by their folder."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from digit_recogniser.model import Recogniser

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "deploy" / "python"))


@pytest.fixture(scope="session")
def model_path(exported: Callable[[str], Path]) -> Path:
    return exported("lenet5")


@pytest.fixture(scope="session")
def recogniser(model_path: Path) -> Recogniser:
    from digit_recogniser.model import Recogniser

    return Recogniser(model_path)
