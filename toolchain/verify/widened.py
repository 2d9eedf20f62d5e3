"""Tensors of a short type that the runtime computes in float32, and the limits that this gives.

ONNX Runtime's CPU provider has few kernels for float16. Around every other node it inserts Casts to float32 and back
(InsertCastTransformer), and where several such nodes follow one another it leaves the Casts between them out. The graph
that it saved shows which: a tensor whose nodes all read float32 has been rounded to float16 once, at its end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from toolchain.nodes import Step
from toolchain.ops.bounds import Bound
from toolchain.ops.operator import Array
from toolchain.verify.arithmetic import BFLOAT16, FLOAT16, Arithmetic
from toolchain.verify.survivors import Survivor

SHORT_TYPES: dict[int, Arithmetic] = {TensorProto.FLOAT16: FLOAT16, TensorProto.BFLOAT16: BFLOAT16}


def computed_in_float32(running: onnx.ModelProto, watched: Iterable[Survivor]) -> dict[str, Arithmetic]:
    """Watched tensors that are cast from float32, with nothing shorter on the way: format by name in the model.

    Args:
        running: the graph that runs.
        watched: its tensors that are looked at.
    """
    kinds = _kinds(running.graph)
    makers = {name: node for node in running.graph.node for name in node.output}
    seen = {w.running for w in watched} | {value.name for value in running.graph.input}
    return {w.model: SHORT_TYPES[kinds[w.running]] for w in watched if _wide(w.running, makers, kinds, seen)}


def rounded_to(bound: Bound, exact: Array, arithmetic: Arithmetic) -> Bound:
    """Limits on a result that is rounded once more: ``|fl(y) - y| <= u |y|``, or half the smallest subnormal.

    Args:
        bound: limits before that rounding.
        exact: exact values, float64.
        arithmetic: the short format. Beyond its largest number infinity is correct.
    """
    u, size = arithmetic.factors, np.abs(np.asarray(exact, dtype=np.float64))
    limits = []
    for limit in (bound.sound, bound.probable):
        wider: NDArray[np.float64] = limit + u * (size + limit) + arithmetic.tiny / 2
        limits.append(np.where(size + limit >= arithmetic.largest, np.inf, wider))
    return Bound(limits[0], limits[1], bound.span)


def left_out(
    step: Step, inputs: Sequence[Array | None], bounds: tuple[Bound, ...], error: Array | float
) -> tuple[Bound, ...]:
    """The limits of a node, which a runtime may leave out where it is a Cast to a short type.

    ONNX Runtime drops a model's own Cast together with the one back that it inserts. What follows then reads the
    number itself in the place of the nearest short one: ``|x' - fl(x)| <= |x' - fl(x')| + |fl(x') - fl(x)|``. The first
    is half an ulp at most, ``u |x'|`` or half the smallest subnormal; the second is how the error of ``x`` spreads.

    Args:
        step: a node whose output is not observed.
        inputs: its exact inputs.
        bounds: its own limits.
        error: limit on that of its first input.
    """
    short = SHORT_TYPES.get(getattr(step.attributes, "to", None) or 0) if step.operator.name == "Cast" else None
    if short is None or inputs[0] is None or inputs[0].dtype.kind != "f":
        return bounds
    size = np.abs(inputs[0]) + error
    off = np.where(size >= short.largest, np.inf, short.factors * size + short.tiny / 2)
    return (Bound(bounds[0].sound + off, bounds[0].probable + off),)


def _kinds(graph: onnx.GraphProto) -> dict[str, int]:
    """Element types as far as they can be told: of inputs, constants and Casts, and of what reads them."""
    kinds = {value.name: value.type.tensor_type.elem_type for value in (*graph.input, *graph.value_info)}
    kinds.update({tensor.name: tensor.data_type for tensor in graph.initializer})
    floats = (TensorProto.FLOAT, *SHORT_TYPES)
    for node in graph.node:
        if node.op_type == "Cast":
            found = next((a.i for a in node.attribute if a.name == "to"), TensorProto.UNDEFINED)
        else:
            found = next((kinds[n] for n in node.input if kinds.get(n) in floats), TensorProto.UNDEFINED)
        for name in node.output:
            kinds.setdefault(name, found)
    return kinds


def _wide(name: str, makers: dict[str, onnx.NodeProto], kinds: dict[str, int], seen: set[str]) -> bool:
    """Whether a tensor is one Cast of something computed in float32 from watched tensors."""
    last = makers.get(name)
    if last is None or last.op_type != "Cast" or kinds.get(last.input[0]) != TensorProto.FLOAT:
        return False
    if kinds.get(name) not in SHORT_TYPES:
        return False
    pending, done = [last.input[0]], set[str]()
    while pending:
        tensor = pending.pop()
        node = makers.get(tensor)
        if tensor in done or node is None or tensor in seen:
            continue
        done.add(tensor)
        if node.op_type == "Cast":
            if kinds.get(tensor) != TensorProto.FLOAT:
                return False
        elif any(kinds.get(n) in SHORT_TYPES for n in node.input if n):
            return False
        pending.extend(n for n in node.input if n)
    return True
