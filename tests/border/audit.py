"""What loading files does to the system: ``python -m tests.border.audit FILE ...``.

Prints one line of JSON for each event of the interpreter's audit hooks
(https://docs.python.org/3/library/audit_events.html) that opens, runs, connects or changes something.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.border.attack import model
from toolchain.errors import ToolchainError
from toolchain.load import load, read

WATCHED = (
    "open",
    "import",
    "exec",
    "compile",
    "pickle.",
    "marshal.",
    "subprocess.",
    "socket.",
    "ctypes.",
    "shutil.",
    "os.",
)


def main(paths: list[str]) -> None:
    """Load files under watch."""
    read(model().SerializeToString(), "warm")
    current = ""

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        described = event == "open" and isinstance(arguments[0], int)  # a file that is open already
        if current and event.startswith(WATCHED) and not described:
            sys.stdout.write(
                json.dumps({"path": current, "event": event, "arguments": list(map(str, arguments))}) + "\n"
            )

    sys.addaudithook(hook)
    for path in paths:
        current = path
        try:
            load(Path(path))
        except ToolchainError:
            pass
        finally:
            current = ""
    sys.stdout.write(json.dumps({"path": "", "event": "done", "arguments": [str(len(paths))]}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
