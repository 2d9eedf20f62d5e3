"""Operators on blocked tensors, domain com.microsoft.nchwc: what ONNX Runtime's CPU layout pass writes.

A tensor declared [N, C, H, W], with C padded to a multiple of the block size b, is stored as [N, C / b, H, W, b].
Filters are stored as [O / b, I / b, kH, kW, b of I, b of O]; where the input is not blocked (fewer channels than a
block: the first layer) or has one channel a group (depthwise) as [O / b, I, kH, kW, b of O].
onnxruntime/core/optimizer/nchwc_transformer.cc and core/mlas/lib/reorder.cpp.

The model does not state b: it is 8 on processors with AVX and 16 with AVX-512. It is read from :data:`BLOCK_SIZE`
when nodes are prepared, so a caller that judges a saved graph sets it for the machine that wrote the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolchain.ops import averagepool, fused, globalpools, maxpool
from toolchain.ops.attributes import choice, integer, integers
from toolchain.ops.bounds import EXACT, Bound
from toolchain.ops.moving import exact_bound
from toolchain.ops.operator import Array, Inputs, NodeFacts, Operator, Spec, optional, required

DOMAIN = "com.microsoft.nchwc"
BLOCK_SIZE: ContextVar[int] = ContextVar("block size of com.microsoft.nchwc", default=8)


def blocked(x: Array, b: int) -> Array:
    """From [N, C, H, W] to the storage order of blocks, under the same declared shape; C a multiple of ``b``."""
    n, c, h, w = x.shape
    if c % b:
        raise ValueError(f"{c} channels are no multiple of the block size {b}; set BLOCK_SIZE to the runtime's")
    return x.reshape(n, c // b, b, h, w).transpose(0, 1, 3, 4, 2).reshape(n, c, h, w)


def unblocked(x: Array, b: int) -> Array:
    """The inverse of :func:`blocked`."""
    n, c, h, w = x.shape
    if c % b:
        raise ValueError(f"{c} channels are no multiple of the block size {b}; set BLOCK_SIZE to the runtime's")
    return x.reshape(n, c // b, h, w, b).transpose(0, 1, 4, 2, 3).reshape(n, c, h, w)


def plain_filter(w: Array, b: int) -> Array:
    """A stored filter as [O, I, kH, kW]."""
    o, i, kh, kw = w.shape
    if o % b:
        raise ValueError(f"{o} filters are no multiple of the block size {b}; set BLOCK_SIZE to the runtime's")
    if i >= b and i % b == 0:
        return w.reshape(o // b, i // b, kh, kw, b, b).transpose(0, 5, 1, 4, 2, 3).reshape(w.shape)
    return w.reshape(o // b, i, kh, kw, b).transpose(0, 4, 1, 2, 3).reshape(w.shape)


@dataclass(frozen=True)
class Blocked:
    """An operator's own attributes, and the block size."""

    inner: Any
    block: int


def _spread_out(limit: Array, shape: tuple[int, ...], b: int) -> Array:
    return blocked(np.broadcast_to(limit, shape), b)


def _block_bound(bound: Bound, shape: tuple[int, ...], b: int) -> Bound:
    if bound is EXACT:
        return EXACT
    return Bound(_spread_out(bound.sound, shape, b), _spread_out(bound.probable, shape, b))


def _conv_parse(facts: NodeFacts) -> Blocked:
    return Blocked(fused.OPERATORS[0].parse(facts), BLOCK_SIZE.get())


def _conv_inputs(node: Blocked, inputs: Inputs) -> list[Array | None]:
    x, w, z = required(inputs, 0), required(inputs, 1), optional(inputs, 3)
    plain = w.shape[1] < node.block and node.inner.inner.group == 1
    return [
        x if plain else unblocked(x, node.block),
        plain_filter(w, node.block),
        optional(inputs, 2),
        None if z is None else unblocked(z, node.block),
    ]


def conv(node: Blocked, inputs: Inputs) -> tuple[Array, ...]:
    """``activation(conv(X, W) + B + Sum)``, blocked."""
    return (blocked(fused.fused_conv(node.inner, _conv_inputs(node, inputs))[0], node.block),)


