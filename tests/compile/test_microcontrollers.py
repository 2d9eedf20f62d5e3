"""Kernels for microcontrollers: their C on this machine, their instructions in QEMU, and when they are chosen."""

from __future__ import annotations

import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from tests.compile.branches import across
from tests.compile.conftest import Quantized
from tests.compile.graphs import Sketch, feeds
from tests.compile.running import linked, write
from toolchain.compile import Options
from toolchain.compile import compile as compile_model
from toolchain.compile.device import answers, executable
from toolchain.compile.generate import harness, sources
from toolchain.compile.judge import judge
from toolchain.compile.ports import integer_ports
from toolchain.compile.requantize import Kind, Target, requantizer
from toolchain.compile.rounding import prove, rounded
from toolchain.compile.targets import TARGETS
from toolchain.compile.translate import Generated, translate
from toolchain.data import samples
from toolchain.errors import UnknownNameError, UnsupportedError
from toolchain.load import load

SETS = {"dual": "cortex-m4", "patch": "cortex-m3", "vector": "cortex-m55"}
OWN = {
    "dual": {"convdual_s8", "convstem_s8", "gemmdual_s8", "depthwise_s8"},
    "patch": {"convpatch_s8", "depthwise_s8"},
    "vector": {"convvector_s8", "gemmvector_s8", "depthwise_s8"},
}
SEEDS = range(12)
SANITIZE = ("-O1", "-fsanitize=undefined", "-fno-sanitize-recover=all")


