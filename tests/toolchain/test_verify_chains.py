"""Chains of nodes that a runtime folds into the constants of one product: every fold may round them again."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from toolchain.nodes import steps
from toolchain.ops.bounds import FLOAT32_ROUNDOFF
from toolchain.reference import Reference
from toolchain.verify.folding import FOLDING_ROUNDINGS, foldings
from toolchain.verify.judge import exact
from toolchain.verify.regions import Region

F32 = np.float32
U = FLOAT32_ROUNDOFF


def conv_with(nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], channels: int) -> ir.Model:
    """A 1 x 1 Conv from tensor ``x`` to ``c``, and what is folded into it."""
    first = helper.make_node("Conv", ["x", "w", *(["b"] if "b" in constants else [])], ["c"], name="conv")
    last = nodes[-1].output[0]
    shape = [1, constants["w"].shape[1], 1, 1]
    graph = helper.make_graph(
        [first, *nodes],
        "chain",
        [helper.make_tensor_value_info("x", 1, shape)],
        [helper.make_tensor_value_info(last, 1, [1, channels, 1, 1])],
        [numpy_helper.from_array(array.astype(F32), name) for name, array in constants.items()],
    )
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))


def conspiring(weights: np.ndarray, count: int, generator: np.random.Generator) -> list[np.float32]:
    """Factors of which each, times the two weights so far, is rounded up for one and down for the other."""
    chosen = []
    for _ in range(count):
        candidates = generator.uniform(0.7, 1.4, 20000).astype(F32)
        products = weights.astype(np.float64)[:, None] * candidates
        off = (products.astype(F32) - products) / np.abs(products)
        best = candidates[int(np.argmax(off[0] - off[1]))]
        chosen.append(best)
        weights = weights * best
    return chosen


@pytest.mark.parametrize("length", [1, 7, 15, 30])
def test_a_chain_of_products_folded_step_by_step_stays_within_the_limit(length: int) -> None:
    """Two terms that cancel leave no node behind them anything of its own to allow."""
    weights = np.array([1.3, 1.3001], F32)
    factors = conspiring(weights, length, np.random.default_rng(length))
    constants = {"w": weights.reshape(1, 2, 1, 1)}
    constants |= {f"k{i}": np.reshape(k, (1, 1, 1, 1)) for i, k in enumerate(factors)}
    names = ["c", *(f"t{i}" for i in range(length))]
    nodes = [helper.make_node("Mul", [names[i], f"k{i}"], [names[i + 1]], name=f"mul{i}") for i in range(length)]
    model = conv_with(nodes, constants, 1)
    region, reference = Region(names[-1], steps(model), ("x",)), Reference(model)
    assert foldings(region.steps, reference.constants) == {"c": length}
    x = np.array([1, -1], F32).reshape(1, 2, 1, 1)
    value, bound = exact(region, reference.constants, {"x": x}, U)
    for factor in factors:
        weights = weights * factor
    error = abs(float(weights[0]) - float(weights[1]) - float(value[0, 0, 0, 0]))
    assert error > length * U * weights[0], "the roundings do not conspire"
    assert error <= bound.sound[0, 0, 0, 0]
    assert bound.sound[0, 0, 0, 0] < (FOLDING_ROUNDINGS * length + 8) * U * weights.sum(), "it is no excuse for more"


@pytest.mark.parametrize("length", [1, 3, 8])
def test_a_chain_of_batch_normalizations_folded_step_by_step_stays_within_the_limit(length: int) -> None:
    generator = np.random.default_rng(length)
    channels = 256
    constants = {"w": generator.standard_normal((channels, 4, 1, 1)), "b": generator.standard_normal(channels)}
    nodes, last = [], "c"
    for i in range(length):
        constants |= {
            f"scale{i}": generator.uniform(0.5, 2, channels),
            f"bias{i}": generator.standard_normal(channels),
            f"mean{i}": generator.standard_normal(channels),
            f"variance{i}": generator.uniform(0.1, 3, channels),
        }
        given = [f"{name}{i}" for name in ("scale", "bias", "mean", "variance")]
        nodes.append(helper.make_node("BatchNormalization", [last, *given], [f"t{i}"], name=f"bn{i}"))
        last = f"t{i}"
    model = conv_with(nodes, constants, channels)
    region, reference = Region(last, steps(model), ("x",)), Reference(model)
    x = generator.standard_normal((64, 4, 1, 1)).astype(F32)
    value, bound = exact(region, reference.constants, {"x": x}, U)
    known = {name: array.astype(F32) for name, array in reference.constants.items()}
    weight, bias = known["w"].reshape(channels, 4), known["b"]
    for i in range(length):
        factor = known[f"scale{i}"] / np.sqrt(known[f"variance{i}"] + F32(1e-5))
        weight, bias = weight * factor[:, None], (bias - known[f"mean{i}"]) * factor + known[f"bias{i}"]
    received = x.reshape(64, 4).astype(np.float64) @ weight.astype(np.float64).T + bias
    assert (np.abs(received - value.reshape(64, channels)) <= bound.sound.reshape(64, channels)).all()


def test_only_what_a_product_can_absorb_is_counted() -> None:
    """Not a product of two tensors, nor what lies behind the next product."""
    node = helper.make_node
    nodes = [
        node("Mul", ["c", "k"], ["t0"], name="m0"),
        node("Relu", ["t0"], ["t1"], name="r"),
        node("Mul", ["t1", "c"], ["t2"], name="m1"),
        node("Conv", ["t2", "w"], ["t3"], name="conv2"),
        node("Add", ["t3", "k"], ["t4"], name="a0"),
        node("Add", ["t4", "k"], ["t5"], name="a1"),
    ]
    constants = {"w": np.ones((2, 2, 1, 1)), "k": np.ones((1, 2, 1, 1))}
    model = conv_with(nodes, constants, 2)
    assert foldings(steps(model), set(constants)) == {"c": 1, "t3": 3}
