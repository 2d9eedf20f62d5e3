"""Rewrites keep the meaning; one that does not is caught by the interpreter and named."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from tests.compile.graphs import draw
from toolchain.compile import rewrites
from toolchain.compile.kernels.conv import ConvS8
from toolchain.compile.kernels.unary import TableS8
from toolchain.compile.rewrites import Pass, RewriteError, rewritten
from toolchain.compile.tails import check_fusion
from toolchain.compile.walk import lower
from toolchain.load import read


def _model(nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], shape: list[int | str]) -> ir.Model:
    graph = helper.make_graph(
        nodes,
        "one",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [None] * 4)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return read(proto.SerializeToString(), "one")


def _ones(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(0.5, 1.5, shape).astype(np.float32)


def _everything() -> ir.Model:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "conv"),
        helper.make_node("BatchNormalization", ["c", "g", "g", "g", "g"], ["n"], "norm"),
        helper.make_node("Split", ["n", "sizes"], ["a", "b"], "split", axis=1),
        helper.make_node("Sum", ["a", "b", "a"], ["s"], "sum"),
        helper.make_node("Sum", ["s"], ["t"], "sum_of_one"),
        helper.make_node("Max", ["t", "a", "b"], ["m"], "max"),
        helper.make_node("Sqrt", ["g"], ["root"], "root"),
        helper.make_node("Relu", ["m"], ["unread"], "unread"),
        helper.make_node("Shape", ["m"], ["shape"], "shape"),
        helper.make_node("Gather", ["shape", "last"], ["width"], "width"),
        helper.make_node("Concat", ["front", "width"], ["wanted"], "wanted", axis=0),
        helper.make_node("Reshape", ["m", "wanted"], ["r"], "reshape"),
        helper.make_node("ReduceMean", ["r", "axes"], ["y"], "mean"),
    ]
    constants = {
        "w": _ones(4, 2, 1, 1),
        "g": _ones(4),
        "sizes": np.array([2, 2], np.int64),
        "last": np.array([3], np.int64),
        "front": np.array([1, 1, -1], np.int64),
        "axes": np.array([-1, 2], np.int64),
    }
    return _model(nodes, constants, [1, 2, 6, "width"])


def test_each_pass_does_its_part() -> None:
    made = rewritten(_everything(), {"x": (1, 2, 6, 5)})
    assert Counter(node.op_type for node in made.graph) == {
        "Conv": 1,
        "Slice": 2,
        "Add": 2,
        "Identity": 1,
        "Max": 2,
        "Reshape": 1,
        "GlobalAveragePool": 1,
    }
    assert made.graph.outputs[0].name == "y"


@pytest.mark.parametrize("index", range(len(rewrites.PASSES)))
def test_a_wrong_pass_is_named(index: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each pass of the list, spoilt: one number of what it leaves behind is changed."""
    right = rewrites.PASSES[index]

    def wrong(model: ir.Model, shapes: object = None) -> int:
        count = right.apply(model, shapes)  # type: ignore[arg-type]
        weight = next(node.inputs[1] for node in model.graph if node.op_type == "Conv")
        assert weight is not None
        assert weight.const_value is not None
        weight.const_value = ir.tensor(weight.const_value.numpy() * np.float32(1.01), name=weight.name)
        return max(count, 1)

    spoilt = (*rewrites.PASSES[:index], Pass(right.name, wrong), *rewrites.PASSES[index + 1 :])
    monkeypatch.setattr(rewrites, "PASSES", spoilt)
    with pytest.raises(RewriteError, match=f"rewrite '{right.name}' changes output 'y'"):
        rewritten(_everything(), {"x": (1, 2, 6, 5)})


def _fusable(seed: int) -> tuple[ConvS8, TableS8]:
    layers = lower(rewritten(draw(seed))).layers
    conv = next(layer for layer in layers if isinstance(layer, ConvS8))
    table = TableS8("later", (), (conv.output,), conv.output, tuple(max(v, 3) for v in range(-128, 128)))
    return conv, table


def test_a_wrong_fusion_is_named() -> None:
    conv, table = _fusable(5)
    joined = conv.absorb(table)
    assert isinstance(joined, ConvS8)
    check_fusion(conv, table, joined)
    moved = tuple(min(v + 1, 127) for v in joined.requantizer.table or ())
    spoilt = replace(joined, requantizer=replace(joined.requantizer, table=moved))
    with pytest.raises(RewriteError, match=f"build 'later' into '{conv.name}'"):
        check_fusion(conv, table, spoilt)


def test_a_pool_is_not_built_behind_a_function_that_falls() -> None:
    """The largest of negatives is not the negative of the largest: the kernel has to refuse."""
    from toolchain.compile.kernels.pools import MaxPoolS8
    from toolchain.compile.kernels.window import Window

    conv, _ = _fusable(5)
    falling = conv.absorb(TableS8("neg", (), (conv.output,), conv.output, tuple(-v - 1 for v in range(-128, 128))))
    assert falling is not None
    window = Window(2, 2, 1, 1, 1, (2, 2), (2, 2), (1, 1), 0, 0)
    pool = MaxPoolS8("pool", (), (conv.output,), conv.output, window, None)
    assert falling.absorb(pool) is None
    forced = replace(falling, pool=window, **falling.joined(pool))
    with pytest.raises(RewriteError, match="build 'pool' into"):
        check_fusion(falling, pool, forced)
