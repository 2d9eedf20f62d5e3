"""Fetch one file over the network: bounded, checked, and whole or not at all."""

from __future__ import annotations

import hashlib
import http.client
import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from models.errors import ChecksumError, DataFileError, DownloadError

TIMEOUT_SECONDS = 30.0
BLOCK_BYTES = 1 << 20


def cache_folder(name: str) -> Path:
    """The user's cache folder for a data set: ``$XDG_CACHE_HOME/onnx-edge/NAME``, else under ``~/.cache``."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "onnx-edge" / name


def fetch(url: str, path: Path, *, md5: str, size: int) -> Path:
    """Download ``url`` to ``path`` unless the file is there already.

    Args:
        url: an ``https`` address (``file`` too, for a mirror on disk).
        path: where the file goes; its folder is made.
        md5: of the file, in hex.
        size: of the file, bytes; not one byte more is written.

    Returns:
        ``path``.

    Raises:
        DownloadError: no connection, or the server said no.
        ChecksumError: the content is another one.
        DataFileError: ``path`` cannot be written.
    """
    if path.is_file():
        return path
    if not url.startswith(("https://", "file://")):
        raise DownloadError(f"refused to download {url}: only https and file addresses are taken")
    remedy = f"check the connection, or put the file at {path} yourself"
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        temporary = Path(name)
        with os.fdopen(handle, "wb") as out:
            digest = _copy(url, out.write, size, remedy)
        if digest != md5:
            raise ChecksumError(f"{url}: md5 is {digest}, expected {md5}; {remedy}")
        temporary.chmod(0o644)
        temporary.replace(path)
    except (ChecksumError, DownloadError):
        raise
    except OSError as error:
        raise DataFileError(
            f"cannot write {path}: {error.strerror or error}; free space or set XDG_CACHE_HOME"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    return path


def _copy(url: str, write: Callable[[bytes], object], size: int, remedy: str) -> str:
    """Stream the answer into ``write``; the md5 of what came."""
    digest = hashlib.md5(usedforsecurity=False)
    received = 0
    try:
        response = urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS)  # noqa: S310 - scheme checked by fetch
    except (urllib.error.URLError, OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise DownloadError(f"cannot download {url}: {reason}; {remedy}") from error
    with response:
        while True:
            try:
                block = response.read(BLOCK_BYTES)
            except (OSError, http.client.HTTPException) as error:
                raise DownloadError(f"the download of {url} broke off: {error}; {remedy}") from error
            received += len(block)
            if received > size:
                raise ChecksumError(f"{url} is longer than the expected {size} bytes; {remedy}")
            if not block:
                break
            digest.update(block)
            write(block)
    if received != size:
        raise DownloadError(f"the download of {url} broke off after {received} of {size} bytes; {remedy}")
    return digest.hexdigest()
