"""Compare what C computed with the exact meaning of the model, byte by byte."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from toolchain.compile.program import Program
from toolchain.integers import IntegerReference

Array = NDArray[Any]


@dataclass(frozen=True)
class LayerVerdict:
    """One layer over all samples.

    Attributes:
        name: in C.
        tensor: the ONNX value that it makes.
        compared: elements.
        differing: elements whose bytes are not those of the reference.
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
    compared, differing = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    first: dict[str, tuple[int, int, float, float]] = {}
    count = 0
    for index, (sample, layers) in enumerate(zip(feeds, received, strict=True)):
        meant = reference.run(sample)
        count += 1
        for name in names:
            if name not in meant:
                continue
            got, want = layers[name], meant[name]
            want = want.astype(np.float32) if want.dtype.kind == "f" else want
            compared[name] += got.size
            wrong = np.flatnonzero(got.reshape(-1) != want.reshape(-1))
            differing[name] += len(wrong)
            if len(wrong) and name not in first:
                at = int(wrong[0])
                first[name] = (index, at, float(want.reshape(-1)[at]), float(got.reshape(-1)[at]))
    verdicts = tuple(
        LayerVerdict(step.name, name, compared[name], differing[name], first.get(name))
        for step, name in zip(program.steps, names, strict=True)
    )
    return Verdict(count, verdicts, tuple(island.node for island in reference.islands))
