"""What can go wrong in ``toolchain``; each class carries the exit code of the command line.

::

    ToolchainError
    ├── GateFailedError         1   not equivalent, over a budget
    ├── UsageError              2   the request makes no sense
    │   ├── UnknownNameError        not in a closed list; carries the nearest match
    │   ├── OutputExistsError       would overwrite
    │   └── ShapeError              data does not fit the model's input
    ├── MissingError            3   a provider, device, tool or package is not there
    │   └── FallbackError           a requested provider did not run a node
    ├── NetworkError            4   a download failed
    ├── FileError               5   missing, corrupt, not what its name says, or not writable
    │   └── UnsupportedError        a valid model holds something that is not supported here
    │       └── UnboundedError      nobody has derived how far its rounding may go, so that nothing can be said
    └── UnsafeError             6   refused before reading on

Anything else that escapes is an internal error: exit 70. Messages say what, where, expected, received and
the remedy, in one line. The command line converts in one place (``cli/main.py``).
"""

from __future__ import annotations

from collections.abc import Iterable

from models.errors import exists, unknown


class ToolchainError(Exception):
    """Root of this tree."""

    exit_code = 70


class GateFailedError(ToolchainError):
    """A gate failed: not equivalent, or over a budget."""

    exit_code = 1


class UsageError(ToolchainError):
    """The request makes no sense."""

    exit_code = 2


class UnknownNameError(UsageError):
    """A name that is not in a closed list."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        super().__init__(unknown(kind, name, known))


class OutputExistsError(UsageError):
    """Would overwrite a file."""

    def __init__(self, path: object) -> None:
        super().__init__(exists(path))


class ShapeError(UsageError):
    """Data does not fit the model's input."""


class MissingError(ToolchainError):
    """A provider, device, tool or package is not there."""

    exit_code = 3


class FallbackError(MissingError):
    """A requested provider did not run a node."""


class NetworkError(ToolchainError):
    """A download failed."""

    exit_code = 4


class FileError(ToolchainError):
    """A file is missing, corrupt, not what its name says, or not writable."""

    exit_code = 5


class UnsupportedError(FileError):
    """A valid model holds something that is not supported here: names operator, node and opset."""


class UnboundedError(UnsupportedError):
    """Nobody has derived how far the rounding of these nodes may go, so that nothing can be said of a result."""


class UnsafeError(ToolchainError):
    """Refused before reading on."""

    exit_code = 6
