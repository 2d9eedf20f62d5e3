"""Ink to a digit as MNIST has them: scaled into 20x20, its centre of mass in the middle of 28x28.

Source: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document
recognition", Proc. IEEE 1998, section III.A.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

_FIT = 20 / 28
_OVERSAMPLING = 8
# Strokes of MNIST are about 2.5 pixels wide in 20; a thinner pen is drawn thicker, or it would fade away.
_THIN = 1.2
_STROKE = 2.2
_SOFT = 0.05


def place(ink: NDArray[np.float32], side: int = 28) -> NDArray[np.uint8]:
    """Cut out the digit, scale it into ``20 / 28`` of the side, centre it by mass.

    The aspect ratio is kept; every source pixel weighs in the reduction (anti-aliasing). The shift is by
    whole pixels and never moves ink out of the frame.

    Args:
        ink: float32 [height, width] in 0..1, at least one pixel above 0.05.
        side: height and width of the frame, pixels.

    Returns:
        uint8 [side, side], ink 255 on 0.
    """
    box = max(1, round(side * _FIT))
    small = _scale(_thicken(_cut(ink), box), box)
    peak = float(small.max())
    pixels = np.rint(np.clip(small / peak, 0.0, 1.0) * 255.0).astype(np.uint8)
    frame = np.zeros((side, side), dtype=np.uint8)
    top, left = (_offset(pixels.sum(axis=1 - axis, dtype=np.float64), pixels.shape[axis], side) for axis in (0, 1))
    frame[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return frame


def _cut(ink: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, columns = (np.flatnonzero((ink > _SOFT).any(axis=axis)) for axis in (1, 0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _thicken(ink: NDArray[np.float32], box: int) -> NDArray[np.float32]:
    longest = max(ink.shape)
    width = stroke_width(ink) * box / longest
    if width >= _THIN * box / 20:
        return ink
    fine = _scale(ink, _OVERSAMPLING * box)
    fine /= max(float(fine.max()), 1e-6)
    wanted = (_STROKE * box / 20 - width) * _OVERSAMPLING
    margin = max(1, round(wanted / 2))
    padded = Image.fromarray(np.pad(fine, margin))
    return np.asarray(padded.filter(ImageFilter.MaxFilter(2 * margin + 1)), dtype=np.float32)


def stroke_width(ink: NDArray[np.float32]) -> float:
    """Mean width of the strokes in pixels: twice the area over the length of the outline.

    The outline is counted along the pixel grid and scaled by pi / 4, its mean overcount over all directions.

    Args:
        ink: float32 [height, width] in 0..1.
    """
    padded = np.pad(ink, 1).astype(np.float64)
    steps = np.abs(np.diff(padded, axis=0)).sum() + np.abs(np.diff(padded, axis=1)).sum()
    return 2.0 * float(padded.sum()) / max(float(steps) * np.pi / 4, 1e-6)


def _scale(ink: NDArray[np.float32], longest: int) -> NDArray[np.float32]:
    """Resize so that the longer side is ``longest`` pixels; Pillow widens the filter when it reduces."""
    height, width = ink.shape
    factor = longest / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    if size == (width, height):
        return ink.copy()
    image = Image.fromarray(np.ascontiguousarray(ink, dtype=np.float32))
    return np.asarray(image.resize(size, Image.Resampling.HAMMING), dtype=np.float32).copy()


def _offset(mass: NDArray[np.float64], length: int, side: int) -> int:
    center = float(mass @ np.arange(length) / mass.sum())
    return min(max(round(side / 2 - center), 0), side - length)
