"""Picture files, and their way to the size that a network takes."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from models.errors import DataFileError, UsageError
from models.inputs import ImageInput

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
# 8 times a 12-megapixel photograph: a file that claims more is refused before it is decoded.
MAX_PIXELS = 100_000_000


def read(path: Path, image_input: ImageInput) -> NDArray[np.uint8]:
    """Read one picture file and fit it.

    Returns:
        uint8 [C, content height, content width].

    Raises:
        DataFileError: missing, no picture, truncated, or larger than ``MAX_PIXELS``.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as opened:
                if opened.width * opened.height > MAX_PIXELS:
                    raise DataFileError(
                        f"{path} has {opened.width}x{opened.height} pixels, expected at most {MAX_PIXELS}; "
                        "make it smaller first"
                    )
                return fit(ImageOps.exif_transpose(opened), image_input)
    except FileNotFoundError as error:
        raise DataFileError(f"{path} does not exist; give the path of a picture") from error
    except UnidentifiedImageError as error:
        raise DataFileError(f"{path} is no picture that Pillow can read; give a PNG or JPEG file") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataFileError(f"{path} is a broken picture ({error}); replace or remove it") from error


def fit(picture: Image.Image, image_input: ImageInput) -> NDArray[np.uint8]:
    """Bring a picture to the colours and the content size of a network's input.

    With ``resize``, the shorter side goes to that length and the centre is cut out; without, the whole
    picture is resized, whatever its proportions. Bilinear with anti-aliasing (Pillow).

    Returns:
        uint8 [C, content height, content width].
    """
    height, width = image_input.content
    picture = picture.convert("L" if image_input.color == "gray" else "RGB")
    if image_input.resize is None:
        if picture.size != (width, height):
            picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    else:
        scale = image_input.resize / min(picture.size)
        resized = (max(width, int(picture.width * scale)), max(height, int(picture.height * scale)))
        picture = picture.resize(resized, Image.Resampling.BILINEAR)
        left, top = round((picture.width - width) / 2), round((picture.height - height) / 2)
        picture = picture.crop((left, top, left + width, top + height))
    pixels = np.asarray(picture, np.uint8)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def refit(images: NDArray[np.uint8], image_input: ImageInput) -> NDArray[np.uint8]:
    """Fit a batch of pictures, uint8 [N, C, H, W]; as it is where it fits already.

    Returns:
        uint8 [N, channels of the input, content height, content width].
    """
    if images.shape[1:] == (image_input.channels, *image_input.content):
        return images
    fitted = np.empty((len(images), image_input.channels, *image_input.content), np.uint8)
    for index, image in enumerate(images):
        pixels = image[0] if image.shape[0] == 1 else image.transpose(1, 2, 0)
        fitted[index] = fit(Image.fromarray(pixels), image_input)
    return fitted


def list_folder(folder: Path) -> tuple[list[Path], NDArray[np.int64], tuple[str, ...]]:
    """The pictures of a folder: one sub-folder a class (in the order of their names), or flat without labels.

    Returns:
        Files in the order of their names, labels int64 [N] (-1 where there are none), names of the classes.

    Raises:
        DataFileError: the folder cannot be read or holds no picture.
        UsageError: it holds pictures beside sub-folders of pictures.
    """
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
        flat = [entry for entry in entries if _is_picture(entry)]
        classes = [(entry.name, sorted(filter(_is_picture, entry.iterdir()))) for entry in entries if entry.is_dir()]
    except OSError as error:
        raise DataFileError(f"cannot read folder {folder}: {error.strerror or error}") from error
    classes = [(name, files) for name, files in classes if files]
    if flat and classes:
        raise UsageError(f"{folder} holds pictures beside folders of pictures; use one folder per class, or no folders")
    if not flat and not classes:
        raise DataFileError(f"{folder} holds no pictures; expected files {', '.join(SUFFIXES)}")
    if flat:
        return flat, np.full(len(flat), -1, np.int64), ()
    files = [file for _, members in classes for file in members]
    labels = np.repeat(np.arange(len(classes)), [len(members) for _, members in classes]).astype(np.int64)
    return files, labels, tuple(name for name, _ in classes)


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
