"""How many answers of a model no legal rounding can change."""

from toolchain.margins.margins import ARITHMETIC, Margins, margins

__all__ = ["ARITHMETIC", "Margins", "margins"]
