"""Literals and initialisers of C."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from toolchain.compile.program import Constant, Shifted, Struct, StructArray, Symbol, Value

WIDTH = 116


def wrapped(items: Sequence[str], indent: int = 4) -> str:
    """Items in lines of at most :data:`WIDTH` characters."""
    lines, line = [], ""
    for item in items:
        if line and indent + len(line) + len(item) + 2 > WIDTH:
            lines.append(line)
            line = ""
        line += f"{' ' if line else ''}{item},"
    lines.append(line)
    return "\n".join(" " * indent + line for line in lines if line)


def number(value: float) -> str:
    """A literal of C99: whole numbers as they are, floats in hexadecimal, which is exact."""
    if isinstance(value, int):
        return "(-2147483647 - 1)" if value == -(2**31) else str(value)
    if math.isinf(value):
        return "INFINITY" if value > 0 else "-INFINITY"
    return f"{float(value).hex()}f"


def fields(
    path: str, made: Struct, by_data: Mapping[int, str], arrays: list[tuple[str, str, str]], depth: int
) -> list[str]:
    """Designated initialisers; arrays of structures go before the structure itself."""
    indent = "    " * depth
    lines = []
    for field, value in made.fields:
        if isinstance(value, Struct):
            lines += [
                f"{indent}.{field} = {{",
                *fields(f"{path}_{field}", value, by_data, arrays, depth + 1),
                f"{indent}}},",
            ]
        elif isinstance(value, StructArray):
            items = []
            for index, item in enumerate(value.items):
                items += ["    {", *fields(f"{path}_{field}_{index}", item, by_data, arrays, 2), "    },"]
            arrays.append((value.items[0].type, f"{path}_{field}", "\n".join(items)))
            lines.append(f"{indent}.{field} = {path}_{field},")
        else:
            lines.append(f"{indent}.{field} = {_scalar(value, by_data)},")
    return lines


def _scalar(value: Value, by_data: Mapping[int, str]) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, Symbol):
        return value.name
    if isinstance(value, Constant):
        return by_data[id(value.data)]
    if isinstance(value, Shifted):
        return f"{by_data[id(value.constant.data)]} + {value.elements}"
    if isinstance(value, int | float):
        return number(value)
    raise TypeError(f"no literal for {type(value).__name__}")
