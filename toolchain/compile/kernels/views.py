"""Operators that give the same memory another name or shape."""

from __future__ import annotations

from dataclasses import replace

from toolchain.compile.functions import identity
from toolchain.compile.kernels.unary import tabulated
from toolchain.compile.lowering import Lowered, Lowering, Site
from toolchain.compile.tensor import Tensor

VIEWS = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout", "Cast")


def view(x: Tensor, output: Tensor) -> Tensor:
    """``x`` under the name and shape of ``output``; elements keep their places in memory."""
    return replace(x, name=output.name, shape=output.shape, buffer=x.memory)


def integer(site: Site) -> Lowered:
    """A view, or a table where the scale changes."""
    x, y = site.tensor(0), site.output
    if x.quantized == y.quantized and y.low <= x.low and x.high <= y.high:
        return view(x, y)
    return tabulated(site, identity)


def real(site: Site) -> Lowered:
    """A view."""
    return view(site.tensor(0), site.output)


LOWERINGS = tuple(Lowering(op_type, integer, real, any_order=True) for op_type in VIEWS)
