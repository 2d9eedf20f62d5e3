"""Layers that random networks hardly draw: functions and pools of float kernels, rows, windows, saturation, ties."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import onnx_ir as ir
from onnx import helper, numpy_helper

from tests.compile.graphs import Sketch
from tests.compile.test_operators import _model
from toolchain.load import read

FUNCTIONS: dict[str, dict[str, object]] = {
    "Identity": {},
    "Relu": {},
    "LeakyRelu": {"alpha": 0.3},
    "Tanh": {},
    "Sigmoid": {},
    "Elu": {"alpha": 0.7},
    "HardSigmoid": {},
    "HardSwish": {},
}
PAIR = {"kernel_shape": [2, 2], "strides": [2, 2]}


class Floats:
    """Float nodes, of which some are outputs.

    Args:
        seed: of constants.
        shape: of the input ``x``.
    """

    def __init__(self, seed: int, shape: Sequence[int]) -> None:
        self.generator = np.random.default_rng(seed)
        self.shape = shape
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self.outputs: list[str] = []

    def constant(self, *shape: int, spread: float = 1.0) -> str:
        name = f"k{len(self.constants)}"
        self.constants[name] = (self.generator.standard_normal(shape) * spread).astype(np.float32)
        return name

    def axes(self, *numbers: int) -> str:
        name = f"k{len(self.constants)}"
        self.constants[name] = np.array(numbers, np.int64)
        return name

    def node(self, op_type: str, *inputs: str, output: bool = False, **attributes: object) -> str:
        name = f"{op_type.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, list(inputs), [name], f"{name}_node", **attributes))
        self.outputs += [name] * output
        return name

    def conv(self, x: str, shape: tuple[int, ...], *, bias: bool = True, **attributes: object) -> str:
        """A convolution with weights of a shape."""
        more = [self.constant(shape[0])] if bias else []
        return self.node(
            "Conv", x, self.constant(*shape, spread=float(np.prod(shape[1:])) ** -0.5), *more, **attributes
        )

    def model(self) -> ir.Model:
        return _model(self.nodes, self.shape, self.constants, self.outputs)


def functions_behind_convolutions(seed: int, channels: int) -> ir.Model:
    """Every function behind a convolution, before a largest or a mean value of windows."""
    made = Floats(seed, [1, channels, 11, 20])
    for index, (op_type, attributes) in enumerate(FUNCTIONS.items()):
        for pool in ("MaxPool", "AveragePool"):
            out = (18, 7)[(index + seed) % 2]
            conv = made.conv("x", (out, channels, 3, 3), pads=[1, 1, 1, 1])
            made.node(pool, made.node(op_type, conv, **attributes), output=True, **PAIR)
    return made.model()


def windows(seed: int, channels: int) -> ir.Model:
    """Pools and convolutions whose windows leave the map on every side, or lie outside of it."""
    made = Floats(seed, [1, channels, 7, 9])
    for pool in ("MaxPool", "AveragePool"):
        for pads, dilations in (([1, 2, 2, 1], [1, 1]), ([2, 1, 1, 2], [2, 2]), ([0, 0, 0, 0], [1, 2])):
            more = {"dilations": dilations} if pool == "MaxPool" else {}
            made.node(pool, "x", output=True, kernel_shape=[3, 3], pads=pads, strides=[2, 1], **more)
    made.node("MaxPool", "x", output=True, kernel_shape=[2, 2], pads=[3, 0, 0, 3])
    for pads in ([1, 1, 0, 0], [0, 0, 1, 1], [2, 0, 2, 0], [0, 2, 0, 2], [0, 0, 0, 0]):
        made.conv("x", (19, channels, 3, 3), pads=pads, output=True)
        made.node("MaxPool", made.conv("x", (5, channels, 3, 3), pads=pads), output=True, **PAIR)
        made.node("AveragePool", made.conv("x", (5, channels, 3, 3), pads=pads), output=True, kernel_shape=[1, 3],
                  strides=[1, 3])  # fmt: skip
    for pool in ("MaxPool", "AveragePool"):
        conv = made.conv("x", (10, channels, 2, 2))
        made.node(pool, conv, output=True, kernel_shape=[3, 3], strides=[3, 3])
    made.node("LRN", "x", output=True, size=3, alpha=0.3, beta=0.75, bias=2.0)
    made.conv("x", (8, channels, 3, 3), dilations=[2, 1], output=True)
    made.conv("x", (8, channels, 3, 3), dilations=[1, 2], pads=[0, 3, 0, 3], strides=[1, 2], output=True)
    return made.model()


def rows(seed: int) -> ir.Model:
    """Dense layers with one row and several, few features and many; functions behind sums of other shapes."""
    count = (1, 3, 7, 13)[seed % 4]
    features = (5, 8, 3, 34)[seed % 4]
    made = Floats(seed, [1, count, features])
    for out in (1, 4, 16, 17, 33, 70):
        product = made.node("MatMul", "x", made.constant(features, out, spread=features**-0.5))
        made.node("Relu", made.node("Add", product, made.constant(out)), output=True)
    for op_type in ("Add", "Mul", "Sub", "Div"):
        made.node("Tanh", made.node(op_type, "x", made.constant(count, 1)), output=True)
    return made.model()


def small_maps(seed: int) -> ir.Model:
    """Convolutions on maps so small that Winograd's algorithm takes tiles of 2 x 2, and larger ones, before pools."""
    made = Floats(seed, [1, 64, 6, 4])
    for op_type in ("Identity", "Elu"):
        for pool in ("MaxPool", "AveragePool"):
            conv = made.conv("x", (70, 64, 3, 3), pads=[1, 1, 1, 1])
            made.node(pool, made.node(op_type, conv, **FUNCTIONS[op_type]), output=True, **PAIR)
    made.conv("x", (64, 64, 3, 3), pads=[1, 1, 1, 1], output=True)
    made.conv("x", (64, 64, 3, 3), pads=[2, 2, 2, 2], output=True)
    return made.model()


