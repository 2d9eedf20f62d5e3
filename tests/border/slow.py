"""The most that is read from a file of one MiB: each at the edge of a limit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.border.attack import FLOAT, MIB, Group, model, value
from tests.border.bombs import chain, named
from tests.border.graphs import doubling, node, wide
from toolchain.allowance import Allowance, Part
from toolchain.ops import registry

SLOW = Group("as much as is allowed")
NODES = Allowance().of(Part.NODES)
PARTS = Allowance().of(Part.PARTS)
FIELDS = Allowance().of(Part.FIELDS)
CONV = {"kernel_shape": [1, 1], "strides": [1, 1], "pads": [0, 0, 0, 0], "dilations": [1, 1], "group": 1}


def convolutions() -> onnx.ModelProto:
    """With every attribute written out."""
    count = FIELDS // 34
    nodes = [node("Conv", [f"t{i}", "w", "b"], [f"t{i + 1}"], **CONV) for i in range(count)]
    ends = [node("Identity", ["x"], ["t0"]), *nodes, node("Identity", [f"t{count}"], ["y"])]
    weights = named(w=np.zeros((4, 4, 1, 1), np.float32), b=np.zeros(4, np.float32))
    return model(ends, weights, inputs=[value("x", 1, 4, 8, 8)])


def quantized() -> onnx.ModelProto:
    """Each QuantizeLinear and DequantizeLinear with a scale and a zero point of its own."""
    nodes, arrays, count = [], {}, PARTS // 18 - 2
    for i in range(count):
        nodes.append(node("QuantizeLinear", [f"t{i}", f"s{i}", f"z{i}"], [f"q{i}"]))
        nodes.append(node("DequantizeLinear", [f"q{i}", f"s{i}", f"z{i}"], [f"t{i + 1}"]))
        arrays |= {f"s{i}": np.float32(0.5), f"z{i}": np.int8(1)}
    ends = [node("Identity", ["x"], ["t0"]), *nodes, node("Identity", [f"t{count}"], ["y"])]
    return model(ends, named(**arrays), inputs=[value("x", 1, 4, 8, 8)])


def weights() -> onnx.ModelProto:
    """Of 64 values each, the largest whose content is carried along."""
    return model(None, named(**{f"w{i}": np.ones(64, np.float32) for i in range(PARTS // 2 - 10)}))


def constants() -> onnx.ModelProto:
    """Constant nodes that nothing reads."""
    tensor = helper.make_tensor("", FLOAT, [64], bytes(256), raw=True)
    nodes = [node("Constant", [], [f"c{i}"], value=tensor) for i in range(PARTS // 8 - 5)]
    return model([*nodes, node("Relu", ["x"], ["y"])])


def folded(operator: str, size: int, **attributes: object) -> onnx.ModelProto:
    """Constants that shape inference computes with."""
    count = PARTS // (5 + len(attributes)) - 10
    nodes = [node(operator, ["a", "a"], [f"c{i}"], **attributes) for i in range(min(count, NODES - 2))]
    return model([*nodes, node("Relu", ["x"], ["y"])], named(a=np.ones(size, np.int64)))


def filled() -> onnx.ModelProto:
    """Constants of 4,096 values out of one number."""
    nodes = [node("ConstantOfShape", ["s"], [f"c{i}"]) for i in range(NODES - 2)]
    return model([*nodes, node("Relu", ["x"], ["y"])], named(s=np.array([4096])))


def names() -> onnx.ModelProto:
    """One Sum of as many names as there may be fields."""
    return model([node("Sum", ["x"] * (FIELDS - 60), ["y"])])


def stated() -> onnx.ModelProto:
    """Types with a shape, for names that nothing computes."""
    proto = model()
    proto.graph.value_info.extend([value(f"v{i}", 1) for i in range(FIELDS // 9)])
    return proto


def ranks() -> onnx.ModelProto:
    """Tensors of 32 dimensions."""
    count = 800
    nodes = [node("Add", [f"t{i}", "w"], [f"t{i + 1}"]) for i in range(count)]
    ends = [node("Identity", ["x"], ["t0"]), *nodes, node("Identity", [f"t{count}"], ["y"])]
    return model(ends, named(w=np.ones([1] * 32, np.float32)), inputs=[value("x", *[1] * 32)])


def lists() -> onnx.ModelProto:
    """As many numbers in attributes as there may be fields."""
    nodes = [node("Constant", [], [f"c{i}"], value_ints=[1] * 60) for i in range(FIELDS // 140)]
    return model([*nodes, node("Relu", ["x"], ["y"])])


def integers() -> onnx.ModelProto:
    """A weight of a million numbers, one byte each."""
    tensor = TensorProto(name="w", data_type=TensorProto.INT32, dims=[MIB - 4096], int32_data=[1] * (MIB - 4096))
    return model(None, [tensor])


def metadata() -> onnx.ModelProto:
    """As many entries as there may be fields."""
    proto = model()
    for i in range(FIELDS // 3 - 40):
        proto.metadata_props.add(key=str(i), value="v")
    return proto


def full() -> onnx.ModelProto:
    """As many nodes as there may be, and for the rest text."""
    proto = chain("Relu", NODES - 4)
    proto.doc_string = "d" * (MIB - proto.ByteSize() - 16)
    return proto


def functions() -> onnx.ModelProto:
    """As many functions as the checker follows, each called once by the next."""
    return wide(99, 1)


def strangers() -> onnx.ModelProto:
    """Nodes whose operators are nearly the names of known ones."""
    nodes = [node(f"ReduceSumSquar{i}", ["x"], [f"c{i}"], domain="local") for i in range(NODES - 5)]
    return model([*nodes, node("Relu", ["x"], ["y"])])


def graphs() -> onnx.ModelProto:
    """As many graphs within nodes as there may be."""
    branch = helper.make_graph([node("Relu", ["x"], ["b"])], "g", [], [value("b", 2)])
    nodes = [
        node("If", ["x"], [f"c{i}"], then_branch=branch, else_branch=branch)
        for i in range(Allowance().of(Part.GRAPHS) // 2)
    ]
    return model([*nodes, node("Relu", ["x"], ["y"])])


for _title, _make in (
    ("1,000 Relus and text", full),
    ("440 convolutions", convolutions),
    ("QuantizeLinear and DequantizeLinear, 1,100 scales and zero points", quantized),
    ("2,500 weights", weights),
    ("600 Constants", constants),
    ("1,000 sums of constants", lambda: folded("Add", 64)),
    ("Concats of constants to 128 values", lambda: folded("Concat", 64, axis=0)),
    ("1,000 constants of 4,096 values", filled),
    ("a Sum of 15,000 names", names),
    ("1,600 stated types", stated),
    ("800 additions of tensors with 32 dimensions", ranks),
    ("15,000 numbers in attributes", lists),
    ("a million numbers of one byte", integers),
    ("5,000 entries of metadata", metadata),
    ("99 functions", functions),
    ("1,000 operators that nobody knows", strangers),
    ("256 nodes out of 8 functions", lambda: doubling(8)),
    ("100 graphs within nodes", graphs),
):
    SLOW.harmless(_title, lambda _, make=_make: make())


def _beside(folder: Path) -> onnx.ModelProto:
    proto = model()
    size = MIB - 64 * 1024
    (folder / "w.bin").write_bytes(bytes(size))
    for index in range(1000):
        tensor = TensorProto(name=f"w{index}", data_type=FLOAT, dims=[size // 4000], data_location=1)
        tensor.external_data.add(key="location", value="w.bin")
        tensor.external_data.add(key="offset", value=str(size // 1000 * index // 4 * 4))
        proto.graph.initializer.append(tensor)
    return proto


SLOW.harmless("1,000 weights in a file beside the model", _beside)


def operators() -> list[onnx.ModelProto]:
    """A small model of each operator that the reference knows, on a picture, for the fuzzer to start from."""
    made = []
    for _, name in sorted(key for key in registry() if not key[0]):
        arrays = named(w=np.ones((2, 1, 3, 3), np.float32), s=np.float32(0.5), z=np.int8(0), d=np.array([1, 1, 2, 2]))
        made += [
            model([node(name, inputs, ["y"])], arrays, inputs=[value("x", 1, 1, 8, 8)])
            for inputs in (["x"], ["x", "w"], ["x", "d"], ["x", "s", "z"])
        ]
    return made
