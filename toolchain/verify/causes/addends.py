"""Biases and other constant addends: missing, or multiplied by a wrong factor; and wrong factors themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from toolchain.ops.operator import Array
from toolchain.verify.causes.case import LINEAR, Case, Hypothesis
from toolchain.verify.causes.fitting import fitted, shown

ADDING = {"Add": 1.0, "Sub": -1.0}
SCALING = {"Mul": 1.0, "Div": -1.0}
NORMALIZING = {
    "BatchNormalization": (1, 2),
    "InstanceNormalization": (1, 2),
    "LayerNormalization": (1, 2),
    "GroupNormalization": (1, 2),
}
"""Where scale and bias stand among the inputs."""


def hypotheses(case: Case) -> Iterator[Hypothesis]:
    """Addends first, then factors."""
    for at, _ in enumerate(case.steps):
        for position, what in _addends(case, at):
            b = case.inputs(at)[position]
            if b is not None and np.any(b):
                yield from _one(case, at, position, b, what)
    for at, _ in enumerate(case.steps):
        yield from _factors(case, at)


def _addends(case: Case, at: int) -> Iterator[tuple[int, str]]:
    """Inputs of a node that are added as they are."""
    step = case.steps[at]
    name = step.operator.name
    if name in LINEAR and LINEAR[name].bias is not None:
        position = LINEAR[name].bias
        if position is not None and position < len(step.inputs) and step.inputs[position] is not None:
            yield position, "bias"
    elif name in ADDING:
        for position in (1, 0):
            if case.is_static(at, position):
                yield position, f"addend {step.inputs[position]!r}"
    elif name in NORMALIZING:
        position = NORMALIZING[name][1]
        if position < len(step.inputs) and step.inputs[position] is not None:
            yield position, "bias"


def _one(case: Case, at: int, position: int, b: Array, what: str) -> Iterator[Hypothesis]:
    """Without it, and with a factor that fits."""
    name = case.steps[at].name

    def scaled(factor: float) -> Array | None:
        array = b * factor if b.dtype.kind == "f" else np.rint(b * factor).astype(b.dtype)
        return case.run(at, inputs={position: array})

    without = scaled(0.0)
    if without is not None:
        yield Hypothesis("bias missing", f"{name}: the {what} is left out", without)
    for factor, value in fitted(case, scaled, 1.0):
        if abs(factor) > 1e-6:
            yield Hypothesis("bias scale", f"{name}: the {what} is multiplied by {shown(factor)}", value)


def _factors(case: Case, at: int) -> Iterator[Hypothesis]:
    """Constants that multiply: alpha and beta of Gemm, factors, what a normalised value is multiplied by."""
    step, inputs = case.steps[at], case.inputs(at)
    name = step.operator.name
    for attribute, kind in (("alpha", "scale"), ("beta", "bias scale")) if name == "Gemm" else ():
        yield from _attribute(case, at, attribute, kind)
    if name == "LRN":
        for attribute in ("alpha", "beta"):
            yield from _attribute(case, at, attribute, "scale")
    positions = [p for p in (1, 0) if name in SCALING and case.is_static(at, p)]
    if name in NORMALIZING:
        positions = [NORMALIZING[name][0]]
    elif name in LINEAR and inputs[LINEAR[name].weight] is not None:
        positions = [LINEAR[name].weight]
    for position in positions:
        factor = inputs[position] if position < len(inputs) else None
        if factor is None or factor.dtype.kind != "f":
            continue
        yield from _searched(case, at, position, factor)
    if "Pool" in name or name.startswith("Reduce") or name == "LpPool":
        y = case.output(at)
        for ratio, value in fitted(case, lambda f, y=y: case.run(at, outputs=(y * f,)), 1.0):  # type: ignore[misc]
            if y.dtype.kind == "f":
                yield Hypothesis("scale", f"{step.name}: its result is multiplied by {shown(ratio)}", value)


def _searched(case: Case, at: int, position: int, factor: Array) -> Iterator[Hypothesis]:
    step = case.steps[at]
    run: Callable[[float], Any] = lambda f: case.run(at, inputs={position: factor * f})  # noqa: E731
    for ratio, value in fitted(case, run, 1.0):
        what = f"{step.inputs[position]!r} is multiplied by {shown(ratio)}"
        yield Hypothesis("scale", f"{step.name}: {what}", value)


def _attribute(case: Case, at: int, attribute: str, kind: str) -> Iterator[Hypothesis]:
    """A factor that is an attribute, and the one that fits."""
    step = case.steps[at]
    old = float(getattr(step.attributes, attribute))

    def run(value: float) -> Array | None:
        return case.run(at, attributes=replace(step.attributes, **{attribute: value}))

    for value in (1.0, 0.0):
        if value != old and attribute == "beta":
            array = run(value)
            if array is not None:
                kind_now = "bias missing" if value == 0.0 else kind
                yield Hypothesis(kind_now, f"{step.name}: {attribute} is {value:g} in the place of {old:g}", array)
    for value, array in fitted(case, run, old):
        yield Hypothesis(kind, f"{step.name}: {attribute} is {shown(value)} in the place of {shown(old)}", array)
