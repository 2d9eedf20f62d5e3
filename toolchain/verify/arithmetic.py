"""The arithmetics in which a backend may compute float32 sums of products, and how each of them rounds.

An arithmetic rounds in up to three places: the *factors* of a product (TF32, or bfloat16 and float16 inputs of a
matrix unit), the *sums* (nearly always float32, also where the factors are shorter), and the *results* (where the
tensor is stored in a short type). Sources: IEEE 754-2019 for binary32 and binary16; NVIDIA A100 Tensor Core GPU
Architecture (2020) for TF32, ten explicit bits; Intel, BFLOAT16 - Hardware Numerics Definition (2018), seven.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from toolchain.ops.bounds import FLOAT32_ROUNDOFF

Floats = NDArray[np.float64]
Mode = Literal["nearest", "truncated"]

TENSOR_CORE_SUMS = 2.0**-22
"""Of matrix units that add several products at once and truncate: one unit in the last place of the largest, twice
over for the alignment (Fasi, Higham, Mikaitis, Pranesh 2021, "Numerical behavior of NVIDIA tensor cores")."""


@dataclass(frozen=True)
class Arithmetic:
    """How a backend computes sums of products of float32 numbers.

    Attributes:
        name: as people say it.
        bits: of a factor's significand, the leading one included.
        tiny: distance of the smallest factors, of the subnormals.
        largest: beyond it a factor becomes infinite.
        sums: unit roundoff of products and sums.
        stored: results are rounded to the factors' format too.
    """

    name: str
    bits: int
    tiny: float
    largest: float
    sums: float = FLOAT32_ROUNDOFF
    stored: bool = False

    @property
    def factors(self) -> float:
        """Unit roundoff of a factor; 0 where factors keep every bit of float32."""
        return 0.0 if self.bits >= FLOAT32_BITS else 2.0**-self.bits

    @property
    def roundoff(self) -> float:
        """The largest unit roundoff of any kind: what the arithmetic is known by."""
        return max(self.factors, FLOAT32_ROUNDOFF)

    def rounded(self, x: Floats, mode: Mode = "nearest") -> Floats:
        """Factors as this arithmetic takes them: float64 in, the same numbers rounded, ties to even or truncated."""
        x = np.asarray(x, dtype=np.float64)
        _, exponent = np.frexp(x)
        step = np.maximum(np.ldexp(1.0, exponent - self.bits), self.tiny)
        scaled = x / step
        with np.errstate(invalid="ignore"):
            result = (np.rint(scaled) if mode == "nearest" else np.trunc(scaled)) * step
            result = np.where(np.abs(result) > self.largest, np.copysign(np.inf, x), result)
        return np.where(np.isfinite(x), result, x)


FLOAT32_BITS = 24
_LARGEST32 = float(np.finfo(np.float32).max)
FLOAT32 = Arithmetic("float32", FLOAT32_BITS, 2.0**-149, _LARGEST32)
TF32 = Arithmetic("TF32", 11, 2.0**-136, _LARGEST32, TENSOR_CORE_SUMS)
BFLOAT16 = Arithmetic("bfloat16", 8, 2.0**-133, _LARGEST32, TENSOR_CORE_SUMS)
FLOAT16 = Arithmetic("float16", 11, 2.0**-24, 65504.0, TENSOR_CORE_SUMS)
ARITHMETICS = (FLOAT32, TF32, FLOAT16, BFLOAT16)
SHORT = (TF32, FLOAT16, BFLOAT16)
