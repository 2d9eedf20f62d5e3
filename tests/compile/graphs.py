"""Random quantized graphs: layers of every kind that C has, with the awkward values drawn often."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
from onnx import helper, numpy_helper

from toolchain.load import read

EDGES = (-128, -127, -1, 0, 1, 126, 127)


class Sketch:
    """A chain of layers between QuantizeLinear and DequantizeLinear.

    Args:
        seed: of all choices.
        shape: of the input.
        unsigned: activations are uint8.
        whole: input and output of the graph are integers.
        real: nothing is quantized but constants.
    """

    def __init__(
        self, seed: int, shape: tuple[int, ...], *, unsigned: bool = False, whole: bool = False, real: bool = False
    ) -> None:
        self.generator = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self.shape = shape
        self.unsigned, self.whole, self.real = unsigned, whole, real
        self.scale = np.float32(0.05)
        self.zero = self.zero_point((-128, -3, 0, 5, 127))
        self.input_shape = shape
        if whole:
            s, z = self.constant(np.asarray(self.scale)), self.constant(np.asarray(self.zero))
            self.last = self.node("DequantizeLinear", ["image", s, z])
        else:
            self.last = self._quantized("image", self.scale, self.zero)

    @property
    def element(self) -> int:
        """Of the graph's input and output."""
        if not self.whole:
            return int(onnx.TensorProto.FLOAT)
        return int(onnx.TensorProto.UINT8 if self.unsigned else onnx.TensorProto.INT8)

    def zero_point(self, options: tuple) -> np.integer:
        """One of some int8 values, or the uint8 value that is 128 more."""
        chosen = int(self.pick(options))
        return np.uint8(chosen + 128) if self.unsigned else np.int8(chosen)

    def pick(self, options: tuple) -> object:
        return options[int(self.generator.integers(len(options)))]

    def integers(self, shape: tuple[int, ...]) -> np.ndarray:
        values = self.generator.integers(-128, 128, shape)
        edges = self.generator.choice(EDGES, shape)
        return np.where(self.generator.random(shape) < 0.2, edges, values).astype(np.int8)

    def constant(self, array: np.ndarray) -> str:
        name = f"k{len(self.constants)}"
        self.constants[name] = np.asarray(array)
        return name

    def node(self, op_type: str, inputs: list[str], **attributes: object) -> str:
        name = f"{op_type.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, inputs, [f"{name}_out"], name, **attributes))
        return f"{name}_out"

    def _quantized(self, x: str, scale: np.float32, zero: np.integer) -> str:
        """Through 8 bits; the name of the real value."""
        if self.real:
            return x
        s, z = self.constant(np.asarray(scale)), self.constant(np.asarray(zero))
        return self.node("DequantizeLinear", [self.node("QuantizeLinear", [x, s, z]), s, z])

    def finish(self, x: str, real: float, *, same: bool = False) -> None:
        """Quantize a result whose values are about as large as ``real``; ``same`` keeps the scale."""
        if not same:
            dyadic = np.float32(2.0 ** round(np.log2(real / 64)))
            self.scale = np.float32(self.pick((real / 100, real / 60, dyadic)))
            self.zero = self.zero_point((-128, -1, 0, 17, 127))
        self.last = self._quantized(x, self.scale, self.zero)

    def sized(self, values: np.ndarray) -> np.ndarray:
        """All weights, or some that vector units add up in 16 bits: those of two taps, of four, of either."""
        most = ([128], [64], [32], [64, 32])[len(self.nodes) % 4]
        limit = np.repeat(most, -(-values.shape[-1] // len(most)))[: values.shape[-1]]
        return np.clip(values, -limit, np.minimum(limit, 127)).astype(np.int8)

    def weights(self, shape: tuple[int, ...], axis: int = 0) -> tuple[str, str, np.ndarray]:
        """int8 weights with a scale an output channel, and a bias at the product of the scales."""
        values = self.sized(self.integers(shape))
        scales = self.generator.uniform(0.001, 0.02, shape[axis]).astype(np.float32)
        if self.generator.random() < 0.3:
            scales = np.exp2(np.round(np.log2(scales))).astype(np.float32)
        zeros = self.constant(np.zeros(shape[axis], np.int8))
        w = self.node("DequantizeLinear", [self.constant(values), self.constant(scales), zeros], axis=axis)
        bias = self.generator.integers(-5000, 5000, shape[axis]).astype(np.int32)
        product = (scales.astype(np.float64) * np.float64(self.scale)).astype(np.float32)
        none = self.constant(np.zeros(shape[axis], np.int32))
        b = self.node("DequantizeLinear", [self.constant(bias), self.constant(product), none], axis=0)
        return w, b, scales

    def conv(self) -> None:
        channels, *spatial = self.shape[1:]
        groups = int(self.pick((1, 1, channels, 2 if channels % 2 == 0 else 1)))
        out = groups * int(self.generator.integers(1, 5))
        kernel = [int(self.generator.integers(1, min(4, size) + 1)) for size in spatial]
        dilations = [
            int(self.pick((1, 1, 2))) if (k - 1) * 2 < size else 1 for k, size in zip(kernel, spatial, strict=True)
        ]
        pads = [int(self.generator.integers(0, k)) for k in kernel * 2]
        strides = [int(self.pick((1, 1, 2))) for _ in kernel]
        w, b, scales = self.weights((out, channels // groups, *kernel))
        name = self.node(
            "Conv",
            [self.last, w, b],
            group=groups,
            kernel_shape=kernel,
            pads=pads,
            strides=strides,
            dilations=dilations,
        )
        reach = 60 * float(self.scale) * float(scales.mean()) * 70 * (channels // groups * np.prod(kernel)) ** 0.5
        size = [
            (n + pads[i] + pads[i + len(kernel)] - dilations[i] * (kernel[i] - 1) - 1) // strides[i] + 1
            for i, n in enumerate(spatial)
        ]
        self.shape = (1, out, *size)
        if self.generator.random() < 0.3:
            name = self.node("Relu", [name])
        self.finish(name, max(reach, 1e-3))

    def pool(self) -> None:
        op_type = str(self.pick(("MaxPool", "AveragePool")))
        spatial = self.shape[2:]
        kernel = [min(size, int(self.pick((2, 2, 3)))) for size in spatial]
        tiles = self.generator.random() < 0.6
        strides = kernel if tiles else [1] * len(kernel)
        pads = [0] * (2 * len(kernel)) if tiles else [int(self.generator.integers(0, k)) for k in kernel * 2]
        more = {"count_include_pad": int(self.pick((0, 1)))} if op_type == "AveragePool" else {}
        name = self.node(op_type, [self.last], kernel_shape=kernel, strides=strides, pads=pads, **more)
        size = [(n + pads[i] + pads[i + len(kernel)] - kernel[i]) // strides[i] + 1 for i, n in enumerate(spatial)]
        self.shape = (*self.shape[:2], *size)
        self.finish(name, 127 * float(self.scale), same=bool(self.generator.random() < 0.6))

    def unary(self) -> None:
        op_type = str(self.pick(("Tanh", "Sigmoid", "Relu", "LeakyRelu", "HardSigmoid", "HardSwish", "Elu")))
        self.finish(
            self.node(op_type, [self.last]), 1.0 if "S" in op_type or op_type == "Tanh" else 127 * float(self.scale)
        )

    def branch(self) -> None:
        """Two branches from one tensor, joined again."""
        x, scale, shape = self.last, self.scale, self.shape
        self.unary()
        left, reach = self.last, 127 * float(self.scale)
        op_type = str(self.pick(("Add", "Sub", "Mul", "Concat")))
        pair = [left, x] if self.generator.random() < 0.5 else [x, left]
        if op_type == "Concat":
            pair.append(x)
            self.shape = (shape[0], 3 * shape[1], *shape[2:])
            self.finish(self.node(op_type, pair, axis=1), max(reach, 127 * float(scale)))
        else:
            total = reach * 127 * float(scale) if op_type == "Mul" else reach + 127 * float(scale)
            self.finish(self.node(op_type, pair), total)

    def dense(self) -> None:
        size = int(np.prod(self.shape[1:]))
        if len(self.shape) > 2:
            self.finish(self.node("Flatten", [self.last]), 1.0, same=True)
        out = int(self.generator.integers(1, 12))
        w, b, scales = self.weights((out, size))
        self.shape = (1, out)
        reach = 60 * float(self.scale) * float(scales.mean()) * 70 * size**0.5
        self.finish(self.node("Gemm", [self.last, w, b], transB=1), max(reach, 1e-3))

    def model(self) -> ir.Model:
        if self.whole:
            self.last = self.nodes.pop().input[0]
        graph = helper.make_graph(
            self.nodes,
            "random",
            [helper.make_tensor_value_info("image", self.element, list(self.input_shape))],
            [helper.make_tensor_value_info(self.last, self.element, list(self.shape))],
            [numpy_helper.from_array(array, name) for name, array in self.constants.items()],
        )
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
        return read(proto.SerializeToString(), "random")


def draw(seed: int, *, real: bool = False) -> ir.Model:
    """A graph of three to seven layers; ``real`` computes it in float."""
    from tests.compile.operators import ANY, MAPS

    generator = np.random.default_rng(seed)
    channels, height, width = (int(v) for v in generator.integers((1, 5, 5), (7, 13, 13)))
    unsigned, whole = (bool(generator.random() < share) and not real for share in (0.25, 0.25))
    sketch = Sketch(seed, (1, channels, height, width), unsigned=unsigned, whole=whole, real=real)
    for _ in range(int(generator.integers(2, 6))):
        own = [Sketch.unary, Sketch.branch, *ANY]
        spacious = len(sketch.shape) == 4 and min(sketch.shape[2:]) > 1
        maps = [Sketch.conv, Sketch.conv, Sketch.pool, *MAPS] if spacious else []
        options = maps if maps and generator.random() < 0.6 else own
        options[int(generator.integers(len(options)))](sketch)
    if generator.random() < 0.7:
        sketch.dense()
    return sketch.model()


def feeds(model: ir.Model, count: int, seed: int) -> list[dict[str, np.ndarray]]:
    """Inputs that reach every int8 value and beyond."""
    generator = np.random.default_rng(seed)
    shape = tuple(int(d) for d in model.graph.inputs[0].shape)
    dtype = model.graph.inputs[0].dtype.numpy()
    made = []
    for index in range(count):
        if dtype.kind in "iu":
            least = int(np.iinfo(dtype).min)
            values = generator.integers(least, least + 256, shape)
            edges = generator.choice(EDGES, shape) + 128 + least
            made.append({"image": np.where(generator.random(shape) < 0.3, edges, values).astype(dtype)})
            continue
        spread = (12.0, 4.0, 1.0)[index % 3]
        values = generator.uniform(-spread, spread, shape).astype(np.float32)
        ties = (np.round(values / np.float32(0.05)) + 0.5) * np.float32(0.05)
        made.append({"image": np.where(generator.random(shape) < 0.2, ties, values).astype(np.float32)})
    return made
