"""The pytest plugin as its users have it: other people's tests, in a pytest of their own."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from tests.conftest import ROOT
from tests.toolchain import digits
from toolchain.equivalence import equivalent, shared, write_npz
from toolchain.errors import UnknownNameError
from toolchain.pytest_plugin import OnnxEdge
from toolchain.session import Session, SessionOptions

pytest.importorskip("onnxruntime", reason="verify needs the extra `cpu`")

pytest_plugins = ["pytester"]
DATA = "mnist:test:4"
EDGE = OnnxEdge()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits.write(tmp_path_factory.mktemp("models") / "digits.onnx")


def shifted(path: Path, by: float = 0.01) -> onnx.ModelProto:
    """The network with one constant of its normalisation changed."""
    proto = onnx.load(path)
    (tensor,) = (t for t in proto.graph.initializer if t.name == "shift")
    values = numpy_helper.to_array(tensor).copy()
    values[3] += by
    tensor.CopyFrom(numpy_helper.from_array(values, "shift"))
    return proto


def renamed(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The same network as another exporter would name it: inputs, outputs, tensors and nodes."""
    proto = onnx.ModelProto.FromString(proto.SerializeToString())
    constants = {tensor.name for tensor in proto.graph.initializer}
    for node in proto.graph.node:
        node.name = f"other_{node.name}"
        node.input[:] = [name if name in constants else f"other_{name}" for name in node.input]
        node.output[:] = [f"other_{name}" for name in node.output]
    for value in (*proto.graph.input, *proto.graph.output):
        value.name = f"other_{value.name}"
    del proto.metadata_props[:]
    return proto


def failure(assertion: object, *args: object, **options: object) -> str:
    with pytest.raises(pytest.fail.Exception) as caught:
        assertion(*args, **options)  # type: ignore[operator]
    return str(caught.value)


