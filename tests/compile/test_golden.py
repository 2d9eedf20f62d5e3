"""The self-test of a device, and the reading of its log: through a real serial port of an emulated board."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import zlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from tests.compile.graphs import draw, feeds
from tests.conftest import RunCli
from tests.toolchain import digits
from toolchain.compile import compile as compile_model
from toolchain.compile.device import executable
from toolchain.compile.generate import sources
from toolchain.compile.golden import digest, selftest, stored
from toolchain.compile.host import restored
from toolchain.compile.targets import TARGETS
from toolchain.compile.tensor import Element, Quantization, Tensor
from toolchain.compile.translate import Generated, translate
from toolchain.data import samples
from toolchain.errors import FileError, UnsupportedError, UsageError
from toolchain.load import load, read
from toolchain.verify.log import verify_log

MODEL = Path(__file__).parent / "golden" / "lenet5.int8.onnx"

HOST = """#include <stdio.h>
#include "net_selftest.h"
static void put(char c) { (void)putchar(c); }
int main(void) { return (net_selftest(put) != 0) ? 1 : 0; }
"""
# The UART of the board, as its manual has it: CMSDK APB UART (Arm DDI 0479) and that of the nRF51.
CMSDK = """#include "net_selftest.h"
#define REGISTER(offset) (*(volatile uint32_t *)(0x40004000u + (offset)))
static void put(char c) { while ((REGISTER(4u) & 1u) != 0u) { } REGISTER(0u) = (uint32_t)(unsigned char)c; }
int main(void) { REGISTER(16u) = 16u; REGISTER(8u) = 1u; return (net_selftest(put) != 0) ? 1 : 0; }
"""
NRF51 = """#include "net_selftest.h"
#define REGISTER(offset) (*(volatile uint32_t *)(0x40002000u + (offset)))
static void put(char c)
{
    REGISTER(0x11Cu) = 0u;
    REGISTER(0x51Cu) = (uint32_t)(unsigned char)c;
    while (REGISTER(0x11Cu) == 0u) { }
}
int main(void) { REGISTER(0x500u) = 4u; REGISTER(0x008u) = 1u; return (net_selftest(put) != 0) ? 1 : 0; }
"""
BOARDS = {"host": HOST, "cortex-m4": CMSDK, "cortex-m0": NRF51}


def _made(count: int = 2) -> Generated:
    model = load(MODEL)
    made = translate(model, "net")
    given = samples(model, f"mnist:test:{count}")
    baked = selftest(model, made, [given.feeds(i, i + 1) for i in range(count)], digest(MODEL))
    made.files.update(baked)
    return made


def _flipped(made: Generated, array: str) -> None:
    """The sign bit of an array's first weight, in the C that is built."""
    text = made.files["net_weights.c"].decode()
    found = re.search(rf"{array}\[\d+\] = {{\s*(-?\d+),", text)
    assert found is not None
    value = int(found[1])
    other = value - 128 if value >= 0 else value + 128
    made.files["net_weights.c"] = f"{text[: found.start(1)]}{other}{text[found.end(1) :]}".encode()


def _log(made: Generated, name: str, folder: Path) -> Path:
    """Build for a board, run, and keep what comes out of its serial port."""
    target = TARGETS[name]
    for tool in (target.compiler, target.emulator):
        if tool is not None and shutil.which(tool.name) is None:
            pytest.skip(f"{tool.name} is not installed (apt-get install {tool.package})")
    for part in ("c", "build"):
        (folder / part).mkdir()
    for file, content in made.files.items():
        (folder / "c" / file).write_bytes(content)
    binary = executable(folder / "c", made.program, sources(made.files), BOARDS[name], folder / "build", target)
    log = folder / "serial.log"
    if target.emulator is None:
        done = subprocess.run([binary], capture_output=True, check=False, timeout=60)
        log.write_bytes(done.stdout)
    else:
        options = ["file:serial.log" if i and target.run[i - 1] == "-serial" else o for i, o in enumerate(target.run)]
        done = subprocess.run(
            [target.emulator.path(), *options, str(binary)], cwd=folder, capture_output=True, check=False, timeout=120
        )
    departed = b" departs*" in log.read_bytes()
    assert done.returncode == int(departed), done.stderr
    return log


