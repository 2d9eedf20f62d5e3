"""Drawing nodes without windows: products, normalisations, element-wise functions, what moves, what reduces."""

from __future__ import annotations

import numpy as np

from tests.graphs import values
from tests.graphs.hand import Hand

UNARY = {
    "Relu": 1, "Sigmoid": 1, "Tanh": 1, "Softplus": 1, "Softsign": 1, "Abs": 1, "Neg": 1, "Exp": 1, "Sqrt": 1, "Floor": 1,  # noqa: E501
    "Ceil": 1, "Identity": 1, "Reciprocal": 1, "Erf": 9, "Sin": 7, "Cos": 7, "Log": 1, "Round": 11, "Sign": 9,
    "HardSwish": 14, "Mish": 18, "Atan": 7, "Not": 99,
}  # fmt: skip
"""Functions without attributes, and the opset from which they exist."""
UNARY.pop("Not")
REDUCTIONS = (
    "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare",
    "ReduceLogSumExp", "ReduceLogSum",
)  # fmt: skip


def unary(hand: Hand, x: str) -> str | None:
    """A function of one element."""
    return hand.sketch.add(hand.pick([op for op, since in UNARY.items() if since <= hand.sketch.opset]), [x])


def parametrised(hand: Hand, x: str) -> str | None:
    """An activation with attributes."""
    op = hand.pick(("LeakyRelu", "Elu", "Selu", "HardSigmoid", "ThresholdedRelu", "PRelu", "Celu", "Gelu"))
    if (op == "Celu" and hand.sketch.opset < 12) or (op == "Gelu" and hand.sketch.opset < 20):
        return None
    if op == "PRelu":
        shape = hand.sketch.shape(x)
        slope = hand.pick(((1,), shape, (shape[1], *(1,) * (len(shape) - 2)) if len(shape) > 1 else (1,)))
        return hand.sketch.add(op, [x, hand.weights(slope)])
    if op == "Gelu":
        return hand.sketch.add(op, [x], approximate=hand.pick((None, "none", "tanh")))
    attributes = {"alpha": hand.pick((None, 0.25, 1.5))}
    if op in ("HardSigmoid",):
        attributes["beta"] = hand.pick((None, 0.25))
    if op == "Selu":
        attributes["gamma"] = hand.pick((None, 1.25))
    return hand.sketch.add(op, [x], **attributes)


def binary(hand: Hand, x: str) -> str | None:
    """Arithmetic with a constant that broadcasts, or with an earlier tensor."""
    op = hand.pick(("Add", "Sub", "Mul", "Div", "Max", "Min", "PRelu", "Pow"))
    shape = hand.sketch.shape(x)
    if op in ("Max", "Min") and hand.sketch.opset < 8:
        return None
    partners = [n for n in hand.history if hand.sketch.shape(n) == shape and hand.sketch.dtype(n) == np.float32]
    if partners and op != "PRelu" and hand.flip():
        other = hand.pick(partners)
    else:
        short = shape[hand.integer(0, len(shape)) :] if shape else shape
        thin = tuple(1 if hand.integer(0, 2) == 0 else size for size in short)
        other = hand.weights(thin)
        if op == "Pow":
            other = hand.sketch.constant(hand.pick((2.0, 0.5, 3.0, -1.0, 0.0)), np.float32)
    turned = op not in ("PRelu", "Pow") and hand.flip()
    return hand.sketch.add(op, [other, x] if turned else [x, other])


def clip(hand: Hand, x: str) -> str | None:
    """Clip, limits as attributes before version 11."""
    low, high = hand.pick(((None, None), (0.0, 6.0), (-1.0, None), (None, 0.5), (-0.25, -0.25)))
    if hand.sketch.opset < 11:
        return hand.sketch.add("Clip", [x], min=low, max=high)
    limits = [None if v is None else hand.sketch.constant(v, np.float32) for v in (low, high)]
    return hand.sketch.add("Clip", [x, *limits])


