"""A value in the memory of the program: element type, shape, order in memory, quantization."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from fractions import Fraction
from math import prod

INT8_LOW, INT8_HIGH = -128, 127


class Element(enum.Enum):
    """Type of an element; the value is its name in C."""

    FLOAT = "float"
    INT8 = "int8_t"
    UINT8 = "uint8_t"
    """Only in the caller's memory; inside, values are stored as int8, 128 less."""

    @property
    def bytes(self) -> int:
        """Size of one element."""
        return 4 if self is Element.FLOAT else 1


@dataclass(frozen=True)
class Quantization:
    """``real = (stored - zero) * scale``.

    Attributes:
        scale: the float32 scale, exactly.
        zero: zero point of the stored int8 value.
        unsigned: the model's type is uint8; its values are stored less 128.
    """

    scale: Fraction
    zero: int
    unsigned: bool = False


@dataclass(frozen=True)
class Tensor:
    """A value of batch 1.

    Maps are stored channels-last. In general, the element of flat index ``c * plane + p`` in ONNX's order is stored
    at ``p * channels + c``: a map [1, C, H, W] has plane H*W, and keeps it when it is flattened to [1, C*H*W]
    without a copy. A plane of 1 is ONNX's own order.

    Attributes:
        name: the ONNX value.
        element: type of an element in memory.
        shape: ONNX's shape.
        plane: see above.
        quantization: of an int8 tensor.
        low, high: stored values that can occur, int8 only.
        buffer: the memory it lies in; views share one. Its own name where empty.
    """

    name: str
    element: Element
    shape: tuple[int, ...]
    plane: int = 1
    quantization: Quantization | None = None
    low: int = INT8_LOW
    high: int = INT8_HIGH
    buffer: str = ""

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        """Size in memory."""
        return self.size * self.element.bytes

    @property
    def channels(self) -> int:
        """Elements stored side by side for one position of the plane."""
        return self.size // self.plane

    @property
    def memory(self) -> str:
        """Name of its memory."""
        return self.buffer or self.name

    @property
    def quantized(self) -> Quantization:
        """The quantization of a tensor that has one."""
        if self.quantization is None:
            raise ValueError(f"tensor {self.name!r} is not quantized")
        return self.quantization


def plane_of(shape: tuple[int, ...]) -> int:
    """The plane of a tensor stored channels-last: its positions, or 1 where that changes nothing.

    Args:
        shape: [1, C, spatial...] for rank 3 and more; any other is stored in ONNX's order.
    """
    if len(shape) < 3 or shape[1] == 1:
        return 1
    return prod(shape[2:])
