"""What other people's tools say of the kernels and of the generated C: cppcheck, clang-tidy, sanitizers."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.compile.conftest import Quantized
from tests.compile.graphs import draw, feeds
from tests.compile.running import write
from toolchain.compile.device import answers, executable
from toolchain.compile.generate import RUNTIME, harness, sources
from toolchain.compile.golden import digest, selftest
from toolchain.compile.judge import judge
from toolchain.compile.targets import TARGETS
from toolchain.compile.translate import translate
from toolchain.data import samples
from toolchain.errors import MissingError
from toolchain.load import load

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).parent / "golden" / "lenet5.int8.onnx"
SANITIZE = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")
FINDINGS = "--enable=warning,style,performance,portability"
ALLOWED = (
    "missingIncludeSystem",
    # Part of a public structure that one instruction set reads and another does not.
    "unusedStructMember",
    # cppcheck 2.10 takes an enumerator of another file for 0.
    "knownConditionTrueFalse:gemmwide_f32.c",
    # Written through a pointer by the vectors, which stand behind an #if.
    "unassignedVariable:quantize_f32_s8.c",
)


def _tool(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (apt-get install {package})")
    return found


def _generated(folder: Path) -> list[str]:
    """LeNet-5 with its self-test; names of the generated files that are more than numbers."""
    model = load(GOLDEN)
    made = translate(model, "lenet5")
    given = samples(model, "mnist:test:1")
    made.files.update(selftest(model, made, [given.feeds(0, 1)], digest(GOLDEN)))
    write(made, folder)
    return ["lenet5.c", "lenet5_selftest.c"]


def _cppcheck(files: Sequence[str], folder: Path, *more: str) -> list[str]:
    suppressed = [f"--suppress={name}" for name in ALLOWED]
    options = ["--std=c99", "--quiet", "--inline-suppr", "--max-configs=32", "-I."]
    command = [_tool("cppcheck", "cppcheck"), FINDINGS, *options, *suppressed]
    done = subprocess.run(
        [*command, *more, "--template={file}:{line}: {id}: {message}", *files],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return [line for line in done.stderr.splitlines() if re.match(r"\S+:\d+: \w", line)]


def _kernels() -> list[str]:
    return sorted(path.name for path in RUNTIME.glob("*.c"))


def test_cppcheck_has_nothing_to_say_of_generated_code(tmp_path: Path) -> None:
    names = _generated(tmp_path / "c")
    assert _cppcheck(names, tmp_path / "c", "-DLENET5_OBSERVE") == []


def test_cppcheck_finds_what_is_wrong(tmp_path: Path) -> None:
    """The check can fail."""
    (tmp_path / "x.c").write_text("int f(void) { int a[2]; return a[2]; }\n", encoding="utf-8")
    assert any("arrayIndexOutOfBounds" in line for line in _cppcheck(["x.c"], tmp_path))


def test_clang_tidy_has_nothing_to_say_of_generated_code(tmp_path: Path) -> None:
    names = _generated(tmp_path / "c")
    assert _clang_tidy(names, tmp_path / "c") == []
    (tmp_path / "c" / "x.c").write_text("int f(int a);\nint f(int a) { if (a) return 1; else return 2; }\n")
    assert any("readability-else-after-return" in line for line in _clang_tidy(["x.c"], tmp_path / "c"))


def _clang_tidy(files: Sequence[str], folder: Path, *flags: str) -> list[str]:
    tidy = _tool("clang-tidy", "clang-tidy")
    options = ["--quiet", f"--config-file={ROOT / '.clang-tidy'}"]
    if flags:  # registers that a wider vector does not need stay named
        options.append("--checks=-clang-analyzer-deadcode.DeadStores")
    done = subprocess.run(
        [tidy, *options, *files, "--", "-std=c99", "-I.", "-DLENET5_OBSERVE", *flags],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )  # fmt: skip
    found = [line for line in done.stdout.splitlines() if re.search(r": (warning|error): ", line)]
    assert done.returncode == 0 or found, done.stdout + done.stderr
    return found


@pytest.mark.slow
def test_cppcheck_has_nothing_to_say_of_the_kernels() -> None:
    assert _cppcheck(_kernels(), RUNTIME) == []


@pytest.mark.slow
@pytest.mark.parametrize("flags", [(), ("-march=x86-64-v4",)], ids=["baseline", "avx512"])
def test_clang_tidy_has_nothing_to_say_of_the_kernels(flags: tuple[str, ...]) -> None:
    assert _clang_tidy(_kernels(), RUNTIME, *flags) == []


def _misra(files: Sequence[str], folder: Path, *more: str) -> set[str]:
    """Numbers of the rules that the addon reports."""
    lines = _cppcheck(files, folder, "--addon=misra", *more)
    return {found[1] for line in lines if (found := re.search(r"misra-c2012-(\d+\.\d+)", line))}


def _listed() -> set[str]:
    text = (ROOT / "docs" / "misra.md").read_text(encoding="utf-8")
    table = {rule for line in text.splitlines() if line.startswith("| ") for rule in _rules(line.split("|")[1])}
    return table | _rules(text[text.index("Reported, but nothing deviates") : text.index("## What else holds")])


def _rules(text: str) -> set[str]:
    return set(re.findall(r"\b\d{1,2}\.\d{1,2}\b", text))


def test_deviations_of_generated_code_are_published(tmp_path: Path) -> None:
    names = _generated(tmp_path / "c")
    found = _misra(names, tmp_path / "c", "-DLENET5_OBSERVE")
    assert "11.5" in found
    assert found <= _listed(), f"docs/misra.md lacks {sorted(found - _listed())}"


@pytest.mark.slow
def test_deviations_of_the_kernels_are_published() -> None:
    found = _misra(_kernels(), RUNTIME)
    assert {"18.4", "10.1"} <= found
    assert found <= _listed(), f"docs/misra.md lacks {sorted(found - _listed())}"


def _sanitized(model, name: str, given: Sequence[dict], folder: Path, *, fused: bool) -> None:
    """Inputs, outputs and the arena are variables between which the sanitizer keeps forbidden bytes."""
    host = TARGETS["host"]
    made = translate(model, name, fused=fused)
    write(made, folder / "c")
    (folder / "build").mkdir()
    text = harness(made.program, made.plan)
    binary = executable(folder / "c", made.program, sources(made.files), text, folder / "build", host, SANITIZE)
    verdict = judge(model, made.program, given, answers(made.program, binary, given, host, folder / "build"))
    assert verdict.ok, [layer for layer in verdict.layers if layer.differing]


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "plain"])
@pytest.mark.parametrize("net", ["lenet5", "lenet5-relu", "example-cnn"])
def test_networks_under_sanitizers(net: str, fused: bool, quantized: Quantized, tmp_path: Path) -> None:
    model = load(quantized(net))
    given = samples(model, "mnist:test:3")
    _sanitized(model, "net", [given.feeds(i, i + 1) for i in range(3)], tmp_path, fused=fused)


@pytest.mark.parametrize("seed", range(4))
def test_random_graphs_under_sanitizers(seed: int, tmp_path: Path) -> None:
    model = draw(seed)
    for fused in (True, False):
        _sanitized(model, "net", feeds(model, 4, seed), tmp_path / str(fused), fused=fused)


def test_the_sanitizers_see_a_step_beyond_the_arena(tmp_path: Path) -> None:
    """The check can fail: an arena that is one byte short."""
    model = load(GOLDEN)
    made = translate(model, "net")
    short = made.files["net.h"].replace(b"ARENA_SIZE %d" % made.plan.size, b"ARENA_SIZE %d" % (made.plan.size - 1))
    assert short != made.files["net.h"]
    made.files["net.h"] = short
    write(made, tmp_path / "c")
    (tmp_path / "build").mkdir()
    text = harness(made.program, made.plan).replace("double alignment", "char alignment")
    host = TARGETS["host"]
    binary = executable(tmp_path / "c", made.program, sources(made.files), text, tmp_path / "build", host, SANITIZE)
    given = samples(model, "mnist:test:1")
    with pytest.raises(MissingError, match=r"AddressSanitizer: (global-buffer-overflow|unknown-crash)"):
        list(answers(made.program, binary, [given.feeds(0, 1)], host, tmp_path / "build"))
