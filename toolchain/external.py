"""Weights in files beside the model: read only from plain files within its folder."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import onnx

from toolchain.allowance import Allowance
from toolchain.errors import FileError, ToolchainError, UnsafeError
from toolchain.layouts import MAX_BYTES, byte_size

_LOCATION = re.compile(rb"\x0a\x08location\x12([\x01-\x7f])")
_KEYS = frozenset({"location", "offset", "length", "checksum", "basepath"})

Extent = tuple[Path, int, int]
"""File, first byte, and number of bytes."""


def allowance(content: bytes, folder: Path | None) -> Allowance:
    """Limits for a file, by its size and that of the files of weights that it names.

    Args:
        content: the whole model file.
        folder: where weights in other files lie, or ``None``.
    """
    size = len(content)
    if folder is not None:
        named = {content[m.end() : m.end() + m[1][0]] for m in _LOCATION.finditer(content)}
        size += sum(_size(folder, location) for location in named)
    return Allowance(max(1, -(-size >> 20)))


def _size(folder: Path, location: bytes) -> int:
    try:
        return external_path(location.decode(), folder, "").stat().st_size
    except (ToolchainError, OSError, ValueError):
        return 0  # what is wrong with it is said when its tensor is reached


def absorb(tensors: Iterable[onnx.TensorProto], folder: Path | None, name: str) -> None:
    """Read external data into the tensors, so that nothing opens those files a second time.

    Args:
        tensors: with external data; changed in place.
        folder: of the model; ``None`` if it came from no folder.
        name: how messages call the model.

    Raises:
        UnsafeError: the data lies outside the folder, behind a link, in no plain file, or in one place for several
            tensors, which together take more than the file has.
        FileError: it is missing or too short.
    """
    placed = [(tensor, *_extent(tensor, folder, name)) for tensor in tensors]
    taken: dict[Path, int] = {}
    for tensor, path, _, size in placed:
        taken[path] = taken.get(path, 0) + size
        if taken[path] > path.stat().st_size:
            raise UnsafeError(
                f"{name}: data of tensor {tensor.name!r} overlaps other tensors': together they take more than "
                f"the {path.stat().st_size} bytes of {path}; export the model again"
            )
    for tensor, path, offset, size in placed:
        where = f"{name}: data of tensor {tensor.name!r}"
        content = read_plain(path, where, offset, size, linked=False)
        if len(content) < size:
            raise FileError(f"{where}: {path} ends after {len(content)} of its {size} bytes; copy it again")
        del tensor.external_data[:]
        tensor.data_location = onnx.TensorProto.DEFAULT
        tensor.raw_data = content


def _extent(tensor: onnx.TensorProto, folder: Path | None, name: str) -> Extent:
    """Where a tensor's data lies, checked against what is there."""
    where = f"{name}: data of tensor {tensor.name!r}"
    if folder is None:
        raise FileError(f"{where} lies in another file; load the model from its folder")
    facts = {entry.key: entry.value for entry in tensor.external_data}
    if len(facts) != len(tensor.external_data):
        raise UnsafeError(f"{where} states its place twice; export the model again")
    if not _KEYS.issuperset(facts):
        stranger = next(key for key in facts if key not in _KEYS)
        raise FileError(f"{where} states {stranger[:40]!r}; expected only {', '.join(sorted(_KEYS))}")
    path = external_path(facts.get("location", ""), folder, where)
    size = byte_size(tensor)
    offset, length = _number(facts, "offset", 0, where), _number(facts, "length", size, where)
    if length != size:
        raise FileError(f"{where} has {length} bytes, expected {size}; export the model again")
    present = max(0, path.stat().st_size - offset)
    if present < size:  # before a buffer of that size is asked for
        raise FileError(f"{where}: {path} ends after {present} of its {size} bytes; it is cut off: copy it again")
    return path, offset, size


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
        raise UnsafeError(
            f"{where} lies at {location[:100]!r}; expected a path within the model's folder; move it there"
        )
    path = folder
    try:
        for part in parts.parts:
            path = path / part
            if path.is_symlink():
                raise UnsafeError(f"{where} lies behind the link {path}; replace the link by the file")
        facts = path.lstat()
    except OSError as error:
        raise FileError(f"{where}: file {location[:100]!r}: {error.strerror}; put it beside the model") from error
    if not stat.S_ISREG(facts.st_mode) or facts.st_nlink > 1:
        raise UnsafeError(f"{where}: {path} is no plain file of its own (a folder, device or hard link); copy it")
    return path


def read_plain(path: Path, where: str, offset: int = 0, size: int | None = None, *, linked: bool = True) -> bytes:
    """Read from a regular file, which is judged again once it is open: what is read is what was judged.

    Args:
        path: the file.
        where: begins messages.
        offset: first byte.
        size: bytes at most; ``None`` for all that the file has when it is opened.
        linked: whether the name may be a link, and the file have other names.

    Raises:
        FileError: missing, a folder, pipe or device, or not readable.
        UnsafeError: larger than :data:`MAX_BYTES`, or a link where none may be.
    """
    # Opening a pipe would wait for its other end; and a link may have been put there since the path was judged.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    flags |= 0 if linked else getattr(os, "O_NOFOLLOW", 0)
    try:
        _check_plain(path.stat() if linked else path.lstat(), where, linked)
        with os.fdopen(os.open(path, flags), "rb") as file:
            facts = os.fstat(file.fileno())
            _check_plain(facts, where, linked)
            file.seek(offset)
            return file.read(facts.st_size if size is None else size)
    except OSError as error:
        raise FileError(f"cannot read {where}: {error.strerror or error}; check the name") from error


def _check_plain(facts: os.stat_result, where: str, linked: bool) -> None:
    if not stat.S_ISREG(facts.st_mode):
        kind = "a folder" if stat.S_ISDIR(facts.st_mode) else "no plain file"
        raise FileError(f"{where} is {kind}; expected an ONNX file")
    if not linked and facts.st_nlink > 1:
        raise UnsafeError(f"{where} lies in a file with another name (a hard link); copy it")
    if facts.st_size > MAX_BYTES:
        raise UnsafeError(f"{where} has {facts.st_size} bytes; at most {MAX_BYTES} are read")
