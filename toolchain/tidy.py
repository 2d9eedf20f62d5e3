"""Names for people, and nothing of the machine that exported: passes over a graph that PyTorch wrote.

The exporter records the scope of modules, file names and stack traces of every node. The scopes become the
nodes' and tensors' names; all else goes, so that the file depends on the network and its weights only.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable, Mapping

import onnx_ir as ir

from toolchain.fuse import LocalResponse, fuse, pool_means

SCOPES = "pkg.torch.onnx.name_scopes"
SIGNATURE = "graph_signature"


def tidy(model: ir.Model, normalizations: Mapping[str, LocalResponse] | None = None) -> ir.Model:
    """Name nodes and tensors after the modules they come from, and drop what the exporter recorded.

    Args:
        model: from ``torch.onnx.export``; changed in place. Names of inputs, outputs and weights stay.
        normalizations: modules that become one LRN node each.

    Returns:
        The model.
    """
    fuse(model.graph, {node: _scope(node) for node in model.graph}, normalizations or {})
    pool_means(model.graph)
    _name(model.graph)
    _strip(model)
    return model


def _name(graph: ir.Graph) -> None:
    """A module's only node is called as the module (``features.0``); of several each adds its operator."""
    nodes = list(graph)
    scopes = [_scope(node) for node in nodes]
    shared = {scope for scope, count in Counter(scopes).items() if count > 1 or not scope}
    taken = {value.name for value in (*graph.inputs, *graph.outputs, *graph.initializers.values())}
    fixed = {id(value) for value in graph.outputs}
    for node, scope in zip(nodes, scopes, strict=True):
        operator = node.op_type.lower()
        wanted = "/".join(part for part in (scope, operator) if part) if scope in shared else scope
        node.name = _free(wanted, {other.name for other in nodes if other is not node})
        for index, value in enumerate(node.outputs):
            if id(value) in fixed or not value.name:
                continue
            value.name = _free(node.name if index == 0 else f"{node.name}/{index}", taken)
            taken.add(value.name)
    _name_constants(graph, taken)


def _name_constants(graph: ir.Graph, taken: set[str | None]) -> None:
    """Constants that the exporter made (``val_5``) are called after their first reader.

    Parameters and buffers of the module carry the signature of the exported program.
    """
    made = [v for v in graph.initializers.values() if not any(SIGNATURE in key for key in v.metadata_props)]
    for value in made:
        uses = sorted(value.uses(), key=lambda use: (use.node.name or "", use.idx))
        if uses:
            node, index = uses[0].node, uses[0].idx
            value.name = _free(f"{node.name}/constant{index}", taken)
            taken.add(value.name)


def _scope(node: ir.Node) -> str:
    """The innermost module that the node comes from, empty for the network itself.

    The exporter lists the scopes from the network inward, each with its whole path, and the operation last.
    """
    text = node.metadata_props.get(SCOPES, "")
    try:
        scopes = ast.literal_eval(text) if text else []
    except (SyntaxError, ValueError):
        return ""
    return str(scopes[-2]) if len(scopes) > 1 else ""


def _free(wanted: str, taken: Iterable[str | None]) -> str:
    """``wanted``, or the first of ``wanted_1``, ``wanted_2``... that is not taken."""
    used = set(taken)
    name, count = wanted, 0
    while name in used:
        count += 1
        name = f"{wanted}_{count}"
    return name


def _strip(model: ir.Model) -> None:
    """Drop metadata, documentation strings and the exporter's graph facts; order attributes by name."""
    model.metadata_props.clear()
    model.doc_string = None
    graph = model.graph
    graph.metadata_props.clear()
    graph.doc_string = None
    for value in (*graph.inputs, *graph.outputs, *graph.initializers.values()):
        value.metadata_props.clear()
        value.doc_string = None
    for node in graph.all_nodes():
        node.metadata_props.clear()
        node.doc_string = None
        ordered = sorted(node.attributes.items())
        node.attributes.clear()
        for name, attribute in ordered:
            attribute.doc_string = None
            node.attributes[name] = attribute
        for value in node.outputs:
            value.metadata_props.clear()
            value.doc_string = None
