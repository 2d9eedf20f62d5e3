"""A drawn graph as an expression of Python: what a failure prints, and what ``cases.py`` keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Array = NDArray[Any]


def source(proto: onnx.ModelProto, feeds: Mapping[str, Array]) -> str:
    """The expression that makes a graph anew, by ``kept`` and ``tensor`` of ``small.py``."""
    constants = {c.name: numpy_helper.to_array(c) for c in proto.graph.initializer}
    lines = ["kept(", f"    {proto.opset_import[0].version},"]
    for arrays in (feeds, constants):
        lines += ["    {", *(f"        {_text(n)}: {_tensor(np.asarray(a))}," for n, a in arrays.items()), "    },"]
    lines += [f"    {_node(node)}," for node in proto.graph.node]
    return "\n".join((*lines, ")"))


def _tensor(array: Array) -> str:
    numbers = ", ".join(map(_number, array.ravel().tolist()))
    return f"tensor({_text(str(array.dtype))}, {list(array.shape)}, [{numbers}])"


def _node(node: onnx.NodeProto) -> str:
    inputs = ", ".join(map(_text, node.input))
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    stated = ", ".join(f"{_text(name)}: {_attribute(value)}" for name, value in attributes.items())
    return f"({_text(node.op_type)}, [{inputs}], {len(node.output)}, {{{stated}}})"


def _attribute(value: Any) -> str:
    if isinstance(value, bytes):
        return _text(value.decode())
    return f"[{', '.join(map(_number, value))}]" if isinstance(value, Sequence) else _number(value)


def _number(value: Any) -> str:
    return repr(value) if np.isfinite(value) else f'float("{value!r}")'


def _text(text: str) -> str:
    return f'"{text}"'
