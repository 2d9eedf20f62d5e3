"""The generated code on this machine: a shared library whose every layer can be looked at."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.compile.build import WARNINGS, find, objects, run
from toolchain.compile.program import Program
from toolchain.compile.tensor import Element, Tensor

Array = NDArray[Any]
CANARY = 64
"""Bytes on either side of the arena that must stay as they are."""

OBSERVER = """#include <stdint.h>
#include <string.h>
static unsigned char *place;
void {name}_observe(int32_t layer, const void *output, int32_t bytes);
void {name}_observe(int32_t layer, const void *output, int32_t bytes)
{{
    (void)layer;
    memcpy(place, output, (size_t)bytes);
    place += bytes;
}}
__attribute__((visibility("default"))) void observe_into(unsigned char *start);
void observe_into(unsigned char *start) {{ place = start; }}
"""


def shared_library(
    folder: Path,
    program: Program,
    sources: Sequence[str],
    into: Path,
    *,
    compiler: str = "gcc",
    flags: Sequence[str] = ("-O2",),
    observed: bool = True,
) -> Path:
    """Build the library that :class:`HostRun` loads.

    Args:
        folder: of the generated files.
        program: what they compute.
        sources: names of the files to compile.
        into: existing folder for objects and the library.
        compiler: ``gcc`` or ``clang``.
        flags: optimisation, instruction set, sanitizers.
        observed: every layer's output can be looked at.
    """
    command = find(compiler, compiler)
    if not observed:
        made = objects([command], [*WARNINGS, *flags, "-fPIC"], sources, folder, into)
        library = into / f"lib{program.name}.so"
        run([command, *flags, "-shared", "-o", library, *made, "-lm"], into)
        return library
    (into / "observer.c").write_text(OBSERVER.format(name=program.name), encoding="utf-8")
    options = [*WARNINGS, *flags, "-fPIC", f"-D{program.name.upper()}_OBSERVE"]
    made = objects([command], options, sources, folder, into)
    made += objects([command], options, ["observer.c"], into, into)
    library = into / f"lib{program.name}_observed.so"
    run([command, *flags, "-shared", "-o", library, *made, "-lm"], into)
    return library


class HostRun:
    """A built library.

    Args:
        library: from :func:`shared_library`.
        program: what it computes.
        arena: size of the arena, bytes.
    """

    def __init__(self, library: Path, program: Program, arena: int) -> None:
        self.program = program
        self._library = ctypes.CDLL(str(library))
        self._run = getattr(self._library, f"{program.name}_run")
        self._run.restype = None
        count = len(program.inputs) + len(program.outputs) + 1
        self._run.argtypes = [ctypes.c_void_p] * count
        self._observe = getattr(self._library, "observe_into", None)
        if self._observe is not None:
            self._observe.restype = None
            self._observe.argtypes = [ctypes.c_void_p]
        self._arena = arena
        self._memory = np.zeros(arena + 2 * CANARY + 64, dtype=np.uint8)
        start = self._memory.ctypes.data + CANARY
        self._start = CANARY + -start % 64
        self._watched = np.zeros(sum(step.call.output.bytes for step in program.steps), dtype=np.uint8)

    def __call__(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """One sample, observed.

        Args:
            feeds: by the names of the graph's inputs, with batch 1.

        Returns:
            Every layer's output, in ONNX's order and shape, by name.

        Raises:
            BufferError: the code wrote beside its arena.
        """
        if self._observe is None:
            raise ValueError("the library was built without observing")
        self._observe(self._watched.ctypes.data)
        self.outputs(feeds)
        return split(self.program, self._watched.tobytes())

    def outputs(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """One sample: the graph's outputs, by name.

        Raises:
            BufferError: the code wrote beside its arena.
        """
        self._memory.fill(0xA5)
        inputs = [np.ascontiguousarray(feeds[t.name], dtype=_dtype(t)) for t in self.program.inputs]
        outputs = [np.zeros(t.shape, dtype=_dtype(t)) for t in self.program.outputs]
        arena = self._memory.ctypes.data + self._start
        self._run(*(array.ctypes.data for array in (*inputs, *outputs)), arena)
        before, after = self._memory[: self._start], self._memory[self._start + self._arena :]
        if (before != 0xA5).any() or (after != 0xA5).any():
            raise BufferError(f"{self.program.name} wrote beside its arena of {self._arena} bytes")
        return {t.name: restored(t, a.tobytes()) for t, a in zip(self.program.outputs, outputs, strict=True)}


def split(program: Program, content: bytes) -> dict[str, Array]:
    """The outputs of all layers, written one behind the other."""
    found, position = {}, 0
    for step in program.steps:
        tensor = step.call.output
        found[tensor.name] = restored(tensor, content[position : position + tensor.bytes])
        position += tensor.bytes
    return found


def restored(tensor: Tensor, content: bytes) -> Array:
    """A tensor from its bytes in memory: ONNX's order, shape and type."""
    flat = np.frombuffer(content, dtype=_dtype(tensor).newbyteorder("<"))
    array = flat.reshape(tensor.plane, tensor.channels).T.reshape(tensor.shape)
    if tensor.element is Element.INT8 and tensor.quantization is not None and tensor.quantization.unsigned:
        return (array.astype(np.int16) + 128).astype(np.uint8)
    return np.ascontiguousarray(array).reshape(tensor.shape)  # which it would give a first axis


def _dtype(tensor: Tensor) -> np.dtype[Any]:
    return np.dtype({Element.FLOAT: np.float32, Element.INT8: np.int8, Element.UINT8: np.uint8}[tensor.element])
