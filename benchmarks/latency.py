"""Latency of the networks at batch 1 on one thread: ONNX Runtime float and int8, beside PyTorch on the CPU.

All candidates of a network are timed in turns in one run, after their answers were checked. Run as
``python -m benchmarks [NET ...]``; writes ``results/latency.json`` and ``results/latency.md``.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from models import zoo
from toolchain import data
from toolchain.benchmark import answer, environment, runner, stats, timing
from toolchain.export import export
from toolchain.load import load
from toolchain.quantize.rewrite import Scheme
from toolchain.quantize.static import convert

NETS = ("lenet5", "example-cnn", "alexnet", "vgg16")
RESULTS = Path(__file__).parent / "results"
SAMPLES = 1000
SECONDS = 30.0
SEED = 1
BASE = "onnxruntime, float32"


def measure(net: str, *, samples: int = SAMPLES, seconds: float = SECONDS) -> dict[str, Any]:
    """Time one network's candidates.

    Args:
        net: a name of the zoo; without trained weights it gets seeded ones, and synthetic pictures.
        samples: rounds wanted.
        seconds: time at most.

    Returns:
        Facts for JSON: percentiles in seconds, and speed against :data:`BASE`.

    Raises:
        GateFailedError: a candidate answers wrong.
    """
    network = zoo.get(net)
    trained = network.weights is not None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{net}.onnx"
        export(net, output=path, seed=None if trained else SEED)
        model = load(path)
        real = f"{network.data}:train:64" if trained else None
        chosen = data.samples(model, real, synthetic=None if trained else 4, seed=SEED)
        int8 = convert(model, chosen, Scheme())
        feeds = chosen.feeds(0, 1)
        calls: dict[str, timing.Call] = {}
        checks = {}
        for name, candidate in ((BASE, model), ("onnxruntime, int8 QDQ", int8)):
            configuration = runner.Configuration(net, "cpu", 1, 1)
            options = runner.session_options(configuration, allow_fallback=False, spinning=False, tf32=False)
            ready = runner.Runner(candidate, options, feeds)
            checks[name] = answer.check_answer(
                f"{net}, {name}", answer.expect(candidate, feeds), ready.answer(), tf32=False
            )
            calls[name] = ready
        peer, outputs = _pytorch(network, feeds, trained)
        expected = answer.expect(model, feeds)
        checks["pytorch, float32"] = answer.check_answer(
            f"{net}, pytorch", expected, {next(iter(expected.outputs)): outputs}, tf32=False
        )
        calls["pytorch, float32"] = peer
        warm = {name: timing.warm_up(call) for name, call in calls.items()}
        times = timing.interleave(calls, samples=samples, seconds=seconds)
    speeds = timing.ratios(times, BASE, list(calls))
    return {
        "net": net,
        "weights": "trained" if trained else f"seed {SEED}",
        "fed": chosen.name,
        "candidates": {
            name: {
                "calls": len(taken),
                "latency": [asdict(p) for p in stats.percentiles(taken)],
                "speed": asdict(stats.median(speeds[name])) if len(taken) >= 11 else None,
                "warm_up": asdict(warm[name]),
                "check": asdict(checks[name]),
            }
            for name, taken in times.items()
        },
    }


def _pytorch(network: zoo.Network, feeds: dict[str, np.ndarray], trained: bool) -> tuple[timing.Call, np.ndarray]:
    """The eager module on one thread, and its answer."""
    torch = zoo.import_torch()
    torch.set_num_threads(1)
    module = zoo.module(network) if trained else zoo.seeded(network, SEED)
    tensor = torch.from_numpy(next(iter(feeds.values())))

    def call() -> Any:
        with torch.inference_mode():
            return module(tensor)

    return call, call().numpy()


def report(facts: dict[str, Any]) -> str:
    """The results as Markdown."""
    machine = facts["environment"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"])
    lines = [
        "# Latency, batch 1, one thread",
        "",
        f"{machine['cpu']}, {machine['cores']} cores, load {machine['load']} before the run; Python "
        f"{machine['python']}, {packages}, torch {facts['torch']}. Called from Python; candidates of a network "
        "take turns in one run. Brackets are 95% intervals; a percentile without samples enough is left out.",
        "",
        "| network | candidate | calls | p50 us | p99 us | speed |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for row in facts["networks"]:
        for name, found in row["candidates"].items():
            by_percent = {p["percent"]: p for p in found["latency"]}
            speed = found["speed"]
            lines.append(
                f"| {row['net']} ({row['weights']}) | {name} | {found['calls']} | {_cell(by_percent.get(50.0))} | "
                f"{_cell(by_percent.get(99.0))} | "
                + ("- |" if speed is None else f"{speed['value']:.2f}x [{speed['low']:.2f}, {speed['high']:.2f}] |")
            )
    return "\n".join(lines) + "\n"


def _cell(percentile: dict[str, float] | None) -> str:
    if percentile is None:
        return "-"
    value, low, high = (percentile[key] * 1e6 for key in ("value", "low", "high"))
    return f"{value:,.1f} [{low:,.1f}, {high:,.1f}]"


def main(nets: Sequence[str], *, results: Path = RESULTS) -> None:
    """Measure and write both files."""
    facts = {
        "environment": asdict(environment.environment()),
        "torch": zoo.import_torch().__version__,
        "networks": [measure(net) for net in nets or NETS],
    }
    results.mkdir(exist_ok=True)
    (results / "latency.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    (results / "latency.md").write_text(report(facts), encoding="utf-8")
