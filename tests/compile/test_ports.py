"""Integers in and out: ports that are shared, read again, or the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from tests.compile.small import FLOAT, INT8, ROW, Port, X, dq, model, node, q, rounded, tanh
from toolchain.compile import Options
from toolchain.compile import compile as compile_model
from toolchain.compile.ports import integer_ports
from toolchain.integers import IntegerReference


def _ports(outputs: list[Port], *behind: onnx.NodeProto) -> ir.Model:
    return model(tanh(*behind), X, outputs)


PORTS: dict[str, Callable[[], ir.Model]] = {
    "two outputs of one tensor": lambda: _ports(
        [("y", FLOAT, ROW), ("y2", FLOAT, ROW)], q("t", "o"), dq("o", "y"), dq("o", "y2", "s2", "z2")
    ),
    "an output that is read": lambda: _ports(
        [("y", FLOAT, ROW), ("y2", FLOAT, ROW)],
        *(q("t", "o"), dq("o", "y"), node("Relu", "y", "r"), *rounded("r", "y2", "s2", "z2")),
    ),
    "an output beside its integers": lambda: _ports([("y", FLOAT, ROW), ("o", INT8, ROW)], q("t", "o"), dq("o", "y")),
    "an input's integers as an output": lambda: _ports([("y", FLOAT, ROW), ("a_q", INT8, ROW)], *rounded("t", "y")),
}


@pytest.mark.parametrize("name", list(PORTS))
def test_integers_in_and_out_are_those_of_the_model(name: str, tmp_path: Path) -> None:
    """What the network gives are the integers that the whole model rounds its own results to."""

    model = PORTS[name]()
    inner, entries = integer_ports(model)
    x = np.linspace(-7, 7, 12, dtype=np.float32).reshape(1, 12)
    whole = IntegerReference(model).run({"x": x})
    got = IntegerReference(inner).run({"x": entries["x"].integers(x)})
    for value in model.graph.outputs:
        name_ = value.name or ""
        quantized = whole[name_] if whole[name_].dtype == np.int8 else whole[_source(model, name_)]
        np.testing.assert_array_equal(got[name_], quantized)
    made = compile_model(model, output=tmp_path / "c", options=Options(name="net", io="int8"), run=True, synthetic=8)
    assert made.ok


def _source(model: ir.Model, name: str) -> str:
    """The integers that a DequantizeLinear reads."""
    node = next(node for node in model.graph if node.outputs[0].name == name)
    assert node.op_type == "DequantizeLinear"
    source = node.inputs[0]
    assert source is not None
    return source.name or ""
