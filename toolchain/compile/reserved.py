"""Identifiers of C that a network's own names must not be."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from toolchain.compile.identifiers import identifier

RUNTIME = Path(__file__).resolve().parents[1] / "runtime"
_DECLARED = re.compile(r"\b(?:\w+_(?:s8|f32|u8)\w*|[A-Z][A-Z0-9]*_[A-Z0-9_]+)\b")
_STANDARD = re.compile(r"u?int(_least|_fast)?(8|16|32|64|ptr|max)_(t|max|min|c)|(size|ptrdiff)_(t|max|min)")


@cache
def of_kernels() -> frozenset[str]:
    """What the headers of the kernels declare: functions, types, numbers."""
    headers = RUNTIME.glob("*.h")
    return frozenset(word for path in headers for word in _DECLARED.findall(path.read_text(encoding="utf-8")))


def local(name: str, network: str, taken: set[str]) -> str:
    """A C identifier for a name of ONNX that none of the network's public names, types or kernels has.

    Args:
        name: any text.
        network: the prefix of public names.
        taken: identifiers in use; the new one is added.
    """
    made = identifier(name, set())
    if made.lower().startswith(f"{network.lower()}_") or _STANDARD.fullmatch(made.lower()):
        made = f"t_{made}"
    found = identifier(made, taken)
    while found in of_kernels():
        found = identifier(made, taken)
    return found
