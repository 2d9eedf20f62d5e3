"""The only door by which a model comes in: guard, read, normalise."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx.inliner
import onnx_ir as ir

from toolchain.errors import FileError, UnsafeError
from toolchain.external import absorb
from toolchain.guard import MAX_BYTES, guard
from toolchain.shapes import check_sizes
from toolchain.text import check_text


def load(path: Path | str) -> ir.Model:
    """Read an ONNX file.

    Args:
        path: the file; weights stored as external data must lie in its folder. All of it is read into memory.

    Returns:
        The model with local functions inlined.

    Raises:
        FileError: missing, truncated, or no ONNX model.
        UnsupportedError: of an operator set or format later than this installation knows.
        UnsafeError: refused before reading on.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise FileError(f"{path} is {'a folder' if path.is_dir() else 'no plain file'}; expected an ONNX file")
        if size > MAX_BYTES:
            raise UnsafeError(
                f"{path} has {size} bytes; an ONNX file has at most {MAX_BYTES} (store weights as external data)"
            )
        content = path.read_bytes()
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}; check the name") from error
    return read(content, str(path), path.parent)


def read(content: bytes, name: str, folder: Path | None = None) -> ir.Model:
    """Read an ONNX model from bytes.

    Args:
        content: a serialised ModelProto.
        name: how messages call it.
        folder: where external data lies; ``None`` if it may have none.

    Raises:
        FileError: truncated, or no ONNX model.
        UnsupportedError: of an operator set or format later than this installation knows.
        UnsafeError: refused before reading on.
    """
    proto = parse(content, name)
    external = guard(proto, name)
    check_text(proto, name)
    absorb(external, folder, name)
    try:
        onnx.checker.check_model(proto, full_check=False)
        # The inliner of onnx-ir takes seconds where this one takes milliseconds.
        flat = onnx.inliner.inline_local_functions(proto) if proto.functions else proto
        _free_dimensions(flat)
        model = ir.from_proto(flat)
    except (onnx.checker.ValidationError, ValueError, TypeError, KeyError, RuntimeError) as error:
        raise FileError(
            f"{name} is no valid ONNX model: {' '.join(str(error).split())[:300]}; export it again"
        ) from error
    check_sizes(model, name)
    return model


def _free_dimensions(proto: onnx.ModelProto) -> None:
    """Some exporters write a free dimension as -1, which the specification does not know; runtimes take it so."""
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.HasField("dim_value") and dimension.dim_value < 0:
                dimension.ClearField("dim_value")


def parse(content: bytes, name: str) -> onnx.ModelProto:
    """Decode the protobuf, and nothing more.

    Raises:
        FileError: empty, truncated, or no ONNX file.
    """
    if not content:
        raise FileError(f"{name} is empty; export it again")
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(content)
    except Exception as error:
        raise FileError(
            f"{name} is no ONNX file, or is cut off ({len(content)} bytes): {error}; export it again"
        ) from error
    return proto
