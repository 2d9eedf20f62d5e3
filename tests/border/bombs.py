"""Attacks that a small file makes enormous: operators that grow, and attributes that mean nothing."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.border.attack import FLOAT, Group, model, value
from tests.border.graphs import node

BOMBS = Group("operators")
INT64 = np.int64
HUGE = [2**31, 2**31]
RELU = node("Relu", ["x"], ["y"])


def named(**arrays: object) -> list[TensorProto]:
    """Initializers by name."""
    return [numpy_helper.from_array(np.asarray(a), name) for name, a in arrays.items()]


def chain(operator: str, count: int, **attributes: object) -> onnx.ModelProto:
    """One operator again and again."""
    nodes = [node(operator, [f"t{i}"], [f"t{i + 1}"], **attributes) for i in range(count)]
    ends = [node("Identity", ["x"], ["t0"]), *nodes, node("Identity", [f"t{count}"], ["y"])]
    return model(ends, inputs=[value("x", 1, 4, 8, 8)])


def zero_beside() -> onnx.ModelProto:
    """A tensor of no elements whose other dimension doubles in length at each Tile."""
    nodes = [*(node("Tile", [f"t{i}", "r"], [f"t{i + 1}"]) for i in range(400)), node("Relu", ["t400"], ["y"])]
    return model(nodes, named(r=np.array([1, 2**62])), inputs=[value("t0", 0, 1)])


def grown(
    operator: str, *inputs: str, x: tuple[int, ...] = (2,), arrays: dict[str, object], **more: object
) -> onnx.ModelProto:
    """One node, with weights."""
    return model([node(operator, [*inputs], ["y"], **more)], named(**arrays), inputs=[value("x", *x)])


def bomb(title: str, made: onnx.ModelProto, word: str = "takes more than") -> None:
    """State one that is refused."""
    BOMBS.unsafe(title, word, lambda _: made)


def fill(shape: list[int]) -> onnx.ModelProto:
    return grown("ConstantOfShape", "s", arrays={"s": np.array(shape, INT64)})


bomb("ConstantOfShape of 16 EiB", fill(HUGE))
bomb("ConstantOfShape whose size overflows to 0", fill([2**32, 2**32]))
bomb("ConstantOfShape with 40 dimensions", fill([1] * 40), "dimensions")
bomb("Expand to 16 EiB", grown("Expand", "x", "s", x=(1, 1), arrays={"s": np.array(HUGE, INT64)}))
bomb("Tile to 16 EiB", grown("Tile", "x", "s", x=(1, 1), arrays={"s": np.array(HUGE, INT64)}))
bomb("Tiles of nothing whose other side grows without end", zero_beside())
bomb(
    "Range of 2^62 numbers",
    grown(
        "Range", "a", "b", "c", arrays={"a": np.array(0, INT64), "b": np.array(2**62, INT64), "c": np.array(1, INT64)}
    ),
)
bomb(
    "Resize by 1,000,000",
    grown("Resize", "x", "", "s", x=(1, 1, 8, 8), arrays={"s": np.array([1, 1, 1e6, 1e6], np.float32)}),
)
bomb(
    "Resize to 2^40",
    grown("Resize", "x", "", "", "s", x=(1, 1, 8, 8), arrays={"s": np.array([1, 1, 2**20, 2**20], INT64)}),
)
bomb("Pad by 2^40", grown("Pad", "x", "p", arrays={"p": np.array([0, 2**40], INT64)}))
bomb(
    "Conv with pads of 2^30",
    grown("Conv", "x", "w", x=(1, 1, 8, 8), arrays={"w": np.zeros((1, 1, 1, 1), np.float32)}, pads=[2**30] * 4),
)
bomb(
    "MaxPool with pads of 2^30",
    model(
        [node("MaxPool", ["x"], ["y"], kernel_shape=[2**30 + 1] * 2, pads=[2**30] * 4)], inputs=[value("x", 1, 1, 8, 8)]
    ),
)
bomb(
    "ConvTranspose with strides of 2^30",
    grown(
        "ConvTranspose", "x", "w", x=(1, 1, 8, 8), arrays={"w": np.zeros((1, 1, 1, 1), np.float32)}, strides=[2**30] * 2
    ),
)
bomb(
    "a broadcast of two long sides",
    grown("Add", "x", "b", x=(100_000, 1), arrays={"b": np.zeros((1, 100_000), np.float32)}),
)
bomb("an outer product", grown("MatMul", "x", "b", x=(100_000, 1), arrays={"b": np.zeros((1, 100_000), np.float32)}))
bomb("an input of 16 EiB", model(inputs=[value("x", *HUGE)]))
bomb("Concat of a tensor with itself, doubling", model(
    [*(node("Concat", [f"t{i}"] * 2, [f"t{i + 1}"], axis=0) for i in range(40)), RELU],
    named(t0=np.zeros(2, np.float32)),
))  # fmt: skip
bomb("Unsqueeze to 64 dimensions", model(
    [*(node("Unsqueeze", [f"t{i}", "a"], [f"t{i + 1}"]) for i in range(64)), RELU],
    named(t0=np.float32(0), a=np.array([0])),
), "dimensions")  # fmt: skip
bomb(
    "a stated type of 16 EiB behind an unknown operator",
    (lambda made: (made.graph.value_info.append(value("u", *HUGE)), made)[1])(
        model([node("Unknown", ["x"], ["u"], domain="local"), node("Relu", ["u"], ["y"])])
    ),
)


def quiet(title: str, made: onnx.ModelProto) -> None:
    """State one that is read: the reference refuses the node, and with it every verb that would run the model."""
    BOMBS.harmless(title, lambda _: made)


def conv(**attributes: object) -> onnx.ModelProto:
    return grown("Conv", "x", "w", x=(1, 1, 8, 8), arrays={"w": np.zeros((1, 1, 3, 3), np.float32)}, **attributes)


for _name, _values in (
    ("strides", [0, 0]), ("strides", [-1, -1]), ("dilations", [0, 0]), ("kernel_shape", [0, 0]), ("pads", [-9] * 4),
    ("strides", [2**63 - 1] * 2), ("dilations", [2**63 - 1] * 2), ("kernel_shape", [3]), ("pads", []),
):  # fmt: skip
    quiet(f"Conv with {_name} {_values}", conv(**{_name: _values} if _values else {}))
for _group in (0, -1, 2**62):
    quiet(f"Conv with group {_group}", conv(group=_group))
for _name, _values in (("strides", [0, 0]), ("dilations", [0, 0]), ("kernel_shape", [0, 0])):
    quiet(f"MaxPool with {_name} {_values}", model(
        [node("MaxPool", ["x"], ["y"], **{"kernel_shape": [2, 2], _name: _values})], inputs=[value("x", 1, 1, 8, 8)]
    ))  # fmt: skip
quiet(
    "OneHot of depth 2^40",
    grown(
        "OneHot",
        "i",
        "d",
        "v",
        arrays={"i": np.array([0], INT64), "d": np.array(2**40, INT64), "v": np.array([0.0, 1.0], np.float32)},
    ),
)
quiet("Concat along axis 2^62", model([node("Concat", ["x", "x"], ["y"], axis=2**62)]))
quiet("Flatten at axis -2^63", model([node("Flatten", ["x"], ["y"], axis=-(2**63))]))
quiet("Reshape to a negative size", grown("Reshape", "x", "s", arrays={"s": np.array([-5], INT64)}))
quiet("Reshape with two free sizes", grown("Reshape", "x", "s", arrays={"s": np.array([-1, -1], INT64)}))
quiet("Slice with steps of 0", grown("Slice", "x", "a", "a", "a", "a", arrays={"a": np.array([0], INT64)}))
quiet("Range with a step of 0", grown("Range", "a", "b", "a", arrays={"a": np.array(0), "b": np.array(1)}))
quiet("Resize by NaN", grown("Resize", "x", "", "s", x=(1, 1, 8, 8), arrays={"s": np.array([np.nan] * 4, np.float32)}))
quiet("Resize by a negative factor", grown("Resize", "x", "", "s", arrays={"s": np.array([-1.0], np.float32)}))
quiet(
    "a Loop of 2^62 rounds",
    model(
        [
            node(
                "Loop",
                ["n", "c"],
                ["y"],
                body=helper.make_graph(
                    [node("Identity", ["k"], ["l"])],
                    "b",
                    [value("i", kind=7), value("k", kind=9)],
                    [value("l", kind=9)],
                ),
            )
        ],
        named(n=np.array(2**62), c=np.array(True)),
    ),
)


def scaled(operator: str, scale: object) -> onnx.ModelProto:
    """A node with a scale, or with 200 along the second dimension."""
    zero = np.zeros(np.shape(scale), np.int8)
    kind = TensorProto.INT8 if operator == "DequantizeLinear" else FLOAT
    arrays = named(s=np.asarray(scale, np.float32), z=zero)
    return model([node(operator, ["x", "s", "z"], ["y"])], arrays, inputs=[value("x", 2, 200, kind=kind)])


for _scale in (float("nan"), float("inf"), -1.0):
    for _operator in ("QuantizeLinear", "DequantizeLinear"):
        BOMBS.broken(f"{_operator} with scale {_scale}", "scale", lambda _, o=_operator, s=_scale: scaled(o, s))
BOMBS.broken("QuantizeLinear with scale 0", "more than 0", lambda _: scaled("QuantizeLinear", 0.0))
BOMBS.broken("one NaN among 200 scales", "nan", lambda _: scaled("DequantizeLinear", [1.0] * 199 + [float("nan")]))
BOMBS.harmless("DequantizeLinear with scale 0", lambda _: scaled("DequantizeLinear", 0.0))
