"""Defects of ONNX Runtime's integer arithmetic: for each a minimal model that shows it, and its class.

``test_defects.py`` fails once the runtime answers right, so that no entry outlives its reason; they are listed in
``docs/disagreements.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.graphs.sketch import Graph, Sketch
from tests.graphs.small import F32, chain, quantized_twice_over
from toolchain.verify.deviation import Class


@dataclass(frozen=True)
class Defect:
    """One wrong answer.

    Attributes:
        name: of the case.
        kind: class of the deviation.
        reason: what is meant, and what the runtime does.
        graph: the model and its input.
        level: the least optimisation level that shows it.
        everywhere: whether all processors show it.
    """

    name: str
    kind: Class
    reason: str
    graph: Callable[[], Graph]
    level: str = "extended"
    everywhere: bool = True


def saturates() -> bool:
    """Whether the runtime's kernels on this processor add two 8-bit products in 16 bits: AVX2 and no VNNI."""
    information = Path("/proc/cpuinfo")
    text = information.read_text(encoding="ascii", errors="replace") if information.exists() else ""
    return "avx2" in text and "_vnni" not in text


def between(
    op: str, x: Any, before: tuple[float, Any], after: tuple[float, Any], opset: int = 17, **attributes: Any
) -> Graph:
    """A node between integers: scale and zero point on both sides."""
    pairs = [(F32(scale), zero) for scale, zero in (before, after)]
    return chain(
        np.asarray(x, F32),
        ("QuantizeLinear", pairs[0], {}),
        ("DequantizeLinear", pairs[0], {}),
        (op, (), attributes),
        ("QuantizeLinear", pairs[1], {}),
        ("DequantizeLinear", pairs[1], {}),
        opset=opset,
    )


def _product(op: str, x: Any, weight: Any, out: float, **attributes: Any) -> Graph:
    """A product of uint8 by int8 at scales of 1."""
    sketch = Sketch(17, {"x": np.asarray(x, F32)}, barred=lambda _: False)
    one, zero, byte = sketch.constant(F32(1)), sketch.constant(np.int8(0)), sketch.constant(np.uint8(0))
    scale = sketch.constant(F32(out))
    current: str | None = "x"
    for name in ("QuantizeLinear", "DequantizeLinear"):
        current = sketch.add(name, [current, one, byte])
    dequantized = sketch.add("DequantizeLinear", [sketch.constant(np.asarray(weight, np.int8)), one, zero])
    current = sketch.add(op, [current, dequantized], **attributes)
    for name in ("QuantizeLinear", "DequantizeLinear"):
        current = sketch.add(name, [current, scale, byte])
    return sketch.finish()


BRIGHT = np.full((1, 2), 255, F32)

DEFECTS: tuple[Defect, ...] = (
    Defect(
        "MatMul saturates in 16 bits",
        "saturation",
        "255 x 127 + 255 x 127 is 64,770; VPMADDUBSW adds the two products in 16 bits, and 32,767 comes out",
        lambda: _product("MatMul", BRIGHT, [[127], [127]], 512.0),
        everywhere=False,
    ),
    Defect(
        "Gemm saturates in 16 bits",
        "saturation",
        "the same in QGemm",
        lambda: _product("Gemm", BRIGHT, [[127], [127]], 512.0),
        everywhere=False,
    ),
    Defect(
        "Conv saturates in 16 bits",
        "saturation",
        "the same in QLinearConv, where pairs run over kernel row, kernel column, input channel",
        lambda: _product("Conv", np.full((1, 2, 1, 1), 255, F32), np.full((1, 2, 1, 1), 127), 512.0),
        everywhere=False,
    ),
    Defect(
        "Softmax divided by a scale whose reciprocal is rounded down",
        "wrong fusion",
        "QuantizeLinear divides by y_scale; QLinearSoftmax multiplies by floor(1 / y_scale): 1 for a scale of 0.6",
        lambda: between("Softmax", [[0.0]], (1.0, np.uint8(0)), (0.6, np.uint8(0)), axis=1),
    ),
    Defect(
        "a pair of QuantizeLinear and DequantizeLinear dropped",
        "wrong fusion",
        "each QuantizeLinear rounds and saturates; of two pairs in a row the runtime drops one, and makes up a scale",
        quantized_twice_over,
        level="basic",
    ),
    Defect(
        "AveragePool counts what lies beyond the padding",
        "wrong fusion",
        '"count_include_pad: Whether include pad pixels when calculating values for the edges". What a last window '
        "covers beyond the padding under ceil_mode is none; QLinearAveragePool counts it",
        lambda: between(
            "AveragePool",
            [[[[1.0, 2.0, 3.0]]]],
            (1.0, np.uint8(0)),
            (0.125, np.uint8(0)),
            kernel_shape=[1, 2],
            strides=[1, 2],
            ceil_mode=1,
            count_include_pad=1,
        ),
    ),
)


def out_of_range() -> Graph:
    """A GlobalAveragePool that the runtime fuses into an operator that then refuses it."""
    return between("GlobalAveragePool", np.ones((1, 1, 1, 1)), (256.0, np.uint8(0)), (2.0**-13, np.uint8(0)))
