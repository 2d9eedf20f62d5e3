"""Generated C against the runtimes: time at batch 1 on one thread, or two, after the answers were checked.

Each row of :data:`CASES` is a network as a C library for this very machine and the same ONNX file in ONNX Runtime and,
where they are installed (extra ``peers``), OpenVINO and ncnn. All candidates of a case take turns in one run. ONNX
Runtime is called through an I/O binding, whose own cost per call is measured on a network that does nothing.

    python -m benchmarks.compiled [CASE ...]     writes results/compiled.json and results/compiled.md
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import helper

from benchmarks import peers
from models import zoo
from toolchain.benchmark import answer, environment, stats, timing
from toolchain.compile import Options
from toolchain.compile import compile as compile_model
from toolchain.data import Samples, samples
from toolchain.errors import ToolchainError
from toolchain.export import export
from toolchain.files import write_bytes
from toolchain.load import load
from toolchain.quantize import Scheme
from toolchain.quantize.static import convert
from toolchain.session import serialized
from toolchain.verify import verify

Array = NDArray[Any]
RESULTS = Path(__file__).parent / "results"
SEED = 1
OURS, BASE, EMPTY = "onnx-edge", "onnxruntime", "onnxruntime, empty network"
MOBILE = "benchmarks.mobile:mobilenet_v2"
WRAPPER, CALLS, ROUNDS = "onnx-edge, wrapper", 200, 31
CLOCK = """
#define _POSIX_C_SOURCE 199309L
#include <time.h>
double repeat(void (*run)(const void *, void *, void *), const void *in, void *out, void *arena, int count);
double repeat(void (*run)(const void *, void *, void *), const void *in, void *out, void *arena, int count)
{
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (int i = 0; i < count; ++i) {
        run(in, out, arena);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    return ((double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec)) / count;
}
"""


@dataclass(frozen=True)
class Case:
    """One row.

    Attributes:
        name: on the command line.
        net: of the zoo, or a factory; without trained weights it gets seeded ones and synthetic pictures.
        bar: time over ONNX Runtime's that is to be reached on a processor with AVX-512; ``None`` without one.
        options: of ``compile``.
        backend: that judges the answers.
        quantized: to int8 first; every layer's bytes are judged.
        samples, seconds: rounds wanted, and how long they may take.
    """

    name: str
    net: str
    bar: float | None
    options: Options
    backend: str = "c"
    samples: int = 1000
    seconds: float = 15.0
    quantized: bool = False

    @property
    def large(self) -> bool:
        """Whether it takes tens of milliseconds: its final answer is checked, not each layer."""
        return self.net in ("alexnet", "vgg16")


CASES = (
    Case("lenet5", "lenet5", 0.28, Options("net")),
    Case("lenet5-relu", "lenet5-relu", 0.22, Options("net")),
    Case("example-cnn", "example-cnn", 0.34, Options("net")),
    Case("example-cnn-winograd", "example-cnn", 0.34, Options("net", winograd=True), "c-winograd"),
    Case("mobilenet-v2", MOBILE, None, Options("net")),
    Case("alexnet", "alexnet", 0.85, Options("net"), samples=65, seconds=30.0),
    Case("alexnet-winograd", "alexnet", 0.85, Options("net", winograd=True), "c-winograd", 65, 30.0),
    Case("vgg16", "vgg16", 0.45, Options("net"), samples=65, seconds=60.0),
    Case("vgg16-winograd", "vgg16", 0.45, Options("net", winograd=True), "c-winograd", 65, 60.0),
    Case("alexnet-two", "alexnet", None, Options("net", winograd=True, threads=2), "c-winograd", 65, 30.0),
    Case("vgg16-two", "vgg16", None, Options("net", winograd=True, threads=2), "c-winograd", 65, 60.0),
    Case("lenet5-int8", "lenet5", 0.08, Options("net"), quantized=True),
    Case("lenet5-relu-int8", "lenet5-relu", 0.08, Options("net"), quantized=True),
    Case("example-cnn-int8", "example-cnn", 0.08, Options("net"), quantized=True),
    Case("mobilenet-v2-int8", MOBILE, None, Options("net"), quantized=True),
    Case("vgg16-int8", "vgg16", 0.85, Options("net"), samples=65, seconds=60.0, quantized=True),
)
CALIBRATION = 128
"""Training pictures that the ranges of int8 cases are observed on; one synthetic one of untrained networks."""


def measure(case: Case) -> dict[str, Any]:
    """Build, judge and time one case.

    Returns:
        Facts for JSON: seconds, and each candidate's time over ONNX Runtime's, round by round.

    Raises:
        GateFailedError: a candidate answers wrong.
    """
    network = zoo.get(case.net)
    trained = network.weights is not None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        export(case.net, output=path, seed=None if trained else SEED)
        if case.quantized:
            path = _quantized(path, f"{network.data}:train:{CALIBRATION}" if trained else None)
        model = load(path)
        data = f"{network.data}:test:8" if trained else None
        given = samples(model, data, synthetic=None if trained else 1, seed=SEED)
        judged = None if case.large else _judged(path, case, given, f"{network.data}:test:100" if trained else None)
        feeds = given.feeds(0, 1)
        expected = answer.expect(model, feeds)
        made = compile_model(path, output=Path(folder) / "c", options=case.options)
        c = Generated(Path(folder) / "c", feeds)
        others = _others(path, feeds, case)
        answers: dict[str, Callable[[], Array]] = {OURS: c.answer, **{name: one.answer for name, one in others.items()}}
        name = next(iter(expected.outputs))
        checks = {
            who: asdict(answer.check_answer(f"{case.name}, {who}", expected, {name: call()}, tf32=False))
            for who, call in answers.items()
        }
        calls: dict[str, timing.Call] = {OURS: c.raw, WRAPPER: c.wrapped, EMPTY: _empty(Path(folder))}
        calls.update({who: one.call for who, one in others.items()})
        for call in calls.values():
            timing.warm_up(call)
        times = timing.interleave(calls, samples=case.samples, seconds=case.seconds)
        pairs = np.array([c.pair(1 if case.large else CALLS) for _ in range(ROUNDS)])
    shares = {who: times[who] / times[BASE] for who in calls}
    return {
        "case": case.name,
        "bar": case.bar,
        "weights": "trained" if trained else f"seed {SEED}",
        "judged": judged,
        "arena": made.memory.arena,
        "in a C loop": asdict(stats.median(pairs[:, 0])),
        "added by a bound call": asdict(stats.median(pairs[:, 1] - pairs[:, 0])),
        "added by the wrapper": asdict(stats.median(pairs[:, 2] - pairs[:, 0])),
        "candidates": {
            who: {
                "calls": len(taken),
                "seconds": asdict(stats.median(taken)),
                "share": asdict(stats.median(shares[who])),
                "check": checks.get(who),
            }
            for who, taken in times.items()
        },
    }


def _judged(path: Path, case: Case, given: Samples, data: str | None) -> str:
    """The verdict of every node."""
    if case.quantized:
        return _bytes(path, case, data)
    found = verify(path, backend=case.backend, data=given)
    if not found.ok:
        raise SystemExit(f"{case.name}: {len(found.defects)} nodes beyond their bounds; not timed")
    return f"{len(found.regions)} nodes of {found.samples} samples within their bounds ({case.backend})"


def _quantized(path: Path, data: str | None) -> Path:
    """The network as int8, beside the float one."""
    model = load(path)
    training = samples(model, data, synthetic=None if data else 1, seed=SEED)
    made = path.with_suffix(".int8.onnx")
    made.write_bytes(serialized(convert(model, training, Scheme())))
    return made


def _bytes(path: Path, case: Case, data: str | None) -> str:
    """Every layer's bytes against the integer reference."""
    with tempfile.TemporaryDirectory() as folder:
        drawn = None if data else 8
        into = Path(folder) / "c"
        found = compile_model(path, output=into, options=case.options, run=True, data=data, synthetic=drawn).verdict
    if found is None or not found.ok or not found.compared:
        raise SystemExit(f"{case.name}: bytes differ from exact arithmetic; not timed")
    return f"{found.compared:,} values of {found.samples} samples are those of exact arithmetic"


class Generated:
    """A compiled network.

    Args:
        folder: what ``compile`` wrote under the name ``net``.
        feeds: its input.
    """

    def __init__(self, folder: Path, feeds: Mapping[str, Array]) -> None:
        spec = importlib.util.spec_from_file_location("net", folder / "net.py")
        if spec is None or spec.loader is None:
            raise ImportError(f"{folder / 'net.py'} is no module")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self._input = np.ascontiguousarray(next(iter(feeds.values())))
        self._network = module.Network()
        self._run = module._run
        self._places = (self._input.ctypes.data, *self._network._rest)
        self._bound = self._network.bind(self._input)[0]
        self._clock = _clock(folder)

    def raw(self) -> None:
        """The C function through ctypes, its arguments at hand."""
        self._run(*self._places)

    def wrapped(self) -> object:
        """As a user calls it from Python."""
        return self._network(self._input)

    def answer(self) -> Array:
        """What it computes."""
        return np.array(self._network(self._input)[0])

    def pair(self, count: int) -> tuple[float, float, float]:
        """Seconds a call, one right after the other: called from C, by a bound call, and through the wrapper."""
        looped = float(self._clock(ctypes.cast(self._run, ctypes.c_void_p), *self._places, count))
        taken = []
        for call in (self._bound, self.wrapped):
            start = time.perf_counter()
            for _ in range(count):
                call()
            taken.append((time.perf_counter() - start) / count)
        return looped, taken[0], taken[1]


def _clock(folder: Path) -> Any:
    from toolchain.compile.build import run

    source, library = folder / "clock.c", folder / "libclock.so"
    source.write_text(CLOCK, encoding="utf-8")
    run(["gcc", "-std=c99", "-O2", "-shared", "-fPIC", source, "-o", library], folder)
    function = ctypes.CDLL(str(library)).repeat
    function.restype = ctypes.c_double
    function.argtypes = [ctypes.c_void_p] * 4 + [ctypes.c_int]
    return function


def _others(path: Path, feeds: Mapping[str, Array], case: Case) -> dict[str, peers.Peer]:
    """The runtimes that are installed, with as many threads."""
    threads = case.options.threads
    made = {BASE: peers.onnxruntime(path, feeds, threads)}
    for name, (package, start) in peers.OPTIONAL.items():
        if case.quantized and name not in peers.QUANTIZED:
            continue
        if importlib.util.find_spec(package) is not None:
            made[name] = start(path, feeds, threads)
    return made


def _empty(folder: Path) -> timing.Call:
    """ONNX Runtime on a network of one Identity: what a call costs."""
    value = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 10]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "empty", value[:1], value[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    path = folder / "empty.onnx"
    onnx.save(model, path)
    return peers.onnxruntime(path, {"x": np.zeros((1, 10), np.float32)}).call


def report(facts: Mapping[str, Any]) -> str:
    """The results as Markdown."""
    machine = facts["environment"]
    lines = [
        "# Generated C against the runtimes, batch 1, one thread (`-two`: two)",
        "",
        f"{machine['cpu']}, {facts['vectors']}; load {machine['load']} before the run; Python {machine['python']}, "
        f"onnxruntime {ort.__version__}, gcc -O3 -march=native. Candidates of a case take turns in one run; medians "
        "with 95% intervals. *share*: time over ONNX Runtime's of the same round. The bar is for "
        "a processor with AVX-512.",
        "",
        "| case | candidate | calls | us | share | bar |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for row in facts["cases"]:
        for who, found in row["candidates"].items():
            us, share = ({k: v * f for k, v in found[key].items()} for key, f in (("seconds", 1e6), ("share", 1)))
            bar = f"{row['bar']:.2f}" if who == OURS and row["bar"] is not None else ""
            lines.append(
                f"| {row['case']} | {who} | {found['calls']} | {us['value']:.1f} [{us['low']:.1f}, {us['high']:.1f}] | "
                f"{share['value']:.3f} [{share['low']:.3f}, {share['high']:.3f}] | {bar} |"
            )
    lines += ["", "| case | us in a C loop | added by a bound call | by a plain call from Python | judged |"]
    lines.append("|---|---:|---:|---:|---|")
    for row in facts["cases"]:
        loop, bound, plain = (
            "-" if a is None else f"{a['value'] * 1e6:.2f} [{a['low'] * 1e6:.2f}, {a['high'] * 1e6:.2f}]"
            for a in (row["in a C loop"], row.get("added by a bound call"), row["added by the wrapper"])
        )
        lines.append(f"| {row['case']} | {loop} | {bound} | {plain} | {row['judged'] or 'final answer only'} |")
    return "\n".join(lines) + "\n"


def vectors() -> str:
    """The widest vectors that the compiler may use here."""
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    return next((name for flag, name in (("avx512f", "AVX-512"), ("avx2", "AVX2")) if flag in flags), "no AVX2")


def main(chosen: list[str]) -> None:
    """Measure the named cases, or all; rows of other cases stay as they are in the results."""
    unknown = sorted(set(chosen) - {case.name for case in CASES})
    if unknown:
        raise SystemExit(f"no case {unknown[0]!r}; expected one of {', '.join(case.name for case in CASES)}")
    path = RESULTS / "compiled.json"
    old = json.loads(path.read_text(encoding="utf-8"))["cases"] if path.exists() else []
    rows = {row["case"]: row for row in old}
    about = environment.environment()
    for case in CASES:
        if not chosen or case.name in chosen:
            try:
                rows[case.name] = measure(case)
            except ToolchainError as error:
                raise SystemExit(f"{case.name}: {error}") from error
    ordered = [rows[case.name] for case in CASES if case.name in rows]
    facts = {"environment": asdict(about), "vectors": vectors(), "cases": ordered}
    write_bytes(path, (json.dumps(facts, indent=1) + "\n").encode(), force=True)
    write_bytes(RESULTS / "compiled.md", report(facts).encode(), force=True)


if __name__ == "__main__":
    main(sys.argv[1:])
    sys.stdout.write((RESULTS / "compiled.md").read_text(encoding="utf-8"))
