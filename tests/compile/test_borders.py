"""Where values get their names, meanings and types: models that differ in one of these from what exporters write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.compile.graphs import feeds
from tests.compile.running import quickly_judged
from tests.compile.small import CONSTANTS, FLOAT, INT8, ROW, Port, X, Y, dq, model, node, q, rounded, tanh
from toolchain.compile.translate import translate
from toolchain.errors import UnsupportedError
from toolchain.verify import compiled, verify


def _integral(op_type: str, inputs: str = "a", shape: list[int] = ROW, zero: str = "z", **more: object) -> ir.Model:
    """An operator between QuantizeLinear and DequantizeLinear, on the integers."""
    constants = {key: value for key, value in more.items() if isinstance(value, np.ndarray | np.generic)}
    attributes = {key: value for key, value in more.items() if key not in constants}
    nodes = [q("x", "a", "s", zero), node(op_type, inputs, "b", **attributes), dq("b", "y", "s", zero)]
    return model(nodes, X, [("y", FLOAT, shape)], **constants)


def _two_meanings_of_a_map() -> ir.Model:
    weights = np.random.default_rng(0).integers(-127, 128, (5, 3, 2, 2)).astype(np.int8)
    nodes = [q("x", "a"), node("Reshape", "a r", "m"), dq("m", "d"), dq("m", "e", "s2", "z2")]
    nodes += [dq("w", "v", "ws", "wz"), node("Conv", "d v", "f"), node("Conv", "e v", "g")]
    nodes += [*rounded("f", "y"), *rounded("g", "y2")]
    outputs = [("y", FLOAT, [1, 5, 3, 3]), ("y2", FLOAT, [1, 5, 3, 3])]
    r = np.array([1, 3, 4, 4])
    return model(nodes, [("x", FLOAT, [1, 48])], outputs, w=weights, ws=np.float32(0.01), wz=np.int8(0), r=r)


def _clamps(first: tuple[float, float], then: tuple[float, float] | None) -> ir.Model:
    low, high = (np.array(value, np.float32) for value in first)
    more = {"low": low, "high": high}
    nodes = [*rounded("x", "a"), node("Tanh", "a", "t"), node("Clip", "t low high", "c")]
    if then is None:
        nodes.append(node("Relu", "c", "r"))
    else:
        nodes.append(node("Clip", "c low2 high2", "r"))
        more |= {"low2": np.array(then[0], np.float32), "high2": np.array(then[1], np.float32)}
    return model([*nodes, *rounded("r", "y")], X, Y, **more)


MAP: list[Port] = [("x", FLOAT, [1, 3, 16, 16])]
TIES = {"t1": np.float32(0.029180584), "t2": np.float32(0.058361168), "t0": np.int8(0)}
"""Scales that make ties of every other integer, and have so many digits that no float holds the product."""
TWICE = np.array([1, 1, 2, 2], np.float32)
NEAREST = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
MOVED: dict[str, tuple[str, str, list[int], dict[str, object], dict[str, np.ndarray]]] = {
    "Resize": ("Resize", "a  by", [1, 3, 32, 32], NEAREST, {"by": TWICE}),
    "Pad": ("Pad", "a by", [1, 3, 17, 17], {}, {"by": np.array([0, 0, 1, 0, 0, 0, 0, 1])}),
    "Pad with an edge": ("Pad", "a by", [1, 3, 17, 16], {"mode": "edge"}, {"by": np.array([0, 0, 1, 0, 0, 0, 0, 0])}),
    "Pad by what is no level": ("Pad", "a by v", [1, 3, 17, 16], {}, {"by": np.array([0, 0, 1, 0, 0, 0, 0, 0])}),
    "Transpose": ("Transpose", "a", [1, 16, 3, 16], {"perm": [0, 2, 1, 3]}, {}),
    "MaxPool": ("MaxPool", "a", [1, 3, 15, 15], {"kernel_shape": [2, 2]}, {}),
    "ReduceMax of one axis": ("ReduceMax", "a by", [1, 3, 1, 16], {}, {"by": np.array([2])}),
}


def _moved_and_rounded(
    op_type: str, inputs: str, shape: list[int], attributes: dict[str, object], more: dict[str, np.ndarray]
) -> ir.Model:
    """A result that is a graph output, is rounded at another scale, and at its own."""
    node = helper.make_node(op_type, inputs.split(" "), ["c"], op_type, **attributes)
    nodes = [*rounded("x", "a", "t1", "t0"), node, *rounded("c", "y", "t2", "t0"), *rounded("c", "y2", "t1", "t0")]
    outputs = [(name, FLOAT, shape) for name in ("c", "y", "y2")]
    return model(nodes, MAP, outputs, v=np.array(0.04, np.float32), **TIES, **more)


def _named(first: str, second: str) -> ir.Model:
    """A Relu that is built into the Tanh before it, and a later node of some name."""
    nodes = [*rounded("x", "a"), helper.make_node("Tanh", ["a"], ["t"], "t")]
    nodes += [helper.make_node("Relu", ["t"], ["r"], first), *rounded("r", "b")]
    nodes += [helper.make_node("Exp", ["b"], ["e"], second), *rounded("e", "y")]
    return model(nodes, X, Y)


RIGHT: dict[str, Callable[[], ir.Model]] = {
    "two meanings of a row": lambda: model(
        [
            *(q("x", "a"), dq("a", "d"), dq("a", "e", "s2", "z2")),
            *(node("Exp", "d", "f"), node("Exp", "e", "g"), node("Add", "f g", "y")),
        ],
        X,
        Y,
    ),
    "two meanings of a map": _two_meanings_of_a_map,
    "an input's name with _float": lambda: model(
        [dq("image", "image_float"), node("Exp", "image_float", "y")], [("image", INT8, ROW)], Y
    ),
    "a name with _1": lambda: model(
        [
            *tanh(q("t", "o_1"), dq("o_1", "o_d"), node("Slice", "a zero one one", "part"), *rounded("part", "p")),
            *(node("Add", "a p", "sum"), q("sum", "o"), dq("o", "od"), node("Add", "od o_d", "e")),
            *rounded("e", "y"),
        ],
        X,
        Y,
        zero=np.array([0]),
        one=np.array([1]),
    ),
    "a name with _scaled_0": lambda: model(
        [
            *tanh(q("t", "o_scaled_0"), dq("o_scaled_0", "d"), node("Concat", "a d", "c", axis=1)),
            *(q("c", "o", "s2", "z2"), dq("o", "od", "s2", "z2"), node("Concat", "od d", "e", axis=1)),
            *rounded("e", "y"),
        ],
        X,
        [("y", FLOAT, [1, 36])],
    ),
    "a name with _upto_0": lambda: model([node("Tanh", "x", "y_upto_0"), node("Sum", "x x y_upto_0", "y")], X, Y),
    "a name with _slice_start": lambda: model(
        [
            node("Split", "x", "a b", axis=1, num_outputs=2),
            node("Slice", "x a_slice_start end axis", "c"),
            *(node("Add", "a b", "d"), node("Add", "d c", "y")),
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
    "Concat of integers of two scales": lambda: model(
        [q("x", "a"), q("x", "b", "s2", "z2"), node("Concat", "a b", "c", axis=1), dq("c", "y")],
        X,
        [("y", FLOAT, [1, 24])],
    ),
    "a view that is an output, rounded again": lambda: model(
        [*rounded("x", "a", "t1", "t0"), node("Flatten", "a", "f"), *rounded("f", "y", "t2", "t0")],
        [("x", FLOAT, [1, 2, 32])],
        [("y", FLOAT, [1, 64]), ("f", FLOAT, [1, 64])],
        t1=np.float32(0.1),
        t2=np.float32(0.2),
        t0=np.int8(0),
    ),
    "two equal roundings as outputs": lambda: model(
        tanh(q("t", "y"), q("t", "y2")), X, [("y", INT8, ROW), ("y2", INT8, ROW)]
    ),
    **{
        f"{name}, an output and rounded again": lambda args=args: _moved_and_rounded(*args)
        for name, args in MOVED.items()
    },
    "MaxPool, an output": lambda: model(
        [*rounded("x", "a"), node("MaxPool", "a", "y", kernel_shape=[2, 2])], MAP, [("y", FLOAT, [1, 3, 15, 15])]
    ),
    "floats of two scales, rounded": lambda: model(
        [
            *(q("x", "i", "t1", "t0"), dq("i", "a", "t1", "t0"), dq("i", "b", "t2", "t0")),
            *(node("Concat", "a b", "c", axis=1), *rounded("c", "y", "t2", "t0")),
        ],
        MAP,
        [("y", FLOAT, [1, 6, 16, 16]), ("c", FLOAT, [1, 6, 16, 16])],
        **TIES,
    ),
    "Relu of floats, rounded twice": lambda: model(
        [
            *(*rounded("x", "a", "t1", "t0"), node("Relu", "a", "c")),
            *(*rounded("c", "y", "t2", "t0"), *rounded("c", "y2", "t1", "t0")),
        ],
        MAP,
        [("y", FLOAT, MAP[0][2]), ("y2", FLOAT, MAP[0][2])],
        **TIES,
    ),
    "two nodes of one name": lambda: _named("act", "act"),
    "a name that another node has without one": lambda: _named("QuantizeLinear_3", ""),
    "a Sum's name and one more": lambda: model(
        [
            *(*rounded("x", "a"), helper.make_node("Sum", ["a", "a"], ["t"], "S")),
            *(helper.make_node("Relu", ["t"], ["r"], "S_0"), *rounded("r", "y")),
        ],
        X,
        Y,
    ),
    "ports that differ in case": lambda: model([node("Tanh", "x", "X")], X, [("X", FLOAT, ROW)]),
    "nodes named like kernels": lambda: model(
        [
            helper.make_node("Tanh", ["x"], ["int8_t"], "unary_f32"),
            helper.make_node("Exp", ["int8_t"], ["INT32_MAX"], "ACTIVATION_NONE"),
            helper.make_node("Relu", ["INT32_MAX"], ["network_X_SIZE"], "network_run"),
            helper.make_node("Tanh", ["network_X_SIZE"], ["y"], "net_observe"),
        ],
        X,
        Y,
    ),
    "an input that nobody reads": lambda: model([node("Tanh", "x", "y")], [*X, ("other", FLOAT, ROW)], Y),
    "a part of a Split without a name": lambda: model(
        [helper.make_node("Split", ["x", "sizes"], ["", "b"], "split", axis=1), node("Tanh", "b", "y")],
        X,
        [("y", FLOAT, [1, 7])],
        sizes=np.array([5, 7]),
    ),
    "a Sum of constants": lambda: model([node("Sum", "k k x", "y")], X, Y, k=np.ones(ROW, np.float32)),
    "scales as Constant nodes": lambda: model(
        [
            *(helper.make_node("Constant", [], [f"c{n}"], value=numpy_helper.from_array(CONSTANTS[n])) for n in "sz"),
            *tanh(*rounded("t", "y", "cs", "cz")),
        ],
        X,
        Y,
    ),
    "a scalar": lambda: model(
        [node("ReduceMean", "x", "m", keepdims=0), node("Tanh", "m", "y")], X, [("y", FLOAT, [])]
    ),
}


@pytest.mark.parametrize("name", list(RIGHT))
def test_the_answer_is_right(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "FLAGS", ("-O0",))
    model = RIGHT[name]()
    found = verify(model, backend="c", synthetic=4)
    assert found.ok, found.defects
    name_, *others = (value.name or "" for value in model.graph.inputs)
    unread = {other: np.zeros(ROW, np.float32) for other in others}
    given = [{name_: sample["image"], **unread} for sample in feeds(model, 8, 0)]
    verdict = quickly_judged(model, given, tmp_path / "c", ("-O1",), fused=True)
    assert verdict.differing == 0, verdict.layers


def _normalized(opset: int, shape: tuple[int, ...], **attributes: object) -> ir.Model:
    ones = np.full(shape, 0.5, np.float32)
    outputs = "y mean variance" if "training_mode" in attributes else "y"
    return model(
        [node("Conv", "x w", "c"), node("BatchNormalization", "c k k k k", outputs, **attributes)],
        [("x", FLOAT, [1, 2, 4, 4])],
        [("y", FLOAT, [1, 3, 4, 4])],
        opset,
        w=np.ones((3, 2, 1, 1), np.float32),
        k=ones,
    )


def _eighths(shape: tuple[int, ...]) -> np.ndarray:
    """float8 numbers between integers."""
    return np.full(shape, 0.375).astype(ml_dtypes.float8_e4m3fn)


def _matrices(a: list[int], b: list[int], shape: list[int]) -> ir.Model:
    nodes = [node("Reshape", "x ra", "a"), node("Reshape", "x rb", "b"), node("MatMul", "a b", "y")]
    return model(nodes, X, [("y", FLOAT, shape)], ra=np.array(a), rb=np.array(b))


REFUSED: dict[str, tuple[Callable[[], ir.Model], str]] = {
    "Neg of integers": (lambda: _integral("Neg"), "8-bit integers themselves"),
    "Add of integers": (lambda: _integral("Add", "a a"), "8-bit integers themselves"),
    "stacks that are repeated": (lambda: _matrices([2, 1, 3, 2], [1, 2, 2, 3], [2, 2, 3, 3]), "as many matrices"),
    "a column as addend": (
        lambda: model(
            [node("Reshape", "x r", "v"), node("Gemm", "v m b", "y")],
            X,
            [("y", FLOAT, [3, 3])],
            r=np.array([3, 4]),
            m=np.ones((4, 3), np.float32),
            b=np.ones((3, 1), np.float32),
        ),
        "all rows share",
    ),
    "float8 weights": (
        lambda: model(
            [*rounded("x", "a"), dq("w", "v", "s", "f"), node("MatMul", "a v", "c"), *rounded("c", "y")],
            X,
            [("y", FLOAT, [1, 4])],
            w=_eighths((12, 4)),
            f=_eighths(()),
        ),
        "weights are no integers",
    ),
    "a constant part of a Concat": (
        lambda: model([node("Concat", "x k", "y", axis=1)], X, [("y", FLOAT, [1, 24])], k=np.ones(ROW, np.float32)),
        "input 1 is a constant",
    ),
    "Cast to integers": (
        lambda: model([node("Cast", "x", "i", to=TensorProto.INT32), node("Cast", "i", "y", to=FLOAT)], X, Y),
        "its result is INT32",
    ),
    "Cast to half floats": (
        lambda: model([node("Cast", "x", "i", to=TensorProto.FLOAT16), node("Cast", "i", "y", to=FLOAT)], X, Y),
        "its result is FLOAT16",
    ),
    "a mask": (
        lambda: model(
            [node("Tanh", "x", "t"), node("Dropout", "t", "y mask")], X, [*Y, ("mask", TensorProto.BOOL, ROW)]
        ),
        "'mask' is used",
    ),
    "nothing": (
        lambda: model(
            [node("Slice", "x one one one", "e"), node("Concat", "e x", "y", axis=1)], X, Y, one=np.array([1])
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
