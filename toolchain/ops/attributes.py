"""Reading a node's attributes: typed, with defaults, and with one clear refusal of values that mean nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from toolchain.ops.operator import NodeFacts


def integers(facts: NodeFacts, name: str) -> tuple[int, ...] | None:
    """A list of integers, or ``None`` where the node leaves it out."""
    value = facts.attributes.get(name)
    return None if value is None else tuple(int(v) for v in value)


def integer(facts: NodeFacts, name: str, default: int) -> int:
    """An integer."""
    value = facts.attributes.get(name)
    return default if value is None else int(value)


def number(facts: NodeFacts, name: str, default: float) -> float:
    """A float32 as the float64 of the same value; so is a default such as 0.01."""
    value = facts.attributes.get(name)
    return float(np.float32(default if value is None else value))


def choice(facts: NodeFacts, name: str, default: str, choices: Sequence[str]) -> str:
    """One of a closed list of words.

    Raises:
        UnsupportedError: any other word.
    """
    value = facts.attributes.get(name)
    word = default if value is None else str(value)
    if word not in choices:
        raise facts.unsupported(f"{name} is {word!r}", f"expected one of {', '.join(choices)}")
    return word


def data_type(facts: NodeFacts, name: str) -> ir.DataType | None:
    """An element type, or ``None`` where it is left out or 0.

    Raises:
        UnsupportedError: not a type of numbers.
    """
    value: Any = facts.attributes.get(name)
    if not value:
        return None
    try:
        kind = ir.DataType(int(value))
    except ValueError:
        raise facts.unsupported(f"{name} is {value}", "expected a value of TensorProto.DataType") from None
    if kind in (ir.DataType.STRING, ir.DataType.COMPLEX64, ir.DataType.COMPLEX128):
        raise facts.unsupported(f"{name} is {kind.name}", "expected a type of real numbers")
    return kind


def nothing(facts: NodeFacts) -> None:
    """For operators without attributes."""
    del facts
