"""Pools, products and normalisations against PyTorch and ONNX Runtime; where these disagree, the verdict is written."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import helper

from toolchain.errors import ToolchainError
from toolchain.nodes import steps
from toolchain.ops.bounds import FLOAT32_ROUNDOFF
from toolchain.ops.operator import widen
from toolchain.reference import Reference, evaluate

torch = pytest.importorskip("torch")
F = torch.nn.functional
Array = NDArray[Any]
F32 = np.float32
NAN = float("nan")


def model(op: str, inputs: list[Array], outputs: int = 1, opset: int = 22, **attributes: Any) -> onnx.ModelProto:
    """One node as a model."""
    names = [f"x{i}" for i in range(len(inputs))]
    results = [f"y{i}" for i in range(outputs)]
    kind = helper.np_dtype_to_tensor_dtype(inputs[0].dtype)
    kinds = [kind, onnx.TensorProto.INT64 if op == "MaxPool" else kind, kind]
    graph = helper.make_graph(
        [helper.make_node(op, names, results, **attributes)],
        "one",
        [
            helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(i.dtype), i.shape)
            for n, i in zip(names, inputs, strict=True)
        ],
        [
            onnx.ValueInfoProto(name=n, type=helper.make_tensor_type_proto(k, None))
            for n, k in zip(results, kinds, strict=False)
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def ours(op: str, *inputs: Array, outputs: int = 1, opset: int = 22, **attributes: Any) -> list[Array]:
    """The reference's answers; the output's shape is left free in the model."""
    proto = model(op, list(inputs), outputs, opset, **attributes)
    result = Reference(ir.from_proto(proto)).run({f"x{i}": a for i, a in enumerate(inputs)})
    return [result[f"y{i}"] for i in range(outputs)]


def runtime(op: str, *inputs: Array, outputs: int = 1, opset: int = 22, **attributes: Any) -> list[Array]:
    """ONNX Runtime's answers."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    proto = model(op, list(inputs), outputs, opset, **attributes)
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [np.asarray(a) for a in session.run(None, {f"x{i}": a for i, a in enumerate(inputs)})]


def draw(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape, dtype=F32)


def near(result: Array, expected: Any) -> None:
    np.testing.assert_allclose(result, np.asarray(expected, dtype=np.float64), rtol=2e-5, atol=2e-6)


PLAIN = [
    (size, k, s, p, d, ceil)
    for size, k, s, p, d, ceil in itertools.product((5, 8), (1, 2, 3), (1, 2, 3), (0, 1), (1, 2), (False, True))
    if p <= k // 2 and size + 2 * p >= d * (k - 1) + 1
]


@pytest.mark.parametrize(("size", "k", "s", "p", "d", "ceil"), PLAIN)
def test_max_pool_is_pytorchs(size: int, k: int, s: int, p: int, d: int, ceil: bool) -> None:
    x = np.round(draw(2, 3, size, size + 1))  # rounded, so that there are ties
    values, indices = ours(
        "MaxPool",
        x,
        outputs=2,
        kernel_shape=[k, k],
        strides=[s, s],
        pads=[p] * 4,
        dilations=[d, d],
        ceil_mode=int(ceil),
    )
    expected, where = F.max_pool2d(torch.tensor(x), k, s, p, d, ceil, return_indices=True)
    np.testing.assert_array_equal(values, expected.numpy())
    planes = np.arange(6).reshape(2, 3, 1, 1) * size * (size + 1)  # PyTorch counts within a plane, ONNX in the tensor
    np.testing.assert_array_equal(indices, where.numpy() + planes)


