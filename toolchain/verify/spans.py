"""Limits that say nothing although they are finite: those that admit the whole range of a function.

Behind a sum without a limit, ``Sigmoid`` and ``Clip`` have one: whatever comes in, what goes out lies between their
ends. A backend that computes the function of any other number stays within it. So a limit is compared with the *span*
of its element: how far from the exact value the nodes of the region can take it over all inputs. A limit that is no
smaller certifies nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from toolchain.errors import UnboundedError
from toolchain.nodes import Step
from toolchain.ops.arrays import Array
from toolchain.ops.bounds import Bound

Spreading = Callable[[Step, Sequence[Array | None], Sequence[Array | None], float], tuple[Array, ...]]


class Spans:
    """Follows the spans of one region's tensors; a tensor without one may take any value.

    Args:
        constants: names of the initialisers, which take none but their own.
        spread: what errors of a node's inputs become at its outputs; empty where no input has any.
    """

    def __init__(self, constants: Collection[str], spread: Spreading) -> None:
        self._known = set(constants)
        self._spread = spread
        self._spans: dict[str, Array] = {}

    def add(self, step: Step, inputs: Sequence[Array | None], outputs: Sequence[Array], roundoff: float) -> None:
        """Go on by one node.

        Args:
            step: the next node, in order.
            inputs: its exact inputs.
            outputs: what it gives for them.
            roundoff: unit roundoff.
        """
        if all(name is None or name in self._known for name in step.inputs):
            self._known.update(name for name in step.outputs if name)
            return
        carried = self._carried(step, inputs, roundoff)
        for position, (name, y) in enumerate(zip(step.outputs, outputs, strict=False)):
            found = [] if position >= len(carried) else [carried[position]]
            ends = _ends(step, inputs, y)
            if ends is not None:
                found.append(distance(y, *ends))
            if name and found:
                self._spans[name] = np.minimum.reduce(np.broadcast_arrays(*found))

    def of(self, name: str) -> Array:
        """The span of a tensor, broadcastable to its shape; infinite where nothing is known."""
        return self._spans.get(name, np.asarray(np.inf))

    def _carried(self, step: Step, inputs: Sequence[Array | None], roundoff: float) -> tuple[Array, ...]:
        """What the spans of the inputs become; nothing where none of them has one."""
        if self._spans.keys().isdisjoint(name for name in step.inputs if name):
            return ()
        errors = [
            None if x is None or name is None or name in self._known else np.broadcast_to(self.of(name), np.shape(x))
            for name, x in zip(step.inputs, inputs, strict=True)
        ]
        try:
            carried = self._spread(step, inputs, errors, roundoff)
        except UnboundedError:
            return ()
        return tuple(np.where(np.isnan(span), np.inf, span) for span in carried)


def distance(y: Array, low: Any, high: Any) -> Array:
    """How far a value is from the farther end of an interval; infinite where it is no number."""
    value = np.asarray(y, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        far = np.maximum(np.asarray(high, np.float64) - value, value - np.asarray(low, np.float64))
    return np.where(np.isnan(far), np.inf, np.maximum(far, 0.0))


def of_integers(y: Array) -> Array:
    """How far from an integer the farther end of its type is."""
    info = np.iinfo(y.dtype)
    return distance(y, info.min, info.max)


def _ends(step: Step, inputs: Sequence[Array | None], y: Array) -> tuple[Any, Any] | None:
    """Between which values an output lies for all inputs, where there are such."""
    if y.dtype.kind in "iu":
        info = np.iinfo(y.dtype)
        return info.min, info.max
    return None if step.operator.range is None else step.operator.range(step.attributes, inputs)


def saying_nothing(bound: Bound, shape: tuple[int, ...]) -> Array:
    """Where the sound limit is infinite, or admits all that the element can be.

    An element that can only be one value has a span of zero, and any limit on it does.
    """
    sound = np.broadcast_to(np.asarray(bound.sound, dtype=np.float64), shape)
    span = np.broadcast_to(np.asarray(bound.span, dtype=np.float64), shape)
    return np.asarray(~np.isfinite(sound) | ((sound >= span) & (span > 0)))
