"""LeNet-5 on Cortex-M: exact instructions in QEMU, code, constants, arena and stack, against the bars.

``python -m benchmarks.firmware`` writes results/firmware.json and .md. Instructions are no cycles: they are what can be
counted without a board, and they repeat to the instruction. No peer is measured.
"""

from __future__ import annotations

import json
import struct
import sys
import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from toolchain.compile.build import run
from toolchain.compile.device import executable
from toolchain.compile.generate import sources
from toolchain.compile.memory import MemoryReport, measure
from toolchain.compile.ports import integer_ports
from toolchain.compile.targets import Target, target_of
from toolchain.compile.tensor import Element
from toolchain.compile.translate import translate
from toolchain.data import samples
from toolchain.export import export
from toolchain.load import load
from toolchain.quantize import quantize

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
NET = "lenet5-relu"
KNOWN = 200_000
"""Instructions of the known loop in ``firmware.c``."""
TICKS = 1 << 24
"""Of SysTick: a layer of more than 10 million instructions, as floats in software take, would be counted short."""
BORDERS = ("quantize_f32_s8", "dequantize_s8_f32")
ARENA, CODE, FRAME = {"fast": 4608, "small": 2048}, 6144, 512


@dataclass(frozen=True)
class Case:
    """What is built.

    Attributes:
        target: name.
        mode: ``fast`` or ``small``.
        model: ``int8``, or ``float32``.
        bar: most instructions; ``None`` where none is set.
    """

    target: str
    mode: str
    model: str
    bar: int | None


CASES = (
    Case("cortex-m0", "fast", "int8", 2_550_000),
    Case("cortex-m3", "fast", "int8", 1_250_000),
    Case("cortex-m4", "fast", "int8", 460_000),
    Case("cortex-m7", "fast", "int8", 460_000),
    Case("cortex-m33", "fast", "int8", None),
    Case("cortex-m55", "fast", "int8", 180_000),
    Case("cortex-m4", "small", "int8", None),
    Case("cortex-m55", "small", "int8", None),
    Case("cortex-m4", "fast", "float32", None),
    Case("cortex-m7", "fast", "float32", 730_000),
    Case("cortex-m33", "fast", "float32", None),
    Case("cortex-m55", "fast", "float32", None),
)


def instructions(binary: Path, target: Target, image: np.ndarray, folder: Path) -> list[int]:
    """Instructions of each layer for one input."""
    (folder / "input.bin").write_bytes(image.tobytes())
    if target.emulator is None:
        raise ValueError(f"{target.name} has no emulator")
    arguments = [part for part in target.run if part != "-kernel"]
    run([target.emulator.path(), *arguments, "-icount", "shift=6", "-kernel", binary], folder)
    content = (folder / "output.bin").read_bytes()
    stamps = struct.unpack(f"<{len(content) // 4}I", content)
    ticks = [(a - b) % TICKS for a, b in pairwise(stamps)]
    return [round(t * KNOWN / ticks[0]) for t in ticks[1:]]


def counted(model: ir.Model, case: Case, folder: Path) -> tuple[list[tuple[str, int]], MemoryReport]:
    """Kernels with their instructions, and the memory of the build."""
    target = target_of(case.target)
    made = translate(model, "network", kernels=target.kernels if case.mode == "fast" else "small")
    parts = [folder / name for name in ("c", "measured", "built")]
    for part in parts:
        part.mkdir()
    for name, content in made.files.items():
        (parts[0] / name).write_bytes(content)
    report, _ = measure(made.program, made.plan, parts[0], sources(made.files), parts[1], target)
    entry, exit_ = made.program.inputs[0], made.program.outputs[0]
    text = (HERE / "firmware.c").read_text(encoding="utf-8")
    for word, value in (
        ("NETWORK", "network"),
        ("IN_TYPE", entry.element.value),
        ("IN_SIZE", entry.size),
        ("OUT_TYPE", exit_.element.value),
        ("OUT_SIZE", exit_.size),
        ("(ARENA", f"({made.plan.size}"),
    ):
        text = text.replace(word, str(value))
    binary = executable(parts[0], made.program, sources(made.files), text, parts[2], target)
    kind = np.float32 if entry.element is Element.FLOAT else np.int8
    image = samples(model, "mnist:test:1").tensor if kind is np.float32 else np.zeros(entry.shape, np.int8)
    found = instructions(binary, target, np.ascontiguousarray(image, dtype=kind), parts[2])
    kernels = [step.call.function for step in made.program.steps]
    return list(zip(kernels, found, strict=True)), report


