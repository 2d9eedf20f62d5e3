"""deploy/python: models that do not fit, and the command."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from digit_recogniser import decode as decode_module
from digit_recogniser.errors import ModelError, TooLargeError
from digit_recogniser.model import Recogniser
from PIL import Image

from tests.deploy.digit_drawing import draw, encode
from tests.deploy.python_app import APP, BAD_BYTES, DIGITS, INPUT, linear_model, run_app

# Bad models.


def _facts(**changes: Any) -> dict[str, str]:
    facts = {**json.loads(INPUT.to_json()), **changes}
    return {"onnx_edge.input": json.dumps(facts), "onnx_edge.labels": json.dumps(list(DIGITS))}


BAD_METADATA: dict[str, tuple[dict[str, str], str]] = {
    "none": ({}, "no metadata 'onnx_edge.input'"),
    "no labels": ({"onnx_edge.input": INPUT.to_json()}, "no metadata 'onnx_edge.labels'"),
    "labels not a list": ({**_facts(), "onnx_edge.labels": '{"0": 1}'}, "JSON list of strings"),
    "labels not JSON": ({**_facts(), "onnx_edge.labels": "[0"}, "JSON list of strings"),
    "too few labels": ({**_facts(), "onnx_edge.labels": '["a"]'}, "one score a label"),
    "not JSON": ({**_facts(), "onnx_edge.input": "{"}, "cannot be used"),
    "a list": ({**_facts(), "onnx_edge.input": "[]"}, "cannot be used"),
    "later version": (_facts(version=2), "version 2"),
    "colour": (_facts(color="rgb", mean=[0, 0, 0], std=[1, 1, 1]), "photographs"),
    "std of zero": (_facts(std=[0.0]), "std above 0"),
    "mean not finite": (_facts(mean=[float("nan")]), "finite"),
    "huge": (_facts(size=[10**9, 10**9]), "expected a square"),
    "another size": (_facts(size=[28, 28]), "metadata says"),
    "another name": (_facts(name="x"), "metadata says"),
}


@pytest.mark.parametrize("kind", BAD_METADATA)
def test_metadata_that_does_not_fit_is_refused(tmp_path: Path, kind: str) -> None:
    metadata, words = BAD_METADATA[kind]
    path = linear_model(tmp_path / "m.onnx", metadata=metadata)
    with pytest.raises(ModelError, match=re.escape(words)) as caught:
        Recogniser(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_models_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="batch 1 or dynamic"):
        Recogniser(linear_model(tmp_path / "batch.onnx", batch=2))
    with pytest.raises(ModelError, match="not finite"):
        Recogniser(linear_model(tmp_path / "nan.onnx", weights=np.full((1024, 10), np.nan, dtype=np.float32)))


# The command.


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "a.png").write_bytes(encode(draw("3")))
    (folder / "b.JPG").write_bytes(encode(draw("4", 150, "white", "black"), "JPEG"))
    (folder / "notes.txt").write_text("not looked at")
    return folder


def test_command_answers_for_people_and_for_programs(model_path: Path, pictures: Path) -> None:
    done = run_app("--model", model_path, pictures)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r".*a\.png: 3 \(\d+\.\d%\)\n.*b\.JPG: 4 \(\d+\.\d%\)\n", done.stdout)

    done = run_app("--model", model_path, pictures / "a.png", "--json", "--top", 3)
    document = json.loads(done.stdout)
    assert (done.returncode, document["version"], document["model"]) == (0, 1, str(model_path))
    (result,) = document["results"]
    assert (result["file"], result["label"], len(result["candidates"])) == (str(pictures / "a.png"), "3", 3)
    probabilities = [candidate["probability"] for candidate in result["candidates"]]
    assert probabilities == sorted(probabilities, reverse=True)
    assert result["probability"] == probabilities[0] <= 1.0


def test_command_answers_the_rest_when_a_picture_fails(model_path: Path, pictures: Path) -> None:
    (pictures / "aa.png").write_bytes(b"junk")
    done = run_app("--model", model_path, pictures, pictures / "missing.png", "--json")
    results = json.loads(done.stdout)["results"]
    assert done.returncode == 5
    assert [result.get("label") for result in results] == ["3", None, "4", None]
    assert "not a picture" in results[1]["error"]
    assert done.stderr.splitlines() == [
        f"recognise: error: {result['file']}: {result['error']}" for result in results if "error" in result
    ]


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        ([], 2, "--model"),
        (["--model", "M"], 2, "nothing to do"),
        (["--model", "M", "A", "--top", "0"], 2, "--top"),
        (["--model", "M", "A", "--top", "x"], 2, "--top"),
        (["--model", "M", "A", "--nonsense"], 2, "--nonsense"),
        (["--model", "M", "A", "--serve", "0"], 2, "--serve takes no images"),
        (["--model", "M", "--serve", "70000"], 2, "expected a port"),
        (["--model", "M", "A", "--host", "::1"], 2, "--host"),
        (["--model", "no.onnx", "A"], 5, "no such model"),
        (["--model", "FOLDER", "A"], 5, "not a regular file"),
        (["--model", "JUNK", "A"], 5, "cannot load"),
        (["--model", "TRUNCATED", "A"], 5, "cannot load"),
        (["--model", "NOFACTS", "A"], 5, "no metadata"),
        (["--model", "M", "no.png"], 5, "no such file"),
        (["--model", "M", "JUNK"], 5, "not a picture"),
        (["--model", "M", "BLANK"], 5, "no digit found"),
        (["--model", "M", "EMPTY"], 5, "no pictures"),
        (["--model", "M", os.devnull], 5, "not a regular file"),
    ],
)
def test_command_refuses_in_one_line(
    model_path: Path, tmp_path: Path, words: Sequence[str], code: int, expected: str
) -> None:
    files = {name: tmp_path / name for name in ("A", "JUNK", "TRUNCATED", "BLANK", "NOFACTS", "EMPTY", "FOLDER")}
    files["A"].write_bytes(encode(draw("3")))
    files["JUNK"].write_bytes(BAD_BYTES)
    files["TRUNCATED"].write_bytes(model_path.read_bytes()[:2000])
    files["BLANK"].write_bytes(encode(Image.new("L", (50, 50), 255)))
    linear_model(files["NOFACTS"], metadata={})
    files["EMPTY"].mkdir()
    files["FOLDER"].mkdir()
    done = run_app(*[{"M": model_path, **files}.get(word, word) for word in words])
    assert (done.returncode, done.stdout) == (code, "")
    assert re.fullmatch(r"recognise: error: [^\n]*\n", done.stderr)
    assert expected in done.stderr


def test_too_large_a_file_is_not_read(recogniser: Recogniser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(bytes(101))
    monkeypatch.setattr(decode_module, "MAX_BYTES", 100)
    with pytest.raises(TooLargeError):
        decode_module.read_bytes(path)
    path.write_bytes(bytes(100))
    assert decode_module.read_bytes(path) == bytes(100)


def test_missing_package_is_one_line_and_exit_3(tmp_path: Path) -> None:
    (tmp_path / "onnxruntime.py").write_text("raise ModuleNotFoundError('No module', name='onnxruntime')\n")
    done = subprocess.run(
        [sys.executable, str(APP / "recognise.py"), "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert re.fullmatch(r"recognise: error: cannot import onnxruntime.*requirements\.txt\n", done.stderr)
