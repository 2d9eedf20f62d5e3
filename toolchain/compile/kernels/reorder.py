"""From channels-last to ONNX's order and back: ``reorder_f32``, ``reorder_s8``."""

from __future__ import annotations

from dataclasses import dataclass

from toolchain.compile.program import Call, Layer, struct
from toolchain.compile.tensor import Element


@dataclass(frozen=True)
class Reorder(Layer):
    """A matrix [rows][columns] turned into [columns][rows]; a copy where both tensors are in the same order."""

    def call(self) -> Call:
        """Fields as in ``reorder_f32.h``."""
        x, y = self.inputs[0], self.output
        rows, columns = 1, x.size
        if x.plane != y.plane:
            rows, columns = (x.plane, x.channels) if y.plane == 1 else (y.channels, y.plane)
        kind = "f32" if x.element is Element.FLOAT else "s8"
        layer = struct(f"reorder_{kind}_layer", rows=rows, columns=columns)
        return Call(f"reorder_{kind}", layer, self.inputs, y)
