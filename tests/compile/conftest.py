"""Quantized networks of the zoo, made once a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.compile.instrument import instrumented
from tests.conftest import Exported

Quantized = Callable[[str], Path]


@pytest.fixture(scope="session", autouse=True)
def watched() -> Iterator[None]:
    """Kernels that count or check themselves, where the environment asks for it."""
    with instrumented():
        yield


@pytest.fixture(scope="session")
def quantized(exported: Exported) -> Quantized:
    """A trained network as int8 QDQ."""
    pytest.importorskip("onnxruntime", reason="quantizing needs the extra `cpu`")
    filelock = pytest.importorskip("filelock")

    def make(net: str) -> Path:
        from toolchain.quantize import quantize

        source = exported(net)
        path = source.with_suffix(".int8.onnx")
        with filelock.FileLock(f"{path}.lock"):
            if not path.exists():
                quantize(
                    source, output=path, calibrate="mnist:train:128", data="mnist:test:500", keep=True, timed=False
                )
        return path

    return make