@pytest.mark.parametrize("name", BOARDS)
def test_a_good_device(name: str, run_cli: RunCli, tmp_path: Path) -> None:
    log = _log(_made(), name, tmp_path)
    done = run_cli("verify", MODEL, "--log", log, "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["compared"], found["departed"], found["damaged"], found["complete"]) == (14, 0, 0, 1)
    assert found["model"] == digest(MODEL)


@pytest.mark.parametrize(
    ("name", "layer", "array"),
    [
        ("host", "c1", "net_c1_weights"),
        ("host", "f6", "net_f6_weights"),
        ("cortex-m4", "c3", "net_c3_weights"),
        ("cortex-m0", "c5", "net_c5_weights"),
        ("cortex-m0", "output", "net_output_weights"),
    ],
)
def test_a_flipped_weight_is_named_by_its_layer(
    name: str, layer: str, array: str, run_cli: RunCli, tmp_path: Path
) -> None:
    made = _made(4)
    _flipped(made, array)
    log = _log(made, name, tmp_path)
    done = run_cli("verify", "--log", log)
    assert done.exit_code == 1, done.stdout + done.stderr
    assert f"the first layer that departs is {layer} " in done.stdout
    assert f"first={layer}*" in log.read_text(encoding="ascii")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return _log(_made(), "host", tmp_path_factory.mktemp("good")).read_bytes()


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Departs from layer 3, c5, on."""
    made = _made(4)
    _flipped(made, "net_c5_weights")
    return _log(made, "host", tmp_path_factory.mktemp("bad")).read_bytes()


def _changed(line: bytes, old: bytes, new: bytes) -> bytes:
    """A line with other words and the checksum that belongs to them."""
    body = line[1 : line.index(b"*")].replace(old, new)
    assert body != line[1 : line.index(b"*")]
    return b"$" + body + b"*%08x" % zlib.crc32(body)


def _judged(tmp_path: Path, content: bytes, model: Path | None = None):
    path = tmp_path / "log.txt"
    path.write_bytes(content)
    return verify_log(path, model)


def test_what_else_is_in_a_log_does_not_matter(good: bytes, tmp_path: Path) -> None:
    for content in (
        good.replace(b"\r\n", b"\n"),
        good.replace(b"\r\n", b"\r\n\r\n[12:00:01.5] uart: \x1b[0m"),
        b"\xff\x00\xfe boot $EDGE \x80\x81$$\n" + good + b"\x00" * 9 + b"$EDGE layer sam",
        b"\xff\xfe" + good.decode("ascii").encode("utf-16-le"),
        b"$EDGE layer sample=1 index=6" + good,
        good.replace(b"\r\n", b""),
        good * 3,
        good[: len(good) // 2] + good,
        good + good[: len(good) // 2],
    ):
        found = _judged(tmp_path, content, MODEL)
        assert found.ok
        assert found.complete >= 1
        assert found.compared >= 14


def test_a_damaged_line_is_not_believed(good: bytes, tmp_path: Path) -> None:
    damaged = good.replace(b"received=677ea362", b"received=677ea363")
    assert damaged != good
    with pytest.raises(
        FileError, match=r"incomplete: 1 of 14 layers' lines, from sample 0, layer 2 on, are missing, 1 d"
    ):
        _judged(tmp_path, damaged)
    assert _judged(tmp_path, damaged + good).damaged == 1


@pytest.mark.parametrize("part", range(0, 100, 7))
def test_a_log_that_is_cut_off_never_passes(part: int, good: bytes, bad: bytes, tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"incomplete|holds no self-test"):
        _judged(tmp_path, good[: len(good) * part // 100])
    cut = bad[: len(bad) * part // 100]
    if b" departs*" in cut[: cut.rfind(b"\r")]:
        found = _judged(tmp_path, cut)
        assert not found.ok
        assert found.first is not None
        assert found.first.name == "c5"
    else:
        with pytest.raises(FileError):
            _judged(tmp_path, cut)


def test_a_departure_counts_wherever_it_is(good: bytes, bad: bytes, tmp_path: Path) -> None:
    for content in (good + bad, bad + good, good + bad + good):
        found = _judged(tmp_path, content)
        assert not found.ok
        assert found.first is not None
        assert (found.first.index, found.first.name) == (3, "c5")
        assert found.uncertain == ""


def test_what_is_missing_before_the_first_that_departs_is_said(bad: bytes, tmp_path: Path) -> None:
    lines = bad.split(b"\r\n")
    first = next(line for line in lines if b" departs*" in line)
    sample = re.search(rb"sample=(\d)", first)
    assert sample is not None
    kept = [line for line in lines if b"sample=%s index=1 " % sample[1] not in line]
    found = _judged(tmp_path, b"\r\n".join(kept))
    assert not found.ok
    assert f"layers 1 of sample {sample[1].decode()}" in found.uncertain


def test_no_log(tmp_path: Path, run_cli: RunCli) -> None:
    for content in (b"", b"hello\n", b"\x00" * 100, b"$EDGE begin*00000000\r\n"):
        with pytest.raises(FileError, match="holds no self-test"):
            _judged(tmp_path, content)
    assert run_cli("verify", "--log", tmp_path / "none.txt").exit_code == 5
    assert run_cli("verify").exit_code == 2


def test_another_model(good: bytes, run_cli: RunCli, tmp_path: Path) -> None:
    other = digits.write(tmp_path / "digits.onnx", batch=1)
    with pytest.raises(FileError, match="another model"):
        _judged(tmp_path, good, other)
    assert run_cli("verify", other, "--log", tmp_path / "log.txt").exit_code == 5
    lines = good.split(b"\r\n")
    lines[0] = _changed(lines[0], b"model=93ca", b"model=93cb")
    with pytest.raises(FileError, match="of 2 models"):
        _judged(tmp_path, good + b"\r\n".join(lines))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"version=1", b"version=2", "version 2, expected 1"),
        (b"layers=7", b"layers=999999999", "holds no self-test"),
        (b"layers=7", b"layers=-7", "holds no self-test"),
        (b"layers=7", b"layers=0", "compares no layer"),
        (b"layers=7", b"layers=8", "incomplete"),
        (b"samples=2", b"", "holds no self-test"),
    ],
)
def test_a_first_line_that_makes_no_sense(old: bytes, new: bytes, message: str, good: bytes, tmp_path: Path) -> None:
    lines = good.split(b"\r\n")
    lines[0] = _changed(lines[0], old, new)
    with pytest.raises(FileError, match=message):
        _judged(tmp_path, b"\r\n".join(lines))


@pytest.mark.parametrize("unsigned", [False, True])
@pytest.mark.parametrize("element", Element)
def test_stored_is_the_inverse_of_restored(element: Element, unsigned: bool) -> None:
    from fractions import Fraction

    q = Quantization(Fraction(1), 0, unsigned) if element is Element.INT8 else None
    tensor = Tensor("t", element, (1, 3, 2, 4), plane=8, quantization=q)
    content = np.random.default_rng(0).integers(0, 127, tensor.bytes, dtype=np.uint8).tobytes()
    assert stored(tensor, restored(tensor, content)) == content


@pytest.mark.parametrize("seed", range(6))
def test_random_graphs(seed: int, tmp_path: Path) -> None:
    model = draw(seed)
    made = translate(model, "net")
    made.files.update(selftest(model, made, feeds(model, 3, seed), digest(model)))
    found = verify_log(_log(made, "host", tmp_path))
    assert found.ok
    assert found.compared >= 3


def test_float_layers_are_shown_but_not_compared(tmp_path: Path) -> None:
    """Two functions without quantization in between: they and what follows may differ between compilers."""
    from tests.compile.graphs import Sketch

    sketch = Sketch(1, (1, 8))
    sketch.dense()
    sketch.finish(sketch.node("Sigmoid", [sketch.node("Tanh", [sketch.last])]), 1.0)
    model = sketch.model()
    made = translate(model, "net")
    assert made.floats
    made.files.update(selftest(model, made, feeds(model, 2, 0), digest(model)))
    found = verify_log(_log(made, "host", tmp_path))
    assert found.ok
    assert found.unjudged >= 2
    assert found.compared >= 2


def test_float_networks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"computes in float.*quantize"):
        compile_model(digits.model(batch=1), output=tmp_path / "c", golden=1, synthetic=1)
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"], "relu")],
        "one",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 4])],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    with pytest.raises(UnsupportedError, match="computes in float"):
        compile_model(read(proto.SerializeToString(), "one"), output=tmp_path / "c", golden=1, synthetic=1)
    assert not (tmp_path / "c").exists()


def test_usage(tmp_path: Path, run_cli: RunCli) -> None:
    with pytest.raises(UsageError, match="--data"):
        compile_model(MODEL, output=tmp_path / "c", golden=1)
    with pytest.raises(UsageError, match="more samples than the 2 of"):
        compile_model(MODEL, output=tmp_path / "c", golden=3, data="mnist:test:2")
    with pytest.raises(UsageError, match="smaller --golden"):
        compile_model(MODEL, output=tmp_path / "c", golden=300, synthetic=300)
    assert not (tmp_path / "c").exists()
    assert run_cli("compile", MODEL, "-o", tmp_path / "c", "--golden", "0", "--synthetic", "1").exit_code == 2
    done = run_cli("compile", MODEL, "-o", tmp_path / "c", "--golden", "2", "--data", "mnist:test:2", "--name", "net")
    assert done.exit_code == 0, done.stderr
    assert {"net_selftest.c", "net_selftest.h"} <= {path.name for path in (tmp_path / "c").iterdir()}


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_strict_compilers_have_nothing_to_say(compiler: str, tmp_path: Path) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    for file, content in _made(1).files.items():
        (tmp_path / file).write_bytes(content)
    strict = (
        "-std=c99",
        "-pedantic",
        "-Wall",
        "-Wextra",
        "-Wconversion",
        "-Wshadow",
        "-Werror",
        "-fsyntax-only",
        "-I.",
    )
    done = subprocess.run(
        [compiler, *strict, "-DNET_OBSERVE", "net_selftest.c"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    forgotten = subprocess.run(
        [compiler, *strict, "net_selftest.c"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "compile all files of the network with -DNET_OBSERVE" in forgotten.stderr
