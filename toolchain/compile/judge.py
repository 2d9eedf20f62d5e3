"""Compare what C computed with the exact meaning of the model, byte by byte.

Where layers compute in float, no byte is promised: their own results are left to ``verify --backend c``, the first
integers behind them may be one step off (a rounding error near a tie), and what reads these is exact again: it is
held against the reference on the very integers that C had.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from toolchain.compile.program import Program, Step
from toolchain.compile.tensor import Element
from toolchain.integers import IntegerReference

Array = NDArray[Any]
MOVERS = ("dequantize_s8_f32", "reorder_f32", "move_f32", "concat_f32")
"""Kernels that make floats of integers, rounded once, or move them."""
SIGNIFICAND = 24
"""Digits of a float32."""


@dataclass(frozen=True)
class LayerVerdict:
    """One layer over all samples.

    Attributes:
        name: in C.
        tensor: the ONNX value that it makes.
        compared: elements; none of a layer that computes in float.
        differing: elements that are not the reference's; of integers rounded from float results, more than a step off.
        first: sample, index in the tensor, expected and received of the first difference.
    """

    name: str
    tensor: str
    compared: int
    differing: int
    first: tuple[int, int, float, float] | None


@dataclass(frozen=True)
class Verdict:
    """All layers.

    Attributes:
        samples: how many were run.
        layers: in order.
        islands: nodes that are computed in float, whose results are not judged here.
    """

    samples: int
    layers: tuple[LayerVerdict, ...]
    islands: tuple[str, ...]

    @property
    def compared(self) -> int:
        """Elements compared."""
        return sum(layer.compared for layer in self.layers)

    @property
    def differing(self) -> int:
        """Elements whose bytes differ."""
        return sum(layer.differing for layer in self.layers)

    @property
    def ok(self) -> bool:
        """No byte differs, and there was something to compare."""
        return self.differing == 0 and self.compared > 0


def judge(
    model: ir.Model, program: Program, feeds: Sequence[Mapping[str, Array]], received: Iterable[Mapping[str, Array]]
) -> Verdict:
    """Hold every layer of every sample against the integer reference.

    Args:
        model: what was compiled.
        program: what ran.
        feeds: samples of batch 1.
        received: every layer's output for each of them.
    """
    reference = IntegerReference(model)
    names = [step.call.output.name for step in program.steps]
    floats, near = in_float(program)
    compared, differing = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    first: dict[str, tuple[int, int, float, float]] = {}
    count = 0
    for index, (sample, layers) in enumerate(zip(feeds, received, strict=True)):
        meant = reference.run(sample, instead={name: layers[name] for name in near})
        count += 1
        for name in names:
            if name not in meant or name in floats:
                continue
            wrong, got, want = _wrong(layers[name], meant[name], name in near)
            compared[name] += got.size
            differing[name] += len(wrong)
            if len(wrong) and name not in first:
                at = int(wrong[0])
                first[name] = (index, at, float(want[at]), float(got[at]))
    verdicts = tuple(
        LayerVerdict(step.name, name, compared[name], differing[name], first.get(name))
        for step, name in zip(program.steps, names, strict=True)
    )
    return Verdict(count, verdicts, tuple(island.node for island in reference.islands))


def in_float(program: Program) -> tuple[frozenset[str], frozenset[str]]:
    """Tensors that depend on float arithmetic: floats, and the first integers that were rounded from them."""
    floats: set[str] = set()
    near: set[str] = set()
    tainted: set[str] = set()  # memory, which a tensor shares with its views
    rounded: set[str] = set()  # the same, of integers times a scale and what is moved from there: right, but no reals
    for step in program.steps:
        output, read = step.call.output, {tensor.memory for tensor in step.call.inputs}
        if output.element is not Element.FLOAT:
            near |= {output.name} if read & (tainted | rounded) else set()
        elif computes(step) or read & tainted:
            floats.add(output.name)
            tainted.add(output.memory)
        elif rounds(step) or read & rounded:
            rounded.add(output.memory)
    return frozenset(floats), frozenset(near)


def computes(step: Step) -> bool:
    """Whether a layer does arithmetic in float."""
    return step.call.output.element is Element.FLOAT and step.call.function not in MOVERS


def rounds(step: Step) -> bool:
    """Whether a layer multiplies integers by a scale of so many digits that not every product is a float32."""
    if step.call.function != "dequantize_s8_f32":
        return False
    scale = step.call.inputs[0].quantized.scale.numerator
    return (scale // (scale & -scale)).bit_length() + 8 > SIGNIFICAND


def _wrong(got: Array, want: Array, near: bool) -> tuple[NDArray[np.intp], Array, Array]:
    """Indices of what differs, and both tensors flat, the wanted one in the other's type."""
    wanted = want.astype(np.float32) if want.dtype.kind == "f" else want
    flat, expected = got.reshape(-1), wanted.reshape(-1)
    if near:
        return np.flatnonzero(np.abs(flat.astype(np.int64) - expected.astype(np.int64)) > 1), flat, expected
    return np.flatnonzero(flat != expected), flat, expected