def without_numbers(seed: int) -> ir.Model:
    """What takes a largest or smallest value: the input holds what is not a number."""
    made = Floats(seed, [1, (3, 18)[seed % 2], 6, 8])
    made.node("MaxPool", "x", output=True, kernel_shape=[2, 3], pads=[1, 0, 0, 1])
    made.node("MaxPool", "x", output=True, **PAIR)
    made.node("ReduceMax", "x", made.axes(3), output=True)
    made.node("ReduceMin", "x", made.axes(1, 2), output=True)
    made.node("Max", "x", made.constant(8), output=True)
    made.node("Min", made.constant(8), "x", output=True)
    made.node("Max", made.node("Neg", "x"), "x", output=True)
    made.node("Min", made.node("Neg", "x"), "x", output=True)
    made.node("Relu", "x", output=True)
    made.node("Clip", "x", "", made.constant(), output=True)
    return made.model()


def swishes(seed: int) -> ir.Model:
    """An operator that only new models have."""
    node = helper.make_node("Swish", ["x"], ["y"], "swish", alpha=1.5)
    return _model([node], [1, 6, 8, 10], {}, ["y"], 24)


def extremes(shape: Sequence[int], seed: int) -> np.ndarray:
    """Floats with what is rare: no numbers, infinities, large values, ties of the first rounding, zeros."""
    generator = np.random.default_rng(seed)
    values = generator.uniform(-8, 8, shape)
    ties = (np.round(values / 0.05) + 0.5) * 0.05
    rare = generator.choice([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e6, -1e6, 0.0, -0.0, 1e-40], shape)
    mixed = np.where(generator.random(shape) < 0.15, rare, np.where(generator.random(shape) < 0.3, ties, values))
    return mixed.astype(np.float32)


class Integers(Sketch):
    """Layers side by side, each from the graph's input."""

    def __init__(self, seed: int, shape: tuple[int, ...]) -> None:
        super().__init__(seed, shape, unsigned=seed % 3 == 2)
        self.odd = seed % 2 == 1
        self.source = (self.last, self.scale, self.zero, self.shape)
        self.outputs: list[onnx.ValueInfoProto] = []

    def integers(self, shape: tuple[int, ...]) -> np.ndarray:
        """Without the one value that has no place beside another in 16 bits, unless ``seed`` is odd."""
        return super().integers(shape) if self.odd else np.maximum(super().integers(shape), -127)

    def end(self) -> None:
        """The last tensor is an output; what follows reads the graph's input."""
        self.outputs.append(helper.make_tensor_value_info(self.last, onnx.TensorProto.FLOAT, [None] * len(self.shape)))
        self.last, self.scale, self.zero, self.shape = self.source

    def rounded(self, x: str, scale: float, zero: int = 0) -> None:
        """Quantize at a scale and a zero point, which is 128 more where values are unsigned."""
        self.scale, self.zero = np.float32(scale), self.zero_point((zero,))
        self.last = self._quantized(x, self.scale, self.zero)

    def conv(  # type: ignore[override]
        self,
        out: int,
        kernel: tuple[int, int],
        *,
        scales: Sequence[float] = (0.004,),
        group: int = 1,
        **attributes: object,
    ) -> tuple[str, float]:
        """A convolution, and about how large its results are; ``scales`` of output channels, in turn.

        A scale that is less than a tenth of the largest gets a bias that lies near a tie of the result's rounding
        at a 70th of that size: its multiplier has to be exact to as many digits as the bias has.
        """
        channels = self.shape[1] // group
        own = np.resize(np.array(scales, np.float32), out)
        values = self.integers((out, channels, *kernel))
        w = self._dequantized(values, own)
        size = 4200 * float(self.scale) * float(own.max()) * float(channels * np.prod(kernel)) ** 0.5
        ties = np.round(10.5 * size / 70 / (float(self.scale) * own.astype(np.float64)))
        drawn = self.generator.integers(-5000, 5000, out)
        bias = np.where(own < own.max() / 10, ties, drawn).astype(np.int32)
        b = self._dequantized(bias, (own.astype(np.float64) * np.float64(self.scale)).astype(np.float32))
        name = self.node("Conv", [self.last, w, b], kernel_shape=list(kernel), group=group, **attributes)
        return name, size

    def _dequantized(self, values: np.ndarray, scales: np.ndarray) -> str:
        zeros = np.zeros(scales.shape, values.dtype)
        return self.node("DequantizeLinear", [self.constant(v) for v in (values, scales, zeros)], axis=0)

    def model(self) -> ir.Model:
        graph = helper.make_graph(
            self.nodes,
            "special",
            [helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, list(self.input_shape))],
            self.outputs,
            [numpy_helper.from_array(array, name) for name, array in self.constants.items()],
        )
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
        return read(proto.SerializeToString(), "special")


