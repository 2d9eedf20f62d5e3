from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from tests.toolchain import digits
from toolchain.bundle import MANIFEST, bundle
from toolchain.errors import FileError, OutputExistsError, UsageError
from toolchain.load import load
from toolchain.reference import Reference


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits.write(tmp_path_factory.mktemp("model") / "digits.onnx")


def test_manifest_accounts_for_every_file(model: Path, tmp_path: Path) -> None:
    made = bundle(model, output=tmp_path / "b", data="mnist:test:4")
    manifest = json.loads((tmp_path / "b" / MANIFEST).read_text(encoding="utf-8"))
    listed = {file["name"]: file for file in manifest["files"]}
    assert {p.name for p in (tmp_path / "b").iterdir()} == {*listed, MANIFEST}
    for name, file in listed.items():
        content = (tmp_path / "b" / name).read_bytes()
        assert (file["size"], file["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert (tmp_path / "b" / "model.onnx").read_bytes() == model.read_bytes()
    assert made.size == sum(p.stat().st_size for p in (tmp_path / "b").iterdir())
    assert manifest["inputs"] == [{"name": "image", "dtype": "float", "shape": ["batch", 1, 28, 28]}]
    assert manifest["labels"] == list("0123456789")
    assert manifest["preprocess"]["mean"] == [0.1307]
    assert (tmp_path / "b" / "labels.txt").read_text().split() == list("0123456789")


def test_golden_outputs_are_the_references(model: Path, tmp_path: Path) -> None:
    bundle(model, output=tmp_path / "b", data="mnist:test:4")
    golden = np.load(tmp_path / "b" / "golden.npz")
    right = Reference(load(model)).run({"image": golden["image"]})["scores"]
    np.testing.assert_array_equal(golden["expected.scores"], right)
    assert 0 < golden["allowed.scores"] < 1e-2


def test_the_self_check_of_the_readme_works_and_sees_a_changed_weight(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "b"
    bundle(model, output=folder, data="mnist:test:4")
    readme = (folder / "README.txt").read_text(encoding="utf-8")
    program = "\n".join(line[4:] for line in readme.splitlines() if line.startswith("    "))

    def answer() -> str:
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout

    assert answer().split()[0::2] == ["scores", "ok"]
    changed = load(folder / "model.onnx")
    bias = changed.graph.initializers["bias"]
    assert bias.const_value is not None
    values = bias.const_value.numpy().copy()
    values[3] += 0.1
    bias.const_value = ir.tensor(values, name="bias")
    ir.save(changed, folder / "model.onnx")
    assert answer().split()[2] == "WRONG"


def test_without_samples_there_is_no_golden_file(model: Path, tmp_path: Path) -> None:
    made = bundle(model, output=tmp_path / "b")
    assert (made.golden, made.checked) == (0, None)
    assert not (tmp_path / "b" / "golden.npz").exists()
    assert "Self-check" not in (tmp_path / "b" / "README.txt").read_text()


def test_a_model_without_metadata_is_bundled_on_synthetic_samples(tmp_path: Path) -> None:
    path = digits.write(tmp_path / "m.onnx", metadata=False)
    made = bundle(path, output=tmp_path / "b", synthetic=3)
    assert made.golden == 3
    assert not (tmp_path / "b" / "preprocess.json").exists()
    assert not (tmp_path / "b" / "labels.txt").exists()


def test_repeated_it_has_the_same_bytes(model: Path, tmp_path: Path) -> None:
    first, second = (bundle(model, output=tmp_path / name, data="mnist:test:4") for name in ("a", "b"))
    assert first.files == second.files


def test_a_label_cannot_forge_a_line(tmp_path: Path) -> None:
    path = digits.write(tmp_path / "m.onnx", labels=("0\n1", *"123456789"))
    bundle(path, output=tmp_path / "b")
    assert len((tmp_path / "b" / "labels.txt").read_text().splitlines()) == 10


def test_bad_requests(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="65 samples"):
        bundle(model, output=tmp_path / "b", data="mnist:test:65")
    fixed = digits.write(tmp_path / "fixed.onnx", batch=2)
    with pytest.raises(UsageError, match="exactly 2"):
        bundle(fixed, output=tmp_path / "b", data="mnist:test:3")
    (tmp_path / "b").mkdir()
    with pytest.raises(OutputExistsError):
        bundle(model, output=tmp_path / "b")
    bundle(model, output=tmp_path / "b", force=True)
    bundle(model, output=tmp_path / "b", force=True)
    with pytest.raises(UsageError, match="holds other files"):
        bundle(model, output=tmp_path, force=True)
    with pytest.raises(FileError, match="does not exist"):
        bundle(model, output=tmp_path / "no" / "folder")
