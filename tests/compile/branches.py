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


def convolutions(seed: int, count: int = 12, *, real: bool = False) -> ir.Model:
    """Convolutions with edges in every dimension; some with a pool or a function behind them; ``real`` in float."""
    channels = (1, 2, 3, 4, 6, 16, 19, 32)[seed % 8]
    generator = np.random.default_rng(seed)
    height, width = (int(v) for v in generator.integers(5, 18, 2))
    return _side_by_side(seed, (1, channels, height, width), [_convolution] * count, real=real)


def across(seed: int, count: int = 10, *, most: int = 21, real: bool = False) -> ir.Model:
    """Depthwise convolutions of as many channels as fill a vector, fewer, and more; functions behind some.

    Maps have at most ``most`` rows and columns.
    """
    channels = (2, 15, 16, 17, 31, 32, 40, 48)[seed % 8]
    generator = np.random.default_rng(2000 + seed)
    height, width = (int(v) for v in generator.integers(3, most + 1, 2))
    return _side_by_side(2000 + seed, (1, channels, height, width), [_depthwise] * count, real=real)


def rows(seed: int, count: int = 12) -> ir.Model:
    """Convolutions of one map, wider than a vector, most with a pool of 2 x 2."""
    generator = np.random.default_rng(1000 + seed)
    height, width = int(generator.integers(4, 12)), int(generator.integers(3, 80))
    return _side_by_side(1000 + seed, (1, 1, height, width), [_row] * count)


def dense_layers(seed: int, count: int = 8, *, real: bool = False) -> ir.Model:
    """Products with matrices of many widths."""
    features = (1, 3, 4, 16, 31, 64, 100, 257)[seed % 8]
    return _side_by_side(seed, (1, features), [_dense] * count, real=real)


def _side_by_side(
    seed: int, shape: tuple[int, ...], layers: list[Callable[[Sketch], None]], *, real: bool = False
) -> ir.Model:
    sketch = Sketch(seed, shape, unsigned=seed % 3 == 2, real=real)
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


def _depthwise(sketch: Sketch) -> None:
    """A kernel of its own for each channel; with a chance of a pool, which then has no kernel over channels."""
    channels, *spatial = sketch.shape[1:]
    kernel = [int(sketch.generator.integers(1, min(5, size) + 1)) for size in spatial]
    dilations = [int(sketch.pick((1, 1, 2))) if (k - 1) * 2 < n else 1 for k, n in zip(kernel, spatial, strict=True)]  # type: ignore[call-overload]
    pads = [int(sketch.generator.integers(0, k + 1)) for k in kernel * 2]
    strides = [int(sketch.pick((1, 1, 2, 3))) for _ in kernel]  # type: ignore[call-overload]
    w, b, scales = sketch.weights((channels, 1, *kernel))
    window = {"kernel_shape": kernel, "pads": pads, "strides": strides, "dilations": dilations}
    name = sketch.node("Conv", [sketch.last, w, b], group=channels, **window)
    size = [
        (n + pads[i] + pads[i + 2] - dilations[i] * (kernel[i] - 1) - 1) // strides[i] + 1
        for i, n in enumerate(spatial)
    ]
    sketch.shape = (1, channels, *size)
    sketch.finish(name, max(60 * float(sketch.scale) * float(scales.mean()) * 70 * float(np.prod(kernel)) ** 0.5, 1e-3))
    if sketch.generator.random() < 0.5:
        function = str(sketch.pick(("Tanh", "Relu", "HardSwish", "LeakyRelu")))
        sketch.finish(sketch.node(function, [sketch.last]), 1.0)
    if sketch.generator.random() < 0.1:
        _pool(sketch, ((2, 2),))


def _row(sketch: Sketch) -> None:
    """Most have what lets the outputs of a row be computed side by side: a stride of 1 along it, no other pool."""
    height, width = sketch.shape[2:]
    out = int(sketch.pick((1, 3, 4, 6, 7, 12, 16, 18)))  # type: ignore[call-overload]
    kernel = [int(sketch.generator.integers(1, min(5, size) + 1)) for size in (height, width)]
    pads = [int(sketch.generator.integers(0, k + 1)) for k in kernel * 2]
    strides = [int(sketch.pick((1, 1, 2, 3))), int(sketch.pick((1, 1, 1, 1, 2)))]  # type: ignore[call-overload]
    dilation = int(sketch.pick((1, 1, 2))) if (kernel[0] - 1) * 2 < height else 1  # type: ignore[call-overload]
    w, b, scales = sketch.weights((out, 1, *kernel))
    name = sketch.node(
        "Conv", [sketch.last, w, b], kernel_shape=kernel, pads=pads, strides=strides, dilations=[dilation, 1]
    )
    reached = ((kernel[0] - 1) * dilation + 1, kernel[1])
    size = [
        (n + pads[i] + pads[i + 2] - reach) // strides[i] + 1
        for i, (n, reach) in enumerate(zip((height, width), reached, strict=True))
    ]
    sketch.shape = (1, out, *size)
    sketch.finish(name, max(60 * float(sketch.scale) * float(scales.mean()) * 70 * float(np.prod(kernel)) ** 0.5, 1e-3))
    if sketch.generator.random() < 0.4:
        sketch.finish(sketch.node("Tanh", [sketch.last]), 1.0)
    if sketch.generator.random() < 0.8:
        _pool(sketch, ((2, 2), (2, 2), (2, 2), (3, 1)))


def _pool(sketch: Sketch, windows: tuple[tuple[int, int], ...] = POOLS) -> None:
    """Windows that do not overlap, so that the convolution takes them in; some drop a last row or column."""
    wanted = windows[int(sketch.generator.integers(len(windows)))]
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
