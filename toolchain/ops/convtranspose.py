"""ConvTranspose: https://onnx.ai/onnx/operators/onnx__ConvTranspose.html.

The gradient of Conv with respect to its input: every element adds its multiple of the kernel to the output.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolchain.ops.bounds import Bound, accumulated
from toolchain.ops.operator import Array, Inputs, NodeFacts, Operator, Spec, optional, required
from toolchain.ops.spreads import linear
from toolchain.ops.windows import Windows


@dataclass(frozen=True)
class ConvTranspose:
    """Attributes of a ConvTranspose node; ``None`` where the node leaves one out."""

    windows: Windows
    group: int
    output_padding: tuple[int, ...] | None
    output_shape: tuple[int, ...] | None


@dataclass(frozen=True)
class Placement:
    """Where the kernels land, one value a spatial axis.

    Attributes:
        kernel: extent of the kernel.
        strides: distance between the kernels of neighbouring input elements.
        dilations: distance between taps.
        full: size of the output before cropping.
        begins: how much is cropped at the beginning.
        output: size of the output; what reaches beyond ``full`` is zero.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    full: tuple[int, ...]
    begins: tuple[int, ...]
    output: tuple[int, ...]


def parse(facts: NodeFacts) -> ConvTranspose:
    """Read the attributes."""

    def ints(name: str) -> tuple[int, ...] | None:
        value = facts.attributes.get(name)
        return None if value is None else tuple(int(v) for v in value)

    group = int(facts.attributes.get("group", 1))
    if group < 1:
        raise facts.unsupported(f"group is {group}", "expected a positive number")
    node = ConvTranspose(Windows.parse(facts), group, ints("output_padding"), ints("output_shape"))
    if any(v < 0 for v in node.output_padding or ()):
        raise facts.unsupported(f"output_padding is {node.output_padding}", "expected non-negative numbers")
    return node


