"""From channels-last to ONNX's order and back: ``reorder_f32``, ``reorder_s8``; the same for the caller's uint8."""

from __future__ import annotations

from dataclasses import dataclass

from toolchain.compile.program import Call, Layer, struct
from toolchain.compile.tensor import Element, Tensor


def matrix(x: Tensor, y: Tensor) -> tuple[int, int]:
    """Rows and columns of the matrix that has to be turned; one row where the order stays.

    Raises:
        ValueError: neither is in ONNX's order.
    """
    if x.plane == y.plane:
        return 1, x.size
    if 1 not in (x.plane, y.plane):
        raise ValueError(f"from plane {x.plane} to {y.plane} of {x.name!r} it takes two steps")
    return (x.plane, x.channels) if y.plane == 1 else (y.channels, y.plane)


@dataclass(frozen=True)
class Reorder(Layer):
    """A matrix [rows][columns] turned into [columns][rows]; a copy where both tensors are in the same order."""

    def call(self) -> Call:
        """Fields as in ``reorder_f32.h``."""
        x, y = self.inputs[0], self.output
        rows, columns = matrix(x, y)
        kind = "f32" if x.element is Element.FLOAT else "s8"
        layer = struct(f"reorder_{kind}_layer", rows=rows, columns=columns)
        return Call(f"reorder_{kind}", layer, self.inputs, y)


@dataclass(frozen=True)
class SignU8(Layer):
    """One ``sign_u8_s8``: the caller's uint8 values less 128, to channels-last."""

    def call(self) -> Call:
        """Fields as in ``sign_u8_s8.h``."""
        rows, columns = matrix(self.inputs[0], self.output)
        return Call("sign_u8_s8", struct("sign_u8_s8_layer", rows=rows, columns=columns), self.inputs, self.output)


@dataclass(frozen=True)
class UnsignS8(Layer):
    """One ``unsign_s8_u8``: values plus 128 for the caller, in ONNX's order."""

    def call(self) -> Call:
        """Fields as in ``unsign_s8_u8.h``."""
        rows, columns = matrix(self.inputs[0], self.output)
        return Call("unsign_s8_u8", struct("unsign_s8_u8_layer", rows=rows, columns=columns), self.inputs, self.output)
