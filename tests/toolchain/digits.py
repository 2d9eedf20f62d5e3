"""A small real digit network made without PyTorch: fixed filters, and a last layer solved on MNIST."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from onnx import helper, numpy_helper

from models import datasets
from models.inputs import ImageInput
from toolchain.session import Session

INPUT = ImageInput("image", "gray", (28, 28), (28, 28), None, (0.1307,), (0.3081,))
DIGITS = tuple("0123456789")


@cache
def _weights() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(7)
    filters = generator.standard_normal((8, 1, 5, 5)).astype(np.float32) * 0.2
    facts = {
        "filters": filters,
        "filter_bias": generator.standard_normal(8).astype(np.float32) * 0.1,
        "scale": generator.uniform(0.5, 1.5, 8).astype(np.float32),
        "shift": generator.standard_normal(8).astype(np.float32) * 0.1,
        "mean": generator.standard_normal(8).astype(np.float32) * 0.1,
        "variance": generator.uniform(0.5, 1.5, 8).astype(np.float32),
    }
    data = datasets.load("mnist:train:4000", input=INPUT)
    features_only = _proto({**facts, "dense": np.eye(1152, dtype=np.float32), "bias": np.zeros(1152)}, None, 0)
    session = Session(features_only.SerializeToString())
    features = session.run({"image": INPUT.tensor(data.images)})["scores"].astype(np.float64)
    wanted = np.eye(10)[data.labels] * 10.0 - 5.0
    center = features.mean(axis=0)
    centered = features - center
    solved = np.linalg.solve(centered.T @ centered + 300.0 * np.eye(1152), centered.T @ wanted)
    return {
        **facts,
        "dense": solved.T.astype(np.float32),
        "bias": (wanted.mean(axis=0) - center @ solved).astype(np.float32),
    }


def _proto(weights: dict[str, np.ndarray], batch: int | None, softmax: int) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Conv", ["image", "filters", "filter_bias"], ["maps"], "conv"),
        helper.make_node("BatchNormalization", ["maps", "scale", "shift", "mean", "variance"], ["normal"], "norm"),
        helper.make_node("Relu", ["normal"], ["positive"], "relu"),
        helper.make_node("MaxPool", ["positive"], ["pooled"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["pooled"], ["flat"], "flatten"),
        helper.make_node(
            "Gemm", ["flat", "dense", "bias"], ["logits" if softmax else "scores"], "dense_layer", transB=1
        ),
    ]
    if softmax:
        nodes.append(helper.make_node("Softmax", ["logits"], ["scores"], "softmax", axis=1))
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [batch or "batch", 1, 28, 28])],
        [helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, [batch or "batch", None])],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def model(
    *,
    batch: int | None = None,
    softmax: bool = False,
    metadata: bool = True,
    labels: tuple[str, ...] | None = DIGITS,
) -> ir.Model:
    proto = _proto(_weights(), batch, int(softmax))
    facts: dict[str, str] = {}
    if metadata:
        facts["onnx_edge.input"] = INPUT.to_json()
    if metadata and labels is not None:
        facts["onnx_edge.labels"] = json.dumps(labels)
    helper.set_model_props(proto, facts)
    return ir.from_proto(proto)


def write(path: Path, **options: object) -> Path:
    path.write_bytes(ir.to_proto(model(**options)).SerializeToString(deterministic=True))  # type: ignore[arg-type]
    return path
