"""Coarser arithmetic: factors rounded to TF32, bfloat16 or float16, and tensors stored in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from benchmarks.power.faults.weights import PRODUCTS
from benchmarks.power.wrong import Edit, Place, Wrong
from toolchain.ops.operator import Inputs

Array = NDArray[Any]


def tf32(x: Array) -> Array:
    """To 11 bits, the leading one included; ties to even."""
    bits = x.astype(np.float32).view(np.uint32).astype(np.uint64)
    rounded = (bits + 0xFFF + ((bits >> 13) & 1)) & np.uint64(0xFFFFE000)
    return rounded.astype(np.uint32).view(np.float32).astype(np.float64)


def bfloat16(x: Array) -> Array:
    """To 8 bits."""
    return x.astype(ml_dtypes.bfloat16).astype(np.float64)


def float16(x: Array) -> Array:
    """To 11 bits, subnormal below 2^-14."""
    return x.astype(np.float16).astype(np.float64)


FORMATS = {"TF32": tf32, "bfloat16": bfloat16, "float16": float16}


def faults(place: Place, _: np.random.Generator) -> Iterator[Wrong]:
    """Of regions that compute in float32."""
    if any(step.operator.name in ("QuantizeLinear", "DequantizeLinear") for step in place.steps):
        return
    at = place.find(*PRODUCTS)
    where = None if at is None else place.stored(at, 1)
    if at is not None:
        plain = place.steps[at].operator.evaluate
        for name, short in FORMATS.items():

            def coarse(attributes: Any, inputs: Inputs, short: Any = short) -> tuple[Array, ...]:
                factors = [None if x is None else short(x) for x in inputs[:2]]
                return plain(attributes, [*factors, *inputs[2:]])

            yield place.change("precision", f"factors in {name}", Edit(at, evaluate=coarse), written=False)
    if where is not None:
        weight = place.constant(where)
        for name in ("bfloat16", "float16"):
            shorter = FORMATS[name](weight).astype(np.float32)
            edit = Edit(where[0], inputs={where[1]: shorter})
            yield place.change("precision", f"weights stored in {name}", edit)
    last = place.maker(place.region.tensor)
    if last is None or place.subject.tensors[place.region.tensor].dtype != np.float32:
        return
    final = place.steps[last].operator.evaluate
    for name in ("bfloat16", "float16"):

        def stored(attributes: Any, inputs: Inputs, short: Any = FORMATS[name]) -> tuple[Array, ...]:
            return tuple(short(y) for y in final(attributes, inputs))

        yield place.change("precision", f"the result stored in {name}", Edit(last, evaluate=stored), written=False)
