"""Drawing a float16 product with nodes behind it that a runtime folds into its constants."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from tests.graphs import values
from tests.graphs.hand import Hand

F16 = np.float16
FOLDED = ("BatchNormalization", "BatchNormalization", "Mul", "Add", "Sub", "Div")
LONGEST = 4
LARGEST = 64.0
"""Of what is cast; infinities would be another matter (``exclusions.py``)."""
HEAVIEST = 4.0
"""Of weights: what a runtime makes of folded ones must not leave the range of float16, or it answers NaN."""


def folded(hand: Hand, x: str) -> str | None:
    """Clip, Cast to float16, a Conv or MatMul, up to four nodes with constants, perhaps Relu, and back to float32."""
    shape = hand.sketch.shape(x)
    if len(shape) < 2 or hand.sketch.dtype(x) != np.float32:
        return None
    attributes = hand.sketch.opset < 11
    limits = () if attributes else tuple(hand.sketch.constant(v, np.float32) for v in (-LARGEST, LARGEST))
    within = hand.sketch.add("Clip", [x, *limits], **({"min": -LARGEST, "max": LARGEST} if attributes else {}))
    half = within and hand.sketch.add("Cast", [within], to=TensorProto.FLOAT16)
    if half is None:
        return None
    y = _conv(hand, half) if len(shape) in (3, 4, 5) else _matmul(hand, half)
    for _ in range(hand.integer(0, LONGEST)):
        y = y and _foldable(hand, y)
    if y and hand.flip():
        y = hand.sketch.add("Relu", [y])
    if y and hand.flip():
        # An output of the graph: the runtime must round it to float16, and its limit is that much narrower.
        hand.sketch.add("Neg", [y])
    return y and hand.sketch.add("Cast", [y], to=TensorProto.FLOAT)


def constant(hand: Hand, shape: tuple[int, ...], kind: str = "") -> str:
    """Numbers of float16; some of the wide ones are subnormal."""
    kind = kind or hand.pick(("normal", "whole", "wide"))
    numbers = np.clip(values.floats(kind, shape, hand.generator), -HEAVIEST, HEAVIEST)
    return hand.sketch.constant(numbers.astype(F16))


def _conv(hand: Hand, x: str) -> str | None:
    _, channels, *spatial = hand.sketch.shape(x)
    group = hand.divisor(channels)
    filters = group * hand.integer(1, 3)
    kernel = [min(hand.integer(1, 3), size) for size in spatial]
    inputs = [x, constant(hand, (filters, channels // group, *kernel))]
    if hand.flip():
        inputs.append(constant(hand, (filters,)))
    pads = [hand.integer(0, 1) if k > 1 else 0 for k in (*kernel, *kernel)]
    return hand.sketch.add("Conv", inputs, group=group, pads=pads)


def _matmul(hand: Hand, x: str) -> str | None:
    return hand.sketch.add("MatMul", [x, constant(hand, (hand.sketch.shape(x)[-1], hand.integer(1, 4)))])


def _foldable(hand: Hand, x: str) -> str | None:
    shape, op = hand.sketch.shape(x), hand.pick(FOLDED)
    if op == "BatchNormalization":
        scale, bias, mean = (constant(hand, (shape[1],), "normal") for _ in range(3))
        variance = np.abs(values.floats("normal", (shape[1],), hand.generator)) + np.float32(0.01)
        epsilon = hand.pick((None, 1e-3))
        return hand.sketch.add(op, [x, scale, bias, mean, hand.sketch.constant(variance.astype(F16))], epsilon=epsilon)
    aligned = (shape[1], *(1,) * (len(shape) - 2)) if len(shape) > 2 else (shape[1],)
    thin = hand.pick(((1,) * len(aligned), aligned))
    numbers = values.floats(hand.pick(("normal", "whole")), thin, hand.generator)
    if op in ("Mul", "Div"):
        numbers = np.where(np.abs(numbers) < 0.05, np.float32(0.5), numbers)
    return hand.sketch.add(op, [x, hand.sketch.constant(numbers.astype(F16))])
