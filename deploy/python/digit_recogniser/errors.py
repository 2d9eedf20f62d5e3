"""What can go wrong; each class carries the exit code of the command and the status of the HTTP answer.

::

    RecogniserError
    ├── UsageError           exit 2             the request makes no sense
    └── FileError            exit 5             a file is missing or unreadable
        ├── ModelError                          the model file is corrupt, or not one for this app
        └── PictureError              HTTP 400  this picture has no answer
            ├── NotAPictureError      HTTP 415  not a picture of a known format, or corrupt
            ├── TooLargeError         HTTP 413  more bytes or pixels than are taken
            └── NoDigitError          HTTP 422  a sound picture with no digit in it
"""

from __future__ import annotations

from http import HTTPStatus


class RecogniserError(Exception):
    """Root of this tree. The message says what, expected, received and the remedy, in one line."""

    exit_code = 70


class UsageError(RecogniserError):
    """The request makes no sense."""

    exit_code = 2


class FileError(RecogniserError):
    """A file is missing or unreadable."""

    exit_code = 5


class ModelError(FileError):
    """The model file is corrupt, or not one for this app."""


class PictureError(FileError):
    """This picture has no answer."""

    status = HTTPStatus.BAD_REQUEST


class NotAPictureError(PictureError):
    """Not a picture of a known format, or corrupt."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class TooLargeError(PictureError):
    """More bytes or pixels than are taken."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class NoDigitError(PictureError):
    """A sound picture with no digit in it."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
