"""Gemm and MatMul with constant weights: ``gemm_s8``, ``gemm_f32``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.compile.accumulators import folded, int8_weights, integer_bias, output_requantizer, scales_of
from toolchain.compile.kernels.activation import IDLE, Activation, UnaryF32
from toolchain.compile.kernels.conv import ConvF32, blocks, real_bias
from toolchain.compile.kernels.matmul import real as matmul_of_two
from toolchain.compile.kernels.unary import TableS8
from toolchain.compile.lowering import Fixed, Lowered, Lowering, Site, finite
from toolchain.compile.program import Call, Constant, Layer, requantize_struct, struct
from toolchain.compile.requantize import Requantizer
from toolchain.compile.tensor import Tensor


@dataclass(frozen=True)
class GemmS8(Layer):
    """One ``gemm_s8``.

    Attributes:
        rows: of the input.
        weights: int8 [out_features, in_features], columns in the order in which the input is stored.
        bias: int32 [out_features], less zero point times sum of weights.
        requantizer: of the sums.
    """

    rows: int
    weights: Constant
    bias: Constant
    requantizer: Requantizer

    def call(self) -> Call:
        """Fields as in ``gemm_s8.h``."""
        features = self.bias.data.size
        layer = struct(
            "gemm_s8_layer",
            rows=self.rows,
            in_features=self.weights.data.size // features,
            out_features=features,
            weights=self.weights,
            bias=self.bias,
            output=requantize_struct(self.requantizer),
        )
        return Call("gemm_s8", layer, self.inputs, self.output)

    def absorb(self, later: Layer) -> Layer | None:
        """A table."""
        if not isinstance(later, TableS8):
            return None
        return replace(self, requantizer=self.requantizer.mapped(later.table), **self.joined(later))


def stored_columns(x: Tensor, features: int) -> NDArray[np.intp]:
    """For each place in a stored row which column of ONNX's order it is."""
    if x.plane == 1:
        return np.arange(features)
    return np.arange(features).reshape(x.channels, x.plane).T.ravel()


def rows_of(x: Tensor, features: int, site: Site) -> int:
    """How many vectors the input holds.

    Raises:
        UnsupportedError: they are not stored one behind the other.
    """
    rows = prod(x.shape) // features
    if not x.shape or x.shape[-1] != features or (x.plane != 1 and rows != 1):
        raise site.unsupported(
            f"its input {list(x.shape)} is no row of {features} values in memory", "flatten it to one vector before"
        )
    return rows


def gemm(site: Site) -> Layer:
    """Gemm with ``alpha`` and ``beta`` 1 and a constant matrix."""
    a = site.attributes
    if a.alpha != 1 or a.beta != 1 or a.transpose_a:
        raise site.unsupported(
            f"alpha {a.alpha}, beta {a.beta}, transA {int(a.transpose_a)}", "integers are exact with 1, 1, 0 only"
        )
    weights = site.fixed(1, "matrix")
    turned = weights if a.transpose_b else _transposed(weights)
    return dense(site, turned, _addend(site))


def _addend(site: Site) -> Fixed | None:
    """What Gemm adds to each row.

    Raises:
        UnsupportedError: it is not the same for all rows.
    """
    addend = site.optional(2, "addend")
    if addend is None or max(addend.values.shape[:-1], default=1) == 1:
        return addend
    raise site.unsupported(
        f"an addend of shape {list(addend.values.shape)}", "there is a kernel for one that all rows share"
    )


def matmul(site: Site) -> Layer:
    """MatMul with a constant matrix on the right."""
    weights = site.fixed(1, "matrix")
    if weights.values.ndim != 2:
        raise site.unsupported(f"a matrix of {weights.values.ndim} axes", "there is a kernel for two")
    return dense(site, _transposed(weights), None)


def _transposed(weights: Fixed) -> Fixed:
    return replace(weights, values=weights.values.T, axis=1 - weights.axis % 2)


def dense(site: Site, weights: Fixed, addend: Fixed | None) -> Layer:
    """``y = x W^T + b`` for W [out_features, in_features]."""
    x = site.tensor(0)
    values = int8_weights(weights, site)
    features, taps = values.shape
    scales = scales_of(weights, 0, features, site)
    rows = rows_of(x, taps, site)
    ordered = values[:, stored_columns(x, taps)]
    bias, ranges = folded(ordered, integer_bias(addend, x, scales, site), x, site, padded=False)
    return GemmS8(
        name=site.step.name,
        nodes=site.nodes,
        inputs=(x,),
        output=replace(site.output, plane=1),
        rows=rows,
        weights=Constant("int8_t", ordered.astype(np.int8).ravel()),
        bias=Constant("int32_t", bias.astype(np.int32)),
        requantizer=output_requantizer(x, scales, ranges, site.output),
    )


