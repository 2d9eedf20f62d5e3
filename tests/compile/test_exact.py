"""int8 C gives the bytes of the integer reference: every layer, fused or not, at every optimisation level."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.compile.conftest import Quantized
from tests.compile.graphs import Sketch, draw, feeds
from tests.compile.operators import conv_transpose
from tests.compile.running import judged, linked, on_host, quickly_judged
from toolchain.compile.judge import judge
from toolchain.compile.translate import translate
from toolchain.data import samples
from toolchain.load import load

NETWORKS = ("lenet5", "lenet5-relu", "example-cnn")
SANITIZE = ("-O1", "-fsanitize=undefined", "-fno-sanitize-recover=all")


def _compiler(name: str) -> str:
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    return name


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "plain"])
@pytest.mark.parametrize("net", NETWORKS)
def test_networks(net: str, fused: bool, quantized: Quantized, tmp_path: Path) -> None:
    model = load(quantized(net))
    given = samples(model, "mnist:test:40")
    verdict = judged(model, [given.feeds(i, i + 1) for i in range(40)], tmp_path, fused=fused)
    assert verdict.ok, [layer for layer in verdict.layers if layer.differing]
    assert all(layer.compared for layer in verdict.layers)
    assert verdict.islands == ()


@pytest.mark.parametrize(
    ("compiler", "flags"),
    [("gcc", ("-O0",)), ("gcc", ("-O3",)), ("gcc", ("-O3", "-mavx2")), ("clang", ("-O2",)), ("gcc", SANITIZE)],
    ids=["gcc-O0", "gcc-O3", "gcc-avx2", "clang-O2", "ubsan"],
)
def test_compilers_agree(compiler: str, flags: tuple[str, ...], quantized: Quantized, tmp_path: Path) -> None:
    model = load(quantized("lenet5"))
    given = samples(model, "mnist:test:8")
    sample = [given.feeds(i, i + 1) for i in range(8)]
    verdict = judged(model, sample, tmp_path, compiler=_compiler(compiler), flags=flags)
    assert verdict.ok, [layer for layer in verdict.layers if layer.differing]


def _random_graphs(seeds: range, folder: Path) -> None:
    """Every layer of each graph, fused or plain in turn: undefined behaviour stops the program."""
    for seed in seeds:
        model = draw(seed)
        fused = seed % 3 != 0
        verdict = quickly_judged(model, feeds(model, 4, seed), folder / str(seed), SANITIZE, fused=fused)
        assert verdict.ok, (seed, fused, [layer for layer in verdict.layers if layer.differing])


@pytest.mark.parametrize("start", range(0, 120, 20))
def test_random_graphs(start: int, tmp_path: Path) -> None:
    _random_graphs(range(start, start + 20), tmp_path)


@pytest.mark.sweep
@pytest.mark.parametrize("start", range(1000, 5000, 100))
def test_many_random_graphs(start: int, tmp_path: Path) -> None:
    _random_graphs(range(start, start + 100), tmp_path)


@pytest.mark.parametrize("seed", range(4))
def test_random_graphs_as_they_are_delivered(seed: int, tmp_path: Path) -> None:
    """Built from the files of the folder alone, fused and plain."""
    model = draw(seed)
    given = feeds(model, 6, seed)
    for fused in (True, False):
        verdict = judged(model, given, tmp_path / str(fused), fused=fused, flags=SANITIZE)
        assert verdict.ok, (fused, [layer for layer in verdict.layers if layer.differing])


def test_a_wrong_answer_is_found(quantized: Quantized, tmp_path: Path) -> None:
    """The comparison itself: one weight changed in the C gives a verdict that names the layer."""
    model = load(quantized("lenet5"))
    made = translate(model, "net")
    text = made.files["net_weights.c"].decode()
    start = text.index("net_c3_bias[16] = {") + len("net_c3_bias[16] = {\n")
    first = text[start:].split(",")[0]
    made.files["net_weights.c"] = (text[:start] + f"    {int(first) + 5000}" + text[start + len(first) :]).encode()
    run = on_host(made, tmp_path)
    given = samples(model, "mnist:test:2")
    sample = [given.feeds(i, i + 1) for i in range(2)]
    verdict = judge(model, made.program, sample, (run(one) for one in sample))
    assert not verdict.ok
    assert next(layer.name for layer in verdict.layers if layer.first is not None) == "c3"


def _turned(sketch: Sketch, *, same: bool) -> None:
    """Rows and channels change places in the shape; the elements stay where they are."""
    one, channels, height, width = sketch.shape
    sketch.shape = (one, height, channels, width)
    shape = sketch.constant(np.array(sketch.shape, np.int64))
    sketch.finish(sketch.node("Reshape", [sketch.last, shape]), 90 * float(sketch.scale), same=same)


def _then_a_function(sketch: Sketch) -> None:
    _turned(sketch, same=True)
    sketch.finish(sketch.node("Tanh", [sketch.last]), 1.0)


def _then_a_pool(sketch: Sketch) -> None:
    """Of a map with as many pixels, in other rows."""
    one, channels, height, width = sketch.shape
    rows = next(n for n in range(2, height * width) if height * width % n == 0 and n != height)
    sketch.shape = (one, channels, rows, height * width // rows)
    shape = sketch.constant(np.array(sketch.shape, np.int64))
    sketch.finish(sketch.node("Reshape", [sketch.last, shape]), 1.0, same=True)
    kernel = [min(2, n) for n in sketch.shape[2:]]
    sketch.shape = (*sketch.shape[:2], *(n // k for n, k in zip(sketch.shape[2:], kernel, strict=True)))
    sketch.finish(sketch.node("MaxPool", [sketch.last], kernel_shape=kernel, strides=kernel), 1.0, same=True)


@pytest.mark.parametrize("wide", [False, True], ids=["portable", "wide"])
@pytest.mark.parametrize("then", [lambda s: _turned(s, same=False), _then_a_function, _then_a_pool])
@pytest.mark.parametrize("layer", [Sketch.conv, conv_transpose], ids=["Conv", "ConvTranspose"])
def test_what_sees_another_shape_is_a_layer_of_its_own(
    layer: Callable[[Sketch], None], then: Callable[[Sketch], None], wide: bool, tmp_path: Path
) -> None:
    """Built into the layer before, it would lend its shape to a kernel that then reads beyond its weights."""
    for seed in range(4):
        sketch = Sketch(seed, (1, 3, 6, 8))
        layer(sketch)
        channels = sketch.shape[1]
        then(sketch)
        model = sketch.model()
        made = translate(model, "net", wide=wide)
        assert dict(made.program.steps[1].call.layer.fields)["out_channels"] == channels
        run = linked(made, tmp_path / str(seed), SANITIZE)
        given = feeds(model, 3, seed)
        verdict = judge(model, made.program, given, (run(sample) for sample in given))
        assert verdict.ok, (seed, [one for one in verdict.layers if one.differing])


@pytest.mark.parametrize("kernels", ["portable", "wide", "dual", "patch", "vector", "small"])
@pytest.mark.parametrize("group", [1, 4])
def test_a_pool_of_one_position_rounds_again(group: int, kernels: str, tmp_path: Path) -> None:
    """The last map of a small network may have one pixel, and its mean another scale."""
    sketch = Sketch(1, (1, 4, 3, 3))
    w, b, scales = sketch.weights((4, 4 // group, 3, 3))
    sketch.shape = (1, 4, 1, 1)
    sketch.finish(sketch.node("Conv", [sketch.last, w, b], group=group), 4200 * float(sketch.scale * scales.mean()))
    sketch.finish(sketch.node("GlobalAveragePool", [sketch.last]), 40 * float(sketch.scale))
    model = sketch.model()
    options = {"wide": True} if kernels == "wide" else {"kernels": kernels}
    made = translate(model, "net", **options)
    run = linked(made, tmp_path / "c", SANITIZE)
    given = feeds(model, 6, 1)
    verdict = judge(model, made.program, given, (run(sample) for sample in given))
    assert verdict.ok, [one for one in verdict.layers if one.differing]


@pytest.mark.parametrize("shape", [(1, 1, 12), (1, 12, 1), (1, 1, 3, 4), (1, 12, 1, 1), (1, 2, 6)])
def test_a_map_that_is_reshaped_is_read_in_its_order(shape: tuple[int, ...], tmp_path: Path) -> None:
    """Channels-last in memory, it becomes a map of one channel, of one position, or of another number of both."""
    sketch = Sketch(2, (1, 3, 2, 2))
    sketch.shape = shape
    name = sketch.node("Reshape", [sketch.last, sketch.constant(np.array(shape, np.int64))])
    sketch.finish(name, 1.0, same=True)
    kernel = [1] * (len(shape) - 3) + [min(2, shape[-1])]
    name = sketch.node("MaxPool", [sketch.last], kernel_shape=kernel)
    sketch.shape = (*shape[:-1], shape[-1] - kernel[-1] + 1)
    sketch.finish(name, 1.0, same=True)
    model = sketch.model()
    made = translate(model, "net")
    run = linked(made, tmp_path / "c", SANITIZE)
    given = feeds(model, 4, 3)
    verdict = judge(model, made.program, given, (run(sample) for sample in given))
    assert verdict.ok, [one for one in verdict.layers if one.differing]
