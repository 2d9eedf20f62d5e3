"""What a distribution of errors says about its cause."""

from __future__ import annotations

from toolchain.verify.cause import Cause
from toolchain.verify.distribution import Distribution

KINDS = {"weight": "weight", "bias": "bias scale", "scale": "scale"}


def cause_of(found: Distribution) -> Cause:
    """The most likely reason of a suspicious distribution.

    The share that it explains is the squared correlation with a shorter arithmetic, or none where only a direction is
    known along which the errors lie.
    """
    if found.looks_like is not None:
        return Cause("precision", found.describe(), found.looks_like.correlation**2)
    if found.systematic is not None and found.systematic.score > 1.0:
        return Cause(KINDS[found.systematic.kind], found.describe(), 0.0)
    return Cause("precision" if found.coarse else "unknown", found.describe(), 0.0)
