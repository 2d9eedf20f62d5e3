"""Large layers shared out among threads.

A thread computes some rows of a map, or some outputs of a dense layer, by a call of the same kernel with parameters of
its own. Every value is the same sum in the same order as without threads, so that not a bit depends on their number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import gcd, prod

from toolchain.compile.program import Call, Constant, Part, Program, Shifted, Step, Struct, Value
from toolchain.compile.targets import Target
from toolchain.errors import UsageError

LEAST = 1_000_000
"""Products of a part that take much longer than waking a thread: some 50 us."""
LINE = 64
"""Bytes of a cache line, which two threads do not share."""
BLOCK = 16
"""Output channels or features whose weights lie side by side in all wide kernels."""
BLOCKED = ("weights", "bias", "bias_shifted", "narrow", "multipliers", "shifts")
"""Fields of a dense layer whose arrays have the blocks as first axis."""
FLAG = "-fopenmp"


def threaded(target: Target, threads: int) -> Target:
    """A target whose compiler makes code for some threads.

    Raises:
        UsageError: it has one thread only.
    """
    if threads == 1:
        return target
    if target.memory is not None or target.module:
        raise UsageError(f"--threads {threads} needs an operating system; {target.name} has one thread; leave it out")
    return replace(target, flags=(*target.flags, FLAG))


def shared(program: Program, threads: int) -> Program:
    """The program with its large layers in parts.

    Args:
        program: of wide kernels.
        threads: how many parts at most.
    """
    if threads == 1:
        return program
    return replace(program, steps=tuple(_shared(step, threads) for step in program.steps))


def _shared(step: Step, threads: int) -> Step:
    call = step.call
    split = SPLIT.get(call.function)
    count = min(threads, products(call) // LEAST)
    parts = split(call, count) if split is not None and count > 1 else ()
    if len(parts) < 2:
        return step
    room = -(-call.scratch // LINE) * LINE
    parts = tuple(replace(part, scratch=index * room) for index, part in enumerate(parts))
    return replace(step, call=replace(call, parts=parts, scratch=room * len(parts), distance=None))


def products(call: Call) -> int:
    """Multiplications of a convolution or dense layer as ONNX defines it; 0 of other kernels."""
    known = {name: value for name, value in call.layer.fields if isinstance(value, int)}
    if "in_features" in known:
        return known["rows"] * known["in_features"] * known["out_features"]
    if "in_channels" not in known or "out_channels" not in known:
        return 0
    area = known.get("pool_height", 1) * known.get("pool_width", 1)
    window = known.get("kernel_height", 3) * known.get("kernel_width", 3)
    outputs = prod(known[size] for size in ("out_height", "out_width", "out_channels"))
    return outputs * area * window * known["in_channels"] // known["groups"]


def _rows(call: Call, count: int) -> tuple[Part, ...]:
    """Parts of a convolution, by rows of its map behind the pool."""
    f = {name: value for name, value in call.layer.fields if isinstance(value, int)}
    pool = f.get("pool_height", 2 if _pools(call) else 1)
    unit = f["tile"] // gcd(f["tile"], pool) if "tile" in f else 1
    each = -(-f["out_height"] // (count * unit)) * unit
    pitch = f["in_width"] * f["in_channels"]
    made = []
    for first in range(0, f["out_height"], each):
        above = first * pool * f.get("stride_y", 1) - f["pad_top"]
        skipped = min(max(above, 0), f["in_height"])
        own: dict[str, Value] = {
            "in_height": f["in_height"] - skipped,
            "out_height": min(each, f["out_height"] - first),
            "pad_top": skipped - above,
        }
        made.append(Part(_with(call.layer, own), skipped * pitch, first * f["out_width"] * f["out_channels"]))
    return tuple(made)


def _pools(call: Call) -> bool:
    pool = dict(call.layer.fields).get("pool")
    return pool is not None and "_NO_POOL" not in str(getattr(pool, "name", ""))


def _features(call: Call, count: int) -> tuple[Part, ...]:
    """Parts of a dense layer of one row, by blocks of its outputs."""
    f = {name: value for name, value in call.layer.fields if isinstance(value, int)}
    if f["rows"] != 1:
        return ()
    blocks = -(-f["out_features"] // BLOCK)
    each = -(-blocks // count)
    made = []
    for block in range(0, blocks, each):
        first = block * BLOCK
        own: dict[str, Value] = {"out_features": min(each * BLOCK, f["out_features"] - first)}
        made.append(Part(_with(_from_block(call.layer, block, blocks), own), 0, first))
    return tuple(made)


def _from_block(layer: Struct, block: int, blocks: int) -> Struct:
    """The structure with its blocked arrays from one block on."""

    def moved(name: str, value: Value) -> Value:
        if isinstance(value, Struct):
            return _from_block(value, block, blocks)
        if isinstance(value, Constant) and name in BLOCKED and block:
            return Shifted(value, value.data.size // blocks * block)
        return value

    return Struct(layer.type, tuple((name, moved(name, value)) for name, value in layer.fields))


def _with(layer: Struct, own: Mapping[str, Value]) -> Struct:
    return Struct(layer.type, tuple((name, own.get(name, value)) for name, value in layer.fields))


SPLIT: Mapping[str, Callable[[Call, int], tuple[Part, ...]]] = {
    "convwide_f32": _rows,
    "convwide_s8": _rows,
    "depthwise_f32": _rows,
    "depthwise_s8": _rows,
    "winograd_f32": _rows,
    "gemmwide_f32": _features,
    "gemmwide_s8": _features,
}
"""How the work of a kernel is shared out; others run in one thread."""
