"""How ONNX stores a tensor: its value fields, and what each holds for an element type."""

from __future__ import annotations

import math
from dataclasses import dataclass

import onnx

from toolchain.errors import FileError, UnsafeError, UnsupportedError

MAX_RANK = 32
"""Dimensions of a tensor; NumPy knows 64, and a CNN five."""

MAX_BYTES = 1 << 31
"""Of an ONNX file, of the tensors in it, and of a file of weights; protobuf holds no more."""

VALUE_FIELDS = (
    "raw_data",
    "float_data",
    "int32_data",
    "int64_data",
    "double_data",
    "uint64_data",
    "string_data",
)


@dataclass(frozen=True)
class _Layout:
    """How a tensor type is stored.

    Attributes:
        field: the typed value field.
        bits: of an element in ``raw_data``.
        packed: elements share bytes, in ``int32_data`` too.
        values: entries of the typed field an element.
    """

    field: str
    bits: int
    packed: bool = False
    values: int = 1


def _layouts() -> dict[int, _Layout]:
    def sized(bits: int, typed: str, *names: str) -> dict[int, _Layout]:
        return {onnx.TensorProto.DataType.Value(n): _Layout(typed, bits, bits < 8) for n in names if n in known}

    known = set(onnx.TensorProto.DataType.keys())
    return {
        **sized(32, "float_data", "FLOAT"),
        **sized(64, "double_data", "DOUBLE"),
        **sized(32, "int32_data", "INT32"),
        **sized(64, "int64_data", "INT64"),
        **sized(32, "uint64_data", "UINT32"),
        **sized(64, "uint64_data", "UINT64"),
        **sized(16, "int32_data", "INT16", "UINT16", "FLOAT16", "BFLOAT16"),
        **sized(8, "int32_data", "INT8", "UINT8", "BOOL", "FLOAT8E8M0"),
        **sized(8, "int32_data", "FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ"),
        **sized(4, "int32_data", "INT4", "UINT4", "FLOAT4E2M1"),
        **sized(2, "int32_data", "INT2", "UINT2"),
        onnx.TensorProto.COMPLEX64: _Layout("float_data", 64, values=2),
        onnx.TensorProto.COMPLEX128: _Layout("double_data", 128, values=2),
    }


LAYOUTS = _layouts()


def byte_size(tensor: onnx.TensorProto) -> int:
    """Bytes that a tensor's value takes as ``raw_data``."""
    elements: int = math.prod(tensor.dims)
    layout = LAYOUTS.get(tensor.data_type)
    return elements if layout is None else (elements * layout.bits + 7) // 8


def check_value(tensor: onnx.TensorProto, where: str) -> None:
    """A tensor has one value, and it is as long as type and shape say.

    Args:
        tensor: with its value here, or in another file.
        where: names it in messages.

    Raises:
        UnsafeError: several values, of which readers could take one or another; too many dimensions.
        UnsupportedError: an unknown element type.
        FileError: a negative dimension, or too few or too many bytes.
    """
    external = tensor.data_location == onnx.TensorProto.EXTERNAL
    present = [f for f in VALUE_FIELDS if len(getattr(tensor, f))]
    stated = [*present, *(("external data",) if external or tensor.external_data else ())]
    if len(stated) > 1:
        raise UnsafeError(
            f"{where} holds its value {len(stated)} times ({', '.join(stated)}); two readers could read two "
            "models; export it again"
        )
    if tensor.HasField("segment"):
        raise UnsafeError(f"{where} is a segment of another; some readers ignore that: export it whole")
    if len(tensor.dims) > MAX_RANK:
        raise UnsafeError(f"{where} has {len(tensor.dims)} dimensions; at most {MAX_RANK} are read")
    if min(tensor.dims, default=0) < 0:
        raise FileError(f"{where} has shape {list(tensor.dims)}; expected no negative size; export it again")
    known = tensor.data_type in LAYOUTS
    if not known and (external or tensor.data_type != onnx.TensorProto.STRING):
        place = " in another file" if external else ""
        raise UnsupportedError(f"{where} has element type {tensor.data_type}{place}; it cannot be read here")
    if external:
        return
    if tensor.external_data:
        raise UnsafeError(f"{where} states external data and does not use it; two readers could read two models")
    _length(tensor, math.prod(tensor.dims), present[0] if present else None, where)


def _length(tensor: onnx.TensorProto, elements: int, stored: str | None, where: str) -> None:
    """The value has as many bytes or entries as the shape says."""
    layout = LAYOUTS.get(tensor.data_type)
    if stored is None:
        expected, received = elements, 0
    elif layout is None:
        expected, received = elements, len(tensor.string_data)
    elif stored == "raw_data":
        expected, received = (elements * layout.bits + 7) // 8, len(tensor.raw_data)
    elif stored != layout.field:
        raise FileError(f"{where} stores its value in {stored}; expected {layout.field}; export it again")
    else:
        per = 8 // layout.bits if layout.packed else 1
        expected = -(-elements // per) * layout.values
        received = len(getattr(tensor, stored))
    if expected != received:
        unit = "bytes" if stored == "raw_data" else "values"
        raise FileError(
            f"{where} of shape {list(tensor.dims)} has {received} {unit}, expected {expected}; "
            "it is cut off or damaged: export it again"
        )
