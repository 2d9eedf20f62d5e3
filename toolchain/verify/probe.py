"""In which arithmetic a backend computes float32: what its options say, and what a small model shows.

The model multiplies numbers whose products differ, exactly, by how their factors are rounded: ``1 + 2^-12`` is a
float32 number but no TF32 one, ``1 + 2^-9`` is a TF32 number but no bfloat16 one, ``2^-20 (1 + 2^-9)`` is below the
normal numbers of float16, 98304 above its largest. Each output is one such product, added to zeros, so that nothing
else is rounded but the result.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from toolchain.session import Session, SessionOptions
from toolchain.verify.arithmetic import ARITHMETICS, BFLOAT16, FLOAT16, FLOAT32, TF32, Arithmetic, Mode

Array = NDArray[Any]
Runner = Callable[[Mapping[str, Array]], Mapping[str, Array]]
Opens = Callable[[bytes], Runner]

DEPTH = 64
CLOSE = 2.0**-22
"""Relative; the product of two float32 numbers is rounded by 2^-24, that of a truncating unit by 2^-23."""
MARKS = (
    1.0, 1 + 2.0**-12, 1 + 2.0**-11 + 2.0**-13, 1 + 2.0**-9, 1 + 2.0**-8 + 2.0**-10, 1 + 2.0**-7, -1.5 - 2.0**-12,
    2.0**-20 * (1 + 2.0**-9), 98304.0,
)  # fmt: skip
"""Factors; every pair is multiplied."""
HINTS = {"FP32": FLOAT32, "F32": FLOAT32, "ACCURACY": FLOAT32, "FP16": FLOAT16, "F16": FLOAT16, "BF16": BFLOAT16}
"""What OpenVINO's provider calls a precision."""
ON = ("1", "true", "True", "on")
ARM = ("aarch64", "arm64")


@dataclass(frozen=True)
class Probe:
    """What is known of a backend's arithmetic on float32.

    Attributes:
        declared: name of the arithmetic that its options say; empty where the provider chooses.
        found: name of the arithmetic that the small model showed; empty where it shows none that is known.
        arithmetic: name of the one by which nodes are judged: the declared one, else the one found.
        worst: largest relative error of a product of the small model.
    """

    declared: str
    found: str
    arithmetic: str
    worst: float

    @property
    def agrees(self) -> bool:
        """The backend computes at least as finely as its options say."""
        if not self.found:
            return False
        return not self.declared or _named(self.found).roundoff <= _named(self.declared).roundoff

    def describe(self) -> str:
        """In words; empty where declared and found are one."""
        said = f"its options say {self.declared}" if self.declared else "its options leave the arithmetic open"
        if not self.found:
            return f"{said}; a small model shows none that is known (products are off by {self.worst:.3g})"
        if self.found == self.declared:
            return ""
        return f"{said}; a small model shows {self.found}"


def declared(options: SessionOptions) -> Arithmetic | None:
    """The arithmetic that a provider's options say; ``None`` where the provider chooses by itself.

    Sources: the options of each execution provider as ONNX Runtime documents them. CUDA and TensorRT use TF32 unless
    told not to; TensorRT takes shorter ones on request; QNN computes float32 models in float16 unless told not to;
    OpenVINO and CoreML choose by device, unless a precision is given.
    """
    given = {name.lower(): value for name, value in (*options.provider_options, *options.session_options)}

    def on(name: str, default: str = "0") -> bool:
        return given.get(name, default) in ON

    tf32 = TF32 if on("use_tf32", "1") else FLOAT32
    if options.provider == "cuda":
        return tf32
    if options.provider == "tensorrt":
        return BFLOAT16 if on("trt_bf16_enable") else FLOAT16 if on("trt_fp16_enable") else tf32
    if options.provider == "qnn":
        bf16 = on("htp_bf16_enable")
        return BFLOAT16 if bf16 else FLOAT16 if on("enable_htp_fp16_precision", "1") else FLOAT32
    if options.provider == "openvino":
        hint = given.get("precision", given.get("inference_precision_hint", "")).upper().strip()
        return HINTS.get(hint)
    if options.provider == "coreml":
        return None
    fast = on("mlas.enable_gemm_fastmath_arm64_bfloat16") and platform.machine().lower() in ARM
    return BFLOAT16 if options.provider == "cpu" and fast else FLOAT32


@lru_cache(maxsize=32)
def probe(options: SessionOptions) -> Probe:
    """Ask a provider with its options.

    Raises:
        MissingError: the provider is not in this installation, or could not start.
    """
    options = replace(options, profile=None, optimized_model=None)
    return probed(declared(options), lambda content: Session(content, options).run)


def probed(said: Arithmetic | None, opens: Opens) -> Probe:
    """Ask any backend.

    Args:
        said: the arithmetic that it says, if it does.
        opens: takes a serialised model, gives a function from feeds to outputs.
    """
    content, x = _model()
    outputs = opens(content)({"x": x})
    products = np.stack([np.asarray(outputs[name], dtype=np.float64).reshape(len(MARKS), -1) for name in ("m", "c")])
    products = products[..., : len(MARKS)]
    exact = np.outer(MARKS, MARKS)
    found = next((a for a in ARITHMETICS if _consistent(products, a)), None)
    with np.errstate(invalid="ignore"):
        error = np.abs(products / exact - 1)
    worst = float(np.max(np.where(np.isnan(error), np.inf, error)))
    judged = said or found or FLOAT32
    return Probe("" if said is None else said.name, "" if found is None else found.name, judged.name, worst)


def arithmetic_of(found: Probe) -> Arithmetic:
    """By which nodes are judged."""
    return _named(found.arithmetic)


def _named(name: str) -> Arithmetic:
    return next(a for a in ARITHMETICS if a.name == name)


def _consistent(products: Array, arithmetic: Arithmetic) -> bool:
    """Whether products are those of an arithmetic, factors rounded to nearest or cut off, results stored or not."""
    modes: tuple[Mode, ...] = ("nearest", "truncated")
    for mode in modes:
        factors = arithmetic.rounded(np.array(MARKS), mode)
        expected = np.outer(factors, factors)
        for results in (expected, arithmetic.rounded(expected, mode)):
            same = (products == results) | (np.abs(products - results) <= CLOSE * np.abs(results))
            if bool(same.all()):
                return True
    return False


def _model() -> tuple[bytes, Array]:
    """A MatMul and a Conv, each with all products of two marks: serialised, and the input [marks, DEPTH]."""
    marks = np.array(MARKS, dtype=np.float32)
    x = np.zeros((len(marks), DEPTH), dtype=np.float32)
    x[np.arange(len(marks)), 5 * np.arange(len(marks)) % DEPTH] = marks
    columns = np.zeros((DEPTH, DEPTH), dtype=np.float32)
    columns[:, : len(marks)] = marks
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node("Reshape", ["x", "shape"], ["image"]),
        helper.make_node("Conv", ["image", "k"], ["c"]),
    ]
    constants: dict[str, Array] = {
        "w": columns,
        "k": np.ascontiguousarray(columns.T)[:, :, None, None],
        "shape": np.array([len(marks), DEPTH, 1, 1], dtype=np.int64),
    }
    graph = helper.make_graph(
        nodes,
        "arithmetic",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, list(x.shape))],
        [
            helper.make_tensor_value_info("m", onnx.TensorProto.FLOAT, [len(marks), DEPTH]),
            helper.make_tensor_value_info("c", onnx.TensorProto.FLOAT, [len(marks), DEPTH, 1, 1]),
        ],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString(), x
