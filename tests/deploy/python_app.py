"""What the tests of the Python app share: models to try it on, hostile bytes, the command."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import onnx
from digit_recogniser.model import Recogniser
from onnx import TensorProto, helper, numpy_helper

from models.inputs import ImageInput
from tests.deploy.digit_drawing import REPOSITORY

APP = REPOSITORY / "deploy" / "python"
DIGITS = "0123456789"
INPUT = ImageInput("image", "gray", (32, 32), (28, 28), None, (0.1307,), (0.3081,))


def linear_model(
    path: Path,
    *,
    weights: np.ndarray | None = None,
    classes: int = 10,
    batch: int | str = "batch",
    end: str | None = None,
    metadata: dict[str, str] | None = None,
) -> Path:
    """A linear classifier of 32x32 pictures."""
    if weights is None:
        weights = np.random.default_rng(1).normal(size=(1024, classes)).astype(np.float32)
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["y"]),
    ]
    if end is not None:
        nodes.append(helper.make_node(end, ["y"], ["p"]))
    shape, output = [batch, 1, 32, 32], nodes[-1].output[0]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [batch, classes])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    facts = {"onnx_edge.input": INPUT.to_json(), "onnx_edge.labels": json.dumps(list(DIGITS[:classes]))}
    helper.set_model_props(model, facts if metadata is None else metadata)
    onnx.save(model, path)
    return path


def run_app(*arguments: object) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, str(APP / "recognise.py"), *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


def read(recogniser: Recogniser, data: bytes) -> str:
    return recogniser.recognise(data).candidates[0][0]


def png_bomb(side: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    pixels = zlib.compress(bytes((side // 8 + 1) * 8), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


BAD_BYTES = np.random.default_rng(3).integers(0, 256, 5000).astype(np.uint8).tobytes()
