"""The minimal models that show defects of ONNX Runtime's integer arithmetic, as a table."""

from __future__ import annotations

import onnx

from tests.graphs.defects import DEFECTS, Defect


def table() -> str:
    """Markdown: one row a defect."""
    lines = [
        "| class | defect | what is meant, and what happens | from level | the model between its integers |",
        "|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *map(_row, DEFECTS)])


def _row(defect: Defect) -> str:
    where = "" if defect.everywhere else " (x86 with AVX2, without VNNI)"
    return (
        f"| {defect.kind} | {defect.name}{where} | {defect.reason} | `{defect.level}` | "
        f"{_shown(defect.graph().proto)} |"
    )


def _shown(model: onnx.ModelProto) -> str:
    """Operators that compute, with their attributes."""
    computing = [n for n in model.graph.node if n.op_type not in ("QuantizeLinear", "DequantizeLinear")]
    parts = []
    for node in computing:
        stated = ", ".join(f"{a.name} {onnx.helper.get_attribute_value(a)}" for a in node.attribute)
        parts.append(f"`{node.op_type}`{f' ({stated})' if stated else ''}")
    return ", ".join(parts) or "`QuantizeLinear`, `DequantizeLinear`, twice"
