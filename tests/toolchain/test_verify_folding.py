"""Float16 models whose constants the runtime folds in float16, though it computes in float32."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from toolchain.nodes import steps
from toolchain.reference import Reference
from toolchain.verify import verify
from toolchain.verify.arithmetic import BFLOAT16, FLOAT16, Arithmetic
from toolchain.verify.limits import limits
from toolchain.verify.regions import Region

CHANNELS = 8
STORED = {"float16": (FLOAT16, np.float16), "bfloat16": (BFLOAT16, ml_dtypes.bfloat16)}


def model(form: str, dtype: type = np.float16, shrink: float = 1.0) -> ir.Model:
    """A Conv and what is folded into it; ``shrink`` makes folded weights fall among the subnormal numbers."""
    generator = np.random.default_rng(3)
    draw = {
        "w": generator.standard_normal((CHANNELS, 3, 3, 3)),
        "b": generator.standard_normal(CHANNELS),
        "scale": generator.uniform(0.5, 2, CHANNELS) * shrink,
        "bias": generator.standard_normal(CHANNELS),
        "mean": generator.standard_normal(CHANNELS),
        "variance": generator.uniform(0.1, 3, CHANNELS),
        "k": generator.standard_normal((1, CHANNELS, 1, 1)) * shrink,
    }
    node, last = helper.make_node, "c"
    nodes = [node("Conv", ["x", "w", "b"], ["c"], name="conv")]
    for i, name in enumerate(form.split("+")):
        constants = ["scale", "bias", "mean", "variance"] if name == "BatchNormalization" else ["k"]
        nodes.append(node(name, [last, *constants], [f"t{i}"], name=f"folded{i}"))
        last = f"t{i}"
    nodes.append(node("Relu", [last], ["y"], name="relu"))
    kind = TensorProto.FLOAT16 if dtype is np.float16 else TensorProto.BFLOAT16
    used = {name for n in nodes for name in n.input}
    graph = helper.make_graph(
        nodes,
        "short",
        [helper.make_tensor_value_info("x", kind, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", kind, [1, CHANNELS, 6, 6])],
        [numpy_helper.from_array(a.astype(dtype), name) for name, a in draw.items() if name in used],
    )
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))


FORMS = (
    "BatchNormalization",
    "Mul",
    "Add",
    "BatchNormalization+Mul",
    "Mul+Add",
    "BatchNormalization+BatchNormalization",
)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("optimization", ["off", "basic", "all"])
def test_the_runtime_is_certified(form: str, optimization: str) -> None:
    pytest.importorskip("onnxruntime")
    found = verify(model(form), synthetic=4, optimization=optimization)
    assert found.ok, found.worst and found.worst.describe()
    assert all(not region.unlimited for region in found.regions)


def folded(form: str, constants: dict[str, np.ndarray], rounded: Arithmetic) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias with what follows folded into them, rounded after every operation."""
    r = rounded.rounded
    weight, bias = constants["w"].astype(np.float64), constants["b"].astype(np.float64)
    for name in form.split("+"):
        if name == "BatchNormalization":
            root = r(np.sqrt(r(constants["variance"].astype(np.float64) + 1e-5)))
            factor = r(constants["scale"].astype(np.float64) / root)
            bias = r(r(r(bias - constants["mean"].astype(np.float64)) * factor) + constants["bias"].astype(np.float64))
            weight = r(weight * factor[:, None, None, None])
        elif name == "Mul":
            factor = constants["k"].astype(np.float64).reshape(-1)
            weight, bias = r(weight * factor[:, None, None, None]), r(bias * factor)
        else:
            bias = r(bias + constants["k"].astype(np.float64).reshape(-1))
    return weight, bias


@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("shrink", [1.0, 1e-4, 1e-6])
@pytest.mark.parametrize("form", FORMS)
def test_constants_rounded_at_every_step_stay_within_the_limit(form: str, shrink: float, stored: str) -> None:
    short, dtype = STORED[stored]
    made = model(form, dtype, shrink)
    reference = Reference(made)
    x = np.random.default_rng(5).standard_normal((4, 3, 8, 8)).astype(dtype)
    region = Region("y", steps(made), ("x",))
    exact, bound = limits(region, reference.constants, {"x": x}, {}, short=short)
    weight, bias = folded(form, reference.constants, short)
    conv = region.steps[0]
    (sums,) = conv.operator.evaluate(conv.attributes, [x.astype(np.float64), weight, bias])
    received = short.rounded(np.maximum(sums, 0))
    assert np.isfinite(bound.sound).all()
    assert (np.abs(received - exact) <= bound.sound).all()
    # It is no excuse for anything: a bias that is off by a hundred roundings is beyond it somewhere.
    off = 100 * short.factors
    (wrong,) = conv.operator.evaluate(conv.attributes, [x.astype(np.float64), weight, bias * (1 + off) + off])
    assert (np.abs(np.maximum(wrong, 0) - exact) > bound.sound).any()


@pytest.mark.parametrize("behind", ["Conv", "Relu"])
@pytest.mark.parametrize("optimization", ["off", "all"])
def test_a_cast_that_the_runtime_drops_is_no_defect(behind: str, optimization: str) -> None:
    """It inserts a Cast back to float32 behind a model's own to float16, and removes both."""
    pytest.importorskip("onnxruntime")
    node = helper.make_node
    weight = np.float16([0.7, -0.3]).reshape(1, 2, 1, 1)
    given = ["h", "w"] if behind == "Conv" else ["h"]
    nodes = [
        node("Cast", ["x"], ["h"], name="cast", to=TensorProto.FLOAT16),
        node(behind, given, ["t"], name="first"),
        node("Neg", ["t"], ["y"], name="last"),
    ]
    shape = [1, 1 if behind == "Conv" else 2, 16, 16]
    graph = helper.make_graph(
        nodes,
        "cast",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT16, shape)],
        [numpy_helper.from_array(weight, "w")] if behind == "Conv" else [],
    )
    made = ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    found = verify(made, synthetic=4, optimization=optimization)
    assert found.ok, found.worst and found.worst.describe()
    # Both answers are within it, and no third one is: what a wrong weight gives is beyond.
    reference = Reference(made)
    x = np.random.default_rng(0).standard_normal((1, 2, 16, 16)).astype(np.float32)
    value, bound = limits(Region("y", steps(made), ("x",)), reference.constants, {"x": x}, {}, short=FLOAT16)
    w = weight.astype(np.float64)
    kept = -((x * w).sum(axis=1, keepdims=True) if behind == "Conv" else np.maximum(x.astype(np.float64), 0))
    assert (np.abs(kept - value) <= bound.sound).all()
    assert (np.abs(kept * 1.01 - value) > bound.sound).any()
