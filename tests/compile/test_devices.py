"""Emulated devices give the same bytes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.compile.conftest import Quantized
from toolchain.compile import compile as compile_model
from toolchain.compile.targets import TARGETS

# Bytes: of the arena in the fast mode, of code, of a stack frame.
ARENA, CODE, FRAME = 4608, 6 * 1024, 512
EMULATED = [name for name, target in TARGETS.items() if target.emulator is not None]


@pytest.mark.parametrize("images", [4, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", EMULATED)
def test_every_layer_on_an_emulated_device(name: str, images: int, quantized: Quantized, tmp_path: Path) -> None:
    target = TARGETS[name]
    for tool in (target.compiler, target.emulator):
        if tool is not None and shutil.which(tool.name) is None:
            pytest.skip(f"{tool.name} is not installed (apt-get install {tool.package})")
    data = f"mnist:test:{images}"
    made = compile_model(quantized("lenet5-relu"), target=name, output=tmp_path / "c", run=True, data=data)
    assert made.verdict is not None
    assert made.ok, made.verdict
    assert made.verdict.compared > 2_500 * images
    assert made.memory.data == 0
    if target.memory is not None:
        assert made.memory.arena <= ARENA
        assert 0 < made.memory.code <= CODE
        assert all(frame <= FRAME for _, frame in made.memory.path)