def near_ties(seed: int) -> ir.Model:
    """Sums that lie so near to ties that their factors take more than 32 bits: the nearest scales of float32 do it."""
    made = Integers(seed, (1, 3, 5, 7))
    for scales in ((2.0**-8, 2.0**-8), (1.5, 3.5)):
        near, far = float(np.nextafter(np.float32(scales[0]), np.float32(8))), scales[1]
        left, right = (
            made.node("Mul", [made.last, made.constant(np.asarray(np.float32(s * 60)))]) for s in (near, far)
        )
        made.rounded(left, near)
        first = made.last
        made.rounded(right, far)
        made.rounded(made.node("Add", [first, made.last]), 1.0)
        made.end()
    return made.model()


def saturated(seed: int) -> ir.Model:
    """Results beyond both ends of 8 bits: sums, products, means and convolutions; clamps at either side."""
    made = Integers(seed, (1, (2, 17)[seed % 2], 6, 7))
    scale = float(made.scale)
    made.rounded(made.node("Tanh", [made.last]), 1 / 100)
    for op_type in ("Add", "Sub", "Mul"):
        left, right = made.last, made.source[0]
        made.rounded(made.node(op_type, [left, right]), scale / 5, (0, -128, 127)[seed % 3])
        made.end()
        made.rounded(made.node("Tanh", [made.last]), 1 / 100)
    made.end()
    made.rounded(made.node("Identity", [made.last]), 2.0**-4)  # sums that lie on ties
    other = made.last
    made.rounded(made.node("Tanh", [other]), 2.0**-7)
    made.rounded(made.node("Add", [made.last, other]), 2.0**-3)
    made.rounded(made.node("Tanh", [made.last]), 2.0**-7)
    made.end()
    for zero in (-100, 0, 100):
        for share in (3.0, 0.25):
            pool = made.node("AveragePool", [made.last], kernel_shape=[2, 2])
            made.rounded(pool, scale / share, zero)
            made.end()
            pool = made.node("AveragePool", [made.last], **PAIR)
            made.rounded(pool, scale / share, zero)
            made.rounded(made.node("Tanh", [made.last]), 1 / 128)
            made.end()
        for limits in ((None, 2.0), (-2.0, None), (-1.0, 1.0)):
            conv, reach = made.conv(6, (2, 2))
            bounds = ["" if v is None else made.constant(np.asarray(np.float32(v * reach / 4))) for v in limits]
            made.rounded(made.node("Clip", [conv, *bounds]), reach / 64, zero)
            made.end()
            conv, reach = made.conv(6, (1, 2), scales=(2.0, 0.5))
            made.rounded(conv, reach / 800, zero)
            made.end()
    return made.model()


