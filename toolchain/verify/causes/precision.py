"""Arithmetic that is coarser than the type says: TF32, bfloat16, float16."""

from __future__ import annotations

from collections.abc import Iterator

import ml_dtypes
import numpy as np

from toolchain.errors import ToolchainError
from toolchain.ops.operator import Array
from toolchain.verify.causes.case import LINEAR, Case, Floats, Hypothesis

TF32_BITS = 13
"""Bits of a float32 significand that TF32 leaves out."""
FORMATS = {"TF32": 2.0**-11, "bfloat16": 2.0**-8, "float16": 2.0**-11}
SMALL_ERROR = 0.05
"""Coarser arithmetic leaves the error's energy below this share of the result's."""


def rounded(x: Array, name: str) -> Floats:
    """The nearest values of a format, ties to even."""
    with np.errstate(all="ignore"):
        single = np.asarray(x, dtype=np.float32)
        if name == "float16":
            return single.astype(np.float16).astype(np.float64)
        if name == "bfloat16":
            return single.astype(ml_dtypes.bfloat16).astype(np.float64)
        bits = single.view(np.uint32)
        odd = (bits >> TF32_BITS) & np.uint32(1)
        bits = (bits + np.uint32((1 << (TF32_BITS - 1)) - 1) + odd) & ~np.uint32((1 << TF32_BITS) - 1)
        return np.where(np.isfinite(single), bits.view(np.float32), single).astype(np.float64)


def truncated(x: Array, name: str) -> Floats:
    """The values of a format next to zero."""
    dropped = {"TF32": TF32_BITS, "bfloat16": 16}[name]
    bits = np.asarray(x, dtype=np.float32).view(np.uint32) & ~np.uint32((1 << dropped) - 1)
    return bits.view(np.float32).astype(np.float64)


def hypotheses(case: Case) -> Iterator[Hypothesis]:
    """Factors rounded first; results rounded; and, last, errors of the right size."""
    if case.received.dtype.kind != "f" or not case.same_shape or not _small(case):
        return
    for name in FORMATS:
        for at, step in enumerate(case.steps):
            parts = LINEAR.get(step.operator.name)
            if parts is not None and not case.is_static(at, parts.data):
                yield from _factors(case, at, (parts.data, parts.weight), name)
        whole = _everywhere(case, name)
        if whole is not None:
            yield Hypothesis("precision", f"every operand and result is rounded to {name}", whole)
        yield Hypothesis("precision", f"the result is rounded to {name}", rounded(case.expected, name))
        if name != "float16":
            yield Hypothesis("precision", f"the result is cut off to {name}", truncated(case.expected, name))
    yield from _size(case)


def _small(case: Case) -> bool:
    with np.errstate(all="ignore"):
        error = case.received.astype(np.float64) - case.expected
        error = np.where(np.isfinite(error), error, 0.0)  # a short format overflows where the long one does not
        return bool(np.square(error).sum() <= SMALL_ERROR * np.square(np.nan_to_num(case.expected)).sum())


def _factors(case: Case, at: int, positions: tuple[int, int], name: str) -> Iterator[Hypothesis]:
    """Data and weight of a product rounded, the weight alone, the data alone; or cut off."""
    step, inputs = case.steps[at], case.inputs(at)
    x, w = inputs[positions[0]], inputs[positions[1]]
    if x is None or w is None or x.dtype.kind != "f":
        return
    short = {positions[0]: rounded(x, name), positions[1]: rounded(w, name)}
    for what, chosen in (("factors are", positions), ("the weight is", positions[1:]), ("the data is", positions[:1])):
        value = case.run(at, inputs={p: short[p] for p in chosen})
        if value is not None:
            yield Hypothesis("precision", f"{step.name}: {what} rounded to {name}", value)
    if name != "float16":
        value = case.run(at, inputs={positions[0]: truncated(x, name), positions[1]: truncated(w, name)})
        if value is not None:
            yield Hypothesis("precision", f"{step.name}: factors are cut off to {name}", value)


def _everywhere(case: Case, name: str) -> Array | None:
    """Operands and results of every node rounded."""
    values = {n: rounded(x, name) if x.dtype.kind == "f" else x for n, x in case.values.items()}
    try:
        for step in case.steps:
            inputs = [None if n is None else values[n] for n in step.inputs]
            with np.errstate(all="ignore"):
                made = step.operator.evaluate(step.attributes, inputs)
            for n, y in zip(step.outputs, made, strict=False):
                if n:
                    values[n] = rounded(y, name) if y.dtype.kind == "f" else y
    except (ToolchainError, ValueError, TypeError, IndexError):
        return None
    return values.get(case.region.tensor)


def _size(case: Case) -> Iterator[Hypothesis]:
    """Results that all are values of a shorter format although their type is longer: they were rounded to it."""
    r = case.received
    finite = r[np.isfinite(r)].astype(np.float64)
    if finite.size < 8 or r.dtype.itemsize < 4 or not np.any(finite):
        return
    for name, u in FORMATS.items():
        if not np.array_equal(rounded(finite, name), finite):
            continue
        exact = case.expected.astype(np.float64)
        if np.array_equal(rounded(exact, name), exact):
            continue
        with np.errstate(all="ignore"):
            error = np.abs(r.astype(np.float64) - exact)
        near = float(np.mean(error <= 64 * u * (np.abs(exact) + np.abs(exact).mean())))
        if near >= 0.9:
            yield Hypothesis("precision", f"every result is a value of {name}", exact, share=near, weak=True)
