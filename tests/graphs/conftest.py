"""Where the tests of this folder put what they write."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")  # noqa: S108 - the folders are made by tempfile


@pytest.fixture(scope="package", autouse=True)
def in_memory() -> Iterator[None]:
    """Temporary files in memory where Linux offers it: a graph needs two folders, and a disk takes longer than it."""
    with pytest.MonkeyPatch.context() as patch:
        if os.access(MEMORY, os.W_OK):
            patch.setattr(tempfile, "tempdir", str(MEMORY))
        yield
