"""Constants that a runtime folded in a short type although it computes in float32.

ONNX Runtime folds BatchNormalization, Mul and Add into the constants of a float16 Conv or MatMul before it inserts the
Casts that let the CPU compute in float32. Products and sums are float32's then, but each folded weight and bias was
rounded to float16 at every step of the folding.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from toolchain.errors import UnboundedError
from toolchain.nodes import Step
from toolchain.ops.arrays import Array
from toolchain.ops.bounds import FLOAT32_ROUNDOFF, Bound, gamma
from toolchain.verify.arithmetic import Arithmetic
from toolchain.verify.sums import PRODUCTS

FOLDING_ROUNDINGS = 6
"""Of one node that is folded into the constants of a product ``W x + b``.

BatchNormalization with ``f = scale / sqrt(variance + epsilon)`` makes ``W' = W f`` and ``b' = (b - mean) f + bias``.
The three roundings of ``f`` scale the whole output alike: the node's own limit holds them. The others do not cancel
between weights and bias: one of the product ``W f``; and of the difference, the product and the sum in ``b'``, whose
sizes are at most that of what the node gives, which its own limit covers, and that of ``|W'| |x|``, since
``b = y - W x``. So ``|W'| |x|`` bears 1 + 3 roundings, and 2 more where ``f`` is made as a reciprocal root times
``scale`` or a bias is multiplied by it apart. Mul, Div, Add, Sub and DequantizeLinear make fewer.

Folded one after the other, nodes multiply the same weights: after k of them each weight has the factor
``(1 + d1) ... (1 + dr)`` with ``r <= 6 k``, which is within ``gamma(6 k, u)`` of 1 (Higham 2002, Lemma 3.1).
"""
FOLDED = frozenset({"BatchNormalization", "Mul", "Add", "Div", "Sub", "DequantizeLinear"})
"""Operators whose constants may be folded into those of a product."""


def foldings(steps: Sequence[Step], constants: Collection[str]) -> dict[str, int]:
    """How many nodes a runtime may fold into the constants of each product, one after the other.

    These are the nodes of :data:`FOLDED` with a constant operand before or behind the product, with no other
    product in between.

    Args:
        steps: nodes in order.
        constants: names of the initialisers.

    Returns:
        By the name of the product's first output; products without any are left out.
    """
    known = set(constants)
    for step in steps:
        if all(name is None or name in known for name in step.inputs):
            known.update(name for name in step.outputs if name)
    makers = {name: step for step in steps for name in step.outputs if name}
    readers: dict[str, list[Step]] = {}
    for step in steps:
        for name in filter(None, step.inputs):
            readers.setdefault(name, []).append(step)
    found = {}
    for step in steps:
        if _product(step) and step.outputs[0]:
            near = _reached(step, lambda s: [r for n in s.outputs if n for r in readers.get(n, ())])
            near |= _reached(step, lambda s: [makers[n] for n in s.inputs if n in makers])
            found[step.outputs[0]] = sum(
                s.operator.name in FOLDED and any(n in known for n in s.inputs) for s in steps if id(s) in near
            )
    return {name: count for name, count in found.items() if count}


def _product(step: Step) -> bool:
    return step.operator.name in PRODUCTS and not step.operator.domain


def _reached(start: Step, following: Callable[[Step], list[Step]]) -> set[int]:
    """Identities of the nodes that follow one, in a direction, up to the next products."""
    seen: set[int] = set()
    pending = following(start)
    while pending:
        step = pending.pop()
        if id(step) not in seen and not _product(step):
            seen.add(id(step))
            pending.extend(following(step))
    return seen


class ShortConstants:
    """What folding in a short type may add to the limits of one region.

    Args:
        steps: the region's nodes.
        constants: initialisers by name.
        short: the type in which constants are folded; ``None`` where it is the arithmetic's own.
    """

    def __init__(self, steps: Sequence[Step], constants: Mapping[str, Array], short: Arithmetic | None) -> None:
        self._short = short if len(steps) > 1 and any(step.operator.name in FOLDED for step in steps) else None
        self._roundings = FOLDING_ROUNDINGS * sum(step.operator.name in FOLDED for step in steps)
        self._constants = set(constants)
        self._reach = 1.0

    def roundoff(self, step: Step) -> float:
        """Unit roundoff at which what a node computes may have been folded; 0 where nothing is.

        Args:
            step: the next node, in order.
        """
        if self._short is None:
            return 0.0
        alone = all(name is None or name in self._constants for name in step.inputs)
        if alone:
            self._constants.update(name for name in step.outputs if name)
        return self._short.factors if alone or step.operator.name in FOLDED else 0.0

    def added(self, step: Step, inputs: Sequence[Array | None], bound: Bound) -> Bound:
        """A node's own limit, and what folded constants add to it.

        Weights and bias of a product are off by ``gamma(r, u)`` of themselves after ``r`` roundings, so the sum by as
        much of ``|W| |x| + |b|``. Where a constant falls among the subnormal numbers, it is off by half their distance
        at each rounding: that counts where it is folded, times all that it may meet.

        Args:
            step: the node.
            inputs: its exact inputs.
            bound: its own limit.
        """
        if self._short is None:
            return bound
        extra: Array
        if step.operator.name in PRODUCTS and not step.operator.domain:
            sizes = [None if x is None else np.abs(x) for x in inputs]
            extra = gamma(self._roundings, self._short.factors) * _magnitude(step, sizes)
            larger = _magnitude(step, [None if x is None else x + 1 for x in sizes])
            self._reach = max(self._reach, 1 + float(np.max(larger, initial=0.0)))
        elif step.operator.name in FOLDED:
            extra = np.asarray(self._roundings * self._short.tiny * self._reach)
            if step.operator.name in ("Add", "Sub"):
                addends = [
                    x for x, n in zip(inputs, step.inputs, strict=True) if x is not None and n in self._constants
                ]
                extra = extra + gamma(self._roundings, self._short.factors) * sum(np.abs(x) for x in addends)
        elif all(name is None or name in self._constants for name in step.inputs) and np.any(bound.sound):
            extra = np.asarray(self._short.tiny)
        else:
            return bound
        return Bound(bound.sound + extra, bound.probable + extra)


def _magnitude(step: Step, sizes: Sequence[Array | None]) -> Array:
    """``|A| |B| + |C|`` of a product, from absolute values."""
    if step.operator.spread is None:
        raise UnboundedError(f"{step.facts.where()}: what rounding its weights gives is not derived")
    errors = [None if index == 1 else x for index, x in enumerate(sizes)]
    return step.operator.spread(step.operator, step.attributes, sizes, errors, FLOAT32_ROUNDOFF)[0]
