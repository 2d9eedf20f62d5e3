from __future__ import annotations

import gzip
import io
import re
import shutil
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest

from models import cifar, datasets, download, idx
from models.errors import ChecksumError, DataFileError, DownloadError


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def test_idx_reads_what_it_says(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 256, (3, 4, 5), np.uint8)
    (tmp_path / "a").write_bytes(idx_bytes(array))
    (tmp_path / "a.gz").write_bytes(gzip.compress(idx_bytes(array)))
    np.testing.assert_array_equal(idx.read(tmp_path / "a", (3, 4, 5)), array)
    np.testing.assert_array_equal(idx.read(tmp_path / "a.gz", (3, 4, 5)), array)


def test_broken_idx_files(tmp_path: Path) -> None:
    content = idx_bytes(np.zeros((3, 4, 5), np.uint8))
    packed = gzip.compress(content)
    flipped = bytearray(packed)
    flipped[len(packed) // 2] ^= 0xFF
    cases = {
        "magic.gz": (gzip.compress(b"\0\0\x09" + content[3:]), "is no IDX file"),
        "sizes.gz": (gzip.compress(idx_bytes(np.zeros((3, 5, 4), np.uint8))), "is no IDX file"),
        "short.gz": (gzip.compress(content[:-1]), "75 of 76 bytes"),
        "long.gz": (gzip.compress(content + b"\0"), "more than 76 bytes"),
        "bomb.gz": (gzip.compress(content + bytes(10_000_000)), "more than 76 bytes"),
        "header.gz": (gzip.compress(content[:10]), "is no IDX file"),
        "empty.gz": (gzip.compress(b""), "is no IDX file"),
        "nothing.gz": (b"", "is no IDX file"),
        "plain.gz": (content, "is corrupt or truncated"),
        "cut.gz": (packed[: len(packed) // 2], "is corrupt or truncated"),
        "flipped.gz": (bytes(flipped), "is corrupt or truncated"),
    }
    for name, (data, message) in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataFileError, match=re.escape(message)) as caught:
            idx.read(tmp_path / name, (3, 4, 5))
        assert name in str(caught.value)
        assert not isinstance(caught.value, ChecksumError)
    with pytest.raises(DataFileError, match="does not exist"):
        idx.read(tmp_path / "absent.gz", (3,))
    with pytest.raises(DataFileError, match="corrupt or truncated"):
        idx.read(tmp_path, (3,))


def test_a_wrong_checksum_is_told_from_a_broken_file(tmp_path: Path) -> None:
    for file in datasets.MNIST_FOLDER.glob("t10k*.gz"):
        shutil.copy(file, tmp_path)
    content = bytearray(gzip.decompress((tmp_path / "t10k-labels-idx1-ubyte.gz").read_bytes()))
    assert datasets.load("mnist:test:5", folder=tmp_path).labels.tolist() == [0, 1, 2, 3, 4]
    content[1000] ^= 1
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(bytes(content), 1))
    with pytest.raises(ChecksumError, match="expected 27ae3e4e09519cfbb04c329615203637"):
        datasets.load("mnist:test", folder=tmp_path)


def test_downloads_are_whole_or_not_at_all(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "deep" / "target"
    source.write_bytes(b"0123456789")
    md5 = "781e5e245d69b566979b86e28d23f2c7"
    url = source.as_uri()
    with pytest.raises(ChecksumError, match="md5 is 781e"):
        download.fetch(url, target, md5="0" * 32, size=10)
    with pytest.raises(ChecksumError, match="longer than the expected 9 bytes"):
        download.fetch(url, target, md5=md5, size=9)
    with pytest.raises(DownloadError, match="after 10 of 11 bytes"):
        download.fetch(url, target, md5=md5, size=11)
    with pytest.raises(DownloadError, match="only https and file"):
        download.fetch("http://example.org/x", target, md5=md5, size=10)
    with pytest.raises(DownloadError, match="cannot download"):
        download.fetch((tmp_path / "absent").as_uri(), target, md5=md5, size=10)
    assert not list(target.parent.iterdir())
    assert download.fetch(url, target, md5=md5, size=10).read_bytes() == b"0123456789"
    source.unlink()
    assert download.fetch(url, target, md5=md5, size=10) == target
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataFileError, match="cannot write"):
        download.fetch(url, tmp_path / "file" / "x", md5=md5, size=10)


def cifar_archive(path: Path, batches: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, data in batches.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def test_cifar_records(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    records = rng.integers(0, 256, (2, 4, cifar.RECORD_BYTES), np.uint8)
    records[:, :, 0] %= 10
    members = cifar.TRAIN_MEMBERS[:2]
    archive = cifar_archive(tmp_path / "c.tar.gz", dict(zip(members, map(bytes, records), strict=True)))
    images, labels = cifar.read(archive, members, records=4)
    flat = records.reshape(8, -1)
    assert labels.tolist() == flat[:, 0].tolist()
    assert images.shape == (8, 3, 32, 32)
    assert images[5, 1, 2, 3] == flat[5, 1 + 1024 + 2 * 32 + 3]
    with pytest.raises(ChecksumError, match=f"expected {cifar.MD5}"):
        cifar.check(archive)


def test_broken_cifar_archives(tmp_path: Path) -> None:
    member = cifar.TEST_MEMBERS[0]
    good = bytes(2 * cifar.RECORD_BYTES)
    cases = {
        "label": ({member: b"\x0a" + good[1:]}, "holds label 10"),
        "size": ({member: good[:-1]}, "holds 6145 bytes, expected 6146"),
        "absent": ({"else": good}, "corrupt"),
    }
    for name, (batches, message) in cases.items():
        archive = cifar_archive(tmp_path / name, batches)
        with pytest.raises(DataFileError, match=message):
            cifar.read(archive, (member,), records=2)
    whole = cifar_archive(tmp_path / "whole", {member: np.random.default_rng(0).bytes(len(good))}).read_bytes()
    (tmp_path / "cut").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text").write_text("no archive")
    for name in ("cut", "text"):
        with pytest.raises(DataFileError, match="corrupt"):
            cifar.read(tmp_path / name, (member,), records=2)
    with tarfile.open(tmp_path / "link", "w:gz") as tar:
        info = tarfile.TarInfo(member)
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(info)
    with pytest.raises(DataFileError, match="holds 0 bytes"):
        cifar.read(tmp_path / "link", (member,), records=2)
    for call in (lambda path: cifar.read(path, (member,)), cifar.check):
        with pytest.raises(DataFileError, match="none"):
            call(tmp_path / "none")
