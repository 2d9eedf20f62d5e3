"""Regions of a quantized model as the runtime rewrote them.

ONNX Runtime's optimiser drops pairs of QuantizeLinear and DequantizeLinear, and gives the integers that stay another
scale and zero point. What it then computes from its own integers is judged by their own meaning; where it leaves out a
rounding that the model asks for, or rounds at another scale, its integer is another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from toolchain.integers import IntegerReference
from toolchain.nodes import Step
from toolchain.ops.arrays import Array
from toolchain.ops.operator import Spec
from toolchain.verify.kernels import Kernel
from toolchain.verify.regions import Region, cut

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
Parameters = tuple[float, int]
"""Scale and zero point."""


def stated(model: ir.Model) -> dict[str, Parameters]:
    """Scale and zero point of every tensor that a graph quantizes with constants, one for all elements."""
    found = {}
    for node in model.graph:
        held = [v.const_value for v in node.inputs[1:3] if v is not None]
        numbers = [constant.numpy() for constant in held if constant is not None]
        if node.op_type == QUANTIZE and numbers and len(numbers) == len(held) and all(n.size == 1 for n in numbers):
            zero = int(numbers[1].reshape(())) if len(numbers) > 1 else 0
            found[node.outputs[0].name or ""] = (float(numbers[0].reshape(())), zero)
    return found


def quantized_regions(reference: IntegerReference, watched: Mapping[str, object]) -> dict[str, Region]:
    """The model cut at the quantized tensors that a runtime shows, by tensor.

    Args:
        reference: of the model.
        watched: names of the tensors that it shows.
    """
    made = {name for s in reference.steps if s.operator.name == QUANTIZE for name in s.outputs if name in watched}
    shown = {name for name in made if name} | {value.name or "" for value in reference.inputs}
    return {r.tensor: r for r in cut(reference.steps, reference.constants, shown) if r.tensor in made}


class Rewritten:
    """Regions with the scales and zero points that the runtime has.

    Args:
        constants: initialisers of the model.
        kernels: for each tensor that the runtime shows the node that makes it.
        specs: types of the model's tensors.
        stated: scales and zero points that the graph given to the runtime states itself, where it is another graph:
            a tensor that has these was not rewritten, whatever the model means.

    Attributes:
        parameters: constants that the rewritten regions read besides the model's.
    """

    def __init__(
        self,
        constants: Mapping[str, Array],
        kernels: Mapping[str, Kernel],
        specs: Mapping[str, Spec],
        stated: Mapping[str, Parameters] | None = None,
    ) -> None:
        self._constants = constants
        self._kernels = kernels
        self._specs = specs
        self._stated = stated or {}
        self.parameters: dict[str, Array] = {}

    def _theirs(self, tensor: str, step: Step) -> tuple[str, str] | None:
        """Names of the runtime's scale and zero point of a tensor, where they are not those that a step reads."""
        if tensor not in self._kernels or tensor not in self._specs:
            return None
        dtype = self._specs[tensor].dtype.numpy()
        found = self._kernels[tensor].parameters(dtype)
        scale = self._constants.get(step.inputs[1] or "")
        zero = self._constants.get((step.inputs[2] if len(step.inputs) > 2 else None) or "", np.zeros((), dtype))
        if found is None or scale is None or scale.size != 1 or zero.size != 1:
            return None
        if found in ((float(scale.reshape(())), int(zero.reshape(()))), self._stated.get(tensor)):
            return None
        names = f"{tensor}: the runtime's scale", f"{tensor}: the runtime's zero point"
        self.parameters[names[0]] = np.asarray(np.float64(found[0]))
        self.parameters[names[1]] = np.asarray(found[1]).astype(dtype)
        return names

    def inputs(self, region: Region) -> Region:
        """The region with its inputs read at the scales that the runtime's integers have."""
        steps = []
        for step in region.steps:
            tensor = (step.inputs[0] if step.inputs else None) or ""
            names = self._theirs(tensor, step) if step.operator.name == DEQUANTIZE and tensor in region.inputs else None
            steps.append(step if names is None else replace(step, inputs=(tensor, *names)))
        return replace(region, steps=tuple(steps))

    def output(self, region: Region) -> Region | None:
        """The region without the pairs that the runtime dropped, and rounded at the scale that it has.

        Returns:
            ``None`` where it dropped none and rounds as the model says.
        """
        renamed: dict[str, str] = {}
        kept: list[Step] = []
        inner = {s.outputs[0]: s.inputs[0] or "" for s in region.steps[:-1] if s.operator.name == QUANTIZE}
        for step in region.steps:
            inputs = tuple(renamed.get(n, n) if n else n for n in step.inputs)
            if step.operator.name == DEQUANTIZE and step.inputs[0] in inner:
                source = inner[step.inputs[0]]
                renamed[step.outputs[0] or ""] = renamed.get(source, source)
            elif step.outputs[0] not in inner:
                kept.append(replace(step, inputs=inputs))
        names = self._theirs(region.tensor, region.steps[-1])
        if names is not None:
            kept[-1] = replace(kept[-1], inputs=(kept[-1].inputs[0], *names))
        return None if names is None and not inner else replace(region, steps=tuple(kept))
