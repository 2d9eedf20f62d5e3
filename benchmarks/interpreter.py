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
from collections.abc import Mapping
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
POOL_GOAL, CONV_GOAL = 500.0, 1.0
SEED = 0


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
    name: str, goal: float, op: str, shape: tuple[int, ...], *weights: tuple[int, ...], **attributes: Any
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
    names = [f"w{i}" for i in range(len(weights))]
    graph = helper.make_graph(
        [helper.make_node(op, ["x", *names], ["y"], name=op, **attributes)],
        name,
        [helper.make_tensor_value_info("x", onnx.TensorProto.DOUBLE, shape)],
        [onnx.ValueInfoProto(name="y", type=helper.make_tensor_type_proto(onnx.TensorProto.DOUBLE, None))],
        [numpy_helper.from_array(generator.standard_normal(w), n) for w, n in zip(weights, names, strict=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    return Case(name, goal, model, {"x": generator.standard_normal(shape)})


def cases() -> tuple[Case, ...]:
    """Layers as the networks have them, odd ones besides, and LeNet-5."""
    window = {"kernel_shape": [3, 3], "strides": [2, 2]}
    same = {"pads": [1, 1, 1, 1]}
    pool, conv = POOL_GOAL, CONV_GOAL
    return (
        node_case("MaxPool 1x6x28x28, 2/2", pool, "MaxPool", (1, 6, 28, 28), kernel_shape=[2, 2], strides=[2, 2]),
        node_case("MaxPool 1x64x55x55, 3/2", pool, "MaxPool", (1, 64, 55, 55), **window),
        node_case("MaxPool 1x32x28x28, 3/1, padded", pool, "MaxPool", (1, 32, 28, 28), kernel_shape=[3, 3], **same),
        node_case(
            "AveragePool 1x6x28x28, 2/2", pool, "AveragePool", (1, 6, 28, 28), kernel_shape=[2, 2], strides=[2, 2]
        ),
        node_case("AveragePool 1x64x27x27, 3/2", pool, "AveragePool", (1, 64, 27, 27), **window),
        node_case(
            "AveragePool 1x32x14x14, 3/1, padded", pool, "AveragePool", (1, 32, 14, 14), kernel_shape=[3, 3], **same
        ),
        node_case("Conv 1x1x32x32, 6 of 5x5", conv, "Conv", (1, 1, 32, 32), (6, 1, 5, 5), (6,)),
        node_case("Conv 1x6x14x14, 16 of 5x5", conv, "Conv", (1, 6, 14, 14), (16, 6, 5, 5), (16,)),
        node_case("Conv 1x64x56x56, 64 of 3x3", conv, "Conv", (1, 64, 56, 56), (64, 64, 3, 3), (64,), **same),
        node_case("Conv 1x256x14x14, 256 of 3x3", conv, "Conv", (1, 256, 14, 14), (256, 256, 3, 3), (256,), **same),
        node_case("Conv 1x3x112x112, 32 of 3x3/2", conv, "Conv", (1, 3, 112, 112), (32, 3, 3, 3), strides=[2, 2]),
        node_case("Conv 1x256x28x28, 64 of 1x1", conv, "Conv", (1, 256, 28, 28), (64, 256, 1, 1)),
        node_case("Conv 1x64x28x28, depthwise 3x3", conv, "Conv", (1, 64, 28, 28), (64, 1, 3, 3), group=64, **same),
        node_case("Conv 1x64x28x28, 4 groups", conv, "Conv", (1, 64, 28, 28), (64, 16, 3, 3), group=4, **same),
        node_case("Conv 8x16x20x20, dilated 2", conv, "Conv", (8, 16, 20, 20), (16, 16, 3, 3), dilations=[2, 2]),
        lenet5(),
    )


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
    mine, other = ours.run(case.feeds)[name], np.asarray(theirs.run([name], dict(case.feeds))[0])
    scale = float(np.abs(mine).max())
    allowed = AGREEMENT if other.dtype == np.float64 else float(np.finfo(np.float32).eps) * 64
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
        f"{machine['python']}, {packages}. One thread, float64 (onnx.reference runs LeNet-5 in its float32). "
        "Medians of "
        "calls made in turns, after the answers were compared; brackets are 95% intervals. A goal counts as "
        "reached when "
        "the lower end of the interval reaches it.",
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
    return "\n".join(lines) + "\n"


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
