"""ONNX Runtime sessions: the one module that imports onnxruntime to run a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from toolchain.errors import FileError, MissingError, UnknownNameError, UsageError

Array = NDArray[Any]

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
    "xnnpack": "XnnpackExecutionProvider",
    "qnn": "QNNExecutionProvider",
}
OPTIMIZATION = ("off", "basic", "extended", "all")
LARGE_BYTES = 1 << 20
"""From here on an initializer is handed over beside the graph, not copied into its serialised form."""


@dataclass(frozen=True)
class SessionOptions:
    """How a session runs.

    Attributes:
        provider: a key of :data:`PROVIDERS`.
        threads: threads inside an operator; ``None`` leaves the choice to the runtime.
        optimization: a value of :data:`OPTIMIZATION`.
        exact_int8: on x86 processors without VNNI, use kernels whose 16-bit sums cannot saturate. The runtime's
            default there multiplies faster and wrongly where two products of uint8 by int8 exceed 32,767.
        allow_fallback: nodes that the provider cannot run may go to the CPU.
        profile: folder and prefix for the runtime's own profile, or ``None``.
        optimized_model: where to save the graph that runs, or ``None``; initializers of :data:`LARGE_BYTES` go to a
            file beside it, ``.weights`` added to its name.
        provider_options: passed on as they are.
        session_options: configuration entries such as ``session.intra_op.allow_spinning``, passed on.
    """

    provider: str = "cpu"
    threads: int | None = 1
    optimization: str = "all"
    exact_int8: bool = False
    allow_fallback: bool = False
    profile: Path | None = None
    optimized_model: Path | None = None
    provider_options: tuple[tuple[str, str], ...] = ()
    session_options: tuple[tuple[str, str], ...] = ()


def onnxruntime() -> Any:
    """The onnxruntime module.

    Raises:
        MissingError: it is not installed, or lacks a library.
    """
    if find_spec("onnxruntime") is None:
        raise MissingError("onnxruntime is not installed; install onnx-edge[cpu] or onnx-edge[gpu]")
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise MissingError(f"onnxruntime cannot start: {one_line(error)}; install onnx-edge[cpu] again") from error
    return ort


def available() -> tuple[str, ...]:
    """The providers of this installation, by our names."""
    present = set(onnxruntime().get_available_providers())
    return tuple(name for name, full in PROVIDERS.items() if full in present)


def serialized(model: ir.Model) -> bytes:
    """The model as one serialised ModelProto.

    Raises:
        FileError: it is larger than protobuf's 2 GB.
    """
    try:
        return bytes(ir.to_proto(model).SerializeToString(deterministic=True))
    except ValueError as error:
        raise FileError(f"the model is larger than the 2 GB that one ONNX file holds: {error}") from error


@dataclass(frozen=True)
class Detached:
    """A model in two parts, so that large weights need not be copied to be handed over.

    Attributes:
        content: serialised ModelProto in which large initializers stand as external data of a file that is never read.
        weights: these initializers by name.
    """

    content: bytes
    weights: Mapping[str, Array]


def detached(model: ir.Model) -> Detached:
    """Take the large initializers of the main graph out of a model; it stays as it is."""
    copy = model.clone()
    weights: dict[str, Array] = {}
    for name, value in copy.graph.initializers.items():
        tensor = value.const_value
        if tensor is None or tensor.nbytes < LARGE_BYTES:
            continue
        array = np.ascontiguousarray(tensor.numpy())
        if array.dtype.kind in "fiu":  # the runtime takes no others from NumPy
            weights[name] = array
            value.const_value = ir.ExternalTensor(
                "weights", 0, tensor.nbytes, tensor.dtype, shape=ir.Shape(array.shape), name=name
            )
    return Detached(serialized(copy), weights)


class Session:
    """A model in ONNX Runtime.

    Args:
        model: the model, its serialised form, its parts, or its file (trusted: one that this toolchain wrote).
        options: how to run it.

    Raises:
        UnknownNameError: no such provider.
        MissingError: the provider is not in this installation, or could not start.
        FileError: the runtime refuses the model.
    """

    def __init__(self, model: ir.Model | bytes | Detached | Path, options: SessionOptions | None = None) -> None:
        self.options = options or SessionOptions()
        ort = onnxruntime()
        _check_provider(self.options.provider)
        native = _native_options(ort, self.options)
        content = _content(model)
        if isinstance(model, Detached):
            # The runtime reads these arrays where they are, so they must live as long as the session.
            self._weights = [ort.OrtValue.ortvalue_from_numpy(array) for array in model.weights.values()]
            native.add_external_initializers(list(model.weights), self._weights)
        full = PROVIDERS[self.options.provider]
        providers: list[Any] = [(full, dict(self.options.provider_options))]
        if full != PROVIDERS["cpu"] and self.options.allow_fallback:
            providers.append(PROVIDERS["cpu"])
        try:
            self._session = ort.InferenceSession(content, native, providers=providers)
        except Exception as error:
            raise _refusal(error, self.options.provider) from error
        if full not in self._session.get_providers():
            raise MissingError(
                f"provider {self.options.provider!r} did not start "
                f"(running: {', '.join(self._session.get_providers())}); "
                "check its driver and libraries, or choose --provider cpu"
            )
        self.inputs: tuple[str, ...] = tuple(i.name for i in self._session.get_inputs())
        self.outputs: tuple[str, ...] = tuple(o.name for o in self._session.get_outputs())

    @property
    def native(self) -> Any:
        """The onnxruntime.InferenceSession."""
        return self._session

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None) -> dict[str, Array]:
        """Run the model.

        Args:
            feeds: an array for every input.
            outputs: names to fetch; all by default.

        Raises:
            UsageError: the runtime refuses the feeds.
        """
        names = list(outputs or self.outputs)
        try:
            results = self._session.run(names, dict(feeds))
        except Exception as error:
            raise UsageError(f"onnxruntime cannot run the model on these inputs: {one_line(error)}") from error
        return {name: np.asarray(array) for name, array in zip(names, results, strict=True)}


def _content(model: ir.Model | bytes | Detached | Path) -> bytes | str:
    """What the runtime is given: serialised, or the name of a file."""
    if isinstance(model, Path):
        return str(model)
    if isinstance(model, Detached):
        return model.content
    return model if isinstance(model, bytes) else serialized(model)


def one_line(error: BaseException, limit: int = 300) -> str:
    """A message without line breaks, cut at a length."""
    text = " ".join(str(error).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _check_provider(name: str) -> None:
    if name not in PROVIDERS:
        raise UnknownNameError("provider", name, PROVIDERS)
    if name not in available():
        extra = "gpu" if name in ("cuda", "tensorrt") else "cpu"
        raise MissingError(
            f"provider {name!r} is not in this installation of onnxruntime (has: {', '.join(available())}); "
            f"install onnx-edge[{extra}] or another build of onnxruntime"
        )


def _native_options(ort: Any, options: SessionOptions) -> Any:
    native = ort.SessionOptions()
    native.log_severity_level = 4  # errors are raised, and become one line
    if options.threads is not None:
        native.intra_op_num_threads = options.threads
        native.inter_op_num_threads = 1
    levels = ort.GraphOptimizationLevel
    native.graph_optimization_level = {
        "off": levels.ORT_DISABLE_ALL,
        "basic": levels.ORT_ENABLE_BASIC,
        "extended": levels.ORT_ENABLE_EXTENDED,
        "all": levels.ORT_ENABLE_ALL,
    }[options.optimization]
    if options.exact_int8:
        native.add_session_config_entry("session.x64quantprecision", "1")
    if options.profile is not None:
        native.enable_profiling = True
        native.profile_file_prefix = str(options.profile)
    if options.optimized_model is not None:
        native.optimized_model_filepath = str(options.optimized_model)
        weights = f"{options.optimized_model.name}.weights"
        native.add_session_config_entry("session.optimized_model_external_initializers_file_name", weights)
        native.add_session_config_entry(
            "session.optimized_model_external_initializers_min_size_in_bytes", str(LARGE_BYTES)
        )
    if not options.allow_fallback and options.provider != "cpu":
        native.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    for key, value in options.session_options:
        native.add_session_config_entry(key, value)
    return native


def _refusal(error: Exception, provider: str) -> MissingError | FileError:
    text = one_line(error)
    if "fallback" in text and provider != "cpu":
        return MissingError(
            f"provider {provider!r} cannot run every node: {text}; give --allow-fallback to run them on the CPU"
        )
    return FileError(f"onnxruntime refuses the model: {text}; check it with `onnx-edge inspect`")
