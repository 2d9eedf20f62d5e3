"""Two networks in one program: they share the kernels, and each keeps its own names."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np

from tests.compile.graphs import draw, feeds
from toolchain.compile import Options
from toolchain.compile import compile as compile_model
from toolchain.compile.build import WARNINGS
from toolchain.compile.generate import kernel_files, sources
from toolchain.compile.translate import translate
from toolchain.integers import IntegerReference

MAIN = """#include <stdio.h>
#include <string.h>
#include "first.h"
#include "second.h"

static float first_input[FIRST_IMAGE_SIZE], first_output[FIRST_{0}_SIZE];
static float second_input[SECOND_IMAGE_SIZE], second_output[SECOND_{1}_SIZE];
static union {{ double alignment; unsigned char bytes[FIRST_ARENA_SIZE + SECOND_ARENA_SIZE]; }} memory;

int main(void)
{{
    if (fread(first_input, sizeof(float), FIRST_IMAGE_SIZE, stdin) != FIRST_IMAGE_SIZE) {{ return 1; }}
    if (fread(second_input, sizeof(float), SECOND_IMAGE_SIZE, stdin) != SECOND_IMAGE_SIZE) {{ return 1; }}
    first_run(first_input, first_output, memory.bytes); /* one arena: the networks take turns */
    second_run(second_input, second_output, memory.bytes);
    fwrite(first_output, sizeof(float), FIRST_{0}_SIZE, stdout);
    fwrite(second_output, sizeof(float), SECOND_{1}_SIZE, stdout);
    return 0;
}}
"""
SEEDS = (5, 8)
"""Float in and out, with kernels in common."""
NAMES = ("first", "second")


def _expected() -> tuple[bytes, bytes, list[str]]:
    """Inputs, the outputs that are meant, and the outputs' names in C."""
    given, meant, ports = b"", b"", []
    for name, seed in zip(NAMES, SEEDS, strict=True):
        model = draw(seed)
        sample = feeds(model, 1, seed)[0]
        output = model.graph.outputs[0].name or ""
        given += sample["image"].tobytes()
        meant += IntegerReference(model).run(sample)[output].astype(np.float32).tobytes()
        ports.append(translate(model, name).program.outputs[0].name.upper())
    return given, meant, ports


def test_the_archives_of_two_networks_link(tmp_path: Path) -> None:
    """A linker takes each kernel from the first archive that has it."""
    given, meant, ports = _expected()
    for name, seed in zip(NAMES, SEEDS, strict=True):
        compile_model(draw(seed), output=tmp_path / name, options=Options(name=name))
    (tmp_path / "main.c").write_text(MAIN.format(*ports), encoding="utf-8")
    archives = [str(tmp_path / name / f"lib{name}.a") for name in NAMES]
    headers = [f"-I{tmp_path / name}" for name in NAMES]
    command = ["gcc", *WARNINGS, *headers, "main.c", *archives, "-lm", "-o", "both"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    done = subprocess.run([tmp_path / "both"], input=given, capture_output=True, check=True)
    assert done.stdout == meant


def test_the_sources_of_two_networks_share_their_kernels(tmp_path: Path) -> None:
    """In one folder the kernels are the same files, compiled once; nothing else has the same name."""
    given, meant, ports = _expected()
    made = [translate(draw(seed), name) for name, seed in zip(NAMES, SEEDS, strict=True)]
    common = set(made[0].files) & set(made[1].files)
    kernels = set(kernel_files(made[0].program)) & set(kernel_files(made[1].program))
    assert kernels
    assert common == kernels | {"Makefile", "CMakeLists.txt"}
    assert all(made[0].files[file] == made[1].files[file] for file in kernels)
    for one in made:
        for file, content in one.files.items():
            (tmp_path / file).write_bytes(content)
    (tmp_path / "main.c").write_text(MAIN.format(*ports), encoding="utf-8")
    units = sorted({file for one in made for file in sources(one.files)})
    command = ["gcc", *WARNINGS, "-I.", "main.c", *units, "-lm", "-o", "both"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    done = subprocess.run([tmp_path / "both"], input=given, capture_output=True, check=True)
    assert done.stdout == meant
