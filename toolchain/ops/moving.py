"""Operators that move values and change none: what they share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from toolchain.ops.bounds import EXACT, Bound
from toolchain.ops.operator import Array, Inputs, NodeFacts, Operator, Spec
from toolchain.ops.shaping import folding
from toolchain.ops.spreads import Spread, moved


def exact_bound(node: object, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
    """One exact bound an output."""
    return (EXACT,) * len(exact)


def moving(
    name: str,
    versions: set[int],
    parse: Callable[[NodeFacts], Any],
    evaluate: Callable[[Any, Inputs], tuple[Array, ...]],
    infer: Callable[[Any, Sequence[Spec | None]], tuple[Spec, ...]],
    domain: str = "",
    spread: Spread | None = moved,
) -> Operator:
    """An operator whose outputs are its inputs' values; shape inference folds its constants."""
    return Operator(
        name, frozenset(versions), parse, evaluate, folding(infer, evaluate), exact_bound, domain=domain, spread=spread
    )
