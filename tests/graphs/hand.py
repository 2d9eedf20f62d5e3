"""What the functions that draw nodes share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from hypothesis import strategies as st

from tests.graphs import values
from tests.graphs.sketch import Sketch

T = TypeVar("T")


class Hand:
    """What drawers share: choices by hypothesis, numbers from a seed."""

    def __init__(self, draw: Callable[..., Any], sketch: Sketch, seed: int) -> None:
        self.draw = draw
        self.sketch = sketch
        self.generator = np.random.default_rng(seed)
        self.history = list(sketch.inputs)

    def integer(self, low: int, high: int) -> int:
        """``low <= i <= high``."""
        return low if low == high else int(self.draw(st.integers(low, high)))

    def flip(self) -> bool:
        """A boolean."""
        return bool(self.draw(st.booleans()))

    def pick(self, options: Sequence[T]) -> T:
        """One of them."""
        return options[0] if len(options) == 1 else self.draw(st.sampled_from(options))  # type: ignore[no-any-return]

    def maybe(self, value: T, is_default: bool) -> T | None:
        """The value, or ``None``, to leave the attribute out, where leaving it out says the same."""
        return None if is_default and self.flip() else value

    def bit(self) -> int | None:
        """1, 0, or ``None`` for an attribute that is left out."""
        return self.pick((None, 0, 1))

    def divisor(self, number: int) -> int:
        """Of a number, 1 as often as not."""
        return self.pick((1, *(d for d in range(1, number + 1) if number % d == 0)))

    def weights(self, shape: tuple[int, ...]) -> str:
        """A float32 constant."""
        kind = self.pick(("normal", "whole", "wide", "normal"))
        return self.sketch.constant(values.floats(kind, shape, self.generator))

    def scale(self) -> str:
        """Of a quantization: a power of two, where ties are common, or any number."""
        value = self.pick((1.0, 0.25, 2.0**-5, 0.0371, 0.5000001, 3.1e-3))
        return self.sketch.constant(value, np.float32)

    def zero_point(self, dtype: Any) -> str:
        """Edges of the type, or any value."""
        info = np.iinfo(dtype)
        return self.sketch.constant(self.pick((0, info.min, info.max, 1, info.max // 2, self.integer(0, 127))), dtype)

    def axis(self, rank: int) -> int:
        """An axis, counted from the front or, where the opset allows it, from the back."""
        return self.integer(-rank if self.sketch.opset >= 11 else 0, rank - 1)
