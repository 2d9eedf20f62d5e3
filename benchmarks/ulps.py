"""Measure the ulp budgets of the element-wise operators against ONNX Runtime's CPU provider.

Runs every function on a sweep of float32 bit patterns (all exponents, both signs, and the neighbours of every power
of two), those of two operands on pairs from it, and prints, beside the budget written in ``toolchain/ops``, the
largest error seen: relative to one unit in the last place of the exact value, and as a fraction of the limit that the
budget allows. Functions inside other operators, such as the exponential in Softmax, follow (``composed.py``). Exit code
1 if one is over. ``--write`` keeps the result in ``results/ulps.json``, from which the documents take it.

    python -m benchmarks.ulps [--step 4099] [--write]
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper

from benchmarks import composed
from toolchain.files import write_bytes
from toolchain.nodes import version_in_force
from toolchain.ops import registry
from toolchain.ops.operator import NodeFacts

Array = NDArray[Any]
OPSET = 22
ROUNDOFF = 2.0**-24

# fmt: off
FUNCTIONS = (
    "Abs", "Neg", "Floor", "Ceil", "Round", "Sign", "Sqrt", "Reciprocal", "Exp", "Log", "Erf", "Sigmoid", "Tanh",
    "Softplus", "Softsign", "Mish", "HardSwish", "Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh",
    "Acosh", "Atanh", "Elu", "Selu", "Celu", "LeakyRelu", "HardSigmoid", "ThresholdedRelu", "Gelu",
)
# fmt: on


RESULTS = Path(__file__).parent / "results" / "ulps.json"


@dataclass(frozen=True)
class Case:
    """One function to measure: operator, attributes, the opset if not the usual one, and what the second operand is."""

    op_type: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    opset: int = OPSET
    second: str = ""

    def __str__(self) -> str:
        given = ", ".join(f"{k}={v}" for k, v in self.attributes.items())
        second = f", {self.second} second operand" if self.second in ("near", "shuffled") else ""
        return self.op_type + (f"({given})" if given else "") + second


CASES = (
    *(Case(name) for name in FUNCTIONS),
    Case("Gelu", {"approximate": "tanh"}),
    Case("Elu", {"alpha": 2.5}),
    Case("Celu", {"alpha": 0.25}),
    Case("HardSigmoid", {"alpha": 0.16666667, "beta": 0.5}),
    Case("LeakyRelu", {"alpha": 0.3}),
    Case("Shrink", {"lambd": 0.5, "bias": 0.3}),
    Case("Swish", {}, 24),
    Case("Swish", {"alpha": 1.702}, 24),
    *(Case(name, second="shuffled") for name in ("Add", "Sub", "Mul", "Div")),
    *(Case(name, second="near") for name in ("Add", "Sub", "Div")),
    Case("Pow", second="exponent"),
    Case("Mod", {"fmod": 1}, second="near"),
    Case("PRelu", second="shuffled"),
    Case("DequantizeLinear", second="scale"),
)


@dataclass(frozen=True)
class Measured:
    """What one case showed.

    Attributes:
        ulps: largest error in units in the last place of the exact value (normal results only).
        used: largest error over the limit; at most 1 inside the budget.
        at: the input that used most.
    """

    ulps: float
    used: float
    at: float


def sweep(step: int) -> Array:
    """float32 values: every ``step``-th bit pattern, zeros, and three neighbours of each power of two."""
    patterns = np.arange(0, 1 << 32, step, dtype=np.uint32)
    powers = np.arange(0, 255, dtype=np.int64) << 23
    near = np.concatenate([powers + k for k in (-1, 0, 1)])
    near = near[near >= 0].astype(np.uint32)
    values = np.concatenate([patterns, near, near | np.uint32(1 << 31)]).view(np.float32)
    return values[np.isfinite(values)]


def operands(case: Case, x: Array) -> list[Array]:
    """The inputs of a case, from a sweep: pairs of far and of near numbers, powers, integers with a scale."""
    rng = np.random.default_rng(0)
    if case.second == "shuffled":
        return [x, rng.permutation(x)]
    if case.second == "near":
        finite = x[np.abs(x) < 1e30]
        return [finite, (finite * rng.uniform(0.25, 4.0, finite.size)).astype(np.float32)]
    if case.second == "exponent":
        return [np.abs(x), rng.uniform(-8.0, 8.0, x.size).astype(np.float32)]
    if case.second == "scale":
        return [x.view(np.int32), np.array(0.0123456, dtype=np.float32)]
    return [x]


def session(case: Case, given: list[Array]) -> ort.InferenceSession:
    """ONNX Runtime on a graph of the one node."""
    names = [f"x{i}" for i in range(len(given))]
    node = helper.make_node(case.op_type, names, ["y"], **case.attributes)
    inputs = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), [None] * a.ndim)
        for n, a in zip(names, given, strict=True)
    ]
    graph = helper.make_graph([node], "one", inputs, [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", case.opset)], ir_version=10)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def measure(case: Case, x: Array) -> Measured:
    """Largest error of ONNX Runtime over a sweep, in ulps and as a fraction of the budget."""
    operator = registry()["", case.op_type]
    version = version_in_force("", case.op_type, case.opset)
    given = operands(case, x)
    facts = NodeFacts("case", case.op_type, "", version, case.attributes, (True,) * len(given), 1)
    node = operator.parse(facts)
    wide = [a.astype(np.float64) if a.dtype == np.float32 else a for a in given]
    (exact,) = operator.evaluate(node, wide)
    (limit,) = operator.bound(node, wide, [exact], ROUNDOFF)
    got = session(case, given).run(None, {f"x{i}": a for i, a in enumerate(given)})[0].astype(np.float64)
    with np.errstate(all="ignore"):
        error = np.where((got == exact) | (np.isnan(got) & np.isnan(exact)), 0.0, np.abs(got - exact))
        error = np.where(np.isnan(error), np.inf, error)
        ulp = np.maximum(2.0 ** (np.floor(np.log2(np.abs(exact))) - 23), 2.0**-149)
        sound = np.broadcast_to(limit.sound, error.shape)
        used = np.where(error == 0, 0.0, np.where(np.isinf(sound), 0.0, error / sound))
        normal = (np.abs(exact) >= 2.0**-126) & (np.abs(exact) <= np.finfo(np.float32).max)
        relative = np.where(normal, error / ulp, 0.0)
    worst = int(np.argmax(used))
    return Measured(float(np.max(relative)), float(used[worst]), float(given[0][worst]))


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--step", type=int, default=4099, help="distance of the bit patterns (default: 4099)")
    parser.add_argument("--write", action="store_true", help=f"keep the result in {RESULTS.name}")
    options = parser.parse_args()
    x, rows = sweep(options.step), []
    lines = [f"{'function':<44}{'ulps seen':>14}{'of the budget':>16}  at", "-" * 90]
    over = 0
    for case in CASES:
        found = measure(case, x)
        over += found.used > 1
        budget = registry()["", case.op_type].budget
        rows.append({"operator": case.op_type, "case": str(case), "budget": budget, **asdict(found)})
        lines.append(f"{case!s:<44}{found.ulps:>14.4g}{found.used:>16.3f}  {found.at:.9g}")
    for row in composed.measured(x):
        over += row["used"] > 1
        rows.append(row)
        lines.append(f"{row['case']:<44}{row['ulps']:>14.4g}{row['used']:>16.3f}  {row['at']:.9g}")
    lines.append(f"{x.size} inputs, onnx {onnx.__version__}, onnxruntime {ort.__version__}; {over} over the budget")
    sys.stdout.write("\n".join(lines) + "\n")
    if options.write:
        about = {"onnx": onnx.__version__, "onnxruntime": ort.__version__, "machine": platform.machine()}
        kept = {**about, "inputs": int(x.size), "step": options.step, "cases": rows}
        write_bytes(RESULTS, (json.dumps(kept, indent=1) + "\n").encode(), force=True)
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
