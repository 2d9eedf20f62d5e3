"""How the gradient of a number passes back through a node, for first-order error bounds.

With ``g = d f / d y`` for a node ``y = op(x)``, the adjoint is ``d f / d x = J^T g``
(L. B. Rall, Automatic Differentiation, 1981; here by hand, for the operators of common CNNs). It only estimates:
nothing that is judged *wrong* rests on it, so a slope may be a difference quotient.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolchain.errors import UnsupportedError
from toolchain.nodes import Step
from toolchain.ops.arrays import Array
from toolchain.ops.conv import geometry as conv_geometry
from toolchain.ops.lrn import LRN
from toolchain.ops.pool import geometry as pool_geometry
from toolchain.ops.windows import Geometry

_STEP = 2.0**-20


@dataclass(frozen=True)
class Passage:
    """A gradient on its way back through a node.

    Attributes:
        step: the node.
        inputs: its inputs.
        outputs: what it gave for them.
        gradient: at its first output.
        index: of the input that the gradient is wanted at.
    """

    step: Step
    inputs: Sequence[Array | None]
    outputs: Sequence[Array]
    gradient: Array
    index: int

    def array(self, index: int) -> Array:
        """An input that is there."""
        return np.asarray(self.inputs[index])

    @property
    def node(self) -> Any:
        """The attributes."""
        return self.step.attributes


Adjoint = Callable[[Passage], Array]
"""The gradient at the wanted input."""


def adjoint(p: Passage) -> Array:
    """The gradient at an input of a node, from that at its first output.

    Raises:
        UnsupportedError: nobody has derived it for this operator.
    """
    function = ADJOINTS.get(p.step.operator.name) if p.step.operator.domain == "" else None
    if function is None:
        raise UnsupportedError(f"{p.step.facts.where()}: how gradients pass back through it is not derived")
    return function(p)


def _elementwise(p: Passage) -> Array:
    """Slope by a difference quotient; at a kink the steeper side."""
    x = p.array(p.index)
    h = _STEP * np.maximum(np.abs(x), 1.0)
    slopes = []
    for signed in (h, -h):
        moved = list(p.inputs)
        moved[p.index] = x + signed
        change = p.step.operator.evaluate(p.node, moved)[0] - p.outputs[0]
        slopes.append(change / np.broadcast_to(signed, change.shape))
    slope = np.where(np.abs(slopes[0]) >= np.abs(slopes[1]), slopes[0], slopes[1])
    return _summed(p.gradient * slope, x.shape)


def _summed(gradient: Array, shape: tuple[int, ...]) -> Array:
    """Undo broadcasting."""
    extra = gradient.ndim - len(shape)
    gradient = gradient.sum(axis=tuple(range(extra))) if extra else gradient
    axes = tuple(i for i, size in enumerate(shape) if size == 1 and gradient.shape[i] != 1)
    return gradient.sum(axis=axes, keepdims=True) if axes else gradient


def _moved(p: Passage) -> Array:
    """Of operators that move elements: numbers sent through instead of them tell where each one went; 0 is none."""
    size = p.array(p.index).size
    sent: list[Array | None] = []
    for i, x in enumerate(p.inputs):
        if x is None or x.dtype.kind != "f":
            sent.append(x)
        else:
            sent.append(np.arange(1.0, size + 1).reshape(x.shape) if i == p.index else np.zeros(x.shape))
    places = p.step.operator.evaluate(p.node, sent)[0].astype(np.int64).ravel()
    found = np.bincount(places, p.gradient.ravel(), size + 1)[1:]
    return found.reshape(p.array(p.index).shape)


def _scattered(g: Geometry, x: Array, part: Callable[[tuple[int, ...]], Array]) -> Array:
    """Add to each tap of each window, then take the padding off."""
    padded = np.zeros_like(g.padded(x, 0))
    for tap, place in g.taps(padded):
        place += part(tap)
    inside = tuple(slice(b, b + s) for b, s in zip(g.begins, g.spatial, strict=True))
    return padded[(slice(None), slice(None), *inside)]


def _conv(p: Passage) -> Array:
    """Each tap's weights, transposed."""
    if p.index:
        raise UnsupportedError(f"{p.step.facts.where()}: its weight is computed; gradients of it are not derived")
    x, w = p.array(0), p.array(1)
    group = p.node.group
    g = conv_geometry(p.node, x.shape, w.shape)
    n, m = p.gradient.shape[:2]
    rows = p.gradient.reshape(n, group, m // group, -1)

    def part(tap: tuple[int, ...]) -> Array:
        here: tuple[Any, ...] = (slice(None), slice(None), *tap)
        matrix = w[here].reshape(group, m // group, -1).transpose(0, 2, 1)
        return np.asarray(matrix @ rows).reshape(n, x.shape[1], *p.gradient.shape[2:])

    return _scattered(g, x, part)


def _average_pool(p: Passage) -> Array:
    x = p.array(0)
    g = pool_geometry(p.node.windows, x.shape)
    shared = p.gradient / np.maximum(g.counts(p.node.count_include_pad), 1)
    return _scattered(g, x, lambda _: shared)


def _max_pool(p: Passage) -> Array:
    x = p.array(0)
    asking = dataclasses.replace(p.node, indices=True, column_major=False)
    places = p.step.operator.evaluate(asking, [x])[1].ravel()
    return np.bincount(places, p.gradient.ravel(), x.size).reshape(x.shape)


def _global_average(p: Passage) -> Array:
    x = p.array(0)
    return np.broadcast_to(p.gradient / np.prod(x.shape[2:]), x.shape)


def _gemm(p: Passage) -> Array:
    node = p.node
    if p.index == 2:
        return _summed(node.beta * p.gradient, p.array(2).shape)
    a, b = p.array(0), p.array(1)
    a, b = a.T if node.transpose_a else a, b.T if node.transpose_b else b
    found = p.gradient @ b.T if p.index == 0 else a.T @ p.gradient
    turned = node.transpose_a if p.index == 0 else node.transpose_b
    return np.asarray(node.alpha * (found.T if turned else found))


def _matmul(p: Passage) -> Array:
    a, b = p.array(0), p.array(1)
    if a.ndim < 2 or b.ndim < 2:
        raise UnsupportedError(f"{p.step.facts.where()}: gradients of products with vectors are not derived")
    found = p.gradient @ np.swapaxes(b, -1, -2) if p.index == 0 else np.swapaxes(a, -1, -2) @ p.gradient
    return _summed(found, p.array(p.index).shape)


def _lrn(p: Passage) -> Array:
    """``y_c = x_c B_c^-beta``: each square reaches the channels whose window holds it, the mirrored window."""
    node: LRN = p.node
    x = p.array(0)
    base = (x / np.where(p.outputs[0] == 0, 1.0, p.outputs[0])) ** (1 / node.beta) if node.beta else np.ones_like(x)
    base = np.where(x == 0, node.bias, base)
    through = p.gradient * x * base ** (-node.beta - 1)
    channels, before = x.shape[1], (node.size - 1) // 2
    after = node.size - 1 - before
    total = np.zeros_like(x)
    for offset in range(max(-after, 1 - channels), min(before, channels - 1) + 1):
        first, last = max(-offset, 0), channels - max(offset, 0)
        total[:, first:last] += through[:, first + offset : last + offset]
    return np.asarray(p.gradient * base**-node.beta - 2 * node.alpha * node.beta / node.size * x * total)


def _softmax(p: Passage) -> Array:
    if p.array(0).ndim != 2:
        raise UnsupportedError(f"{p.step.facts.where()}: gradients are derived for [N, classes] only")
    y = p.outputs[0]
    if p.step.operator.name == "LogSoftmax":
        return np.asarray(p.gradient - np.exp(y) * p.gradient.sum(axis=1, keepdims=True))
    return np.asarray(y * (p.gradient - (p.gradient * y).sum(axis=1, keepdims=True)))


_ELEMENTWISE = (
    *("Abs", "Add", "BatchNormalization", "Celu", "Clip", "Div", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid"),
    *("HardSwish", "LeakyRelu", "Log", "Mish", "Mul", "Neg", "PRelu", "Pow", "Reciprocal", "Relu", "Selu", "Sigmoid"),
    *("Softplus", "Softsign", "Sqrt", "Sub", "Swish", "Tanh", "ThresholdedRelu"),
)
_MOVING = (
    *("Concat", "DepthToSpace", "Dropout", "Expand", "Flatten", "Identity", "Pad", "Reshape", "Slice"),
    *("SpaceToDepth", "Squeeze", "Transpose", "Unsqueeze"),
)
ADJOINTS: dict[str, Adjoint] = {
    **dict.fromkeys(_ELEMENTWISE, _elementwise),
    **dict.fromkeys(_MOVING, _moved),
    "AveragePool": _average_pool,
    "Conv": _conv,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average,
    "LRN": _lrn,
    "LogSoftmax": _softmax,
    "MatMul": _matmul,
    "MaxPool": _max_pool,
    "Softmax": _softmax,
}
