"""Judge one region: the exact value and the limits on the backend's error, from the backend's own inputs.

Within a region the runtime may fuse nodes and fold constants. Its result is then compared with the exact value of
the model's nodes; the limit is the sum of what each node may add, spread through the nodes behind it. Folding a
scale into weights (BatchNormalization or a product with a constant into Conv, Gemm or MatMul) rounds each folded
weight a few times more: ``FOLDING_ROUNDINGS`` counts square root, division, product and sum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import ToolchainError, UnsupportedError
from toolchain.nodes import Step
from toolchain.ops.bounds import Bound, gamma
from toolchain.ops.operator import widen
from toolchain.reference import evaluate
from toolchain.verify.regions import Region

Array = NDArray[Any]

FOLDING_ROUNDINGS = 6
_FOLDED = frozenset({"BatchNormalization", "Mul", "Add", "Div", "Sub", "DequantizeLinear"})
_FOLDED_INTO = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


def exact(
    region: Region, constants: Mapping[str, Array], observed: Mapping[str, Array], roundoff: float
) -> tuple[Array, Bound]:
    """The exact value of a region's tensor, and the limits around it.

    Args:
        region: the nodes.
        constants: initialisers, widened.
        observed: the backend's tensors, at least the region's inputs.
        roundoff: unit roundoff of the backend's arithmetic.

    Raises:
        UnsupportedError: the nodes cannot be evaluated on these tensors, or their errors cannot be composed.
    """
    values: dict[str, Array] = {name: widen(observed[name]) for name in region.inputs}
    sound: dict[str, Array] = {}
    probable: dict[str, Array] = {}
    folds = len(region.steps) > 1 and any(step.operator.name in _FOLDED for step in region.steps)
    for step in region.steps:
        inputs = [None if n is None else values[n] if n in values else constants[n] for n in step.inputs]
        outputs = evaluate(step, inputs)
        bounds = _own(step, inputs, outputs, roundoff, folds=folds)
        for into, pick in ((sound, "sound"), (probable, "probable")):
            carried = _spread(step, inputs, [into.get(n) if n else None for n in step.inputs], roundoff)
            for position, name in enumerate(step.outputs):
                if name is None or position >= len(outputs):
                    continue
                own = getattr(bounds[position], pick)
                into[name] = own + carried[position] if carried else own
        values.update({n: y for n, y in zip(step.outputs, outputs, strict=False) if n})
    return values[region.tensor], Bound(sound[region.tensor], probable[region.tensor])


def _own(
    step: Step, inputs: Sequence[Array | None], outputs: Sequence[Array], roundoff: float, *, folds: bool
) -> tuple[Bound, ...]:
    """What the node itself may add."""
    try:
        bounds = step.operator.bound(step.attributes, inputs, outputs, roundoff)
    except ToolchainError:
        raise
    except (ValueError, TypeError, IndexError) as error:
        raise UnsupportedError(f"{step.facts.where()}: its error cannot be bounded: {error}") from error
    if not folds or step.operator.name not in _FOLDED_INTO or step.operator.spread is None:
        return bounds
    magnitudes: list[Array | None] = [None] * len(inputs)
    magnitudes[0] = np.abs(np.asarray(inputs[0]))
    extra = float(gamma(FOLDING_ROUNDINGS, roundoff)) * _spread(step, inputs, magnitudes, roundoff)[0]
    return (Bound(bounds[0].sound + extra, bounds[0].probable + extra), *bounds[1:])


def _spread(
    step: Step, inputs: Sequence[Array | None], errors: Sequence[Array | None], roundoff: float
) -> tuple[Array, ...]:
    """What errors of the node's inputs become at its outputs; empty where no input has any."""
    live = [
        None if e is None or (np.ndim(e) == 0 and not e) else np.broadcast_to(e, np.shape(np.asarray(x)))
        for e, x in zip(errors, inputs, strict=True)
    ]
    if all(e is None for e in live):
        return ()
    if step.operator.spread is None:
        raise UnsupportedError(
            f"{step.facts.where()}: it is fused behind another node, and how it spreads errors is not known here; "
            "verify with --optimization off"
        )
    try:
        return step.operator.spread(step.operator, step.attributes, inputs, live, roundoff)
    except (ValueError, TypeError, IndexError) as error:
        raise UnsupportedError(f"{step.facts.where()}: errors cannot be spread: {error}") from error
