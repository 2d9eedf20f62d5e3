"""Initializers as arrays, decoded once."""

from __future__ import annotations

import onnx_ir as ir


def unpacked(model: ir.Model) -> ir.Model:
    """Decode the initializers of the main graph in place, and let go of their serialised form.

    A tensor that stands for its protobuf copies its bytes each time it is asked for its value: of VGG16's, half a
    gigabyte.

    Returns:
        The same model; no value changes.
    """
    for value in model.graph.initializers.values():
        tensor = value.const_value
        if isinstance(tensor, ir.TensorProtoTensor) and tensor.dtype != ir.DataType.STRING:
            value.const_value = ir.Tensor(
                tensor.numpy(),
                tensor.dtype,
                shape=ir.Shape(tensor.shape),
                name=tensor.name,
                doc_string=tensor.doc_string,
                metadata_props=dict(tensor.metadata_props),
            )
    return model
