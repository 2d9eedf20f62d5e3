"""Functions of one element that no other kernel builds in: ``elementary_f32``; in int8 tables as all others."""

from __future__ import annotations

from dataclasses import dataclass, replace

from toolchain.compile.functions import Function
from toolchain.compile.kernels.activation import IDLE, Activation, UnaryF32
from toolchain.compile.kernels.unary import tabulated
from toolchain.compile.lowering import Lowered, Lowering, Site
from toolchain.compile.program import Call, Layer, Symbol, struct
from toolchain.compile.transcendental import exact

KINDS = {
    "Abs": "ABS", "Neg": "NEG", "Exp": "EXP", "Log": "LOG", "Sqrt": "SQRT", "Reciprocal": "RECIPROCAL", "Erf": "ERF",
    "Floor": "FLOOR", "Ceil": "CEIL", "Softplus": "SOFTPLUS", "Softsign": "SOFTSIGN", "ThresholdedRelu": "THRESHOLDED",
    "Swish": "SWISH",
}  # fmt: skip
WITH_ALPHA = ("ThresholdedRelu", "Swish")


@dataclass(frozen=True)
class ElementaryF32(Layer):
    """One ``elementary_f32``."""

    kind: str
    alpha: float
    activation: Activation = IDLE

    def call(self) -> Call:
        """Fields as in ``elementary_f32.h``."""
        layer = struct(
            "elementary_f32_layer",
            count=self.output.size,
            kind=Symbol(f"ELEMENTARY_{self.kind}"),
            alpha=self.alpha,
            activation=self.activation.struct(),
        )
        return Call("elementary_f32", layer, self.inputs, self.output, distance=0)

    def absorb(self, later: Layer) -> Layer | None:
        """An activation."""
        if not isinstance(later, UnaryF32) or not self.activation.idle:
            return None
        return replace(self, activation=later.activation, **self.joined(later))


def real(site: Site) -> Lowered:
    """A node of :data:`KINDS`."""
    op_type, x = site.step.facts.op_type, site.tensor(0)
    alpha = float(site.attributes.alpha) if op_type in WITH_ALPHA else 0.0
    y = replace(site.output, plane=x.plane)
    return ElementaryF32(site.step.name, site.nodes, (x,), y, KINDS[op_type], alpha)


def integer(site: Site) -> Lowered:
    """A table, where the function has exact values."""
    alpha = site.attributes.alpha if site.step.facts.op_type in WITH_ALPHA else 0.0
    function: Function | None = exact(site.step.facts.op_type, alpha)
    if function is None:
        raise site.unsupported("there is no table for this operator", "leave it in float (--exclude)")
    return tabulated(site, function)


LOWERINGS = tuple(
    Lowering(op_type, integer if exact(op_type, 0.0) is not None else None, real, any_order=True) for op_type in KINDS
)
