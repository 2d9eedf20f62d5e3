"""``verify M.onnx OTHER.onnx``: two files whose tensors have other names, or share few of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

pytest.importorskip("onnxruntime", reason="verify runs both models")

from tests.cli.conftest import Refused
from toolchain.cli.main import main
from toolchain.errors import UsageError
from toolchain.verify import verify

DATA = ("--data", "mnist:test:8")


def renamed(path: Path, *, inner: bool = True, ends: bool = False) -> Path:
    """The model with other names: of inner tensors, of the input and the outputs."""
    model = onnx.load(path)
    outputs = [value.name for value in model.graph.output]
    made = [name for node in model.graph.node for name in node.output if name not in outputs]
    new = {name: f"{name}_2" for name in made} if inner else {}
    if ends:
        new.update({value.name: f"{value.name}_2" for value in (*model.graph.input, *model.graph.output)})
    for node in model.graph.node:
        node.input[:] = [new.get(name, name) for name in node.input]
        node.output[:] = [new.get(name, name) for name in node.output]
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        value.name = new.get(value.name, value.name)
    onnx.save(model, path.with_name("other.onnx"))
    return path.with_name("other.onnx")


def changed(path: Path, factor: float = 1.02) -> Path:
    """The same file with a weight of the first Conv changed."""
    model = onnx.load(path)
    names = [node.input[1] for node in model.graph.node if node.op_type == "Conv"]
    tensor = next(t for t in model.graph.initializer if t.name == names[0])
    array = numpy_helper.to_array(tensor) * np.float32(factor)
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    onnx.save(model, path)
    return path


NAMES = {
    "other inner names": {},
    "other inputs and outputs": {"inner": False, "ends": True},
    "all names": {"ends": True},
}


@pytest.mark.parametrize("names", NAMES)
def test_the_same_network_is_equivalent(here: Path, capsys: pytest.CaptureFixture[str], names: str) -> None:
    other = renamed(here / "digits.onnx", **NAMES[names])
    assert main(["verify", "digits.onnx", str(other), *DATA]) == 0
    assert "equivalent, by outputs: " in capsys.readouterr().out


@pytest.mark.parametrize("names", NAMES)
def test_a_changed_weight_is_no_network_wide_rounding(
    here: Path, capsys: pytest.CaptureFixture[str], names: str
) -> None:
    other = changed(renamed(here / "digits.onnx", **NAMES[names]))
    assert main(["verify", "digits.onnx", str(other), *DATA]) == 1
    assert "not equivalent: " in capsys.readouterr().out


@pytest.mark.parametrize(("factor", "code"), [(1.0, 0), (1.001, 1)])
def test_a_shared_name_in_front_of_two_products_does_not_certify_both(
    here: Path, capsys: pytest.CaptureFixture[str], factor: float, code: int
) -> None:
    """Composed over 64 x 64 products twice, the limit would pass a weight that is off by a thousandth."""
    generator = np.random.default_rng(2)
    weights = [(generator.standard_normal((64, 64)) / 8).astype(np.float32) for _ in range(3)]
    for file, inner, share in (("a.onnx", "p", 1.0), ("b.onnx", "q", factor)):
        arrays = {"u": weights[0], "v": weights[1] * np.float32(share), "w": weights[2]}
        links = [("x", "u", "shared"), ("shared", "v", inner), (inner, "w", "y")]
        graph = helper.make_graph(
            [helper.make_node("MatMul", [a, b], [c], name=c) for a, b, c in links],
            "products",
            [helper.make_tensor_value_info("x", 1, [1, 64])],
            [helper.make_tensor_value_info("y", 1, [1, 64])],
            [numpy_helper.from_array(array, name) for name, array in arrays.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
        (here / file).write_bytes(model.SerializeToString())
    assert main(["verify", "a.onnx", "b.onnx", "--synthetic", "4"]) == code
    shown = capsys.readouterr().out
    assert ("equivalent, by outputs: " if code == 0 else "not equivalent") in shown


def test_json_says_what_was_compared(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = renamed(here / "digits.onnx")
    assert main(["verify", "digits.onnx", str(other), *DATA, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["ok"] is True
    assert facts["matched"] == "outputs"
    assert [output["ok"] for output in facts["outputs"]] == [True]
    assert [verification["ok"] for verification in facts["verifications"]] == [True, True]


def test_a_page_needs_names(refused: Refused, here: Path) -> None:
    other = renamed(here / "digits.onnx")
    outcome = refused("verify", "digits.onnx", other, *DATA, "--html", "page.html")
    assert outcome.code == 2
    assert "share no inner tensor" in outcome.line


def test_a_page_never_overwrites_the_model(refused: Refused) -> None:
    outcome = refused("verify", "digits.onnx", "--synthetic", 1, "--html", "digits.onnx", "--force")
    assert outcome.code == 2
    assert "is the model itself" in outcome.line


def test_the_function_wants_the_same_outputs(here: Path) -> None:
    model = onnx.load(here / "digits.onnx")
    last = model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = ["another" if name == last else name for name in node.output]
    model.graph.output[0].name = "another"
    onnx.save(model, here / "other.onnx")
    with pytest.raises(UsageError, match="has no output"):
        verify(here / "digits.onnx", here / "other.onnx", synthetic=1)
