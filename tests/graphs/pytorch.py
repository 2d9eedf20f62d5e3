"""What PyTorch answers for a node in float64, where it has the operator and its attributes; else ``None``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from toolchain.nodes import Step

Array = NDArray[Any]
F = torch.nn.functional
Tensors = Sequence[Any]

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "Relu": torch.relu, "Sigmoid": torch.sigmoid, "Tanh": torch.tanh,
    "Softplus": lambda x: torch.logaddexp(x, torch.zeros_like(x)),
    "Exp": torch.exp,
    "Sqrt": torch.sqrt, "Abs": torch.abs, "Neg": torch.neg, "Floor": torch.floor, "Ceil": torch.ceil, "Erf": torch.erf,
    "Sin": torch.sin, "Cos": torch.cos, "Atan": torch.atan, "Round": torch.round, "Add": torch.add, "Sub": torch.sub,
    "Mul": torch.mul, "Div": torch.div, "MatMul": torch.matmul, "Log": torch.log,
}  # fmt: skip


def answer(step: Step, inputs: Sequence[Array | None]) -> Array | None:
    """The first output."""
    attributes = step.facts.attributes
    tensors = [None if a is None else torch.from_numpy(np.array(a)) for a in inputs]
    name = step.operator.name
    if name in FUNCTIONS:
        return np.asarray(FUNCTIONS[name](*tensors).numpy())
    if name in ("Softmax", "LogSoftmax") and step.facts.version >= 13:
        function = torch.softmax if name == "Softmax" else torch.log_softmax
        return np.asarray(function(tensors[0], int(attributes.get("axis", -1))).numpy())
    if name == "Conv":
        return _conv(attributes, tensors)
    return _pool(name, attributes, tensors[0]) if name in ("MaxPool", "AveragePool") else None


def _window(attributes: Any, rank: int) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]] | None:
    """Strides, pads and dilations, where PyTorch can say them."""
    pads = tuple(attributes.get("pads", (0,) * 2 * rank))
    if attributes.get("auto_pad", "NOTSET") != "NOTSET" or pads[:rank] != pads[rank:] or not 1 <= rank <= 3:
        return None
    return tuple(attributes.get("strides", (1,) * rank)), pads[:rank], tuple(attributes.get("dilations", (1,) * rank))


def _conv(attributes: Any, tensors: Tensors) -> Array | None:
    rank = tensors[0].ndim - 2
    window = _window(attributes, rank)
    if window is None:
        return None
    convolve = (F.conv1d, F.conv2d, F.conv3d)[rank - 1]
    bias = tensors[2] if len(tensors) > 2 else None
    return np.asarray(convolve(tensors[0], tensors[1], bias, *window, int(attributes.get("group", 1))).numpy())


def _pool(name: str, attributes: Any, x: Any) -> Array | None:
    rank = x.ndim - 2
    window = _window(attributes, rank)
    kernel = tuple(attributes["kernel_shape"])
    if window is None or not x.is_floating_point() or any(p > k // 2 for p, k in zip(window[1], kernel, strict=True)):
        return None
    strides, pads, dilations = window
    ceil = bool(attributes.get("ceil_mode", 0))
    if name == "MaxPool":
        pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[rank - 1]
        return np.asarray(pool(x, kernel, strides, pads, dilations, ceil).numpy())
    if max(dilations) > 1:
        return None
    pool = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[rank - 1]
    return np.asarray(pool(x, kernel, strides, pads, ceil, bool(attributes.get("count_include_pad", 0))).numpy())
