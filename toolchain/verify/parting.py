"""Where two graphs part, told from shapes alone: for a graph that cannot even run."""

from __future__ import annotations

import onnx_ir as ir

from toolchain.reference import Reference
from toolchain.shapes import given, infer, walk
from toolchain.verify.causes.stopped import cause_of_shape
from toolchain.verify.regions import Region
from toolchain.verify.tally import Tally
from toolchain.verify.verdict import RegionVerdict


def parting(reference: Reference, run: ir.Model, problem: str) -> RegionVerdict | None:
    """Where the shapes of two graphs part, for a graph that the backend cannot run because they do.

    Args:
        reference: the model as it is meant.
        run: the model that the backend was given.
        problem: what the backend said.

    Returns:
        A defect that names the first node whose output has another shape; ``None`` if there is none.
    """
    specs, theirs = infer(reference.model), given(run)
    faults = {name: typed.problem for typed in walk(run, theirs) for name in typed.names if name and typed.problem}
    for step in reference.steps:
        for name in step.outputs:
            if name is None:
                continue
            fault = faults.get(name, "")
            if not fault and name in theirs and theirs[name].shape != specs[name].shape:
                fault = f"{name!r} has shape {list(theirs[name].shape)}; expected {list(specs[name].shape)}"
            if not fault:
                continue
            tally = Tally(Region(name, (step,), ()))
            tally.fail(f"{fault}, so that the backend stopped: {problem}")
            shape = theirs[name].shape if name in theirs else None
            tally.explain(lambda step=step, shape=shape: cause_of_shape(reference, run, step, specs, shape))  # type: ignore[misc]
            return tally.verdict()
    return None
