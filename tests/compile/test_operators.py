"""Every operator in float, judged by ``verify``; the integer ones where random graphs hardly come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from tests.compile.graphs import EDGES, Sketch, feeds
from tests.compile.running import quickly_judged
from toolchain.compile.kernels import lowerings
from toolchain.compile.translate import translate
from toolchain.errors import UnsupportedError
from toolchain.load import read
from toolchain.verify import verify

FLAGS = ("-O1", "-fsanitize=undefined", "-fno-sanitize-recover=all")
GENERATOR = np.random.default_rng(3)


def _drawn(*shape: int, low: float = -1.0, high: float = 1.0) -> np.ndarray:
    return GENERATOR.uniform(low, high, shape).astype(np.float32)


def _whole(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


@dataclass(frozen=True)
class Case:
    """A node that reads ``x`` [1, 6, 8, 10], or another one's output.

    Attributes:
        op_type: of ai.onnx.
        constants: further inputs; ``None`` for one left out.
        attributes: of the node.
        source: the first input.
        first: constants go before it.
    """

    op_type: str
    constants: Sequence[np.ndarray | str | None] = ()
    attributes: dict[str, object] = field(default_factory=dict)
    source: str = "x"
    first: bool = False


CASES = {
    "abs": Case("Abs"),
    "neg": Case("Neg"),
    "exp": Case("Exp"),
    "positive": Case("Exp"),
    "log": Case("Log", source="positive"),
    "sqrt": Case("Sqrt", source="positive"),
    "reciprocal": Case("Reciprocal", source="positive"),
    "erf": Case("Erf"),
    "floor": Case("Floor"),
    "ceil": Case("Ceil"),
    "softplus": Case("Softplus"),
    "softsign": Case("Softsign"),
    "thresholded": Case("ThresholdedRelu", attributes={"alpha": 0.4}),
    "clip": Case("Clip", [np.float32(-0.5), None]),
    "clip_above": Case("Clip", [None, np.float32(0.5)]),
    "prelu": Case("PRelu", [_drawn(6, 1, 1)]),
    "prelu_one": Case("PRelu", [_drawn(1)]),
    "prelu_each": Case("PRelu", [_drawn(6, 8, 10)]),
    "add_channel": Case("Add", [_drawn(6, 1, 1)]),
    "sub_from": Case("Sub", [_drawn(1, 6, 1, 1)], first=True),
    "mul_scalar": Case("Mul", [np.float32(0.37)]),
    "div_by": Case("Div", [_drawn(1, 1, 8, 10, low=0.5, high=2.0)]),
    "div_of": Case("Div", [np.float32(1.5)], source="positive", first=True),
    "add_row": Case("Add", [_drawn(10)]),
    "pow": Case("Pow", [np.float32(2.0)]),
    "max": Case("Max", [_drawn(6, 1, 1)]),
    "min_two": Case("Min", ["pooled"]),
    "sum": Case("Sum", ["exp", "neg"]),
    "largest": Case("Max", ["exp", "neg"]),
    "pooled": Case("GlobalAveragePool"),
    "highest": Case("GlobalMaxPool"),
    "gated": Case("Mul", ["pooled"]),
    "gated_first": Case("Sub", ["x"], source="highest"),
    "per_place": Case("ReduceMean", [_whole(1)]),
    "attended": Case("Mul", ["per_place"]),
    "sum_rows": Case("ReduceSum", [_whole(3)], {"keepdims": 0}),
    "max_columns": Case("ReduceMax", [_whole(2)]),
    "min_all": Case("ReduceMin"),
    "mean_flat": Case("ReduceMean", [_whole(2, 3)], {"keepdims": 0}),
    "softmax": Case("Softmax", attributes={"axis": 1}),
    "softmax_rows": Case("Softmax", attributes={"axis": 2}),
    "softmax_last": Case("Softmax"),
    "lrn": Case("LRN", attributes={"size": 3, "alpha": 0.3, "beta": 0.75, "bias": 1.0}),
    "lrn_even": Case("LRN", attributes={"size": 4}),
    "transposed": Case("Transpose", attributes={"perm": [0, 2, 3, 1]}),
    "swapped": Case("Transpose", attributes={"perm": [0, 1, 3, 2]}),
    "swapped_one": Case("Transpose", attributes={"perm": [0, 1, 3, 2]}),
    "reversed": Case("Transpose"),
    "sliced": Case("Slice", [_whole(-1, 1), _whole(-(2**62), 7), _whole(1, 3), _whole(-1, 2)]),
    "padded": Case("Pad", [_whole(0, 1, 2, 0, 0, 0, 1, 3), np.float32(0.7)]),
    "reflected": Case("Pad", [_whole(0, 0, 2, 3, 0, 0, 1, 0)], {"mode": "reflect"}),
    "edge": Case("Pad", [_whole(1, 2), None, _whole(3)], {"mode": "edge"}),
    "cropped": Case("Pad", [_whole(0, 0, -1, 2, 0, 0, 2, -3)], {"mode": "wrap"}),
    "expanded": Case("Expand", [_whole(1, 6, 8, 10)], source="pooled"),
    "tiled": Case("Tile", [_whole(1, 2, 1, 3)]),
    "gathered": Case("Gather", [_whole(5, 0, -1)], {"axis": 1}),
    "gathered_one": Case("Gather", [np.int64(3)], {"axis": 3}),
    "deep": Case("SpaceToDepth", attributes={"blocksize": 2}),
    "wide": Case("DepthToSpace", attributes={"blocksize": 2}, source="deep"),
    "wide_columns": Case("DepthToSpace", attributes={"blocksize": 2, "mode": "CRD"}, source="deep"),
    "upsampled": Case("Resize", [None, np.array([1, 1, 2, 3], np.float32)], {"mode": "nearest"}),
    "asymmetric": Case(
        "Resize",
        [None, None, _whole(1, 6, 5, 4)],
        {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"},
    ),
    "linear": Case("Resize", [None, np.array([1, 1, 2, 1.5], np.float32)], {"mode": "linear"}),
    "corners": Case(
        "Resize",
        [None, None, _whole(1, 6, 5, 17)],
        {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
    ),
    "cubic": Case("Resize", [None, np.array([1, 1, 1.5, 2], np.float32)], {"mode": "cubic"}),
    "smaller": Case("Resize", [None, np.array([1, 1, 0.5, 0.4], np.float32)], {"mode": "linear", "antialias": 1}),
    "normal": Case("BatchNormalization", [_drawn(6), _drawn(6), _drawn(6), _drawn(6, low=0.2, high=2.0)]),
    "landed": Case(
        "ConvTranspose",
        [_drawn(6, 4, 3, 2), _drawn(4)],
        {"strides": [2, 3], "pads": [1, 0, 0, 1], "output_padding": [1, 0]},
    ),
    "landed_groups": Case(
        "ConvTranspose",
        [_drawn(6, 2, 2, 2)],
        {"group": 3, "auto_pad": "SAME_UPPER", "strides": [2, 2], "dilations": [1, 2]},
    ),
    "one_channel": Case("Concat", ["normal", "x"], {"axis": 1}),
    "stacked_rows": Case("Concat", ["neg"], {"axis": 2}),
    "stacked_columns": Case("Concat", ["neg"], {"axis": 3}),
    "vector": Case("Reshape", [_whole(1, -1)]),
    "vector_exp": Case("Flatten", source="exp"),
    "vectors": Case("Concat", ["vector_exp"], {"axis": 1}, source="vector"),
    "dense": Case("MatMul", [_drawn(10, 3)]),
    "product": Case("MatMul", ["swapped_one"]),
    "shuffled_in": Case("Reshape", [_whole(1, 2, 3, 8, 10)]),
    "shuffled": Case("Transpose", attributes={"perm": [0, 2, 1, 3, 4]}, source="shuffled_in"),
    "shuffled_out": Case("Reshape", [_whole(1, 6, 8, 10)], source="shuffled"),
    "reshaped": Case("Reshape", [_whole(1, 12, 8, 5)]),
    "reshaped_pool": Case("MaxPool", attributes={"kernel_shape": [2, 2]}, source="reshaped"),
    "unsqueezed": Case("Unsqueeze", [_whole(2)]),
    "squeezed": Case("Squeeze", [_whole(2, 3)], source="pooled"),
    "dropped": Case("Dropout"),
    "cast": Case("Cast", attributes={"to": onnx.TensorProto.FLOAT}),
}
# The order of a graph: what others read comes first.
EARLY = (
    "positive",
    "swapped_one",
    "exp",
    "neg",
    "pooled",
    "highest",
    "per_place",
    "deep",
    "normal",
    "vector",
    "vector_exp",
    "shuffled_in",
    "shuffled",
    "reshaped",
)


def _nodes() -> tuple[list[onnx.NodeProto], dict[str, np.ndarray]]:
    nodes, constants = [], {}
    for name in (*EARLY, *(n for n in CASES if n not in EARLY)):
        case = CASES[name]
        more = []
        for index, value in enumerate(case.constants):
            if value is None or isinstance(value, str):
                more.append(value or "")
            else:
                more.append(f"{name}_k{index}")
                constants[more[-1]] = np.asarray(value)
        inputs = [*more, case.source] if case.first else [case.source, *more]
        nodes.append(helper.make_node(case.op_type, inputs, [name], f"{name}_node", **case.attributes))
    nodes.append(helper.make_node("Split", ["x", "sizes"], ["head", "tail"], "parts", axis=1))
    return nodes, {**constants, "sizes": _whole(2, 4)}


def _model(
    nodes: list[onnx.NodeProto],
    shape: Sequence[int],
    constants: dict[str, np.ndarray],
    outputs: Sequence[str],
    opset: int = 18,
) -> ir.Model:
    graph = helper.make_graph(
        nodes,
        "operators",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    inferred = onnx.shape_inference.infer_shapes(proto)  # outputs have to state their rank
    ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in inferred.graph.output}
    del graph.output[:]
    graph.output.extend(
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None] * ranks[name]) for name in outputs
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    return read(proto.SerializeToString(), "operators")


def test_every_float_operator() -> None:
    nodes, constants = _nodes()
    model = _model(nodes, [1, 6, 8, 10], constants, [*CASES, "head", "tail"])
    found = verify(model, backend="c", synthetic=2)
    assert found.ok, [(d.tensor, d.worst, d.problem) for d in found.defects]
    judged = {region.tensor for region in found.regions}
    assert set(CASES) | {"head", "tail"} <= judged | {
        "cast",
        "dropped",
        "unsqueezed",
        "squeezed",
        "vector",
        "vector_exp",
    }
    assert found.undisturbed


OTHERS = {
    "upsample": (9, Case("Upsample", [np.array([1, 1, 2, 3], np.float32)])),
    "clip_attributes": (6, Case("Clip", attributes={"min": -0.3, "max": 0.4})),
    "slice_attributes": (9, Case("Slice", attributes={"starts": [1, 0], "ends": [5, -2], "axes": [1, 3]})),
    "pad_attributes": (2, Case("Pad", attributes={"pads": [0, 0, 1, 2, 0, 0, 0, 1], "value": 0.25})),
    "softmax_of_a_matrix": (11, Case("Softmax", attributes={"axis": 2})),
    "reduce_attributes": (11, Case("ReduceMean", attributes={"axes": [-2, -1], "keepdims": 0})),
    "unsqueeze_attributes": (11, Case("Unsqueeze", attributes={"axes": [0, 3]})),
    "swish": (24, Case("Swish", attributes={"alpha": 1.5})),
}


def test_operators_of_other_versions() -> None:
    for name, (opset, case) in OTHERS.items():
        constants = {f"k{i}": np.asarray(value) for i, value in enumerate(case.constants)}
        node = helper.make_node(case.op_type, ["x", *constants], ["y"], name, **case.attributes)
        found = verify(_model([node], [1, 6, 8, 10], constants, ["y"], opset), backend="c", synthetic=2)
        assert found.ok, (name, found.defects)


def test_each_lowered_operator_is_in_some_test() -> None:
    text = "".join(p.read_text(encoding="utf-8") for p in Path(__file__).parent.glob("*.py"))
    missing = [op for op in lowerings() if f'"{op}"' not in text]
    assert not missing


def _everything(rows: int, columns: int) -> np.ndarray:
    generator = np.random.default_rng(rows)
    values = generator.integers(-128, 128, (rows, columns))
    edges = generator.choice(EDGES, (rows, columns))
    mixed = np.where(generator.random((rows, columns)) < 0.4, edges, values)
    mixed[: len(EDGES)] = np.array(EDGES)[:, None]  # rows of equal values, whose quotient is rational
    mixed[len(EDGES)] = np.arange(columns) % 2 * 255 - 128
    return mixed.astype(np.int8)


@pytest.mark.parametrize("scale", [1 / 256, 1 / 255, 1 / 16, 0.3, 1.0, 2.0**-20])
@pytest.mark.parametrize("columns", [1, 2, 3, 8, 130])
def test_softmax_of_integers(columns: int, scale: float, tmp_path: Path) -> None:
    sketch = Sketch(columns, (1, columns), whole=True)
    name = sketch.node("Softmax", [sketch.last])
    sketch.last = sketch._quantized(name, np.float32(scale), np.int8(-128 if scale < 0.1 else -3))
    model = sketch.model()
    given = [{"image": row[None]} for row in _everything(40, columns)]
    verdict = quickly_judged(model, given, tmp_path / "c", FLAGS, fused=True)
    assert verdict.ok, verdict.layers


@pytest.mark.parametrize(("equal", "scale"), [(2, 1.0), (4, 0.5), (8, 0.25)])
def test_softmax_just_below_a_tie(equal: int, scale: float, tmp_path: Path) -> None:
    """``equal`` largest values, beside one whose exponential has no digit before 2^-128: less than half a step each."""
    sketch = Sketch(1, (1, equal + 1), whole=True)
    sketch.constants["k0"] = np.asarray(np.float32(0.5))  # of the input
    name = sketch.node("Softmax", [sketch.last])
    sketch.last = sketch._quantized(name, np.float32(scale), np.int8(-3))
    model = sketch.model()
    row = np.array([127] * equal + [-128], np.int8)
    verdict = quickly_judged(model, [{"image": row[None]}], tmp_path / "c", FLAGS, fused=True)
    assert verdict.ok, verdict.layers


@pytest.mark.parametrize("bounds", [(None, 2.0), (-2.0, None), (0.0, 6.0)], ids=["above", "below", "both"])
def test_clip_behind_a_convolution(bounds: tuple[float | None, float | None], tmp_path: Path) -> None:
    sketch = Sketch(2, (1, 3, 5, 6))
    w, b, _ = sketch.weights((4, 3, 2, 2))
    limits = ["" if v is None else sketch.constant(np.asarray(np.float32(v))) for v in bounds]
    conv = sketch.node("Conv", [sketch.last, w, b], kernel_shape=[2, 2])
    sketch.shape = (1, 4, 4, 5)
    sketch.finish(sketch.node("Clip", [conv, *limits]), 8.0)
    model = sketch.model()
    verdict = quickly_judged(model, feeds(model, 3, 0), tmp_path / "c", FLAGS, fused=True)
    assert verdict.ok, verdict.layers
    assert verdict.islands == ()


def test_a_computed_bound_of_clip_is_refused() -> None:
    """It may be computed behind the node whose rounding it would limit."""
    sketch = Sketch(2, (1, 3))
    w, b, _ = sketch.weights((4, 3))
    dense = sketch.node("Gemm", [sketch.last, w, b], transB=1)
    bound = sketch.node("ReduceMax", [sketch.last], keepdims=0)
    sketch.shape = (1, 4)
    sketch.finish(sketch.node("Clip", [dense, "", bound]), 8.0)
    with pytest.raises(UnsupportedError, match="bounds are computed"):
        translate(sketch.model(), "net")


@pytest.mark.parametrize("beta", [0.5, 0.75, 1.0])
@pytest.mark.parametrize("alpha", [1e-4, 0.25, 16.0])
def test_lrn_of_integers(alpha: float, beta: float, tmp_path: Path) -> None:
    sketch = Sketch(7, (1, 7, 3, 5), whole=True)
    name = sketch.node("LRN", [sketch.last], size=5, alpha=alpha, beta=beta, bias=1.0)
    sketch.last = sketch._quantized(name, np.float32(0.0625), np.int8(-1))
    model = sketch.model()
    given = [{"image": row.reshape(1, 7, 3, 5)} for row in _everything(30, 105)]
    verdict = quickly_judged(model, given, tmp_path / "c", FLAGS, fused=True)
    assert verdict.ok, verdict.layers


@pytest.mark.parametrize("unsigned", [False, True], ids=["int8", "uint8"])
def test_integers_in_and_out(unsigned: bool, tmp_path: Path) -> None:
    """The caller's image is the model's type, in ONNX's order; so is the answer."""
    sketch = Sketch(5, (1, 3, 6, 5), unsigned=unsigned, whole=True)
    sketch.conv()
    sketch.unary()
    model = sketch.model()
    kind = np.uint8 if unsigned else np.int8
    values = np.arange(90).reshape(1, 3, 6, 5) * 3 % 256
    given = [{"image": (values + (0 if unsigned else -128)).astype(kind)}]
    verdict = quickly_judged(model, given, tmp_path / "c", FLAGS, fused=True)
    assert verdict.ok, verdict.layers
    header = (tmp_path / "c" / "net.h").read_text(encoding="utf-8")
    assert f"const {'uint8_t' if unsigned else 'int8_t'} image[" in header
