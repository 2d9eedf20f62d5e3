"""Operators that PyTorch's exporter takes apart, put together again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx_ir as ir


@dataclass(frozen=True)
class LocalResponse:
    """Local response normalisation across channels.

    Attributes:
        size: channels in a window, odd: ONNX and PyTorch centre even windows differently.
        alpha: factor of the sum of squares, which is divided by ``size``.
        beta: exponent.
        bias: addend.
    """

    size: int
    alpha: float
    beta: float
    bias: float


def fuse(graph: ir.Graph, scopes: Mapping[ir.Node, str], wanted: Mapping[str, LocalResponse]) -> None:
    """Replace the nodes of each wanted module by one LRN node, where they have one input and one output.

    Args:
        graph: changed in place.
        scopes: the module that each node comes from.
        wanted: by module.
    """
    for scope, facts in wanted.items():
        nodes = [node for node in graph if scopes.get(node) == scope]
        inside = {id(value) for node in nodes for value in node.outputs}
        outside = {
            value
            for node in nodes
            for value in node.inputs
            if value is not None and id(value) not in inside and value.const_value is None
        }
        leaving = [
            value
            for node in nodes
            for value in node.outputs
            if value.is_graph_output() or any(use.node not in nodes for use in value.uses())
        ]
        if len(outside) != 1 or len(leaving) != 1:
            continue
        _replace(graph, nodes, outside.pop(), leaving[0], facts)


def pool_means(graph: ir.Graph) -> None:
    """Replace each mean over all spatial axes by GlobalAveragePool, which is what AdaptiveAvgPool2d(1) was.

    They mean the same; runtimes and quantizers know the pool.

    Args:
        graph: changed in place.
    """
    for node in list(graph):
        if node.op_type != "ReduceMean" or node.domain or not _is_spatial(node):
            continue
        source, axes = node.inputs
        pool = ir.node("GlobalAveragePool", [source])
        output, result = pool.outputs[0], node.outputs[0]
        output.name, output.type, output.shape = result.name, result.type, result.shape
        pool.metadata_props.update(node.metadata_props)
        graph.insert_before(node, pool)
        result.replace_all_uses_with(output, replace_graph_outputs=True)
        graph.remove(node, safe=True)
        if axes is not None and axes.name is not None and axes.name in graph.initializers and not axes.uses():
            del graph.initializers[axes.name]


def _is_spatial(node: ir.Node) -> bool:
    """Whether a ReduceMean is over the axes behind batch and channels, all of them, and keeps them."""
    source, axes = (*node.inputs, None)[:2]
    if source is None or source.shape is None or axes is None or axes.const_value is None:
        return False
    rank, keep = len(source.shape), node.attributes.get("keepdims")
    over = sorted(int(axis) % rank for axis in axes.const_value.numpy().reshape(-1)) if rank else []
    return rank > 2 and over == list(range(2, rank)) and (keep is None or keep.as_int() == 1)


def _replace(graph: ir.Graph, nodes: list[ir.Node], source: ir.Value, result: ir.Value, facts: LocalResponse) -> None:
    normalization = ir.node(
        "LRN",
        [source],
        {"size": facts.size, "alpha": facts.alpha, "beta": facts.beta, "bias": facts.bias},
    )
    output = normalization.outputs[0]
    output.name, output.type, output.shape = result.name, result.type, result.shape
    normalization.metadata_props.update(nodes[-1].metadata_props)
    graph.insert_before(nodes[0], normalization)
    result.replace_all_uses_with(output, replace_graph_outputs=True)
    graph.remove(nodes, safe=True)
    for name in [name for name, value in graph.initializers.items() if not value.uses()]:
        del graph.initializers[name]