class Convolutions(Sketch):
    """Convolutions of all the shapes that the kernels treat differently, pools that they build in, a dense layer."""

    def convolution(self) -> None:
        channels, height, width = self.shape[1:]
        groups = int(self.pick((1, 1, 1, 2 if channels % 2 == 0 else 1)))
        out = groups * int(self.pick((1, 4, 5, 6, 17)))
        kernel = [min(int(self.pick((1, 2, 3, 5))), size) for size in (height, width)]
        dilations = [int(self.pick((1, 1, 2))) if 2 * (k - 1) < n else 1 for k, n in zip(kernel, (height, width))]  # noqa: B905
        pads = [int(self.pick((0, 0, min(1, k - 1)))) for k in kernel * 2]
        strides = [int(self.pick((1, 1, 2))) for _ in kernel]
        w, b, scales = self.weights((out, channels // groups, *kernel))
        options = {"kernel_shape": kernel, "pads": pads, "strides": strides, "dilations": dilations}
        name = self.node("Conv", [self.last, w, b], group=groups, **options)
        size = [
            (n + pads[i] + pads[i + 2] - dilations[i] * (kernel[i] - 1) - 1) // strides[i] + 1
            for i, n in enumerate((height, width))
        ]
        self.shape = (1, out, *size)
        reach = 4200 * float(self.scale) * float(scales.mean()) * (channels // groups * np.prod(kernel)) ** 0.5
        self.finish(self.node("Relu", [name]) if self.generator.random() < 0.5 else name, max(reach, 1e-3))

    def tiles(self) -> None:
        """A 2x2 pool without padding, at the scale of its input or at another."""
        size = [n // 2 for n in self.shape[2:]]
        if min(size) == 0:
            return
        op_type = str(self.pick(("MaxPool", "MaxPool", "AveragePool")))
        name = self.node(op_type, [self.last], kernel_shape=[2, 2], strides=[2, 2])
        self.shape = (*self.shape[:2], *size)
        self.finish(name, 127 * float(self.scale), same=bool(self.generator.random() < 0.7))


def convolutions(seed: int) -> ir.Model:
    generator = np.random.default_rng(seed)
    channels, height, width = (int(v) for v in generator.integers((1, 8, 8), (5, 15, 15)))
    sketch = Convolutions(seed, (1, channels, height - height % 2, width - width % 2))
    for _ in range(2):
        sketch.convolution()
        if generator.random() < 0.6:
            sketch.tiles()
    sketch.dense()
    return sketch.model()


def models(most: int) -> list[ir.Model]:
    """``most`` of them, and depthwise convolutions of a few, a block's and more channels."""
    return [convolutions(seed) for seed in SEEDS[:most]] + [across(seed, 3, most=7) for seed in (0, 2, 3)]


def called(made: Generated) -> set[str]:
    return {step.call.function for step in made.program.steps}


@pytest.mark.parametrize("kernels", SETS)
def test_the_portable_form_of_each_set(kernels: str, tmp_path: Path) -> None:
    used: set[str] = set()
    for seed, model in enumerate(models(len(SEEDS))):
        given = feeds(model, 4, seed)
        made = translate(model, "net", kernels=kernels)
        run = linked(made, tmp_path / str(seed), SANITIZE)
        verdict = judge(model, made.program, given, (run(sample) for sample in given))
        assert verdict.ok, (seed, [layer for layer in verdict.layers if layer.differing])
        used |= called(made)
    assert used >= OWN[kernels]


@pytest.mark.parametrize(
    "level", ["-O2", *(pytest.param(level, marks=pytest.mark.slow) for level in ("-O0", "-Os", "-O3"))]
)
@pytest.mark.parametrize("kernels", SETS)
def test_the_instructions_of_each_set(kernels: str, level: str, tmp_path: Path) -> None:
    target = replace(TARGETS[SETS[kernels]], optimization=level)
    for tool in (target.compiler, target.emulator):
        if tool is None or shutil.which(tool.name) is None:
            pytest.skip(f"{tool} is not installed")
    used: set[str] = set()
    for seed, model in enumerate(models(len(SEEDS) if level == "-O2" else 3)):
        given = feeds(model, 3, seed)
        made = translate(model, "net", kernels=kernels)
        folder = write(made, tmp_path / str(seed))
        built = tmp_path / f"{seed}-built"
        built.mkdir()
        binary = executable(folder, made.program, sources(made.files), harness(made.program, made.plan), built, target)
        verdict = judge(model, made.program, given, answers(made.program, binary, given, target, built))
        assert verdict.ok, (seed, [layer for layer in verdict.layers if layer.differing])
        used |= called(made)
    assert used & OWN[kernels]


def test_pairs_that_are_not_exact_keep_the_portable_kernel() -> None:
    """A weight of -128 below a negative one leaves 16 bits."""
    sketch = Convolutions(0, (1, 4, 6, 6))
    sketch.sized = lambda values: np.full_like(values, -128)  # type: ignore[method-assign]
    w, b, scales = sketch.weights((8, 4, 3, 3))
    sketch.shape = (1, 8, 4, 4)
    sketch.finish(sketch.node("Conv", [sketch.last, w, b], kernel_shape=[3, 3]), 4200 * float(scales.mean()))
    made = translate(sketch.model(), "net", kernels="dual")
    assert "conv_s8" in called(made)
    assert "convdual_s8" not in called(made)


def test_an_unknown_set() -> None:
    with pytest.raises(UnknownNameError, match="set of kernels"):
        translate(convolutions(0), "net", kernels="duel")


def test_a_rounded_product_is_proved() -> None:
    targets = [Target(Fraction(float(np.float32(r))), -90_000, 120_000) for r in (0.00071, 0.0009, 0.0123)]
    made = requantizer(targets, -128, -128, 127)
    reach = [(target.least, target.most) for target in targets]
    found = rounded(made, reach)
    assert found.kind is Kind.ROUND
    assert prove(found, made, reach) > 3 * 2
    every = range(-90_000, 120_001, 7)
    assert all(found.value(a, c) == made.value(a, c) for c in range(3) for a in every)
    wrong = replace(found, multipliers=tuple(m + (m >> 12) for m in found.multipliers))
    with pytest.raises(ArithmeticError, match="another value"):
        prove(wrong, made, reach)


@pytest.mark.parametrize("name", ["cortex-m3", "cortex-m4", "cortex-m55"])
def test_small_mode_and_integer_ports(name: str, quantized: Quantized, tmp_path: Path) -> None:
    target = TARGETS[name]
    if target.emulator is None or any(shutil.which(t.name) is None for t in (target.compiler, target.emulator)):
        pytest.skip(f"{target.compiler.name} or QEMU is not installed")
    made = compile_model(
        quantized("lenet5-relu"),
        target=name,
        output=tmp_path / "c",
        options=Options(mode="small", io="int8"),
        run=True,
        data="mnist:test:3",
    )
    assert made.ok, made.verdict
    assert made.memory.arena <= 2048
    assert made.memory.code <= 6 * 1024
    assert {layer.kernel for layer in made.memory.layers} == {"conv_s8", "gemm_s8"}


def test_integer_ports_are_the_models_own_integers(quantized: Quantized) -> None:
    model = load(quantized("lenet5-relu"))
    bare, entries = integer_ports(model)
    (name, entry), *_ = entries.items()
    assert [value.name for value in bare.graph.inputs] == [name]
    assert {node.op_type for node in bare.graph} >= {"Conv", "Gemm"}
    image = samples(model, "mnist:test:1").tensor
    ties = (np.arange(-4, 4, dtype=np.float32) + np.float32(0.5)) * entry.scale
    assert (entry.integers(ties) == np.clip(np.rint(ties / entry.scale) + int(entry.zero), -128, 127)).all()
    assert entry.integers(np.float32([-1e9, 1e9])).tolist() == [-128, 127]
    assert entry.integers(image).dtype == np.int8
    with pytest.raises(UnsupportedError, match="quantize it with"):
        integer_ports(bare_float())


def bare_float() -> ir.Model:
    from onnx import TensorProto, helper

    from toolchain.load import read

    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 4]) for n in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"], "relu")], "g", values[:1], values[1:])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return read(proto.SerializeToString(), "g")
