"""Offsets in the kernels are 32-bit: nothing that a program touches may be larger."""

from __future__ import annotations

from toolchain.compile.program import Program, constants
from toolchain.errors import UnsupportedError

LARGEST = 2**31 - 1
"""Bytes; an index or offset of ``int32_t`` reaches no further."""


def check_extent(program: Program) -> None:
    """Refuse what 32-bit offsets cannot reach.

    Raises:
        UnsupportedError: names the layer and the bytes.
    """
    held = {tensor.name: tensor.bytes for tensor in program.inputs}
    for step in program.steps:
        held[step.name] = max(step.call.output.bytes, step.call.scratch)
        held.update((name, one.data.nbytes) for name, one in constants(step.name, step.call.layer))
    for name, size in held.items():
        if size > LARGEST:
            raise UnsupportedError(f"{name!r} takes {size} bytes, C code reaches {LARGEST}; make the layer smaller")
