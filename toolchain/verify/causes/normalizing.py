"""Numbers that are added to a variance or to a sum of squares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import is_dataclass, replace

from toolchain.ops.operator import Array
from toolchain.verify.causes.case import Case, Hypothesis
from toolchain.verify.causes.fitting import fitted, shown

USUAL = (0.0, 1e-12, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)


def hypotheses(case: Case) -> Iterator[Hypothesis]:
    """Usual ones, and the one that fits best."""
    for at, step in enumerate(case.steps):
        attribute = "bias" if step.operator.name == "LRN" else "epsilon"
        if not is_dataclass(step.attributes) or not hasattr(step.attributes, attribute):
            continue
        old = float(getattr(step.attributes, attribute))

        def run(value: float, at: int = at, attribute: str = attribute) -> Array | None:
            changed = replace(case.steps[at].attributes, **{attribute: value})
            return case.run(at, attributes=changed)

        for value in USUAL:
            array = None if abs(value - old) <= 1e-6 * old else run(value)
            if array is not None:
                yield Hypothesis(
                    "epsilon", f"{step.name}: {attribute} is {value:g} in the place of {shown(old)}", array
                )
        for value, array in fitted(case, run, old):
            if value > 0:
                yield Hypothesis(
                    "epsilon", f"{step.name}: {attribute} is {shown(value)} in the place of {shown(old)}", array
                )
