"""Fused operators that ONNX Runtime's optimiser writes: domain com.microsoft.

FusedConv, FusedGemm, FusedMatMul, Gelu, BiasGelu, FastGelu, QuickGelu:
https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md. A fused activation is applied to the
exact sum; its bound is its own, plus what the bound of the sum becomes on its way through it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from toolchain.ops import activations, clip, conv, gemm, matmul, relu, unary
from toolchain.ops.attributes import integer, number
from toolchain.ops.bounds import Bound
from toolchain.ops.operator import Array, Inputs, NodeFacts, Operator, Spec, optional, required
from toolchain.ops.shaping import broadcast, like_first

DOMAIN = "com.microsoft"
_PARAMETERS: dict[str, tuple[str, ...]] = {
    "Relu": (),
    "Tanh": (),
    "Sigmoid": (),
    "HardSwish": (),
    "Softplus": (),
    "Softsign": (),
    "LeakyRelu": ("alpha",),
    "Elu": ("alpha",),
    "ThresholdedRelu": ("alpha",),
    "HardSigmoid": ("alpha", "beta"),
    "Clip": ("min", "max"),
}
_OPERATORS = {operator.name: operator for module in (activations, clip, relu, unary) for operator in module.OPERATORS}


@dataclass(frozen=True)
class Activation:
    """A function applied to the sum: an element-wise operator and its attributes; ``None`` for none."""

    operator: Operator | None
    attributes: Any

    def apply(self, x: Array) -> Array:
        """The function's value."""
        return x if self.operator is None else self.operator.evaluate(self.attributes, [x])[0]

    def bound(self, x: Array, before: Bound, roundoff: float) -> Bound:
        """Of the function's value where its argument has a bound already."""
        operator = self.operator
        if operator is None:
            return before
        if operator.spread is None:
            raise ValueError(f"how errors spread through {operator.name} is not derived")
        own = operator.bound(self.attributes, [x], [self.apply(x)], roundoff)[0]
        passed = [
            operator.spread(operator, self.attributes, [x], [np.broadcast_to(e, x.shape)], roundoff)[0]
            for e in (before.sound, before.probable)
        ]
        grown = 1.0 + 32.0 * roundoff
        return Bound(own.sound + grown * passed[0], own.probable + grown * passed[1])


def activation(facts: NodeFacts, parameters: Sequence[float]) -> Activation:
    """Read the attribute ``activation`` with its parameters in the order in which ONNX lists them.

    Raises:
        UnsupportedError: a function that is not known here.
    """
    name = str(facts.attributes.get("activation") or "")
    if not name:
        return Activation(None, None)
    names = _PARAMETERS.get(name)
    if names is None:
        raise facts.unsupported(f"activation is {name!r}", f"expected one of {', '.join(_PARAMETERS)}")
    operator = _OPERATORS[name]
    given = dict(zip(names, (float(p) for p in parameters), strict=False))
    version = 6 if name == "Clip" else max(operator.versions)
    inner = NodeFacts(facts.name, name, "", version, given, (True,), 1)
    return Activation(operator, operator.parse(inner))


@dataclass(frozen=True)
class Fused:
    """A node and the activation behind it."""

    inner: Any
    activation: Activation


def _conv_parse(facts: NodeFacts) -> Fused:
    return Fused(conv.parse(facts), activation(facts, facts.attributes.get("activation_params") or ()))


def _sum(node: Fused, inputs: Inputs) -> Array:
    """Convolution plus the optional addend Z."""
    (y,) = conv.evaluate(node.inner, inputs[:3])
    z = optional(inputs, 3)
    return y if z is None else y + z


def fused_conv(node: Fused, inputs: Inputs) -> tuple[Array, ...]:
    """``activation(conv(X, W) + B + Z)``."""
    return (node.activation.apply(_sum(node, inputs)),)