def _conv_infer(node: Blocked, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    return fused.OPERATORS[0].infer(node.inner, inputs)


def _conv_bound(node: Blocked, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
    plain = [unblocked(exact[0], node.block)]
    (limit,) = fused.OPERATORS[0].bound(node.inner, _conv_inputs(node, inputs), plain, roundoff)
    return (_block_bound(limit, exact[0].shape, node.block),)


def _conv_macs(node: Blocked, inputs: Sequence[Spec | None], outputs: Sequence[Spec]) -> int:
    return fused.OPERATORS[0].macs(node.inner, inputs, outputs)


def _pool(operator: Operator) -> Operator:
    def parse(facts: NodeFacts) -> Blocked:
        return Blocked(operator.parse(facts), BLOCK_SIZE.get())

    def evaluate(node: Blocked, inputs: Inputs) -> tuple[Array, ...]:
        x = unblocked(required(inputs, 0), node.block)
        return (blocked(operator.evaluate(node.inner, [x])[0], node.block),)

    def infer(node: Blocked, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
        return operator.infer(node.inner, inputs)[:1]

    def bound(node: Blocked, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
        x, y = unblocked(required(inputs, 0), node.block), unblocked(exact[0], node.block)
        return (_block_bound(operator.bound(node.inner, [x], [y], roundoff)[0], exact[0].shape, node.block),)

    return Operator(operator.name, frozenset({1}), parse, evaluate, infer, bound, domain=DOMAIN)


@dataclass(frozen=True)
class Reorder:
    """Attributes: whether the unblocked side is [N, H, W, C], its channels (output side), and the block size."""

    channels_last: bool
    channels: int
    block: int


def _reorder_parse(facts: NodeFacts) -> Reorder:
    return Reorder(bool(integer(facts, "channels_last", 0)), integer(facts, "channels", 0), BLOCK_SIZE.get())


def reorder_input(node: Reorder, inputs: Inputs) -> tuple[Array, ...]:
    """Into blocks; missing channels are zero."""
    x = required(inputs, 0)
    x = np.moveaxis(x, -1, 1) if node.channels_last else x
    return (blocked(np.pad(x, [(0, 0), (0, -x.shape[1] % node.block), (0, 0), (0, 0)]), node.block),)


def _reorder_input_infer(node: Reorder, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    x = required(inputs, 0)
    n, c, h, w = (x.shape[i] for i in ((0, 3, 1, 2) if node.channels_last else range(4)))
    return (Spec(x.dtype, (n, -(-c // node.block) * node.block, h, w)),)


def reorder_output(node: Reorder, inputs: Inputs) -> tuple[Array, ...]:
    """Out of blocks; the channels that only fill the last block are dropped."""
    y = unblocked(required(inputs, 0), node.block)[:, : node.channels]
    return (np.moveaxis(y, 1, -1) if node.channels_last else y,)


def _reorder_output_infer(node: Reorder, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    x = required(inputs, 0)
    n, _, h, w = x.shape
    return (Spec(x.dtype, (n, h, w, node.channels) if node.channels_last else (n, node.channels, h, w)),)


def _upsample_parse(facts: NodeFacts) -> Blocked:
    scales = integers(facts, "scales") or ()
    if choice(facts, "mode", "nearest", ("nearest", "linear")) != "nearest" or len(scales) != 4:
        raise facts.unsupported("it interpolates, or has no four scales", "expected nearest and four scales")
    return Blocked(scales, BLOCK_SIZE.get())


def upsample(node: Blocked, inputs: Inputs) -> tuple[Array, ...]:
    """Every element repeated along height and width."""
    x = unblocked(required(inputs, 0), node.block)
    repeated = np.repeat(np.repeat(x, node.inner[2], axis=2), node.inner[3], axis=3)
    return (blocked(repeated, node.block),)


def _upsample_infer(node: Blocked, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    x = required(inputs, 0)
    return (Spec(x.dtype, tuple(d * s for d, s in zip(x.shape, node.inner, strict=True))),)


def _moving(
    name: str,
    parse: Callable[[NodeFacts], Any],
    evaluate: Callable[[Any, Inputs], tuple[Array, ...]],
    infer: Callable[[Any, Sequence[Spec | None]], tuple[Spec, ...]],
) -> Operator:
    return Operator(name, frozenset({1}), parse, evaluate, infer, exact_bound, domain=DOMAIN)


OPERATORS = (
    Operator("Conv", frozenset({1}), _conv_parse, conv, _conv_infer, _conv_bound, _conv_macs, DOMAIN),
    *(
        _pool(operator)
        for module in (averagepool, globalpools, maxpool)
        for operator in module.OPERATORS
        if operator.name in ("AveragePool", "MaxPool", "GlobalAveragePool", "GlobalMaxPool")
    ),
    _moving("ReorderInput", _reorder_parse, reorder_input, _reorder_input_infer),
    _moving("ReorderOutput", _reorder_parse, reorder_output, _reorder_output_infer),
    _moving("Upsample", _upsample_parse, upsample, _upsample_infer),
)
