"""The generated text: a golden copy, the same in any folder and under any seed, clean for strict compilers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.compile.conftest import Quantized
from tests.compile.graphs import draw, feeds
from tests.compile.running import write
from toolchain.compile import Options
from toolchain.compile import compile as compile_model
from toolchain.compile.generate import TEXT_LIMIT, kernel_files, sources
from toolchain.compile.translate import translate
from toolchain.load import load

GOLDEN = Path(__file__).parent / "golden"
LIBRARY = {"stdint.h", "stddef.h", "string.h", "math.h"}
INTRINSICS = {"arm_acle.h", "arm_mve.h", "arm_neon.h", "emmintrin.h", "immintrin.h", "smmintrin.h", "wasm_simd128.h"}
"""Of the compiler, not of a library."""
UPDATE = "ONNX_EDGE_UPDATE_GOLDEN"
ROOT = Path(__file__).resolve().parents[2]
STRICT = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", "-fsyntax-only", "-I.")


def _golden_model() -> Path:
    """The quantized LeNet-5 that the golden copy was made from: stored, since a quantizer's next release may differ."""
    return GOLDEN / "lenet5.int8.onnx"


@pytest.mark.parametrize("file", ["lenet5.c", "lenet5.h"])
def test_golden_copy_of_lenet5(file: str) -> None:
    made = translate(load(_golden_model()), "lenet5").files[file].decode()
    path = GOLDEN / file
    if os.environ.get(UPDATE):
        path.write_text(made, encoding="utf-8")
    assert made == path.read_text(encoding="utf-8"), f"the generated C changed; look at it, then set {UPDATE}=1"


def test_the_text_does_not_depend_on_seed_or_folder(tmp_path: Path) -> None:
    program = (
        "import hashlib, sys; from toolchain.compile.translate import translate; from toolchain.load import load; "
        "made = translate(load(sys.argv[1]), 'net').files; "
        "print(hashlib.sha256(repr(sorted(made.items())).encode()).hexdigest())"
    )
    copy = tmp_path / "elsewhere.onnx"
    shutil.copy(_golden_model(), copy)
    found = set()
    for seed, path in (("1", _golden_model()), ("2", copy)):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", program, str(path)],
            capture_output=True,
            text=True,
            env=environment,
            cwd=tmp_path,
            check=True,
        )
        found.add(done.stdout)
    assert len(found) == 1


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_strict_compilers_have_nothing_to_say(compiler: str, tmp_path: Path) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    made = translate(load(_golden_model()), "lenet5")
    folder = write(made, tmp_path / "c")
    runtime = ROOT / "toolchain" / "runtime"
    for path in runtime.glob("*.[ch]"):
        shutil.copy(path, folder)
    kernels = sorted(path.name for path in runtime.glob("*.c"))
    done = subprocess.run(
        [compiler, *STRICT, *kernels, "lenet5.c", "lenet5_weights.c"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_nothing_but_the_promised_headers() -> None:
    for path in (ROOT / "toolchain" / "runtime").glob("*.[ch]"):
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("#include <"):
                assert line.split("<")[1].rstrip(">") in LIBRARY | INTRINSICS, (path.name, line)
        if path.stem.endswith("_s8") and "f32" not in path.stem:
            assert "float " not in path.read_text(encoding="utf-8"), path.name


def test_every_kernel_file_is_reachable() -> None:
    """No kernel lies there unused: each is called by some layer of the sources."""
    text = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "toolchain" / "compile" / "kernels").glob("*.py"))
    sources = {p: p.read_text(encoding="utf-8") for p in (ROOT / "toolchain" / "runtime").glob("*.[ch]")}
    for path in (ROOT / "toolchain" / "runtime").glob("*.c"):
        if any(f'#include "{path.stem}.h"' in content for other, content in sources.items() if other != path):
            continue  # part of another kernel
        op, _, _ = path.stem.rpartition("_")
        assert f'"{path.stem}"' in text or f'"{path.stem}_layer"' in text or f'f"{op}_{{kind}}"' in text, path.name


def test_weights_beyond_the_limit_are_a_binary_file(tmp_path: Path) -> None:
    from tests.compile.test_refusals import _wide

    model = _wide(TEXT_LIMIT + 1)
    made = translate(model, "net")
    assert {"net_weights.S", "net_weights.bin"} <= set(made.files)
    assert len(made.files["net_weights.bin"]) >= TEXT_LIMIT
    assert max(len(content) for name, content in made.files.items() if name.endswith(".c")) < TEXT_LIMIT
    given = [{"image": np.random.default_rng(0).uniform(-6, 6, (1, TEXT_LIMIT + 1)).astype(np.float32)}]
    from tests.compile.running import judged

    assert judged(model, given, tmp_path).ok


def test_the_folder_builds_with_make_and_runs_from_python(tmp_path: Path) -> None:
    model = draw(3)
    result = compile_model(model, output=tmp_path / "c", options=Options(name="net"))
    assert result.memory.data == 0
    (tmp_path / "c" / "libnet.so").unlink()
    subprocess.run(["make", "-s"], cwd=tmp_path / "c", check=True, capture_output=True)
    sample = feeds(model, 1, 0)[0]["image"]
    np.save(tmp_path / "x.npy", sample)
    program = (
        "import sys; sys.path.insert(0, 'c'); import numpy as np; from net import net; "
        "np.save('y.npy', net(np.load('x.npy'))[0])"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    from toolchain.integers import IntegerReference

    want = IntegerReference(model).run({"image": sample})[model.graph.outputs[0].name or ""]
    assert np.array_equal(np.load(tmp_path / "y.npy"), want.astype(np.float32))


def test_cmake_package(tmp_path: Path) -> None:
    if shutil.which("cmake") is None:
        pytest.skip("cmake is not installed")
    write(translate(draw(3), "net"), tmp_path / "c")
    for command in (
        ["cmake", "-S", "c", "-B", "b", f"-DCMAKE_INSTALL_PREFIX={tmp_path / 'i'}"],
        ["cmake", "--build", "b"],
        ["cmake", "--install", "b"],
    ):
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "i" / "include" / "net.h").exists()
    assert list((tmp_path / "i").rglob("netConfig.cmake"))


def test_the_generated_sources_are_listed(quantized: Quantized) -> None:
    made = translate(load(quantized("example-cnn")), "net")
    assert set(sources(made.files)) >= {"net.c", "net_weights.c", "conv_s8.c", "gemm_s8.c"}
    assert set(kernel_files(made.program)) <= set(made.files)
