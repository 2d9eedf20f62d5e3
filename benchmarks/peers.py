"""Other runtimes on some threads at batch 1, ready to be called with the least that their Python interface allows."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Peer:
    """A runtime that holds a network and its input.

    Attributes:
        call: computes once.
        answer: computes once and gives the first output.
    """

    call: Callable[[], object]
    answer: Callable[[], Array]


def onnxruntime(path: Path, feeds: Mapping[str, Array], threads: int = 1) -> Peer:
    """ONNX Runtime, CPU provider, bound to memory of its own so that a call converts nothing."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    for name, array in feeds.items():
        binding.bind_cpu_input(name, np.ascontiguousarray(array))
    for output in session.get_outputs():
        binding.bind_output(output.name)

    def answer() -> Array:
        session.run_with_iobinding(binding)
        return np.asarray(binding.copy_outputs_to_cpu()[0])

    return Peer(lambda: session.run_with_iobinding(binding), answer)


def openvino(path: Path, feeds: Mapping[str, Array], threads: int = 1) -> Peer:
    """OpenVINO's CPU plug-in in float32: its default may be bfloat16."""
    from openvino import Core

    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    request = Core().compile_model(str(path), "CPU", settings).create_infer_request()
    (array,) = feeds.values()
    from openvino import Tensor

    request.set_input_tensor(Tensor(np.ascontiguousarray(array)))

    def answer() -> Array:
        request.infer()
        return np.array(request.get_output_tensor(0).data)

    return Peer(request.infer, answer)


def ncnn(path: Path, feeds: Mapping[str, Array], threads: int = 1) -> Peer:
    """The library ncnn in float32, with its Winograd kernels; pnnx converts the file."""
    import ncnn as library

    (array,) = feeds.values()
    shape = ",".join(map(str, array.shape))
    tool = Path(sys.executable).with_name("pnnx")
    subprocess.run(
        [tool, path.name, f"inputshape=[{shape}]", "fp16=0"], cwd=path.parent, check=True, capture_output=True
    )
    net = library.Net()
    net.opt.num_threads = threads
    for name in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
        setattr(net.opt, name, False)
    stem = path.stem.replace("-", "_")
    net.load_param(str(path.with_name(f"{stem}.ncnn.param")))
    net.load_model(str(path.with_name(f"{stem}.ncnn.bin")))
    given = library.Mat(np.ascontiguousarray(array[0]))

    def call() -> object:
        extractor = net.create_extractor()
        extractor.input("in0", given)
        return extractor.extract("out0")[1]

    return Peer(call, lambda: np.array(call()).reshape(1, -1))


OPTIONAL: dict[str, tuple[str, Callable[[Path, Mapping[str, Array], int], Peer]]] = {
    "openvino": ("openvino", openvino),
    "ncnn": ("pnnx", ncnn),
}
"""By name: a package that it needs, and how it starts."""
QUANTIZED = ("openvino",)
"""Those that read int8 models (QDQ)."""
