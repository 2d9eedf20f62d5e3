"""From a model to a program and its C files, in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from toolchain.compile.extent import check_extent
from toolchain.compile.fuse import fuse
from toolchain.compile.generate import generate
from toolchain.compile.identifiers import check, identifier
from toolchain.compile.kernels.wide import widened
from toolchain.compile.kernels.winograd import accelerated
from toolchain.compile.names import values_of
from toolchain.compile.plan import Plan, plan
from toolchain.compile.program import Program, Step
from toolchain.compile.reserved import local
from toolchain.compile.rewrites import rewritten
from toolchain.compile.threads import shared
from toolchain.compile.tuning import tuned
from toolchain.compile.walk import lower


@dataclass(frozen=True)
class Generated:
    """C of a network.

    Attributes:
        program: what it computes.
        plan: of its memory.
        files: content by name.
        floats: nodes of a quantized model that are computed in float, outside the promise of exactness.
    """

    program: Program
    plan: Plan
    files: dict[str, bytes]
    floats: tuple[str, ...]


def translate(
    model: ir.Model,
    name: str,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    fused: bool = True,
    wide: bool = False,
    winograd: bool = False,
    kernels: str = "portable",
    threads: int = 1,
) -> Generated:
    """Write a model as C.

    Args:
        model: from ``load``.
        name: prefix of all public names in C.
        shapes: of graph inputs with free dimensions other than the batch.
        fused: build layers into one another.
        wide: use the kernels for processors with vector units, which take more memory.
        winograd: with ``wide``, compute float convolutions of 3 x 3 with fewer products, larger errors.
        kernels: a set of ``tuning.KERNELS``, for microcontrollers.
        threads: with ``wide``, into how many parts large layers are split.

    Raises:
        UsageError: ``name`` is no C identifier.
        UnsupportedError: a node has no kernel, or is not exact in integers; names it and what would help.
        ShapeError: free dimensions, or more than one sample.
    """
    check(name)
    lowered = lower(rewritten(model, shapes), shapes, reserved=values_of(model))
    layers = fuse(lowered) if fused else lowered.layers
    layers = widened(layers) if wide else tuned(layers, kernels)
    layers = accelerated(layers) if winograd else layers
    taken = {identifier(tensor.name, set()) for tensor in (*lowered.inputs, *lowered.outputs)}
    steps = tuple(Step(local(layer.name, name, taken), layer.nodes, layer.call()) for layer in layers)
    program = shared(Program(name, lowered.inputs, lowered.outputs, steps), threads)
    check_extent(program)
    placed = plan(program)
    return Generated(program, placed, generate(program, placed), lowered.floats)
