"""Padding, strides, dilations, ceil_mode and count_include_pad of Conv, ConvTranspose and the pools."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import onnx_ir as ir

from toolchain.nodes import Step
from toolchain.ops import registry
from toolchain.ops.operator import Array, Spec
from toolchain.ops.windows import Windows
from toolchain.verify.causes.case import Case, Hypothesis, cost

CANDIDATES = 256
"""Paddings that are looked at, the nearest first; those that give another shape are not computed."""
REACH = 2
"""How far beyond the largest stated value a changed one is sought."""


def hypotheses(case: Case) -> Iterator[Hypothesis]:
    """One attribute of one node changed."""
    for at, step in enumerate(case.steps):
        windows = windows_of(step.attributes)
        if windows is None:
            continue
        # Few and telling first: there are so many paddings that they may use up the budget.
        for kind, detail, attributes in _kept(case, at, windows):
            value = case.run(at, attributes=attributes)
            if value is not None:
                yield Hypothesis(kind, f"{step.name}: {detail}", value)
        for kind, detail, attributes in variations(step, windows, _shape(case, at)):
            value = case.run(at, attributes=attributes) if _fits(case, at, attributes) else None
            if value is not None:
                yield Hypothesis(kind, f"{step.name}: {detail}", value)
        yield from _filled(case, at, windows)


def _fits(case: Case, at: int, attributes: Any) -> bool:
    """Whether a change gives the received shape, as far as that is seen without computing."""
    if case.output(at).shape != case.expected.shape:
        return True
    found = inferred(case.steps[at], case.inputs(at), attributes)
    return found is not None and found == case.received.shape


def inferred(step: Step, inputs: Sequence[Array | None], attributes: Any) -> tuple[int, ...] | None:
    """The shape of a node's result under other attributes; ``None`` where they do not fit."""
    specs = [None if x is None else Spec(ir.DataType.FLOAT, tuple(x.shape)) for x in inputs]
    if step.operator.name == "QLinearConv":
        specs = [specs[0], specs[3]]
        step = replace(step, operator=registry()[("", "Conv")])
    try:
        return step.operator.infer(attributes, specs)[0].shape
    except (ValueError, TypeError, IndexError):
        return None


def windows_of(attributes: Any) -> Windows | None:
    """The windows among a node's attributes."""
    return getattr(attributes, "windows", None) if is_dataclass(attributes) else None


def _shape(case: Case, at: int) -> tuple[int, ...]:
    """Of a node's data."""
    data = case.inputs(at)[0]
    return () if data is None else tuple(data.shape)


def variations(step: Step, windows: Windows, shape: Sequence[int]) -> Iterator[tuple[str, str, Any]]:
    """Kind, words and attributes of every change to a node's windows, the nearest first."""
    attributes, rank = step.attributes, len(shape) - 2
    names = {field.name for field in fields(attributes)}
    for pads, was in _pads(step, windows, shape):
        yield (
            "pad",
            f"pads {list(pads)} in the place of {was}",
            replace(attributes, windows=replace(windows, pads=pads, auto_pad="NOTSET")),
        )
    for name, kind in (("strides", "stride"), ("dilations", "dilation")):
        old = getattr(windows, name) or (1,) * rank
        for new in _steps(old):
            changed = replace(windows, **{name: new})  # type: ignore[arg-type]
            yield kind, f"{name} {list(new)} in the place of {list(old)}", replace(attributes, windows=changed)
    if "Pool" in step.operator.name:
        mode = int(windows.ceil_mode)
        changed = replace(windows, ceil_mode=not windows.ceil_mode)
        yield "ceil_mode", f"ceil_mode {1 - mode} in the place of {mode}", replace(attributes, windows=changed)
    if "count_include_pad" in names:
        counts = int(attributes.count_include_pad)
        turned = replace(attributes, count_include_pad=not counts)
        yield "count_include_pad", f"count_include_pad {1 - counts} in the place of {counts}", turned


def _pads(step: Step, windows: Windows, shape: Sequence[int]) -> list[tuple[tuple[int, ...], str]]:
    """Other paddings, and how the stated one is called; those that change fewer numbers, and by less, first."""
    rank = len(shape) - 2
    old, called = _stated(step, windows, shape)
    top = max(old) + REACH
    found: dict[tuple[int, ...], None] = {}
    for pads in ((0,) * (2 * rank), old[rank:] + old[:rank], old[:rank][::-1] + old[rank:][::-1]):
        found[pads] = None
    for amount in range(top + 1):
        found[(amount,) * (2 * rank)] = None
    found.update(dict.fromkeys(_moved(old)))
    near = sorted(
        itertools.product(*(sorted(range(top + 1), key=_nearness(o))[:4] for o in old)),
        key=lambda pads: (sum(a != b for a, b in zip(pads, old, strict=True)), _far(pads, old)),
    )
    found.update(dict.fromkeys(near[:CANDIDATES]))
    found.pop(old, None)
    return [(pads, called) for pads in found]


