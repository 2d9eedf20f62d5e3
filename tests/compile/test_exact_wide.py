"""The kernels for vector units give the bytes of the integer reference, with every instruction set that runs here."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from tests.compile.branches import across, convolutions, dense_layers, rows
from tests.compile.conftest import Quantized
from tests.compile.graphs import draw, feeds
from tests.compile.running import linked, quickly_judged, write
from toolchain.compile.build import WARNINGS, objects
from toolchain.compile.device import answers, executable
from toolchain.compile.generate import RUNTIME, harness, sources
from toolchain.compile.judge import Verdict, judge
from toolchain.compile.targets import target_of
from toolchain.compile.translate import translate
from toolchain.data import samples
from toolchain.load import load

NATIVE = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
EMULATED = Path(__file__).parent / "emulated"
VARIANTS = {
    "baseline": ("gcc", "-O2"),
    "unoptimized": ("gcc", "-O0"),
    "sse4": ("gcc", "-O3", "-msse4.1"),
    "avx2": ("gcc", "-O3", "-mavx2"),
    "avx2-unoptimized": ("gcc", "-O0", "-mavx2"),
    "avx2-clang": ("clang", "-O2", "-mavx2"),
    "vnni": ("gcc", "-O3", "-march=icelake-server"),
    "sanitized": ("gcc", "-O1", "-mavx2", "-fsanitize=undefined", "-fno-sanitize-recover=all"),
}
OFTEN = {"avx2", "vnni", "avx512-vnni", "portable", "cortex-a72", "i8mm"}
"""In every run; the others take their time behind the mark."""
NEEDS = {"-mavx2": "avx2", "-msse4.1": "sse4_1", "-march=icelake-server": "avx512_vnni"}
EMULATIONS = {
    "avx512-vnni": ("-D__AVX512F__", "-D__AVX512VNNI__", "-DTILE_S8_NO_ASSEMBLER"),
    "avx-vnni": ("-mavx2", "-D__AVXVNNI__"),
    "portable": ("-U__SSE2__",),
}
DEVICES = {
    "cortex-a72": ("aarch64", (), "cortex-a72"),
    "dotprod": ("aarch64", ("-march=armv8.2-a+dotprod",), "max"),
    "i8mm": ("aarch64", ("-march=armv8.2-a+i8mm+dotprod",), "max"),
    "armv7": ("armv7", (), ""),
    "riscv": ("riscv", (), ""),
}


def often(variants: Iterable[str]) -> list[object]:
    """The variants, with the mark on those that not every run takes."""
    return [v if v in OFTEN else pytest.param(v, marks=pytest.mark.slow) for v in variants]


def _usable(compiler: str, flags: Sequence[str]) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    missing = [NEEDS[flag] for flag in flags if flag in NEEDS and NEEDS[flag] not in NATIVE.split()]
    if missing:
        pytest.skip(f"this processor has no {missing[0]}")


def _graphs() -> list[tuple[str, ir.Model]]:
    made = [(f"convolutions {seed}", convolutions(seed)) for seed in range(8)]
    made += [(f"rows {seed}", rows(seed)) for seed in range(6)]
    made += [(f"across {seed}", across(seed)) for seed in range(8)]
    return made + [(f"dense {seed}", dense_layers(seed)) for seed in range(8)]


def _clean(verdict: Verdict, what: str) -> None:
    assert verdict.ok, (what, [layer for layer in verdict.layers if layer.differing])
    assert verdict.compared


@pytest.mark.parametrize("variant", often(VARIANTS))
def test_side_by_side(variant: str, tmp_path: Path) -> None:
    compiler, *flags = VARIANTS[variant]
    _usable(compiler, flags)
    called = set()
    for index, (what, model) in enumerate(_graphs()):
        made = translate(model, "net", wide=True)
        called |= {step.call.function for step in made.program.steps}
        run = linked(made, tmp_path / str(index), flags, compiler=compiler)
        given = feeds(model, 3, index)
        _clean(judge(model, made.program, given, (run(sample) for sample in given)), what)
    assert {"convwide_s8", "depthwise_s8", "gemmwide_s8"} <= called


@pytest.mark.parametrize("variant", often(EMULATIONS))
def test_emulated_instructions(variant: str, tmp_path: Path) -> None:
    """``tile_s8.c`` for instruction sets that this processor lacks, with their instructions written in C."""
    _usable("gcc", EMULATIONS[variant])
    for path in RUNTIME.glob("*.[ch]"):
        shutil.copy(path, tmp_path)
    options = [*WARNINGS, "-O2", "-fPIC", f"-I{EMULATED}", *EMULATIONS[variant]]
    tile = objects(["gcc"], options, ["tile_s8.c"], tmp_path, tmp_path)
    for index, (what, model) in enumerate(_graphs()):
        made = translate(model, "net", wide=True)
        run = linked(made, tmp_path / str(index), ("-O2",), instead=tile)
        given = feeds(model, 2, index)
        _clean(judge(model, made.program, given, (run(sample) for sample in given)), what)


@pytest.mark.parametrize("seed", range(200, 216))
def test_random_graphs(seed: int, tmp_path: Path) -> None:
    model = draw(seed)
    for fused in (True, False):
        folder = tmp_path / str(fused)
        verdict = quickly_judged(model, feeds(model, 4, seed), folder, ("-O2",), fused=fused, wide=True)
        _clean(verdict, str(fused))


@pytest.mark.parametrize("device", often(DEVICES))
def test_devices(device: str, tmp_path: Path) -> None:
    name, flags, processor = DEVICES[device]
    target = target_of(name)
    for tool in (target.compiler, target.emulator):
        if tool is None or shutil.which(tool.name) is None:
            pytest.skip(f"a tool of {name} is not installed")
    options = ("-cpu", processor) if processor else ()
    target = replace(target, flags=(*target.flags, *flags), run=(*target.run, *options))
    for seed, model in enumerate((convolutions(1), convolutions(4), convolutions(6), rows(0), across(4))):
        made = translate(model, "net", wide=True)
        folder = write(made, tmp_path / f"c{seed}")
        work = tmp_path / f"build{seed}"
        work.mkdir()
        text = harness(made.program, made.plan)
        binary = executable(folder, made.program, sources(made.files), text, work, target)
        given = feeds(model, 3, seed)
        _clean(judge(model, made.program, given, answers(made.program, binary, given, target, work)), device)


WHOLE = {
    "avx2": ("gcc", "-O3", "-mavx2"),
    "avx2-clang": ("clang", "-O2", "-mavx2"),
    "avx2-unoptimized": ("gcc", "-O0", "-mavx2"),
    "baseline": ("gcc", "-O3"),
    "baseline-clang": ("clang", "-O3"),
    "unoptimized-clang": ("clang", "-O0"),
    "sse4": ("gcc", "-O2", "-msse4.1"),
    "portable": ("gcc", "-O2", "-U__SSE2__"),
    "vnni": ("gcc", "-O3", "-march=icelake-server"),
}


@pytest.mark.slow
@pytest.mark.parametrize("net", ["lenet5", "lenet5-relu", "example-cnn"])
def test_every_image(net: str, quantized: Quantized, tmp_path: Path) -> None:
    """Each layer of the whole test set: one build against the reference, the others against that build's bytes."""
    model = load(quantized(net))
    given = samples(model, "mnist:test")
    made = translate(model, "net", wide=True)
    runs = {}
    for name, (compiler, *flags) in WHOLE.items():
        needed = [NEEDS[flag] for flag in flags if flag in NEEDS]
        if shutil.which(compiler) is not None and all(one in NATIVE.split() for one in needed):
            runs[name] = linked(made, tmp_path / name, flags, compiler=compiler)
    first, *others = runs
    assert others

    def agreed(index: int) -> dict[str, np.ndarray]:
        sample = given.feeds(index, index + 1)
        expected = runs[first](sample)
        for other in others:
            received = runs[other](sample)
            assert expected.keys() == received.keys()
            for layer, array in expected.items():
                np.testing.assert_array_equal(received[layer], array, f"{other} and {first}: {layer}, image {index}")
        return expected

    images = [given.feeds(index, index + 1) for index in range(10_000)]
    verdict = judge(model, made.program, images, (agreed(index) for index in range(10_000)))
    _clean(verdict, net)
    assert verdict.samples == 10_000


@pytest.mark.parametrize("net", ["lenet5", "lenet5-relu", "example-cnn"])
def test_networks(net: str, quantized: Quantized, tmp_path: Path) -> None:
    model = load(quantized(net))
    given = samples(model, "mnist:test:40")
    feeds_ = [given.feeds(i, i + 1) for i in range(40)]
    _clean(quickly_judged(model, feeds_, tmp_path / "c", ("-O2",), fused=True, wide=True), net)
