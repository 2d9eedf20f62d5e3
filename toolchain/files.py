"""Whole files or none: write to a temporary name in the same folder, then rename."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from models import files
from models.errors import DataFileError
from toolchain.errors import FileError, OutputExistsError, UsageError


def check_output(path: Path, *, force: bool) -> None:
    """Refuse an output that exists, before any work is done for it.

    Raises:
        OutputExistsError: it exists and ``force`` is false.
        FileError: its folder does not exist, or it is a device, which a file must not take the place of.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise FileError(f"cannot write {path}: it is no plain file; give another name")
    if path.exists() and not force:
        raise OutputExistsError(path)
    parent = path.absolute().parent
    if parent.exists() and not parent.is_dir():
        raise FileError(f"cannot write {path}: {parent} is no folder; give another name")
    if not parent.is_dir():
        raise FileError(f"cannot write {path}: folder {parent} does not exist; create it first")


@contextlib.contextmanager
def replacing(path: Path, *, force: bool = False) -> Iterator[Path]:
    """Give a temporary file's path; rename it to ``path`` when the block succeeds, else remove it.

    Raises:
        OutputExistsError: ``path`` exists and ``force`` is false.
        FileError: it cannot be written (no folder, no right, disk full).
    """
    check_output(path, force=force)
    try:
        with files.replacing(path) as temporary:
            yield temporary
    except DataFileError as error:
        raise FileError(str(error)) from error


def check_folder(path: Path, *, force: bool, mark: str) -> None:
    """Like :func:`check_output`, for a folder: force replaces only what was written by the same verb.

    Args:
        path: the folder.
        force: it may be replaced.
        mark: a file that shows that the folder is an earlier output; an empty folder needs none.

    Raises:
        OutputExistsError: it exists and ``force`` is false.
        UsageError: it exists and is something else.
        FileError: its parent does not exist.
    """
    check_output(path, force=force)
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise UsageError(f"{path} exists and is no folder; give another name")
    if path.is_dir() and not (path / mark).is_file() and any(path.iterdir()):
        raise UsageError(
            f"{path} holds other files and no {mark}, so it is not replaced; give another name, or empty it yourself"
        )


@contextlib.contextmanager
def replacing_folder(path: Path, *, force: bool = False, mark: str) -> Iterator[Path]:
    """Like :func:`replacing`, for a folder.

    Args:
        path: the folder.
        force: replace an earlier output.
        mark: as in :func:`check_folder`.

    Raises:
        OutputExistsError: ``path`` exists and ``force`` is false.
        UsageError: ``path`` is something else than an earlier output.
        FileError: it cannot be written.
    """
    check_folder(path, force=force, mark=mark)
    temporary: Path | None = None
    try:
        temporary = Path(tempfile.mkdtemp(dir=path.absolute().parent, prefix=f".{path.name}.", suffix=".part"))
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o777 & ~umask)
        if path.exists():
            retired = temporary.with_suffix(".old")
            path.replace(retired)
            temporary.replace(path)
            shutil.rmtree(retired)
        else:
            temporary.replace(path)
    except OSError as error:
        raise FileError(
            f"cannot write {path}: {error.strerror or error}; free space or choose another folder"
        ) from error
    finally:
        if temporary is not None and temporary.exists():
            shutil.rmtree(temporary, ignore_errors=True)


def write_bytes(path: Path, content: bytes, *, force: bool = False) -> None:
    """Write a whole file or nothing.

    Raises:
        OutputExistsError: ``path`` exists and ``force`` is false.
        FileError: it cannot be written.
    """
    with replacing(path, force=force) as temporary:
        temporary.write_bytes(content)
