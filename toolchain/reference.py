"""The reference interpreter: walks a graph and asks ``ops/`` what each node means.

NumPy only, float64 inside. It is what other implementations are judged by, so it shares no code with any of
them. Tensors that the model declares float16, bfloat16 or float are carried as float64 between nodes; nothing is
rounded on the way.
"""

from __future__ import annotations

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
        self._expected = {value.name or "": _stated(value) for value in self.inputs}
        self._last = _last_readers(self.steps)

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
        self._check(feeds)
        values = dict(self.constants)
        for name, array in feeds.items():
            values[name] = widen(np.asarray(array))
        wanted = {*self.outputs, *keep}
        for step, read in zip(self.steps, self._last, strict=True):
            results = evaluate(step, [None if name is None else values[name] for name in step.inputs])
            values.update({n: array for n, array in zip(step.outputs, results, strict=False) if n is not None})
            for name in read:
                if name not in wanted:
                    values.pop(name, None)
        return {name: values[name] for name in (*self.outputs, *keep) if name in values}

    def _check(self, feeds: Mapping[str, Array]) -> None:
        """Refuse feeds that do not fit."""
        if feeds.keys() != self._expected.keys() and feeds.keys() - self.constants.keys() != self._expected.keys():
            raise ShapeError(f"the graph's inputs are {list(self._expected)}; received {sorted(feeds)}")
        for name, (shape, dtype) in self._expected.items():
            _check_array(name, shape, dtype, feeds[name])


def _last_readers(steps: Sequence[Step]) -> tuple[tuple[str, ...], ...]:
    """For each step the tensors that no later one reads."""
    seen: set[str] = set()
    last: list[tuple[str, ...]] = []
    for step in reversed(steps):
        last.append(tuple({name for name in step.inputs if name and name not in seen}))
        seen.update(last[-1])
    return tuple(reversed(last))


Stated = tuple[list[int | str] | None, np.dtype[Any] | None]


def _stated(value: ir.Value) -> Stated:
    """Shape (free dimensions by name) and element type of a graph input, as far as the model states them."""
    shape = None if value.shape is None else [d if isinstance(d, int) else str(d) for d in value.shape]
    return shape, None if value.dtype is None else value.dtype.numpy()


def check_feed(value: ir.Value, array: Array) -> None:
    """Refuse an array that does not fit a graph input.

    Raises:
        ShapeError: rank, a fixed dimension or the element type differs.
    """
    _check_array(str(value.name), *_stated(value), array)


def _check_array(name: str, shape: list[int | str] | None, dtype: np.dtype[Any] | None, array: Array) -> None:
    if shape is not None and (
        len(shape) != array.ndim
        or any(want != got for want, got in zip(shape, array.shape, strict=True) if isinstance(want, int))
    ):
        raise ShapeError(
            f"input {name!r}: expected shape {shape}, received {list(array.shape)}; "
            "reshape the data, or export the model for this shape"
        )
    if dtype is not None and array.dtype != dtype:
        raise ShapeError(f"input {name!r}: expected {dtype}, received {array.dtype}; convert the data")


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