def rare_windows(seed: int) -> ir.Model:
    """Convolutions and pools that leave the map on one side, skip rows, or span more than a byte can say."""
    made = Integers(seed, (1, (5, 9, 1, 20)[seed % 4], 10, (12, 60)[seed % 2]))
    for index, pads in enumerate(([0, 0, 1, 1], [1, 1, 0, 0], [0, 0, 1, 0], [0, 2, 0, 0])):
        for pool in (None, "MaxPool", "AveragePool"):
            for kernel, stride in (((3, 3), 1), ((1, 1), 2), ((2, 1), 3)):
                name, reach = made.conv((7, 8)[index % 2], kernel, pads=pads, strides=[stride, stride])
                made.rounded(name, reach / 60, (-128, -1, 0)[stride - 1])
                if pool is not None:
                    scale = float(made.scale)
                    shape = ([2, 2], [1, 4], [1, 3])[(index + stride) % 3]
                    made.rounded(made.node(pool, [made.last], kernel_shape=shape, strides=shape), scale, -128)
                made.end()
    for pool in ("MaxPool", "AveragePool"):
        for pads in ([1, 2, 2, 1], [2, 0, 0, 2], [0, 2, 2, 0]):
            name = made.node(pool, [made.last], kernel_shape=[3, 3], pads=pads, strides=[2, 1])
            made.rounded(name, float(made.scale))
            made.end()
    groups = (5, 3, 1, 5)[seed % 4]
    name, reach = made.conv(4 * groups, (2, 3), group=groups)
    made.rounded(name, reach / 60)
    made.end()
    pads_of_all = made.constant(np.array([0, 1, 1, 1, 0, 0, 1, 2], np.int64))
    fill = made.constant(np.asarray(np.float32(0.5)))
    made.rounded(made.node("Pad", [made.last, pads_of_all, fill]), float(made.scale))
    made.end()
    return made.model()


def scales_apart(seed: int) -> ir.Model:
    """Channels whose scales are far apart, and all kinds of rounding, before tables and pools."""
    made = Integers(seed, (1, (3, 16, 1)[seed % 3], 8, 8))
    kinds: tuple[tuple[float, ...], ...] = (
        (0.02, 3e-7),
        (0.02, 0.0017),
        (2.0**-6, 2.0**-7),
        (0.011, 0.012),
    )
    made.constants["k0"] = np.asarray(np.float32(2.0**-4))  # of the input
    made.scale = np.float32(2.0**-4)
    made.source = (made.last, made.scale, made.zero, made.shape)
    for scales in kinds:
        for op_type in ("Clip", "Tanh"):
            for pool in (None, "MaxPool", "AveragePool"):
                name, reach = made.conv(21, (2, 3), scales=scales)
                step = 2.0 ** np.round(np.log2(reach / 70))
                if op_type == "Clip":
                    bound = made.constant(np.asarray(np.float32((40 if pool else -40) * step)))
                    name = made.node("Clip", [name, "", bound] if pool else [name, bound])
                made.rounded(name, step)
                if pool is not None:
                    scale = float(made.scale) * (1.0 if op_type == "Clip" else 0.7)
                    made.rounded(made.node(pool, [made.last], **PAIR), scale)
                if op_type == "Tanh":
                    made.rounded(made.node("Tanh", [made.last]), 1 / 128)
                made.end()
        for op_type in ("Identity", "Tanh"):
            name, reach = made.conv(21, (8, 8), scales=scales)
            made.rounded(name, reach / 70)
            made.rounded(made.node(op_type, [made.last]), float(made.scale) if op_type == "Identity" else 1 / 128)
            made.end()
    name, reach = made.conv(5, (1, 1))
    made.rounded(name, reach / 70)
    made.rounded(made.node("AveragePool", [made.last], **PAIR), float(made.scale) * 2.0**-24)
    made.end()
    return made.model()


def vanishing(seed: int) -> ir.Model:
    """Softmax of values so far apart that exponentials vanish, at scales that are powers of two or tiny."""
    made = Integers(0, (1, 12, 4))
    made.constants["k0"] = np.asarray(np.float32(0.5))  # of the input
    for scale in (1.0, 0.5, 1 / 256, 2.0**-40 * (1 + 2.0**-23)):
        made.rounded(made.node("Softmax", [made.last], axis=2), scale, (-3, -128)[seed % 2])
        made.end()
    return made.model()


def a_row(seed: int) -> ir.Model:
    """A function of values side by side."""
    made = Integers(seed, (1, 80))
    made.rounded(made.node("Tanh", [made.last]), 2.0**-7)
    made.end()
    return made.model()


def far_apart(shape: Sequence[int], seed: int) -> np.ndarray:
    """Two values only, the least and the largest."""
    return np.random.default_rng(seed).choice([-1000.0, 1000.0], shape).astype(np.float32)


def few_numbers(shape: Sequence[int], seed: int) -> np.ndarray:
    """Some that are no numbers."""
    generator = np.random.default_rng(seed)
    values = generator.standard_normal(shape)
    return np.where(generator.random(shape) < 0.02, np.nan, values).astype(np.float32)


def pooled_nans(seed: int) -> ir.Model:
    """Convolutions before a largest value, for inputs that hold what is no number."""
    made = Floats(seed, [1, 3, 12, 12])
    made.node("MaxPool", made.conv("x", (5, 3, 1, 1)), output=True, **PAIR)
    made.node("MaxPool", made.node("Relu", made.conv("x", (5, 3, 2, 1), group=1)), output=True, **PAIR)
    made.conv("x", (6, 1, 2, 2), group=3, output=True)
    return made.model()
