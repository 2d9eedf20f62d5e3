"""Sums that the runtime continues from the other addend are legal, and no wider limit than that is given."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from toolchain.nodes import steps
from toolchain.reference import Reference
from toolchain.verify import verify
from toolchain.verify.judge import exact
from toolchain.verify.regions import Region

CHANNELS = 64


def residual(product: str, adding: str = "Add") -> ir.Model:
    """A product of small weights, and a far larger addend: ``x * w + r``."""
    generator = np.random.default_rng(3)
    image = product == "Conv"
    shape = ["N", CHANNELS, 9, 9] if image else ["N", CHANNELS]
    w = (generator.standard_normal((CHANNELS, CHANNELS, *((1, 1) if image else ()))) * 1e-3).astype(np.float32)
    nodes = [helper.make_node(product, ["x", "w"], ["p"], name="product")]
    constants = [numpy_helper.from_array(w, "w")]
    if adding == "BatchNormalization":
        shift = generator.standard_normal(CHANNELS).astype(np.float32)
        facts = {"scale": np.ones_like(shift), "shift": shift, "mean": shift * 0, "variance": np.ones_like(shift)}
        constants += [numpy_helper.from_array(array, name) for name, array in facts.items()]
        nodes.append(helper.make_node(adding, ["p", *facts], ["a"], name="add"))
    else:
        nodes.append(helper.make_node(adding, ["p", "r"], ["a"], name="add"))
    nodes.append(helper.make_node("Relu", ["a"], ["y"], name="relu"))
    names = ["x"] if adding == "BatchNormalization" else ["x", "r"]
    given = [helper.make_tensor_value_info(n, 1, shape) for n in names]
    graph = helper.make_graph(nodes, "residual", given, [helper.make_tensor_value_info("y", 1, shape)], constants)
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))


@pytest.mark.parametrize(
    ("product", "adding"),
    [("Conv", "Add"), ("Conv", "Sum"), ("Conv", "BatchNormalization"), ("MatMul", "Add"), ("MatMul", "Sum")],
)
@pytest.mark.parametrize("optimization", ["off", "all"])
def test_the_runtime_may_start_its_sum_at_the_addend(product: str, adding: str, optimization: str) -> None:
    found = verify(residual(product, adding), synthetic=8, optimization=optimization)
    assert found.ok, found.worst and found.worst.describe()


@pytest.mark.parametrize("product", ["Conv", "MatMul"])
@pytest.mark.parametrize("first", ["addend", "products"])
def test_every_order_of_summing_lies_within_the_limit(product: str, first: str) -> None:
    model = residual(product)
    reference = Reference(model)
    generator = np.random.default_rng(4)
    x = generator.standard_normal((64, CHANNELS)).astype(np.float32)
    r = (generator.standard_normal((64, CHANNELS)) * 10).astype(np.float32)
    w = reference.constants["w"].astype(np.float32).reshape(CHANNELS, CHANNELS)
    w = w.T if product == "Conv" else w
    total = r.copy() if first == "addend" else np.zeros_like(r)
    for i in range(CHANNELS):
        total += x[:, i : i + 1] * w[i]
    y = np.maximum(total if first == "addend" else total + r, 0)
    if product == "Conv":
        x, r, y = (a.reshape(8, 8, CHANNELS).transpose(0, 2, 1)[:, :, :, None] for a in (x, r, y))
    region = Region("y", steps(model), ("r", "x"))
    value, bound = exact(region, reference.constants, {"x": x, "r": r}, 2.0**-24)
    error = np.abs(y - value)
    assert (error <= bound.sound).all()
    assert error.max() > 2.0**-24 * np.abs(value).max() / 4


def test_the_limit_is_that_of_one_long_sum() -> None:
    """Not wider than ``gamma`` of products, addend and the Relu's rounding times the sum of absolute values, twice."""
    model = residual("MatMul")
    reference = Reference(model)
    x, r = np.ones((1, CHANNELS), np.float32), np.full((1, CHANNELS), 5.0, np.float32)
    _, bound = exact(Region("y", steps(model), ("r", "x")), reference.constants, {"x": x, "r": r}, 2.0**-24)
    size = np.abs(reference.constants["w"]).sum(axis=0) + 5.0
    assert (bound.sound <= 2 * (CHANNELS + 4) * 2.0**-24 * size).all()