@pytest.mark.parametrize("include", [False, True])
@pytest.mark.parametrize(("size", "k", "s", "p", "d", "ceil"), [c for c in PLAIN if c[4] == 1])
def test_average_pool_is_pytorchs(size: int, k: int, s: int, p: int, d: int, ceil: bool, include: bool) -> None:
    x = draw(2, 3, size, size + 1)
    (y,) = ours(
        "AveragePool", x, kernel_shape=[k, k], strides=[s, s], pads=[p] * 4, ceil_mode=int(ceil),
        count_include_pad=int(include),
    )  # fmt: skip
    near(y, F.avg_pool2d(torch.tensor(x), k, s, p, ceil, include))


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool", "LpPool"])
@pytest.mark.parametrize("pads", [(0, 0), (1, 0), (0, 1), (2, 1), (1, 2)])
@pytest.mark.parametrize("ceil", [0, 1])
def test_asymmetric_pads_are_onnx_runtimes(op: str, pads: tuple[int, int], ceil: int) -> None:
    for size, stride, dilation in itertools.product((4, 7), (1, 2, 3), (1, 2)):
        attributes = {
            "kernel_shape": [3],
            "strides": [stride],
            "dilations": [dilation],
            "pads": pads,
            "ceil_mode": ceil,
        }
        if size + sum(pads) < 2 * dilation + 1:
            continue
        x = draw(1, 2, size)
        near(ours(op, x, **attributes)[0], runtime(op, x, **attributes)[0])


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool", "LpPool"])
@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_automatic_pads_are_onnx_runtimes(op: str, mode: str) -> None:
    for size, stride, kernel in itertools.product((5, 6, 7), (1, 2, 3), (1, 2, 3, 4)):
        x = draw(1, 2, size)
        if (-(-size // stride) - 1) * stride + kernel < size and mode != "VALID":
            continue  # see test_verdict_same_never_crops
        attributes = {"kernel_shape": [kernel], "strides": [stride], "auto_pad": mode}
        near(ours(op, x, **attributes)[0], runtime(op, x, **attributes)[0])


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
def test_verdict_valid_ignores_ceil_mode(op: str) -> None:
    """The text gives ``ceil((size - span + 1) / stride)``, 3 of 7 under 2/2; ONNX Runtime returns 4 (overhanging)."""
    x = np.arange(7, dtype=F32).reshape(1, 1, 7)
    attributes = {"kernel_shape": [2], "strides": [2], "auto_pad": "VALID", "ceil_mode": 1}
    assert ours(op, x, **attributes)[0].shape == (1, 1, 3)
    assert runtime(op, x, **attributes)[0].shape == (1, 1, 4)


def test_verdict_same_counts_dilation() -> None:
    """SAME gives ``ceil(7 / 2) = 4`` and pads for the dilated span; ONNX Runtime's MaxPool ignores dilation: 3."""
    x = np.arange(1, 8, dtype=F32).reshape(1, 1, 7)
    attributes = {"kernel_shape": [2], "strides": [2], "dilations": [2], "auto_pad": "SAME_UPPER"}
    np.testing.assert_array_equal(ours("MaxPool", x, **attributes)[0], [[[2, 4, 6, 6]]])
    assert runtime("MaxPool", x, **attributes)[0].shape == (1, 1, 3)


def test_verdict_same_never_crops() -> None:
    """Where the formula's padding is negative nothing is padded, as in TensorFlow, whose mode it is.

    ``pads`` "can take any value greater than or equal to 0". ONNX Runtime's AveragePool crops instead (it starts at
    the second element here), and its MaxPool fails when it runs.
    """
    x = np.arange(6, dtype=F32).reshape(1, 1, 6)
    attributes = {"kernel_shape": [1], "strides": [3], "auto_pad": "SAME_UPPER"}
    for op in ("MaxPool", "AveragePool", "LpPool"):
        assert ours(op, x, **attributes)[0].tolist() == [[[0, 3]]]
    assert runtime("AveragePool", x, **attributes)[0].tolist() != [[[0, 3]]]


def test_verdict_nan_wins() -> None:
    """The text is silent. PyTorch returns NaN for each window that holds one; ONNX Runtime depends on the order."""
    x = np.array([[[1, 2, NAN, NAN, 5, 6]]], dtype=F32)
    values, indices = ours("MaxPool", x, outputs=2, kernel_shape=[2])
    expected, where = F.max_pool1d(torch.tensor(x), 2, 1, return_indices=True)
    np.testing.assert_array_equal(values, expected.numpy())
    np.testing.assert_array_equal(indices, where.numpy())
    assert np.isnan(ours("GlobalMaxPool", x)[0]).all()
    assert np.isnan(runtime("MaxPool", x, kernel_shape=[2])[0]).sum() < 3


def test_verdict_empty_window() -> None:
    """Taps at -1 and 2 of two elements: the maximum of nothing is -inf (PyTorch), its average 0 (both)."""
    x = np.array([[[1, 2]]], dtype=F32)
    attributes = {"kernel_shape": [2], "dilations": [3], "pads": [1, 1]}
    values, indices = ours("MaxPool", x, outputs=2, **attributes)
    assert values.tolist() == [[[-np.inf]]]
    assert indices.tolist() == [[[-1]]]
    assert ours("AveragePool", x, **attributes)[0].tolist() == runtime("AveragePool", x, **attributes)[0].tolist()


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
@pytest.mark.parametrize("order", [0, 1])
def test_max_pool_of_bytes(dtype: Any, order: int) -> None:
    info = np.iinfo(dtype)
    edges = np.array([info.min, info.min + 1, 0, 1, info.max - 1, info.max], dtype=dtype)
    x = np.random.default_rng(1).choice(edges, (2, 2, 5, 6))
    attributes = {"kernel_shape": [2, 3], "strides": [2, 1], "pads": [1, 0, 0, 1], "storage_order": order}
    for mine, theirs in zip(
        ours("MaxPool", x, outputs=2, opset=12, **attributes),
        runtime("MaxPool", x, outputs=2, opset=12, **attributes),
        strict=True,
    ):
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine, theirs)
    lowest = np.full((1, 1, 3), info.min, dtype=dtype)
    assert ours("MaxPool", lowest, outputs=2, kernel_shape=[2], pads=[1, 1])[1].tolist() == [[[0, 0, 1, 2]]]


def test_indices_in_three_dimensions() -> None:
    x = draw(2, 2, 3, 4, 5)
    for order in (0, 1):
        attributes = {"kernel_shape": [2, 2, 2], "pads": [1, 0, 1, 0, 1, 0], "storage_order": order}
        mine, theirs = (f("MaxPool", x, outputs=2, **attributes) for f in (ours, runtime))
        np.testing.assert_array_equal(mine[1], theirs[1])


@pytest.mark.parametrize("p", [1, 2, 3])
def test_lp_pools(p: int) -> None:
    x = draw(2, 3, 6, 7)
    near(ours("GlobalLpPool", x, p=p)[0], np.sum(np.abs(x) ** p, axis=(2, 3), keepdims=True, dtype=float) ** (1 / p))
    near(ours("GlobalLpPool", x, p=p)[0], runtime("GlobalLpPool", x, opset=21, p=p)[0])
    near(ours("LpPool", -x, p=p, kernel_shape=[2, 3])[0], runtime("LpPool", -x, p=p, kernel_shape=[2, 3])[0])


@pytest.mark.parametrize(("k", "s", "p", "extra", "d", "groups"), [
    (3, 1, 0, 0, 1, 1), (3, 2, 1, 1, 1, 2), (2, 3, 0, 0, 1, 4), (3, 2, 2, 0, 2, 1), (4, 3, 1, 2, 1, 2),
])  # fmt: skip
def test_transposed_convolution_is_pytorchs(k: int, s: int, p: int, extra: int, d: int, groups: int) -> None:
    x, w, b = draw(2, 4, 5, 6), draw(4, 3, k, k, seed=1), draw(3 * groups, seed=2)
    (y,) = ours(
        "ConvTranspose",
        x,
        w,
        b,
        strides=[s, s],
        pads=[p] * 4,
        output_padding=[extra] * 2,
        dilations=[d, d],
        group=groups,
    )
    near(y, F.conv_transpose2d(*map(torch.tensor, (x, w, b)), s, p, extra, groups, d))


@pytest.mark.parametrize("mode", ["NOTSET", "SAME_UPPER", "SAME_LOWER"])
def test_transposed_convolution_to_a_shape(mode: str) -> None:
    x, w = draw(1, 2, 5), draw(2, 3, 4, seed=1)
    for length in (10, 11, 12, 13):
        attributes = {"strides": [2], "output_shape": [length], "auto_pad": mode}
        near(ours("ConvTranspose", x, w, **attributes)[0], runtime("ConvTranspose", x, w, **attributes)[0])


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_convolution_is_pytorchs(rank: int, groups: int) -> None:
    x, w, b = draw(2, 4, *(7, 6, 5)[:rank]), draw(8, 4 // groups, *(3, 2, 3)[:rank], seed=1), draw(8, seed=2)
    convolve = (F.conv1d, F.conv2d, F.conv3d)[rank - 1]
    for s, p, d in itertools.product((1, 2), (0, 1), (1, 2)):
        attributes = {"strides": [s] * rank, "pads": [p] * 2 * rank, "dilations": [d] * rank, "group": groups}
        near(ours("Conv", x, w, b, **attributes)[0], convolve(*map(torch.tensor, (x, w, b)), s, p, d, groups))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 9])
