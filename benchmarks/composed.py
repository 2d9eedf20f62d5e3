"""Functions inside other operators, each alone: the power in LRN and LpPool, the exponential and logarithm in Softmax.

Such an operator has a budget for the function in it, beside the roundings that are counted. It is measured where
nothing else happens: on inputs for which all other steps are exact, or where the few roundings left are known and
count in full. What is found is therefore the most that the function itself may be off.

- LRN: squares that float32 holds, ``alpha`` 1, ``bias`` 0, one channel: ``x^2`` to the power of ``-beta``, times x.
- LpPool: windows of one element, against ``(|x|^p)^q`` with ``q`` the float32 nearest to ``1 / p``: two powers, the
  first of which weighs ``1 / p``.
- Softmax: of 0 and ``-d`` from 17.5 on, where the sum of the exponentials is 1.
- LogSoftmax and ReduceLogSumExp: n zeros among numbers whose exponentials are nothing: the logarithm of n.
- ReduceLogSum: of one element.
- QLinearSigmoid and QLinearSoftmax: how near to a tie the quotients lie that are rounded to the other side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import helper

from toolchain.ops import lppool, lrn, qlinear, reductions, registry, softmax
from toolchain.ops.bounds import FLOAT32_ROUNDOFF, gamma

Array = NDArray[Any]
F32 = np.float32
COUNT = 512
"""Largest number of equal elements whose logarithm is looked at."""
SCALES = 3000
"""Of quantized inputs; each is run with all 256 values."""


@dataclass(frozen=True)
class Composed:
    """One function inside an operator.

    Attributes:
        op_type: the operator.
        part: the function in it.
        budget: of that function, in ulp, as the operator's file has it.
        measure: inputs -> errors in ulps, at most, and at which inputs; in shares of the limit where ``share``.
        domain: of the operator.
        share: errors are shares of the limit already.
    """

    op_type: str
    part: str
    budget: float
    measure: Callable[[Array], tuple[Array, Array]]
    domain: str = ""
    share: bool = False

    def __str__(self) -> str:
        return f"{self.part} in {self.op_type}"

    @property
    def operator(self) -> str:
        """Name, behind the domain where that is not ONNX's."""
        return f"{self.domain}.{self.op_type}" if self.domain else self.op_type

    @property
    def stated(self) -> str:
        """The budget as the registry has it."""
        return registry()[self.domain, self.op_type].budget


@dataclass(frozen=True)
class Node:
    """ONNX Runtime on one node.

    Attributes:
        op_type: operator.
        attributes: of the node.
        domain: of the operator.
        opset: of that domain.
    """

    op_type: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    domain: str = ""
    opset: int = 17

    def session(self, given: Sequence[Array]) -> ort.InferenceSession:
        """Ready to run on such inputs."""
        names = [f"x{i}" for i in range(len(given))]
        node = helper.make_node(self.op_type, names, ["y"], domain=self.domain, **self.attributes)
        info = [
            helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
            for n, a in zip(names, given, strict=True)
        ]
        kind = helper.np_dtype_to_tensor_dtype(given[0].dtype)
        graph = helper.make_graph([node], "one", info, [helper.make_tensor_value_info("y", kind, None)])
        imports = [helper.make_opsetid("", self.opset), *([helper.make_opsetid(self.domain, 1)] if self.domain else [])]
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 3
        model = helper.make_model(graph, opset_imports=imports, ir_version=8)
        return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def run(self, *given: Array) -> Array:
        """The first output."""
        feeds = {f"x{i}": a for i, a in enumerate(given)}
        return np.asarray(self.session(given).run(None, feeds)[0])


def relative(got: Array, exact: Array) -> Array:
    """Errors in units of ``2 u |y|``: an ulp is at most that."""
    return np.asarray(np.abs(got.astype(np.float64) - exact) / (2 * FLOAT32_ROUNDOFF * np.abs(exact)))


def _normal(*arrays: Array) -> Array:
    sizes = np.abs(np.stack([np.asarray(a, np.float64) for a in arrays]))
    return np.asarray(((sizes >= 2.0**-125) & (sizes <= 1e38)).all(axis=0))


def of_lrn(x: Array) -> tuple[Array, Array]:
    """``x (x^2)^-beta``; the product's rounding of half an ulp is not the power's and may hide as much of it."""
    short = (x.view(np.uint32) & np.uint32(0xFFFFF000)).view(F32)
    wide = short.astype(np.float64)
    with np.errstate(over="ignore"):
        given = np.unique(short[_normal(wide, wide**2)])
    worst, at = np.zeros(0), np.zeros(0)
    for beta in (0.75, 0.5, 0.3, 1.7):
        exponent = float(F32(beta))
        wide = given.astype(np.float64)
        exact = wide / (wide**2) ** exponent
        some = _normal(exact, (wide**2) ** -exponent)
        node = Node("LRN", {"size": 1, "alpha": 1.0, "beta": beta, "bias": 0.0})
        got = node.run(given[some].reshape(-1, 1, 1, 1)).reshape(-1)
        worst = np.concatenate([worst, relative(got, exact[some]) + 0.5])
        at = np.concatenate([at, given[some]])
    return worst, at


def of_lp_pool(op_type: str) -> Callable[[Array], tuple[Array, Array]]:
    """``(|x|^p)^q``; every error is put down to the two powers."""

    def measure(x: Array) -> tuple[Array, Array]:
        worst, at = np.zeros(0), np.zeros(0)
        for p in (2, 3, 5):
            wide = np.abs(x).astype(np.float64)
            with np.errstate(over="ignore"):
                power = wide**p
            given = x[_normal(wide, power)]
            exact = (np.abs(given).astype(np.float64) ** p) ** float(F32(1) / F32(p))
            attributes = {"p": p} | ({} if op_type.startswith("Global") else {"kernel_shape": [1]})
            got = Node(op_type, attributes).run(given.reshape(-1, 1, 1)).reshape(-1)
            worst = np.concatenate([worst, relative(got, exact) / (1 + 1 / p)])
            at = np.concatenate([at, given])
        return worst, at

    return measure


