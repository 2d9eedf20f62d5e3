"""How errors of a node's inputs spread to its outputs.

Each function has the signature of ``Operator.spread``: (operator, attributes, inputs, errors, roundoff) -> one array
an output, a rigorous limit on ``|f(x + d) - f(x)|`` over all ``|d| <= error``. ``errors`` holds ``None`` for inputs
that carry none. With it a region of several fused nodes is judged as what it computes together.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from toolchain.ops.arrays import Array, Errors, Evaluates, Inputs, Spread
from toolchain.ops.bounds import gamma

__all__ = ["Errors", "Spread", "corners", "linear", "lipschitz", "moved", "softmax"]

_MAX_CORNER_INPUTS = 4


def moved(operator: Evaluates, node: Any, inputs: Inputs, errors: Errors, roundoff: float) -> tuple[Array, ...]:
    """Of operators that only move elements: errors move along with them."""
    carried = [
        None if x is None else (np.zeros_like(x) if _carries(x) else x) if e is None else np.broadcast_to(e, x.shape)
        for x, e in zip(inputs, errors, strict=True)
    ]
    return tuple(np.abs(y) for y in operator.evaluate(node, carried))


def corners(operator: Evaluates, node: Any, inputs: Inputs, errors: Errors, roundoff: float) -> tuple[Array, ...]:
    """Of functions that are monotone in each input: the extremes lie at the corners of the error box."""
    erring = [index for index, e in enumerate(errors) if e is not None]
    if len(erring) > _MAX_CORNER_INPUTS:
        raise ValueError(f"{len(erring)} inputs carry errors; corners are taken of at most {_MAX_CORNER_INPUTS}")
    exact = operator.evaluate(node, inputs)
    limits = [np.zeros(np.shape(y)) for y in exact]
    for signs in itertools.product((-1.0, 1.0), repeat=len(erring)):
        moved_inputs = list(inputs)
        for index, sign in zip(erring, signs, strict=True):
            moved_inputs[index] = np.asarray(inputs[index]) + sign * np.asarray(errors[index])
        for limit, y, at_corner in zip(limits, exact, operator.evaluate(node, moved_inputs), strict=True):
            np.maximum(limit, np.abs(at_corner.astype(np.float64) - y.astype(np.float64)), out=limit)
    return tuple(limits)


def linear(data: int = 0, weight: int = 1) -> Spread:
    """Of sums of products ``sum(w * x) + b``: ``|w| * error``, with the roundings that the error itself causes."""

    def spread(operator: Evaluates, node: Any, inputs: Inputs, errors: Errors, roundoff: float) -> tuple[Array, ...]:
        total: Array | None = None
        for index, other in ((data, weight), (weight, data)):
            error = errors[index]
            if error is None:
                continue
            arranged: list[Any] = [None] * len(inputs)
            arranged[index] = np.broadcast_to(error, np.shape(np.asarray(inputs[index])))
            magnitude = np.abs(np.asarray(inputs[other]))
            other_error = errors[other]
            arranged[other] = magnitude if other_error is None else magnitude + other_error
            part = np.abs(operator.evaluate(node, arranged)[0])
            total = part if total is None else total + part
        for index, error in enumerate(errors):
            if index not in (data, weight) and error is not None:
                arranged = [None if x is None else np.zeros_like(x) for x in inputs]
                arranged[index] = np.broadcast_to(error, np.shape(np.asarray(inputs[index])))
                part = np.abs(operator.evaluate(node, arranged)[0])
                total = part if total is None else total + part
        if total is None:
            raise ValueError("no input carries an error")
        shape = np.shape(np.asarray(inputs[weight]))
        terms = int(np.prod(shape)) // max(min(shape[-2:] if len(shape) == 2 else shape[:1]), 1)
        return (total * (1.0 + float(gamma(terms, roundoff))),)

    return spread


def lipschitz(constant: float) -> Spread:
    """Of element-wise functions of one input whose slope never exceeds ``constant``."""

    def spread(operator: Evaluates, node: Any, inputs: Inputs, errors: Errors, roundoff: float) -> tuple[Array, ...]:
        return (constant * np.broadcast_to(np.asarray(errors[0]), np.shape(np.asarray(inputs[0]))),)

    return spread


def softmax(operator: Evaluates, node: Any, inputs: Inputs, errors: Errors, roundoff: float) -> tuple[Array, ...]:
    """Numerator and denominator change by at most a factor ``exp(e)`` each, e the largest input error."""
    largest = float(np.max(np.asarray(errors[0]), initial=0.0))
    return tuple(np.abs(y) * np.expm1(2.0 * largest) for y in operator.evaluate(node, inputs))


def _carries(x: Array) -> bool:
    """Whether elements of this type may carry errors (conditions, shapes and indices may not)."""
    return x.dtype.kind == "f" or (x.dtype.kind in "iu" and x.dtype.itemsize == 1)
