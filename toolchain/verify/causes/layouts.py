"""Tensors written in one layout and read in another."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from toolchain.ops.operator import Array
from toolchain.verify.causes.case import Case, Hypothesis

NAMES = {3: "NCW", 4: "NCHW", 5: "NCDHW"}


def hypotheses(case: Case) -> Iterator[Hypothesis]:
    """The result, or one input, with its axes in another order in memory."""
    for detail, value in _misread(case.expected, case.received.shape):
        yield Hypothesis("layout", f"the result {detail}", value)
    for name in case.region.inputs:
        x = case.values[name]
        for detail, turned in _misread(x, x.shape):
            fed = case.feed(name, turned)
            if fed is not None:
                yield Hypothesis("layout", f"input {name!r} {detail}", fed)
    yield from _inner(case)


def _inner(case: Case) -> Iterator[Hypothesis]:
    """A tensor between two nodes, where a later node reshapes it: Flatten after NHWC."""
    for at, step in enumerate(case.steps):
        if step.operator.name not in ("Flatten", "Reshape") or step.inputs[0] in case.region.inputs:
            continue
        x = case.inputs(at)[0]
        if x is None:
            continue
        for detail, turned in _misread(x, x.shape):
            value = case.run(at, inputs={0: turned})
            if value is not None:
                yield Hypothesis("layout", f"input {step.inputs[0]!r} of {step.name} {detail}", value)


def _misread(x: Array, shape: tuple[int, ...]) -> Iterator[tuple[str, Array]]:
    """All orders of the axes behind the first: the memory of one, with the given shape."""
    if x.ndim < 3 or x.ndim > 5 or (x.shape != shape and sorted(x.shape) != sorted(shape)):
        return
    names = NAMES.get(x.ndim, "")
    seen = {x.tobytes()} if x.size < 1 << 16 else set()
    for order in itertools.permutations(range(1, x.ndim)):
        axes = (0, *order)
        if axes == tuple(range(x.ndim)):
            continue
        other = "".join(names[a] for a in axes)
        turned = x.transpose(axes)
        if turned.shape == shape:
            yield f"is {other} in the place of {names}", turned
        if x.shape == shape:
            written = np.ascontiguousarray(turned).reshape(shape)
            if written.tobytes() not in seen and turned.shape != shape:
                yield f"is written as {other} and read as {names}", written
                read = np.ascontiguousarray(x.reshape([x.shape[a] for a in axes]).transpose(np.argsort(axes)))
                yield f"is written as {names} and read as {other}", read
