"""The first look at a file: its bytes, before any parser allocates for them.

One pass over the protobuf wire format (https://protobuf.dev/programming-guides/encoding/), steered by ONNX's own
description of its messages. It follows lengths, decodes no value and keeps nothing but the texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import onnx

from toolchain.allowance import Allowance, Part
from toolchain.errors import FileError, UnsafeError

MAX_MESSAGE_DEPTH = 60
"""Messages within messages; a graph within an attribute within a node is three of them. Protobuf itself ends at 100."""

_FIXED32, _FIXED64, _VARINT, _BYTES, _MESSAGE, _TEXT = range(6)  # in the order in which ``_walk`` asks
_WIRE = {_VARINT: 0, _FIXED64: 1, _BYTES: 2, _MESSAGE: 2, _TEXT: 2, _FIXED32: 5}

Table = dict[int, tuple[int, int, Any]]
"""Tag -> kind, bit of a field that may be stated once (else 0), table of the message inside."""


def scan(content: bytes, name: str, allowed: Allowance) -> int:
    """Refuse bytes that are no protobuf of ONNX, or that make a parser allocate or work far beyond their number.

    Args:
        content: the whole file.
        name: how messages call it.
        allowed: how many fields it may have.

    Returns:
        The number of fields of all messages.

    Raises:
        FileError: no ONNX file, cut off, or with text that is not UTF-8.
        UnsafeError: more fields than are allowed, deeper than :data:`MAX_MESSAGE_DEPTH`, one
            statement made twice, or a NUL in a text, so that two readers could read two models.
    """
    texts: list[bytes] = []
    try:
        records = _walk(content, allowed.of(Part.FIELDS), texts)
    except _BrokenError as error:
        raise FileError(f"{name} is no ONNX file, or is cut off or damaged: {error}{_looks(content)}") from None
    except _DangerError as error:
        raise UnsafeError(f"{name} {error}") from None
    if records > allowed.of(Part.FIELDS):
        raise UnsafeError(f"{name} {allowed.excess(Part.FIELDS)}")
    _check_texts(texts, name)
    return records


class _BrokenError(Exception):
    """Not a protobuf, or not of ONNX."""


class _DangerError(Exception):
    """Readers can be hurt, or can read it in two ways."""


@cache
def _model() -> Table:
    """The table of ModelProto; those of the messages inside hang on it, cycles included."""
    tables: dict[str, Table] = {}

    def table(message: Any) -> Table:
        if message.full_name in tables:
            return tables[message.full_name]
        found = tables[message.full_name] = {}
        for place, field in enumerate(message.fields):
            kind = _kind(field)
            inner = table(field.message_type) if kind == _MESSAGE else (message.name, field.name)
            once = 0 if field.is_repeated else 1 << place
            found[field.number << 3 | _WIRE[kind]] = (kind, once, inner)
            if field.is_repeated and _WIRE[kind] != 2:  # packed, or one by one: readers accept both
                found[field.number << 3 | 2] = (_BYTES, 0, inner)
        return found

    return table(onnx.ModelProto.DESCRIPTOR)


def _kind(field: Any) -> int:
    if field.type == field.TYPE_MESSAGE:
        return _MESSAGE
    if field.type == field.TYPE_STRING:
        return _TEXT
    if field.type == field.TYPE_BYTES:
        return _BYTES
    if field.type in (field.TYPE_FLOAT, field.TYPE_FIXED32, field.TYPE_SFIXED32):
        return _FIXED32
    return _FIXED64 if field.type in (field.TYPE_DOUBLE, field.TYPE_FIXED64, field.TYPE_SFIXED64) else _VARINT


def _walk(content: bytes, limit: int, texts: list[bytes]) -> int:
    """Every field of every message, depth first; gives their number, or ``limit + 1`` if there are more."""
    at, end, table, seen = 0, len(content), _model(), 0
    outer: list[tuple[int, Table, int]] = []
    for records in range(limit + 1):
        while at >= end:
            if at > end:
                raise _BrokenError(f"a value before byte {at} reaches beyond its message")
            if not outer:
                return records
            end, table, seen = outer.pop()
        tag, at = (content[at], at + 1) if content[at] < 128 else _varint(content, at, end)
        kind, once, inner = table.get(tag) or _unknown(tag, table, at)
        if once & seen:
            raise _DangerError(f"states one field twice (at byte {at}); two readers could read two models")
        seen |= once
        # One byte more than there is would raise IndexError: a number may be cut off by the end of its message.
        number, at = (
            (content[at], at + 1)
            if kind >= _VARINT and at < end and content[at] < 128
            else _number(content, at, end, kind)
        )
        if kind < _BYTES:
            continue
        if number > end - at:
            raise _BrokenError(f"a field at byte {at} says that it has {number} bytes, and {end - at} are left")
        if kind == _MESSAGE:
            outer.append((end, table, seen))
            if len(outer) > MAX_MESSAGE_DEPTH:
                raise _DangerError(f"nests messages more than {MAX_MESSAGE_DEPTH} deep; flatten it")
            end, table, seen = at + number, inner, 0
            continue
        if kind == _TEXT:
            texts.append(content[at : at + number])
        at += number
    return limit + 1


def _number(content: bytes, at: int, end: int, kind: int) -> tuple[int, int]:
    """A varint of any length, or how far a value of fixed size goes."""
    return (0, at + (4 if kind == _FIXED32 else 8)) if kind < _VARINT else _varint(content, at, end)


def _varint(content: bytes, at: int, end: int) -> tuple[int, int]:
    """A number and where it ends.

    Raises:
        _BrokenError: it goes on beyond its message, or beyond 64 bits.
    """
    number = 0
    for place in range(10):
        if at + place >= end:
            raise _BrokenError(f"a number at byte {at} is cut off")
        byte = content[at + place]
        number |= (byte & 127) << 7 * place
        if byte < 128:
            if number >> 64:
                break
            return number, at + place + 1
    raise _BrokenError(f"a number at byte {at} has more than 64 bits")


def _unknown(tag: int, table: Table, at: int) -> tuple[int, int, Any]:
    """How to pass over a field that ONNX does not know: readers ignore it, and it is dropped."""
    wire, number = tag & 7, tag >> 3
    if not 1 <= number < 1 << 29 or wire not in (0, 1, 2, 5):
        raise _BrokenError(f"byte {at - 1} begins no field (number {number}, wire type {wire})")
    if any(known >> 3 == number for known in table):
        raise _BrokenError(f"field {number} at byte {at - 1} has wire type {wire}, which is not its own")
    return {0: _VARINT, 1: _FIXED64, 2: _BYTES, 5: _FIXED32}[wire], 0, None


def _check_texts(texts: Sequence[bytes], name: str) -> None:
    """All texts at once, in one call in C; each by itself only to name the broken one."""
    joined = b"\0".join(texts)
    if joined.count(0) >= max(1, len(texts)):
        broken = next(text for text in texts if 0 in text)
        raise UnsafeError(
            f"{name} holds text with a NUL ({broken[:40]!r}), where one reader ends and another goes on; rename it"
        )
    try:
        joined.decode()
    except UnicodeDecodeError:
        raise FileError(_not_utf8(texts, name)) from None


def _not_utf8(texts: Sequence[bytes], name: str) -> str:
    for text in texts:
        try:
            text.decode()
        except UnicodeDecodeError:
            return f"{name} holds text that is not UTF-8 ({text[:40]!r}); it is damaged: export it again"
    raise AssertionError("joined by NUL, texts are UTF-8 where each is")


_SIGNATURES = (
    (b"PK\x03\x04", "a zip archive (a PyTorch checkpoint or an .npz?)"),
    (b"\x80\x02", "a Python pickle (a PyTorch checkpoint?)"),
    (b"\x89PNG", "a PNG picture"),
    (b"\x1f\x8b", "gzip; unpack it"),
    (b"version https://git-lfs", "a Git LFS pointer; fetch the file itself (git lfs pull)"),
    (b"<", "text"),
    (b"{", "JSON"),
    (b"ir_version", "protobuf's text format"),
    (b"graph", "protobuf's text format"),
)


def _looks(content: bytes) -> str:
    """What the file seems to be instead, with the remedy."""
    head = content[:64].lstrip()
    if content[4:8] in (b"ORTM", b"TFL3"):
        return "; it looks like another runtime's flatbuffer (.ort, .tflite); expected ONNX's binary protobuf"
    for signature, meaning in _SIGNATURES:
        if head.startswith(signature):
            return f"; it looks like {meaning}; expected ONNX's binary protobuf"
    return "; export it again"
