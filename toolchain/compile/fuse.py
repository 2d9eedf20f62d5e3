"""Layers built into the one before, so that the map between them never exists."""

from __future__ import annotations

from collections import Counter

from toolchain.compile.program import Layer
from toolchain.compile.tails import check_fusion
from toolchain.compile.walk import Lowered


def fuse(lowered: Lowered) -> tuple[Layer, ...]:
    """Have every layer absorb the only reader of its output, as long as its kernel can.

    Args:
        lowered: layers in order.

    Raises:
        RewriteError: a fused layer would compute something else; names it.
    """
    layers = list(lowered.layers)
    kept = {tensor.memory for tensor in (*lowered.inputs, *lowered.outputs)}
    index = 0
    while index < len(layers):
        layer = layers[index]
        readers = Counter(tensor.memory for later in layers for tensor in later.inputs)
        reader = next((j for j, later in enumerate(layers) if layer.output.memory in _memories(later)), None)
        alone = readers[layer.output.memory] == 1 and layer.output.memory not in kept
        if reader is None or not alone or not _fits(layers[reader], layer):
            index += 1
            continue
        joined = layer.absorb(layers[reader])
        if joined is None:
            index += 1
            continue
        check_fusion(layer, layers[reader], joined)
        layers[index] = joined
        del layers[reader]
    return tuple(layers)


def _fits(later: Layer, layer: Layer) -> bool:
    """Whether a reader takes the map of a layer as it is, and gives none of another shape with as many elements.

    Kernels count channels, rows and columns by the shape of their output.
    """
    own = layer.output
    as_it_is = all(tensor.shape == own.shape for tensor in later.inputs if tensor.memory == own.memory)
    return as_it_is and (later.output.shape == own.shape or later.output.size != own.size)


def _memories(layer: Layer) -> set[str]:
    return {tensor.memory for tensor in layer.inputs}
