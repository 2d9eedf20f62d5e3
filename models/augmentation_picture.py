"""A picture of every augmentation, for the documentation: ``python -m models.augmentation_picture FILE.png``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from models import datasets
from models.augment import DIGITS, FASHION, PHOTOS, Augmentation, augment, shift_colors
from models.errors import ModelsError
from models.files import replacing

TILE = 84
GAP = 6
LABEL_WIDTH = 170
VARIANTS = 6
ROWS: tuple[tuple[str, str, Augmentation | None], ...] = (
    ("mirroring", "scene", Augmentation(mirror=0.5)),
    ("random cropping,\n8 pixels", "scene", Augmentation(crop=8)),
    ("colour shifting,\n[-20, 20, -20]", "scene", None),
    ("colour shifting,\nup to 40 a channel", "scene", Augmentation(color_shift=(40.0, 40.0, 40.0))),
    ("rotation,\nup to 30 degrees", "digit", Augmentation(rotate=30.0)),
    ("shearing,\nup to 30 degrees", "digit", Augmentation(shear=30.0)),
    ("scaling,\nup to 30 %", "digit", Augmentation(scale=0.3)),
    ("translation,\nup to 4 pixels", "digit", Augmentation(translate=4.0)),
    ("recipe 'digits'\n(no mirroring)", "digit", DIGITS),
    ("recipe 'fashion'", "clothes", FASHION),
    ("recipe 'photos'", "scene", PHOTOS),
)


def scene() -> NDArray[np.uint8]:
    """A small drawing in colours, uint8 [3, 48, 48]: sky, sun, a house and a tree that mirroring moves."""
    image = Image.new("RGB", (192, 192), (110, 170, 225))
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 128, 191, 191), fill=(95, 150, 70))
    pen.ellipse((140, 14, 176, 50), fill=(250, 215, 90))
    pen.rectangle((24, 84, 100, 150), fill=(190, 95, 75))
    pen.polygon(((14, 84), (62, 44), (110, 84)), fill=(110, 55, 50))
    pen.rectangle((54, 112, 72, 150), fill=(70, 45, 40))
    pen.rectangle((140, 104, 150, 152), fill=(100, 70, 45))
    pen.ellipse((122, 62, 168, 116), fill=(45, 110, 55))
    small = image.resize((48, 48), Image.Resampling.BOX)
    return np.ascontiguousarray(np.asarray(small, np.uint8).transpose(2, 0, 1))


def picture() -> Image.Image:
    """One row an augmentation: its name, the picture as it is, and six that were made of it."""
    sources = {
        "scene": scene(),
        "digit": datasets.load("mnist:test:8").images[7],
        "clothes": datasets.load("fashion-mnist:test:8").images[7],
    }
    width = LABEL_WIDTH + (VARIANTS + 1) * (TILE + GAP) + 2 * GAP
    sheet = Image.new("RGB", (width, len(ROWS) * (TILE + GAP) + GAP), "white")
    pen = ImageDraw.Draw(sheet)
    for row, (label, source, augmentation) in enumerate(ROWS):
        top = GAP + row * (TILE + GAP)
        pen.multiline_text((GAP, top + TILE // 2 - 16), label, fill="black", font_size=16)
        for column, tile in enumerate(_variants(sources[source], augmentation)):
            sheet.paste(_tile(tile), (LABEL_WIDTH + column * (TILE + GAP) + 2 * GAP * (column > 0), top))
    return sheet


def _variants(source: NDArray[np.uint8], augmentation: Augmentation | None) -> list[NDArray[np.uint8]]:
    """The picture itself, then the changed ones."""
    batch = torch.from_numpy(np.repeat(source[None], VARIANTS, axis=0))
    if augmentation is None:
        changed = shift_colors(batch[:1].float(), torch.tensor([-20.0, 20.0, -20.0]))
    else:
        changed = augment(batch, augmentation, seed=1)
    return [source, *changed.round().to(torch.uint8).numpy()]


def _tile(pixels: NDArray[np.uint8]) -> Image.Image:
    rows = pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)
    return Image.fromarray(rows).convert("RGB").resize((TILE, TILE), Image.Resampling.NEAREST)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the picture."""
    options = argparse.ArgumentParser(prog="python -m models.augmentation_picture", description=picture.__doc__)
    options.add_argument("picture", type=Path, help="the PNG file to write")
    path = options.parse_args(arguments).picture
    try:
        with replacing(path) as temporary:
            picture().quantize(128).save(temporary, "PNG", optimize=True)
    except ModelsError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
