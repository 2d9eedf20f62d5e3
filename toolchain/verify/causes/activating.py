"""Activations: left out, added, swapped, or with other parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np

from toolchain.nodes import Step
from toolchain.ops.activations import Parameters
from toolchain.ops.operator import Array
from toolchain.verify.causes.case import Case, Hypothesis
from toolchain.verify.causes.fitting import fitted, shown


def _sigmoid(x: Array) -> Array:
    return 0.5 * (1.0 + np.tanh(0.5 * x))


FUNCTIONS: Mapping[str, Callable[[Array], Array]] = {
    "no activation": lambda x: x,
    "Relu": lambda x: np.maximum(x, 0.0),
    "Relu6": lambda x: np.clip(x, 0.0, 6.0),
    "LeakyRelu(0.01)": lambda x: np.where(x < 0, 0.01 * x, x),
    "LeakyRelu(0.1)": lambda x: np.where(x < 0, 0.1 * x, x),
    "LeakyRelu(0.2)": lambda x: np.where(x < 0, 0.2 * x, x),
    "Sigmoid": _sigmoid,
    "Tanh": np.tanh,
    "HardSigmoid": lambda x: np.clip(0.2 * x + 0.5, 0.0, 1.0),
    "HardSigmoid(1/6)": lambda x: np.clip(x / 6 + 0.5, 0.0, 1.0),
    "HardSwish": lambda x: x * np.clip(x / 6 + 0.5, 0.0, 1.0),
    "Silu": lambda x: x * _sigmoid(x),
    "Elu": lambda x: np.where(x < 0, np.expm1(np.minimum(x, 0)), x),
    "Softplus": lambda x: np.logaddexp(0.0, x),
    "Gelu by tanh": lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "Abs": np.abs,
}
ACTIVATIONS = frozenset(
    {
        "Relu",
        "LeakyRelu",
        "PRelu",
        "Elu",
        "Selu",
        "Celu",
        "Clip",
        "Sigmoid",
        "Tanh",
        "HardSigmoid",
        "HardSwish",
        "Softplus",
        "Softsign",
        "Gelu",
        "Swish",
        "Mish",
        "ThresholdedRelu",
        "Shrink",
        "Erf",
        "Softmax",
        "LogSoftmax",
        "Hardmax",
    }
)


def hypotheses(case: Case) -> Iterator[Hypothesis]:
    """Every activation of the region changed; and one at the end that should not be there."""
    present = False
    for at, step in enumerate(case.steps):
        if step.operator.name not in ACTIVATIONS:
            continue
        present = True
        x = case.inputs(at)[0]
        if x is None or x.dtype.kind != "f":
            continue
        for name, function in FUNCTIONS.items():
            with np.errstate(all="ignore"):
                value = case.run(at, outputs=(function(x),))
            words = "is left out" if name == "no activation" else f"is {name}"
            if value is not None:
                yield Hypothesis("activation", f"{step.name}: {step.operator.name} {words}", value)
        yield from _parameters(case, at)
        yield from _limits(case, at)
    if not present:
        yield from _added(case)


def _added(case: Case) -> Iterator[Hypothesis]:
    """An activation behind the last node that computes floats."""
    floats = [at for at, step in enumerate(case.steps) if step.outputs[0] and case.output(at).dtype.kind == "f"]
    live = [at for at in floats if case.steps[at].outputs[0] not in case.static]
    for at in live[-1:]:
        y = case.output(at)
        for name, function in FUNCTIONS.items():
            if name == "no activation":
                continue
            with np.errstate(all="ignore"):
                value = case.run(at, outputs=(function(y), *(case.values[n] for n in case.steps[at].outputs[1:] if n)))
            if value is not None:
                yield Hypothesis("activation", f"{case.steps[at].name}: its result goes through {name}", value)


def _parameters(case: Case, at: int) -> Iterator[Hypothesis]:
    """alpha, beta and gamma: other usual ones, and those that fit."""
    step = case.steps[at]
    if isinstance(step.attributes, Parameters):
        for field in fields(Parameters):
            yield from _parameter(case, step, at, field.name)
    if step.operator.name == "Gelu":
        other = "tanh" if step.attributes.approximate == "none" else "none"
        value = case.run(at, attributes=replace(step.attributes, approximate=other))
        if value is not None:
            yield Hypothesis("activation", f"{step.name}: approximate is {other!r}", value)
    if step.operator.name == "PRelu" and (slope := case.inputs(at)[1]) is not None:
        run: Callable[[float], Any] = lambda f: case.run(at, inputs={1: slope * f})  # noqa: E731
        for factor, value in fitted(case, run, 1.0):
            yield Hypothesis("activation", f"{step.name}: slopes are multiplied by {shown(factor)}", value)


def _parameter(case: Case, step: Step, at: int, name: str) -> Iterator[Hypothesis]:
    old = getattr(step.attributes, name)
    if not isinstance(old, float) or (old == 0.0 and name == "beta"):
        return

    def run(value: float) -> Array | None:
        return case.run(at, attributes=replace(step.attributes, **{name: value}))

    for value, array in fitted(case, run, old):
        yield Hypothesis("activation", f"{step.name}: {name} is {shown(value)} in the place of {shown(old)}", array)


def _limits(case: Case, at: int) -> Iterator[Hypothesis]:
    """Clip between other limits: those of the received values."""
    step = case.steps[at]
    if step.operator.name != "Clip" or step.outputs[0] != case.region.tensor or not case.received.size:
        return
    x = case.inputs(at)[0]
    if x is None:
        return
    low, high = float(case.received.min()), float(case.received.max())
    if np.isfinite(low) and np.isfinite(high):
        yield Hypothesis("activation", f"{step.name}: clips to [{shown(low)}, {shown(high)}]", np.clip(x, low, high))
