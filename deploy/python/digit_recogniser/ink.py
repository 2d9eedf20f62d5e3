"""Pixels to ink: how much of each pixel is stroke, whatever the colours of stroke and ground.

The ground is a plane through the picture's border (light falls off across a photograph). Ink is what
differs from it along one direction of colour: that of the pixels that differ most. So black on white, white
on black and red on green are the same case.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from digit_recogniser.errors import NoDigitError

MIN_CONTRAST = 24.0
MAX_INK_SHARE = 0.75
_FLAT_INK = 48.0
_CORE = 0.35
_SPECK = 0.02
_RIVAL = 0.3
_RING_SAMPLES = 4096


def find_ink(rgba: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Ink of a picture with one digit, everything else removed.

    Args:
        rgba: uint8 [height, width, 4], straight alpha.

    Returns:
        float32 [height, width] in 0..1; at least one pixel is above 0.

    Raises:
        NoDigitError: nothing stands out from the ground, or nearly everything does.
    """
    ink = _ink(_flatten(rgba))
    labels = label_components(ink > _CORE)
    keep = _digit_components(labels)
    if not keep.any():
        raise NoDigitError("no digit found: nothing stands out from the ground")
    kept: NDArray[np.bool_] = keep[labels]
    if kept.mean() > MAX_INK_SHARE:
        raise NoDigitError("no digit found: nearly all of the picture stands out from its border")
    return np.where(_grow(kept), ink, np.float32(0.0))


def _flatten(rgba: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Remove transparency; float32 [height, width, 3] in 0..255."""
    color = rgba[..., :3].astype(np.float32)
    alpha = rgba[..., 3:].astype(np.float32) / 255.0
    if alpha.min() > 0.98:
        return color
    solid = color[rgba[..., 3] >= 128]
    if not solid.size:
        raise NoDigitError("no digit found: the picture is transparent")
    spread = np.percentile(solid, 95, axis=0) - np.percentile(solid, 5, axis=0)
    if spread.max() < _FLAT_INK:
        # One colour on a transparent ground: the shape is in the alpha alone.
        return np.repeat(alpha * 255.0, 3, axis=2)
    return np.asarray(alpha * color + (1.0 - alpha) * np.median(solid, axis=0), dtype=np.float32)


def _ink(rgb: NDArray[np.float32]) -> NDArray[np.float32]:
    ground, noise = _ground(rgb)
    difference = rgb - ground
    distance = np.sqrt(np.square(difference).mean(axis=2))
    standing = distance[distance > max(MIN_CONTRAST, 4.0 * noise)]
    if not standing.size:
        raise NoDigitError("no digit found: the picture is one even colour")
    core = distance > _otsu(standing)
    direction = difference[core].mean(axis=0)
    length = float(np.linalg.norm(direction))
    if length < MIN_CONTRAST:
        raise NoDigitError("no digit found: what stands out has no common colour")
    along = difference @ (direction / length)
    floor = 4.0 * noise
    full = max(float(np.percentile(along[core], 75)), floor + MIN_CONTRAST)
    return np.asarray(np.clip((along - floor) / (full - floor), 0.0, 1.0), dtype=np.float32)


def _ground(rgb: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
    """The ground under every pixel, [height, width, 3], and its noise (standard deviation, levels)."""
    height, width = rgb.shape[:2]
    band = max(1, round(0.03 * min(height, width)))
    ring = np.ones((height, width), dtype=bool)
    ring[band:-band, band:-band] = False
    rows, columns = np.nonzero(ring)
    step = max(1, len(rows) // _RING_SAMPLES)
    rows, columns = rows[::step], columns[::step]
    colors = rgb[rows, columns].astype(np.float64)
    points = np.stack([rows / height - 0.5, columns / width - 0.5, np.ones(len(rows))], axis=1)
    plane = np.zeros((3, 3))
    plane[2] = np.median(colors, axis=0)
    noise = 0.0
    for _ in range(4):
        residual = np.sqrt(np.square(colors - points @ plane).mean(axis=1))
        noise = 1.4826 * float(np.median(residual))
        near = residual <= max(2.5 * noise, 4.0)
        if np.linalg.matrix_rank(points[near]) < 3:
            break
        plane = np.linalg.lstsq(points[near], colors[near], rcond=None)[0]
    tilt = (np.arange(height) / height - 0.5)[:, None, None] * plane[0]
    ground = tilt + (np.arange(width) / width - 0.5)[None, :, None] * plane[1] + plane[2]
    return np.clip(ground, 0.0, 255.0).astype(np.float32), noise


def _otsu(values: NDArray[np.float32]) -> float:
    """The threshold that parts values best in two (N. Otsu, 1979); below the largest value."""
    counts, edges = np.histogram(values, bins=256)
    centers = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = len(values) - below
    total = np.cumsum(counts * centers)
    mean_below = total[:-1] / np.maximum(below, 1)
    mean_above = (total[-1] - total[:-1]) / np.maximum(above, 1)
    between = below * above * np.square(mean_below - mean_above)
    return min(float(edges[1 + int(np.argmax(between))]), float(values.max()) * 0.999)


def label_components(mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Number the connected components (8 neighbours) of a mask.

    Runs of each row are joined with those they touch in the row above (union-find).

    Args:
        mask: bool [height, width].

    Returns:
        intp [height, width]: 0 outside the mask, else the component's number, from 1.
    """
    height, width = mask.shape
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    run_rows, starts = np.nonzero(edges == 1)
    ends = np.nonzero(edges == -1)[1]
    parent = list(range(len(starts)))

    def root(run: int) -> int:
        while parent[run] != run:
            parent[run] = parent[parent[run]]
            run = parent[run]
        return run

    first_of_row = np.searchsorted(run_rows, np.arange(height + 1)).tolist()
    start, end = starts.tolist(), ends.tolist()
    for row in range(1, height):
        above, above_end = first_of_row[row - 1], first_of_row[row]
        for run in range(first_of_row[row], first_of_row[row + 1]):
            while above < above_end and end[above] < start[run]:
                above += 1
            other = above
            while other < above_end and start[other] <= end[run]:
                parent[root(run)] = root(other)
                other += 1
    roots = np.array([root(run) for run in range(len(parent))], dtype=np.intp)
    numbers = np.unique(roots, return_inverse=True)[1] + 1 if len(roots) else roots
    labels = np.zeros(height * width, dtype=np.intp)
    labels[mask.ravel()] = np.repeat(numbers, ends - starts)
    return labels.reshape(height, width)


def _digit_components(labels: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Which components make the digit, by number: bool [count + 1], entry 0 false.

    Specks go. What runs off the picture (the edge of a sheet, a shadow) goes too when something of a size
    to rival it stands free.
    """
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    keep = areas > 0
    if not keep.any():
        return keep
    border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    free = keep.copy()
    free[border] = False
    if free.any() and areas[free].max() >= _RIVAL * areas.max():
        keep = free
    return np.asarray(keep & (areas >= max(1.0, _SPECK * areas[keep].max())))


def _grow(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Add a margin of two pixels, where the soft edges of strokes lie."""
    height, width = mask.shape
    padded = np.pad(mask, 2)
    rows = np.any([padded[i : i + height] for i in range(5)], axis=0)
    return np.asarray(np.any([rows[:, i : i + width] for i in range(5)], axis=0))
