"""One operator, one place: every file of this folder that lists ``LOWERINGS`` is found here.

A file says how its ONNX operators become a :class:`~toolchain.compile.program.Layer`, which parameters its C kernel in
``toolchain/runtime/`` takes, and what the kernel can build in. To add a kernel, add a file here and one there.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from toolchain.compile.lowering import Lowering


@cache
def lowerings() -> dict[str, Lowering]:
    """Every lowering, by operator."""
    found: dict[str, Lowering] = {}
    for module in sorted(info.name for info in pkgutil.iter_modules(__path__)):
        for lowering in getattr(importlib.import_module(f"{__name__}.{module}"), "LOWERINGS", ()):
            if lowering.op_type in found:
                raise RuntimeError(f"operator {lowering.op_type} is lowered twice")
            found[lowering.op_type] = lowering
    return found
