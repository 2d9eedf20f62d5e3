"""From a node of the graph to the operator that says what it means."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import onnx
import onnx_ir as ir

from toolchain.errors import UnsupportedError
from toolchain.ops import registry
from toolchain.ops.operator import NodeFacts, Operator


@dataclass(frozen=True)
class Step:
    """A node ready to run: its operator, its parsed attributes, and the names of its tensors.

    Attributes:
        name: the node's name; ``op_type`` and position where it has none.
        operator: what the node means.
        attributes: what ``operator.parse`` returned.
        inputs: tensor names; ``None`` for an input left out.
        outputs: tensor names; ``None`` for an output left out.
        facts: the node as it stands, for messages.
    """

    name: str
    operator: Operator
    attributes: Any
    inputs: tuple[str | None, ...]
    outputs: tuple[str | None, ...]
    facts: NodeFacts


@cache
def version_in_force(domain: str, op_type: str, opset: int) -> int:
    """The ``since_version`` of an operator's definition under an opset; the opset itself for other domains."""
    if domain not in ("", "ai.onnx"):
        return opset
    try:
        return int(onnx.defs.get_schema(op_type, opset, "").since_version)
    except onnx.defs.SchemaError:
        return opset


def plain(attribute: ir.Attr) -> Any:
    """An attribute's value as int, float, str, tuple of these, or numpy array."""
    value = attribute.value
    if isinstance(value, int | float | str) or attribute.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS):
        return value
    if attribute.type == ir.AttributeType.TENSOR:
        return value.numpy()
    return tuple(value) if isinstance(value, list | tuple) else value


def facts(node: ir.Node, index: int, opsets: Mapping[str, int]) -> NodeFacts:
    """What a node says besides its tensors."""
    stated, op_type, outputs = node.domain, node.op_type, node.outputs
    domain = "" if stated == "ai.onnx" else stated
    opset = node.version or opsets.get(stated, opsets.get(domain, 1))
    return NodeFacts(
        name=node.name or f"{op_type}_{index}",
        op_type=op_type,
        domain=domain,
        version=version_in_force(domain, op_type, opset),
        attributes={name: plain(attribute) for name, attribute in node.attributes.items()},
        inputs=tuple([value is not None for value in node.inputs]),
        outputs=len(outputs),
        output_dtype=outputs[0].dtype if outputs else None,
    )


def find(about: NodeFacts, *, hint: bool = True) -> Operator:
    """The operator of a node.

    Args:
        about: the node.
        hint: whether the error names the nearest match; looking for it takes as long as ten nodes.

    Raises:
        UnsupportedError: there is none; names the node, the operator, its version and the nearest match.
    """
    operators = registry()
    operator = operators.get((about.domain, about.op_type))
    if operator is None:
        near = difflib.get_close_matches(about.op_type[:64], [name for _, name in operators], n=1) if hint else []
        remedy = f"the nearest that is supported is {near[0]}" if near else "see `onnx-edge inspect --operators`"
        raise about.unsupported("the operator is not supported", remedy)
    if about.domain == "" and about.version not in operator.versions:
        known = ", ".join(map(str, sorted(operator.versions)))
        raise about.unsupported("this version is not supported", f"convert the model to one of {known}")
    return operator


def step(node: ir.Node, index: int, opsets: Mapping[str, int]) -> Step:
    """A node ready to run.

    Args:
        node: of the main graph.
        index: its position, which names it where it has no name.
        opsets: versions of the operator sets, by domain.

    Raises:
        UnsupportedError: it has no operator here, or attributes that mean nothing.
    """
    return prepare(node, facts(node, index, opsets))


def prepare(node: ir.Node, about: NodeFacts, *, hint: bool = True) -> Step:
    """A node ready to run.

    Args:
        node: of the main graph.
        about: its :func:`facts`.
        hint: as for :func:`find`.

    Raises:
        UnsupportedError: it has no operator here, or attributes that mean nothing.
    """
    operator = find(about, hint=hint)
    try:
        attributes = operator.parse(about)
    except (TypeError, ValueError, KeyError, IndexError) as error:
        raise UnsupportedError(f"{about.where()}: attributes cannot be read: {error}; repair the model") from error
    return Step(
        name=about.name,
        operator=operator,
        attributes=attributes,
        inputs=tuple(None if value is None else value.name for value in node.inputs),
        outputs=tuple(value.name or None for value in node.outputs),
        facts=about,
    )


def steps(model: ir.Model) -> tuple[Step, ...]:
    """Every node of the main graph in order, ready to run.

    Raises:
        UnsupportedError: a node has no operator here, or attributes that mean nothing.
    """
    return tuple(step(node, index, model.opset_imports) for index, node in enumerate(model.graph))