def test_lrn_with_odd_and_even_sizes(size: int) -> None:
    x = draw(2, 7, 3, 4) * 10
    (y,) = ours("LRN", x, size=size, alpha=0.5, beta=0.75, bias=2.0)
    padded = np.pad(x.astype(float) ** 2, ((0, 0), ((size - 1) // 2, size // 2), (0, 0), (0, 0)))
    squares = sum(padded[:, i : i + 7] for i in range(size))
    near(y, x / (2.0 + 0.5 / size * squares) ** 0.75)
    if size % 2:  # of an even window PyTorch takes the larger half before the channel, ONNX after it
        near(y, F.local_response_norm(torch.tensor(x), size, 0.5, 0.75, 2.0))


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax", "Hardmax"])
def test_softmax_changed_its_meaning_at_13(op: str) -> None:
    x = draw(2, 3, 4)
    near(ours(op, x, opset=12)[0], ours(op, x.reshape(2, 12), opset=13)[0].reshape(2, 3, 4))
    near(ours(op, x, opset=12, axis=1)[0], runtime(op, x, opset=12, axis=1)[0])
    near(ours(op, x, opset=13, axis=1)[0], runtime(op, x, opset=13, axis=1)[0])
    assert not np.allclose(ours(op, x, opset=12, axis=1)[0], ours(op, x, opset=13, axis=1)[0])


def test_old_gemm_broadcasts_only_when_told() -> None:
    a, b, c = draw(2, 3), draw(3, 4, seed=1), draw(4, seed=2)
    near(ours("Gemm", a, b, c, opset=6, broadcast=1)[0], a.astype(float) @ b + c)
    with pytest.raises(ToolchainError, match="does not broadcast"):
        ours("Gemm", a, b, c, opset=6)


@pytest.mark.parametrize("opset", [6, 7, 9, 14, 15])
def test_batch_normalization_in_every_version(opset: int) -> None:
    x, (s, b, m) = draw(2, 3, 4, 5), draw(3, 3, seed=1)
    v = np.abs(draw(3, seed=2)) + F32(0.1)
    extra = {"is_test": 1} if opset < 7 else {}
    expected = F.batch_norm(*map(torch.tensor, (x, m, v, s, b)), eps=0.01)
    near(ours("BatchNormalization", x, s, b, m, v, opset=opset, epsilon=0.01, **extra)[0], expected)


def test_batch_normalization_without_space() -> None:
    x, s, b, m = draw(2, 3, 4), draw(3, 4, seed=1), draw(3, 4, seed=2), draw(3, 4, seed=3)
    v = np.ones((3, 4), dtype=F32)
    near(ours("BatchNormalization", x, s, b, m, v, opset=7, spatial=0)[0], (x - m) / np.sqrt(1 + F32(1e-5)) * s + b)


def test_dropout_passes_or_is_refused() -> None:
    x = draw(2, 3)
    for opset, attributes in ((6, {"is_test": 1}), (7, {}), (10, {}), (12, {}), (13, {}), (22, {})):
        np.testing.assert_array_equal(ours("Dropout", x, opset=opset, **attributes)[0], x)
    with pytest.raises(ToolchainError, match="at random"):
        ours("Dropout", x, opset=6)
    with pytest.raises(ToolchainError, match="at random"):
        ours("Dropout", x, np.array(0.5, dtype=F32), np.array(True))


CLOSE: list[tuple[str, tuple[Array, ...], dict[str, Any]]] = [
    ("Conv", (draw(1, 16, 9, 9), draw(8, 16, 3, 3, seed=1), draw(8, seed=2)), {"pads": [1] * 4}),
    ("ConvTranspose", (draw(1, 8, 6, 6), draw(8, 4, 3, 3, seed=1)), {"strides": [2, 2]}),
    ("Gemm", (draw(9, 300), draw(300, 20, seed=1), draw(20, seed=2)), {"alpha": 0.3, "beta": 1.7}),
    ("MatMul", (draw(3, 9, 300), draw(300, 20, seed=1)), {}),
    ("AveragePool", (draw(2, 3, 20, 20),), {"kernel_shape": [5, 5], "pads": [2] * 4}),
    ("GlobalAveragePool", (draw(2, 30, 14, 14),), {}),
    ("LpPool", (draw(2, 3, 20, 20),), {"kernel_shape": [3, 3], "p": 3}),
    ("GlobalLpPool", (draw(2, 30, 14, 14),), {"p": 2}),
    ("LRN", (draw(1, 96, 9, 9) * 30,), {"size": 5, "alpha": 1e-2}),
    ("Softmax", (draw(20, 1000) * 9,), {"axis": 1}),
    ("Softmax", (draw(20, 50) * 60,), {"axis": 0}),
    ("LogSoftmax", (draw(20, 1000) * 9,), {"axis": 1}),
    ("LayerNormalization", (draw(4, 500) + 3, draw(500, seed=1), draw(500, seed=2)), {}),
    ("InstanceNormalization", (draw(2, 5, 9, 9) + 3, draw(5, seed=1), draw(5, seed=2)), {}),
    ("GroupNormalization", (draw(2, 6, 9, 9) + 3, draw(6, seed=1), draw(6, seed=2)), {"num_groups": 3}),
    ("BatchNormalization", (draw(2, 5, 9, 9), *draw(3, 5, seed=1), np.abs(draw(5, seed=2))), {}),
]


@pytest.mark.parametrize(("op", "inputs", "attributes"), CLOSE, ids=[f"{c[0]}{i}" for i, c in enumerate(CLOSE)])
def test_onnx_runtime_is_within_the_bound(op: str, inputs: tuple[Array, ...], attributes: dict[str, Any]) -> None:
    opset = 21 if op == "GlobalLpPool" else 22  # ONNX Runtime has no later GlobalLpPool
    (step,) = steps(ir.from_proto(model(op, list(inputs), 1, opset, **attributes)))
    wide = [widen(array) for array in inputs]
    exact = evaluate(step, wide)
    bound = step.operator.bound(step.attributes, wide, exact, FLOAT32_ROUNDOFF)[0]
    error = np.abs(runtime(op, *inputs, opset=opset, **attributes)[0] - exact[0])
    assert (error <= bound.sound).all()
    assert (error <= bound.probable).all()
    scale = np.max(np.abs(exact[0]))
    assert np.median(np.broadcast_to(bound.sound, error.shape)) < 1e-3 * scale, "a bound that lets all pass"


@pytest.mark.parametrize(
    ("op", "attributes", "text"),
    [
        ("MaxPool", {"kernel_shape": [9]}, "larger than the padded input"),
        ("MaxPool", {"kernel_shape": [2, 2]}, "kernel_shape has 2 values"),
        ("MaxPool", {"kernel_shape": [2], "storage_order": 2}, "storage_order is 2"),
        ("AveragePool", {"kernel_shape": [2], "auto_pad": "SOME"}, "auto_pad is 'SOME'"),
        ("LpPool", {"kernel_shape": [2], "p": 0}, "p is 0"),
        ("LRN", {"size": 0}, "size is 0"),
        ("Softmax", {"axis": 3}, "axis is 3"),
    ],
)
def test_what_means_nothing_is_refused(op: str, attributes: dict[str, Any], text: str) -> None:
    with pytest.raises(ToolchainError, match=text):
        ours(op, draw(1, 2, 4), **attributes)
