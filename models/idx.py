"""The IDX file format of MNIST: a magic number, the sizes, then the bytes.

Source: the format's description on the MNIST page of Y. LeCun: two zero bytes, a type code (8: unsigned
byte), the number of dimensions, then each size as a big-endian 32-bit integer.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.errors import ChecksumError, DataFileError


def read(path: Path, shape: tuple[int, ...], md5: str | None = None) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, gzip-compressed if its name ends in ``.gz``.

    Never more than the expected bytes (and one) are decompressed, whatever the file claims.

    Args:
        path: the file.
        shape: the sizes that the file must have.
        md5: of the unzipped file, in hex; ``None`` leaves the check out.

    Returns:
        uint8 array of ``shape``.

    Raises:
        ChecksumError: well-formed, but not the expected content.
        DataFileError: missing, unreadable, truncated, too long, or no IDX file of this shape.
    """
    header = struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)
    expected = len(header) + math.prod(shape)
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(expected + 1)
    except FileNotFoundError as error:
        raise DataFileError(f"{path} does not exist; fetch the data set again") from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataFileError(f"{path} is corrupt or truncated ({error}); replace it by the original file") from error
    if content[: len(header)] != header:
        raise DataFileError(
            f"{path} is no IDX file of unsigned bytes of sizes {list(shape)}: expected a header "
            f"{header[:8].hex()}..., received {content[:8].hex()}; replace it by the original file"
        )
    if len(content) != expected:
        what = "more than" if len(content) > expected else f"{len(content)} of"
        raise DataFileError(f"{path} holds {what} {expected} bytes; replace it by the original file")
    received = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if md5 is not None and received != md5:
        raise ChecksumError(
            f"{path}: md5 of the unzipped file is {received}, expected {md5}; replace it by the original file"
        )
    return np.frombuffer(content, np.uint8, offset=len(header)).reshape(shape)
