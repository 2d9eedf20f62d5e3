"""The networks that faults are planted into, in float and in int8, with what the correct backend computes on them.

LeNet-5 and the example CNN have their trained weights; AlexNet and VGG16 have their real size and seeded random
weights. A fifth graph, ``probe``, holds what none of the four has: normalisations that have an epsilon, padded average
pools, ceil_mode, dilations and groups.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from models import zoo
from toolchain.data import Samples, samples
from toolchain.export import export
from toolchain.load import load, read
from toolchain.ops.operator import Spec
from toolchain.quantize.rewrite import Scheme
from toolchain.quantize.static import convert
from toolchain.reference import Reference
from toolchain.session import SessionOptions
from toolchain.shapes import infer
from toolchain.verify.arithmetic import FLOAT32
from toolchain.verify.integers import IntegerJudge
from toolchain.verify.observe import OnnxRuntimeBackend
from toolchain.verify.regions import Region, cut

Array = NDArray[Any]

TRAINED = ("lenet5", "example-cnn")
LARGE = ("alexnet", "vgg16")
PROBE = "probe"
NAMES = (*TRAINED, *LARGE, PROBE)
FORMS = ("float", "int8")
OPSET = 20
SAMPLES = 8
"""Of the small networks; a large one has so many pixels that one sample is enough."""
CALIBRATION = 64
SEED = 0


@dataclass(frozen=True)
class Subject:
    """A network and one run of the correct backend.

    Attributes:
        network: one of :data:`NAMES`.
        form: one of :data:`FORMS`.
        model: what is meant.
        feeds: the input, by name.
        tensors: what the backend computed, by the model's names; the input too.
        specs: types and shapes of the model's tensors.
        regions: of the graph that the backend runs.
        reference: the interpreter of the model.
        integers: judges tensors of integers; ``None`` for a model in float.
    """

    network: str
    form: str
    model: ir.Model
    feeds: Mapping[str, Array]
    tensors: Mapping[str, Array]
    specs: Mapping[str, Spec]
    regions: tuple[Region, ...]
    reference: Reference
    integers: IntegerJudge | None

    @cached_property
    def native(self) -> dict[str, Array]:
        """Initializers in their own types."""
        return {
            name: value.const_value.numpy()
            for name, value in self.model.graph.initializers.items()
            if value.const_value is not None
        }

    @property
    def small(self) -> bool:
        """Whether whole verifications of it take no time worth saving."""
        return self.network not in LARGE


def subject(network: str, form: str) -> Subject:
    """Build a network in a form and run the correct backend on it."""
    model, given = _float(network)
    if form == "int8":
        calibration = samples(model, f"mnist:train:{CALIBRATION}") if network in TRAINED else given
        model = convert(model, calibration, Scheme())
    return observed(network, form, model, given)


def observed(network: str, form: str, model: ir.Model, given: Samples) -> Subject:
    """Run the correct backend, optimised as in production, and cut the model where its tensors can be seen."""
    reference, specs = Reference(model), infer(model)
    feeds = given.feeds(0, len(given))
    backend = OnnxRuntimeBackend(model, SessionOptions(), specs=specs, shapes_of=model)
    tensors = {**feeds, **backend.observe(feeds).tensors}
    shown = {*tensors, *reference.outputs}
    regions = cut(reference.steps, reference.constants, shown)
    integers = IntegerJudge.of(model, backend.kernels, FLOAT32.roundoff, specs)
    return Subject(network, form, model, feeds, tensors, specs, regions, reference, integers)


def _float(network: str) -> tuple[ir.Model, Samples]:
    if network in TRAINED:
        with tempfile.TemporaryDirectory(prefix="onnx-edge-") as folder:
            path = Path(folder) / "network.onnx"
            export(network, output=path, batch=SAMPLES)
            model = load(path)
        return model, samples(model, f"mnist:test:{SAMPLES}")
    model = probe() if network == PROBE else written(network)
    return model, samples(model, None, synthetic=SAMPLES if network == PROBE else 1, seed=SEED)


def written(network: str) -> ir.Model:
    """A network of the zoo with seeded weights, layer by layer; ``export`` proves its graph for minutes."""
    known = zoo.get(network)
    graph = _Writer(known.input.name, (1, *known.input.shape))
    for name, layer in _layers(zoo.seeded(known, SEED)):
        graph.layer(name, layer)
    return graph.model(network)


def _layers(module: Any) -> Iterator[tuple[str, Any]]:
    """What a network of two Sequential parts computes, in order, with the flattening between them."""
    yield from ((f"features.{name}", layer) for name, layer in module.features.named_children())
    yield "flatten", None
    yield from ((f"classifier.{name}", layer) for name, layer in module.classifier.named_children())


class _Writer:
    """An ONNX graph, one layer behind the other."""

    def __init__(self, name: str, shape: tuple[int, ...]) -> None:
        self._input = ir.val(name, ir.DataType.FLOAT, shape)
        self._last = self._input
        self._nodes: list[ir.Node] = []
        self._initializers: list[ir.Value] = []

    def add(self, op: str, name: str, *constants: Array, **attributes: Any) -> None:
        """A node on the last result, and constants behind it as further inputs."""
        values = []
        for position, array in enumerate(constants):
            tensor = ir.tensor(array, name=f"{name}.{position}")
            shape, kind = ir.Shape(array.shape), ir.TensorType(tensor.dtype)
            values.append(ir.Value(name=tensor.name, shape=shape, type=kind, const_value=tensor))
        node = ir.node(op, [self._last, *values], attributes, name=name)
        self._initializers += values
        self._nodes.append(node)
        self._last = node.outputs[0]
        self._last.name = name
        self._last.dtype = ir.DataType.FLOAT

    def layer(self, name: str, layer: Any) -> None:
        """A PyTorch layer."""
        kind = type(layer).__name__
        if kind == "Conv2d":
            geometry = {"strides": layer.stride, "pads": (*layer.padding, *layer.padding), "group": layer.groups}
            self.add("Conv", name, layer.weight.detach().numpy(), layer.bias.detach().numpy(), **geometry)
        elif kind == "Linear":
            self.add("Gemm", name, layer.weight.detach().numpy(), layer.bias.detach().numpy(), transB=1)
        elif kind == "LocalResponseNorm":
            self.add("LRN", name, size=layer.size, alpha=layer.alpha, beta=layer.beta, bias=layer.k)
        elif kind == "MaxPool2d":
            size, step = ((v, v) if isinstance(v, int) else v for v in (layer.kernel_size, layer.stride))
            self.add("MaxPool", name, kernel_shape=size, strides=step)
        elif kind == "ReLU":
            self.add("Relu", name)
        elif layer is None:
            self.add("Flatten", name)
        elif kind != "Dropout":
            raise TypeError(f"{name} is {kind}; expected a layer of AlexNet or VGG16")

    def model(self, name: str) -> ir.Model:
        """All of it."""
        graph = ir.Graph(
            [self._input],
            [self._last],
            nodes=self._nodes,
            initializers=self._initializers,
            opset_imports={"": OPSET},
            name=name,
        )
        model = ir.Model(graph, ir_version=10)
        self._last.shape = ir.Shape(list(infer(model)[self._last.name or ""].shape))
        return model


def probe() -> ir.Model:
    """Operators and attributes that the four networks lack, with seeded weights."""
    draw = np.random.default_rng(SEED)

    def weights(name: str, *shape: int) -> TensorProto:
        bound = 1.0 / np.sqrt(np.prod(shape[1:]))
        return numpy_helper.from_array(draw.uniform(-bound, bound, shape).astype(np.float32), name)

    def positive(name: str, size: int) -> TensorProto:
        return numpy_helper.from_array(draw.uniform(0.25, 1.0, size).astype(np.float32), name)

    def vector(name: str, size: int) -> TensorProto:
        return numpy_helper.from_array(draw.uniform(-0.5, 0.5, size).astype(np.float32), name)

    window: dict[str, Any] = {"kernel_shape": [3, 3], "strides": [2, 2]}
    around = [1, 1, 1, 1]
    node = helper.make_node
    nodes = [
        node("Conv", ["image", "a.w", "a.b"], ["a"], "a", pads=around),
        node("BatchNormalization", ["a", "n.s", "n.b", "n.m", "n.v"], ["n"], "n", epsilon=1e-3),
        node("Relu", ["n"], ["r"], "r"),
        node("AveragePool", ["r"], ["p"], "p", pads=around, **window),
        node("Conv", ["p", "c.w", "c.b"], ["c"], "c", dilations=[2, 2], pads=[2, 1, 2, 3], group=2),
        node("LeakyRelu", ["c"], ["l"], "l", alpha=0.1),
        node("AveragePool", ["l"], ["q"], "q", pads=around, kernel_shape=[3, 3], count_include_pad=1),
        node("InstanceNormalization", ["q", "i.s", "i.b"], ["i"], "i", epsilon=1e-4),
        node("MaxPool", ["i"], ["m"], "m", ceil_mode=1, **window),
        node("AveragePool", ["m"], ["v"], "v", ceil_mode=1, kernel_shape=[2, 2], strides=[2, 2]),
        node("Sigmoid", ["v"], ["s"], "s"),
        node("Flatten", ["s"], ["f"], "f"),
        node("Gemm", ["f", "g.w", "g.b"], ["scores"], "g", transB=1),
    ]
    initializers = [
        weights("a.w", 8, 3, 3, 3),
        vector("a.b", 8),
        positive("n.s", 8),
        vector("n.b", 8),
        vector("n.m", 8),
        positive("n.v", 8),
        weights("c.w", 8, 4, 3, 3),
        vector("c.b", 8),
        positive("i.s", 8),
        vector("i.b", 8),
        weights("g.w", 10, 72, 1, 1),
        vector("g.b", 10),
    ]
    initializers[-2].dims[:] = [10, 72]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [SAMPLES, 3, 20, 20])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [SAMPLES, 10])
    graph = helper.make_graph(nodes, PROBE, [image], [scores], initializers)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    return read(proto.SerializeToString(), PROBE)
