from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from models import zoo
from models.errors import DataFileError, UnknownNameError, UnsafeFileError, UsageError
from models.inputs import ImageInput

ROOT = Path(__file__).parents[2]
TINY_INPUT = ImageInput("x", "gray", (8, 8), (8, 8), None, (0.5,), (0.5,))


@pytest.fixture
def torch() -> object:
    return pytest.importorskip("torch", reason="building networks needs the extra 'train'")


def isolated(code: str, *, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_looking_up_names_and_reading_data_need_no_torch() -> None:
    code = """
import sys
sys.modules["torch"] = None
sys.modules["kornia"] = None
from models import zoo, datasets
for name in zoo.names():
    network = zoo.get(name)
    print(name, network.input.shape, len(network.labels), network.data)
print(datasets.load("mnist:test:3").labels)
try:
    zoo.get("lenet5").build()
except Exception as error:
    print(type(error).__name__, error)
"""
    done = isolated(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "lenet5 (1, 32, 32) 10 mnist",
        "lenet5-relu (1, 32, 32) 10 mnist",
        "lenet5-fashion (1, 32, 32) 10 fashion-mnist",
        "example-cnn (1, 28, 28) 10 mnist",
        "alexnet (3, 227, 227) 1000 imagenet",
        "alexnet-torchvision (3, 224, 224) 1000 imagenet",
        "vgg16 (3, 224, 224) 1000 imagenet",
        "[0 1 2]",
        "MissingDependencyError PyTorch is not installed; install the extra 'train': pip install 'onnx-edge[train]'",
    ]


def test_labels_are_names() -> None:
    assert zoo.get("lenet5").labels == tuple("0123456789")
    assert zoo.get("lenet5-fashion").labels[9] == "Ankle boot"
    labels = zoo.get("vgg16").labels
    assert len(set(labels)) == 1000
    assert (labels[0], labels[281], labels[999]) == ("tench", "tabby", "toilet tissue")


def test_an_unknown_network_offers_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=re.escape("unknown network 'vgg-16'; did you mean 'vgg16'?")):
        zoo.get("vgg-16")


def test_seeded_depends_on_the_seed_alone(torch: object) -> None:
    import torch as t

    network = zoo.get("example-cnn")
    t.manual_seed(9)
    first = zoo.seeded(network, 1)
    after = t.rand(1)
    t.manual_seed(9)
    assert t.equal(after, t.rand(1))
    second, other = zoo.seeded(network, 1), zoo.seeded(network, 2)
    assert not first.training
    for one, two, three in zip(*(m.parameters() for m in (first, second, other)), strict=True):
        assert t.equal(one, two)
        assert not t.equal(one, three)


def test_no_weights_says_where_to_get_them(torch: object) -> None:
    with pytest.raises(DataFileError, match=r"no weights for vgg16; give a \.safetensors file"):
        zoo.module(zoo.get("vgg16"))


def test_weights_files_that_do_not_fit(tmp_path: Path, torch: object) -> None:
    import safetensors.torch
    import torch as t

    network = zoo.get("lenet5")
    state = zoo.seeded(network, 0).state_dict()
    cases: dict[str, tuple[dict[str, t.Tensor], str]] = {
        "missing": ({key: value for key, value in state.items() if key != "c3.bias"}, "c3.bias is missing"),
        "more": ({**state, "c7.bias": t.zeros(3)}, "c7.bias is not of this network"),
        "shape": ({**state, "f6.bias": t.zeros(3)}, "f6.bias has shape [3], expected [84]"),
        "other": (zoo.seeded(zoo.get("example-cnn"), 0).state_dict(), "and 17 more"),
    }
    for name, (changed, message) in cases.items():
        path = tmp_path / f"{name}.safetensors"
        safetensors.torch.save_file(changed, path)
        with pytest.raises(DataFileError, match=re.escape(message)):
            zoo.module(network, path)
    with pytest.raises(DataFileError, match="do not exist"):
        zoo.module(network, tmp_path / "none.safetensors")
    whole = (tmp_path / "more.safetensors").read_bytes()
    for length in (0, 7, 100, len(whole) - 1):
        (tmp_path / "cut.safetensors").write_bytes(whole[:length])
        with pytest.raises(DataFileError, match=r"cut\.safetensors is no readable"):
            zoo.module(network, tmp_path / "cut.safetensors")


