"""Coverage-guided fuzzing of the loader: ``make fuzz``, or ``python -m tests.border.fuzz FOLDER [libFuzzer options]``.

Whatever the bytes, loading ends in a model or in an error of ``toolchain.errors``, in one printable line, within limits
of time and memory; and what was read has shapes, or an error that says why not.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["toolchain"]):
    from toolchain.errors import ToolchainError
    from toolchain.load import read
    from toolchain.ops import registry
    from toolchain.shapes import infer

    registry()

from tests.border.attacks import ATTACKS
from tests.border.mutate import mutate
from tests.border.slow import operators

SECONDS = 1.0
"""Of processor time an input; counting coverage makes the loader several times slower, and machines are shared."""
MEBIBYTES = 256
LARGEST = 16_384
"""Bytes of an input: what is slow or large is in the attacker's list, and here short inputs find more."""
SEED = 4096
"""Bytes of an attack that is small enough to start from."""
PARSER = "Error parsing message"


def one(content: bytes, folder: Path) -> None:
    """Load bytes, and complain about anything but a model or a clear refusal.

    Raises:
        AssertionError: the promise is broken.
    """
    started = time.process_time()
    try:
        model = read(content, "m.onnx", folder)
    except ToolchainError as error:
        text = str(error)
        assert text.isprintable(), repr(text)
        assert len(text) < 2_000, len(text)
        assert PARSER not in text, f"protobuf refuses what the scan passes: {text}"
    else:
        with suppress(ToolchainError):  # a node that the reference does not know, or that does not fit
            infer(model)
    taken = time.process_time() - started
    assert taken < SECONDS, f"{taken:.2f} s of processor time"


def seeds(folder: Path) -> None:
    """Small attacks, and a model of each operator, as files to start from."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        for index, attack in enumerate(ATTACKS):
            path = attack.write(Path(scratch) / str(index) / "folder")
            if path.is_file() and path.stat().st_size <= SEED:
                (folder / f"attack-{index:03}").write_bytes(path.read_bytes())
    for index, proto in enumerate(operators()):
        (folder / f"operator-{index:03}").write_bytes(proto.SerializeToString())


def main(arguments: list[str]) -> None:
    """Run libFuzzer."""
    if arguments[:1] == ["--seeds"]:
        seeds(Path(arguments[1]))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "w.bin").write_bytes(bytes(64))
        again = folder / "fuzz"  # libFuzzer starts itself again to merge corpora (-merge=1)
        again.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tests.border.fuzz "$@"\n', encoding="utf-8")
        again.chmod(0o700)
        options = [f"-max_len={LARGEST}", "-timeout=20", f"-malloc_limit_mb={MEBIBYTES}", "-rss_limit_mb=2048"]
        atheris.Setup(
            [str(again), *options, *arguments],
            lambda content: one(content, folder),
            custom_mutator=lambda content, limit, seed: mutate(content, limit, seed, atheris.Mutate),
        )
        atheris.Fuzz()


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main(sys.argv[1:])
