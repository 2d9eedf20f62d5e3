"""Mutations that keep a model a model: few random bytes get past the parser, and what lies behind it is the aim."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import onnx
from google.protobuf.descriptor import FieldDescriptor

from toolchain.ops import registry

INTEGERS = (
    0,
    1,
    -1,
    2,
    3,
    4,
    7,
    8,
    16,
    31,
    32,
    33,
    64,
    127,
    255,
    4096,
    2**31 - 1,
    2**31,
    2**32,
    2**62,
    2**63 - 1,
    -(2**63),
)
FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-45, 3.4e38, float("inf"), float("-inf"), float("nan"))
TEXTS = (
    "",
    "x",
    "y",
    "w",
    "t0",
    "b",
    "SAME_UPPER",
    "VALID",
    "NOTSET",
    "local",
    "ai.onnx",
    "com.microsoft",
    "location",
    "w.bin",
)
OPERATORS = sorted({name for _, name in registry()} | {"If", "Loop", "Scan", "OneHot", "NonZero"})
ATTRIBUTES = (
    "axis", "axes", "kernel_shape", "strides", "pads", "dilations", "group", "auto_pad", "ceil_mode", "mode", "to",
    "value", "value_ints", "perm", "alpha", "beta", "epsilon", "size", "keepdims", "transA", "transB", "then_branch",
    "count_include_pad", "output_padding", "output_shape", "scales", "sizes", "allowzero", "num_outputs", "split",
)  # fmt: skip
BLOCK = (1, 2, 3, 4, 8, 16, 64, 256, 1024)

Change = Callable[[random.Random, Any], None]


def mutate(content: bytes, limit: int, seed: int, raw: Callable[[bytes, int], bytes]) -> bytes:
    """Another model, or other bytes.

    Args:
        content: a serialised model, or anything.
        limit: bytes at most.
        seed: decides everything that ``raw`` does not.
        raw: changes bytes as such.
    """
    draw = random.Random(seed)  # noqa: S311
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(content)
    except Exception:  # noqa: BLE001
        return raw(content, limit)
    if draw.random() < 0.1:
        return raw(content, limit)
    try:
        for _ in range(draw.choice((1, 1, 2, 3, 5))):
            draw.choice(CHANGES)(draw, proto)
        changed = proto.SerializeToString()
    except ValueError:  # a name that is not UTF-8 can be read and not written
        return raw(content, limit)
    return changed if len(changed) <= limit else raw(content, limit)


def messages(proto: Any) -> list[Any]:
    """A message and all within it."""
    found = [proto]
    for field, value in proto.ListFields():
        if field.message_type is not None:
            for inner in value if field.is_repeated else (value,):
                found += messages(inner)
    return found


def _one(draw: random.Random, proto: Any) -> Any:
    return draw.choice(messages(proto))


def change_field(draw: random.Random, proto: Any) -> None:
    """Set, extend or clear some field of some message."""
    message = _one(draw, proto)
    field = draw.choice(message.DESCRIPTOR.fields)
    if draw.random() < 0.1:
        message.ClearField(field.name)
    elif field.message_type is not None:
        if field.is_repeated:
            getattr(message, field.name).add()
        else:
            getattr(message, field.name).SetInParent()
    elif field.is_repeated:
        values = getattr(message, field.name)
        if len(values) and draw.random() < 0.7:
            values[draw.randrange(len(values))] = drawn(draw, field)
        else:
            values.extend([drawn(draw, field)] * draw.choice((1, 1, 2, 4, 40)))
    else:
        setattr(message, field.name, drawn(draw, field))


def drawn(draw: random.Random, field: Any) -> Any:
    """A value for a field, at an edge more often than not."""
    if field.type == FieldDescriptor.TYPE_STRING:
        pool = {"op_type": OPERATORS, "name": (*ATTRIBUTES, *TEXTS)}.get(field.name, TEXTS)
        return draw.choice(pool)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return draw.randbytes(draw.choice(BLOCK)) if draw.random() < 0.7 else draw.choice(TEXTS).encode()
    if field.type in (FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE):
        return draw.choice(FLOATS)
    if field.enum_type is not None:
        return draw.choice(field.enum_type.values).number
    number = draw.choice(INTEGERS) if draw.random() < 0.7 else draw.randrange(-8, 40)
    bits = 64 if field.type in (FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_UINT64) else 32
    if field.type == FieldDescriptor.TYPE_UINT64:
        return number % 2**64
    return (number + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1)


def repeat(draw: random.Random, proto: Any) -> None:
    """One element of a list once more, or many times."""
    message = _one(draw, proto)
    lists = [(f, v) for f, v in message.ListFields() if f.is_repeated]
    if lists:
        _, values = draw.choice(lists)
        values.extend([values[draw.randrange(len(values))]] * draw.choice((1, 1, 1, 2, 10, 100)))


def drop(draw: random.Random, proto: Any) -> None:
    """One element of a list less."""
    message = _one(draw, proto)
    lists = [v for f, v in message.ListFields() if f.is_repeated]
    if lists:
        values = draw.choice(lists)
        del values[draw.randrange(len(values))]


def rename(draw: random.Random, proto: Any) -> None:
    """A node reads or computes a name that there is."""
    nodes = [m for m in messages(proto) if isinstance(m, onnx.NodeProto)]
    known = [name for node in nodes for name in (*node.input, *node.output)] or list(TEXTS)
    if nodes:
        node = draw.choice(nodes)
        names = draw.choice((node.input, node.output))
        if len(names):
            names[draw.randrange(len(names))] = draw.choice(known)


def reoperate(draw: random.Random, proto: Any) -> None:
    """A node becomes another operator's, with or without its attributes."""
    nodes = [m for m in messages(proto) if isinstance(m, onnx.NodeProto)]
    if nodes:
        node = draw.choice(nodes)
        node.op_type = draw.choice(OPERATORS)
        if draw.random() < 0.3:
            del node.attribute[:]


