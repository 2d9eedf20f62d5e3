"""Before a clock is started: does the configuration compute this model?

This guards the timing of a wrong computation; whether each node is right is for ``verify`` to say. The scale
is measured, not guessed: how far plain float32 (ONNX Runtime on one CPU thread, no optimisation) departs from
the float64 reference on the same inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from toolchain.data import Array
from toolchain.errors import GateFailedError, UnsupportedError
from toolchain.reference import Reference
from toolchain.session import Session, SessionOptions

# Winograd convolutions and other orders of summing cost one digit against plain float32, not two.
FACTOR = 64.0
FLOAT32_UNIT = 2.0**-24
# TF32 keeps 10 bits of a factor, float32 23.
TF32_FACTOR = 2.0**13
# Roundings that fall the other way in earlier layers move an 8-bit output by few steps.
QUANTIZED_STEPS = 4.0


@dataclass(frozen=True)
class Expected:
    """Right outputs for a batch, with the departure that is allowed.

    Attributes:
        judge: what computed them.
        outputs: by name.
        allowed: greatest absolute departure by name.
    """

    judge: str
    outputs: Mapping[str, Array]
    allowed: Mapping[str, float]


@dataclass(frozen=True)
class AnswerCheck:
    """How far a configuration's outputs depart.

    Attributes:
        judge: what they were compared with.
        departure: the greatest absolute difference.
        allowed: the greatest that was accepted for that output.
    """

    judge: str
    departure: float
    allowed: float


def expect(model: ir.Model, feeds: Mapping[str, Array]) -> Expected:
    """Right outputs for one batch, by the reference interpreter.

    Where the interpreter lacks an operator, plain float32 itself is the judge.
    """
    session = Session(model, SessionOptions(threads=1, optimization="off"))
    plain = session.run(feeds)
    try:
        outputs = {name: np.asarray(array) for name, array in Reference(model).run(feeds).items()}
        judge = "reference interpreter"
    except UnsupportedError:
        outputs, judge = plain, "onnxruntime on the CPU, not optimised"
    return Expected(
        judge,
        outputs,
        {name: _allowed(model, name, right, plain[name]) for name, right in outputs.items()},
    )


def check_answer(name: str, expected: Expected, outputs: Mapping[str, Array], *, tf32: bool) -> AnswerCheck:
    """Compare one batch's outputs with the right ones.

    Args:
        name: of the configuration.
        expected: from :func:`expect`.
        outputs: what the configuration answered.
        tf32: whether it was allowed to round to TF32.

    Raises:
        GateFailedError: another shape, not finite where it should be, or too far off.
    """
    worst = AnswerCheck(expected.judge, 0.0, 0.0)
    for output, right in expected.outputs.items():
        got = np.asarray(outputs[output])
        if got.shape != right.shape:
            raise GateFailedError(
                f"{name}: output {output!r} has shape {list(got.shape)}, expected {list(right.shape)}"
            )
        if not right.size:
            continue
        difference = np.abs(got.astype(np.float64) - right.astype(np.float64))
        departure = float(np.where(got == right, 0.0, difference).max())
        allowed = expected.allowed[output] * (TF32_FACTOR if tf32 else 1.0)
        if not departure <= allowed:
            raise GateFailedError(
                f"{name}: output {output!r} departs by {departure:.3g} from the {expected.judge}, at most "
                f"{allowed:.3g} is expected; it is not timed: find the node with `onnx-edge verify`"
            )
        if departure >= worst.departure:
            worst = AnswerCheck(expected.judge, departure, allowed)
    return worst


def _allowed(model: ir.Model, name: str, right: Array, plain: Array) -> float:
    if not right.size or not np.issubdtype(right.dtype, np.floating):
        return 0.0
    wide = right.astype(np.float64)
    finite = np.isfinite(wide)
    size = float(np.abs(wide[finite]).max(initial=0.0))
    own = float(np.abs(plain.astype(np.float64) - wide)[finite].max(initial=0.0))
    return max(FACTOR * own, FACTOR * FLOAT32_UNIT * size, QUANTIZED_STEPS * _step(model, name))


def _step(model: ir.Model, name: str) -> float:
    """The step of an output that is quantized at its end, or somewhere before it; 0 in a float model."""
    value = next((output for output in model.graph.outputs if output.name == name), None)
    node = value.producer() if value is not None else None
    while node is not None and node.op_type != "DequantizeLinear":
        first = node.inputs[0] if node.inputs else None
        node = first.producer() if first is not None else None
    scale = node.inputs[1].const_value if node is not None and node.inputs[1] is not None else None
    return 0.0 if scale is None else float(np.max(scale.numpy()))
