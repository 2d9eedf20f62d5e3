"""Rewrites that say a node with simpler ones: see ``rewrites``, which checks each of them.

A pass changes the model in place and returns how many nodes it replaced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from toolchain.compile.names import unique, values_of
from toolchain.errors import ToolchainError
from toolchain.ops.operator import Spec
from toolchain.shapes import infer

Shapes = Mapping[str, Sequence[int]] | None
QUANTIZERS = frozenset({"QuantizeLinear", "DequantizeLinear"})


def constant(model: ir.Model, name: str, array: np.ndarray) -> ir.Value:
    """A new initializer, named so or like it."""
    name = unique(name, values_of(model))
    value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
    model.graph.initializers[name] = value
    return value


def replaced(model: ir.Model, old: ir.Value, new: ir.Value) -> None:
    """Have every reader of a value, and the graph's outputs, take another one, under the old name."""
    name = old.name
    new.type, new.shape = old.type, old.shape
    old.replace_all_uses_with(new, replace_graph_outputs=True)
    old.name = f"{name}_replaced"
    new.name = name
    del model


def fold_shapes(model: ir.Model, shapes: Shapes = None) -> int:
    """Constants in place of nodes whose results follow from shapes: Shape and what is computed from it."""
    try:
        specs = infer(model, shapes)
    except ToolchainError:
        return 0  # lowering says what is wrong, and where
    count = 0
    for node in list(model.graph):
        known = [specs[v.name or ""].value if v.name in specs else None for v in node.outputs]
        if node.op_type in QUANTIZERS or any(v.is_graph_output() for v in node.outputs) or not node.inputs:
            continue
        constant_inputs = all(v is None or v.const_value is not None for v in node.inputs)
        if constant_inputs or any(array is None for array in known):
            continue
        outputs = list(node.outputs)
        model.graph.remove(node, safe=False)
        for value, array in zip(outputs, known, strict=True):
            name, dtype = value.name or "", specs[value.name or ""].dtype
            value.name = f"{name}_computed"
            fresh = constant(model, name, np.asarray(array).astype(dtype.numpy()))
            value.replace_all_uses_with(fresh)
        count += 1
    return count


def remove_unread(model: ir.Model, shapes: Shapes = None) -> int:
    """Nodes away whose results nobody reads."""
    del shapes
    count = 0
    for node in reversed(list(model.graph)):
        if not any(v.uses() or v.is_graph_output() for v in node.outputs):
            model.graph.remove(node, safe=True)
            count += 1
    return count


def split_into_slices(model: ir.Model, shapes: Shapes = None) -> int:
    """One Slice for each part of a Split."""
    splits = [node for node in model.graph if node.op_type == "Split" and not node.domain]
    if not splits:
        return 0
    specs = infer(model, shapes)
    for node in splits:
        source = node.inputs[0]
        if source is None:
            continue
        rank = len(specs[source.name or ""].shape)
        axis = node.attributes["axis"].as_int() % rank if "axis" in node.attributes else 0
        start = 0
        for index, (part, size) in enumerate(zip(list(node.outputs), _sizes(node, specs, axis), strict=True)):
            end = start + size
            if not part.name:
                start = end
                continue
            stem = f"{part.name}_slice"
            bounds = [
                constant(model, f"{stem}_{what}", np.array([number], np.int64))
                for what, number in (("start", start), ("end", end), ("axis", axis))
            ]
            made = ir.node("Slice", [source, *bounds], name=f"{node.name}_{index}", version=13)
            model.graph.insert_before(node, made)
            replaced(model, part, made.outputs[0])
            start = end
        model.graph.remove(node, safe=True)
    return len(splits)


def _sizes(node: ir.Node, specs: Mapping[str, Spec], axis: int) -> list[int]:
    """Of the parts of a Split along its axis; one that has no name has the size that is left, or that of the first."""
    known = [specs[part.name].shape[axis] if part.name else None for part in node.outputs]
    source = node.inputs[0]
    whole = specs[source.name or ""].shape[axis] if source is not None else 0
    given = node.inputs[1].const_value if len(node.inputs) > 1 and node.inputs[1] is not None else None
    if given is not None:
        return [int(size) for size in given.numpy()]
    each = -(-whole // len(known))
    return [each if size is None else size for size in known]


PAIRS = {"Sum": "Add", "Min": "Min", "Max": "Max"}


def many_into_pairs(model: ir.Model, shapes: Shapes = None) -> int:
    """Sum, Min and Max of one, three or more tensors as a chain of two; a Sum of two as Add."""
    del shapes
    count = 0
    for node in list(model.graph):
        wanted = PAIRS.get(node.op_type) if not node.domain else None
        if wanted is None or (len(node.inputs) == 2 and wanted == node.op_type):
            continue
        first, *rest = node.inputs
        if not rest:
            made = ir.node("Identity", [first], name=f"{node.name}_of_one", version=13)
            model.graph.insert_before(node, made)
        for index, other in enumerate(rest):
            left = first if not index else made.outputs[0]
            made = ir.node(wanted, [left, other], name=f"{node.name}_{index}", version=13)
            if index < len(rest) - 1:
                made.outputs[0].name = unique(f"{node.outputs[0].name}_upto_{index}", values_of(model))
            model.graph.insert_before(node, made)
        replaced(model, node.outputs[0], made.outputs[0])
        model.graph.remove(node, safe=True)
        count += 1
    return count


def mean_into_global_average(model: ir.Model, shapes: Shapes = None) -> int:
    """ReduceMean over height and width, which keeps its axes, as GlobalAveragePool: a kernel that fuses."""
    means = [node for node in model.graph if node.op_type == "ReduceMean" and not node.domain]
    if not means:
        return 0
    specs = infer(model, shapes)
    count = 0
    for node in means:
        source = node.inputs[0]
        rank = 0 if source is None else len(specs[source.name or ""].shape)
        keeps = node.attributes["keepdims"].as_int() if "keepdims" in node.attributes else 1
        if source is None or rank != 4 or not keeps or sorted(_axes(node, rank)) != [2, 3]:
            continue
        made = ir.node("GlobalAveragePool", [source], name=node.name, version=1)
        model.graph.insert_before(node, made)
        replaced(model, node.outputs[0], made.outputs[0])
        model.graph.remove(node, safe=True)
        count += 1
    return count


def _axes(node: ir.Node, rank: int) -> list[int]:
    if "axes" in node.attributes:
        return [axis % rank for axis in node.attributes["axes"].as_ints()]
    given = node.inputs[1] if len(node.inputs) > 1 else None
    if given is None or given.const_value is None:
        return []
    return [int(axis) % rank for axis in given.const_value.numpy().reshape(-1)]
