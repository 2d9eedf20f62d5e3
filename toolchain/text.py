"""A model's names and other text are UTF-8, or the file is refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx

from toolchain.errors import FileError


def check_text(proto: onnx.ModelProto, name: str) -> None:
    """Refuse text that is not UTF-8: protobuf hands it out as bytes, on which later stages would stumble.

    Args:
        proto: a file that the guard has passed.
        name: how messages call it.

    Raises:
        FileError: a string is not UTF-8.
    """
    try:
        "".join(_model(proto))  # one call in C, an order of magnitude faster than looking at each
    except TypeError:
        broken = next(text for text in _model(proto) if not isinstance(text, str))
        raise FileError(
            f"{name} holds text that is not UTF-8 ({broken[:40]!r}); it is damaged: export it again"
        ) from None


def _model(proto: onnx.ModelProto) -> Iterator[str]:
    yield from (proto.producer_name, proto.producer_version, proto.domain, proto.doc_string)
    yield from (opset.domain for opset in proto.opset_import)
    yield from _entries(proto.metadata_props)
    yield from _graph(proto.graph)
    for function in proto.functions:
        yield from (function.name, function.domain, function.overload, function.doc_string)
        yield from (*function.input, *function.output, *function.attribute)
        yield from (opset.domain for opset in function.opset_import)
        yield from _attributes(function.attribute_proto)
        yield from _values(function.value_info)
        yield from _entries(function.metadata_props)
        yield from _nodes(function.node)


def _graph(graph: onnx.GraphProto) -> Iterator[str]:
    yield from (graph.name, graph.doc_string)
    yield from _entries(graph.metadata_props)
    for values in (graph.input, graph.output, graph.value_info):
        yield from _values(values)
    for tensor in graph.initializer:
        yield from _tensor(tensor)
    for sparse in graph.sparse_initializer:
        yield from _tensor(sparse.values)
        yield from _tensor(sparse.indices)
    for annotation in graph.quantization_annotation:
        yield annotation.tensor_name
        yield from _entries(annotation.quant_parameter_tensor_names)
    yield from _nodes(graph.node)


def _nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[str]:
    for node in nodes:
        yield from (node.name, node.op_type, node.domain, node.overload, node.doc_string)
        yield from node.input
        yield from node.output
        if node.attribute:
            yield from _attributes(node.attribute)
        if node.metadata_props:
            yield from _entries(node.metadata_props)


def _attributes(attributes: Iterable[onnx.AttributeProto]) -> Iterator[str]:
    for attribute in attributes:
        yield from (attribute.name, attribute.ref_attr_name, attribute.doc_string)
        if attribute.HasField("t"):
            yield from _tensor(attribute.t)
        if attribute.HasField("g"):
            yield from _graph(attribute.g)
        for tensor in attribute.tensors:
            yield from _tensor(tensor)
        for graph in attribute.graphs:
            yield from _graph(graph)


def _tensor(tensor: onnx.TensorProto) -> Iterator[str]:
    yield from (tensor.name, tensor.doc_string)
    yield from _entries(tensor.external_data)
    yield from _entries(tensor.metadata_props)


def _values(values: Iterable[onnx.ValueInfoProto]) -> Iterator[str]:
    for value in values:
        yield from (value.name, value.doc_string, value.type.denotation)
        yield from _entries(value.metadata_props)
        for dimension in value.type.tensor_type.shape.dim:
            yield from (dimension.dim_param, dimension.denotation)


def _entries(entries: Iterable[onnx.StringStringEntryProto]) -> Iterator[str]:
    for entry in entries:
        yield from (entry.key, entry.value)
