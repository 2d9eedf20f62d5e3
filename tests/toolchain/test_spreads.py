"""Every spread in the registry is tried: no error within the box moves an output further than the spread says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from toolchain.ops import registry
from toolchain.ops.bounds import FLOAT32_ROUNDOFF
from toolchain.ops.operator import NodeFacts, Operator

Array = NDArray[Any]
SAMPLES = 24
"""Points of an error box, inside and on its corners, beside the two corners of all signs alike."""
SIZES = (1e-6, 0.05, 0.8, 6.0)
SLACK = 1e-9
"""Relative: float64 rounds both sides."""


@dataclass(frozen=True)
class Case:
    """A node and which of its inputs may carry errors.

    Attributes:
        op: operator.
        inputs: arrays; ``None`` for one left out.
        erring: positions of the inputs that carry errors.
        attributes: of the node.
        outputs: how many.
        version: of its definition; the newest where ``None``.
        domain: of the operator.
        dtype: element type of the output where a model states it.
    """

    op: str
    inputs: tuple[Any, ...]
    erring: tuple[int, ...] = (0,)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    outputs: int = 1
    version: int | None = None
    domain: str = ""
    dtype: ir.DataType | None = None

    def __str__(self) -> str:
        given = ",".join(f"{k}={v}" for k, v in self.attributes.items())
        version = "" if self.version is None else f"-{self.version}"
        return f"{self.domain}{self.op}{version}({given}){list(self.erring)}"

    @property
    def operator(self) -> Operator:
        """From the registry."""
        return registry()[self.domain, self.op]

    def node(self) -> Any:
        """Its attributes, parsed."""
        operator = self.operator
        version = max(operator.versions) if self.version is None else self.version
        present = tuple(x is not None for x in self.inputs)
        return operator.parse(
            NodeFacts("n", self.op, self.domain, version, self.attributes, present, self.outputs, self.dtype)
        )


def normal(*shape: int, seed: int = 0, shift: float = 0.0) -> Array:
    """Normal numbers, the same in every run."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape) * 2 + shift


def positive(*shape: int, seed: int = 0) -> Array:
    """Numbers from 0.1 to 6."""
    return np.random.default_rng([seed, *shape]).uniform(0.1, 6, shape)


X, ROW, PLANE = normal(3, 5), normal(1, 9) * 2, normal(2, 4, 5, 5)
I64 = np.int64


def whole(*values: int) -> Array:
    """Shapes, axes and indices."""
    return np.array(values, I64)


UNARY = (
    "Abs", "Neg", "Sqrt", "Reciprocal", "Exp", "Log", "Erf", "Sigmoid", "Tanh", "Softplus", "Softsign", "Mish", "Sin",
    "Cos", "Asin", "Acos", "Atan", "Sinh", "Asinh", "Acosh", "Atanh", "Relu", "Elu", "Selu", "Celu", "LeakyRelu",
    "HardSigmoid", "HardSwish", "Gelu", "Swish", "Identity", "Dropout", "Floor", "Ceil", "Round", "Sign",
    "ThresholdedRelu",
)  # fmt: skip
CHANNEL = tuple(normal(4, seed=i) for i in range(3))

