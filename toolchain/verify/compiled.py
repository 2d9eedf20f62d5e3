"""Look at the tensors of generated C, compiled for this machine or for a target that an emulator stands for."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from toolchain.compile.device import answers, executable
from toolchain.compile.generate import harness, sources
from toolchain.compile.host import HostRun, shared_library
from toolchain.compile.judge import in_float
from toolchain.compile.kernels.winograd import tiles_of
from toolchain.compile.memory import measure
from toolchain.compile.targets import Target, target_of
from toolchain.compile.translate import Generated, translate
from toolchain.ops.operator import Spec
from toolchain.verify.kernels import EXACT, NEAR, Kernel
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
        target: runs it, in its emulator; this machine by default.

    Attributes:
        tiles: outputs of a tile along an axis, by the name of a Conv node that is so computed.

    Raises:
        UnsupportedError: a node has no C kernel, or the network does not fit the target.
        MissingError: no C compiler, or no emulator.
    """

    def __init__(
        self, model: ir.Model, specs: Mapping[str, Spec], *, winograd: bool = False, target: Target | None = None
    ) -> None:
        chosen = target or target_of("host")
        made = translate(
            model,
            "network",
            shapes=_bound(model, specs),
            wide=chosen.memory is None,
            winograd=winograd,
            kernels=chosen.kernels,
        )
        self.model = model
        self.specs = specs
        self.program = made.program
        self.nodes = tuple(step.call.function for step in made.program.steps)
        self.widened: dict[str, Any] = {}
        self.tiles = tiles_of(made.program)
        self._run: Run = _on_host(made) if chosen.emulator is None else _in_emulator(made, chosen)
        named = {step.call.output.name for step in made.program.steps} & set(specs)
        self.watched = tuple(Watched(name) for name in sorted(named))
        _, near = in_float(made.program)
        self.kernels = {name: Kernel(NEAR if name in near else EXACT) for name in named}

    def observe(self, feeds: Mapping[str, Array]) -> Observation:
        """Run sample by sample and fetch what every layer made."""
        count = len(next(iter(feeds.values())))
        seen = self._run([{name: array[i : i + 1] for name, array in feeds.items()} for i in range(count)])
        same = all(watched for _, watched in seen)
        names = {watched.model for watched in self.watched} | {tensor.name for tensor in self.program.outputs}
        return Observation({name: _joined([run[name] for run, _ in seen]) for name in sorted(names)}, same)


def _joined(samples: Sequence[Array]) -> Array:
    """Samples along their first axis; a single one may have no axis."""
    return samples[0] if len(samples) == 1 else np.concatenate(samples)


Run = Callable[[Sequence[dict[str, Array]]], list[tuple[dict[str, Array], bool]]]
"""Samples of batch 1 to each one's tensors, and whether the network computes the same while nobody looks."""


def _on_host(made: Generated) -> Run:
    """Two libraries: one whose layers can be looked at, one as it is delivered."""
    runs = []
    with tempfile.TemporaryDirectory(prefix="onnx-edge-") as work:
        folder = _written(made, Path(work))
        for name in ("observed", "plain"):
            built = Path(work) / name
            built.mkdir()
            watched = name == "observed"
            library = shared_library(folder, made.program, sources(made.files), built, flags=FLAGS, observed=watched)
            runs.append(HostRun(library, made.program, made.plan.size))
    observed, plain = runs

    def run(samples: Sequence[dict[str, Array]]) -> list[tuple[dict[str, Array], bool]]:
        found = []
        for sample in samples:
            seen, outputs = observed(sample), plain.outputs(sample)
            same = all(seen[name].tobytes() == array.tobytes() for name, array in outputs.items() if name in seen)
            found.append(({**seen, **outputs}, same))
        return found

    return run


def _in_emulator(made: Generated, target: Target) -> Run:
    """One program; what is looked at is the very run that gives the answers."""
    work = tempfile.TemporaryDirectory(prefix="onnx-edge-")
    built = Path(work.name) / "built"
    measured = Path(work.name) / "measured"
    for path in (built, measured):
        path.mkdir()
    folder = _written(made, Path(work.name))
    measure(made.program, made.plan, folder, sources(made.files), measured, target)[0].check(target)
    text = harness(made.program, made.plan)
    binary = executable(folder, made.program, sources(made.files), text, built, target)

    def run(samples: Sequence[dict[str, Array]]) -> list[tuple[dict[str, Array], bool]]:
        return [(seen, True) for seen in answers(made.program, binary, samples, target, Path(work.name) / "built")]

    return run


def _written(made: Generated, work: Path) -> Path:
    """The generated files, in a folder of their own."""
    folder = work / "c"
    folder.mkdir()
    for name, content in made.files.items():
        (folder / name).write_bytes(content)
    return folder
