"""The interpreter's speed beside ``onnx.reference``: pools, convolutions and LeNet-5 whole, in float64.

Both walk the same model on the same input. Their answers are compared first; then they are timed in turns in one run,
on one thread. Run as ``python -m benchmarks.interpreter``; writes ``results/interpreter.json`` and
``results/interpreter.md``. Goals: pools 500 times as fast, convolutions at least as fast.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator  # noqa: TID251  it is what the interpreter is compared with

from toolchain.benchmark import environment, stats, timing
from toolchain.export import export
from toolchain.load import load
from toolchain.reference import Reference

Array = NDArray[Any]

RESULTS = Path(__file__).parent / "results"
OURS, THEIRS = "onnx-edge", "onnx.reference"
ROUNDS = 101
SECONDS = 12.0
FEWEST = 11
"""Rounds that the interval of a median needs; a case slower than the time allows makes as many."""
AGREEMENT = 1e-12
"""Of the largest answer: both compute in float64, so that only the order of summation differs."""
FLOAT32_AGREEMENT = float(np.finfo(np.float32).eps) * 64
POOL_GOAL, CONV_GOAL = 500.0, 1.0
SEED = 0
OPSET = 22
EXTRAS = {"pads": "padded", "ceil_mode": "ceil_mode", "count_include_pad": "padding counts"}
"""How a case's name says what its attributes add."""


@dataclass(frozen=True)
class Case:
    """One model and its input.

    Attributes:
        name: in the table.
        goal: speed against onnx.reference that is promised; ``None`` without a promise.
        model: float64 where it is of one node.
        feeds: by input name.
    """

    name: str
    goal: float | None
    model: onnx.ModelProto
    feeds: Mapping[str, Array]


def node_case(
    name: str, goal: float | None, op: str, shape: tuple[int, ...], *weights: tuple[int, ...], **attributes: Any
) -> Case:
    """One node in float64, weights as initializers.

    Args:
        name: in the table.
        goal: promised speed.
        op: operator.
        shape: of the input, [N, C, H, W].
        weights: shapes of further inputs.
        attributes: of the node.
    """
    generator = np.random.default_rng(SEED)
    drawn = [generator.standard_normal(weight) for weight in weights]
    return _case(name, goal, op, generator.standard_normal(shape), drawn, attributes)


def pool_case(op: str, shape: tuple[int, ...], where: str, dtype: Any = np.float64, **attributes: Any) -> Case:
    """A pool, named after its windows and the network that has it.

    Args:
        op: operator.
        shape: of the input, [N, C, H, W].
        where: the network.
        dtype: float64, int8 or uint8 (all values are drawn).
        attributes: of the node.
    """
    kernel, strides = attributes.get("kernel_shape"), attributes.get("strides", [1, 1])
    window = "" if kernel is None else f", {kernel[0]}/{strides[0]}"
    extras = [text for key, text in EXTRAS.items() if attributes.get(key)]
    name = ", ".join([f"{op} {'x'.join(map(str, shape))}{window}", *extras, where])
    generator = np.random.default_rng(SEED)
    if np.dtype(dtype).kind == "f":
        x: Array = generator.standard_normal(shape)
    else:
        limits = np.iinfo(dtype)
        x = generator.integers(limits.min, limits.max, shape, dtype, endpoint=True)
        name = name.replace(op, f"{op} {np.dtype(dtype).name}")
    return _case(name, POOL_GOAL, op, x, [], attributes)


