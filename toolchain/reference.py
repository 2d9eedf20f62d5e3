"""The reference interpreter: walks a graph and asks ``ops/`` what each node means.

NumPy only, float64 inside. It is what other implementations are judged by, so it shares no code with any of
them. Tensors that the model declares float16, bfloat16 or float are carried as float64 between nodes; nothing is
rounded on the way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from toolchain.errors import ShapeError, ToolchainError, UnsupportedError
from toolchain.nodes import Step, steps
from toolchain.ops.operator import widen

Array = NDArray[Any]


class Reference:
    """A model ready to be interpreted.

    Args:
        model: its main graph is interpreted; local functions must have been inlined (``load`` does).

    Raises:
        UnsupportedError: a node has no operator here.
    """

    def __init__(self, model: ir.Model) -> None:
        self.model = model
        self.steps = steps(model)
        self.constants: dict[str, Array] = {
            name: widen(value.const_value.numpy())
            for name, value in model.graph.initializers.items()
            if value.const_value is not None
        }
        self.inputs = tuple(value for value in model.graph.inputs if value.name not in self.constants)
        self.outputs = tuple(value.name or "" for value in model.graph.outputs)

    def run(self, feeds: Mapping[str, Array], keep: Collection[str] = ()) -> dict[str, Array]:
        """Interpret the graph.

        Args:
            feeds: an array for every graph input, by name.
            keep: names of further tensors to return.

        Returns:
            The graph's outputs and the kept tensors by name; floating-point ones as float64.

        Raises:
            ShapeError: the feeds do not fit the graph's inputs.
            UnsupportedError: a node cannot be evaluated on these tensors.
        """
        values = dict(self.constants)
        values.update({name: widen(np.asarray(array)) for name, array in self._checked(feeds).items()})
        wanted = {*self.outputs, *keep}
        pending = Counter(name for step in self.steps for name in step.inputs if name)
        for step in self.steps:
            results = evaluate(step, [None if name is None else values[name] for name in step.inputs])
            values.update({n: array for n, array in zip(step.outputs, results, strict=False) if n is not None})
            for name in step.inputs:
                if name:
                    pending[name] -= 1
                    if not pending[name] and name not in wanted:
                        values.pop(name, None)
        return {name: values[name] for name in wanted if name in values}

    def _checked(self, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        """Refuse feeds that do not fit."""
        names = [value.name or "" for value in self.inputs]
        if set(feeds) - set(self.constants) != set(names):
            raise ShapeError(f"the graph's inputs are {names}; received {sorted(feeds)}")
        for value in self.inputs:
            check_feed(value, feeds[value.name or ""])
        return feeds


def check_feed(value: ir.Value, array: Array) -> None:
    """Refuse an array that does not fit a graph input.

    Raises:
        ShapeError: rank, a fixed dimension or the element type differs.
    """
    expected = None if value.shape is None else [d if isinstance(d, int) else str(d) for d in value.shape]
    if expected is not None and (
        len(expected) != array.ndim
        or any(isinstance(want, int) and want != got for want, got in zip(expected, array.shape, strict=True))
    ):
        raise ShapeError(
            f"input {value.name!r}: expected shape {expected}, received {list(array.shape)}; "
            "reshape the data, or export the model for this shape"
        )
    if value.dtype is not None and array.dtype != value.dtype.numpy():
        raise ShapeError(
            f"input {value.name!r}: expected {value.dtype.numpy()}, received {array.dtype}; convert the data"
        )


def evaluate(step: Step, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
    """What a node means on given tensors (floating-point ones as float64).

    Raises:
        UnsupportedError: shapes or values that the operator has no meaning for; names the node.
    """
    try:
        return step.operator.evaluate(step.attributes, inputs)
    except ToolchainError:
        raise
    except (ValueError, TypeError, IndexError, ZeroDivisionError, OverflowError, MemoryError) as error:
        shapes = [None if a is None else list(a.shape) for a in inputs]
        raise UnsupportedError(
            f"{step.facts.where()}: cannot be evaluated on inputs of shapes {shapes}: {error}; "
            "repair the model or the data"
        ) from error
