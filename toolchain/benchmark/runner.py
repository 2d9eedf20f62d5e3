"""One configuration, ready to be called: a session, and inputs where the provider wants them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from toolchain.data import Array
from toolchain.errors import FallbackError, MissingError
from toolchain.session import Session, SessionOptions, onnxruntime

# Providers whose inputs and outputs are kept in the device's own memory while a call is timed.
ON_DEVICE = ("cuda", "tensorrt")


@dataclass(frozen=True)
class Configuration:
    """What is timed.

    Attributes:
        model: a file's name.
        provider: our name of the execution provider.
        threads: threads inside an operator; ``None`` leaves the choice to the runtime.
        batch: samples a call.
    """

    model: str
    provider: str
    threads: int | None
    batch: int

    @property
    def name(self) -> str:
        """For tables and messages."""
        threads = "" if self.threads is None else f", {self.threads} thread{'s' * (self.threads > 1)}"
        return f"{self.model}, {self.provider}{threads}, batch {self.batch}"


def session_options(
    configuration: Configuration, *, allow_fallback: bool, spinning: bool, tf32: bool
) -> SessionOptions:
    """How the runtime is set up for a configuration.

    Args:
        configuration: what is timed.
        allow_fallback: nodes that the provider cannot run may go to the CPU.
        spinning: waiting threads burn their core; without, they sleep.
        tf32: the CUDA provider may round float32 to TF32; it does by default, which is not float32.
    """
    on_device = configuration.provider in ON_DEVICE
    options = {"cuda": (("use_tf32", str(int(tf32))),)}
    return SessionOptions(
        provider=configuration.provider,
        threads=None if on_device else configuration.threads,
        allow_fallback=allow_fallback,
        provider_options=options.get(configuration.provider, ()),
        session_options=(("session.intra_op.allow_spinning", str(int(spinning))),),
    )


class Runner:
    """A session with its inputs in place.

    On a GPU inputs and outputs are bound to device memory (IO binding), so a call has no copies between host
    and device in it; ONNX Runtime synchronises the stream before a call returns. On the CPU it is
    ``InferenceSession.run`` with NumPy arrays, as an application calls it.

    Args:
        model: the model.
        options: from :func:`session_options`.
        feeds: inputs of one call.

    Raises:
        FallbackError: the provider cannot run every node, and may not fall back.
        MissingError: the provider is not installed or does not start.
    """

    def __init__(self, model: ir.Model | bytes, options: SessionOptions, feeds: Mapping[str, Array]) -> None:
        self.options = options
        self.feeds = dict(feeds)
        try:
            self.session = Session(model, options)
        except MissingError as error:
            if "cannot run every node" in str(error):
                raise FallbackError(str(error)) from error
            raise
        self._binding = self._bind() if options.provider in ON_DEVICE else None

    @property
    def io(self) -> str:
        """Where inputs and outputs lie."""
        return "NumPy arrays" if self._binding is None else "device memory (IO binding)"

    def _bind(self) -> Any:
        ort = onnxruntime()
        binding = self.session.native.io_binding()
        # The binding does not own what is bound: keep the device copies alive.
        self._device_inputs = {
            name: ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array), "cuda", 0)
            for name, array in self.feeds.items()
        }
        for name, value in self._device_inputs.items():
            binding.bind_ortvalue_input(name, value)
        for name in self.session.outputs:
            binding.bind_output(name, "cuda", 0)
        binding.synchronize_inputs()
        return binding

    def __call__(self) -> None:
        """One call, as it is timed."""
        if self._binding is None:
            self.session.native.run(None, self.feeds)
        else:
            self.session.native.run_with_iobinding(self._binding)

    def answer(self) -> dict[str, Array]:
        """The outputs of one call, in host memory."""
        if self._binding is None:
            return self.session.run(self.feeds)
        self.session.native.run_with_iobinding(self._binding)
        self._binding.synchronize_outputs()
        results = self._binding.copy_outputs_to_cpu()
        return dict(zip(self.session.outputs, map(np.asarray, results), strict=True))
