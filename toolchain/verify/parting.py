"""Where two graphs part, told from shapes alone: for a graph that cannot even run."""

from __future__ import annotations

import onnx_ir as ir

from toolchain.reference import Reference
from toolchain.shapes import given, infer, walk
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
    for _ in walk(run, theirs):
        pass
    for step in reference.steps:
        for name in step.outputs:
            if name is None or name not in theirs or theirs[name].shape == specs[name].shape:
                continue
            tally = Tally(Region(name, (step,), ()))
            tally.fail(
                f"{name!r} has shape {list(theirs[name].shape)}; expected {list(specs[name].shape)}, "
                f"so that the backend stopped: {problem}"
            )
            return tally.verdict()
    return None
