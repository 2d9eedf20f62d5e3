"""Float kernels for vectors, on every width and instruction set that this machine can build and run."""

from __future__ import annotations

import platform
import shutil
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from onnx import helper

from tests.compile.branches import across
from tests.compile.running import write
from tests.compile.test_float import _model
from toolchain.compile.device import answers, executable
from toolchain.compile.generate import harness, sources
from toolchain.compile.kernels.winograd import tiles_of
from toolchain.compile.targets import TARGETS
from toolchain.compile.translate import Generated, translate
from toolchain.errors import UnknownNameError, UsageError
from toolchain.reference import Reference
from toolchain.shapes import infer
from toolchain.verify import compiled, verify
from toolchain.verify.limits import limits
from toolchain.verify.regions import cut
from toolchain.verify.winograd import bounded

BUILDS = {
    "native": ("-O3", "-march=native"),
    "any processor": ("-O2",),
    "plain, 4 lanes": ("-O2", "-DVECTOR_F32_PLAIN=4"),
    "plain, 16 lanes": ("-O2", "-DVECTOR_F32_PLAIN=16"),
}


def network(seed: int = 0) -> ir.Model:
    """Rows of one map, slices of channels, groups, strides, dilations, pools, tails of every block; an LRN."""
    generator = np.random.default_rng(seed)
    constants: dict[str, np.ndarray] = {}
    nodes = []

    def conv(x: str, y: str, shape: tuple[int, ...], **attributes: object) -> None:
        spread = 1.0 / np.sqrt(np.prod(shape[1:]))
        constants[f"{y}w"] = (generator.standard_normal(shape) * spread).astype(np.float32)
        constants[f"{y}b"] = generator.standard_normal(shape[0]).astype(np.float32)
        nodes.append(helper.make_node("Conv", [x, f"{y}w", f"{y}b"], [y], y, **attributes))

    def then(op_type: str, x: str, y: str, **attributes: object) -> None:
        nodes.append(helper.make_node(op_type, [x], [y], y, **attributes))

    pair = {"kernel_shape": [2, 2], "strides": [2, 2]}
    conv("x", "rows", (7, 1, 5, 4), pads=[2, 1, 1, 2])
    then("Tanh", "rows", "tanh")
    then("AveragePool", "tanh", "halved", **pair)
    conv("x", "row", (6, 1, 3, 3), strides=[2, 1], pads=[1, 0, 0, 1])
    then("Relu", "row", "row_relu")
    conv("halved", "wide", (48, 7, 3, 3), pads=[1, 1, 1, 1])
    then("Relu", "wide", "wide_relu")
    then("MaxPool", "wide_relu", "quartered", **pair)
    then("LRN", "wide_relu", "normal", size=5, alpha=0.3, beta=0.75, bias=2.0)
    conv("normal", "groups", (36, 24, 3, 2), group=2, dilations=[2, 2], strides=[2, 1], pads=[2, 0, 1, 2])
    then("Sigmoid", "groups", "sigmoid")
    then("MaxPool", "sigmoid", "windows", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    conv("quartered", "point", (21, 48, 1, 1))
    then("Elu", "point", "elu", alpha=0.7)
    conv("elu", "third", (17, 21, 3, 3))
    then("AveragePool", "third", "thirds", kernel_shape=[3, 1], strides=[3, 1])
    flat = []
    for name in ("row_relu", "windows", "thirds"):
        then("Flatten", name, f"{name}_flat")
        flat.append(f"{name}_flat")
    nodes.append(helper.make_node("Concat", flat, ["y"], "y", axis=1))
    return _model(nodes, [1, 1, 24, 26], constants, rank=2)


def threes(groups: int) -> ir.Model:
    """Convolutions of 3 x 3 that Winograd's algorithm takes: with padding, pools, and channels that fill no block."""
    generator = np.random.default_rng(groups)
    shapes = {"a": (16, 16, 3, 3), "b": (44, 16, 3, 3), "c": (36, 48 // groups, 3, 3), "d": (5, 36, 6, 6)}
    constants = {f"{k}w": generator.standard_normal(s).astype(np.float32) * 0.1 for k, s in shapes.items()}
    constants["first"] = generator.standard_normal((16, 2, 3, 3)).astype(np.float32)
    constants["up"] = generator.standard_normal((48, 44, 1, 1)).astype(np.float32) * 0.1
    constants["ab"] = generator.standard_normal(16).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "first"], ["f"], "f", pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["f", "aw", "ab"], ["a"], "a", pads=[1, 1, 1, 1]),
        helper.make_node("Tanh", ["a"], ["t"], "t"),
        helper.make_node("Conv", ["t", "bw"], ["b"], "b", pads=[0, 1, 2, 0]),
        helper.make_node("Relu", ["b"], ["r"], "r"),
        helper.make_node("MaxPool", ["r"], ["p"], "p", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["p", "up"], ["u"], "u"),
        helper.make_node("Conv", ["u", "cw"], ["c"], "c", group=groups, pads=[1, 1, 1, 1]),
        helper.make_node("AveragePool", ["c"], ["q"], "q", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["q", "dw"], ["y"], "d"),
    ]
    return _model(nodes, [1, 2, 27, 25], constants)


