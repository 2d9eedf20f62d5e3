"""Dropout: https://onnx.ai/onnx/operators/onnx__Dropout.html.

In inference the input passes and nothing is masked. Training draws random numbers that the specification
does not fix, so it has no reference unless the ratio is 0; it is refused otherwise. Versions 1 and 6 say
``is_test``, 7 and 10 always infer, 12 and later have ``ratio`` and ``training_mode`` as inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from toolchain.ops.bounds import EXACT, Bound
from toolchain.ops.operator import Array, Inputs, NodeFacts, Operator, Spec, optional, required
from toolchain.ops.spreads import moved

_DEFAULT_RATIO = 0.5


@dataclass(frozen=True)
class Dropout:
    """What of a Dropout node matters.

    Attributes:
        mask: the second output is wanted.
        boolean: the mask is boolean (version 10 and later), else of the input's type.
        by_inputs: ratio and mode are inputs (version 12 and later).
    """

    mask: bool
    boolean: bool
    by_inputs: bool


def parse(facts: NodeFacts) -> Dropout:
    """Read the attributes; refuse random training by attributes."""
    ratio = float(facts.attributes.get("ratio", _DEFAULT_RATIO))
    if facts.version < 7 and not facts.attributes.get("is_test", 0) and ratio != 0:
        raise facts.unsupported("it drops at random, as in training (is_test is 0)", "export the model for inference")
    return Dropout(facts.outputs > 1, facts.version >= 10, facts.version >= 12)


def evaluate(node: Dropout, inputs: Inputs) -> tuple[Array, ...]:
    """The input; a mask that keeps everything.

    Raises:
        ValueError: it would drop at random.
    """
    x = required(inputs, 0)
    if node.by_inputs:
        ratio, training = optional(inputs, 1), optional(inputs, 2)
        chance = _DEFAULT_RATIO if ratio is None else float(ratio.reshape(()))
        if training is not None and bool(training.reshape(())) and chance != 0:
            raise ValueError(f"it drops {chance:g} of the values at random, as in training; expected inference")
    if not node.mask:
        return (x,)
    return x, np.ones(x.shape, dtype=np.bool_ if node.boolean else x.dtype)


def infer(node: Dropout, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    """Type and shape of the input; the mask likewise, boolean since version 10."""
    x: Spec = required(inputs, 0)
    mask = Spec(ir.DataType.BOOL if node.boolean else x.dtype, x.shape)
    return (Spec(x.dtype, x.shape), mask) if node.mask else (Spec(x.dtype, x.shape),)


def bound(node: Dropout, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
    """Moves values: exact."""
    return (EXACT,) * len(exact)


OPERATORS = (Operator("Dropout", frozenset({1, 6, 7, 10, 12, 13, 22}), parse, evaluate, infer, bound, spread=moved),)
