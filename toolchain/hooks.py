"""``onnx-edge-hook``: one verb over many files, as pre-commit passes them.

    onnx-edge-hook verify --synthetic 2 a.onnx b.onnx
    onnx-edge-hook check gate.toml other.toml

Each file is judged in a process of its own, so that a model that brings its runtime down does not hide the others.
The files are the last arguments with the verb's suffix, or all that follow ``--``; the options before them are the
verb's. The exit code is the highest of all files'.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

SUFFIXES = {"verify": ".onnx", "check": ".toml"}
USAGE, INTERRUPTED, SIGNALLED = 2, 130, 128
PROGRAM = "onnx-edge-hook"


def split(arguments: Sequence[str], suffix: str) -> tuple[list[str], list[str]]:
    """Options and files.

    Args:
        arguments: without the verb.
        suffix: of the verb's files.
    """
    if "--" in arguments:
        place = list(arguments).index("--")
        return list(arguments[:place]), list(arguments[place + 1 :])
    place = len(arguments)
    while place and arguments[place - 1].lower().endswith(suffix):
        place -= 1
    return list(arguments[:place]), list(arguments[place:])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the verb on every file.

    Args:
        arguments: the verb, its options, and the files; ``sys.argv[1:]`` by default.

    Returns:
        The highest exit code; 2 where no verb or no file is given, as nothing was judged then.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] not in SUFFIXES:
        received = repr(given[0]) if given else "nothing"
        return _refuse(f"the verb is {received}; expected {' or '.join(SUFFIXES)}, then options and files")
    verb, suffix = given[0], SUFFIXES[given[0]]
    options, files = split(given[1:], suffix)
    if not files:
        return _refuse(f"no file of {verb}; expected names that end in {suffix}, or any names after --")
    worst = 0
    for file in files:
        code = _judged(verb, options, file, named=len(files) > 1)
        if code == INTERRUPTED:
            return code
        worst = max(worst, code)
    return worst


def _judged(verb: str, options: Sequence[str], file: str, *, named: bool) -> int:
    """The verb's exit code on one file."""
    if named:
        shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in file)
        sys.stdout.write(f"{shown}:\n")
        sys.stdout.flush()
    # -P: a folder `models` or `toolchain` in the repository being checked must not be taken for ours.
    command = [sys.executable, "-P", "-m", "toolchain.cli.main", verb, *options, "--", file]
    try:
        code = subprocess.run(command, check=False).returncode
    except KeyboardInterrupt:
        return INTERRUPTED
    return code if code >= 0 else SIGNALLED - code


def _refuse(problem: str) -> int:
    sys.stderr.write(f"{PROGRAM}: {problem}\n")
    return USAGE


if __name__ == "__main__":
    sys.exit(main())
