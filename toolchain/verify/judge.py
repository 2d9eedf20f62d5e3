"""Judge one region: the exact value and the limits on the backend's error, from the backend's own inputs.

Within a region the runtime may fuse nodes and fold constants. Its result is then compared with the exact value of
the model's nodes; the limit is the sum of what each node may add, spread through the nodes behind it. Folding a
scale into weights (BatchNormalization or a product with a constant into Conv, Gemm or MatMul) rounds each folded
weight a few times more for every node that is folded: ``folding.FOLDING_ROUNDINGS`` counts them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from toolchain.errors import ToolchainError, UnboundedError
from toolchain.nodes import Step
from toolchain.ops.bounds import Bound, gamma
from toolchain.ops.operator import Spec, widen
from toolchain.reference import evaluate
from toolchain.verify.arithmetic import Arithmetic
from toolchain.verify.folding import FOLDED, FOLDING_ROUNDINGS, ShortConstants, foldings
from toolchain.verify.normalizing import recognized
from toolchain.verify.regions import Region
from toolchain.verify.spans import Spans
from toolchain.verify.sums import PRODUCTS, RunningSums, terms
from toolchain.verify.widened import left_out

Array = NDArray[Any]

LONGEST_WINDOW = 64
FLOAT16_MAX, FLOAT16_TINY = 65504.0, 2.0**-24
ROUNDOFF = {ir.DataType.FLOAT16: 2.0**-11, ir.DataType.BFLOAT16: 2.0**-8}
"""Unit roundoff of the types that are shorter than float32."""


def exact(
    region: Region,
    constants: Mapping[str, Array],
    observed: Mapping[str, Array],
    roundoff: float,
    specs: Mapping[str, Spec] | None = None,
    arithmetic: Arithmetic | None = None,
    folded: Arithmetic | None = None,
) -> tuple[Array, Bound]:
    """The exact value of a region's tensor, and the limits around it.

    Args:
        region: the nodes.
        constants: initialisers, widened.
        observed: the backend's tensors, at least the region's inputs.
        roundoff: unit roundoff of the backend's arithmetic on float32.
        specs: types of the model's tensors; nodes on shorter types round more coarsely.
        arithmetic: of products on float32, where their factors are shorter than their sums.
        folded: in which constants are folded, where it is a shorter one.

    Raises:
        UnsupportedError: the nodes cannot be evaluated on these tensors.
        UnboundedError: their errors cannot be bounded, or not composed.
    """
    values: dict[str, Array] = {name: widen(observed[name]) for name in region.inputs}
    sound: dict[str, Array] = {}
    probable: dict[str, Array] = {}
    steps = recognized(region.steps, constants, specs or {})
    sums, short, spans = RunningSums(steps), ShortConstants(steps, constants, folded), Spans(constants, _spread)
    folded_into = foldings(steps, constants)
    least = int(len(steps) > 1 and any(step.operator.name in FOLDED for step in steps))
    for step in steps:
        inputs = [None if n is None else values[n] if n in values else constants[n] for n in step.inputs]
        outputs = evaluate(step, inputs)
        u = max([roundoff, short.roundoff(step), *(ROUNDOFF.get(kind, 0.0) for kind in _types(step, specs or {}))])
        folds = max(least, folded_into.get(step.outputs[0] or "", 0))
        bounds = own(step, inputs, outputs, u, folds=folds)
        if arithmetic is not None and arithmetic.factors and u == roundoff:
            bounds = _short_factors(step, inputs, outputs, bounds, arithmetic, folds=folds)
        if specs and ir.DataType.FLOAT16 in _types(step, specs):
            n = _terms(step, inputs, outputs)
            bounds = tuple(_of_float16(b, y, n) for b, y in zip(bounds, outputs, strict=True))
        bounds = (*(short.added(step, inputs, first) for first in bounds[:1]), *bounds[1:])
        if step.outputs[0] != region.tensor and step.inputs:
            bounds = left_out(step, inputs, bounds, sound.get(step.inputs[0] or "", 0.0))
        continued = sums.continued(step, inputs, bounds, u)
        # What a node adds was bounded at the exact inputs; it grows with their errors.
        grown = 1.0 + float(gamma(LONGEST_WINDOW + _terms(step, inputs, outputs), u))
        for into, pick in ((sound, "sound"), (probable, "probable")):
            carried = _spread(step, inputs, [into.get(n) if n else None for n in step.inputs], u)
            for position, name in _made(step, outputs):
                added = getattr(bounds[position], pick)
                if continued is not None and position == 0:
                    added = added + getattr(continued, pick)
                into[name] = _limited(added, grown, carried[position]) if carried else added
        values.update({n: y for n, y in zip(step.outputs, outputs, strict=False) if n})
        spans.add(step, inputs, outputs, u)
    return values[region.tensor], Bound(sound[region.tensor], probable[region.tensor], spans.of(region.tensor))


def _made(step: Step, outputs: Sequence[Array]) -> list[tuple[int, str]]:
    """Positions and names of the outputs that there are."""
    return [(i, name) for i, name in enumerate(step.outputs[: len(outputs)]) if name is not None]


def _limited(added: Array, grown: float, carried: Array) -> Array:
    """What a node adds and what it carries on; no limit stays none behind a factor of zero."""
    with np.errstate(invalid="ignore"):
        total = np.asarray(added + grown * carried)
    return np.where(np.isnan(total), np.inf, total) if np.isnan(total).any() else total


def own(
    step: Step, inputs: Sequence[Array | None], outputs: Sequence[Array], roundoff: float, *, folds: int
) -> tuple[Bound, ...]:
    """What a node itself may add to its outputs.

    Args:
        step: the node.
        inputs: its exact inputs.
        outputs: what it gives for them.
        roundoff: unit roundoff of the backend's arithmetic.
        folds: nodes that may have been folded into its weights.

    Raises:
        UnboundedError: its error cannot be bounded.
    """
    try:
        bounds = step.operator.bound(step.attributes, inputs, outputs, roundoff)
    except ToolchainError:
        raise
    except (ValueError, TypeError, IndexError) as error:
        raise UnboundedError(f"{step.facts.where()}: its error cannot be bounded: {error}") from error
    if not folds or step.operator.name not in PRODUCTS or step.operator.spread is None:
        return bounds
    magnitudes: list[Array | None] = [None] * len(inputs)
    magnitudes[0] = np.abs(np.asarray(inputs[0]))
    folded = _spread(step, inputs, magnitudes, roundoff)
    if not folded:
        return bounds
    extra = float(gamma(FOLDING_ROUNDINGS * folds, roundoff)) * folded[0]
    return (Bound(bounds[0].sound + extra, bounds[0].probable + extra), *bounds[1:])


def _short_factors(
    step: Step,
    inputs: Sequence[Array | None],
    outputs: Sequence[Array],
    coarse: tuple[Bound, ...],
    arithmetic: Arithmetic,
    *,
    folds: int,
) -> tuple[Bound, ...]:
    """Of products whose factors are rounded, or cut off, to a short format, and summed in a longer one.

    Each factor is off by at most ``2 u``, so the products by ``(1 + 2 u)^2 - 1`` of their magnitude, however many they
    are; the sum adds ``gamma_n`` of its own unit roundoff. Where ``gamma_n`` of the short one is smaller, it stays.
    """
    if step.operator.name not in PRODUCTS or step.operator.spread is None:
        return coarse
    fine = own(step, inputs, outputs, arithmetic.sums, folds=folds)
    errors = [None if x is None or i > 1 else 2 * arithmetic.factors * np.abs(x) for i, x in enumerate(inputs)]
    spread = _spread(step, inputs, errors, arithmetic.sums)
    if not spread:
        return coarse
    grown = 1.0 + float(gamma(_terms(step, inputs, outputs), arithmetic.sums))
    limits = [getattr(fine[0], pick) + grown * spread[0] for pick in ("sound", "probable")]
    first = Bound(np.minimum(coarse[0].sound, limits[0]), np.minimum(coarse[0].probable, limits[1]))
    return (first, *coarse[1:])


def _types(step: Step, specs: Mapping[str, Spec]) -> set[ir.DataType]:
    """Element types of a node's tensors, as far as they are known."""
    return {specs[name].dtype for name in (*step.inputs, *step.outputs) if name and name in specs}


