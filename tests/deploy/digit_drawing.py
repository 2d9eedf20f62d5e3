"""Handwriting for the tests of ``deploy/``: digits as strokes of a pen, and MNIST as picture files."""

from __future__ import annotations

import gzip
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

REPOSITORY = Path(__file__).resolve().parents[2]
Color = str | int | tuple[int, ...]
Line = list[tuple[float, float]]


def _arc(cx: float, cy: float, rx: float, ry: float, start: float, stop: float) -> Line:
    angles = np.deg2rad(np.linspace(start, stop, 24))
    return [(cx + rx * float(np.cos(a)), cy + ry * float(np.sin(a))) for a in angles]


STROKES: dict[str, list[Line]] = {
    "0": [_arc(0.5, 0.5, 0.26, 0.38, -90, 270)],
    "1": [[(0.56, 0.12), (0.46, 0.88)]],
    "2": [[*_arc(0.5, 0.32, 0.22, 0.2, -170, 40), (0.25, 0.85), (0.78, 0.85)]],
    "3": [_arc(0.47, 0.3, 0.22, 0.18, -150, 90) + _arc(0.47, 0.68, 0.26, 0.2, -90, 150)],
    "4": [[(0.35, 0.12), (0.27, 0.52), (0.75, 0.52)], [(0.68, 0.15), (0.62, 0.9)]],
    "5": [[(0.72, 0.14), (0.36, 0.14), (0.33, 0.46), *_arc(0.46, 0.64, 0.26, 0.22, -110, 140)]],
    "6": [[(0.62, 0.1), (0.4, 0.35), (0.31, 0.6), *_arc(0.5, 0.68, 0.2, 0.2, 180, 540)]],
    "7": [[(0.24, 0.16), (0.75, 0.16), (0.45, 0.88)]],
    "8": [_arc(0.5, 0.3, 0.17, 0.18, 90, 450) + _arc(0.5, 0.69, 0.21, 0.21, -90, 270)],
    "9": [[*_arc(0.5, 0.33, 0.2, 0.2, 0, -360), (0.68, 0.5), (0.6, 0.88)]],
}


def draw(
    digit: str,
    size: int | tuple[int, int] = 200,
    ink: Color = "black",
    ground: Color = "white",
    mode: str = "RGB",
    *,
    pen: float = 0.08,
    scale: float = 1.0,
    at: tuple[float, float] = (0.0, 0.0),
) -> Image.Image:
    """Write a digit; pen, scale and place are shares of the shorter side."""
    width, height = (size, size) if isinstance(size, int) else size
    side = min(width, height)
    picture = Image.new(mode, (width, height), ground)
    canvas = ImageDraw.Draw(picture)
    thick = max(1, round(pen * side * scale))
    for line in STROKES[digit]:
        points = [((at[0] + x * scale) * side, (at[1] + y * scale) * side) for x, y in line]
        canvas.line(points, fill=ink, width=thick, joint="curve")
        for x, y in points:
            canvas.ellipse((x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2), fill=ink)
    return picture


def encode(picture: Image.Image, file_format: str = "PNG", **options: Any) -> bytes:
    """The bytes of a picture file."""
    file = io.BytesIO()
    picture.save(file, file_format, **options)
    return file.getvalue()


def mnist_test(count: int) -> tuple[NDArray[np.uint8], Sequence[str]]:
    """The first test images, uint8 [count, 28, 28], and their labels."""
    folder = REPOSITORY / "models" / "data" / "mnist"
    images = gzip.decompress((folder / "t10k-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((folder / "t10k-labels-idx1-ubyte.gz").read_bytes())
    pixels = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 28, 28)[:count]
    return pixels, [str(label) for label in labels[8 : 8 + count]]
