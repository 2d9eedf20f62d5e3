"""Bytes of an untrusted picture file to pixels, within limits of memory."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from digit_recogniser.errors import FileError, NotAPictureError, TooLargeError

# Formats that Pillow decodes itself. EPS is left out on purpose: it starts another program.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})

MAX_BYTES = 16 * 2**20
MAX_PIXELS = 40_000_000
WORKING_SIDE = 512

_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# What Pillow warns of (odd tags, many pixels) is either refused here in one line or harmless.
warnings.filterwarnings("ignore", module=r"PIL\.")


def read_bytes(path: Path) -> bytes:
    """Content of one picture file.

    Raises:
        FileError: missing, not a regular file, or not readable.
        TooLargeError: more than :data:`MAX_BYTES`.
    """
    try:
        if not path.exists():
            raise FileError("no such file")
        if not path.is_file():
            raise FileError("not a regular file")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise FileError(f"cannot be read: {error.strerror or error}") from error
    if len(data) > MAX_BYTES:
        raise TooLargeError(f"larger than {MAX_BYTES:,} bytes; make the picture smaller")
    return data


def decode(data: bytes) -> NDArray[np.uint8]:
    """Decode a picture, turn it upright and reduce it to a working size.

    Reduction is by a whole factor that leaves the longer side at :data:`WORKING_SIDE` or above, below twice
    that; a smaller picture keeps its size. Of an animation the first frame is taken.

    Args:
        data: the bytes of a file in one of :data:`FORMATS`.

    Returns:
        uint8 [height, width, 4]: red, green, blue, alpha (straight, not premultiplied).

    Raises:
        NotAPictureError: no such format, or corrupt.
        TooLargeError: more than :data:`MAX_PIXELS`, known from the header before any pixel is decoded.
    """
    if not data:
        raise NotAPictureError(f"empty; expected a picture ({', '.join(FORMATS)})")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise TooLargeError(
                    f"{image.width} x {image.height} is more than {MAX_PIXELS:,} pixels; make the picture smaller"
                )
            image.draft(None, (WORKING_SIDE, WORKING_SIDE))
            image.load()
            return np.asarray(_upright(image), dtype=np.uint8)
    except TooLargeError:
        raise
    except Image.DecompressionBombError as error:
        raise TooLargeError(f"more than {MAX_PIXELS:,} pixels; make the picture smaller") from error
    except UnidentifiedImageError as error:
        raise NotAPictureError(f"not a picture; expected one of {', '.join(FORMATS)}") from error
    except Exception as error:
        # On hostile bytes Pillow's decoders raise nearly anything.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise NotAPictureError(f"a corrupt picture: {reason[:120]}") from error


def _upright(image: Image.Image) -> Image.Image:
    turn = _UPRIGHT.get(_orientation(image))
    factor = max(1, max(image.size) // WORKING_SIDE)
    rgba = _rgba(image)
    if factor > 1:
        rgba = rgba.reduce(factor)
    return rgba if turn is None else rgba.transpose(turn)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 -- broken EXIF is no reason to refuse sound pixels
        return 1


def _rgba(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        # Pillow clips wide pixels at 255 when it converts; their range is stretched instead.
        wide = np.nan_to_num(np.asarray(image, dtype=np.float64), posinf=0.0, neginf=0.0)
        low, high = float(wide.min()), float(wide.max())
        scaled = (wide - low) * (255.0 / (high - low) if high > low else 0.0)
        return Image.fromarray(np.rint(scaled).astype(np.uint8)).convert("RGBA")
    if image.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
        return image.convert("RGB").convert("RGBA")
    return image.convert("RGBA")
