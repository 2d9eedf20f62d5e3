"""How far a convolution by Winograd's algorithm may be from the exact value: a bound of its own.

Y = A^T [ sum over channels of U * (B^T d B) ] A + b, with U = G g G^T. Written out, each output is a sum of products
of U, an input and entries of A and B. Every entry of A and B but 5 is a power of two, or zero: in what order a kernel
adds and whether it fuses, a product of one entry with its value is rounded at most once, when it is added. So each term
is rounded, on its way to the output, at most

    1      when U, computed in float64, is rounded to float32 (one more for the float64 roundings, far smaller)
    2 * 4  in B^T d B: along each axis a value meets at most three others, and 5 x may be rounded
    C + 1  in the sum of C products
    2 * 5  in A^T M A: along each axis at most six values are added
    1      when the bias is added

times, C + 22 in all. By N. Higham, Accuracy and Stability of Numerical Algorithms, lemma 3.1, the error is at most
gamma_(C + 22) times the sum of the terms' absolute values, S_W = |A^T| [ sum of |U| * (|B^T| |d| |B|) ] |A| + |b|;
where roundings behave as independent random variables, at most lambda sqrt(C + 22) u S_W (as in ``ops/bounds.py``).
S_W depends on the data and is computed in float64 for every output. It exceeds S = |g| * |d| + |b| of the plain sum by
what the algorithm loses: see ``benchmarks/compiled.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.nodes import Step
from toolchain.ops.bounds import Bound, accumulated
from toolchain.ops.operator import Inputs

Floats = NDArray[np.float64]
ROUNDINGS = 21
"""Besides the channels'; ``accumulated`` counts one more."""
# The magnitudes of B^T, G and A^T (Lavin and Gray, 2016, section 4), by outputs along an axis.
INPUT: dict[int, Floats] = {
    2: np.array([[1, 0, 1, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 1, 0, 1]], dtype=np.float64),
    4: np.array(
        [
            [4, 0, 5, 0, 1, 0],
            [0, 4, 4, 1, 1, 0],
            [0, 4, 4, 1, 1, 0],
            [0, 2, 1, 2, 1, 0],
            [0, 2, 1, 2, 1, 0],
            [0, 4, 0, 5, 0, 1],
        ],
        dtype=np.float64,
    ),
}
WEIGHT: dict[int, Floats] = {
    2: np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]]) / 2,
    4: np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24,
}
OUTPUT: dict[int, Floats] = {
    2: np.array([[1, 1, 1, 0], [0, 1, 1, 1]], dtype=np.float64),
    4: np.array(
        [[1, 1, 1, 1, 1, 0], [0, 1, 1, 2, 2, 0], [0, 1, 1, 4, 4, 0], [0, 1, 1, 8, 8, 1]],
        dtype=np.float64,
    ),
}


def bounded(steps: Sequence[Step], tiles: Mapping[str, int]) -> tuple[Step, ...]:
    """The steps, with the bound of this module for those that were computed by the algorithm.

    Args:
        steps: of the model.
        tiles: outputs of a tile along an axis, by the name of a Conv node.
    """
    return tuple(_bounded(step, tiles[step.name]) if step.name in tiles else step for step in steps)


def _bounded(step: Step, tile: int) -> Step:
    def bound(node: Any, inputs: Inputs, exact: Sequence[Floats], roundoff: float) -> tuple[Bound, ...]:
        return (winograd_bound(node, inputs, exact[0].shape, roundoff, tile),)

    return replace(step, operator=replace(step.operator, bound=bound))


def winograd_bound(node: Any, inputs: Inputs, shape: Sequence[int], roundoff: float, tile: int) -> Bound:
    """The limits of a 3 x 3 convolution of stride 1.

    Args:
        node: attributes of Conv.
        inputs: float64 x [N, C, H, W], weights [O, C / groups, 3, 3], bias [O] or ``None``.
        shape: of the output.
        roundoff: unit roundoff of the arithmetic.
        tile: outputs of a tile along an axis.
    """
    x, weights = np.abs(np.asarray(inputs[0])), np.asarray(inputs[1])
    groups, depth = node.group, weights.shape[1]
    top, left = node.windows.resolve(x.shape[2:], weights.shape[2:]).begins
    magnitude = np.zeros((x.shape[0], weights.shape[0], *shape[2:]))
    own = weights.shape[0] // groups
    u = np.abs(WEIGHT[tile] @ weights @ WEIGHT[tile].T)
    for sample in range(x.shape[0]):
        v = _input_tiles(x[sample], (top, left), shape[2:], tile)
        for group in range(groups):
            part = slice(group * own, (group + 1) * own)
            products = np.einsum("ocij,cyxij->oyxij", u[part], v[group * depth : (group + 1) * depth], optimize=True)
            outputs = OUTPUT[tile] @ products @ OUTPUT[tile].T
            rows, columns = outputs.shape[1] * tile, outputs.shape[2] * tile
            flat = outputs.transpose(0, 1, 3, 2, 4).reshape(own, rows, columns)
            magnitude[sample, part] = flat[:, : shape[2], : shape[3]]
    if len(inputs) > 2 and inputs[2] is not None:
        magnitude += np.abs(np.asarray(inputs[2])).reshape(1, -1, 1, 1)
    return accumulated(magnitude, depth + ROUNDINGS, roundoff)


def _input_tiles(x: Floats, begins: tuple[int, int], spatial: Sequence[int], tile: int) -> Floats:
    """|B^T| |d| |B| of every tile: [C, H, W] -> [C, tiles down, tiles across, tile + 2, tile + 2]."""
    counts = [-(-size // tile) for size in spatial]
    padded = np.zeros((x.shape[0], *(count * tile + 2 for count in counts)))
    rows, columns = (
        min(size, into - begin) for size, into, begin in zip(x.shape[1:], padded.shape[1:], begins, strict=True)
    )
    padded[:, begins[0] : begins[0] + rows, begins[1] : begins[1] + columns] = x[:, :rows, :columns]
    windows = np.lib.stride_tricks.sliding_window_view(padded, (tile + 2, tile + 2), axis=(1, 2))[:, ::tile, ::tile]
    return np.asarray(INPUT[tile] @ windows @ INPUT[tile].T)
