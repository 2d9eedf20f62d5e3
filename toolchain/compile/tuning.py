"""Kernels chosen for a target: the last step before layers become calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from toolchain.compile.kernels.depthwise import depthwise_integers
from toolchain.compile.kernels.dual import dual
from toolchain.compile.kernels.patch import patch, vector
from toolchain.compile.kernels.scalar import scalar
from toolchain.compile.program import Layer
from toolchain.errors import UnknownNameError


def _beside_floats(integers: Callable[[Layer], Layer]) -> Callable[[Layer], Layer]:
    """A set's integer kernels, one for depthwise convolutions, and the float kernels of a core without vectors."""
    return lambda layer: depthwise_integers(layer) or scalar(integers(layer))


KERNELS: Mapping[str, Callable[[Layer], Layer]] = {
    "portable": lambda layer: layer,
    "small": scalar,
    "dual": _beside_floats(dual),
    "patch": _beside_floats(patch),
    "vector": _beside_floats(vector),
}
"""By the name that ``Target.kernels`` has, and of the smallest arena; what a set has no kernel for stays as it is."""

MODES = ("fast", "small")
"""Of microcontrollers: kernels of the target, which work in some kilobytes; or the smallest arena."""


def one_of(what: str, value: str, known: Sequence[str]) -> None:
    """Check an option.

    Raises:
        UnknownNameError: it has none of the known values.
    """
    if value not in known:
        raise UnknownNameError(what, value, known)


def tuned(layers: Sequence[Layer], kernels: str) -> tuple[Layer, ...]:
    """Each layer with the kernel that a set has for it.

    Raises:
        UnknownNameError: there is no such set.
    """
    if kernels not in KERNELS:
        raise UnknownNameError("set of kernels", kernels, KERNELS)
    return tuple(KERNELS[kernels](layer) for layer in layers)
