"""Between float and int8: ``quantize_f32_s8``, ``dequantize_s8_f32``."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from toolchain.compile.program import Call, Layer, struct
from toolchain.errors import UnsupportedError

SMALLEST = Fraction(1, 2**120)
"""A scale below it, or above its reciprocal, is no float32 that an exact division by multiplication can start from."""


@dataclass(frozen=True)
class QuantizeF32(Layer):
    """One ``quantize_f32_s8``: from ONNX's order to channels-last, or both in one order."""

    def call(self) -> Call:
        """Fields as in ``quantize_f32_s8.h``."""
        x, y = self.inputs[0], self.output
        q = y.quantized
        if not SMALLEST <= q.scale <= 1 / SMALLEST:
            raise UnsupportedError(
                f"tensor {y.name!r} has the scale {float(q.scale):.3g}, expected one with a normal float32 as "
                "its reciprocal; scale the model's input"
            )
        plane = y.plane if y.plane != x.plane else 1
        layer = struct(
            "quantize_f32_s8_layer",
            channels=y.size // plane,
            plane=plane,
            scale=float(q.scale),
            zero=q.zero,
            low=y.low,
            high=y.high,
        )
        return Call("quantize_f32_s8", layer, self.inputs, y, distance=0 if plane == 1 else None)


@dataclass(frozen=True)
class DequantizeS8(Layer):
    """One ``dequantize_s8_f32``: from channels-last to ONNX's order."""

    def call(self) -> Call:
        """Fields as in ``dequantize_s8_f32.h``."""
        x, y = self.inputs[0], self.output
        q = x.quantized
        plane = x.plane if y.plane != x.plane else 1
        layer = struct(
            "dequantize_s8_f32_layer", channels=x.size // plane, plane=plane, scale=float(q.scale), zero=q.zero
        )
        return Call("dequantize_s8_f32", layer, self.inputs, y)
