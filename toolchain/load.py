"""The only door by which a model comes in: scan, parse, guard, read, normalise."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
import onnx.inliner
import onnx_ir as ir

from toolchain.allowance import Allowance
from toolchain.errors import FileError, ToolchainError
from toolchain.external import absorb, allowance, read_plain
from toolchain.guard import guard
from toolchain.scan import scan
from toolchain.shapes import check_sizes

MESSAGE = 600
"""Characters of an error's line, more or less."""


def load(path: Path | str, *, allowed: Allowance | None = None) -> ir.Model:
    """Read an ONNX file.

    Args:
        path: the file; weights stored as external data must lie in its folder. All of it is read into memory.
        allowed: how much it may hold, where its size says too little of it.

    Returns:
        The model with local functions inlined.

    Raises:
        FileError: missing, truncated, or no ONNX model.
        UnsupportedError: of an operator set or format later than this installation knows.
        UnsafeError: refused before reading on.
    """
    path = Path(path)
    return read(read_plain(path, str(path)), str(path), path.parent, allowed=allowed)


def read(content: bytes, name: str, folder: Path | None = None, *, allowed: Allowance | None = None) -> ir.Model:
    """Read an ONNX model from bytes.

    Args:
        content: a serialised ModelProto.
        name: how messages call it.
        folder: where external data lies; ``None`` if it may have none.
        allowed: how much it may hold, where its size says too little of it.

    Raises:
        FileError: truncated, or no ONNX model.
        UnsupportedError: of an operator set or format later than this installation knows.
        UnsafeError: refused before reading on.
    """
    if not content:
        raise FileError(f"{name} is empty; export it again")
    try:
        with _uncollected():
            return _read(content, name, folder, allowed or allowance(content, folder))
    except ToolchainError as error:
        if len(str(error)) < MESSAGE and str(error).isprintable():
            raise
        raise type(error)(_plain(error)) from error


@contextmanager
def _uncollected() -> Iterator[None]:
    """The many small objects of a graph are all needed: looking for garbage among them takes a sixth of the time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _read(content: bytes, name: str, folder: Path | None, allowed: Allowance) -> ir.Model:
    scan(content, name, allowed)
    proto = parse(content, name)
    absorb(guard(proto, name, allowed), folder, name)
    try:
        onnx.checker.check_model(proto, full_check=False)
        # The inliner of onnx-ir takes seconds where this one takes milliseconds.
        flat = onnx.inliner.inline_local_functions(proto) if proto.functions else proto
        if proto.functions:  # names within them are looked up only now
            onnx.checker.check_model(flat, full_check=False)
        _free_dimensions(flat)
        model = ir.from_proto(flat)
    except (onnx.checker.ValidationError, ValueError, TypeError, KeyError, RuntimeError) as error:
        raise FileError(f"{name} is no valid ONNX model: {_plain(error)}; export it again") from error
    check_sizes(model, name)
    return model


def _plain(error: BaseException) -> str:
    """A message in one line of bounded length, without control characters: names from the file may be in it."""
    text = str(error)
    if len(text) > MESSAGE:  # the remedy stands at the end
        text = f"{text[: MESSAGE * 2 // 3]} ... {text[-MESSAGE // 4 :]}"
    return " ".join("".join(c if c.isprintable() else " " for c in text).split()).rstrip(".")


def _free_dimensions(proto: onnx.ModelProto) -> None:
    """Some exporters write a free dimension as -1, which the specification does not know; runtimes take it so."""
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.HasField("dim_value") and dimension.dim_value < 0:
                dimension.ClearField("dim_value")


def parse(content: bytes, name: str) -> onnx.ModelProto:
    """Decode the protobuf, and nothing more.

    Raises:
        FileError: no ONNX file.
    """
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(content)
    except Exception as error:
        raise FileError(
            f"{name} is no ONNX file, or is cut off ({len(content)} bytes): {_plain(error)}; export it again"
        ) from error
    return proto
