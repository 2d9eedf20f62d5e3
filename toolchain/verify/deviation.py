"""The classes of deviations of a runtime from the exact integers of a quantized model, and their counts.

- **tie**: the exact quotient lies so near to a tie that float32 arithmetic may round it to the other side
  (``reach.py`` says how near, element by element);
- **saturation**: a sum of two 8-bit products exceeded 16 bits in a kernel that saturates there, and the received
  integer is what comes out when exactly these pairs are cut off (``saturation.py``);
- **wrong fusion**: the runtime replaced the nodes by an operator that means something else (``fusions.py``), or dropped
  a rounding or changed a scale (``rewritten.py``), and the received integer is what that computes;
- **unknown**: none of these.

A tie is correct arithmetic. Saturation and wrong fusions are defects of the runtime; an unknown deviation is a defect.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Class = Literal["tie", "saturation", "wrong fusion", "unknown"]
CLASSES: tuple[Class, ...] = ("tie", "saturation", "wrong fusion", "unknown")


@dataclass(frozen=True)
class Deviations:
    """Counts over one tensor of integers, or over a model.

    Attributes:
        elements: integers compared.
        tie: that differ by a tie within the float error.
        saturation: that differ by saturation in 16 bits.
        fusion: that differ by what a fused operator computes.
        unknown: that differ otherwise.
        example: the first unexplained or wrong one in words, else empty.
        island: why there is no exact value to compare with (a node without an exact rule), else empty.
    """

    elements: int = 0
    tie: int = 0
    saturation: int = 0
    fusion: int = 0
    unknown: int = 0
    example: str = ""
    island: str = ""

    @property
    def total(self) -> int:
        """How many differ."""
        return self.tie + self.saturation + self.fusion + self.unknown

    @property
    def wrong(self) -> int:
        """How many are no correct arithmetic."""
        return self.total - self.tie

    def __add__(self, other: Deviations) -> Deviations:
        return Deviations(
            self.elements + other.elements,
            self.tie + other.tie,
            self.saturation + other.saturation,
            self.fusion + other.fusion,
            self.unknown + other.unknown,
            self.example or other.example,
            self.island or other.island,
        )

    def counts(self) -> str:
        """The classes that occur: ``13 tie, 2 saturation``."""
        found = zip(CLASSES, (self.tie, self.saturation, self.fusion, self.unknown), strict=True)
        return ", ".join(f"{count:,} {name}" for name, count in found if count) or "none"

    def describe(self) -> str:
        """One line: counts, and the first that is no correct arithmetic."""
        told = f"{self.total:,} of {self.elements:,} integers are not the exact ones: {self.counts()}"
        return f"{told}; {self.example}" if self.example else told
