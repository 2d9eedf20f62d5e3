"""Judge a drawn graph: our own shapes, ONNX Runtime through ``verify``, PyTorch node by node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from tests.graphs import pytorch
from tests.graphs.sketch import Graph
from toolchain.data import Samples
from toolchain.load import read
from toolchain.nodes import steps
from toolchain.ops.operator import widen
from toolchain.reference import Reference
from toolchain.shapes import infer
from toolchain.verify import verify
from toolchain.verify.tally import distance

Array = NDArray[Any]

LARGEST = 1e18
"""Squares of more leave the range of float32, where a bound says nothing."""
FLOAT64_ROUNDOFF = 2.0**-53
LEVELS = ("off", "all")
WIDENED = (np.float32, np.float16)
"""Types that the interpreter carries as float64."""


def loaded(graph: Graph) -> ir.Model:
    """Through the door by which models come in."""
    return read(graph.proto.SerializeToString(), "drawn")


def interpret(model: ir.Model, graph: Graph) -> dict[str, Array]:
    """Every tensor, by the interpreter; each of the shape and type that was inferred."""
    names = [v.name for node in model.graph for v in node.outputs if v.name]
    with np.errstate(all="ignore"):
        tensors = Reference(model).run(graph.feeds, keep=names)
    specs = infer(model)
    for name in names:
        inferred, real = specs[name], tensors[name]
        assert inferred.shape == real.shape, f"{name}: inferred {inferred.shape}, interpreted {real.shape}"
        kind = np.dtype(inferred.dtype.numpy())
        assert real.dtype == (np.float64 if kind in WIDENED else kind), f"{name}: {real.dtype} for {kind}"
    return tensors


def overflows(tensors: Mapping[str, Array]) -> bool:
    """Whether squares of some finite values leave the range of float32."""
    with np.errstate(invalid="ignore"):
        return any(
            bool((np.isfinite(a) & (np.abs(a) > LARGEST)).any()) for a in tensors.values() if a.dtype.kind == "f"
        )


def judge(model: ir.Model, graph: Graph) -> None:
    """ONNX Runtime, as it is and optimised, within the derived limits."""
    data = Samples("drawn", graph.feeds, None)
    for level in LEVELS:
        with np.errstate(all="ignore"):
            found = verify(model, data=data, optimization=level, end_to_end=False, exact_int8=True)
        assert not found.defects, f"optimization {level}: {[r.describe() for r in found.defects]}"
        assert found.undisturbed, f"optimization {level}: observing changed the outputs"
        assert not found.unobserved, f"optimization {level}: {found.unobserved} not observed"


def compare(model: ir.Model, tensors: Mapping[str, Array], graph: Graph) -> None:
    """PyTorch in float64, node by node on the interpreter's own tensors.

    Both stay within the sound limit of a float64 computation around the exact value, so within twice it.
    """
    known = {n: widen(v.const_value.numpy()) for n, v in model.graph.initializers.items() if v.const_value is not None}
    known |= {n: widen(a) for n, a in graph.feeds.items()} | dict(tensors)
    for step in steps(model):
        inputs = [None if name is None else known[name] for name in step.inputs]
        with np.errstate(all="ignore"):
            theirs = pytorch.answer(step, inputs)
            if theirs is None:
                continue
            ours = [known[name] for name in step.outputs if name is not None]
            limit = 2.0 * step.operator.bound(step.attributes, inputs, ours, FLOAT64_ROUNDOFF)[0].sound
        assert ours[0].shape == theirs.shape, f"{step.name}: {ours[0].shape}, PyTorch {theirs.shape}"
        error = distance(theirs, ours[0])
        assert (error <= np.nan_to_num(limit, nan=np.inf)).all(), f"{step.name}: PyTorch differs by {error.max()}"
