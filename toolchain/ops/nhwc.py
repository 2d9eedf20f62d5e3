"""QLinearConv and NhwcMaxPool of domain com.microsoft: quantized tensors with the channels last.

Filters keep the order [M, C / group, kernel...]. https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolchain.ops import integer_products, maxpool
from toolchain.ops.attributes import integer
from toolchain.ops.bounds import EXACT, Bound
from toolchain.ops.moving import exact_bound
from toolchain.ops.operator import Array, Inputs, NodeFacts, Operator, Spec, required

DOMAIN = "com.microsoft"
_QLINEAR_CONV = next(o for o in integer_products.OPERATORS if o.name == "QLinearConv")
_MAX_POOL = next(o for o in maxpool.OPERATORS if o.name == "MaxPool")


@dataclass(frozen=True)
class Layout:
    """An operator's own attributes, and whether the channels of its tensors come last."""

    inner: Any
    channels_last: bool

    def inwards(self, inputs: Inputs) -> list[Array | None]:
        """The inputs with the channels of the first one second."""
        x = required(inputs, 0)
        return [np.moveaxis(x, -1, 1) if self.channels_last else x, *inputs[1:]]

    def outwards(self, y: Array) -> Array:
        """The output as the node lays it out."""
        return np.moveaxis(y, 1, -1) if self.channels_last else y

    def specs(self, operator: Operator, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
        """Shape inference of an operator that has the channels second."""
        x = required(inputs, 0)
        if not self.channels_last:
            return operator.infer(self.inner, inputs)[:1]
        first = Spec(x.dtype, (x.shape[0], x.shape[-1], *x.shape[1:-1]))
        y = operator.infer(self.inner, [first, *inputs[1:]])[0]
        return (Spec(y.dtype, (y.shape[0], *y.shape[2:], y.shape[1])),)


def _conv_parse(facts: NodeFacts) -> Layout:
    return Layout(_QLINEAR_CONV.parse(facts), bool(integer(facts, "channels_last", 0)))


def qlinear_conv(node: Layout, inputs: Inputs) -> tuple[Array, ...]:
    """Like ai.onnx's QLinearConv."""
    return (node.outwards(integer_products.qlinear_conv(node.inner, node.inwards(inputs))[0]),)


def _conv_infer(node: Layout, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    return node.specs(_QLINEAR_CONV, inputs)


def _conv_bound(node: Layout, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
    plain = np.moveaxis(exact[0], -1, 1) if node.channels_last else exact[0]
    (limit,) = _QLINEAR_CONV.bound(node.inner, node.inwards(inputs), [plain], roundoff)
    return (EXACT,) if limit is EXACT else (Bound(node.outwards(limit.sound), node.outwards(limit.probable)),)


def _conv_macs(node: Layout, inputs: Sequence[Spec | None], outputs: Sequence[Spec]) -> int:
    return _QLINEAR_CONV.macs(node.inner, inputs, outputs)


def _pool_parse(facts: NodeFacts) -> Layout:
    return Layout(_MAX_POOL.parse(facts), channels_last=True)


def max_pool(node: Layout, inputs: Inputs) -> tuple[Array, ...]:
    """Largest element of each window."""
    return (node.outwards(_MAX_POOL.evaluate(node.inner, node.inwards(inputs))[0]),)


def _pool_infer(node: Layout, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    return node.specs(_MAX_POOL, inputs)


_ONE = frozenset({1})

OPERATORS = (
    Operator("QLinearConv", _ONE, _conv_parse, qlinear_conv, _conv_infer, _conv_bound, _conv_macs, DOMAIN),
    Operator("NhwcMaxPool", _ONE, _pool_parse, max_pool, _pool_infer, exact_bound, domain=DOMAIN),
)