@pytest.mark.parametrize("build", BUILDS)
def test_every_width_keeps_the_bounds(build: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "FLAGS", BUILDS[build])
    found = verify(network(), backend="c", synthetic=2)
    assert found.ok, found.defects
    assert found.undisturbed


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("seed", [1, 2, 7])
def test_depthwise_convolutions_keep_the_bounds(build: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "FLAGS", BUILDS[build])
    model = across(seed, real=True)
    assert "depthwise_f32" in {step.call.function for step in translate(model, "net", wide=True).program.steps}
    found = verify(model, backend="c", synthetic=2)
    assert found.ok, found.defects


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("groups", [1, 3])
def test_winograd_keeps_a_bound_of_its_own(build: str, groups: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "FLAGS", BUILDS[build])
    model = threes(groups)
    program = translate(model, "net", wide=True, winograd=True).program
    assert set(tiles_of(program)) == {"a", "b", "c"}
    found = verify(model, backend="c-winograd", synthetic=2)
    assert found.ok, found.defects


def test_the_bound_of_winograd_sees_a_wrong_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transformed weight that is off by 2^-10 of itself is a defect."""
    from toolchain.compile.kernels import winograd

    exact = winograd.transformed

    def wrong(weights: np.ndarray, tile: int) -> np.ndarray:
        made = exact(weights, tile)
        made[..., 1, 2] *= 1 + 2.0**-10
        return made

    monkeypatch.setattr(winograd, "transformed", wrong)
    found = verify(threes(1), backend="c-winograd", synthetic=2)
    assert {region.tensor for region in found.defects} & {"t", "p", "q"}


@pytest.mark.skipif(platform.machine() == "aarch64", reason="the native build is NEON's")
def test_neon_in_the_emulator(tmp_path: Path) -> None:
    target = TARGETS["aarch64"]
    if shutil.which(target.compiler.name) is None or target.emulator is None or shutil.which("qemu-aarch64") is None:
        pytest.skip("no aarch64 compiler, or no emulator")
    for name, model in (("plain", network()), ("three", threes(1))):
        made = translate(model, "net", wide=True, winograd=True)
        folder = write(made, tmp_path / name / "c")
        binary = executable(
            folder, made.program, sources(made.files), harness(made.program, made.plan), tmp_path / name, target
        )
        shape = made.program.inputs[0].shape
        given = {"x": np.random.default_rng(1).standard_normal(shape).astype(np.float32)}
        (seen,) = answers(made.program, binary, [given], target, tmp_path / name)
        judged_by_limits(model, made, {**given, **seen})


def judged_by_limits(model: ir.Model, made: Generated, tensors: dict[str, np.ndarray]) -> None:
    """Every tensor within the sound limit around what its own inputs give."""
    reference = Reference(model)
    steps = bounded(reference.steps, tiles_of(made.program))
    specs = infer(model)
    regions = cut(steps, reference.constants, set(tensors))
    made_here = {step.call.output.name for step in made.program.steps} & set(specs)
    assert made_here <= {region.tensor for region in regions}
    for region in regions:
        exact, bound = limits(region, reference.constants, tensors, specs)
        assert (np.abs(tensors[region.tensor] - exact) <= bound.sound).all(), region.tensor


def test_the_text_is_one_for_all_levels(tmp_path: Path) -> None:
    from toolchain.compile import Options
    from toolchain.compile import compile as compile_model

    model = threes(1)
    made = {
        level: {
            path.name: path.read_bytes()
            for path in sorted(
                compile_model(model, output=tmp_path / level, options=Options(name="net", march=level)).output.iterdir()
            )
            if path.suffix in {".c", ".h", ".S", ".bin", ".py"}
        }
        for level in ("native", "x86-64")
    }
    assert made["native"] == made["x86-64"]
    assert "MARCH ?= x86-64\n" in (tmp_path / "x86-64" / "Makefile").read_text(encoding="utf-8")
    assert 'MARCH "x86-64"' in (tmp_path / "x86-64" / "CMakeLists.txt").read_text(encoding="utf-8")


def test_levels_and_winograd_are_refused_where_they_mean_nothing(tmp_path: Path) -> None:
    from toolchain.compile import Options
    from toolchain.compile import compile as compile_model

    with pytest.raises(UnknownNameError, match="x86-64-v9"):
        compile_model(threes(1), output=tmp_path / "a", options=Options(march="x86-64-v9"))
    with pytest.raises(UsageError, match="--march"):
        compile_model(threes(1), output=tmp_path / "a", target="cortex-m7", options=Options(march="native"))
    with pytest.raises(UsageError, match="--winograd"):
        compile_model(threes(1), output=tmp_path / "a", target="cortex-m7", options=Options(winograd=True))
    assert not (tmp_path / "a").exists()
