"""Rewrites of the ONNX graph before it is lowered; each is checked by the interpreter, and named when it fails.

A pass takes a model and gives a model. The interpreter (``toolchain.reference``) computes both on the same random
inputs in float64. Constants that a pass computes anew are float64 until the check has passed, so that before and after
differ by float64 roundings alone: 2^23 of them, of 2^-53 each, stay below the limit of 2^-30 of the largest value. Only
then are they rounded to float32, and what that does is judged with everything else by ``verify --backend c``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from toolchain.compile.decompose import (
    Shapes,
    constant,
    fold_shapes,
    many_into_pairs,
    mean_into_global_average,
    remove_unread,
    split_into_slices,
)
from toolchain.errors import ToolchainError
from toolchain.nodes import step
from toolchain.ops.operator import widen
from toolchain.reference import Reference, evaluate
from toolchain.shapes import infer

Outputs = tuple[dict[str, NDArray[np.float64]], ...]
"""The graph's outputs for each sample, by name."""
SAMPLES = 2
LIMIT = 2.0**-30
DYNAMIC = frozenset({"QuantizeLinear", "DequantizeLinear"})
"""Their constants keep their integers."""
COMPUTED = "onnx_edge.computed"
"""Marks a constant that is still to be rounded to float32."""


@dataclass(frozen=True)
class Pass:
    """A rewrite.

    Attributes:
        name: for messages.
        apply: changes a copy of the model in place, given the shapes of inputs with free dimensions; returns how many
            nodes it replaced.
    """

    name: str
    apply: Callable[[ir.Model, Mapping[str, Sequence[int]] | None], int]


class RewriteError(ToolchainError):
    """A rewrite changed what the model means: a fault of this program."""


def rewritten(model: ir.Model, shapes: Mapping[str, Sequence[int]] | None = None) -> ir.Model:
    """Run all passes.

    Args:
        model: unchanged.
        shapes: of graph inputs with free dimensions.

    Raises:
        RewriteError: a pass changed the meaning; names it.
    """
    known: Outputs | None = None
    for one in PASSES:
        copy = model.clone()
        if one.apply(copy, shapes):
            after = check(one, known or outputs_of(model, shapes), copy, shapes)
            known = None if _to_float32(copy) else after
            model = copy
    return model


def _to_float32(model: ir.Model) -> int:
    """Round what a pass computed; how many constants these were."""
    computed = [v for v in model.graph.initializers.values() if v.metadata_props.pop(COMPUTED, "")]
    for value in computed:
        if value.const_value is not None:
            value.const_value = ir.tensor(value.const_value.numpy().astype(np.float32), name=value.name)
    return len(computed)


def outputs_of(model: ir.Model, shapes: Mapping[str, Sequence[int]] | None) -> Outputs:
    """What the interpreter makes of random inputs, the same ones for every model with these inputs."""
    specs = infer(model, shapes)
    generator = np.random.default_rng(0)
    reference = Reference(model)
    made = []
    for _ in range(SAMPLES):
        feeds = {
            value.name or "": _random(specs[value.name or ""].shape, specs[value.name or ""].dtype, generator)
            for value in reference.inputs
        }
        found = reference.run(feeds)
        made.append({name: np.asarray(found[name], np.float64) for name in reference.outputs})
    return tuple(made)


def check(one: Pass, before: Outputs, after: ir.Model, shapes: Mapping[str, Sequence[int]] | None) -> Outputs:
    """Compare what a model made before a pass with what it makes behind it.

    Raises:
        RewriteError: an output moved further than the pass may move it.
    """
    made = outputs_of(after, shapes)
    for old, new in zip(before, made, strict=True):
        for name, array in old.items():
            same = (array == new[name]) | (np.isnan(array) & np.isnan(new[name]))
            with np.errstate(invalid="ignore"):
                difference = np.where(same, 0.0, np.abs(array - new[name]))
            limit = LIMIT * float(np.abs(array[np.isfinite(array)]).max(initial=0.0))
            moved = float(difference.max(initial=0.0))
            if not moved <= limit:
                raise RewriteError(
                    f"rewrite {one.name!r} changes output {name!r} by {moved:.3g}, it may by {limit:.3g}; "
                    "report this model"
                )
    return made


