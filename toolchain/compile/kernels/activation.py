"""Functions of one float, as other float kernels build them in: ``activation_f32.h``; alone: ``unary_f32``."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from toolchain.compile.kernels.bounds import bounds
from toolchain.compile.lowering import Site
from toolchain.compile.program import Call, Layer, Struct, Symbol, struct

CLAMP = "CLAMP"
LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Activation:
    """``kind`` is the end of a constant in ``activation_f32.h``."""

    kind: str = "NONE"
    alpha: float = 0.0
    beta: float = 0.0

    def struct(self) -> Struct:
        """The C form."""
        return struct("activation_f32", kind=Symbol(f"ACTIVATION_{self.kind}"), alpha=self.alpha, beta=self.beta)

    @property
    def idle(self) -> bool:
        """Whether it does nothing."""
        return self.kind == "NONE"


IDLE = Activation()


@dataclass(frozen=True)
class UnaryF32(Layer):
    """One ``unary_f32``."""

    activation: Activation

    def call(self) -> Call:
        """Fields as in ``unary_f32.h``."""
        layer = struct("unary_f32_layer", count=self.output.size, activation=self.activation.struct())
        return Call("unary_f32", layer, self.inputs, self.output, distance=0)


def real(site: Site) -> Layer:
    """A node whose operator is a function of one float."""
    x = site.tensor(0)
    return UnaryF32(site.step.name, site.nodes, (x,), replace(site.output, plane=x.plane), _activation(site))


def _activation(site: Site) -> Activation:
    op_type, a = site.step.facts.op_type, site.attributes
    if op_type == "Relu":
        return Activation(CLAMP, 0.0, math.inf)
    if op_type == "Clip":
        low, high = bounds(site)
        return Activation(CLAMP, -math.inf if low is None else float(low), math.inf if high is None else float(high))
    if op_type in ("LeakyRelu", "Elu"):
        return Activation("LEAKY" if op_type == "LeakyRelu" else "ELU", float(a.alpha))
    if op_type == "HardSigmoid":
        return Activation("HARD_SIGMOID", float(a.alpha), float(a.beta))
    if op_type == "HardSwish":
        return Activation("HARD_SWISH", float(np.float32(1 / 6)), 0.5)
    return Activation({"Tanh": "TANH", "Sigmoid": "SIGMOID"}[op_type])