def softmax(hand: Hand, x: str) -> str | None:
    """Softmax, LogSoftmax or Hardmax, along any axis."""
    rank = len(hand.sketch.shape(x))
    axis = hand.axis(rank) if rank else None
    return hand.sketch.add(hand.pick(("Softmax", "Softmax", "LogSoftmax", "Hardmax")), [x], axis=axis)


def reduction(hand: Hand, x: str) -> str | None:
    """A reduction, axes as an attribute or an input."""
    op, rank = hand.pick(REDUCTIONS), len(hand.sketch.shape(x))
    count = hand.integer(0, rank)
    axes = sorted({hand.integer(0, rank - 1) for _ in range(count)}) if rank else []
    if hand.sketch.opset >= 11 and hand.flip():
        axes = [a - rank for a in axes]
    keep = hand.bit()
    if hand.sketch.version(op) >= (13 if op == "ReduceSum" else 18):
        inputs = [x, hand.sketch.constant(axes, np.int64)] if axes else [x]
        return hand.sketch.add(op, inputs, keepdims=keep)
    return hand.sketch.add(op, [x], keepdims=keep, axes=axes or None)


def gemm(hand: Hand, x: str) -> str | None:
    """Gemm of a matrix."""
    rows, depth = hand.sketch.shape(x)
    turned, transposed = hand.flip(), hand.flip()
    if turned:
        rows, depth = depth, rows
    width = hand.integer(1, 5)
    weight = hand.weights((width, depth) if transposed else (depth, width))
    inputs = [x, weight]
    if hand.sketch.opset < 11 or hand.flip():
        inputs.append(hand.weights(hand.pick(((width,), (1, width), (rows, 1), (rows, width), (1,), ()))))
    return hand.sketch.add(
        "Gemm",
        inputs,
        transA=hand.maybe(int(turned), not turned),
        transB=hand.maybe(int(transposed), not transposed),
        alpha=hand.pick((None, 0.5, 0.3)),
        beta=hand.pick((None, 2.0, 0.7, 0.0)) if len(inputs) > 2 else None,
    )


def matmul(hand: Hand, x: str) -> str | None:
    """MatMul with a constant on either side."""
    shape = hand.sketch.shape(x)
    other = hand.integer(1, 4)
    batch = shape[:-2] if hand.flip() else ()
    if hand.flip():
        return hand.sketch.add("MatMul", [x, hand.weights((*batch, shape[-1], other))])
    if len(shape) < 2:
        return hand.sketch.add("MatMul", [hand.weights((other, shape[0])), x])
    return hand.sketch.add("MatMul", [hand.weights((*batch, other, shape[-2])), x])


def normalization(hand: Hand, x: str) -> str | None:
    """BatchNormalization, InstanceNormalization, LayerNormalization or LRN."""
    shape = hand.sketch.shape(x)
    op = hand.pick(("BatchNormalization", "BatchNormalization", "LRN", "InstanceNormalization", "LayerNormalization"))
    epsilon = hand.pick((None, 1e-3, 1e-7))
    if op == "LRN":
        size = hand.integer(1, 6)
        return (
            len(shape) == 4
            and hand.sketch.add(  # type: ignore[return-value]
                op,
                [x],
                size=size,
                alpha=hand.pick((None, 0.5)),
                beta=hand.pick((None, 0.5)),
                bias=hand.pick((None, 2.0)),
            )
        ) or None
    if op == "LayerNormalization":
        if hand.sketch.opset < 17:
            return None
        axis = hand.integer(-len(shape), -1)
        return hand.sketch.add(
            op, [x, hand.weights(shape[axis:]), hand.weights(shape[axis:])], axis=axis, epsilon=epsilon
        )
    if len(shape) < (3 if op.startswith("I") else 2):
        return None
    scale, bias, mean = (hand.weights((shape[1],)) for _ in range(3))
    if op == "InstanceNormalization":
        return hand.sketch.add(op, [x, scale, bias], epsilon=epsilon)
    variance = np.abs(values.floats("normal", (shape[1],), hand.generator)) + np.float32(0.01)
    return hand.sketch.add(op, [x, scale, bias, mean, hand.sketch.constant(variance)], epsilon=epsilon)


