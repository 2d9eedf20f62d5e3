"""ONNX's own backend tests through the reference interpreter.

A case is taken by the registry: every case all of whose nodes, after local functions are inlined, have an operator
here. That includes the ``_expanded`` variants, in which ONNX spells an operator out in terms of others.

The node cases are written by code, one module for a family of operators; a few modules (the pools) take seconds to
import, so that each is imported by the test that needs it and not at collection.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.backend.test.case.node as node_cases
import pytest
from onnx.backend.test.loader import DATA_DIR

from toolchain.errors import ToolchainError
from toolchain.load import read
from toolchain.ops import registry
from toolchain.ops.operator import widen
from toolchain.ops.shaping import FOLD_LIMIT
from toolchain.reference import Reference
from toolchain.shapes import given, walk

RANDOM = "drops at random; ONNX does not specify the random numbers"
HALF = "expects the roundings of half precision after every node; the interpreter rounds nothing between nodes"
TIES = "divides 0.5 and -2.5 by 5/255, both ties, and expects what float32 makes of them"
FRACTIONAL = "expects a resized length of 2.4; the specification's is the length of the resized tensor, which is whole"
SEQUENCE = "a sequence or an optional value, which is no tensor"
EXCLUDED: dict[str, dict[str, str]] = {
    "attention": {
        "test_attention_4d_causal_bf16_expanded": HALF,
        "test_attention_4d_causal_fp16_expanded": HALF,
        "test_attention_4d_padded_kv_bf16_expanded": HALF,
        "test_attention_4d_causal_padded_kv_bf16_expanded": HALF,
        "test_attention_4d_attn_mask_causal_bf16_expanded": HALF,
        "test_attention_3d_causal_bf16_expanded": HALF,
    },
    "dropout": {
        "test_training_dropout_default": RANDOM,
        "test_training_dropout_default_mask": RANDOM,
        "test_training_dropout": RANDOM,
        "test_training_dropout_mask": RANDOM,
    },
    "dynamicquantizelinear": {
        "test_dynamicquantizelinear": TIES,
        "test_dynamicquantizelinear_expanded": TIES,
    },
    "resize": {
        "test_resize_downsample_scales_linear_align_corners": FRACTIONAL,
        "test_resize_downsample_scales_cubic_align_corners": FRACTIONAL,
    },
    "identity": {"test_identity_sequence": SEQUENCE, "test_identity_opt": SEQUENCE},
}
"""By module of ``onnx.backend.test.case.node`` or by suite: case -> why it need not pass."""

OPERATORS = (
    "Conv ConvTranspose MaxPool AveragePool LpPool GlobalAveragePool GlobalMaxPool Gemm MatMul BatchNormalization LRN "
    "Relu LeakyRelu PRelu Sigmoid Tanh Elu Selu HardSigmoid HardSwish Softplus Softsign Softmax LogSoftmax Hardmax "
    "Add Sub Mul Div Concat Flatten Reshape Transpose Pad Clip Dropout Identity Constant "
    "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum "
    "ReduceSumSquare Resize QuantizeLinear DequantizeLinear QLinearConv QLinearMatMul ConvInteger MatMulInteger"
)
"""Promised: each is met by at least one node case. GlobalLpPool has none; ``test_pools.py`` tests it."""

WIDENED = ("float16", "bfloat16", "float32", "float64")
MODULES = sorted(info.name for info in pkgutil.iter_modules(node_cases.__path__))
FILE_SUITES = ("pytorch-converted", "pytorch-operator", "simple")


@dataclass(frozen=True)
class Case:
    """A model with inputs and expected outputs: lists of arrays, by position."""

    name: str
    model: onnx.ModelProto
    data_sets: tuple[tuple[list[Any], list[Any]], ...]
    rtol: float
    atol: float


def known(model: onnx.ModelProto) -> set[str]:
    """The operators of a model if all are registered, else nothing."""
    functions = {(f.domain, f.name): f for f in model.functions}
    used: set[tuple[str, str]] = set()
    for owner in (model.graph, *functions.values()):
        used |= {("" if n.domain == "ai.onnx" else n.domain, n.op_type) for n in owner.node}
    used -= set(functions)
    return {name for _, name in used} if used <= set(registry()) else set()


@cache
def module_cases(module: str) -> tuple[Case, ...]:
    """The cases that a module of ONNX's writes when it is imported, and again when it is reloaded."""
    name = f"{node_cases.__name__}.{module}"
    before = len(node_cases._NodeTestCases)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = sys.modules.get(name)
        node_cases._existing_names.clear()  # a reloaded module writes cases of the same names
        importlib.import_module(name) if loaded is None else importlib.reload(loaded)
    return tuple(
        Case(c.name, c.model, tuple((list(i), list(o)) for i, o in c.data_sets), c.rtol, c.atol)
        for c in node_cases._NodeTestCases[before:]
    )


def runnable(module: str) -> Iterator[Case]:
    """Cases of a module all of whose operators are registered."""
    return (case for case in module_cases(module) if known(case.model))