def append_node(draw: random.Random, proto: Any) -> None:
    """One more node, on names that there are."""
    graph = proto.graph
    known = (
        [t.name for t in graph.initializer] + [v.name for v in graph.input] + [n for g in graph.node for n in g.output]
    )
    node = graph.node.add(op_type=draw.choice(OPERATORS), output=[f"n{len(graph.node)}"])
    node.input.extend(draw.choice(known) for _ in range(draw.randrange(4)) if known)


def attribute(draw: random.Random, proto: Any) -> None:
    """One more attribute, or other numbers in one."""
    nodes = [m for m in messages(proto) if isinstance(m, onnx.NodeProto)]
    if nodes:
        added = draw.choice(nodes).attribute.add(name=draw.choice(ATTRIBUTES))
        if draw.random() < 0.5:
            added.type, numbers = onnx.AttributeProto.INTS, draw.choice((1, 2, 4))
            added.ints.extend(draw.choice(INTEGERS[:12]) for _ in range(numbers))
        else:
            added.type, added.i = onnx.AttributeProto.INT, draw.choice(INTEGERS)


def consistent_weight(draw: random.Random, proto: Any) -> None:
    """A weight of another type and shape that holds what these say: most that are drawn blindly are refused early."""
    weights = [m for m in messages(proto) if isinstance(m, onnx.TensorProto)]
    if weights:
        tensor = draw.choice(weights)
        dims = [draw.choice((0, 1, 1, 2, 3, 4)) for _ in range(draw.randrange(4))]
        kind = draw.choice(
            (onnx.TensorProto.FLOAT, onnx.TensorProto.INT64, onnx.TensorProto.INT8, onnx.TensorProto.BOOL)
        )
        size = {onnx.TensorProto.FLOAT: 4, onnx.TensorProto.INT64: 8}.get(kind, 1)
        count = 1
        for d in dims:
            count *= d
        name = tensor.name
        tensor.Clear()
        tensor.name, tensor.data_type = name, kind
        tensor.dims.extend(dims)
        tensor.raw_data = (
            draw.randbytes(size * count) if draw.random() < 0.5 else bytes([draw.randrange(4)]) * size * count
        )


CHANGES: tuple[Change, ...] = (
    change_field,
    change_field,
    change_field,
    repeat,
    drop,
    rename,
    reoperate,
    append_node,
    attribute,
    consistent_weight,
)