def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, code: str) -> pytest.RunResult:
    """A pytest in a process of its own, which has the plugin whether or not the package is installed."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makepyfile(test_theirs=code)
    return pytester.runpytest_subprocess("-p", "toolchain.pytest_plugin", "-rA", timeout=300)


def test_importing_the_plugin_is_cheap_and_pyproject_announces_it() -> None:
    code = "import sys, toolchain.pytest_plugin; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "toolchain.pytest_plugin" in done.stdout.split()
    assert not {"onnx", "onnx_ir", "torch", "numpy", "onnxruntime", "models"} & set(done.stdout.split())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"]["pytest11"] == {"onnx_edge": "toolchain.pytest_plugin"}


def test_an_installed_plugin_is_found_by_itself(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """As pip leaves it: metadata with an entry point, on the path."""
    folder = pytester.mkdir("site")
    info = folder / "onnx_edge_probe-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: onnx-edge-probe\nVersion: 1\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[pytest11]\nonnx_edge = toolchain.pytest_plugin\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(folder), str(ROOT))))
    done = pytester.runpytest_subprocess("--fixtures", timeout=120)
    assert "onnx_edge [session scope]" in done.stdout.str()
    assert importlib.metadata.version("pytest")


def test_their_passing_and_failing_tests(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, model: Path
) -> None:
    changed = pytester.path / "changed.onnx"
    onnx.save(shifted(model), changed)
    code = f"""
    import numpy as np
    MODEL, CHANGED = {str(model)!r}, {str(changed)!r}
    PICTURES = np.random.default_rng(0).normal(size=(3, 1, 28, 28))

    def test_certified(onnx_edge):
        assert onnx_edge.assert_certified(MODEL, data=PICTURES).samples == 3

    def test_equivalent(onnx_edge):
        assert onnx_edge.assert_equivalent(MODEL, MODEL, data={DATA!r}).matched == "names"

    def test_changed(onnx_edge):
        onnx_edge.assert_equivalent(MODEL, CHANGED, data={DATA!r})  # THE LINE OF THE USER

    def test_missing(onnx_edge):
        onnx_edge.assert_certified("no.onnx", synthetic=1)
    """
    done = run(pytester, monkeypatch, code)
    done.assert_outcomes(passed=2, failed=2)
    text = done.stdout.str()
    assert "# THE LINE OF THE USER" in text
    assert re.search(r"Failed: not equivalent: .*changed\.onnx, by the meaning of .*digits\.onnx", text)
    where = r"conv \+ norm \+ relu .*: sample \d, output channel 3, index \[\d+, 3, .*\] of 'positive'"
    assert re.search(where + ": expected .*, received ", text)
    assert "onnx-edge could not judge: cannot read no.onnx" in text
    # The user's line and the report: none of our own frames, and not the error behind the message.
    assert "toolchain/" not in re.sub(r"(?m)^plugins:.*$|^rootdir:.*$", "", text)
    assert "FileError" not in text


def test_a_table_shows_the_worst_regions_first(model: Path) -> None:
    text = failure(EDGE.assert_equivalent, model, shifted(model), data=DATA)
    rows = text[text.index("Nodes") :].splitlines()
    assert rows[0].split()[0] == "Nodes"
    assert rows[1].strip().startswith("conv + norm + relu")
    assert rows[1].endswith("defect")
    assert all(row.endswith("ok") for row in rows[2:5])


@pytest.mark.parametrize("form", [str, Path, Path.read_bytes, onnx.load, ir.load])
def test_every_form_of_a_model(model: Path, form: object) -> None:
    assert EDGE.assert_certified(form(model), synthetic=2).ok  # type: ignore[operator]


def test_every_form_of_data(model: Path, tmp_path: Path) -> None:
    pictures = np.random.default_rng(1).normal(size=(3, 1, 28, 28))
    write_npz(tmp_path / "given.npz", {"image": pictures.astype(np.float32)})
    for data in (pictures, [pictures], {"image": pictures}, tmp_path / "given.npz", str(tmp_path / "given.npz")):
        found = EDGE.assert_certified(model, data=data)
        assert found.samples == 3
        assert "onnx-edge-" not in found.data, "a temporary name tells nobody anything"
    assert EDGE.assert_certified(model, data=DATA).data == DATA


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, ["data=", "synthetic=N"]),
        ({"data": DATA, "synthetic": 1}, ["either data="]),
        ({"data": {"imge": np.zeros((1, 1, 28, 28))}}, ["'imge'", "'image'"]),
        ({"data": [np.zeros((1, 1, 28, 28))] * 2}, ["2 arrays", "'image'"]),
        ({"data": np.zeros((2, 3, 28, 28))}, ["[2, 3, 28, 28]", "[N, 1, 28, 28]"]),
        ({"data": np.zeros((2, 1, 28, 28), np.int64)}, ["int64", "float32"]),
        ({"data": "mnist:tset"}, ["tset", "test"]),
        ({"synthetic": 1, "backend": "ort-cup"}, ["ort-cpu"]),
    ],
)
def test_what_cannot_be_judged_fails_in_one_line(model: Path, options: dict[str, object], words: list[str]) -> None:
    text = failure(EDGE.assert_certified, model, **options)
    assert text.startswith("onnx-edge could not judge: ")
    assert "\n" not in text
    for word in words:
        assert word in text


def test_no_model_and_no_module_are_said_so(model: Path) -> None:
    assert "expected a path" in failure(EDGE.assert_certified, 3, synthetic=1)
    assert "torch.nn.Module" in failure(EDGE.assert_exported, 3, model, synthetic=1)


def test_strict_takes_the_probable_limits(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from toolchain.verify import RegionVerdict, Verification

    region = RegionVerdict("t", ("n",), ("Conv",), 1, 0.9, 1.5, 0.1, 1, None)
    found = Verification("m", "b", "d", 1, 2.0**-24, (region,), (), (), True, None)
    assert found.ok
    assert found.suspects
    monkeypatch.setattr(importlib.import_module("toolchain.verify"), "verify", lambda *_, **__: found)
    assert EDGE.assert_certified(model, synthetic=1).suspects
    assert "suspicion: n" in failure(EDGE.assert_certified, model, synthetic=1, strict=True)


@pytest.mark.parametrize("level", ["basic", "extended"])
@pytest.mark.parametrize("match", ["auto", "outputs"])
def test_what_an_optimiser_made_is_equivalent(model: Path, tmp_path: Path, level: str, match: str) -> None:
    """BatchNormalization is folded into the convolution, and its factors rounded again."""
    other = tmp_path / "optimized.onnx"
    Session(model.read_bytes(), SessionOptions(optimization=level, optimized_model=other))
    assert {node.op_type for node in onnx.load(other).graph.node}.isdisjoint({"BatchNormalization"})
    found = EDGE.assert_equivalent(model, other, data=DATA, match=match)
    assert found.matched == ("names" if match == "auto" else "outputs")
    assert 0.0 < found.outputs[0].difference <= found.outputs[0].limit < 1e-4


def test_without_shared_names_outputs_are_compared_and_the_node_is_found(model: Path) -> None:
    same = EDGE.assert_equivalent(model, renamed(onnx.load(model)), data=DATA)
    assert same.matched == "outputs"
    assert len(same.verifications) == 2
    assert same.outputs[0].difference == 0.0 < same.outputs[0].limit
    text = failure(EDGE.assert_equivalent, model, renamed(shifted(model)), data=DATA)
    assert "matched by outputs" in text
    assert "output 'other_scores' of node 'other_dense_layer'" in text
    assert (
        "they part behind 'conv', whose result both hold: at 'norm', in the judged graph at node 'other_norm'" in text
    )


def test_shared_output_names_alone_are_no_match_by_names(model: Path) -> None:
    """One limit over the whole network would let a changed constant pass."""
    other = renamed(shifted(model, 1e-4))
    other.graph.input[0].name = other.graph.node[0].input[0] = "image"
    other.graph.output[0].name = other.graph.node[-1].output[0] = "scores"
    assert not shared(ir.load(model), ir.from_proto(other))
    assert "output 'scores'" in failure(EDGE.assert_equivalent, model, other, data=DATA)


def test_a_fault_of_a_few_float32_roundings_is_not_one(model: Path) -> None:
    """Where the limit stands, from both sides: a change far below rounding passes, one far above does not."""
    found = EDGE.assert_equivalent(model, model, data=DATA, match="outputs")
    assert found.outputs[0].limit < 1e-3
    EDGE.assert_equivalent(model, shifted(model, 1e-8), data=DATA, match="outputs")
    failure(EDGE.assert_equivalent, model, shifted(model, 1e-3), data=DATA, match="outputs")


def test_an_unknown_match_offers_the_nearest(model: Path) -> None:
    assert "did you mean 'outputs'?" in failure(EDGE.assert_equivalent, model, model, synthetic=1, match="output")
    with pytest.raises(UnknownNameError):
        equivalent(ir.load(model), ir.load(model), None, match="x")  # type: ignore[arg-type]


def two_inputs(names: tuple[str, str], outputs: int = 1) -> onnx.ModelProto:
    nodes = [helper.make_node("Sub", list(names), ["d"], "sub"), helper.make_node("Relu", ["d"], ["y"], "relu")]
    values = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", 3]) for name in (*names, "y", "d")]
    graph = helper.make_graph(nodes, "two", values[:2], values[2 : 2 + outputs])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_several_inputs_are_matched_by_position() -> None:
    a, b = np.random.default_rng(2).normal(size=(2, 5, 3))
    EDGE.assert_equivalent(two_inputs(("file", "b")), two_inputs(("p", "q")), data=[a, b])
    EDGE.assert_equivalent(two_inputs(("file", "b")), two_inputs(("p", "q")), data={"b": b, "file": a})
    swapped = two_inputs(("p", "q"))
    swapped.graph.node[0].input[:] = ["q", "p"]
    assert "node 'relu'" in failure(EDGE.assert_equivalent, two_inputs(("file", "b")), swapped, data=[a, b])


def test_other_numbers_of_inputs_or_outputs_are_told(model: Path) -> None:
    pictures = np.zeros((1, 1, 28, 28))
    text = failure(EDGE.assert_equivalent, model, two_inputs(("a", "b")), data=pictures)
    assert "['image']" in text
    assert "['a', 'b']" in text
    a = np.ones((2, 3))
    text = failure(EDGE.assert_equivalent, two_inputs(("a", "b")), two_inputs(("a", "b"), 2), data=[a, a])
    assert "it is one of 2 outputs; expected 1" in text


# --- PyTorch


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, Path]:
    """A module of its user's own, with a branch, and the file that PyTorch's exporter makes of it."""
    torch = pytest.importorskip("torch", reason="needs the extra `train`")
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.norm, self.conv2 = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3)
            self.drop, self.dense = nn.Dropout(0.5), nn.Linear(4 * 4 * 4, 5)

        def forward(self, image: object) -> object:
            maps = torch.relu(self.norm(self.conv1(image)))
            maps = torch.relu(self.conv2(maps))
            scores = self.dense(self.drop(maps.flatten(1)))
            return {"scores": scores, "best": scores.amax(1)}

    torch.manual_seed(3)
    module = Net()
    module.norm.running_mean.normal_()
    module.norm.running_var.uniform_(0.5, 2.0)
    path = tmp_path_factory.mktemp("net") / "net.onnx"
    torch.onnx.export(
        module.eval(), (torch.zeros(2, 2, 6, 6),), path, dynamo=True, verbose=False, dynamic_shapes=({0: "N"},)
    )
    return module, path


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_an_export_is_its_module(net: tuple[object, Path]) -> None:
    module, path = net
    module.train()  # type: ignore[attr-defined]
    found = EDGE.assert_exported(module, path, synthetic=5)
    assert module.training, "the user's module stays as it is"  # type: ignore[attr-defined]
    assert [output.samples for output in found] == [5, 5]
    assert all(output.difference < output.float32_error < 1e-4 for output in found)
    EDGE.assert_exported(module, path, data=np.random.default_rng(0).normal(size=(3, 2, 6, 6)))


def changed_weight(path: Path, name: str) -> onnx.ModelProto:
    proto = onnx.load(path)
    (tensor,) = (t for t in proto.graph.initializer if t.name == name)
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(1.01), name))
    return proto


@pytest.mark.parametrize("layer", ["conv2", "dense"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_a_changed_weight_names_layer_and_node(net: tuple[object, Path], layer: str) -> None:
    module, path = net
    proto = changed_weight(path, f"{layer}.weight")
    (node,) = (n.name for n in proto.graph.node if f"{layer}.weight" in n.input)
    text = failure(EDGE.assert_exported, module, proto, synthetic=4)
    assert text.startswith("not equivalent: ")
    assert "by the meaning of the PyTorch module Net" in text
    assert re.search(r"sample 0, index \[\d, \d\]: expected \S+, received \S+, difference \S+, limit \S+ ", text)
    assert f"at {layer!r}" in text
    # Behind the last result that is found stand the activation, and then the layer.
    reader = re.search(r"in the judged graph at node '(.*)'", text)
    assert reader is not None
    nodes = [n.name for n in proto.graph.node]
    assert 0 <= nodes.index(node) - nodes.index(reader[1]) <= 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_a_module_with_other_outputs_or_inputs_is_told(net: tuple[object, Path], model: Path) -> None:
    torch = pytest.importorskip("torch")
    _, path = net
    assert "the graph has 2 outputs; ReLU gives 1" in failure(EDGE.assert_exported, torch.nn.ReLU(), path, synthetic=2)
    assert "Linear does not run in float64" in failure(EDGE.assert_exported, torch.nn.Linear(3, 4), path, synthetic=2)
    assert "has shape [2, 10]; expected [2, 784]" in failure(
        EDGE.assert_exported, torch.nn.Flatten(), model, synthetic=2
    )


def test_the_example_of_the_document_runs(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="needs the extra `train`")
    text = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    run(pytester, monkeypatch, code).assert_outcomes(passed=1)
