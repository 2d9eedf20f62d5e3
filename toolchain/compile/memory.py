"""What a network takes, read from the object files that were compiled for the target."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolchain.compile.build import WARNINGS, objects, run
from toolchain.compile.plan import Plan
from toolchain.compile.program import Program, constants
from toolchain.compile.targets import Target
from toolchain.compile.wasm import sections as wasm_sections
from toolchain.errors import UnsupportedError

_NODE = re.compile(r'node: \{ title: "([^"]+)" label: "([^"]*)"')
_EDGE = re.compile(r'edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"')
_STACK = re.compile(r"(\d+) bytes \((\w+)")


@dataclass(frozen=True)
class LayerMemory:
    """One layer.

    Attributes:
        name: in C.
        kernel: function.
        constants: bytes of weights, biases, multipliers and tables.
        living: bytes of the arena in use while it runs, counted once where buffers overlap.
    """

    name: str
    kernel: str
    constants: int
    living: int


@dataclass(frozen=True)
class MemoryReport:
    """Bytes.

    Attributes:
        arena: what the caller provides.
        arena_bound: no arena can be smaller.
        constants: weights, biases, multipliers, tables.
        parameters: structures that describe the layers.
        code: of the kernels and of the network's own function.
        data: variables with static storage; always 0.
        stack: the deepest path from the network's function.
        path: functions on it, each with its frame.
        layers: in order.
    """

    arena: int
    arena_bound: int
    constants: int
    parameters: int
    code: int
    data: int
    stack: int
    path: tuple[tuple[str, int], ...]
    layers: tuple[LayerMemory, ...]

    @property
    def flash(self) -> int:
        """All that is read-only."""
        return self.constants + self.parameters + self.code

    def check(self, target: Target) -> None:
        """Refuse a network that the chip cannot hold.

        Raises:
            UnsupportedError: says by how much, and which layer takes most.
        """
        if target.memory is None:
            return
        if self.flash > target.memory.flash:
            layer = max(self.layers, key=lambda one: one.constants)
            raise UnsupportedError(
                f"{target.name} has {target.memory.flash} bytes of flash, the network takes {self.flash}: "
                f"{self.flash - target.memory.flash} too many; layer {layer.name!r} alone has {layer.constants} bytes "
                "of constants. Make it smaller, quantize it, or give a chip with more (--flash)"
            )
        if self.arena + self.stack > target.memory.ram:
            layer = max(self.layers, key=lambda one: one.living)
            raise UnsupportedError(
                f"{target.name} has {target.memory.ram} bytes of RAM, the network takes {self.arena + self.stack}: "
                f"{self.arena + self.stack - target.memory.ram} too many; layer {layer.name!r} needs {layer.living} "
                "bytes at once. Make its maps smaller, quantize it, or give a chip with more (--ram)"
            )


def measure(
    program: Program, plan: Plan, folder: Path, sources: Sequence[str], into: Path, target: Target
) -> tuple[MemoryReport, tuple[Path, ...]]:
    """Compile for the target and read the objects.

    Args:
        program: the network.
        plan: of its arena.
        folder: of the generated files.
        sources: names of the files to compile.
        into: existing folder for the objects.
        target: compiler and flags.

    Returns:
        The report, and the objects.
    """
    hosted = ("-fPIC", "-fvisibility=hidden") if target.memory is None and not target.module else ()
    flags = [*WARNINGS, *target.flags, target.optimization, *hosted]
    watched = [*flags, "-fstack-usage", "-fcallgraph-info=su"] if "gcc" in target.compiler.name else flags
    made = objects([target.compiler.path()], watched, sources, folder, into)
    code = parameters = held = data = 0
    for path in made:
        found = wasm_sections(path) if target.module else _sections(target, path)
        code += found["code"]
        data += found["data"]
        if path.stem == f"{program.name}_weights":
            held += found["constants"]
        else:
            parameters += found["constants"]
    stack, deepest = _deepest(into, f"{program.name}_run")
    layers = tuple(_layer(program, plan, index) for index in range(len(program.steps)))
    return MemoryReport(plan.size, plan.bound, held, parameters, code, data, stack, deepest, layers), made


def _layer(program: Program, plan: Plan, index: int) -> LayerMemory:
    step = program.steps[index]
    held = sum(c.data.nbytes for _, c in constants(step.name, step.call.layer))
    spans = sorted((plan.offsets[b.name], plan.offsets[b.name] + b.bytes) for b in plan.living(index))
    total, end = 0, 0
    for low, high in spans:
        total += max(0, high - max(low, end))
        end = max(end, high)
    return LayerMemory(step.name, step.call.function, held, total)


def _sections(target: Target, path: Path) -> Mapping[str, int]:
    """Bytes of an object by what they are."""
    found = {"code": 0, "constants": 0, "data": 0}
    for line in run([target.size.path(), "-A", "-d", path], path.parent).splitlines():
        parts = line.split()
        if len(parts) < 2 or not parts[1].isdigit():
            continue
        if parts[0].startswith(".text"):
            found["code"] += int(parts[1])
        elif parts[0].startswith((".rodata", ".data.rel.ro", ".srodata")):
            found["constants"] += int(parts[1])
        elif parts[0].startswith((".data", ".bss", ".sdata", ".sbss")):
            found["data"] += int(parts[1])
    return found


def _deepest(folder: Path, root: str) -> tuple[int, tuple[tuple[str, int], ...]]:
    """The deepest path through the call graphs that gcc wrote; functions of the C library count as nothing."""
    frames: dict[str, int] = {}
    calls: dict[str, set[str]] = {}
    for file in sorted(folder.glob("*.ci")):
        text = file.read_text(encoding="utf-8")
        for title, label in _NODE.findall(text):
            size = _STACK.search(label)
            if size:
                frames[title] = int(size.group(1))
        for source, called in _EDGE.findall(text):
            calls.setdefault(source, set()).add(called)

    for title in frames:  # the body of a parallel section, which the thread library calls
        owner, mark, _ = title.partition("._omp_fn")
        if mark:
            calls.setdefault(owner.rpartition(":")[2], set()).add(title)

    def down(title: str) -> tuple[int, tuple[tuple[str, int], ...]]:
        own = frames.get(title, 0)
        deepest = max((down(called) for called in sorted(calls.get(title, ())) if called in frames), default=(0, ()))
        return own + deepest[0], ((title.rpartition(":")[2], own), *deepest[1])

    return down(root) if root in frames else (0, ())