def _moved(old: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """As much padding, more of it at the beginning or at the end."""
    rank = len(old) // 2
    ranges = [range(-old[axis], old[rank + axis] + 1) for axis in range(rank)]
    for shifts in itertools.islice(itertools.product(*ranges), CANDIDATES):
        yield tuple([old[a] + shifts[a] for a in range(rank)] + [old[rank + a] - shifts[a] for a in range(rank)])


def _nearness(old: int) -> Callable[[int], tuple[int, int]]:
    return lambda value: (abs(value - old), value)


def _far(pads: Sequence[int], old: Sequence[int]) -> int:
    return sum(abs(a - b) for a, b in zip(pads, old, strict=True))


def _stated(step: Step, windows: Windows, shape: Sequence[int]) -> tuple[tuple[int, ...], str]:
    """The padding in force, and how to name it."""
    rank = len(shape) - 2
    if windows.auto_pad == "NOTSET" or step.operator.name == "ConvTranspose" or windows.kernel_shape is None:
        old = windows.pads or (0,) * (2 * rank)
        return old, str(list(old)) if windows.auto_pad == "NOTSET" else windows.auto_pad
    g = windows.resolve(tuple(shape[2:]))
    return (*g.begins, *g.ends), f"{windows.auto_pad} ({[*g.begins, *g.ends]})"


def _steps(old: Sequence[int]) -> list[tuple[int, ...]]:
    """Other strides or dilations: the same along every axis, swapped, or one axis changed."""
    top = max(old) + REACH
    found: dict[tuple[int, ...], None] = {}
    for size in range(1, top + 1):
        found[(size,) * len(old)] = None
    found[tuple(old[::-1])] = None
    for axis, size in itertools.product(range(len(old)), range(1, top + 1)):
        found[(*old[:axis], size, *old[axis + 1 :])] = None
    found.pop(tuple(old), None)
    return list(found)


def _kept(case: Case, at: int, windows: Windows) -> Iterator[tuple[str, str, Any]]:
    """Other strides and dilations in a result of the stated shape: windows beyond the end read padding."""
    step, inputs = case.steps[at], case.inputs(at)
    kernel = windows.kernel_shape or _kernel(step, inputs)
    if kernel is None or inputs[0] is None or step.operator.name == "ConvTranspose" or not case.same_shape:
        return
    sizes, outputs, rank = inputs[0].shape[2:], case.output(at).shape[2:], len(kernel)
    pads, _ = _stated(step, windows, inputs[0].shape)
    strides, dilations = windows.strides or (1,) * rank, windows.dilations or (1,) * rank
    near = [max(abs(a - b) for a, b in zip(new, strides, strict=True)) for new in _steps(strides)]
    changes = [("stride", new, dilations) for new, far in zip(_steps(strides), near, strict=True) if far <= 1]
    changes += [("dilation", strides, new) for new in _steps(dilations)]
    for kind, s, d in changes:
        whole = [(outputs[i] - 1) * s[i] + d[i] * (kernel[i] - 1) + 1 - sizes[i] for i in range(rank)]
        more = [w - pads[i] - pads[rank + i] for i, w in enumerate(whole)]
        if not any(m > 0 for m in more):
            continue
        name, new, was = ("strides", s, strides) if kind == "stride" else ("dilations", d, dilations)
        # Wider windows around the same centre.
        around = tuple(pads[i] + (d[i] - dilations[i]) * (kernel[i] - 1) // 2 for i in range(rank))
        for begins in dict.fromkeys((tuple(max(b, 0) for b in around), pads[:rank])):
            ends = tuple(max(w - b, 0) for w, b in zip(whole, begins, strict=True))
            changed = replace(windows, strides=s, dilations=d, pads=(*begins, *ends), auto_pad="NOTSET")
            detail = f"{name} {list(new)} in the place of {list(was)}, padded with {[*begins, *ends]} to the same shape"
            yield kind, detail, replace(step.attributes, windows=changed)


def _filled(case: Case, at: int, windows: Windows) -> Iterator[Hypothesis]:
    """Padding filled with something else: integers with 0 instead of the zero point, floats with the edge."""
    step, inputs = case.steps[at], case.inputs(at)
    x = inputs[0]
    if x is None or step.operator.name == "ConvTranspose" or not any(_stated(step, windows, x.shape)[0]):
        return
    kernel = windows.kernel_shape or _kernel(step, inputs)
    if kernel is None:
        return
    try:
        g = windows.resolve(x.shape[2:], kernel)
    except ValueError:
        return
    bare = replace(step.attributes, windows=replace(windows, pads=(0,) * (2 * len(kernel)), auto_pad="NOTSET"))
    widths = [(0, 0), (0, 0), *zip(g.begins, g.ends, strict=True)]
    for what, options in _fillings(step):
        if any(w > 0 for width in widths for w in width) and x.size and cost(step, inputs):
            try:
                value = case.run(at, attributes=bare, inputs={0: np.pad(x, widths, **options)})
            except ValueError:
                continue
            if value is not None:
                yield Hypothesis("pad", f"{step.name}: padding filled with {what}", value)


def _kernel(step: Step, inputs: Sequence[Any]) -> tuple[int, ...] | None:
    position = {"Conv": 1, "ConvInteger": 1, "QLinearConv": 3}.get(step.operator.name)
    w = None if position is None or position >= len(inputs) else inputs[position]
    return None if w is None else tuple(w.shape[2:])


def _fillings(step: Step) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if step.operator.name in ("QLinearConv", "ConvInteger"):
        yield "the integer 0 in the place of the zero point", {"mode": "constant", "constant_values": 0}
        return
    if step.operator.name == "MaxPool":
        yield "0 in the place of nothing", {"mode": "constant", "constant_values": 0}
    yield "the nearest element", {"mode": "edge"}
    if step.operator.name == "Conv":
        yield "mirrored elements", {"mode": "reflect"}