def row(case: Case, models: dict[str, ir.Model]) -> dict[str, Any]:
    """One case: with float borders, and the network proper."""
    with tempfile.TemporaryDirectory() as folder:
        layers, report = counted(models[case.model], case, Path(folder))
    proper = sum(n for kernel, n in layers if kernel not in BORDERS)
    code, frame = report.code, max((size for _, size in report.path), default=0)
    if case.model == "int8":
        with tempfile.TemporaryDirectory() as folder:
            bare, inner = counted(models["int8 borders"], case, Path(folder))
        proper, code = sum(n for _, n in bare), inner.code
    held = case.model != "int8" or (report.arena <= ARENA[case.mode] and code <= CODE)
    return {
        "target": case.target,
        "mode": case.mode,
        "model": case.model,
        "instructions": proper,
        "instructions_with_float_borders": sum(n for _, n in layers),
        "bar": case.bar,
        "arena": report.arena,
        "code": code,
        "code_with_float_borders": report.code,
        "constants": report.constants + report.parameters,
        "stack": report.stack,
        "largest_frame": frame,
        "held": held and frame <= FRAME and (case.bar is None or proper <= case.bar),
        "layers": layers,
    }


def report(rows: list[dict[str, Any]]) -> str:
    """The results as Markdown."""
    lines = [
        f"# {NET} on Cortex-M: instructions an inference",
        "",
        "Counted in QEMU (`-icount`), gcc, -O2; not cycles. The int8 network proper takes and gives int8 "
        "(`--io int8`); with borders, it takes and gives float. Bytes as `onnx-edge compile` reports them; code and "
        f"stack of the network proper. Bars: of int8 arena {ARENA['fast']:,} (fast) and {ARENA['small']:,} (small) and "
        f"code {CODE:,}; of all a stack frame {FRAME}. No peer is measured.",
        "",
        "| target | mode | model | instructions | bar | with borders | arena | code | constants | stack (frame) | ok |",
        "|---|---|---|---:|---:|---:|---:|---:|---:|---:|---|",
    ]
    for r in rows:
        bar = "-" if r["bar"] is None else f"{r['bar']:,}"
        lines.append(
            f"| {r['target']} | {r['mode']} | {r['model']} | {r['instructions']:,} | {bar} | "
            f"{r['instructions_with_float_borders']:,} | {r['arena']:,} | {r['code']:,} | {r['constants']:,} | "
            f"{r['stack']} ({r['largest_frame']}) | {'yes' if r['held'] else 'no'} |"
        )
    return "\n".join(lines) + "\n"


def main(*, results: Path = RESULTS) -> None:
    """Measure and write both files."""
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder) / f"{NET}.onnx", Path(folder) / f"{NET}-int8.onnx"
        export(NET, output=source)
        quantize(source, output=made, calibrate="mnist:train:128", data="mnist:test:500", keep=True, timed=False)
        whole = load(made)
        models = {"int8": whole, "int8 borders": integer_ports(whole)[0], "float32": load(source)}
        rows = [row(case, models) for case in CASES]
    results.mkdir(exist_ok=True)
    (results / "firmware.json").write_text(
        json.dumps({"network": NET, "cases": rows}, indent=1) + "\n", encoding="utf-8"
    )
    (results / "firmware.md").write_text(report(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
    sys.stdout.write((RESULTS / "firmware.md").read_text(encoding="utf-8"))
