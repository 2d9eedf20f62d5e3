"""A self-test for a device: samples and the checksum of every layer, in C that logs through a serial port.

The checksums are those of the integer reference, laid out as the C lays out its maps. A layer whose bytes depend on
float arithmetic has none: compilers may contract, reorder and approximate it, each within the limits that
``verify --backend c`` holds it to, so that no one sequence of bytes is right.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from toolchain.compile.generate import render
from toolchain.compile.judge import computes
from toolchain.compile.literals import number, wrapped
from toolchain.compile.program import Program
from toolchain.compile.tensor import Element, Tensor
from toolchain.compile.translate import Generated
from toolchain.errors import UnsupportedError, UsageError
from toolchain.external import read_plain
from toolchain.integers import IntegerReference
from toolchain.load import load

Array = NDArray[Any]
Feeds = Sequence[Mapping[str, Array]]

LOG_VERSION = 1
LIMIT = 1 << 20
"""Bytes of samples that are written as C text; compilers take seconds for each MiB."""

_KINDS = {Element.FLOAT: "<f4", Element.INT8: "i1", Element.UINT8: "u1"}


@dataclass(frozen=True)
class GoldenLayer:
    """A layer in the self-test.

    Attributes:
        name: in C.
        exact: the reference gives its bytes.
    """

    name: str
    exact: bool


@dataclass(frozen=True)
class Golden:
    """What is baked into the self-test.

    Attributes:
        version: of the log.
        digest: of the model.
        samples: how many.
        layers: in order.
        checksums: for each sample, the CRC-32 of each layer as C text; 0 where it is not exact.
        inputs: for each input of the network the samples as C text.
    """

    version: int
    digest: str
    samples: int
    layers: tuple[GoldenLayer, ...]
    checksums: tuple[str, ...]
    inputs: tuple[tuple[str, ...], ...]


def digest(source: ir.Model | Path | str) -> str:
    """Names a model: SHA-256 over the file and all weights, wherever these are stored; 64 hexadecimal digits.

    Args:
        source: the file as it was given, or a model that never was a file.
    """
    made = hashlib.sha256()
    if isinstance(source, ir.Model):
        model = source
        made.update(ir.to_proto(model).SerializeToString(deterministic=True))
    else:
        model = load(source)
        made.update(read_plain(Path(source), str(source)))
    for name, value in sorted(model.graph.initializers.items()):
        if value.const_value is not None:
            made.update(name.encode() + b"\0" + value.const_value.tobytes())
    return made.hexdigest()


def selftest(model: ir.Model, made: Generated, feeds: Feeds, digest: str) -> dict[str, bytes]:
    """The files of the self-test, by name.

    Args:
        model: what was compiled.
        made: its C.
        feeds: samples of batch 1.
        digest: from :func:`digest`.

    Raises:
        UnsupportedError: no layer is exact: the network computes in float.
        UsageError: the samples are too large for C text.
    """
    program = made.program
    size = len(feeds) * sum(tensor.bytes for tensor in program.inputs)
    if size > LIMIT:
        raise UsageError(
            f"{len(feeds)} samples of {size // len(feeds)} bytes are {size} bytes in the self-test, at most {LIMIT} "
            "are written; give a smaller --golden"
        )
    reference = IntegerReference(model)
    rows: list[list[int]] = []
    exact: tuple[bool, ...] = ()
    for sample in feeds:
        meant = reference.run(sample)
        exact = exact or _exact(program, meant, {*made.floats, *(island.node for island in reference.islands)})
        rows.append(
            [
                zlib.crc32(stored(step.call.output, meant[step.call.output.name])) if known else 0
                for step, known in zip(program.steps, exact, strict=True)
            ]
        )
    if not any(exact):
        raise UnsupportedError(
            f"{program.name} computes in float, whose last bits differ between compilers: there is no checksum to "
            "compare a device with. Quantize it (`onnx-edge quantize`), or judge its C with `verify --backend c`"
        )
    golden = Golden(
        version=LOG_VERSION,
        digest=digest,
        samples=len(feeds),
        layers=tuple(GoldenLayer(step.name, known) for step, known in zip(program.steps, exact, strict=True)),
        checksums=tuple(wrapped([f"0x{crc:08X}u" for crc in row], 8) for row in rows),
        inputs=tuple(tuple(_text(tensor, sample[tensor.name]) for sample in feeds) for tensor in program.inputs),
    )
    return {
        f"{program.name}_selftest.{kind}": render(
            f"selftest.{kind}.j2", program, made.plan, {"golden": golden}
        ).encode()
        for kind in ("c", "h")
    }


def stored(tensor: Tensor, array: Array) -> bytes:
    """A value's bytes as C stores them: the inverse of ``host.restored``.

    Args:
        tensor: its place and order in memory.
        array: in ONNX's order and shape, of ONNX's type.
    """
    if tensor.element is Element.INT8 and tensor.quantization is not None and tensor.quantization.unsigned:
        values = (array.astype(np.int16) - 128).astype(np.int8)
    else:
        values = array.astype(_KINDS[tensor.element])
    return values.reshape(tensor.channels, tensor.plane).T.tobytes()


def _exact(program: Program, meant: Collection[str], floats: Collection[str]) -> tuple[bool, ...]:
    """Which layers' bytes the reference gives: those it knows that depend on no float arithmetic.

    Quantizing and dequantizing are exact on both sides; so is moving floats about.
    """
    tainted: set[str] = set()  # memory, which a tensor shares with its views
    found = []
    for step in program.steps:
        output = step.call.output
        if (
            computes(step)
            or set(step.nodes) & set(floats)
            or any(tensor.memory in tainted for tensor in step.call.inputs)
        ):
            tainted.add(output.memory)
        found.append(output.name in meant and output.memory not in tainted)
    return tuple(found)


def _text(tensor: Tensor, array: Array) -> str:
    return wrapped([number(v) for v in np.asarray(array, dtype=_KINDS[tensor.element]).reshape(-1).tolist()], 8)
