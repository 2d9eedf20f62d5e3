"""Activations that are missing, added or others; and the constants inside normalisations."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.power.faults.weights import PRODUCTS
from benchmarks.power.wrong import Edit, Place, Wrong

OTHERS: dict[str, tuple[tuple[str, dict[str, float]], ...]] = {
    "Relu": (("Identity", {}), ("LeakyRelu", {"alpha": 0.01}), ("Tanh", {})),
    "Tanh": (("Identity", {}), ("Sigmoid", {}), ("Relu", {})),
    "Sigmoid": (("Identity", {}), ("Tanh", {}), ("HardSigmoid", {})),
    "LeakyRelu": (("Identity", {}), ("Relu", {}), ("LeakyRelu", {"alpha": 0.01})),
}
EPSILON = {"BatchNormalization": ("epsilon", 1e-5), "InstanceNormalization": ("epsilon", 1e-5), "LRN": ("bias", 1.0)}


def faults(place: Place, _: np.random.Generator) -> Iterator[Wrong]:
    """Of regions with a function, a sum or a normalisation in them."""
    for name, others in OTHERS.items():
        at = place.find(name)
        if at is None:
            continue
        for op, attributes in others:
            said = ", ".join(f"{k}={v:g}" for k, v in attributes.items())
            detail = f"{op if op != 'Identity' else 'nothing'} for {name}" + (f" ({said})" if said else "")
            yield place.change("activation", detail, Edit(at, attributes, op=op))
        if name == "Relu":
            limits = {1: np.array(0.0, np.float32), 2: np.array(6.0, np.float32)}
            yield place.change("activation", "cut at 6", Edit(at, inputs=limits, op="Clip"))
    if place.find(*PRODUCTS) is not None and place.find(*OTHERS) is None and place.find("QuantizeLinear") is None:
        yield place.behind("activation", "a Relu that should not be there", "Relu")
    for name, (attribute, usual) in EPSILON.items():
        at = place.find(name)
        if at is not None:
            for value in (usual, 0.0):
                yield place.change("epsilon", f"{attribute}={value:g}", Edit(at, {attribute: value}))
    yield from _scaled(place)


def _scaled(place: Place) -> Iterator[Wrong]:
    """A normalisation whose factor is wrong."""
    at = place.find("LRN")
    if at is not None:
        alpha = float(place.steps[at].facts.attributes["alpha"])
        size = int(place.steps[at].facts.attributes["size"])
        yield place.change("scale", "alpha not divided by size", Edit(at, {"alpha": alpha * size}))
    for name in ("BatchNormalization", "InstanceNormalization"):
        at = place.find(name)
        if at is not None:
            factors = place.constant((at, 1)) * np.float32(1.01)
            yield place.change("scale", "the factors 1% larger", Edit(at, inputs={1: factors}))
