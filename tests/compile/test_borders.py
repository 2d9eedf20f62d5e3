"""Where values get their names, meanings and types: models that differ in one of these from what exporters write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.compile.graphs import feeds
from tests.compile.running import quickly_judged
from toolchain.compile import Options
from toolchain.compile import compile as compile_model
from toolchain.compile.translate import translate
from toolchain.errors import UnsupportedError
from toolchain.load import read
from toolchain.verify import compiled, verify

FLOAT, INT8, UINT8 = TensorProto.FLOAT, TensorProto.INT8, TensorProto.UINT8
Port = tuple[str, int, list[int]]
Nodes = list[onnx.NodeProto]
ROW: list[int] = [1, 12]
X: list[Port] = [("x", FLOAT, ROW)]
Y: list[Port] = [("y", FLOAT, ROW)]
CONSTANTS: dict[str, np.ndarray] = {
    "s": np.array(0.05, np.float32),
    "z": np.array(-1, np.int8),
    "s2": np.array(0.02, np.float32),
    "z2": np.array(7, np.int8),
    "u": np.array(100, np.uint8),
}


def _node(op_type: str, inputs: str, output: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(op_type, inputs.split(), output.split(), f"{op_type}_{output.split()[0]}", **attributes)


def _q(x: str, y: str, scale: str = "s", zero: str = "z") -> onnx.NodeProto:
    return _node("QuantizeLinear", f"{x} {scale} {zero}", y)


def _dq(x: str, y: str, scale: str = "s", zero: str = "z") -> onnx.NodeProto:
    return _node("DequantizeLinear", f"{x} {scale} {zero}", y)


def _rounded(x: str, y: str, scale: str = "s", zero: str = "z") -> Nodes:
    return [_q(x, f"{y}_q", scale, zero), _dq(f"{y}_q", y, scale, zero)]


def _model(nodes: Nodes, inputs: list[Port], outputs: list[Port], opset: int = 21, **more: np.ndarray) -> ir.Model:
    graph = helper.make_graph(
        nodes,
        "borders",
        [helper.make_tensor_value_info(*port) for port in inputs],
        [helper.make_tensor_value_info(*port) for port in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in (CONSTANTS | more).items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    return read(proto.SerializeToString(), "borders")


def _integral(op_type: str, inputs: str = "a", shape: list[int] = ROW, zero: str = "z", **more: object) -> ir.Model:
    """An operator between QuantizeLinear and DequantizeLinear, on the integers."""
    constants = {key: value for key, value in more.items() if isinstance(value, np.ndarray | np.generic)}
    attributes = {key: value for key, value in more.items() if key not in constants}
    nodes = [_q("x", "a", "s", zero), _node(op_type, inputs, "b", **attributes), _dq("b", "y", "s", zero)]
    return _model(nodes, X, [("y", FLOAT, shape)], **constants)


def _two_meanings_of_a_map() -> ir.Model:
    weights = np.random.default_rng(0).integers(-127, 128, (5, 3, 2, 2)).astype(np.int8)
    nodes = [_q("x", "a"), _node("Reshape", "a r", "m"), _dq("m", "d"), _dq("m", "e", "s2", "z2")]
    nodes += [_dq("w", "v", "ws", "wz"), _node("Conv", "d v", "f"), _node("Conv", "e v", "g")]
    nodes += [*_rounded("f", "y"), *_rounded("g", "y2")]
    outputs = [("y", FLOAT, [1, 5, 3, 3]), ("y2", FLOAT, [1, 5, 3, 3])]
    r = np.array([1, 3, 4, 4])
    return _model(nodes, [("x", FLOAT, [1, 48])], outputs, w=weights, ws=np.float32(0.01), wz=np.int8(0), r=r)


def _clamps(first: tuple[float, float], then: tuple[float, float] | None) -> ir.Model:
    low, high = (np.array(value, np.float32) for value in first)
    more = {"low": low, "high": high}
    nodes = [*_rounded("x", "a"), _node("Tanh", "a", "t"), _node("Clip", "t low high", "c")]
    if then is None:
        nodes.append(_node("Relu", "c", "r"))
    else:
        nodes.append(_node("Clip", "c low2 high2", "r"))
        more |= {"low2": np.array(then[0], np.float32), "high2": np.array(then[1], np.float32)}
    return _model([*nodes, *_rounded("r", "y")], X, Y, **more)


def _tanh(*behind: onnx.NodeProto) -> Nodes:
    return [*_rounded("x", "a"), _node("Tanh", "a", "t"), *behind]


RIGHT: dict[str, Callable[[], ir.Model]] = {
    "two meanings of a row": lambda: _model(
        [
            *(_q("x", "a"), _dq("a", "d"), _dq("a", "e", "s2", "z2")),
            *(_node("Exp", "d", "f"), _node("Exp", "e", "g"), _node("Add", "f g", "y")),
        ],
        X,
        Y,
    ),
    "two meanings of a map": _two_meanings_of_a_map,
    "an input's name with _float": lambda: _model(
        [_dq("image", "image_float"), _node("Exp", "image_float", "y")], [("image", INT8, ROW)], Y
    ),
    "a name with _1": lambda: _model(
        [
            *_tanh(_q("t", "o_1"), _dq("o_1", "o_d"), _node("Slice", "a zero one one", "part"), *_rounded("part", "p")),
            *(_node("Add", "a p", "sum"), _q("sum", "o"), _dq("o", "od"), _node("Add", "od o_d", "e")),
            *_rounded("e", "y"),
        ],
        X,
        Y,
        zero=np.array([0]),
        one=np.array([1]),
    ),
    "a name with _scaled_0": lambda: _model(
        [
            *_tanh(_q("t", "o_scaled_0"), _dq("o_scaled_0", "d"), _node("Concat", "a d", "c", axis=1)),
            *(_q("c", "o", "s2", "z2"), _dq("o", "od", "s2", "z2"), _node("Concat", "od d", "e", axis=1)),
            *_rounded("e", "y"),
        ],
        X,
        [("y", FLOAT, [1, 36])],
    ),
    "a name with _upto_0": lambda: _model([_node("Tanh", "x", "y_upto_0"), _node("Sum", "x x y_upto_0", "y")], X, Y),
    "a name with _slice_start": lambda: _model(
        [
            _node("Split", "x", "a b", axis=1, num_outputs=2),
            _node("Slice", "x a_slice_start end axis", "c"),
            *(_node("Add", "a b", "d"), _node("Add", "d c", "y")),
        ],
        X,
        [("y", FLOAT, [1, 6])],
        a_slice_start=np.array([1]),
        end=np.array([7]),
        axis=np.array([1]),
    ),
    "clamps apart, Relu last": lambda: _clamps((-6, -0.5), None),
    "clamps apart, Clip last": lambda: _clamps((0, 0.3), (0.5, 0.9)),
    "clamps apart, the lower last": lambda: _clamps((0.5, 0.9), (0, 0.3)),
    "clamps that overlap": lambda: _clamps((-0.2, 0.6), (0.1, 0.9)),
    "a clamp turned round": lambda: _clamps((0.6, -0.2), (-0.5, 0.9)),
    "Pad of integers": lambda: _integral("Pad", "a p", [1, 15], p=np.array([0, 1, 0, 2])),
    "Pad of integers by a number": lambda: _integral("Pad", "a p v", [1, 15], p=np.array([0, 1, 0, 2]), v=np.int8(9)),
    "Pad of unsigned": lambda: _integral("Pad", "a p", [1, 15], "u", p=np.array([0, 1, 0, 2])),
    "Relu of integers": lambda: _integral("Relu"),
    "Clip of integers": lambda: _integral("Clip", "a low high", low=np.int8(-20), high=np.int8(20)),
    "Clip of unsigned": lambda: _integral("Clip", "a low high", zero="u", low=np.uint8(90), high=np.uint8(120)),
    "Concat of integers of two scales": lambda: _model(
        [_q("x", "a"), _q("x", "b", "s2", "z2"), _node("Concat", "a b", "c", axis=1), _dq("c", "y")],
        X,
        [("y", FLOAT, [1, 24])],
    ),
    "a view that is an output, rounded again": lambda: _model(
        [*_rounded("x", "a", "t1", "t0"), _node("Flatten", "a", "f"), *_rounded("f", "y", "t2", "t0")],
        [("x", FLOAT, [1, 2, 32])],
        [("y", FLOAT, [1, 64]), ("f", FLOAT, [1, 64])],
        t1=np.float32(0.1),
        t2=np.float32(0.2),
        t0=np.int8(0),
    ),
    "two equal roundings as outputs": lambda: _model(
        _tanh(_q("t", "y"), _q("t", "y2")), X, [("y", INT8, ROW), ("y2", INT8, ROW)]
    ),
    "a scalar": lambda: _model(
        [_node("ReduceMean", "x", "m", keepdims=0), _node("Tanh", "m", "y")], X, [("y", FLOAT, [])]
    ),
}


@pytest.mark.parametrize("name", list(RIGHT))
def test_the_answer_is_right(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "FLAGS", ("-O0",))
    model = RIGHT[name]()
    found = verify(model, backend="c", synthetic=4)
    assert found.ok, found.defects
    given = [{model.graph.inputs[0].name or "": sample["image"]} for sample in feeds(model, 8, 0)]
    verdict = quickly_judged(model, given, tmp_path / "c", ("-O1",), fused=True)
    assert verdict.differing == 0, verdict.layers


def _ports(outputs: list[Port], *behind: onnx.NodeProto) -> ir.Model:
    return _model(_tanh(*behind), X, outputs)


PORTS: dict[str, Callable[[], ir.Model]] = {
    "two outputs of one tensor": lambda: _ports(
        [("y", FLOAT, ROW), ("y2", FLOAT, ROW)], _q("t", "o"), _dq("o", "y"), _dq("o", "y2", "s2", "z2")
    ),
    "an output that is read": lambda: _ports(
        [("y", FLOAT, ROW), ("y2", FLOAT, ROW)],
        *(_q("t", "o"), _dq("o", "y"), _node("Relu", "y", "r"), *_rounded("r", "y2", "s2", "z2")),
    ),
    "an output beside its integers": lambda: _ports([("y", FLOAT, ROW), ("o", INT8, ROW)], _q("t", "o"), _dq("o", "y")),
    "an input's integers as an output": lambda: _ports([("y", FLOAT, ROW), ("a_q", INT8, ROW)], *_rounded("t", "y")),
}


@pytest.mark.parametrize("name", list(PORTS))
def test_integers_in_and_out_are_those_of_the_model(name: str, tmp_path: Path) -> None:
    """What the network gives are the integers that the whole model rounds its own results to."""
    from toolchain.compile.ports import integer_ports
    from toolchain.integers import IntegerReference

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


def _normalized(opset: int, shape: tuple[int, ...], **attributes: object) -> ir.Model:
    ones = np.full(shape, 0.5, np.float32)
    outputs = "y mean variance" if "training_mode" in attributes else "y"
    return _model(
        [_node("Conv", "x w", "c"), _node("BatchNormalization", "c k k k k", outputs, **attributes)],
        [("x", FLOAT, [1, 2, 4, 4])],
        [("y", FLOAT, [1, 3, 4, 4])],
        opset,
        w=np.ones((3, 2, 1, 1), np.float32),
        k=ones,
    )


def _matrices(a: list[int], b: list[int], shape: list[int]) -> ir.Model:
    nodes = [_node("Reshape", "x ra", "a"), _node("Reshape", "x rb", "b"), _node("MatMul", "a b", "y")]
    return _model(nodes, X, [("y", FLOAT, shape)], ra=np.array(a), rb=np.array(b))


REFUSED: dict[str, tuple[Callable[[], ir.Model], str]] = {
    "Neg of integers": (lambda: _integral("Neg"), "8-bit integers themselves"),
    "Add of integers": (lambda: _integral("Add", "a a"), "8-bit integers themselves"),
    "stacks that are repeated": (lambda: _matrices([2, 1, 3, 2], [1, 2, 2, 3], [2, 2, 3, 3]), "as many matrices"),
    "a column as addend": (
        lambda: _model(
            [_node("Reshape", "x r", "v"), _node("Gemm", "v m b", "y")],
            X,
            [("y", FLOAT, [3, 3])],
            r=np.array([3, 4]),
            m=np.ones((4, 3), np.float32),
            b=np.ones((3, 1), np.float32),
        ),
        "all rows share",
    ),
    "Cast to integers": (
        lambda: _model([_node("Cast", "x", "i", to=TensorProto.INT32), _node("Cast", "i", "y", to=FLOAT)], X, Y),
        "its result is INT32",
    ),
    "Cast to half floats": (
        lambda: _model([_node("Cast", "x", "i", to=TensorProto.FLOAT16), _node("Cast", "i", "y", to=FLOAT)], X, Y),
        "its result is FLOAT16",
    ),
    "a mask": (
        lambda: _model(
            [_node("Tanh", "x", "t"), _node("Dropout", "t", "y mask")], X, [*Y, ("mask", TensorProto.BOOL, ROW)]
        ),
        "'mask' is used",
    ),
    "nothing": (
        lambda: _model(
            [_node("Slice", "x one one one", "e"), _node("Concat", "e x", "y", axis=1)], X, Y, one=np.array([1])
        ),
        "is empty",
    ),
    "training": (lambda: _normalized(15, (3,), training_mode=1), "training"),
    "statistics of every element": (lambda: _normalized(7, (3, 4, 4), spatial=0), "every element"),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_has_no_kernel_is_refused(name: str) -> None:
    model, message = REFUSED[name]
    with pytest.raises(UnsupportedError, match=message):
        translate(model(), "net")


def test_matrices_behind_axes_of_one() -> None:
    model = _matrices([1, 2, 3, 2], [2, 2, 3], [1, 2, 3, 3])
    assert verify(model, backend="c", synthetic=3).ok
