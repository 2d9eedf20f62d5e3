"""Documents that can fail: generated parts are current, links resolve, commands are real."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pytest

from tests.house.sources import ROOT

pytest.importorskip("torch", reason="the networks' table counts parameters of PyTorch modules")

from tests.house import generate
from tests.house.generated_verbs import commands
from toolchain.cli.main import VERBS

DOCUMENTS = tuple(generate.documents())
FENCE = re.compile(r"^(```+)([a-z]*)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"!?\[[^\]]*\]\(([^()\s]+)\)")
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:tmp|home|root|Users|mnt|opt)/|file://")
HOST = re.compile(r"https?://([A-Za-z0-9.-]+)")
HOSTS = frozenset({"127.0.0.1", "creativecommons.org", "github.com", "keepachangelog.com", "onnx.ai", "semver.org"})
"""All that documents may point to: specifications, licences and the code's home."""

each_document = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """Language and content of each fenced block."""
    for match in FENCE.finditer(text):
        yield match[2], match[3]


def command_lines(text: str) -> Iterator[str]:
    """What a reader would type: after ``$`` in console blocks, whole lines of unmarked ones; comments cut off."""
    for language, content in blocks(text):
        joined = content.replace("\\\n", " ")
        for line in joined.splitlines():
            if language == "console" and not line.startswith("$ "):
                continue
            if language in ("console", "sh", "bash", ""):
                yield re.split(r"\s#\s|\s[|>&;]\s|&&", line.removeprefix("$ "))[0].strip()
    for match in INLINE.finditer(FENCE.sub("", text)):
        yield match[1]


def words_after(program: str, text: str) -> list[list[str]]:
    return [
        shlex.split(line)[len(program.split()) :]
        for line in command_lines(text)
        if f"{line} ".startswith(f"{program} ")
    ]


def headings(path: Path) -> set[str]:
    """Anchors as GitHub makes them."""
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    titles = re.findall(r"^#{1,6} (.+)$", text, re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower()) for title in titles]
    return {title.strip().replace(" ", "-") for title in plain}