def of_softmax(x: Array) -> tuple[Array, Array]:
    """``exp(-d)``; the quotient by 1 is exact."""
    d = np.abs(x[(np.abs(x) >= 17.5) & (np.abs(x) <= 85)])
    d = np.concatenate([d, np.linspace(17.5, 85, 200_000, dtype=F32)])
    got = Node("Softmax", {"axis": 1}).run(np.stack([np.zeros_like(d), -d], axis=1))[:, 1]
    return relative(got, np.exp(-d.astype(np.float64))), d


def _zeros() -> Array:
    """Row n has n + 2 zeros among numbers whose exponentials are nothing."""
    return np.where(np.arange(COUNT) < np.arange(2, COUNT + 1)[:, None], 0, -1e4).astype(F32)


def of_log_softmax(_: Array) -> tuple[Array, Array]:
    """Minus the logarithm of whole numbers."""
    n = np.arange(2, COUNT + 1)
    return relative(Node("LogSoftmax", {"axis": 1}).run(_zeros())[:, 0], -np.log(n)), n


def of_log_sum_exp(_: Array) -> tuple[Array, Array]:
    """The logarithm of whole numbers."""
    n = np.arange(2, COUNT + 1)
    return relative(Node("ReduceLogSumExp", {"axes": [1], "keepdims": 0}).run(_zeros()), np.log(n)), n


def of_log_sum(x: Array) -> tuple[Array, Array]:
    """The logarithm of a single element."""
    given = x[(x >= 2.0**-126) & (x != 1)]
    got = Node("ReduceLogSum", {"axes": [1], "keepdims": 0}).run(given[:, None])
    return relative(got, np.log(given.astype(np.float64))), given


def _quantized(node: Node, outcome: Callable[[list[Array]], qlinear.Outcome], rows: int, columns: int) -> Any:
    """Where a quotient was rounded to the other side of a tie: its distance from it, over what the bound allows."""

    def measure(_: Array) -> tuple[Array, Array]:
        generator = np.random.default_rng(0)
        shares, at = [], []
        ready: ort.InferenceSession | None = None
        for scale in generator.uniform(1e-3, 0.2, SCALES).astype(F32):
            values = np.resize(generator.permutation(256), (rows, columns)).astype(np.uint8)
            zeros = np.asarray(generator.integers(0, 256), np.uint8), np.asarray(0, np.uint8)
            given = [values, np.asarray(scale), zeros[0], np.asarray(F32(1 / 256)), zeros[1]]
            ready = ready or node.session(given)
            got = ready.run(None, {f"x{i}": a for i, a in enumerate(given)})[0].astype(np.float64)
            found = outcome([a.astype(np.float64) if a.dtype == F32 else a for a in given])
            quotient = found.numerator.high / found.denominator
            allowed = gamma(found.error, FLOAT32_ROUNDOFF) * found.magnitude
            shares.append(np.maximum(np.abs(np.clip(quotient, 0, 255) - got) - 0.5, 0.0) / allowed)
            at.append(np.broadcast_to(scale, got.shape))
        return np.concatenate(shares).reshape(-1), np.concatenate(at).reshape(-1)

    return measure


def cases() -> Iterator[Composed]:
    """One for every function that has a budget inside an operator."""
    yield Composed("LRN", "power", lrn.POWER_ULPS, of_lrn)
    for name in ("LpPool", "GlobalLpPool"):
        yield Composed(name, "power", lppool.POWER_ULPS, of_lp_pool(name))
    yield Composed("Softmax", "exponential", softmax.EXP_ULPS, of_softmax)
    yield Composed("LogSoftmax", "logarithm", softmax.LOG_ULPS, of_log_softmax)
    yield Composed("ReduceLogSum", "logarithm", reductions.LOG_ULPS, of_log_sum)
    yield Composed("ReduceLogSumExp", "logarithm", reductions.LOG_ULPS, of_log_sum_exp)
    sigmoid, along = Node("QLinearSigmoid", {}, qlinear.DOMAIN), qlinear.Softmax(1, False)
    yield Composed(
        "QLinearSigmoid",
        "sigmoid",
        qlinear.SIGMOID.relative,
        _quantized(sigmoid, lambda given: qlinear.sigmoid_outcome(None, given), 1, 256),
        qlinear.DOMAIN,
        share=True,
    )
    yield Composed(
        "QLinearSoftmax",
        "softmax",
        qlinear.SOFTMAX_ULPS,
        _quantized(
            Node("QLinearSoftmax", {"axis": 1, "opset": 17}, qlinear.DOMAIN),
            lambda given: qlinear.softmax_outcome(along, given),
            64,
            8,
        ),
        qlinear.DOMAIN,
        share=True,
    )


def measured(x: Array) -> Iterator[dict[str, Any]]:
    """Rows as ``benchmarks/ulps.py`` keeps them.

    Args:
        x: a sweep of float32 numbers.
    """
    for case in cases():
        errors, at = case.measure(x)
        worst = int(np.argmax(errors))
        ulps = float(errors[worst]) * (case.budget if case.share else 1.0)
        yield {
            "operator": case.operator,
            "case": str(case),
            "budget": case.stated,
            "ulps": ulps,
            "used": ulps / case.budget,
            "at": float(at[worst]),
        }