def test_a_pickle_loads_only_when_trusted(tmp_path: Path, torch: object) -> None:
    import torch as t

    network = zoo.get("lenet5")
    expected = zoo.seeded(network, 4)
    path = tmp_path / "weights.pth"
    t.save(expected.state_dict(), path)
    with pytest.raises(UnsafeFileError, match="--trust-pickle"):
        zoo.module(network, path)
    loaded = zoo.module(network, path, trust_pickle=True)
    assert not loaded.training
    assert all(t.equal(a, b) for a, b in zip(loaded.parameters(), expected.parameters(), strict=True))
    (tmp_path / "broken.pt").write_bytes(b"no pickle")
    with pytest.raises(DataFileError, match="no state dict"):
        zoo.module(network, tmp_path / "broken.pt", trust_pickle=True)
    t.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(DataFileError, match="no state dict"):
        zoo.module(network, tmp_path / "list.pt", trust_pickle=True)


class Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("trapped",)


def test_a_trusted_pickle_still_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, torch: object) -> None:
    import torch as t

    monkeypatch.chdir(tmp_path)
    t.save({"weight": Trap()}, tmp_path / "trap.pt")
    with pytest.raises(DataFileError):
        zoo.module(zoo.get("lenet5"), tmp_path / "trap.pt", trust_pickle=True)
    assert not (tmp_path / "trapped").exists()


OWN = """
import torch
from models.inputs import ImageInput
from models.zoo import Network

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.dense = torch.nn.Linear(64, 3)

    def forward(self, image):
        return self.dense(image.flatten(1))

def described():
    return Network("mine", Net, ImageInput("x", "gray", (8, 8), (8, 8), None, (0.5,), (0.5,)),
                   ("a", "b", "c"), "", None)

def broken():
    raise RuntimeError("no luck")

def number():
    return 7

constant = 7
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    pytest.importorskip("torch", reason="a network of one's own needs the extra 'train'")
    name = f"own_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    return name


def test_a_network_of_ones_own(own: str) -> None:
    import torch as t

    path = list(sys.path)
    network = zoo.get(f"{own}:Net", input=TINY_INPUT)
    assert network.labels == ("0", "1", "2")
    assert network.input == TINY_INPUT
    assert zoo.seeded(network, 1)(t.zeros(2, 1, 8, 8)).shape == (2, 3)
    described = zoo.get(f"{own}:described", labels=("x", "y", "z"))
    assert described.input.shape == (1, 8, 8)
    assert described.labels == ("x", "y", "z")
    assert sys.path == path


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        (":Net", "plain module, which does not say what pictures it takes"),
        (":Missing", "has no attribute 'Missing'"),
        (":broken", "calling it without arguments failed: no luck"),
        (":number", "returned int, expected a Network or a torch.nn.Module"),
        (":constant", "no callable"),
        (".sub:Net", "cannot import"),
        (":", "has no attribute ''"),
    ],
)
def test_bad_networks_of_ones_own(own: str, attribute: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        zoo.get(own + attribute)


def test_an_input_that_does_not_fit_ones_own_network(own: str) -> None:
    wide = ImageInput("x", "gray", (9, 9), (9, 9), None, (0.5,), (0.5,))
    with pytest.raises(UsageError, match=r"does not take its input \[1, 9, 9\]"):
        zoo.get(f"{own}:Net", input=wide)


def test_seeded_weights_are_finite(torch: object) -> None:
    for name in ("lenet5", "lenet5-relu", "example-cnn"):
        for value in zoo.seeded(zoo.get(name), 0).state_dict().values():
            assert np.isfinite(value.numpy()).all()