@each_document
def test_generated_parts_are_current(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert generate.rendered(text) == text, f"{path.relative_to(ROOT)} is not current; run `make docs`"


def test_every_generated_part_is_used_and_every_begin_has_its_end() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
    assert {match[2] for match in generate.PART.finditer(text)} == set(generate.PARTS)
    assert text.count("<!-- generated:") == text.count("<!-- end -->") == len(generate.PART.findall(text))


def test_every_verb_is_documented() -> None:
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert [title for title in re.findall(r"^## (.+)$", text, re.MULTILINE) if title in VERBS] == list(VERBS)
    files = {path.stem for path in (ROOT / "toolchain" / "cli").glob("*.py")} - {"__init__", "common", "main"}
    assert set(VERBS) <= files
    for verb, command in commands().items():
        assert command.help, f"{verb} has no help"
        for parameter in command.params:
            assert not isinstance(parameter, click.Option) or parameter.help, f"{verb} {parameter.name} has no help"


@each_document
def test_links_resolve(path: Path) -> None:
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    for target in LINK.findall(text):
        if re.match(r"https?://|mailto:", target):
            continue
        name, _, anchor = target.partition("#")
        linked = (path.parent / name).resolve() if name else path
        assert linked.exists(), f"{path.relative_to(ROOT)} links to {target}, which does not exist"
        if anchor and linked.suffix == ".md":
            assert anchor in headings(linked), f"{path.relative_to(ROOT)}: {target} has no such heading"


def check_command(words: list[str]) -> None:
    """Parse as the command line would, without running anything; prose that names a verb or an option only."""
    if not words or words[0].startswith("-") or words[0].isupper():
        return
    command = commands()[words[0]]
    try:
        command.make_context(words[0], words[1:])
    except click.MissingParameter:
        known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
        named = {word.split("=")[0] for word in words[1:] if word.startswith("-")}
        assert named <= known | {"--help"}, f"{words[0]} has no option {sorted(named - known)}"
    except click.exceptions.Exit:  # --help
        pass


@each_document
def test_commands_are_real(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = path.read_text(encoding="utf-8")
    if path.name == "errors.md":
        text = FENCE.sub("", text)  # mistakes, made on purpose
    if path.name == "cli.md":
        text = re.sub(r"```\nonnx-edge .*\n```", "", text)  # usage lines
    for words in words_after("onnx-edge", text):
        try:
            check_command(words)
        except (KeyError, click.UsageError) as error:
            raise AssertionError(f"{path.relative_to(ROOT)}: onnx-edge {' '.join(words)}: {error}") from error
    for words in words_after("python -m models.train", text):
        from models.train import parser

        parser().parse_args(words)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for words in words_after("make", text):
        for target in words:
            assert "=" in target or re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), f"make {target}"
    for words in words_after("python -m pytest", text):
        for word in words:
            assert not word.startswith("tests/") or (ROOT / word).exists(), word
    capsys.readouterr()


@pytest.mark.parametrize(
    "words", ["verfy m.onnx", "verify m.onnx --bakend ort-cpu", "quantize m.onnx -o q.onnx --max-drop x"]
)
def test_the_check_of_commands_fails_where_it_should(words: str) -> None:
    with pytest.raises((KeyError, click.UsageError, AssertionError)):
        check_command(words.split())


@each_document
def test_no_machine_and_no_unknown_host_is_named(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    found = MACHINE_PATH.search(text)
    assert found is None, f"{path.relative_to(ROOT)} names {found[0] if found else ''!r}"
    assert set(HOST.findall(text)) <= HOSTS


def test_the_worked_example_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator of CONTRIBUTING.md, as a file, on float32 arithmetic."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (code,) = [content for language, content in blocks(text) if language == "python"]
    (tmp_path / "worked_example.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    (operator,) = importlib.import_module("worked_example").OPERATORS
    from toolchain.ops.bounds import FLOAT32_ROUNDOFF
    from toolchain.ops.operator import NodeFacts, widen

    x = np.random.default_rng(1).normal(size=(3, 50)).astype(np.float32)
    for p in (1, 2):
        facts = NodeFacts("n", operator.name, "", 22, {"p": p}, (True,), 1)
        node = operator.parse(facts)
        exact = operator.evaluate(node, [widen(x)])
        (bound,) = operator.bound(node, [widen(x)], exact, FLOAT32_ROUNDOFF)
        norm = np.abs(x).sum(1, keepdims=True) if p == 1 else np.sqrt(np.square(x).sum(1, keepdims=True))
        error = np.abs((x / norm).astype(np.float64) - exact[0])
        assert (error <= bound.sound).all()
        assert error.max() > 0
        np.testing.assert_allclose(np.linalg.norm(exact[0], ord=p, axis=1), 1)


def test_the_first_network_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file and the recipe of getting-started.md."""
    from models import zoo
    from toolchain.recipe.schema import read

    found = dict(blocks((ROOT / "docs" / "getting-started.md").read_text(encoding="utf-8")))
    (tmp_path / "mynet.py").write_text(found["python"], encoding="utf-8")
    (tmp_path / "mynet.toml").write_text(found["toml"], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    recipe = read(tmp_path / "mynet.toml")
    assert recipe.network is not None
    network = zoo.get(recipe.network)
    module = zoo.seeded(network, 0)
    assert sum(parameter.numel() for parameter in module.parameters()) == 9_098
    assert len(network.labels) == 10


def test_the_picture_of_the_pipeline_is_plain() -> None:
    """GitHub shows an SVG without scripts and without anything from elsewhere."""
    text = (ROOT / "docs" / "pipeline.svg").read_text(encoding="utf-8")
    assert "<title" in text
    assert "prefers-color-scheme: dark" in text
    assert not re.search(r"<script|<foreignObject|<image|(?:href|src)=\"(?!#)|@import", text)
