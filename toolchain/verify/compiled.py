"""Look at the tensors of generated C: the backend ``c``, compiled for this machine."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from toolchain.compile.generate import sources
from toolchain.compile.host import HostRun, shared_library
from toolchain.compile.kernels.winograd import tiles_of
from toolchain.compile.translate import translate
from toolchain.ops.operator import Spec
from toolchain.verify.kernels import EXACT, Kernel
from toolchain.verify.observe import Observation

Array = NDArray[Any]
FLAGS = ("-O3", "-march=native")


@dataclass(frozen=True)
class Watched:
    """A tensor that the C code makes, under the model's own name."""

    model: str


def _bound(model: ir.Model, specs: Mapping[str, Spec]) -> dict[str, tuple[int, ...]]:
    """One sample's shape for each input whose dimensions the data has fixed."""
    free = [value for value in model.graph.inputs if value.name in specs and value.name not in model.graph.initializers]
    return {value.name or "": (1, *specs[value.name or ""].shape[1:]) for value in free}


class CompiledBackend:
    """A model as C, compiled and observed: every layer's output.

    Args:
        model: the model; one sample is computed at a time.
        specs: types and shapes that are meant.
        winograd: compute convolutions of 3 x 3 by Winograd's algorithm, where that is faster.

    Attributes:
        tiles: outputs of a tile along an axis, by the name of a Conv node that is so computed.

    Raises:
        UnsupportedError: a node has no C kernel.
        MissingError: no C compiler.
    """

    def __init__(self, model: ir.Model, specs: Mapping[str, Spec], *, winograd: bool = False) -> None:
        made = translate(model, "network", shapes=_bound(model, specs), wide=True, winograd=winograd)
        self.model = model
        self.specs = specs
        self.program = made.program
        self.nodes = tuple(step.call.function for step in made.program.steps)
        self.widened: dict[str, Any] = {}
        self.tiles = tiles_of(made.program)
        with tempfile.TemporaryDirectory(prefix="onnx-edge-") as work:
            folder, observed, plain = (Path(work) / name for name in ("c", "observed", "plain"))
            for path in (folder, observed, plain):
                path.mkdir()
            for name, content in made.files.items():
                (folder / name).write_bytes(content)
            files = sources(made.files)
            self._observed = HostRun(
                shared_library(folder, made.program, files, observed, flags=FLAGS), made.program, made.plan.size
            )
            self._plain = HostRun(
                shared_library(folder, made.program, files, plain, flags=FLAGS, observed=False),
                made.program,
                made.plan.size,
            )
        named = {step.call.output.name for step in made.program.steps} & set(specs)
        self.watched = tuple(Watched(name) for name in sorted(named))
        self.kernels = {name: Kernel(EXACT) for name in named}

    def observe(self, feeds: Mapping[str, Array]) -> Observation:
        """Run sample by sample and fetch what every layer made."""
        count = len(next(iter(feeds.values())))
        runs, same = [], True
        for index in range(count):
            sample = {name: array[index : index + 1] for name, array in feeds.items()}
            seen = self._observed(sample)
            outputs = self._plain.outputs(sample)
            same &= all(seen[name].tobytes() == array.tobytes() for name, array in outputs.items() if name in seen)
            runs.append({**seen, **outputs})
        names = {watched.model for watched in self.watched} | {tensor.name for tensor in self.program.outputs}
        return Observation({name: np.concatenate([run[name] for run in runs]) for name in sorted(names)}, same)
