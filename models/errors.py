"""What can go wrong in ``models``.

::

    ModelsError
    ├── UsageError           the request makes no sense
    │   ├── UnknownNameError     no such network, data set or split; carries the nearest match
    │   └── OutputExistsError    would overwrite
    ├── DataFileError        a file of data or weights is missing, corrupt or of another shape
    │   └── ChecksumError    the file's content is not the one expected
    ├── DownloadError        the network failed
    ├── UnsafeFileError      refused: loading it could run code
    └── MissingDependencyError   a package of an extra, or a device, is not there

The command line turns each into a line and an exit code in one place (``toolchain/cli/main.py``).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ModelsError(Exception):
    """Root of this tree. The message says what, where, expected, received and the remedy, in one line."""


class UsageError(ModelsError):
    """The request makes no sense."""


class UnknownNameError(UsageError):
    """A name that is not in a closed list."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        super().__init__(unknown(kind, name, known))


class OutputExistsError(UsageError):
    """Would overwrite a file."""

    def __init__(self, path: object) -> None:
        super().__init__(exists(path))


class DataFileError(ModelsError):
    """A file of data or weights is missing, corrupt or of another shape."""


class ChecksumError(DataFileError):
    """The file's content is not the one expected."""


class DownloadError(ModelsError):
    """The network failed."""


class UnsafeFileError(ModelsError):
    """Refused: loading the file could run code."""


class MissingDependencyError(ModelsError):
    """A package of an extra, or a device, is not there."""


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """What to say of a name that is not in a closed list: with the nearest match, or the list."""
    choices = sorted(known)
    near = difflib.get_close_matches(name, choices, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(choices)}"
    return f"unknown {kind} {name!r}; {hint}"


def exists(path: object) -> str:
    """What to say of an output that would be overwritten."""
    return f"{path} exists; give another name, or --force to overwrite it"
