"""The nine ``light_*`` networks of the onnx package, on seeded weights, against ONNX Runtime.

In the package nearly every weight is a ConstantOfShape, so that a network computes the same from any input. Here all
are drawn: matrices and filters
from a normal distribution scaled by ``sqrt(2 / fan in)``, which keeps activations of one
size through ReLU layers (He et al., 2015); biases and batch statistics around neutral values.

No bound is useful from end to end. What is compared is the error of the last scores relative to their spread. The
roundings of one layer add about 2^-24 of it and those of many layers add up like a random walk, so that 2e-5 leaves
room for 300 layers and more; measured are 7e-7 to 2.3e-6. One weight of the first layer that changes its sign
must be seen at ten times that limit.
"""

from __future__ import annotations

import zlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper
from onnx.backend.test.loader import DATA_DIR

from toolchain.allowance import Allowance
from toolchain.load import read
from toolchain.reference import Reference

ALLOWED = 2e-5
FAST = ("squeezenet", "shufflenet", "inception_v1", "inception_v2", "resnet50", "densenet121")
SLOW = ("bvlc_alexnet", "zfnet512", "vgg19")
NETWORKS = [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
ROLES = {
    "BatchNormalization": (None, "scale", "bias", "mean", "variance"),
    "Mul": (None, "scale"),
    "Add": (None, "bias"),
}


def rng(name: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(name.encode()))


def roles(graph: onnx.GraphProto) -> dict[str, str]:
    """What each constant is for, by tensor name; followed back through Unsqueeze."""
    found: dict[str, str] = {}
    for node in reversed(graph.node):
        known = ROLES.get(node.op_type, (None, "weight", "bias"))
        for name, role in zip(node.input, known, strict=False):
            if role is not None:
                found.setdefault(name, role)
        if node.op_type == "Unsqueeze" and node.output[0] in found:
            found[node.input[0]] = found[node.output[0]]
    return found


def drawn(name: str, role: str, shape: tuple[int, ...], fan_in: int) -> np.ndarray[Any, Any]:
    """Seeded values for a constant."""
    normal = rng(name).standard_normal(shape, dtype=np.float32)
    if role == "weight":
        return normal * np.float32(np.sqrt(2 / fan_in))
    if role == "variance":
        return 1 + np.abs(normal)
    return (1 if role == "scale" else 0) + np.float32(0.1) * normal


def seeded(name: str) -> onnx.ModelProto:
    """The network with drawn weights as initializers, and logits instead of probabilities as output."""
    model = onnx.load(Path(DATA_DIR) / "light" / f"light_{name}.onnx")
    model.ir_version = 8  # initializers need not be inputs
    graph = model.graph
    stored = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    shapes = {name: array.shape for name, array in stored.items() if array.dtype == np.float32}
    filled = [node for node in graph.node if node.op_type == "ConstantOfShape"]
    shapes |= {node.output[0]: tuple(stored[node.input[0]].tolist()) for node in filled}
    for initializer in [i for i in graph.initializer if i.name in shapes]:
        graph.initializer.remove(initializer)
    known = roles(graph)
    transposed = {
        n.input[1] for n in graph.node if n.op_type == "Gemm" and any(a.name == "transB" for a in n.attribute)
    }
    for output, shape in shapes.items():
        matrix = len(shape) == 2 and output not in transposed
        fan_in = shape[0] if matrix else int(np.prod(shape[1:]))
        values = drawn(output, known.get(output, "weight"), shape, max(fan_in, 1))
        graph.initializer.append(numpy_helper.from_array(values, output))
    kept = [node for node in graph.node if node.op_type != "ConstantOfShape"]
    del graph.node[:]
    graph.node.extend(kept)
    if graph.node[-1].op_type == "Softmax":
        graph.output[0].name = graph.node[-1].input[0]
        del graph.node[-1]
    used = {i for node in graph.node for i in node.input}
    for field in (graph.initializer, graph.input):
        unused = [entry for entry in field if entry.name not in used]
        for entry in unused:
            field.remove(entry)
    return model


def feeds(model: onnx.ModelProto) -> dict[str, np.ndarray[Any, Any]]:
    """A seeded input."""
    inner = {i.name for i in model.graph.initializer}
    (data,) = [i for i in model.graph.input if i.name not in inner]
    shape = [d.dim_value for d in data.type.tensor_type.shape.dim]
    return {data.name: rng("input").standard_normal(shape, dtype=np.float32)}


@cache
def interpreted(name: str) -> tuple[onnx.ModelProto, np.ndarray[Any, Any]]:
    """A seeded network and our interpreter's scores."""
    model = seeded(name)
    (scores,) = Reference(read(model.SerializeToString(), name, allowed=Allowance(8))).run(feeds(model)).values()
    return model, scores


def runtime(model: onnx.ModelProto) -> np.ndarray[Any, Any]:
    """ONNX Runtime's scores, nothing fused."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, feeds(model))[0])


def distance(scores: np.ndarray[Any, Any], exact: np.ndarray[Any, Any]) -> float:
    """Largest error relative to how much the exact scores differ among each other."""
    return float(np.max(np.abs(scores - exact)) / np.std(exact))


def first_filter(model: onnx.ModelProto) -> onnx.TensorProto:
    """The weight of the first convolution."""
    name = next(node.input[1] for node in model.graph.node if node.op_type == "Conv")
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


@pytest.mark.parametrize("name", NETWORKS)
def test_agrees_with_onnx_runtime(name: str) -> None:
    model, exact = interpreted(name)
    assert np.isfinite(exact).all()
    assert exact.size == 1000
    assert np.unique(np.round(exact / np.std(exact), 6)).size > 200, "scores that do not differ prove nothing"
    assert distance(runtime(model), exact) < ALLOWED

    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    weight = first_filter(changed)
    values = numpy_helper.to_array(weight).copy()
    index = np.unravel_index(np.argmax(np.abs(values)), values.shape)
    values[index] *= -1
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    assert distance(runtime(changed), exact) > 10 * ALLOWED, "one weight of the first layer changed and nobody saw"


def test_all_nine_are_here() -> None:
    shipped = {path.stem.removeprefix("light_") for path in (Path(DATA_DIR) / "light").glob("*.onnx")}
    assert shipped == {*FAST, *SLOW}