def _case(
    name: str, goal: float | None, op: str, x: Array, weights: Sequence[Array], attributes: Mapping[str, Any]
) -> Case:
    names = [f"w{i}" for i in range(len(weights))]
    kind = helper.np_dtype_to_tensor_dtype(x.dtype)
    graph = helper.make_graph(
        [helper.make_node(op, ["x", *names], ["y"], name=op, **attributes)],
        name,
        [helper.make_tensor_value_info("x", kind, x.shape)],
        [onnx.ValueInfoProto(name="y", type=helper.make_tensor_type_proto(kind, None))],
        [numpy_helper.from_array(w, n) for w, n in zip(weights, names, strict=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    return Case(name, goal, model, {"x": x})


def pools() -> tuple[Case, ...]:
    """Every kind of pool that the networks named have, at their sizes."""

    def window(size: int, stride: int, pad: int = 0, **more: int) -> dict[str, Any]:
        padding = {"pads": [pad] * 4} if pad else {}
        return {"kernel_shape": [size, size], "strides": [stride, stride], **padding, **more}

    two, three, same = window(2, 2), window(3, 2), window(3, 1, 1)
    return (
        pool_case("MaxPool", (1, 6, 28, 28), "LeNet-5", **two),
        pool_case("MaxPool", (32, 6, 28, 28), "LeNet-5", **two),
        *(
            pool_case("MaxPool", (1, channels, size, size), "VGG16", **two)
            for channels, size in ((64, 224), (128, 112), (256, 56), (512, 28), (512, 14))
        ),
        *(
            pool_case("MaxPool", (1, channels, size, size), "AlexNet", **three)
            for channels, size in ((96, 55), (256, 27), (256, 13))
        ),
        pool_case("MaxPool", (16, 256, 13, 13), "AlexNet", **three),
        pool_case("MaxPool", (1, 64, 112, 112), "ResNet-50", **window(3, 2, 1)),
        pool_case("MaxPool", (1, 192, 28, 28), "GoogLeNet", **same),
        pool_case("MaxPool", (1, 64, 111, 111), "SqueezeNet", **window(3, 2, ceil_mode=1)),
        pool_case("MaxPool", (1, 512, 13, 13), "YOLOv3-SPP", **window(5, 1, 2)),
        pool_case("MaxPool", (1, 512, 13, 13), "YOLOv3-SPP", **window(13, 1, 6)),
        *(
            pool_case("MaxPool", shape, where, dtype, **attributes)
            for dtype in (np.uint8, np.int8)
            for shape, where, attributes in (
                ((1, 128, 112, 112), "VGG16", two),
                ((1, 256, 27, 27), "AlexNet", three),
                ((1, 64, 112, 112), "ResNet-50", window(3, 2, 1)),
            )
        ),
        pool_case("AveragePool", (1, 6, 28, 28), "LeNet-5", **two),
        pool_case("AveragePool", (1, 16, 10, 10), "LeNet-5", **two),
        pool_case("AveragePool", (32, 6, 28, 28), "LeNet-5", **two),
        pool_case("AveragePool", (1, 128, 56, 56), "DenseNet-121", **two),
        pool_case("AveragePool", (1, 256, 27, 27), "AlexNet's windows", **three),
        pool_case("AveragePool", (1, 1280, 8, 8), "Inception-v3", **same),
        pool_case("AveragePool", (1, 1280, 8, 8), "Inception-v3", **same, count_include_pad=1),
        pool_case("AveragePool", (1, 2048, 7, 7), "ResNet-50", **window(7, 1)),
        pool_case("LpPool", (1, 64, 56, 56), "AlexNet's windows", **three),
        pool_case("GlobalAveragePool", (1, 2048, 7, 7), "ResNet-50"),
        pool_case("GlobalMaxPool", (1, 2048, 7, 7), "ResNet-50"),
    )


def convolutions() -> tuple[Case, ...]:
    """Layers as the networks have them, and odd ones besides."""
    conv, same = CONV_GOAL, {"pads": [1, 1, 1, 1]}
    return (
        node_case("Conv 1x1x32x32, 6 of 5x5", conv, "Conv", (1, 1, 32, 32), (6, 1, 5, 5), (6,)),
        node_case("Conv 1x6x14x14, 16 of 5x5", conv, "Conv", (1, 6, 14, 14), (16, 6, 5, 5), (16,)),
        node_case("Conv 1x64x56x56, 64 of 3x3", conv, "Conv", (1, 64, 56, 56), (64, 64, 3, 3), (64,), **same),
        node_case("Conv 1x256x14x14, 256 of 3x3", conv, "Conv", (1, 256, 14, 14), (256, 256, 3, 3), (256,), **same),
        node_case("Conv 1x3x112x112, 32 of 3x3/2", conv, "Conv", (1, 3, 112, 112), (32, 3, 3, 3), strides=[2, 2]),
        node_case("Conv 1x256x28x28, 64 of 1x1", conv, "Conv", (1, 256, 28, 28), (64, 256, 1, 1)),
        node_case("Conv 1x64x28x28, depthwise 3x3", conv, "Conv", (1, 64, 28, 28), (64, 1, 3, 3), group=64, **same),
        node_case("Conv 1x64x28x28, 4 groups", conv, "Conv", (1, 64, 28, 28), (64, 16, 3, 3), group=4, **same),
        node_case("Conv 8x16x20x20, dilated 2", conv, "Conv", (8, 16, 20, 20), (16, 16, 3, 3), dilations=[2, 2]),
    )


def cases() -> tuple[Case, ...]:
    """Pools, convolutions and LeNet-5."""
    return (*pools(), *convolutions(), lenet5())


def lenet5() -> Case:
    """The network with its trained weights, exported; onnx.reference computes it in the model's float32."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lenet5.onnx"
        export("lenet5", output=path)
        model = ir.to_proto(load(path))
    (value,) = model.graph.input
    shape = [d.dim_value or 1 for d in value.type.tensor_type.shape.dim]
    return Case(
        "LeNet-5", None, model, {value.name: np.random.default_rng(SEED).standard_normal(shape).astype(np.float32)}
    )


def measure(case: Case, *, rounds: int = ROUNDS, seconds: float = SECONDS) -> dict[str, Any]:
    """Check the answers, then time both in turns.

    Returns:
        Facts for JSON: medians in seconds with 95% intervals, and how many times as fast the interpreter is.

    Raises:
        AssertionError: the answers differ by more than the order of summation explains.
    """
    ours, theirs = Reference(ir.from_proto(case.model)), ReferenceEvaluator(case.model)
    (name,) = ours.outputs
    answers: Any = theirs.run([name], dict(case.feeds))
    mine, other = ours.run(case.feeds)[name].astype(np.float64), np.asarray(answers[0])
    scale = float(np.abs(mine).max())
    allowed = 0.0 if other.dtype.kind in "iu" else AGREEMENT if other.dtype == np.float64 else FLOAT32_AGREEMENT
    error = float(np.abs(mine - other).max()) / scale
    if mine.shape != other.shape or not error <= allowed:
        raise AssertionError(f"{case.name}: answers differ by {error:.3g} of the largest; allowed {allowed:.3g}")
    calls: dict[str, timing.Call] = {
        OURS: lambda: ours.run(case.feeds),
        THEIRS: lambda: theirs.run([name], dict(case.feeds)),
    }
    for call in calls.values():
        timing.warm_up(call, 0.5)
    times = timing.interleave(calls, samples=rounds, seconds=seconds)
    short = FEWEST - len(times[OURS])
    if short > 0:
        more = timing.interleave(calls, samples=short, seconds=float("inf"), seed=1)
        times = {key: np.concatenate([taken, more[key]]) for key, taken in times.items()}
    speed = stats.median(timing.ratios(times, THEIRS, [OURS])[OURS])
    return {
        "case": case.name,
        "rounds": len(times[OURS]),
        "difference": error,
        "seconds": {key: asdict(stats.median(taken)) for key, taken in times.items()},
        "speed": asdict(speed),
        "goal": case.goal,
        "reached": None if case.goal is None else speed.low >= case.goal,
    }


def report(facts: dict[str, Any]) -> str:
    """The results as Markdown."""
    machine = facts["environment"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"])
    lines = [
        "# The interpreter beside onnx.reference",
        "",
        f"{machine['cpu']}, {machine['cores']} cores, load {machine['load']} before the run; Python "
        f"{machine['python']}, {packages}. One thread, float64 unless the case says another type (onnx.reference runs "
        "LeNet-5 in its float32). Medians of calls made in turns, after the answers were compared; brackets are 95% "
        "intervals. A goal counts as reached when the lower end of the interval reaches it. `3/2` is a window of 3 by "
        "3 and a stride of 2.",
        "",
        "onnx.reference walks windows in Python in most pools; its global pools are one NumPy reduction, which leaves "
        "nothing to win. A pool of a few thousand values costs the interpreter about as long as the calls into NumPy.",
        "",
        "| case | rounds | onnx-edge us | onnx.reference us | times as fast | goal |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for row in facts["cases"]:
        speed = row["speed"]
        goal = "-" if row["goal"] is None else f"{row['goal']:g}: {'reached' if row['reached'] else 'missed'}"
        lines.append(
            f"| {row['case']} | {row['rounds']} | {_cell(row['seconds'][OURS])} | {_cell(row['seconds'][THEIRS])} | "
            f"{speed['value']:,.3g} [{speed['low']:,.3g}, {speed['high']:,.3g}] | {goal} |"
        )
    return "\n".join([*lines, "", _together(facts["cases"])]) + "\n"


def _together(rows: Sequence[Mapping[str, Any]]) -> str:
    """What the goals say of pools and of convolutions as a class: the sums of all medians, and single cases beside."""
    said = []
    for name, goal in (("pools", POOL_GOAL), ("convolutions", CONV_GOAL)):
        kind = [row for row in rows if row["goal"] == goal]
        ours, theirs = (sum(row["seconds"][key]["value"] for row in kind) for key in (OURS, THEIRS))
        reached = sum(bool(row["reached"]) for row in kind)
        said.append(
            f"All {len(kind)} {name}, each once: {ours * 1e3:,.0f} ms against {theirs * 1e3:,.0f} ms, "
            f"{theirs / ours:,.3g} times as fast (goal {goal:g}); {reached} of them reach the goal each for itself."
        )
    return "\n\n".join(said)


def _cell(percentile: dict[str, float]) -> str:
    value, low, high = (percentile[key] * 1e6 for key in ("value", "low", "high"))
    return f"{value:,.0f} [{low:,.0f}, {high:,.0f}]"


def main(results: Path = RESULTS) -> None:
    """Measure and write both files."""
    facts = {"environment": asdict(environment.environment()), "cases": [measure(case) for case in cases()]}
    results.mkdir(exist_ok=True)
    (results / "interpreter.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    (results / "interpreter.md").write_text(report(facts), encoding="utf-8")


if __name__ == "__main__":
    if os.environ.get("OMP_NUM_THREADS") != "1":
        sys.exit("set OMP_NUM_THREADS=1: products of matrices would run on several threads (`make bench` does)")
    main()
    sys.stdout.write((RESULTS / "interpreter.md").read_text(encoding="utf-8"))
