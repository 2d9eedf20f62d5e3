"""Weights in files beside the model: read only from plain files within its folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import onnx

from toolchain.errors import FileError, UnsafeError
from toolchain.guard import byte_size


def absorb(tensors: Iterable[onnx.TensorProto], folder: Path | None, name: str) -> None:
    """Read external data into the tensors, so that nothing opens those files a second time.

    Args:
        tensors: with external data; changed in place.
        folder: of the model; ``None`` if it came from no folder.
        name: how messages call the model.

    Raises:
        UnsafeError: the data lies outside the folder, behind a link, or in no plain file.
        FileError: it is missing or too short.
    """
    for tensor in tensors:
        where = f"{name}: data of tensor {tensor.name!r}"
        if folder is None:
            raise FileError(f"{where} lies in another file; load the model from its folder")
        facts = {entry.key: entry.value for entry in tensor.external_data}
        if len(facts) != len(tensor.external_data):
            raise UnsafeError(f"{where} states its place twice; export the model again")
        path = external_path(facts.get("location", ""), folder, where)
        size = byte_size(tensor)
        offset, length = _number(facts, "offset", 0, where), _number(facts, "length", size, where)
        if length != size:
            raise FileError(f"{where} has {length} bytes, expected {size}; export the model again")
        present = max(0, path.stat().st_size - offset)
        if present < size:  # before a buffer of that size is asked for
            raise FileError(f"{where}: {path} ends after {present} of its {size} bytes; it is cut off: copy it again")
        with path.open("rb") as file:
            file.seek(offset)
            content = file.read(size)
        del tensor.external_data[:]
        tensor.data_location = onnx.TensorProto.DEFAULT
        tensor.raw_data = content


def _number(facts: dict[str, str], key: str, default: int, where: str) -> int:
    text = facts.get(key, str(default))
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise FileError(f"{where} states {key} {text[:40]!r}; expected a number of bytes")
    return int(text)


def external_path(location: str, folder: Path, where: str) -> Path:
    """Where a tensor's external data lies.

    Args:
        location: as the file states it.
        folder: of the model.
        where: names file and tensor in messages.

    Raises:
        UnsafeError: outside the folder, behind a link, or no regular file.
        FileError: missing.
    """
    parts = PurePosixPath(location.replace("\\", "/"))
    absolute = parts.is_absolute() or (len(location) > 1 and location[1] == ":")
    if not location or absolute or ".." in parts.parts or "\0" in location:
        raise UnsafeError(f"{where} lies at {location!r}; expected a path within the model's folder; move it there")
    path = folder
    for part in parts.parts:
        path = path / part
        if path.is_symlink():
            raise UnsafeError(f"{where} lies behind the link {path}; replace the link by the file")
    if not path.exists():
        raise FileError(f"{where}: file {path} is missing; put it beside the model")
    if not path.is_file() or path.stat().st_nlink > 1:
        raise UnsafeError(f"{where}: {path} is no plain file of its own (a folder, device or hard link); copy it")
    return path
