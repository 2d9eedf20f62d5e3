"""Zero points, scales, rounding modes and saturation of quantized regions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.power.faults.weights import PRODUCTS
from benchmarks.power.wrong import Edit, Evaluate, Place, Wrong
from toolchain.ops.operator import Inputs

Array = NDArray[Any]

INT16 = float(np.iinfo(np.int16).max)


def faults(place: Place, _: np.random.Generator) -> Iterator[Wrong]:
    """Of nodes that quantize and dequantize."""
    last = max((i for i, s in enumerate(place.steps) if s.operator.name == "QuantizeLinear"), default=None)
    first = next((i for i in range(len(place.steps)) if _reads_input(place, i)), None)
    for what, at in (("output", last), ("input", first)):
        if at is not None:
            yield from _shifted(place, what, at)
            yield from _rescaled(place, what, at)
    product = place.find(*PRODUCTS)
    where = None if product is None else place.stored(product, 1)
    if where is not None and place.steps[where[0]].operator.name == "DequantizeLinear":
        yield from _weight_scales(place, where[0])
        yield from _saturated_sums(place, int(product or 0), where[0])
    if last is not None:
        yield from _rounded(place, last)


def _reads_input(place: Place, at: int) -> bool:
    step = place.steps[at]
    return step.operator.name == "DequantizeLinear" and step.inputs[0] in place.region.inputs


def _shifted(place: Place, what: str, at: int) -> Iterator[Wrong]:
    zero = place.constant((at, 2))
    up = zero + zero.dtype.type(1) if int(zero.max()) < np.iinfo(zero.dtype).max else zero - zero.dtype.type(1)
    yield place.change("zero point", f"of the {what}: one off", Edit(at, inputs={2: up}))
    if zero.any():
        yield place.change("zero point", f"of the {what}: 0", Edit(at, inputs={2: np.zeros_like(zero)}))


def _rescaled(place: Place, what: str, at: int) -> Iterator[Wrong]:
    scale = place.constant((at, 1))
    for factor in (1.01, 0.5):
        changed = scale * np.float32(factor)
        yield place.change("scale", f"of the {what}: times {factor:g}", Edit(at, inputs={1: changed}))


def _weight_scales(place: Place, at: int) -> Iterator[Wrong]:
    """A scale for every channel, read as if it were another one's."""
    scale = place.constant((at, 1))
    yield place.change("scale", "of the weight: times 1.01", Edit(at, inputs={1: scale * np.float32(1.01)}))
    if scale.size > 1:
        rolled, same = np.roll(scale, 1), np.full_like(scale, scale.flat[0])
        yield place.change("scale", "of the weight: the next channel's", Edit(at, inputs={1: rolled}))
        yield place.change("scale", "of the weight: the first channel's for all", Edit(at, inputs={1: same}))


def _saturated_sums(place: Place, product: int, weight: int) -> Iterator[Wrong]:
    """Sums kept in 16 bits, clamped or wrapped."""
    (name,) = place.region.inputs
    reader = next(i for i in range(len(place.steps)) if name in place.steps[i].inputs)
    unit = np.float64(place.constant((reader, 1)).max()) * place.constant((weight, 1)).astype(np.float64)
    plain = place.steps[product].operator.evaluate
    rank = place.subject.tensors[place.region.tensor].ndim
    unit = unit.reshape(-1, *(1,) * (rank - 2)) if unit.size > 1 else unit

    def saturating(attributes: Any, inputs: Inputs) -> tuple[Array, ...]:
        return (np.clip(plain(attributes, inputs)[0], -INT16 * unit, INT16 * unit),)

    def wrapping(attributes: Any, inputs: Inputs) -> tuple[Array, ...]:
        sums = np.rint(plain(attributes, inputs)[0] / unit)
        return ((np.mod(sums + 2.0**15, 2.0**16) - 2.0**15) * unit,)

    for detail, meaning in (("clamped", saturating), ("wrapped", wrapping)):
        edit = Edit(product, evaluate=meaning)
        yield place.change("saturation", f"sums {detail} at 16 bits", edit, written=False)


def _quantizing(round_: Callable[[Array], Array], fit: Callable[[Array, np.iinfo[Any]], Array]) -> Evaluate:
    """QuantizeLinear with another way of rounding and of fitting into the type."""

    def evaluate(_: Any, inputs: Inputs) -> tuple[Array, ...]:
        x, scale, zero = (np.asarray(v) for v in inputs[:3])
        dtype = zero.dtype
        quotient = x.astype(np.float64) / scale.astype(np.float64)
        return (fit(round_(quotient) + zero.astype(np.float64), np.iinfo(dtype)).astype(dtype),)

    return evaluate


def _clamped(x: Array, limits: np.iinfo[Any]) -> Array:
    return np.clip(x, limits.min, limits.max)


def _wrapped(x: Array, limits: np.iinfo[Any]) -> Array:
    return np.asarray(np.mod(x - limits.min, limits.max - limits.min + 1) + limits.min)


def _narrow(x: Array, limits: np.iinfo[Any]) -> Array:
    return np.clip(x, limits.min + 1, limits.max)


def _half_away(x: Array) -> Array:
    return np.asarray(np.sign(x) * np.floor(np.abs(x) + 0.5))


def _rounded(place: Place, at: int) -> Iterator[Wrong]:
    ways: dict[str, Callable[[Array], Array]] = {
        "half up": lambda x: np.floor(x + 0.5),
        "half away from zero": _half_away,
        "towards zero": np.trunc,
        "down": np.floor,
        "up": np.ceil,
    }
    for detail, way in ways.items():
        yield place.change("rounding", detail, Edit(at, evaluate=_quantizing(way, _clamped)), written=False)
    for detail, fit in (("wraps", _wrapped), ("clamps to one less than the type holds", _narrow)):
        yield place.change(
            "saturation", f"the result {detail}", Edit(at, evaluate=_quantizing(np.rint, fit)), written=False
        )
