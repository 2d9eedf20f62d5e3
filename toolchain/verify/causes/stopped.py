"""Why a graph's shapes part from the model's, for a backend that cannot run it to the end."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from toolchain.errors import ToolchainError
from toolchain.nodes import Step
from toolchain.ops.bounds import EXACT
from toolchain.ops.operator import Array, Spec, widen
from toolchain.reference import Reference, evaluate
from toolchain.session import SessionOptions
from toolchain.verify.cause import Cause, diagnose
from toolchain.verify.causes.windows import inferred, variations, windows_of
from toolchain.verify.cutting import cut_out
from toolchain.verify.observe import OnnxRuntimeBackend
from toolchain.verify.regions import Region

UNDER = SessionOptions(optimization="off")


def cause_of_shape(
    reference: Reference, run: ir.Model, step: Step, specs: Mapping[str, Spec], shape: tuple[int, ...] | None
) -> Cause:
    """From values, where the backend runs the graph up to the node on zeros and ones; else from the shapes alone.

    Args:
        reference: the model as it is meant.
        run: the graph that the backend was given.
        step: the node whose output has another shape.
        specs: types and shapes of the model's tensors.
        shape: of the output in the other graph; ``None`` where it has none.
    """
    found = _from_values(reference, run, step, specs)
    if found is not None and found.kind != "unknown":
        return found
    return _from_shape(step, specs, shape) or found or Cause("unknown", "", 0.0)


def _from_values(reference: Reference, run: ir.Model, step: Step, specs: Mapping[str, Spec]) -> Cause | None:
    """Run the graph up to the node on random inputs; ``None`` where that is not possible."""
    name = step.outputs[0]
    if name is None:
        return None
    generator = np.random.default_rng(0)
    feeds = {
        str(value.name): generator.standard_normal(specs[str(value.name)].shape).astype(value.dtype.numpy())
        for value in reference.inputs
        if value.dtype is not None
    }
    spec = specs[name]
    try:
        piece = cut_out(run, feeds, name, int(spec.dtype), len(spec.shape))
        if piece is None:
            return None
        model = piece.model()
        seen = {**feeds, **OnnxRuntimeBackend(model, UNDER, specs=specs, shapes_of=model).observe(feeds).tensors}
        inputs = tuple(n for n in step.inputs if n is not None and n not in reference.constants)
        if not all(n in seen for n in inputs):
            return None
        values = [None if n is None else widen(seen[n]) if n in seen else reference.constants[n] for n in step.inputs]
        (expected, *_) = evaluate(step, values)
    except (ToolchainError, ValueError, KeyError):
        return None
    region, received = Region(name, (step,), inputs), seen[name]
    if received.shape == expected.shape:
        return None
    return diagnose(region, reference.constants, seen, received, expected, EXACT, 0.0, specs)


def _from_shape(step: Step, specs: Mapping[str, Spec], shape: tuple[int, ...] | None) -> Cause | None:
    """The first change of an attribute that gives the shape."""
    windows = windows_of(step.attributes)
    inputs = tuple(None if n is None else _like(specs[n]) for n in step.inputs)
    if windows is None or shape is None or inputs[0] is None:
        return None
    fitting = {
        kind: detail
        for kind, detail, attributes in reversed(list(variations(step, windows, inputs[0].shape)))
        if inferred(step, inputs, attributes) == shape
    }
    kinds = list(reversed(fitting))
    if not kinds:
        return None
    others = f"; the shape cannot tell it from {' or '.join(kinds[1:3])}" if kinds[1:] else ""
    return Cause(kinds[0], f"{step.name}: {fitting[kinds[0]]}{others}", 1.0)


def _like(spec: Spec) -> Array:
    """An array of a shape that takes no memory."""
    return np.broadcast_to(np.zeros(()), spec.shape)
