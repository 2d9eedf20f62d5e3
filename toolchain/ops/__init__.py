"""One operator, one place. Every file of this folder that lists ``OPERATORS`` is found here."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from toolchain.ops.operator import Operator


@cache
def registry() -> dict[tuple[str, str], Operator]:
    """Every operator, by domain and name."""
    found: dict[tuple[str, str], Operator] = {}
    for module in sorted(info.name for info in pkgutil.iter_modules(__path__)):
        for operator in getattr(importlib.import_module(f"{__name__}.{module}"), "OPERATORS", ()):
            if operator.key in found:
                raise RuntimeError(f"operator {operator.key} is described twice")
            found[operator.key] = operator
    return found