def _conv_infer(node: Fused, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    return conv.infer(node.inner, inputs[:3])


def _conv_bound(node: Fused, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
    x, before = _sum(node, inputs), conv.bound(node.inner, inputs[:3], exact, roundoff)[0]
    z = optional(inputs, 3)
    if z is not None:
        extra = roundoff * np.abs(x)
        before = Bound(before.sound * (1 + roundoff) + extra, before.probable * (1 + roundoff) + extra)
    return (node.activation.bound(x, before, roundoff),)


def _conv_macs(node: Fused, inputs: Sequence[Spec | None], outputs: Sequence[Spec]) -> int:
    return conv.macs(node.inner, inputs[:3], outputs)


def _gemm_parse(facts: NodeFacts) -> Fused:
    names = ("activation_alpha", "activation_beta")
    parameters = [facts.attributes[n] for n in names if n in facts.attributes]
    return Fused(gemm.parse(replace(facts, version=13)), activation(facts, parameters))


def fused_gemm(node: Fused, inputs: Inputs) -> tuple[Array, ...]:
    """``activation(alpha A' B' + beta C)``."""
    return (node.activation.apply(gemm.evaluate(node.inner, inputs)[0]),)


def _gemm_infer(node: Fused, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    return gemm.infer(node.inner, inputs)


def _gemm_bound(node: Fused, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
    (x,) = gemm.evaluate(node.inner, inputs)
    return (node.activation.bound(x, gemm.bound(node.inner, inputs, [x], roundoff)[0], roundoff),)


def _gemm_macs(node: Fused, inputs: Sequence[Spec | None], outputs: Sequence[Spec]) -> int:
    return gemm.macs(node.inner, inputs, outputs)


@dataclass(frozen=True)
class FusedMatMul:
    """Attributes: transpositions of the last two axes, and a factor."""

    alpha: float
    transpose_a: bool
    transpose_b: bool


def _matmul_parse(facts: NodeFacts) -> FusedMatMul:
    if integer(facts, "transBatchA", 0) or integer(facts, "transBatchB", 0):
        raise facts.unsupported("transBatchA or transBatchB is set", "transpose the operand by a node of its own")
    return FusedMatMul(
        number(facts, "alpha", 1.0), bool(integer(facts, "transA", 0)), bool(integer(facts, "transB", 0))
    )


def _turned(node: FusedMatMul, inputs: Inputs) -> list[Array]:
    a, b = required(inputs, 0), required(inputs, 1)
    return [
        np.swapaxes(x, -1, -2) if turn and x.ndim > 1 else x
        for x, turn in ((a, node.transpose_a), (b, node.transpose_b))
    ]


def fused_matmul(node: FusedMatMul, inputs: Inputs) -> tuple[Array, ...]:
    """``alpha A' B'``."""
    return (np.asarray(matmul.evaluate(None, _turned(node, inputs))[0] * node.alpha),)


def _turned_spec(spec: Spec, turn: bool) -> Spec:
    if not turn or len(spec.shape) < 2:
        return spec
    return Spec(spec.dtype, (*spec.shape[:-2], spec.shape[-1], spec.shape[-2]))


def _matmul_infer(node: FusedMatMul, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    return matmul.infer(
        None,
        [
            _turned_spec(required(inputs, 0), node.transpose_a),
            _turned_spec(required(inputs, 1), node.transpose_b),
        ],
    )


def _matmul_bound(node: FusedMatMul, inputs: Inputs, exact: Sequence[Array], roundoff: float) -> tuple[Bound, ...]:
    """Of the product, and one rounding for the factor."""
    turned = _turned(node, inputs)
    inner = matmul.bound(None, turned, matmul.evaluate(None, turned), roundoff)[0]
    factor, extra = abs(node.alpha) * (1 + roundoff), roundoff * np.abs(exact[0])
    return (Bound(inner.sound * factor + extra, inner.probable * factor + extra),)


def _matmul_macs(node: FusedMatMul, inputs: Sequence[Spec | None], outputs: Sequence[Spec]) -> int:
    shape = required(inputs, 0).shape
    return outputs[0].size * int(shape[-2 if node.transpose_a and len(shape) > 1 else -1])


def _gelu_parse(facts: NodeFacts) -> activations.Parameters:
    return activations.Parameters(0.0, 0.0, "tanh" if facts.op_type == "FastGelu" else "none")


def biased_gelu(node: activations.Parameters, inputs: Inputs) -> tuple[Array, ...]:
    """Gelu of ``X + bias``."""
    x, bias = required(inputs, 0), optional(inputs, 1)
    return (activations.gelu(node, x if bias is None else x + bias),)


def _gelu_bound(
    node: activations.Parameters, inputs: Inputs, exact: Sequence[Array], roundoff: float
) -> tuple[Bound, ...]:
    x, bias = required(inputs, 0), optional(inputs, 1)
    z = x if bias is None else x + bias
    inner = roundoff * np.abs(z) * (bias is not None)
    return (Activation(_OPERATORS["Gelu"], node).bound(z, Bound(inner, inner), roundoff),)


def _gelu_infer(node: object, inputs: Sequence[Spec | None]) -> tuple[Spec, ...]:
    x, bias = required(inputs, 0), optional(inputs, 1)
    return (Spec(x.dtype, x.shape if bias is None else broadcast(x.shape, bias.shape)),)


def _quick_parse(facts: NodeFacts) -> activations.Parameters:
    return activations.Parameters(number(facts, "alpha", 1.702))


def quick_gelu(node: activations.Parameters, inputs: Inputs) -> tuple[Array, ...]:
    """``x sigmoid(alpha x)``."""
    with np.errstate(all="ignore"):
        return (activations.swish(node, required(inputs, 0)),)


def _quick_bound(
    node: activations.Parameters, inputs: Inputs, exact: Sequence[Array], roundoff: float
) -> tuple[Bound, ...]:
    return (activations.swish_bound(node, required(inputs, 0), exact[0], roundoff),)


_ONE = frozenset({1})

OPERATORS = (
    Operator("FusedConv", _ONE, _conv_parse, fused_conv, _conv_infer, _conv_bound, _conv_macs, DOMAIN),
    Operator("FusedGemm", _ONE, _gemm_parse, fused_gemm, _gemm_infer, _gemm_bound, _gemm_macs, DOMAIN),
    Operator("FusedMatMul", _ONE, _matmul_parse, fused_matmul, _matmul_infer, _matmul_bound, _matmul_macs, DOMAIN),
    *(
        Operator(name, _ONE, _gelu_parse, biased_gelu, _gelu_infer, _gelu_bound, domain=DOMAIN)
        for name in ("Gelu", "BiasGelu", "FastGelu")
    ),
    Operator("QuickGelu", _ONE, _quick_parse, quick_gelu, like_first, _quick_bound, domain=DOMAIN),
)