def _random(shape: tuple[int, ...], dtype: ir.DataType, generator: np.random.Generator) -> NDArray[np.generic]:
    kind = dtype.numpy()
    if np.issubdtype(kind, np.integer):
        return generator.integers(-100, 101, shape).astype(kind)
    return generator.standard_normal(shape).astype(kind)


def fold_constants(model: ir.Model, shapes: Shapes = None) -> int:
    """Compute every node whose inputs are all constants, except dequantized weights."""
    del shapes
    removed = 0
    for index, node in enumerate(list(model.graph)):
        values = [None if v is None else v.const_value for v in node.inputs]
        constant = all(v is None or c is not None for v, c in zip(node.inputs, values, strict=True))
        if node.op_type in DYNAMIC or not constant or any(v.is_graph_output() for v in node.outputs):
            continue
        ready = step(node, index, model.opset_imports)
        arrays = evaluate(ready, [None if c is None else widen(c.numpy()) for c in values])
        for value, array in zip(node.outputs, arrays, strict=False):
            value.const_value = ir.tensor(array, name=value.name)
        outputs = list(node.outputs)
        model.graph.remove(node, safe=False)
        for value in outputs:
            fresh = ir.Value(name=value.name, const_value=value.const_value)
            if value.const_value is not None and value.const_value.dtype == ir.DataType.DOUBLE:
                fresh.metadata_props[COMPUTED] = "yes"
            value.replace_all_uses_with(fresh)
            model.graph.initializers[fresh.name or ""] = fresh
        removed += 1
    return removed


def fold_batchnormalization(model: ir.Model, shapes: Shapes = None) -> int:
    """``BatchNormalization(Conv(x))``: scale and shift go into weights and bias, in float64, rounded once."""
    del shapes
    removed = 0
    for node in list(model.graph):
        conv = node.inputs[0].producer() if node.op_type == "BatchNormalization" and node.inputs[0] else None
        if conv is None or conv.op_type != "Conv" or len(conv.outputs[0].uses()) != 1:
            continue
        if "training_mode" in node.attributes and node.attributes["training_mode"].as_int():
            continue  # the statistics are those of the input
        constants = [v.const_value if v is not None else None for v in (*node.inputs[1:5], *conv.inputs[1:])]
        if any(c is None for c in constants) or conv.outputs[0].is_graph_output():
            continue
        gain, shift, mean, variance, weights, *rest = (c.numpy().astype(np.float64) for c in constants if c is not None)
        epsilon = node.attributes["epsilon"].as_float() if "epsilon" in node.attributes else 1e-5
        if any(array.shape != weights.shape[:1] for array in (gain, shift, mean, variance)):
            continue  # before opset 9, statistics may be those of every element; there is no kernel for them
        factor = gain / np.sqrt(variance + epsilon)
        scaled = weights * factor.reshape(-1, *(1,) * (weights.ndim - 1))
        moved = shift + ((rest[0] if rest else 0.0) - mean) * factor
        for place, array in ((1, scaled), (2, moved)):
            fresh = constant(model, f"{node.outputs[0].name}_{('weight', 'bias')[place - 1]}", array)
            fresh.metadata_props[COMPUTED] = "yes"
            if place == len(conv.inputs):
                conv.resize_inputs(place + 1)
            conv.replace_input_with(place, fresh)
        result, output = node.outputs[0], conv.outputs[0]
        output.type, output.shape = result.type, result.shape
        result.replace_all_uses_with(output, replace_graph_outputs=True)
        model.graph.remove(node, safe=True)
        output.name = result.name
        removed += 1
    return removed


PASSES = (
    Pass("shapes as constants", fold_shapes),
    Pass("fold constants", fold_constants),
    Pass("nodes that nobody reads", remove_unread),
    Pass("Split into Slices", split_into_slices),
    Pass("operators of many tensors into pairs", many_into_pairs),
    Pass("constants of pairs", fold_constants),
    Pass("ReduceMean into GlobalAveragePool", mean_into_global_average),
    Pass("BatchNormalization into Conv", fold_batchnormalization),
)
