"""Windows reduced in flat memory, against windows gathered one by one."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from toolchain.ops import sliding
from toolchain.ops.magnitudes import PIECE_BYTES, absolute_product
from toolchain.ops.windows import Geometry, Windows

Array = NDArray[Any]
EDGES = np.array([-128, -127, -1, 0, 1, 126, 127], dtype=np.int8)


def slowly(g: Geometry, x: Array, combine: Callable[[Array], Any], neutral: Any) -> Array:
    """Every window by its definition: the elements of the input under its taps."""
    out = np.full((*x.shape[:2], *g.output), neutral, dtype=x.dtype)
    for plane in np.ndindex(*x.shape[:2]):
        for place in np.ndindex(*g.output):
            elements = []
            for tap in np.ndindex(*g.kernel):
                at = [
                    p * s - b + t * d
                    for p, s, b, t, d in zip(place, g.strides, g.begins, tap, g.dilations, strict=True)
                ]
                if all(0 <= i < size for i, size in zip(at, g.spatial, strict=True)):
                    elements.append(x[(*plane, *at)])
            if elements:
                out[(*plane, *place)] = combine(np.array(elements, dtype=x.dtype))
    return out


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    """Windows over one to three axes, with everything that the pools know."""
    rank = draw(st.integers(1, 3))

    def each(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.lists(st.integers(low, high), min_size=rank, max_size=rank)))

    kernel, dilations, spatial = each(1, 5), each(1, 2), each(1, 9 if rank < 3 else 6)
    begins, ends = each(0, 3), each(0, 3)
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True)]
    spatial = tuple(max(size, span - b - e) for size, span, b, e in zip(spatial, spans, begins, ends, strict=True))
    windows = Windows(kernel, each(1, 4), dilations, (*begins, *ends), ceil_mode=draw(st.booleans()))
    return windows.resolve(spatial)


@settings(max_examples=300, deadline=None)
@given(geometries(), st.integers(0, 2), st.integers(1, 3), st.sampled_from([64, 4096, 1 << 19]))
def test_every_way_through_memory_gives_the_windows(g: Geometry, batch: int, channels: int, block: int) -> None:
    generator = np.random.default_rng(sum(g.spatial) * 7 + batch)
    shape = (batch, channels, *g.spatial)
    small = generator.choice(EDGES, shape)
    whole = generator.integers(-1000, 1000, shape)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sliding, "BLOCK_BYTES", block)
        np.testing.assert_array_equal(sliding.fold(g, small, np.maximum, -128), slowly(g, small, np.max, -128))
        np.testing.assert_array_equal(sliding.fold(g, whole, np.add, 0), slowly(g, whole, np.sum, 0))


def test_what_lies_over_an_edge_stays_there() -> None:
    """NaN, infinities and numbers whose sum overflows meet in windows that nobody asked for: no warning, no trace."""
    x = np.zeros((1, 1, 4, 4))
    x[0, 0, :, -1], x[0, 0, 1:, 0] = 1.7e308, 1.7e308
    x[0, 0, 0, -1], x[0, 0, 1, 0] = np.inf, -np.inf
    g = Windows((1, 2), (1, 1), None, None).resolve((4, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = sliding.fold(g, x, np.add, 0)
    np.testing.assert_array_equal(y, x[..., :-1] + x[..., 1:])


def test_a_window_that_is_the_plane() -> None:
    g = Windows((3, 5), (2, 2), None, None).resolve((3, 5))
    assert g.output == (1, 1)
    for batch in (0, 1, 2):
        x = np.random.default_rng(batch).choice(EDGES, (batch, 4, 3, 5))
        np.testing.assert_array_equal(sliding.fold(g, x, np.maximum, -128), x.max(axis=(2, 3), keepdims=True))
    assert np.isnan(sliding.fold(g, np.full((1, 1, 3, 5), np.nan), np.maximum, -np.inf)).all()


@pytest.mark.parametrize("kernel", [(1, 1), (2, 2), (1, 3)])
def test_the_result_is_new_memory(kernel: tuple[int, int]) -> None:
    x = np.arange(36.0).reshape(1, 1, 6, 6)
    x.flags.writeable = False
    for turned in (x, x.transpose(0, 1, 3, 2)):
        y = sliding.fold(Windows(kernel, None, None, None).resolve((6, 6)), turned, np.maximum, -np.inf)
        assert not np.shares_memory(x, y)
        assert y.flags.c_contiguous
        assert y.flags.writeable


@pytest.mark.parametrize("turned", [False, True])
def test_absolute_products_in_pieces(turned: bool) -> None:
    generator = np.random.default_rng(0)
    depth, columns = 1003, 2 * PIECE_BYTES // (8 * 1003) + 17
    a = generator.standard_normal((3, depth))
    b = generator.standard_normal((columns, depth)).T if turned else generator.standard_normal((depth, columns))
    np.testing.assert_allclose(absolute_product(a, b), np.abs(a) @ np.abs(b), rtol=1e-13)


def test_absolute_products_of_integers_are_exact() -> None:
    edges = np.array([-(2**31), -1, 0, 1, 2**31 - 1], dtype=np.int64)
    a, b = np.random.default_rng(1).choice(edges, (2, 40)), np.random.default_rng(2).choice(edges, (40, 30000))
    assert b.nbytes > PIECE_BYTES
    np.testing.assert_array_equal(absolute_product(a, b)[:, :50], np.abs(a) @ np.abs(b[:, :50]))


def test_enclosing_holds_the_last_window() -> None:
    for size, kernel, stride, pad, ceil in itertools.product((5, 8), (2, 3), (1, 2, 3), (0, 1), (False, True)):
        g = Windows((kernel,), (stride,), None, (pad, pad), ceil_mode=ceil).resolve((size,))
        x = np.arange(1.0, size + 1).reshape(1, 1, size)
        padded = g.padded(x, 0)
        assert padded.shape == (1, 1, *g.enclosing)
        assert g.enclosing[0] >= (g.output[0] - 1) * stride + kernel
        np.testing.assert_array_equal(padded[0, 0, pad : pad + size], x[0, 0])
        assert padded.sum() == x.sum()