def concat(hand: Hand, x: str) -> str | None:
    """Concat with constants, itself or earlier tensors."""
    shape = hand.sketch.shape(x)
    axis = hand.axis(len(shape))
    fits = [
        n for n in hand.history
        if hand.sketch.dtype(n) == hand.sketch.dtype(x) and len(hand.sketch.shape(n)) == len(shape)
        and all(a == b for i, (a, b) in enumerate(zip(hand.sketch.shape(n), shape, strict=True))
                if i != axis % len(shape))
    ]  # fmt: skip
    parts = [x]
    for _ in range(hand.integer(0, 2)):
        resized = list(shape)
        resized[axis] = hand.integer(1, 3)
        parts.append(hand.pick(fits) if fits and hand.flip() else hand.weights(tuple(resized)))
    return hand.sketch.add("Concat", parts, axis=axis)


def reshaping(hand: Hand, x: str) -> str | None:
    """Flatten, Reshape with 0 and -1, Transpose, Squeeze or Unsqueeze."""
    shape = hand.sketch.shape(x)
    rank = len(shape)
    op = hand.pick(("Flatten", "Flatten", "Reshape", "Transpose", "Unsqueeze"))
    if op == "Flatten":
        return hand.sketch.add(
            op, [x], axis=hand.pick((None, hand.integer(-rank if hand.sketch.opset >= 11 else 0, rank)))
        )
    if op == "Transpose":
        order = hand.generator.permutation(rank).tolist()
        return hand.sketch.add(op, [x], perm=hand.maybe(order, order == list(range(rank))[::-1]))
    if op == "Unsqueeze":
        if rank > 4:
            return None
        axis = hand.integer(0, rank)
        if hand.sketch.opset >= 13:
            return hand.sketch.add(op, [x, hand.sketch.constant([axis], np.int64)])
        return hand.sketch.add(op, [x], axes=[axis])
    target: list[int] = [0 if hand.flip() else size for size in shape]
    if rank > 1 and hand.flip():
        place = hand.integer(0, rank - 2)
        target[place : place + 2] = [shape[place] * shape[place + 1]]
        # A 0 copies the dimension at its own place, so none may stand behind the merged ones.
        target[place + 1 :] = shape[place + 2 :]
    if target and hand.flip():
        target[hand.integer(0, len(target) - 1)] = -1
    return hand.sketch.add(op, [x, hand.sketch.constant(target, np.int64)])


def pad(hand: Hand, x: str) -> str | None:
    """Pad, widths as an attribute before version 11."""
    shape = hand.sketch.shape(x)
    mode = hand.pick(("constant", "constant", "reflect", "edge", *(("wrap",) if hand.sketch.opset >= 19 else ())))
    widths = [[0] * len(shape), [0] * len(shape)]
    for axis in range(len(shape)):
        if hand.flip():
            most = 2 if mode in ("constant", "edge") else min(2, shape[axis] - 1)
            widths[0][axis], widths[1][axis] = hand.integer(0, most), hand.integer(0, most)
    pads, value = [*widths[0], *widths[1]], hand.pick((None, 1.5))
    if hand.sketch.opset < 11:
        return hand.sketch.add("Pad", [x], pads=pads, mode=hand.maybe(mode, mode == "constant"), value=value)
    inputs = [x, hand.sketch.constant(pads, np.int64)]
    if value is not None and mode == "constant":
        inputs.append(hand.sketch.constant(value, np.float32))
    return hand.sketch.add("Pad", inputs, mode=hand.maybe(mode, mode == "constant"))
