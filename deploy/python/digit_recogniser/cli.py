"""The command: parse, ask, print. Exit codes: 0 done, 2 usage, 3 a package is missing, 5 file, 130 Ctrl-C."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from digit_recogniser.decode import SUFFIXES, read_bytes
from digit_recogniser.errors import FileError, RecogniserError, UsageError
from digit_recogniser.model import Recogniser
from digit_recogniser.serve import serve

JSON_VERSION = 1
_INTERRUPTED = 130


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see recognise.py --help")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: the words after the command's name; those of this process by default.

    Returns:
        The exit code. Where some pictures have no answer, the others are still answered.
    """
    try:
        return _run(arguments)
    except RecogniserError as error:
        _complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        _complain("interrupted")
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader of stdout left, as `head` does; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(arguments: Sequence[str] | None) -> int:
    options = _parser().parse_args(arguments)
    if options.top < 1:
        raise UsageError(f"--top is {options.top}; expected 1 or more")
    if options.serve is None:
        if not options.images:
            raise UsageError("nothing to do; name an image or a directory, or --serve PORT")
        if options.host is not None:
            raise UsageError("--host belongs to --serve")
        return _answer(Recogniser(options.model), options.images, options.top, as_json=options.json)
    if options.images or options.json:
        raise UsageError("--serve takes no images and no --json; pictures come by HTTP")
    if not 0 <= options.serve <= 65535:
        raise UsageError(f"--serve {options.serve}: expected a port, 0 to 65535 (0: any free one)")
    serve(Recogniser(options.model), options.host or "127.0.0.1", options.serve, options.top)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="recognise.py",
        description="Read handwritten digits with an ONNX model exported by onnx-edge.",
        allow_abbrev=False,
    )
    parser.add_argument("--model", type=Path, required=True, metavar="FILE", help="ONNX model, float or int8")
    parser.add_argument("images", nargs="*", type=Path, metavar="IMAGE|DIR", help="pictures, one digit each")
    parser.add_argument("--top", type=int, default=1, metavar="K", help="list the K most probable labels")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    parser.add_argument("--serve", type=int, metavar="PORT", help="answer over HTTP instead")
    parser.add_argument("--host", metavar="ADDRESS", help="address to serve on (default: 127.0.0.1)")
    return parser


def _answer(recogniser: Recogniser, paths: Sequence[Path], top: int, *, as_json: bool) -> int:
    code = 0
    results: list[dict[str, Any]] = []
    for path in _pictures(paths):
        try:
            if isinstance(path, FileError):
                raise path
            answer = recogniser.recognise(read_bytes(path), top)
        except FileError as error:
            code = error.exit_code
            line = str(error) if isinstance(path, FileError) else f"{path}: {error}"
            _complain(line)
            results.append({"error": line} if isinstance(path, FileError) else _failure(path, error))
            continue
        results.append({"file": str(path), **answer.facts()})
        if not as_json:
            guesses = ", ".join(f"{label} ({probability:.1%})" for label, probability in answer.candidates)
            print(f"{path}: {guesses}", flush=True)  # noqa: T201 -- the command's answer
    if as_json:
        document = {"version": JSON_VERSION, "model": str(recogniser.path), "results": results}
        print(json.dumps(document, indent=2), flush=True)  # noqa: T201 -- the command's answer
    return code


def _failure(path: Path, error: FileError) -> dict[str, Any]:
    return {"file": str(path), "error": str(error)}


def _pictures(paths: Sequence[Path]) -> Iterator[Path | FileError]:
    """Every picture file of the request; a directory gives its own, by suffix and in order of name."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        try:
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
        except OSError as error:
            yield FileError(f"{path}: cannot be listed: {error.strerror or error}")
            continue
        if not inside:
            yield FileError(f"{path}: no pictures in this directory ({', '.join(sorted(SUFFIXES))})")
        yield from inside


def _complain(line: str) -> None:
    sys.stderr.write(f"recognise: error: {line}\n")
