"""Where ONNX Runtime is known to part from the specification, or not to go at all: one entry each.

An entry is a predicate on a node about to be drawn, the sentence that the verdict rests on, and a small graph on
which the two still part (``test_exclusions.py`` fails once they do not, so that no entry outlives its reason).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from onnx import TensorProto

from tests.graphs.examples import float_weights, quantized_around_nothing, quantized_twice
from tests.graphs.exclusion import Exclusion
from tests.graphs.sketch import Candidate
from tests.graphs.small import F32, after_adding, bracket, chain, one, quantized_twice_over, ramp

NEWEST = 28

POOLS = ("MaxPool", "AveragePool", "LpPool")
SHAPE_OF_POOLS = (
    'MaxPool: "VALID: output_spatial_shape[i] = ceil((input_spatial_shape[i] - ((kernel_spatial_shape[i] - 1) * '
    "dilations[i] + 1) + 1) / strides_spatial_shape[i]); SAME_UPPER or SAME_LOWER: output_spatial_shape[i] = "
    'ceil(input_spatial_shape[i] / strides_spatial_shape[i])"'
)


def barred(candidate: Candidate) -> bool:
    """Whether any entry applies."""
    return any(entry.applies(candidate) for entry in EXCLUSIONS)


def _automatic(c: Candidate, *modes: str) -> bool:
    return c.attributes.get("auto_pad", "NOTSET") in modes


SAME = ("SAME_UPPER", "SAME_LOWER")


def _same_dilated(c: Candidate) -> bool:
    return c.op in (*POOLS, "Conv") and _automatic(c, *SAME) and max(c.ints("dilations")) > 1


def _same_crops(c: Candidate) -> bool:
    if c.op not in POOLS or not _automatic(c, *SAME):
        return False
    windows = zip(c.shape[2:], c.ints("kernel_shape"), c.ints("strides"), strict=True)
    return any((-(-size // stride) - 1) * stride + kernel < size for size, kernel, stride in windows)


def _valid_ceil(c: Candidate) -> bool:
    return (
        c.op in POOLS and _automatic(c, "VALID") and bool(c.attributes.get("ceil_mode")) and max(c.ints("strides")) > 1
    )


def _overhangs(c: Candidate) -> bool:
    """Under ceil_mode: a last window that would start in the padding behind."""
    if c.op not in POOLS or not c.attributes.get("ceil_mode") or not _automatic(c, "NOTSET"):
        return False
    sizes, pads = c.shape[2:], c.ints("pads", 0)
    begins, ends = (pads[: len(sizes)], pads[len(sizes) :]) if "pads" in c.attributes else (pads, pads)
    axes = zip(sizes, begins, ends, c.ints("kernel_shape"), c.ints("dilations"), c.ints("strides"), strict=True)
    return any(-(-(size + b + e - d * (k - 1) - 1) // s) * s >= size + b for size, b, e, k, d, s in axes)


UNIMPLEMENTED = ("QuantizeLinear", "DequantizeLinear")
"""Operators whose definition of opset 28 the runtime has no kernel for."""


def _transposed_short(c: Candidate) -> bool:
    """Under SAME: kernels that do not reach as far as the stated output."""
    if c.op != "ConvTranspose" or not _automatic(c, *SAME) or "output_shape" in c.attributes:
        return False
    assert c.inputs[1] is not None
    axes = zip(
        c.shape[2:],
        c.inputs[1].shape[2:],
        c.ints("strides"),
        c.ints("dilations"),
        c.ints("output_padding", 0),
        strict=True,
    )
    return any(s * (size - 1) + e + d * (k - 1) + 1 < s * size for size, k, s, d, e in axes)


def _transposed_small(c: Candidate) -> bool:
    """An ``output_shape`` smaller than the input along an axis."""
    wanted = c.attributes.get("output_shape")
    return (
        c.op == "ConvTranspose" and wanted is not None and any(w < s for w, s in zip(wanted, c.shape[2:], strict=True))
    )


def _left_out(c: Candidate, place: int, name: str) -> bool:
    return name not in c.attributes and (place >= len(c.inputs) or c.inputs[place] is None)


INDETERMINATE = ("Softsign", "HardSwish", "Mish", "Gelu")
MOVED = ("MaxPool", "Reshape", "Transpose", "Squeeze", "Unsqueeze")
SELECTING = ("MaxPool", "GlobalMaxPool", "Hardmax", "ThresholdedRelu", "ReduceMax", "ReduceMin")


def _among(names: tuple[str, ...]) -> Callable[[Candidate], bool]:
    return lambda c: c.op in names and c.special


def _moves_nothing(c: Candidate) -> bool:
    order = c.attributes.get("perm", range(len(c.shape))[::-1])
    return list(order) == sorted(order)


EXCLUSIONS: tuple[Exclusion, ...] = (
    Exclusion(
        "SAME with dilations",
        f'{SHAPE_OF_POOLS}; "pad_shape[i] = (output_spatial_shape[i] - 1) * strides_spatial_shape[i] + '
        "((kernel_spatial_shape[i] - 1) * dilations[i] + 1) - input_spatial_shape[i]\". ONNX Runtime's pools leave the "
        "dilations out, and its Conv refuses them",
        _same_dilated,
        lambda: one("MaxPool", ramp(1, 1, 7), kernel_shape=[2], strides=[2], dilations=[2], auto_pad="SAME_UPPER"),
    ),
    Exclusion(
        "SAME of windows with gaps between them",
        'Pools: "pads: ... should be greater than or equal to 0"; the formula of SAME gives less. '
        "ONNX Runtime's MaxPool "
        "stops, its AveragePool crops",
        _same_crops,
        lambda: one("AveragePool", ramp(1, 1, 6), kernel_shape=[1], strides=[3], auto_pad="SAME_UPPER"),
    ),
    Exclusion(
        "VALID with ceil_mode",
        f"{SHAPE_OF_POOLS}, which does not depend on ceil_mode. ONNX Runtime adds a window that overhangs",
        _valid_ceil,
        lambda: one("MaxPool", ramp(1, 1, 7), kernel_shape=[2], strides=[2], auto_pad="VALID", ceil_mode=1),
    ),
    Exclusion(
        "LRN of an even size",
        'LRN: "max(0, c - floor((size - 1) / 2)) <= i <= min(C - 1, c + ceil((size - 1) / 2))" means '
        "even sizes too; ONNX "
        "Runtime refuses them",
        lambda c: c.op == "LRN" and c.attributes["size"] % 2 == 0,
        lambda: one("LRN", ramp(1, 2, 2, 2), size=2),
    ),
    Exclusion(
        "opset 28 without kernels",
        "ONNX Runtime takes models of opset 28, and has no kernel for QuantizeLinear and DequantizeLinear of "
        "that version",
        lambda c: c.op in UNIMPLEMENTED and c.version == NEWEST,
        lambda: one("QuantizeLinear", ramp(3), F32(1), np.int8(0), opset=NEWEST),
    ),
    Exclusion(
        "ConvTranspose under SAME with kernels shorter than strides",
        'ConvTranspose: "SAME_UPPER or SAME_LOWER mean pad the input so that output_shape[i] = input_shape[i] * '
        'strides[i]". ONNX Runtime gives less',
        _transposed_short,
        lambda: one("ConvTranspose", ramp(1, 1, 3), ramp(1, 1, 2), strides=[3], auto_pad="SAME_UPPER"),
    ),
    Exclusion(
        "ConvTranspose to a shape smaller than its input",
        'ConvTranspose: "output_shape: the shape of the output can be explicitly set". '
        "ONNX's shape inference stops half "
        "way where it is smaller than the input, and ONNX Runtime then refuses the node behind",
        _transposed_small,
        lambda: chain(
            ramp(1, 1, 3),
            ("ConvTranspose", (ramp(1, 1, 2),), {"output_shape": [2]}),
            ("MaxPool", (), {"kernel_shape": [1]}),
        ),
    ),
    Exclusion(
        "indeterminate at infinity",
        'Softsign: "x/(1+|x|)", HardSwish: "x * max(0, min(1, alpha * x + beta))", Mish: "x * '
        'tanh(softplus(x))", Gelu. In '
        "IEEE arithmetic the formulas are NaN at (minus) infinity, as in ONNX Runtime and PyTorch; our "
        "interpreter answers "
        "the limit",
        _among(INDETERMINATE),
        lambda: after_adding([np.inf], "Softsign"),
    ),
    Exclusion(
        "selecting among NaN",
        "The texts of the maxima and of Hardmax are silent, our interpreter lets NaN win as PyTorch does; "
        'ThresholdedRelu is "y = x for x > alpha, y = 0 otherwise"',
        _among(SELECTING),
        lambda: after_adding([[[1, 2, np.nan, np.nan, 5, 6]]], "MaxPool", kernel_shape=[2]),
    ),
    Exclusion(
        "ConvTranspose under SAME with output_padding",
        'ConvTranspose: "output_shape[i] = input_shape[i] * strides[i]" under SAME. ONNX\'s shape inference adds '
        "output_padding to that, so that ONNX Runtime refuses what fits its own output",
        lambda c: c.op == "ConvTranspose" and _automatic(c, *SAME) and max(c.ints("output_padding", 0)) > 0,
        lambda: chain(
            ramp(1, 1, 2),
            ("ConvTranspose", (ramp(1, 1, 2),), {"strides": [2], "auto_pad": "SAME_UPPER", "output_padding": [1]}),
            ("MatMul", (ramp(4, 1),), {}),
        ),
    ),
    Exclusion(
        "Clip of infinity without a limit",
        "Clip: \"The interval is specified by the inputs 'min' and 'max'. They default to numeric_limits::lowest() and "
        'numeric_limits::max()": by the text, and in ONNX Runtime, infinities become the largest finite numbers. Our '
        "interpreter lets them pass",
        lambda c: c.op == "Clip" and c.special and (_left_out(c, 1, "min") or _left_out(c, 2, "max")),
        lambda: after_adding([-np.inf, 1], "Clip", None, F32(0)),
    ),
    Exclusion(
        "interpolating where NaN or infinities are",
        "Resize: an output is a weighted sum of its neighbours. Our interpreter multiplies by a matrix, whose zeros "
        "make NaN of an infinity anywhere in the row; of two at one distance the nearest may be NaN, without a limit",
        lambda c: c.op in ("Resize", "Upsample") and c.special,
        lambda: after_adding([[[[1, 2, 3, np.inf]]]], "Resize", None, F32([1, 1, 1, 2]), mode="linear"),
    ),
    Exclusion(
        "AveragePool with dilations between integers",
        'AveragePool-19 has "dilations"; ONNX Runtime fuses the node into its QLinearAveragePool, which '
        "has none, and then "
        "refuses its own graph",
        lambda c: c.op == "AveragePool" and "dilations" in c.attributes and c.sources[0] == "DequantizeLinear",
        lambda: bracket("AveragePool", ramp(1, 1, 1, 4), 1.0, 1.0, np.uint8, kernel_shape=[1, 2], dilations=[1, 2]),
    ),
    Exclusion(
        "ConvTranspose with output_padding beyond its stride",
        'ConvTranspose: "each padding value in output_padding must be strictly less than the '
        "corresponding stride/dilation "
        'dimension"; ONNX Runtime wants it less than the stride also where the dilation is larger',
        lambda c: (
            c.op == "ConvTranspose"
            and any(e >= s for e, s in zip(c.ints("output_padding", 0), c.ints("strides"), strict=True) if e)
        ),
        lambda: one("ConvTranspose", ramp(1, 1, 3), ramp(1, 1, 2), dilations=[2], output_padding=[1]),
    ),
    Exclusion(
        "quantizing what was just dequantized",
        'QuantizeLinear: "y = saturate((x / y_scale) + y_zero_point)". ONNX Runtime drops the inner one of two such '
        "pairs in a row and makes up a scale for the rest",
        lambda c: c.op == "QuantizeLinear" and c.sources[0] == "DequantizeLinear",
        quantized_twice_over,
    ),
    Exclusion(
        "nothing between two pairs of steps into and out of 8 bits",
        'QuantizeLinear: "y = saturate((x / y_scale) + y_zero_point)". ONNX Runtime drops a Transpose that moves '
        "nothing, then one of the two pairs around it, and gives the other's integers under its name",
        lambda c: c.op == "Transpose" and bool(c.dequantized) and _moves_nothing(c),
        quantized_around_nothing,
    ),
    Exclusion(
        "GlobalAveragePool between integers of very different scales",
        'QuantizeLinear: "y = saturate((x / y_scale) + y_zero_point)" for any two scales. ONNX Runtime fuses the pool '
        "into its QLinearGlobalAveragePool, which refuses factors of 256 and more",
        lambda c: c.op == "QuantizeLinear" and c.sources[0] == "GlobalAveragePool",
        lambda: bracket("GlobalAveragePool", ramp(1, 1, 1), 1.0, 0.0031, np.uint8),
    ),
    Exclusion(
        "GlobalLpPool of opset 22 without a kernel",
        "ONNX Runtime takes models of opset 22, and has no kernel for GlobalLpPool of that version",
        lambda c: c.op == "GlobalLpPool" and c.version == 22,
        lambda: one("GlobalLpPool", ramp(1, 1, 2)),
    ),
    Exclusion(
        "quantizing behind a MaxPool",
        "QuantizeLinear does not decrease, so that it may change places with a maximum, but not with its index: ONNX "
        "Runtime moves it in front of the pool, and where rounding makes two elements equal, the index is the first's",
        lambda c: c.op == "QuantizeLinear" and c.sources[0] == "MaxPool",
        quantized_twice,
    ),
    Exclusion(
        "float weights between integers",
        "QuantizeLinear and DequantizeLinear say which tensors are rounded: here the input and the output of "
        "a Conv or Gemm, "
        "not its weights. ONNX Runtime rounds float weights and bias to integers too, of its own accord",
        lambda c: (
            c.op in ("Conv", "ConvTranspose", "Gemm") and c.sources[0] == "DequantizeLinear" and "" in c.sources[1:]
        ),
        float_weights,
    ),
    Exclusion(
        "AveragePool between integers under ceil_mode with count_include_pad",
        'AveragePool: "count_include_pad: Whether include pad pixels when calculating values for the '
        'edges". What a last '
        "window covers beyond the padding is none: ONNX Runtime's float kernel leaves it out, its integer "
        "kernel counts it",
        lambda c: (
            c.op == "AveragePool"
            and c.sources[0] == "DequantizeLinear"
            and bool(c.attributes.get("ceil_mode") and c.attributes.get("count_include_pad"))
        ),
        lambda: bracket(
            "AveragePool",
            ramp(1, 1, 1, 3),
            1.0,
            0.125,
            np.uint8,
            kernel_shape=[1, 2],
            strides=[1, 2],
            ceil_mode=1,
            count_include_pad=1,
        ),
    ),
    Exclusion(
        "MaxPool of padding only",
        "MaxPool: the text is silent on a window all of whose taps lie in the padding. The maximum of nothing is minus "
        "infinity, as in PyTorch; ONNX Runtime answers the lowest finite number",
        lambda c: c.op == "MaxPool" and max(c.ints("dilations")) > 1 and max(c.attributes.get("pads", [0])) > 0,
        lambda: one("MaxPool", ramp(1, 1, 2), kernel_shape=[2], dilations=[3], pads=[1, 1]),
    ),
    Exclusion(
        "ReduceLogSumExp of opset 28 without a kernel",
        'ReduceLogSumExp: "Computes the log sum exponent of the input tensor\'s elements along the provided axes", '
        "which is finite of finite elements. ONNX Runtime has no kernel of that version and runs the body of the "
        "function that comes with the specification, whose exponentials leave the range of float64 beyond 709",
        lambda c: c.op == "ReduceLogSumExp" and c.version == NEWEST,
        lambda: one("ReduceLogSumExp", F32([[1000, 1]]), opset=NEWEST),
    ),
    Exclusion(
        "ReduceLogSumExp among NaN and infinities",
        'ReduceLogSumExp: "Computes the log sum exponent of the input tensor\'s elements": the exponential of minus '
        "infinity is 0 and adds nothing, NaN makes every sum NaN. Where ONNX Runtime meets an infinity first, it "
        "subtracts no maximum, so that the others underflow, and answers infinity though NaN follows",
        _among(("ReduceLogSumExp",)),
        lambda: after_adding([[-np.inf, -400]], "ReduceLogSumExp", opset=13, axes=[1]),
    ),
    Exclusion(
        "Softmax between integers",
        'QuantizeLinear: "y = saturate((x / y_scale) + y_zero_point)". ONNX Runtime fuses Softmax between integers '
        "into its QLinearSoftmax, which multiplies by the reciprocal of y_scale rounded down to a whole number",
        lambda c: c.op == "QuantizeLinear" and c.sources[0] == "Softmax",
        lambda: bracket("Softmax", F32([[0.0]]), 1.0, 0.6, np.uint8, axis=1),
    ),
    Exclusion(
        "Relu before a Clip below zero, before opset 11",
        'Clip-6: "max: Maximum value, above which element is replaced by max". ONNX Runtime fuses the Relu into the '
        "Clip as a minimum of 0, which lies above the maximum, and refuses the node that it made",
        lambda c: c.op == "Clip" and c.version < 11 and c.sources[0] == "Relu" and c.attributes.get("max", 0.0) < 0,
        lambda: chain(F32([[-1, 1]]), ("Relu", (), {}), ("Clip", (), {"max": -0.25, "min": -0.25}), opset=7),
    ),
    Exclusion(
        "ceil_mode with a window that starts in the padding, before opset 22",
        'MaxPool-22: "Sliding windows that would start in the right padded region are ignored". ONNX Runtime '
        "always ignores them, ONNX's shape inference not before opset 22, and the node behind is then refused",
        lambda c: c.version < 22 and _overhangs(c),
        lambda: chain(
            ramp(1, 1, 8),
            ("MaxPool", (), {"kernel_shape": [2], "strides": [3], "pads": [1, 0], "ceil_mode": 1}),
            ("Add", (ramp(1, 1, 3),), {}),
        ),
    ),
    Exclusion(
        "moving dequantized int8 from opset 21 on",
        'QuantizeLinear: "If both output_dtype and y_zero_point are specified, output_dtype must be T2". ONNX Runtime '
        "moves the DequantizeLinear behind a node that moves data, loses the zero point, and refuses its own graph",
        lambda c: c.op in MOVED and c.opset >= 21 and c.dequantized == "int8",
        lambda: chain(
            ramp(1, 1, 6),
            ("QuantizeLinear", (F32(1), np.int8(3)), {}),
            ("DequantizeLinear", (F32(1), np.int8(3)), {}),
            ("MaxPool", (), {"kernel_shape": [2]}),
            ("HardSigmoid", (), {}),
            opset=22,
        ),
    ),
    Exclusion(
        "Cast to float16 of what it cannot hold",
        'Cast: "floating point: +/- infinity if OOR (out of range)". ONNX Runtime inserts Casts around float16 nodes, '
        "drops them together with the model's own, and computes on with the finite number",
        lambda c: c.op == "Cast" and c.attributes["to"] == TensorProto.FLOAT16 and c.sources[0] != "Clip",
        lambda: chain(
            F32([[2.0**24]]), ("Cast", (), {"to": 10}), ("MatMul", (np.float16([[1]]),), {}), ("Cast", (), {"to": 1})
        ),
    ),
    Exclusion(
        "LRN among NaN and infinities",
        'LRN: "square_sum[n, c, d1, ..., dk] = sum(X[n, i, d1, ..., dk] ^ 2)" over the channels around c. ONNX Runtime '
        "slides the sum along the channels, and infinity less infinity stays NaN for all channels behind",
        _among(("LRN",)),
        lambda: after_adding([[[[np.inf]], [[np.inf]], [[1]]]], "LRN", size=3),
    ),
)
