"""What cannot be compiled is refused in one line, before anything is written."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from tests.compile.graphs import Sketch
from tests.compile.running import linked
from tests.conftest import RunCli
from tests.toolchain import digits
from toolchain.compile import Options
from toolchain.compile import compile as compile_model
from toolchain.compile.identifiers import check, identifier
from toolchain.compile.translate import translate
from toolchain.errors import MissingError, ShapeError, ToolchainError, UnknownNameError, UnsupportedError, UsageError
from toolchain.load import read
from toolchain.reference import Reference


def _one(op_type: str, shape: list[int | str], **attributes: object) -> ir.Model:
    graph = helper.make_graph(
        [helper.make_node(op_type, ["x"], ["y"], "the_node", **attributes)],
        "one",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [None] * len(shape))],
    )
    return read(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString(), "one"
    )


def test_an_operator_without_a_kernel_is_named() -> None:
    with pytest.raises(UnsupportedError, match=r"'the_node' \(Cos-7\).*no C kernel.*rewrite"):
        translate(_one("Cos", [1, 4]), "net")


def test_free_dimensions() -> None:
    model = _one("Relu", [1, 3, "height", 4])
    with pytest.raises(ShapeError, match="--shape"):
        translate(model, "net")
    assert translate(model, "net", shapes={"x": (1, 3, 5, 4)}).program.inputs[0].shape == (1, 3, 5, 4)


def test_a_batch_is_not_compiled() -> None:
    with pytest.raises(ShapeError, match="one sample at a time"):
        translate(_one("Relu", [2, 3, 4, 4]), "net")


def _wide(features: int) -> ir.Model:
    """A dense layer whose accumulator can leave int32."""
    sketch = Sketch(1, (1, features))
    weights = sketch.constant(np.full((1, features), 127, np.int8))
    one, zero = sketch.constant(np.asarray(np.float32(0.01))), sketch.constant(np.asarray(np.int8(0)))
    w = sketch.node("DequantizeLinear", [weights, one, zero])
    sketch.shape = (1, 1)
    sketch.finish(sketch.node("Gemm", [sketch.last, w], transB=1), 100.0)
    return sketch.model()


def test_an_accumulator_that_could_overflow_names_the_layer() -> None:
    with pytest.raises(UnsupportedError, match=r"gemm\d+.*output channel 0 can reach \d+.*beyond 32 bits"):
        translate(_wide(70_000 * 2), "net")
    assert translate(_wide(60_000), "net").floats == ()


@pytest.mark.parametrize("op_type", ["Conv", "ConvTranspose"])
def test_a_convolution_that_could_overflow_names_the_layer(op_type: str, tmp_path: Path) -> None:
    sketch = Sketch(1, (1, 70_000, 1, 2))
    shape = (1, 70_000, 1, 2) if op_type == "Conv" else (70_000, 1, 1, 2)
    weights = sketch.constant(np.full(shape, -128, np.int8))
    one, zero = sketch.constant(np.asarray(np.float32(0.01))), sketch.constant(np.asarray(np.int8(0)))
    w = sketch.node("DequantizeLinear", [weights, one, zero])
    sketch.shape = (1, 1, 1, 1) if op_type == "Conv" else (1, 1, 1, 3)
    sketch.finish(sketch.node(op_type, [sketch.last, w]), 100.0)
    with pytest.raises(UnsupportedError, match=rf"{op_type.lower()}\d+.*output channel 0 can reach.*beyond 32 bits"):
        compile_model(sketch.model(), output=tmp_path / "c")
    assert list(tmp_path.iterdir()) == []


WEIGHTED = {
    "Conv": ("weight", (2, 1, 1, 1), 0),
    "ConvTranspose": ("weight", (1, 2, 1, 1), 0),
    "MatMul": ("matrix", (3, 2), 0),
    "BatchNormalization": ("statistic", (1,), 3),
    "Mul": ("constant", (1, 1, 3, 3), 0),
}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("op_type", WEIGHTED)
def test_weights_that_are_no_numbers(op_type: str, value: float, tmp_path: Path) -> None:
    what, shape, more = WEIGHTED[op_type]
    names = ["w", *(f"m{index}" for index in range(more))]
    constants = {name: np.ones(shape, np.float32) for name in names}
    constants["w"].reshape(-1)[0] = value
    graph = helper.make_graph(
        [helper.make_node(op_type, ["x", *names], ["y"], "the_node")],
        "one",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 1, 3, 3])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [None] * 4)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    with pytest.raises(UnsupportedError, match=f"'the_node'.*{what} holds NaN or infinity"):
        compile_model(read(proto.SerializeToString(), "one"), output=tmp_path / "c")
    assert list(tmp_path.iterdir()) == []


def test_names_that_collide_in_c(tmp_path: Path) -> None:
    """Tensors and nodes called like one another, like kernels, like keywords, and in other scripts."""
    names = ["a/b", "a.b", "add_f32", "memory", "int", "净", "", "net", "unary_f32", "A_B"]
    nodes, last = [], "x y"
    for index, name in enumerate(names):
        out = f"{name} out" if index < len(names) - 1 else "float"
        op_type = ("Sigmoid", "Add")[index % 2]
        nodes.append(helper.make_node(op_type, [last] * (index % 2 + 1), [out], name))
        last = out
    graph = helper.make_graph(
        nodes,
        "collisions",
        [helper.make_tensor_value_info("x y", onnx.TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("float", onnx.TensorProto.FLOAT, [1, 4])],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    model = read(proto.SerializeToString(), "collisions")
    sample = {"x y": np.array([[-2.0, -0.5, 0.0, 3.0]], np.float32)}
    run = linked(translate(model, "net"), tmp_path / "c", ("-O1",))
    want = Reference(model).run(sample)["float"]
    assert np.allclose(run(sample)["float"], want, rtol=1e-6)


@pytest.mark.parametrize("name", ["2fast", "a-b", "", "int", "x" * 60, "été", "main", "a b"])
def test_names_that_are_no_identifiers(name: str) -> None:
    with pytest.raises(UsageError, match="prefix of C names"):
        check(name)


def test_names_of_tensors_become_identifiers_of_their_own() -> None:
    taken: set[str] = set()
    names = [identifier(name, taken) for name in ("a/b", "a.b", "int", "1", "", "*/ evil /*", "arena")]
    assert names == ["a_b", "a_b_2", "t_int", "t_1", "unnamed", "evil", "t_arena"]


def test_a_chip_that_is_too_small(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    model = digits.model(batch=1)
    for limit, message in (
        (Options(flash=8192), r"8192 bytes of flash.*too many.*dense_layer"),
        (Options(ram=1024), r"bytes of RAM.*too many"),
    ):
        try:
            with pytest.raises(UnsupportedError, match=message):
                compile_model(model, target="cortex-m4", output=tmp_path / "c", options=limit)
        except MissingError as error:
            pytest.skip(str(error))
        assert not (tmp_path / "c").exists()


def test_a_missing_emulator_names_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("arm-none-eabi-gcc", "arm-none-eabi-ar", "arm-none-eabi-size"):
        path = shutil.which(name)
        if path is None:
            pytest.skip(f"{name} is not installed")
        (tools / name).symlink_to(path)
    monkeypatch.setenv("PATH", str(tools))
    with pytest.raises(MissingError, match=r"qemu-system-arm is not installed.*apt-get install qemu-system-arm"):
        compile_model(_wide(16), target="cortex-m4", output=tmp_path / "c", run=True, synthetic=1)
    assert list(tmp_path.iterdir()) == [tools]


@pytest.mark.parametrize("what", ["operator", "shape", "batch", "name"])
def test_nothing_is_written_when_a_model_is_refused(what: str, tmp_path: Path) -> None:
    models = {
        "operator": _one("Cos", [1, 4]),
        "shape": _one("Relu", [1, 3, "height", 4]),
        "batch": _one("Relu", [2, 4]),
        "name": _one("Relu", [1, 4]),
    }
    with pytest.raises(ToolchainError):
        compile_model(models[what], output=tmp_path / "c", options=Options("2bad" if what == "name" else "net"))
    assert list(tmp_path.iterdir()) == []


def test_usage() -> None:
    model = _one("Relu", [1, 4])
    with pytest.raises(UnknownNameError, match="cortex-m4"):
        compile_model(model, target="cortex-m44", output=Path("c"))
    with pytest.raises(UsageError, match="--data"):
        compile_model(model, output=Path("c"), run=True)
    with pytest.raises(UsageError, match="microcontrollers"):
        compile_model(model, output=Path("c"), options=Options(flash=1))


def test_a_missing_compiler_names_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingError, match="apt-get install gcc"):
        compile_model(_one("Relu", [1, 4]), output=tmp_path / "c")
    assert list(tmp_path.iterdir()) == []


def test_the_command_line(run_cli: RunCli, tmp_path: Path) -> None:
    path = digits.write(tmp_path / "digits.onnx", batch=1)
    done = run_cli("compile", path, "-o", tmp_path / "c", "--name", "my_net")
    assert done.exit_code == 0, done.stderr
    assert "arena" in done.stdout
    assert (tmp_path / "c" / "libmy_net.so").exists()
    again = run_cli("compile", path, "-o", tmp_path / "c")
    assert again.exit_code == 2
    bad = run_cli("compile", path, "-o", tmp_path / "d", "--target", "hots")
    assert bad.exit_code == 2
    assert "host" in bad.stderr
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(winograd=True), "--winograd applies to no layer here"),
        (Options(mode="small"), "--mode small is of microcontrollers; host is none"),
    ],
)
def test_a_choice_without_effect_is_refused(options: Options, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        compile_model(_one("Relu", [1, 3, 4, 4]), output=tmp_path / "c", options=options)
    assert not (tmp_path / "c").exists()


def test_a_log_is_judged_without_other_data(run_cli: RunCli, tmp_path: Path) -> None:
    (tmp_path / "serial.log").write_text("")
    done = run_cli("verify", "--log", tmp_path / "serial.log", "--synthetic", "2")
    assert done.exit_code == 2
    assert "leave out OTHER.onnx and data" in done.stderr
