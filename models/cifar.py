"""CIFAR-10, from its binary archive: no pickle is read.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009, and the data set's page:
a record is one label byte, then 1,024 red, green and blue bytes each, row by row.
"""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.errors import ChecksumError, DataFileError

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
ARCHIVE_BYTES = 170_052_171
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TRAIN_MEMBERS = tuple(f"cifar-10-batches-bin/data_batch_{number}.bin" for number in range(1, 6))
TEST_MEMBERS = ("cifar-10-batches-bin/test_batch.bin",)
RECORD_BYTES = 1 + 3 * 32 * 32


def check(archive: Path) -> None:
    """Compare the archive with the published checksum.

    Raises:
        ChecksumError: another content.
        DataFileError: missing or unreadable.
    """
    try:
        with archive.open("rb") as file:
            received = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise DataFileError(f"cannot read {archive}: {error.strerror or error}") from error
    if received != MD5:
        raise ChecksumError(f"{archive}: md5 is {received}, expected {MD5}; replace it by the original archive")


def read(archive: Path, members: tuple[str, ...], records: int = 10_000) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read batches from the archive, without unpacking it to disk.

    Args:
        archive: ``cifar-10-binary.tar.gz``.
        members: the batch files, in order.
        records: pictures in each batch file.

    Returns:
        Pictures, uint8 [N, 3, 32, 32], and labels, int64 [N] in 0..9.

    Raises:
        DataFileError: missing, truncated, no such archive, a member of another size, or a label above 9.
    """
    batches: list[bytes] = []
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in members:
                info = tar.getmember(member)
                if not info.isreg() or info.size != records * RECORD_BYTES:
                    raise DataFileError(
                        f"{archive}: {member} holds {info.size} bytes, expected {records * RECORD_BYTES}; "
                        "replace it by the original archive"
                    )
                file = tar.extractfile(info)
                batches.append(b"" if file is None else file.read(records * RECORD_BYTES))
    except FileNotFoundError as error:
        raise DataFileError(f"{archive} does not exist; fetch the data set again") from error
    except (OSError, EOFError, KeyError, tarfile.TarError, zlib.error) as error:
        raise DataFileError(f"{archive} is corrupt ({error}); replace it by the original archive") from error
    data = np.frombuffer(b"".join(batches), np.uint8)
    if data.size != len(members) * records * RECORD_BYTES:
        raise DataFileError(f"{archive} is truncated; replace it by the original archive")
    data = data.reshape(-1, RECORD_BYTES)
    labels = data[:, 0].astype(np.int64)
    if labels.max(initial=0) >= len(CLASSES):
        raise DataFileError(f"{archive} holds label {labels.max()}, expected 0..9; replace it by the original archive")
    return data[:, 1:].reshape(-1, 3, 32, 32), labels
