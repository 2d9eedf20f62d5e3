"""The first rounding of an int8 network, from floats: exact beside every tie, by vectors and one by one."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from tests.compile.running import linked
from toolchain.compile.translate import translate
from toolchain.load import read

SCALES = (
    np.float32(1 / 127.5),
    np.float32(0.05),
    np.float32(2.0**-6),
    np.float32(3.7e-3),
    np.float32(8e-37),
    np.float32(1.2e36),
)
BUILDS = {"vectors": ("-O2",), "optimized": ("-O3", "-march=native"), "one by one": ("-O1", "-U__SSE2__")}


def _model(shape: tuple[int, ...], scale: np.float32, zero: int) -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"], "first")],
        "quantize",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", onnx.TensorProto.INT8, shape)],
        [numpy_helper.from_array(np.asarray(scale), "s"), numpy_helper.from_array(np.int8(zero), "z")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def _beside_ties(scale: np.float32) -> np.ndarray:
    """All ties between -130 and 130 steps, as near as floats come, their neighbours, and what is far away."""
    ties = ((np.arange(-130, 131) + 0.5) * np.float64(scale)).astype(np.float32)
    around = [ties]
    for direction in (-np.inf, np.inf):
        near = ties
        for _ in range(3):
            near = np.nextafter(near, np.float32(direction))
            around.append(near)
    far = np.array([np.inf, -np.inf, 3e38, -3e38, 0.0, -0.0, 1e-45, -1e-45], dtype=np.float32)
    return np.concatenate([*around, far])


def _exactly(value: np.float32, scale: np.float32, zero: int) -> int:
    if np.isinf(value):
        return 127 if value > 0 else -128
    return min(max(round(Fraction(float(value)) / Fraction(float(scale))) + zero, -128), 127)


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("channels", [1, 3, 40])
def test_every_tie_goes_to_the_even_neighbour(build: str, channels: int, tmp_path: Path) -> None:
    for index, scale in enumerate(SCALES):
        zero = (0, -128, 127, 3, -1, 5)[index]
        values = _beside_ties(scale)
        side = -(-values.size // channels)
        image = np.resize(values, (1, channels, side, 1))
        model = read(_model(image.shape, scale, zero).SerializeToString(), "quantize")
        run = linked(translate(model, "net", wide=True), tmp_path / str(index), BUILDS[build])
        (received,) = (array for name, array in run({"x": image}).items() if name == "y")
        expected = np.array([_exactly(v, scale, zero) for v in image.ravel()]).reshape(image.shape)
        np.testing.assert_array_equal(received, expected, f"scale {scale}")
