"""The support table: every operator with its versions and how its error is bounded.

The kind of bound is found by asking: each operator's ``bound`` is called on ONNX's own node test cases, and what
it answers says what it is.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import warnings
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx.backend.test.loader import load_model_tests

from benchmarks import ulps
from toolchain import ops
from toolchain.errors import ToolchainError
from toolchain.nodes import step
from toolchain.ops.bounds import FLOAT32_ROUNDOFF
from toolchain.ops.operator import Array, Operator, widen

CASES = 12
"""Test cases looked at for an operator."""

EXACT, TIE, ULP, SUM, UNKNOWN = "exact", "step at a tie", "relative", "sum", "-"
_WEAKEST_FIRST = (SUM, ULP, TIE, EXACT)


def table() -> str:
    """Markdown: operator, versions, bound, its budget and what was measured of it, file."""
    kinds, homes, used = bound_kinds(), _homes(), measured()
    rows = [
        f"| {_link(domain, name)} | {', '.join(map(str, sorted(operator.versions)))} "
        f"| {kinds.get((domain, name), UNKNOWN)} | {_budget(operator, used)} | {_file(homes[domain, name])} |"
        for (domain, name), operator in sorted(ops.registry().items())
    ]
    return "\n".join(
        (
            f"{len(rows)} operators.",
            "",
            "| operator | versions | bound | budget, and most seen of it | file |",
            "|---|---|---|---|---|",
            *rows,
        )
    )


def measured() -> dict[str, float]:
    """Of each operator that was measured, the largest error over its limit, over all its cases."""
    found: dict[str, float] = {}
    for case in json.loads(ulps.RESULTS.read_text(encoding="utf-8"))["cases"]:
        found[case["operator"]] = max(found.get(case["operator"], 0.0), case["used"])
    return found


def _budget(operator: Operator, used: dict[str, float]) -> str:
    if not operator.budget:
        return ""
    return f"{operator.budget} ulp, {used['.'.join(filter(None, operator.key))]:.2f}"


def _link(domain: str, name: str) -> str:
    return f"{domain}.{name}" if domain else f"[{name}](https://onnx.ai/onnx/operators/onnx__{name}.html)"


def _file(module: str) -> str:
    return f"[{module}.py](../toolchain/ops/{module}.py)"


def _homes() -> dict[tuple[str, str], str]:
    return {
        operator.key: module
        for module in sorted(info.name for info in pkgutil.iter_modules(ops.__path__))
        for operator in getattr(importlib.import_module(f"toolchain.ops.{module}"), "OPERATORS", ())
    }


@cache
def bound_kinds() -> dict[tuple[str, str], str]:
    """The weakest kind of bound that an operator gave on the test cases."""
    seen: dict[tuple[str, str], set[str]] = defaultdict(set)
    looked_at: dict[tuple[str, str], int] = defaultdict(int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = load_model_tests(kind="node")
    for case in cases:
        if case.model is None or len(case.model.graph.node) != 1:
            continue
        key = (case.model.graph.node[0].domain, case.model.graph.node[0].op_type)
        if key not in ops.registry() or looked_at[key] >= CASES:
            continue
        looked_at[key] += 1
        seen[key] |= _kinds(case.model, case.data_sets[0][0])
    return {key: next(kind for kind in _WEAKEST_FIRST if kind in kinds) for key, kinds in seen.items() if kinds}


def _kinds(proto: onnx.ModelProto, given: Sequence[Any]) -> set[str]:
    """What the only node's bounds are on the case's inputs; nothing where it cannot be evaluated."""
    model = ir.from_proto(proto)
    values = {
        value.name: widen(np.asarray(array))
        for value, array in zip(model.graph.inputs, given, strict=True)
        if isinstance(array, np.ndarray | np.generic)
    }
    try:
        node = step(next(iter(model.graph)), 0, model.opset_imports)
        inputs = [None if name is None else values[name] for name in node.inputs]
        outputs = node.operator.evaluate(node.attributes, inputs)
        bounds = node.operator.bound(node.attributes, inputs, outputs, FLOAT32_ROUNDOFF)
    except (ToolchainError, ValueError, TypeError, KeyError):
        return set()
    return {_kind(output, bound.sound, bound.probable) for output, bound in zip(outputs, bounds, strict=False)}


def _kind(output: Array, sound: Any, probable: Any) -> str:
    if not np.any(np.asarray(sound) != 0):
        return TIE if np.shape(sound) == np.shape(output) and output.dtype.itemsize == 1 else EXACT
    if output.dtype.kind in "iub":
        return TIE
    return ULP if np.array_equal(sound, probable, equal_nan=True) else SUM
