"""AVX-512, on an emulated processor that has it: the same bytes, and floats within their bounds."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from tests.compile import pc
from tests.compile.branches import across, convolutions, dense_layers, rows
from tests.compile.conftest import Quantized
from tests.compile.graphs import draw, feeds
from tests.compile.test_float_wide import judged_by_limits, network, threes
from toolchain.compile.judge import judge
from toolchain.compile.translate import translate
from toolchain.data import samples
from toolchain.load import load

BUILDS = {
    "vnni": ("gcc", "-O3", "-march=icelake-server"),
    "vnni-clang": ("clang", "-O2", "-march=icelake-server"),
    "vnni-unoptimized": ("gcc", "-O0", "-march=icelake-server"),
    "avx512": ("gcc", "-O2", "-march=x86-64-v4"),
}
OFTEN = "vnni"
"""In every run."""
WHOLE = {"vnni": 10_000, "vnni-clang": 10_000, "vnni-unoptimized": 1_000, "avx512": 1_000}
"""Images of the test set that take their time behind the mark."""
NETS = ("lenet5", "lenet5-relu", "example-cnn")


def _usable(name: str) -> tuple[str, list[str]]:
    """A build's compiler and its flags."""
    compiler, *flags = BUILDS[name]
    for tool in (pc.BOCHS.name, compiler):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed (apt-get install {pc.BOCHS.package} clang)")
    return compiler, flags


@pytest.fixture(params=[pytest.param(name, marks=() if name == OFTEN else pytest.mark.slow) for name in BUILDS])
def build(request: pytest.FixtureRequest) -> tuple[str, list[str]]:
    return _usable(request.param)


@pytest.mark.parametrize("seeds", [(0, 5), pytest.param(range(8), marks=pytest.mark.slow)])
def test_every_layer(seeds: tuple[int, ...], build: tuple[str, list[str]], tmp_path: Path) -> None:
    compiler, flags = build
    called = set()
    for seed in seeds:
        for of in (convolutions, rows, across, dense_layers, draw):
            model = of(seed)
            made = translate(model, "net", wide=True)
            called |= {step.call.function for step in made.program.steps}
            given = feeds(model, 3, seed)
            folder = tmp_path / f"{of.__name__}{seed}"
            verdict = judge(model, made.program, given, pc.answers(made, given, folder, flags, compiler=compiler))
            assert verdict.ok, (folder.name, [layer for layer in verdict.layers if layer.differing])
            assert verdict.compared
    assert {"convwide_s8", "depthwise_s8", "gemmwide_s8"} <= called


def _images(net: str, images: int, build: tuple[str, list[str]], quantized: Quantized, tmp_path: Path) -> None:
    compiler, flags = build
    model = load(quantized(net))
    data = samples(model, f"mnist:test:{images}")
    given = [data.feeds(index, index + 1) for index in range(images)]
    made = translate(model, "net", wide=True)
    verdict = judge(model, made.program, given, pc.answers(made, given, tmp_path / "pc", flags, compiler=compiler))
    assert verdict.ok, [layer for layer in verdict.layers if layer.differing]
    assert verdict.samples == images


@pytest.mark.parametrize("net", NETS)
def test_some_images(net: str, build: tuple[str, list[str]], quantized: Quantized, tmp_path: Path) -> None:
    _images(net, 30, build, quantized, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("name", list(BUILDS))
def test_every_image(name: str, net: str, quantized: Quantized, tmp_path: Path) -> None:
    _images(net, WHOLE[name], _usable(name), quantized, tmp_path)


@pytest.mark.parametrize("model", [network(), threes(1), across(1, real=True)], ids=["plain", "winograd", "depthwise"])
def test_floats(model: ir.Model, build: tuple[str, list[str]], tmp_path: Path) -> None:
    compiler, flags = build
    made = translate(model, "net", wide=True, winograd=True)
    shape = made.program.inputs[0].shape
    given = {made.program.inputs[0].name: np.random.default_rng(1).standard_normal(shape).astype(np.float32)}
    (seen,) = pc.answers(made, [given], tmp_path / "pc", flags, compiler=compiler)
    judged_by_limits(model, made, {**given, **seen})


def test_a_fault_is_no_answer(quantized: Quantized, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor without AVX-512 stops at its first instruction."""
    if shutil.which(pc.BOCHS.name) is None:
        pytest.skip(f"{pc.BOCHS.name} is not installed")
    monkeypatch.setattr(pc, "MACHINE", pc.MACHINE.replace("tigerlake", "corei7_haswell_4770"))
    model = load(quantized("lenet5-relu"))
    given = [samples(model, "mnist:test:1").feeds(0, 1)]
    made = translate(model, "net", wide=True)
    with pytest.raises(AssertionError):
        list(pc.answers(made, given, tmp_path / "pc", BUILDS[OFTEN][1:]))