def _terms(step: Step, inputs: Sequence[Array | None], outputs: Sequence[Array]) -> int:
    """A number of additions that no output value exceeds by much: of products, or elements read per element written."""
    if step.operator.name in PRODUCTS and not step.operator.domain:
        return terms(step, inputs)
    read = max((int(np.size(x)) for x in inputs if x is not None), default=1)
    return -(-read // max(int(np.size(outputs[0])), 1)) if outputs else 1


def _of_float16(bound: Bound, exact: Array, terms: int) -> Bound:
    """Limits in a type whose numbers end early: no smaller than its subnormals, none beyond its largest."""
    if exact.dtype.kind != "f" or (not np.any(bound.sound) and np.ndim(bound.sound) == 0):
        return bound
    floor = FLOAT16_TINY * (terms + 1)
    beyond = np.abs(exact) + bound.sound >= FLOAT16_MAX
    sound, probable = (np.where(beyond, np.inf, limit + floor) for limit in (bound.sound, bound.probable))
    return Bound(sound, probable)


def _spread(
    step: Step, inputs: Sequence[Array | None], errors: Sequence[Array | None], roundoff: float
) -> tuple[Array, ...]:
    """What errors of the node's inputs become at its outputs; empty where no input has any."""
    live = [
        None if e is None or not np.any(e) else e if e.shape == np.shape(x) else np.broadcast_to(e, np.shape(x))
        for e, x in zip(errors, map(np.asarray, inputs), strict=True)
    ]
    if all(e is None for e in live):
        return ()
    if step.operator.spread is None:
        raise UnboundedError(
            f"{step.facts.where()}: it is fused behind another node, and how it spreads errors is not known here; "
            "verify with --optimization off"
        )
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            return step.operator.spread(step.operator, step.attributes, inputs, live, roundoff)
    except (ValueError, TypeError, IndexError) as error:
        raise UnboundedError(f"{step.facts.where()}: errors cannot be spread: {error}") from error