CASES = (
    *(Case(op, (ROW,)) for op in UNARY),
    *(Case(op, (positive(1, 9),)) for op in ("Sqrt", "Log", "Reciprocal", "Acosh")),
    *(Case(op, (ROW / 8,)) for op in ("Asin", "Acos", "Atanh")),
    Case("Gelu", (ROW,), attributes={"approximate": "tanh"}),
    *(Case(op, (ROW,), attributes={"alpha": a}) for op in ("Elu", "LeakyRelu", "Selu") for a in (2.5, -1.5, 0.1)),
    *(Case("Celu", (ROW,), attributes={"alpha": a}) for a in (0.25, 3.0)),
    *(Case("Swish", (ROW,), attributes={"alpha": a}) for a in (0.3, 1.702, -2.0)),
    *(Case("HardSigmoid", (ROW,), attributes={"alpha": a, "beta": b}) for a, b in ((0.5, 0.1), (-0.5, 0.4))),
    *(Case("Clip", (ROW, low, high)) for low, high in ((np.array(-1.0), np.array(2.0)), (None, np.array(0.5)))),
    *(
        Case(op, (X, normal(3, 5, seed=1)), erring)
        for op in ("Add", "Sub", "Mul", "Div")
        for erring in ((0,), (1,), (0, 1))
    ),
    *(Case(op, (X, normal(5, seed=1))) for op in ("Add", "Sub", "Mul", "Div")),
    *(Case(op, (X, normal(3, 5, seed=1), normal(5, seed=2)), (0, 1, 2)) for op in ("Max", "Min", "Sum", "Mean")),
    *(Case("Pow", (positive(3, 5), np.array(e))) for e in (2.0, 0.5, -1.0, 3.0, 0.0)),
    *(Case("Pow", (X, np.array(e))) for e in (2.0, 3.0, -2.0, 1.0)),
    Case("PRelu", (X, normal(5, seed=1))),
    Case("Where", (np.arange(15).reshape(3, 5) % 2 == 0, X, normal(3, 5, seed=1)), (1, 2)),
    *(Case("Softmax", (X,), attributes={"axis": a}) for a in (0, 1)),
    *(Case("LogSoftmax", (X,), attributes={"axis": a}) for a in (0, 1)),
    Case("Softmax", (PLANE,), attributes={"axis": 1}, version=11),
    Case("BatchNormalization", (PLANE, *CHANNEL, positive(4))),
    Case("InstanceNormalization", (PLANE, *CHANNEL[:2])),
    Case("GroupNormalization", (PLANE, *CHANNEL[:2]), attributes={"num_groups": 2}),
    *(
        Case("LayerNormalization", (X, normal(5, seed=1), normal(5, seed=2)), attributes={"epsilon": e})
        for e in (1e-5, 0.1)
    ),
    *(
        Case("LRN", (PLANE,), attributes={"size": s, "alpha": a, "beta": b})
        for s, a, b in ((3, 1e-4, 0.75), (2, 1.0, 0.5))
    ),
    *(Case("LpPool", (PLANE,), attributes={"kernel_shape": (2, 2), "p": p}) for p in (1, 2, 3)),
    *(Case("GlobalLpPool", (PLANE,), attributes={"p": p}) for p in (1, 2)),
    *(Case(op, (PLANE,)) for op in ("GlobalAveragePool", "GlobalMaxPool", "Flatten", "Size", "Shape")),
    Case("AveragePool", (PLANE,), attributes={"kernel_shape": (3, 2), "pads": (1, 1, 1, 0), "strides": (2, 1)}),
    Case("MaxPool", (PLANE,), attributes={"kernel_shape": (3, 2), "pads": (1, 0, 1, 0)}),
    *(
        Case("Conv", (PLANE, normal(4, 2, 3, 3), CHANNEL[0]), e, {"group": 2, "pads": (1, 1, 1, 1)})
        for e in ((0,), (1,), (0, 1, 2))
    ),
    *(Case("ConvTranspose", (PLANE, normal(4, 3, 2, 2), normal(3)), e, {"strides": (2, 1)}) for e in ((0,), (0, 1, 2))),
    *(
        Case("Gemm", (X, normal(4, 5), normal(4)), e, {"transB": 1, "alpha": -0.7, "beta": 1.3})
        for e in ((0,), (0, 1, 2))
    ),
    *(Case("MatMul", (X, normal(5, 4)), e) for e in ((0,), (1,), (0, 1))),
    *(
        Case(f"Reduce{op}", (X, whole(1)), attributes={"keepdims": 0})
        for op in ("Sum", "Mean", "Max", "Min", "L1", "L2", "SumSquare", "LogSumExp")
    ),
    Case("Concat", (X, normal(2, 5)), (0, 1), {"axis": 0}),
    Case("CumSum", (X, np.array(1)), attributes={"exclusive": 1, "reverse": 1}),
    Case("DepthToSpace", (PLANE,), attributes={"blocksize": 2}),
    Case("SpaceToDepth", (normal(1, 2, 4, 4),), attributes={"blocksize": 2}),
    Case("Expand", (normal(3, 1), whole(2, 3, 4))),
    Case("Gather", (X, whole(2, 0, -1)), attributes={"axis": 1}),
    Case("GatherElements", (X, whole(2, 0, -1, 1, 1).reshape(1, 5)), attributes={"axis": 0}),
    Case("Pad", (X, whole(1, 0, 0, 2), np.array(1.5))),
    Case("Pad", (X, whole(1, 0, 0, 2)), attributes={"mode": "reflect"}),
    Case("Reshape", (X, whole(5, 3))),
    Case("Slice", (X, whole(1), whole(3), whole(0))),
    Case("Split", (X, whole(2, 3)), attributes={"axis": 1}, outputs=2),
    Case("Squeeze", (normal(1, 5), whole(0))),
    Case("Unsqueeze", (X, whole(0))),
    Case("Tile", (X, whole(2, 1))),
    Case("Transpose", (X,)),
    *(
        Case("Resize", (PLANE, None, np.array([1.0, 1.0, s, s])), attributes={"mode": m})
        for m in ("nearest", "linear", "cubic")
        for s in (0.6, 1.7)
    ),
    Case("Upsample", (PLANE, np.array([1.0, 1.0, 2.0, 1.5])), attributes={"mode": "linear"}, version=9),
    Case("Cast", (ROW,), attributes={"to": int(ir.DataType.FLOAT16)}),
    Case("CastLike", (ROW, np.zeros(1, np.float64)), dtype=ir.DataType.FLOAT),
    Case("QuantizeLinear", (ROW, np.array(0.05), np.array(3, np.int8))),
    Case("DequantizeLinear", (np.arange(-9, 9, dtype=np.int8), np.array(0.05), np.array(3, np.int8)), (1,)),
    Case("QuantizeLinear", (ROW, np.array(0.05), np.array(3, np.int8)), version=1, domain="com.microsoft"),
    Case(
        "DequantizeLinear",
        (np.arange(-9, 9, dtype=np.int8), np.array(0.05), np.array(3, np.int8)),
        (1,),
        version=1,
        domain="com.microsoft",
    ),
)

