"""Layers shared out among threads give the bits of one thread."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from onnx import helper

from tests.compile.branches import across, convolutions, dense_layers, rows
from tests.compile.conftest import Quantized
from tests.compile.graphs import feeds
from tests.compile.running import Feeds, linked, write
from tests.compile.test_float import _model
from tests.compile.test_float_wide import network, threes
from toolchain.compile import Options, threads
from toolchain.compile import compile as compile_model
from toolchain.compile.build import run as run_tool
from toolchain.compile.judge import judge
from toolchain.compile.program import Program
from toolchain.compile.translate import translate
from toolchain.errors import UsageError

OPENMP = ("-O1", "-fopenmp")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The smallest layers are worth a thread."""
    monkeypatch.setattr(threads, "LEAST", 1)


def _drawn(model: ir.Model, count: int) -> Feeds:
    generator = np.random.default_rng(0)
    inputs = {str(v.name): tuple(int(d) for d in v.shape or ()) for v in model.graph.inputs}
    return [
        {name: generator.standard_normal(shape).astype(np.float32) for name, shape in inputs.items()}
        for _ in range(count)
    ]


def _dense() -> ir.Model:
    """Dense layers whose outputs fill a block, less, and more."""
    generator = np.random.default_rng(2)
    widths = (19, 16, 5, 53)
    constants, nodes = {}, [helper.make_node("Flatten", ["x"], ["v0"], "flat")]
    for index, (many, few) in enumerate(pairwise(widths)):
        constants[f"w{index}"] = generator.standard_normal((few, many)).astype(np.float32)
        constants[f"b{index}"] = generator.standard_normal(few).astype(np.float32)
        names = [f"v{index}", f"w{index}", f"b{index}"]
        nodes.append(helper.make_node("Gemm", names, [f"v{index + 1}"], f"gemm{index}", transB=1))
    return _model(nodes, [1, widths[0], 1, 1], constants, rank=2)


def _kernels(program: Program) -> set[str]:
    return {step.call.function for step in program.steps if step.call.parts}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("count", "winograd"), [(2, False), (3, True), (7, True)])
def test_float_layers_keep_every_bit(count: int, winograd: bool, tmp_path: Path) -> None:
    kernels: set[str] = set()
    for index, model in enumerate((network(), threes(1), threes(3), _dense())):
        one = translate(model, "net", wide=True, winograd=winograd)
        many = translate(model, "net", wide=True, winograd=winograd, threads=count)
        kernels |= _kernels(many.program)
        alone = linked(one, tmp_path / f"one{index}", OPENMP)
        together = linked(many, tmp_path / f"many{index}", OPENMP)
        for sample in _drawn(model, 3):
            expected, received = alone(sample), together(sample)
            assert expected.keys() == received.keys()
            for name, array in expected.items():
                np.testing.assert_array_equal(received[name].view(np.uint32), array.view(np.uint32), name)
    assert kernels == {"convwide_f32", "gemmwide_f32", *(["winograd_f32"] if winograd else [])}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("count", [3])
def test_int8_layers_keep_every_byte(count: int, tmp_path: Path) -> None:
    kernels: set[str] = set()
    for seed in range(4):
        for kind in (convolutions, rows, dense_layers, across):
            model = kind(seed)
            made = translate(model, "net", wide=True, threads=count)
            kernels |= _kernels(made.program)
            run = linked(made, tmp_path / f"{kind.__name__}{seed}", OPENMP)
            given = feeds(model, 3, seed)
            verdict = judge(model, made.program, given, (run(sample) for sample in given))
            assert verdict.ok
            assert verdict.compared
    assert kernels == {"convwide_s8", "depthwise_s8", "gemmwide_s8"}


@pytest.mark.usefixtures("small")
def test_a_compiler_without_openmp_makes_the_same_network(tmp_path: Path) -> None:
    model = network()
    made = translate(model, "net", wide=True, threads=2)
    (sample,) = _drawn(model, 1)
    serial, parallel = (linked(made, tmp_path / str(len(f)), f)(sample) for f in (("-O1",), OPENMP))
    for name, array in serial.items():
        np.testing.assert_array_equal(parallel[name], array, name)


def test_parts_cover_the_map_once() -> None:
    """Rows and outputs follow one another without a gap, whatever the number of threads."""
    steps = [step for net in (network(), _dense()) for step in translate(net, "net", wide=True).program.steps]
    for step in steps:
        split = threads.SPLIT.get(step.call.function)
        for count in range(2, 9) if split is not None else ():
            made = split(step.call, count)
            sizes = [dict(part.layer.fields) for part in made]
            per = "out_features" if "out_features" in sizes[0] else "out_height"
            unit = step.call.output.size // int(str(dict(step.call.layer.fields)[per]))
            ends = np.cumsum([int(str(size[per])) for size in sizes]) * unit
            assert [part.written for part in made] == [0, *ends[:-1]]
            assert ends[-1] == step.call.output.size


def test_layers_that_are_not_worth_a_thread_stay_whole() -> None:
    program = translate(network(), "net", wide=True, threads=8).program
    assert not _kernels(program)


def test_a_microcontroller_has_one_thread() -> None:
    for target in ("cortex-m4", "wasm"):
        with pytest.raises(UsageError, match=rf"--threads 2 .* {target}"):
            Options(threads=2).device(target)


@pytest.mark.usefixtures("small")
def test_the_result_says_which_layers_are_shared(quantized: Quantized, tmp_path: Path) -> None:
    made = compile_model(
        quantized("example-cnn"), output=tmp_path / "c", options=Options(threads=2), run=True, synthetic=3
    )
    assert made.ok
    assert made.shared
    assert set(made.shared) < {layer.name for layer in made.memory.layers}
    assert any("._omp_fn" in function for function, _ in made.memory.path)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("tool", ["make", "cmake"])
def test_it_builds_elsewhere(tool: str, tmp_path: Path) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    folder = write(translate(network(), "net", wide=True, threads=2), tmp_path / "c")
    if tool == "make":
        run_tool(["make", "CC=gcc"], folder)
        library = folder / "libnet.so"
    else:
        run_tool(["cmake", "-S", ".", "-B", "build", "-DBUILD_SHARED_LIBS=ON"], folder)
        run_tool(["cmake", "--build", "build"], folder)
        library = folder / "build" / "libnet.so"
    assert "GOMP_parallel" in run_tool(["nm", "-D", library], folder)