@dataclass(frozen=True)
class GemmF32(Layer):
    """One ``gemm_f32``.

    Attributes:
        rows: of the input.
        features: of input and output.
        weights, bias: in blocks of outputs.
        activation: of each output.
    """

    rows: int
    features: tuple[int, int]
    weights: Constant
    bias: Constant
    activation: Activation = IDLE

    def call(self) -> Call:
        """Fields as in ``gemm_f32.h``."""
        layer = struct(
            "gemm_f32_layer",
            rows=self.rows,
            in_features=self.features[0],
            out_features=self.features[1],
            weights=self.weights,
            bias=self.bias,
            activation=self.activation.struct(),
        )
        return Call("gemm_f32", layer, self.inputs, self.output)

    def absorb(self, later: Layer) -> Layer | None:
        """An activation."""
        if not isinstance(later, UnaryF32) or not self.activation.idle:
            return None
        return replace(self, activation=later.activation, **self.joined(later))


def flattened(layer: ConvF32) -> GemmF32 | None:
    """A convolution with one window, which is the whole map, as a dense layer, whose weights lie in the same order.

    ``None`` for any other.
    """
    w = layer.window
    whole = w.kernel == (w.in_height, w.in_width) and not w.padded and w.dilation == (1, 1)
    if not whole or (w.out_height, w.out_width) != (1, 1) or layer.groups > 1 or layer.pool is not None:
        return None
    return GemmF32(
        name=layer.name,
        nodes=layer.nodes,
        inputs=layer.inputs,
        output=layer.output,
        rows=1,
        features=(w.kernel[0] * w.kernel[1] * w.in_channels, layer.output.shape[1]),
        weights=layer.weights,
        bias=layer.bias,
        activation=layer.activation,
    )


def real_gemm(site: Site) -> Layer:
    """Gemm with a constant matrix; ``alpha`` and ``beta`` go into it and the addend."""
    a = site.attributes
    if a.transpose_a:
        raise site.unsupported("transA is 1", "transpose the input's producer instead")
    matrix = _real_matrix(site, a.alpha)
    addend = _addend(site)
    scaled = None if addend is None else Fixed(addend.name, addend.floats * a.beta)
    return _real_dense(site, matrix if a.transpose_b else matrix.T, scaled)


def real_matmul(site: Site) -> Lowered:
    """MatMul with a constant matrix on the right, or of two computed tensors."""
    if isinstance(site.inputs[1], Tensor):
        return matmul_of_two(site)
    matrix = _real_matrix(site, 1.0)
    if matrix.ndim != 2:
        raise site.unsupported(f"a matrix of {matrix.ndim} axes", "there is a kernel for two")
    return _real_dense(site, matrix.T, None)


def _real_matrix(site: Site, factor: float) -> NDArray[Any]:
    """The constant matrix times a factor, in float64; where there is nothing to compute, as it is: it may be large."""
    weights = site.fixed(1, "matrix")
    if factor == 1 and not weights.scales and weights.values.dtype == np.float32:
        return finite(weights.values, site, "matrix")
    return finite(weights.floats, site, "matrix") * factor


def _real_dense(site: Site, matrix: NDArray[Any], addend: Fixed | None) -> Layer:
    x = site.tensor(0)
    features, taps = matrix.shape
    if addend is not None and addend.values.size not in (1, features):
        raise site.unsupported(f"an addend of shape {list(addend.values.shape)}", f"expected 1 or {features} values")
    ordered = matrix if x.plane == 1 else matrix[:, stored_columns(x, taps)]
    ordered = ordered.astype(np.float32, copy=False)
    return GemmF32(
        name=site.step.name,
        nodes=site.nodes,
        inputs=(x,),
        output=replace(site.output, plane=1),
        rows=rows_of(x, taps, site),
        features=(taps, features),
        weights=Constant("float", blocks(ordered, 1).ravel()),
        bias=Constant("float", blocks(real_bias(addend, features, site), 1).ravel()),
    )


LOWERINGS = (Lowering("Gemm", gemm, real_gemm), Lowering("MatMul", matmul, real_matmul))
