"""The two bounds of a Clip node."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from toolchain.compile.lowering import Fixed, Site
from toolchain.compile.tensor import Tensor


def bounds(site: Site) -> tuple[Fraction | None, Fraction | None]:
    """From its attributes before operator set 11, from its inputs since; ``None`` where there is none.

    Raises:
        UnsupportedError: one is computed by the model.
    """

    def one(name: str, index: int) -> Fraction | None:
        value = site.inputs[index] if index < len(site.inputs) else None
        if isinstance(value, Tensor):
            raise site.unsupported("its bounds are computed by the model", "make them constants")
        if isinstance(value, Fixed):
            number = float(value.floats.reshape(-1)[0])
            return Fraction(number) if np.isfinite(number) else None
        stated = site.step.facts.attributes.get(name)
        return None if stated is None else Fraction(float(np.float32(stated)))

    return one("min", 1), one("max", 2)
