"""Large weights beside the graph: the runtime answers as it does with one serialised model, and nothing is changed."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, helper, numpy_helper

from toolchain.load import read
from toolchain.reference import Reference
from toolchain.session import LARGE_BYTES, Session, SessionOptions, detached, serialized
from toolchain.unpack import unpacked
from toolchain.verify import verify

ROWS, COLUMNS = 600, 500


def large() -> ir.Model:
    """A product with a weight of 1.2 MB, a bias, and an activation."""
    generator = np.random.default_rng(0)
    weights = {
        "w": generator.standard_normal((COLUMNS, ROWS)).astype(np.float32),
        "b": generator.standard_normal(COLUMNS).astype(np.float32),
    }
    assert weights["w"].nbytes >= LARGE_BYTES
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "w", "b"], ["z"], name="product", transB=1),
            helper.make_node("Relu", ["z"], ["y"], name="relu"),
        ],
        "large",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", ROWS])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", COLUMNS])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return read(proto.SerializeToString(), "large")


def feeds() -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(1).standard_normal((3, ROWS)).astype(np.float32)}


def test_the_parts_run_as_the_whole() -> None:
    model = large()
    before = serialized(model)
    parts = detached(model)
    assert list(parts.weights) == ["w"]
    assert len(parts.content) < 10_000
    assert serialized(model) == before
    (whole,), (split,) = (Session(m).run(feeds()).values() for m in (model, parts))
    assert whole.tobytes() == split.tobytes()


def test_types_that_numpy_lacks_stay_inside() -> None:
    array = ir.Tensor(np.zeros(LARGE_BYTES, dtype=ml_dtypes.bfloat16), name="w")
    model = large()
    model.graph.initializers["w"].const_value = array
    assert not detached(model).weights


def test_the_saved_graph_has_its_large_weights_beside_it(tmp_path: Path) -> None:
    saved = tmp_path / "saved.onnx"
    expected = Session(detached(large()), SessionOptions(optimized_model=saved)).run(feeds())["y"]
    assert saved.stat().st_size < 10_000
    assert (tmp_path / "saved.onnx.weights").stat().st_size >= LARGE_BYTES
    again = Session(saved, SessionOptions(optimization="off")).run(feeds())["y"]
    assert again.tobytes() == expected.tobytes()
    assert onnx.load(saved).graph.initializer  # with its weights: a whole model


def test_unpacking_changes_no_value() -> None:
    model = large()
    before = serialized(model)
    same = unpacked(model)
    assert same is model
    assert serialized(model) == before
    assert all(isinstance(v.const_value, ir.Tensor) for v in model.graph.initializers.values())
    held = model.graph.initializers["w"].const_value
    assert held is not None
    assert held.numpy() is held.numpy()


def test_a_large_model_is_judged(tmp_path: Path) -> None:
    path = tmp_path / "large.onnx"
    path.write_bytes(serialized(large()))
    result = verify(path, synthetic=2)
    assert result.ok
    assert result.end_to_end is not None
    assert result.end_to_end.agree == 2
    (received,) = Session(path.read_bytes()).run(feeds()).values()
    np.testing.assert_allclose(received, Reference(large()).run(feeds())["y"], rtol=1e-4, atol=1e-4)
