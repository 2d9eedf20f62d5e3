"""Many layers of one kind side by side, each on the graph's input: one build of the kernels judges them all."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir
from onnx import helper, numpy_helper

from tests.compile.graphs import Sketch
from toolchain.load import read

POOLS = ((2, 2), (1, 2), (3, 3), (4, 4))
OUT_CHANNELS = (1, 5, 8, 12, 15, 16, 17, 31, 32, 33, 48, 70)


def convolutions(seed: int, count: int = 12) -> ir.Model:
    """Convolutions with edges in every dimension; some with a pool or a function behind them."""
    channels = (1, 2, 3, 4, 6, 16, 19, 32)[seed % 8]
    generator = np.random.default_rng(seed)
    height, width = (int(v) for v in generator.integers(5, 18, 2))
    return _side_by_side(seed, (1, channels, height, width), [_convolution] * count)


def dense_layers(seed: int, count: int = 8) -> ir.Model:
    """Products with matrices of many widths."""
    features = (1, 3, 4, 16, 31, 64, 100, 257)[seed % 8]
    return _side_by_side(seed, (1, features), [_dense] * count)


def _side_by_side(seed: int, shape: tuple[int, ...], layers: list[Callable[[Sketch], None]]) -> ir.Model:
    sketch = Sketch(seed, shape, unsigned=seed % 3 == 2)
    source = (sketch.last, sketch.scale, sketch.zero, sketch.shape)
    outputs = []
    for layer in layers:
        sketch.last, sketch.scale, sketch.zero, sketch.shape = source
        layer(sketch)
        outputs.append(helper.make_tensor_value_info(sketch.last, onnx.TensorProto.FLOAT, list(sketch.shape)))
    graph = helper.make_graph(
        sketch.nodes,
        "branches",
        [helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, list(shape))],
        outputs,
        [numpy_helper.from_array(array, name) for name, array in sketch.constants.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return read(proto.SerializeToString(), "branches")


def _convolution(sketch: Sketch) -> None:
    channels, *spatial = sketch.shape[1:]
    even = channels % 2 == 0
    groups = int(sketch.pick((1, 1, 1, 2 if even else 1, 4 if channels % 4 == 0 else 1)))  # type: ignore[call-overload]
    out = groups * int(sketch.pick(OUT_CHANNELS))  # type: ignore[call-overload]
    kernel = [int(sketch.generator.integers(1, min(5, size) + 1)) for size in spatial]
    dilations = [int(sketch.pick((1, 1, 2))) if (k - 1) * 2 < n else 1 for k, n in zip(kernel, spatial, strict=True)]  # type: ignore[call-overload]
    pads = [int(sketch.generator.integers(0, k + 1)) for k in kernel * 2]
    strides = [int(sketch.pick((1, 1, 2, 3))) for _ in kernel]  # type: ignore[call-overload]
    w, b, scales = sketch.weights((out, channels // groups, *kernel))
    name = sketch.node(
        "Conv",
        [sketch.last, w, b],
        group=groups,
        kernel_shape=kernel,
        pads=pads,
        strides=strides,
        dilations=dilations,
    )
    taps = channels // groups * int(np.prod(kernel))
    size = [
        (n + pads[i] + pads[i + 2] - dilations[i] * (kernel[i] - 1) - 1) // strides[i] + 1
        for i, n in enumerate(spatial)
    ]
    sketch.shape = (1, out, *size)
    if sketch.generator.random() < 0.3:
        name = sketch.node("Relu", [name])
    sketch.finish(name, max(60 * float(sketch.scale) * float(scales.mean()) * 70 * taps**0.5, 1e-3))
    if sketch.generator.random() < 0.3:
        sketch.finish(sketch.node("Tanh", [sketch.last]), 1.0)
    if sketch.generator.random() < 0.6:
        _pool(sketch)


def _pool(sketch: Sketch) -> None:
    """Windows that do not overlap, so that the convolution takes them in; some drop a last row or column."""
    wanted = POOLS[int(sketch.generator.integers(len(POOLS)))]
    kernel = [min(n, k) for n, k in zip(sketch.shape[2:], wanted, strict=True)]
    name = sketch.node(str(sketch.pick(("MaxPool", "AveragePool"))), [sketch.last], kernel_shape=kernel, strides=kernel)
    sketch.shape = (*sketch.shape[:2], *(n // k for n, k in zip(sketch.shape[2:], kernel, strict=True)))
    sketch.finish(name, 127 * float(sketch.scale), same=bool(sketch.generator.random() < 0.6))


def _dense(sketch: Sketch) -> None:
    taps = sketch.shape[1]
    out = int(sketch.pick(OUT_CHANNELS))  # type: ignore[call-overload]
    w, b, scales = sketch.weights((out, taps))
    sketch.shape = (1, out)
    sketch.finish(
        sketch.node("Gemm", [sketch.last, w, b], transB=1),
        max(60 * float(sketch.scale) * float(scales.mean()) * 70 * taps**0.5, 1e-3),
    )
