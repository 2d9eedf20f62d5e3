"""Float kernels for microcontrollers: their C on this machine, their instructions in QEMU, both within the limits."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from onnx import helper

from benchmarks import firmware
from tests.compile import branches
from tests.compile.graphs import feeds
from tests.compile.running import on_host, write
from tests.compile.test_float import _model
from tests.compile.test_float_wide import judged_by_limits
from tests.conftest import Exported
from toolchain.compile.device import answers, executable
from toolchain.compile.generate import harness, sources
from toolchain.compile.kernels import scalar
from toolchain.compile.kernels.activation import Activation
from toolchain.compile.targets import TARGETS, Target
from toolchain.compile.translate import Generated, translate
from toolchain.data import samples
from toolchain.load import load
from toolchain.reference import Reference

SETS = ("small", "dual", "patch", "vector")
OWN = {"convscalar_f32", "gemmscalar_f32"}
SEEDS = [*range(8), *(pytest.param(seed, marks=pytest.mark.sweep) for seed in range(100, 200))]
Feeds = list[dict[str, np.ndarray]]
FRAME = 512
"""Bytes of the stack that one function may take."""
MOST = 730_000
"""Instructions of a float LeNet-5."""


def called(made: Generated) -> set[str]:
    return {step.call.function for step in made.program.steps}


def drawn(seed: int) -> Iterator[ir.Model]:
    """Convolutions, then dense layers, with edges in every dimension."""
    yield branches.convolutions(seed, real=True)
    yield branches.dense_layers(seed, real=True)


def odd() -> ir.Model:
    """What random layers may miss: functions that fall, pools of windows that no four divide, several vectors."""
    generator = np.random.default_rng(3)
    shapes = {"a": (11, 3, 3, 3), "b": (6, 1, 3, 3), "c": (9, 11, 2, 2), "m": (5, 7)}
    constants = {name: generator.standard_normal(shape).astype(np.float32) * 0.3 for name, shape in shapes.items()}
    nodes = [
        helper.make_node("Conv", ["x", "a"], ["ca"], "ca", pads=[1, 0, 2, 1]),
        helper.make_node("HardSwish", ["ca"], ["ha"], "ha"),
        helper.make_node("MaxPool", ["ha"], ["pa"], "pa", kernel_shape=[3, 3], strides=[3, 3]),
        helper.make_node("Conv", ["x", "b"], ["cb"], "cb", group=3, pads=[1, 1, 1, 1], dilations=[1, 1]),
        helper.make_node("LeakyRelu", ["cb"], ["lb"], "lb", alpha=-0.5),
        helper.make_node("MaxPool", ["lb"], ["pb"], "pb", kernel_shape=[1, 3], strides=[1, 3]),
        helper.make_node("Conv", ["pa", "c"], ["cc"], "cc"),
        helper.make_node("Tanh", ["cc"], ["tc"], "tc"),
        helper.make_node("AveragePool", ["tc"], ["pc"], "pc", kernel_shape=[3, 1], strides=[3, 1]),
        helper.make_node("MatMul", ["x", "mt"], ["dm"], "dm"),
        *(helper.make_node("Flatten", [name], [f"{name}f"], f"{name}f") for name in ("pb", "pc", "dm")),
        helper.make_node("Concat", ["pbf", "pcf", "dmf"], ["y"], "y", axis=1),
    ]
    constants["mt"] = np.ascontiguousarray(constants.pop("m").T)
    return _model(nodes, [1, 3, 12, 7], constants, rank=2)


def emulated(name: str, level: str) -> Target:
    target = replace(TARGETS[name], optimization=level)
    for tool in (target.compiler, target.emulator):
        if tool is None or shutil.which(tool.name) is None:
            pytest.skip(f"{tool} is not installed")
    return target


def in_emulator(made: Generated, given: Feeds, target: Target, folder: Path) -> Iterator[dict[str, np.ndarray]]:
    """Every layer's output for each sample."""
    written = write(made, folder / "c")
    (folder / "built").mkdir()
    text = harness(made.program, made.plan)
    binary = executable(written, made.program, sources(made.files), text, folder / "built", target)
    return answers(made.program, binary, given, target, folder / "built")


def given_to(model: ir.Model) -> Feeds:
    name = model.graph.inputs[0].name or ""
    return [{name: sample["image"]} for sample in feeds(model, 3, 5)]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_portable_form_keeps_the_bounds(seed: int, tmp_path: Path) -> None:
    for index, model in enumerate(drawn(seed)):
        made = translate(model, "net", kernels="dual")
        assert called(made) & OWN
        assert not called(made) & {"conv_f32", "gemm_f32"}
        run = on_host(made, tmp_path / str(index))
        for sample in given_to(model):
            judged_by_limits(model, made, {**sample, **run(sample)})


def test_the_portable_form_of_odd_layers(tmp_path: Path) -> None:
    model = odd()
    made = translate(model, "net", kernels="dual")
    assert {step.call.function for step in made.program.steps} >= OWN
    run = on_host(made, tmp_path)
    for sample in given_to(model):
        judged_by_limits(model, made, {**sample, **run(sample)})


