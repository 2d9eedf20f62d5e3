"""What a guarded load can never do, as SECURITY.md promises it."""

from __future__ import annotations

import ast
import gc
import json
import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import onnx
import pytest

from tests.border.attack import field, model
from tests.border.attacks import ATTACKS
from tests.border.tensors import BESIDE
from tests.conftest import ROOT
from toolchain.allowance import Allowance
from toolchain.errors import ToolchainError
from toolchain.load import load, read
from toolchain.scan import scan
from toolchain.session import serialized

CORPUS = sorted((ROOT / "tests" / "border" / "corpus").glob("*"))
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def events(paths: list[Path]) -> list[dict[str, object]]:
    """What the interpreter did while it loaded files."""
    command = [sys.executable, "-m", "tests.border.audit", *map(str, paths)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert found[-1] == {"path": "", "event": "done", "arguments": [str(len(paths))]}
    return found[:-1]


def test_a_load_opens_only_the_model_and_plain_files_below_it_and_does_nothing_else(tmp_path: Path) -> None:
    paths = [attack.write(tmp_path / str(index) / "folder") for index, attack in enumerate(ATTACKS)]
    opened = set()
    for event in events([*paths, *CORPUS]):
        assert event["event"] == "open", event
        name, _, flags = event["arguments"]  # type: ignore[misc]
        assert not int(flags) & WRITING, event
        model_file, file = Path(str(event["path"])), Path(name)
        assert file == model_file or (file.parent.is_relative_to(model_file.parent) and not file.is_symlink()), event
        assert ".." not in file.parts
        opened.add(file)
    assert len(opened) > len(CORPUS) + 100  # the watch sees what happens


def test_the_watch_sees_what_it_should(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(8))
    good = BESIDE.attacks[0].write(tmp_path / "folder")
    names = [Path(str(event["arguments"][0])).name for event in events([good])]  # type: ignore[index]
    assert names == ["m.onnx", "w.bin"]


def test_what_is_handed_on_is_all_that_was_read(tmp_path: Path) -> None:
    """Runtimes get the model written anew: no unknown field, no other file, no function, nothing stated twice."""
    for index, attack in enumerate(ATTACKS):
        if attack.answer is None:
            path = attack.write(tmp_path / str(index) / "folder")
            content = serialized(load(path))
            scan(content, attack.title, Allowance(8))
            proto = onnx.ModelProto.FromString(content)
            known = onnx.ModelProto.FromString(content)
            known.DiscardUnknownFields()
            assert known.ByteSize() == proto.ByteSize(), attack.title
            assert not any(tensor.external_data for tensor in proto.graph.initializer), attack.title
            assert not proto.functions
    secret = b"from the future"
    assert secret not in serialized(read(model().SerializeToString() + field(1999, secret), "m.onnx"))


@pytest.mark.parametrize("path", CORPUS, ids=lambda p: p.name)
def test_the_corpus_is_answered(path: Path) -> None:
    """What the fuzzer found to be different from one another: a model, or a refusal in one line."""
    with suppress(ToolchainError):
        read(path.read_bytes(), "m.onnx", path.parent)
        return
    with pytest.raises(ToolchainError) as caught:
        read(path.read_bytes(), "m.onnx", path.parent)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1_000


def test_the_corpus_is_small_and_not_empty() -> None:
    assert len(CORPUS) > 50
    assert sum(path.stat().st_size for path in CORPUS) < 1 << 20


def test_collecting_garbage_goes_on_after_a_load() -> None:
    assert gc.isenabled()
    read(model().SerializeToString(), "m.onnx")
    assert gc.isenabled()
    with pytest.raises(ToolchainError):
        read(b"x", "m.onnx")
    assert gc.isenabled()
    gc.disable()
    try:
        read(model().SerializeToString(), "m.onnx")
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_every_promise_names_a_test_that_there_is() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    named = re.findall(r"\]\((tests/[\w/]+\.py)\)[^|\n]*?`(test_\w+)`", text)
    assert len(named) >= 6
    for file, name in named:
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, (file, name)
