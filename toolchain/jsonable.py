"""Values as JSON can hold them: its grammar (RFC 8259, section 6) has no infinity and no NaN."""

from __future__ import annotations

import math
from typing import Any


def jsonable(value: Any) -> Any:
    """Replace numbers that are not finite by ``"inf"``, ``"-inf"`` and ``"nan"``, at any depth.

    Args:
        value: of dictionaries, lists, tuples, strings, numbers, booleans and ``None``.
    """
    if isinstance(value, dict):
        return {key: jsonable(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(float(value))
    return value