def test_the_limits_see_a_wrong_weight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tap that is off by 2^-10 of itself."""
    exact = scalar.ordered

    def wrong(taps: np.ndarray, bias: np.ndarray, widths: list[int]) -> object:
        taps = taps.copy()
        taps[:, 0, 0] *= 1 + 2.0**-10
        return exact(taps, bias, widths)

    monkeypatch.setattr(scalar, "ordered", wrong)
    model = odd()
    made = translate(model, "net", kernels="dual")
    run = on_host(made, tmp_path)
    (sample, *_) = given_to(model)
    with pytest.raises(AssertionError):
        judged_by_limits(model, made, {**sample, **run(sample)})


@pytest.mark.parametrize(
    "level", ["-Og", *(pytest.param(x, marks=pytest.mark.slow) for x in ("-O0", "-Os", "-O2", "-O3"))]
)
@pytest.mark.parametrize(
    "name", ["cortex-m7", "cortex-m3", *(pytest.param(f"cortex-m{n}", marks=pytest.mark.slow) for n in (4, 33, 55))]
)
def test_the_instructions_keep_the_bounds(name: str, level: str, tmp_path: Path) -> None:
    target = emulated(name, level)
    for index, model in enumerate([odd(), *drawn(2)]):
        made = translate(model, "net", kernels=target.kernels)
        given = given_to(model)
        for sample, seen in zip(given, in_emulator(made, given, target, tmp_path / str(index)), strict=True):
            judged_by_limits(model, made, {**sample, **seen})


@pytest.mark.parametrize("target", ["host", "cortex-m7"])
@pytest.mark.parametrize("kind", ["MaxPool", "AveragePool", ""])
def test_a_nan_stays_one(kind: str, target: str, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    nodes = [helper.make_node("Conv", ["x", "w"], ["c" if kind else "y"], "c")]
    if kind:
        nodes.append(helper.make_node(kind, ["c"], ["y"], "p", kernel_shape=[3, 3], strides=[3, 3]))
    model = _model(nodes, [1, 1, 10, 10], {"w": generator.standard_normal((7, 1, 2, 2)).astype(np.float32)})
    made = translate(model, "net", kernels="dual")
    given = [{"x": generator.standard_normal((1, 1, 10, 10)).astype(np.float32)} for _ in range(81)]
    for sample, at in zip(given, np.ndindex(9, 9), strict=True):
        sample["x"][0, 0, *at] = np.nan
    if target == "host":
        run = on_host(made, tmp_path)
        seen = [run(sample) for sample in given]
    else:
        seen = list(in_emulator(made, given, emulated(target, "-Og"), tmp_path))
    for sample, received in zip(given, seen, strict=True):
        meant = Reference(model).run(sample)["y"]
        assert np.isnan(meant).any()
        assert np.isnan(received["y"]).tolist() == np.isnan(meant).tolist()


@pytest.mark.parametrize("channels", range(1, 70))
def test_blocks_hold_every_channel_with_the_fewest_instructions(channels: int) -> None:
    widths = scalar.widths_of(channels)
    assert sum(widths[:-1]) < channels <= sum(widths)
    assert widths == sorted(widths, reverse=True)
    ways = [
        31 * a + 23 * b + 12 * c
        for a in range(13)
        for b in range(19)
        for c in range(channels + 1)
        if 6 * a + 4 * b + c >= channels
    ]
    assert sum(scalar.COSTS[width] for width in widths) == min(ways)


def test_a_function_that_falls_stays_before_the_pool() -> None:
    assert scalar.rises(Activation("ELU", 0.5))
    assert not scalar.rises(Activation("ELU", -0.5))
    assert not scalar.rises(Activation("HARD_SWISH", 1 / 6, 0.5))
    made = translate(odd(), "net", kernels="dual")
    layers = {
        step.name: dict(step.call.layer.fields) for step in made.program.steps if step.call.function[:4] == "conv"
    }
    kinds = {name: [dict(f[k].fields)["kind"].name for k in ("each", "activation")] for name, f in layers.items()}  # type: ignore[union-attr]
    assert sorted(kinds.values()) == [
        ["ACTIVATION_HARD_SWISH", "ACTIVATION_NONE"],
        ["ACTIVATION_LEAKY", "ACTIVATION_NONE"],
        ["ACTIVATION_TANH", "ACTIVATION_NONE"],
    ]


@pytest.mark.parametrize("kernels", SETS)
def test_every_set_has_them_in_no_more_memory(kernels: str, exported: Exported) -> None:
    model = load(exported("lenet5-relu"))
    own, plain = (translate(model, "net", kernels=name) for name in (kernels, "portable"))
    assert called(own) == OWN
    assert called(plain) == {"conv_f32", "gemm_f32"}
    assert own.plan.size <= plain.plan.size


@pytest.mark.parametrize("images", [2, pytest.param(50, marks=pytest.mark.slow)])
@pytest.mark.parametrize("net", ["lenet5", "lenet5-relu", "example-cnn"])
def test_networks_in_the_emulator(net: str, images: int, exported: Exported, tmp_path: Path) -> None:
    target = emulated("cortex-m7", "-O2")
    model = load(exported(net))
    given = samples(model, f"mnist:test:{images}")
    made = translate(model, "net", kernels=target.kernels)
    ones = [given.feeds(i, i + 1) for i in range(images)]
    for sample, seen in zip(ones, in_emulator(made, ones, target, tmp_path), strict=True):
        judged_by_limits(model, made, {**sample, **seen})


def test_instructions_and_stack_of_lenet(exported: Exported, tmp_path: Path) -> None:
    emulated("cortex-m7", "-O2")
    case = firmware.Case("cortex-m7", "fast", "float32", MOST)
    layers, report = firmware.counted(load(exported("lenet5-relu")), case, tmp_path)
    assert 416_520 < sum(count for _, count in layers) <= MOST
    assert all(frame <= FRAME for _, frame in report.path)
    assert report.data == 0