INDEPENDENT = frozenset({"Constant", "ConstantOfShape", "Range"})
"""Their outputs depend on no input that could carry an error."""


def test_every_spread_is_tried() -> None:
    spreading = {key for key, operator in registry().items() if operator.spread is not None}
    assert spreading - {(case.domain, case.op) for case in CASES} == {("", name) for name in INDEPENDENT}


def shifts(generator: np.random.Generator, errors: list[Array]) -> Iterator[list[Array]]:
    """Corners and inner points of an error box, one array an erring input."""
    for sign in (-1.0, 1.0):
        yield [sign * e for e in errors]
    for index in range(SAMPLES):
        if index % 2:
            yield [e * generator.choice((-1.0, 1.0), e.shape) for e in errors]
        else:
            yield [e * generator.uniform(-1, 1, e.shape) for e in errors]


def beyond(case: Case, size: float, factor: float = 1.0) -> float:
    """How far beyond the spread, times a factor, an output was moved: change over spread, 0 for nowhere."""
    operator, node = case.operator, case.node()
    assert operator.spread is not None
    generator = np.random.default_rng(int(size * 1e6))
    errors = {i: generator.uniform(0, size, case.inputs[i].shape) for i in case.erring}
    given = [errors.get(i) for i in range(len(case.inputs))]
    worst = 0.0
    with np.errstate(all="ignore"):
        exact = operator.evaluate(node, case.inputs)
        limits = operator.spread(operator, node, case.inputs, given, FLOAT32_ROUNDOFF)
        assert len(limits) >= case.outputs
        for moved in shifts(generator, [errors[i] for i in case.erring]):
            inputs = list(case.inputs)
            for i, shift in zip(case.erring, moved, strict=True):
                inputs[i] = inputs[i] + shift
            for y, z, limit in zip(exact, operator.evaluate(node, inputs), limits, strict=False):
                worst = max(worst, _exceeded(y.astype(np.float64), z.astype(np.float64), factor * limit))
    return worst


def _exceeded(before: Array, after: Array, limit: Array) -> float:
    change = np.where((before == after) | (np.isnan(before) & np.isnan(after)), 0.0, np.abs(before - after))
    change = np.where(np.isnan(change), np.inf, change)
    allowed = np.broadcast_to(limit, before.shape) * (1 + SLACK) + SLACK * 1e-3 * (1 + np.abs(np.nan_to_num(before)))
    # No limit is infinite, or no number where infinities cancelled: ``judge`` takes both for none.
    over = np.where((change <= allowed) | np.isposinf(allowed) | np.isnan(allowed), 0.0, change / allowed)
    return float(np.max(over, initial=0.0))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_no_error_within_the_box_moves_an_output_beyond_the_spread(case: Case, size: float) -> None:
    assert beyond(case, size) == 0.0


@pytest.mark.parametrize(
    "case", [c for c in CASES if c.op in ("Conv", "Relu", "Mul", "Gemm", "Concat", "Exp")], ids=str
)
def test_a_spread_that_is_too_narrow_is_seen(case: Case) -> None:
    assert beyond(case, 0.05, factor=0.4) > 1.0