def folders() -> list[Any]:
    """The cases that ship as files."""
    return [
        pytest.param(folder, id=f"{suite}-{folder.name}")
        for suite in FILE_SUITES
        for folder in sorted((Path(DATA_DIR) / suite).iterdir())
        if (folder / "model.onnx").is_file()
    ]


def from_folder(folder: Path) -> Case:
    """Read a case that ships as files."""

    def arrays(data: Path, kind: str) -> list[Any]:
        count = len(list(data.glob(f"{kind}_*.pb")))
        return [onnx.load_tensor(data / f"{kind}_{index}.pb") for index in range(count)]

    sets = [(arrays(data, "input"), arrays(data, "output")) for data in sorted(folder.glob("test_data_set_*"))]
    return Case(folder.name, onnx.load(folder / "model.onnx"), tuple(sets), 1e-3, 1e-7)


def array(value: Any) -> np.ndarray[Any, Any]:
    """A case's tensor as an array."""
    if isinstance(value, onnx.TensorProto):
        return onnx.numpy_helper.to_array(value)
    assert isinstance(value, np.ndarray | np.generic), f"{type(value).__name__} is no tensor"
    return np.asarray(value)


def check(case: Case) -> None:
    """Run a case: values within its own tolerance, integers exactly, inferred types and shapes equal to the real."""
    model = read(case.model.SerializeToString(), case.name)
    reference = Reference(model)
    names = [value.name or "" for value in reference.inputs]
    for inputs, outputs in case.data_sets:
        feeds = {name: array(value) for name, value in zip(names, inputs, strict=True)}
        every = [name for step in reference.steps for name in step.outputs if name]
        results = reference.run(feeds, keep=every)
        specs = given(model, {name: value.shape for name, value in feeds.items()})
        for name, value in feeds.items():
            if value.size <= FOLD_LIMIT:
                specs[name] = replace(specs[name], value=widen(value))
        problems = [typed.problem for typed in walk(model, specs) if typed.problem]
        assert not problems, problems
        for name, result in results.items():
            assert specs[name].shape == result.shape, f"{name}: inferred {specs[name].shape}, real {result.shape}"
        for name, expected in zip(reference.outputs, map(array, outputs), strict=True):
            assert specs[name].dtype.numpy() == expected.dtype, f"{name}: inferred {specs[name].dtype}"
            compare(results[name], expected, case)


def compare(result: np.ndarray[Any, Any], expected: np.ndarray[Any, Any], case: Case) -> None:
    """One output against the expected one."""
    assert result.shape == expected.shape
    floating = expected.dtype.name in WIDENED
    assert result.dtype == (np.float64 if floating else expected.dtype)
    if floating:
        with np.errstate(over="ignore"):
            rounded = result.astype(expected.dtype).astype(np.float64)
        np.testing.assert_allclose(rounded, expected.astype(np.float64), rtol=case.rtol, atol=case.atol)
    elif expected.dtype.kind in "biu":
        np.testing.assert_array_equal(result, expected)
    else:
        np.testing.assert_array_equal(result.astype(np.float64), expected.astype(np.float64))


def verdict(case: Case, reason: str | None) -> str:
    """Empty where the case passes, or fails and is excluded; else what is wrong."""
    try:
        check(case)
    except (ToolchainError, AssertionError) as error:
        return "" if reason else f"{case.name}: {' '.join(str(error).split())[:400]}"
    return f"{case.name} passes; take it off the exclusions" if reason else ""


@pytest.mark.parametrize("module", MODULES)
def test_node_cases(module: str) -> None:
    excluded = EXCLUDED.get(module, {})
    cases = list(runnable(module))
    problems = [verdict(case, excluded.get(case.name)) for case in cases]
    problems += [f"{name} is excluded but not run" for name in set(excluded) - {case.name for case in cases}]
    assert not any(problems), "\n".join(p for p in problems if p)


@pytest.mark.parametrize("folder", folders())
def test_file_cases(folder: Path) -> None:
    excluded = EXCLUDED.get(folder.parent.name, {})
    if not known(onnx.load(folder / "model.onnx", load_external_data=False)):
        assert folder.name not in excluded, "excluded but not run"
        return
    problem = verdict(from_folder(folder), excluded.get(folder.name))
    assert not problem, problem


@pytest.mark.parametrize("operator", OPERATORS.split())
def test_promised_operators_are_met(operator: str) -> None:
    homes = [name for name in MODULES if name.replace("_", "") == operator.lower()]
    assert homes, f"no module writes cases of {operator}"
    met = [
        case.name
        for module in homes
        for case in runnable(module)
        if operator in {n.op_type for n in case.model.graph.node} and case.name not in EXCLUDED.get(module, {})
    ]
    assert met, f"no case of {operator} runs"


def test_exclusions_name_modules_and_suites() -> None:
    assert set(EXCLUDED) <= {*MODULES, *FILE_SUITES}


def test_a_wrong_value_is_seen() -> None:
    case = next(c for c in runnable("relu") if c.name == "test_relu")
    inputs, outputs = case.data_sets[0]
    wrong = replace(case, data_sets=((inputs, [outputs[0] + np.float32(0.01)]),))
    assert verdict(case, None) == ""
    assert verdict(wrong, None) != ""
    assert "take it off" in verdict(case, "listed for no reason")
