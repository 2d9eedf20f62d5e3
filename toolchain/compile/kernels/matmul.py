"""MatMul of two computed tensors: ``matmul_f32``. With a constant matrix it is a ``gemm``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from toolchain.compile.kernels.activation import IDLE, Activation, UnaryF32
from toolchain.compile.kernels.strides import arranged
from toolchain.compile.lowering import Lowered, Site
from toolchain.compile.program import Call, Layer, struct
from toolchain.compile.tensor import Tensor


@dataclass(frozen=True)
class MatmulF32(Layer):
    """One ``matmul_f32``.

    Attributes:
        count: of matrices.
        sizes: rows of the first, terms of a sum, columns of the second.
    """

    count: int
    sizes: tuple[int, int, int]
    activation: Activation = IDLE

    def call(self) -> Call:
        """Fields as in ``matmul_f32.h``."""
        rows, terms, columns = self.sizes
        layer = struct(
            "matmul_f32_layer",
            count=self.count,
            rows=rows,
            terms=terms,
            columns=columns,
            activation=self.activation.struct(),
        )
        return Call("matmul_f32", layer, self.inputs, self.output)

    def absorb(self, later: Layer) -> Layer | None:
        """An activation."""
        if not isinstance(later, UnaryF32) or not self.activation.idle:
            return None
        return replace(self, activation=later.activation, **self.joined(later))


def _stack(x: Tensor) -> tuple[int, ...]:
    """How the matrices are stacked; leading axes of 1 change nothing."""
    shape = x.shape[:-2]
    return shape[next((i for i, size in enumerate(shape) if size != 1), len(shape)) :]


def real(site: Site) -> Lowered:
    """Stacks of matrices, as many on either side."""
    a, b = site.tensor(0), site.tensor(1)
    if len(a.shape) < 2 or len(b.shape) < 2 or _stack(a) != _stack(b):
        raise site.unsupported(
            f"shapes {list(a.shape)} and {list(b.shape)}", "there is a kernel for as many matrices on either side"
        )
    first, a = arranged(site, a, 1)
    second, b = arranged(site, b, 1)
    sizes = a.shape[-2], a.shape[-1], b.shape[-1]
    y = replace(site.output, plane=1)
    return (*first, *second, MatmulF32(site.step.name, site.nodes, (a, b), y, prod(a.shape[:-2]), sizes))