def placement(node: ConvTranspose, x: tuple[int, ...], w: tuple[int, ...]) -> Placement:
    """Check that input [N, C, spatial...] and weight [C, M / group, kernel...] fit and fix the output.

    ``output_shape``, and ``size * stride`` under SAME_UPPER and SAME_LOWER, decide the padding
    ``total = stride (size - 1) + output_padding + span - output``, at least 0: half of it begins, the odd one
    goes to the end under SAME_UPPER and to the beginning otherwise.

    Raises:
        ValueError: they do not fit.
    """
    rank = len(x) - 2
    if rank < 1 or len(w) != len(x):
        raise ValueError(f"input has shape {list(x)} and weight {list(w)}; expected the same rank, 3 or more")
    if x[1] != w[0] or x[1] % node.group:
        raise ValueError(
            f"input has {x[1]} channels and weight shape {list(w)} with group {node.group}; "
            f"expected {w[0]} input channels, a multiple of the group"
        )
    windows, kernel = node.windows, w[2:]
    if windows.kernel_shape is not None and windows.kernel_shape != tuple(kernel):
        raise ValueError(f"kernel_shape {windows.kernel_shape} is not the weight's spatial shape {kernel}")
    strides, dilations = windows.strides or (1,) * rank, windows.dilations or (1,) * rank
    extra = node.output_padding or (0,) * rank
    explicit = windows.auto_pad == "NOTSET"
    pads = windows.pads if windows.pads is not None and explicit else (0,) * (2 * rank)
    wanted = node.output_shape
    for name, value, length in (
        ("strides", strides, rank),
        ("dilations", dilations, rank),
        ("output_padding", extra, rank),
        ("pads", pads, 2 * rank),
        ("output_shape", wanted or (1,) * rank, rank),
    ):
        if len(value) != length:
            raise ValueError(f"{name} has {len(value)} values; expected {length} for {rank} spatial axes")
    if wanted is None and windows.auto_pad.startswith("SAME"):
        wanted = tuple(size * stride for size, stride in zip(x[2:], strides, strict=True))
    full = tuple(
        s * (size - 1) + e + d * (k - 1) + 1
        for s, size, e, d, k in zip(strides, x[2:], extra, dilations, kernel, strict=True)
    )
    if wanted is None:
        begins = pads[:rank]
        wanted = tuple(f - b - e for f, b, e in zip(full, begins, pads[rank:], strict=True))
    else:
        totals = [max(f - o, 0) for f, o in zip(full, wanted, strict=True)]
        begins = tuple(t // 2 if windows.auto_pad == "SAME_UPPER" else t - t // 2 for t in totals)
    if any(o < 1 for o in wanted):
        raise ValueError(f"the output would have spatial shape {list(wanted)}; padding takes all of it away")
    return Placement(tuple(kernel), strides, dilations, full, begins, wanted)


def evaluate(node: ConvTranspose, inputs: Inputs) -> tuple[Array, ...]:
    """Products of all input elements and weights, added tap by tap where they land; cropped; plus bias."""
    x, w, b = required(inputs, 0), required(inputs, 1), optional(inputs, 2)
    p = placement(node, x.shape, w.shape)
    filters, rank = w.shape[1] * node.group, len(p.kernel)
    matrix = w.reshape(node.group, x.shape[1] // node.group, -1).transpose(0, 2, 1)
    y = np.zeros((x.shape[0], filters, *p.output), dtype=np.result_type(x, w))
    kept = [min(f - b, o) for f, b, o in zip(p.full, p.begins, p.output, strict=True)]
    inner = tuple(slice(b, b + max(k, 0)) for b, k in zip(p.begins, kept, strict=True))
    for image in range(x.shape[0]):
        products = (matrix @ x[image].reshape(node.group, x.shape[1] // node.group, -1)).reshape(
            filters, *p.kernel, *x.shape[2:]
        )
        full = np.zeros((filters, *p.full), dtype=y.dtype)
        for tap in np.ndindex(*p.kernel):
            places: tuple[Any, ...] = tuple(
                slice(t * d, t * d + (size - 1) * s + 1, s)
                for t, d, s, size in zip(tap, p.dilations, p.strides, x.shape[2:], strict=True)
            )
            full[(slice(None), *places)] += products[(slice(None), *tap)]
        cropped: tuple[Any, ...] = (image, slice(None), *(slice(max(k, 0)) for k in kept))
        y[cropped] = full[(slice(None), *inner)]
    if b is not None:
        y += b.reshape(1, -1, *(1,) * rank)
    return (y,)


def infer(node: ConvTranspose, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    """[N, M, output...]."""
    x, w = required(inputs, 0), required(inputs, 1)
    p = placement(node, x.shape, w.shape)
    return (Spec(x.dtype, (x.shape[0], w.shape[1] * node.group, *p.output)),)


def bound(node: ConvTranspose, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
    """``S = |W| * |x| + |b|``.

    Along an axis ``ceil(kernel / stride)`` taps reach one output, or up to all of them when dilated.
    """
    x, w, b = required(inputs, 0), required(inputs, 1), optional(inputs, 2)
    p = placement(node, x.shape, w.shape)
    taps = [-(-k // s) if d == 1 else k for k, s, d in zip(p.kernel, p.strides, p.dilations, strict=True)]
    magnitude = evaluate(node, [None if i is None else np.abs(i) for i in inputs])[0]
    terms = x.shape[1] // node.group * int(np.prod(taps)) + (b is not None)
    return (accumulated(magnitude, terms, roundoff),)


def macs(node: ConvTranspose, inputs: Sequence[Spec | None], outputs: Sequence[Spec]) -> int:
    """One for each input element, output channel of its group, and tap."""
    return int(required(inputs, 0).size * np.prod(required(inputs, 1).shape[1:]))


OPERATORS = (Operator("ConvTranspose", frozenset({1, 11, 22}), parse, evaluate, infer, bound, macs, spread=linear()),)
