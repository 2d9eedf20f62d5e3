"""The HTTP endpoint.

========================  =============================================================================
``GET /``                 a page to draw a digit on, or to choose a file
``GET /health``           ``{"status": "ok", ...}``
``POST /recognise?top=K`` body: the bytes of a picture. 200 with ``label``, ``probability``,
                          ``candidates`` and ``seen`` (the digit as the model saw it: base64 of side x side
                          grey bytes), else ``{"error": ...}`` with the status of the fault
========================  =============================================================================

The standard library's server: meant for a device on a desk or behind a proxy, without TLS or login.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import signal
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from digit_recogniser.decode import MAX_BYTES
from digit_recogniser.errors import FileError, PictureError, UsageError
from digit_recogniser.model import Recogniser

JSON_VERSION = 1
AT_ONCE = 2
WAIT_SECONDS = 5.0
_READ_TIMEOUT_SECONDS = 10.0
_LINGER_SECONDS = 2.0
_METHODS = {"/": ("GET", "HEAD"), "/health": ("GET", "HEAD"), "/recognise": ("POST",)}


class _RefusedError(Exception):
    def __init__(self, status: HTTPStatus, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class DigitServer(ThreadingHTTPServer):
    """Serves one recogniser; each connection has a thread, at most ``AT_ONCE`` compute at a time."""

    request_queue_size = 32

    def __init__(self, recogniser: Recogniser, host: str, port: int, top: int = 3) -> None:
        """Bind and listen.

        Args:
            recogniser: answers for pictures.
            host: address to bind, IPv4 or IPv6.
            port: 0 takes any free one, see ``server_port``.
            top: candidates in an answer unless the request says another number.

        Raises:
            UsageError: the address cannot be bound.
        """
        self.recogniser = recogniser
        self.top = top
        self.page = Path(__file__).with_name("page.html").read_bytes()
        self.policy = _content_policy(self.page.decode())
        self.slots = threading.BoundedSemaphore(AT_ONCE)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            reason = error.strerror or error
            raise UsageError(f"cannot serve on {host} port {port}: {reason}; choose another") from error

    def server_bind(self) -> None:
        """Bind without the look-up of a host name, which stalls on a device without a name server."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 -- the base class's
        """Say in one line that a connection broke; a client that leaves is no fault of the server."""
        error = sys.exc_info()[1]
        if not isinstance(error, (ConnectionError, TimeoutError)):
            sys.stderr.write(f"recognise: connection from {client_address[0]} failed: {error!r}\n")

    @property
    def url(self) -> str:
        """Where the page is."""
        host = f"[{self.server_name}]" if ":" in self.server_name else self.server_name
        return f"http://{host}:{self.server_port}/"


def serve(recogniser: Recogniser, host: str, port: int, top: int) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Raises:
        UsageError: the address cannot be bound.
    """
    with DigitServer(recogniser, host, port, top) as server, _terminable():
        with contextlib.suppress(KeyboardInterrupt):
            print(f"serving on {server.url} (Ctrl-C stops)", flush=True)  # noqa: T201
            server.serve_forever(poll_interval=0.2)
        print("stopped", flush=True)  # noqa: T201


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Handler(BaseHTTPRequestHandler):
    server: DigitServer
    protocol_version = "HTTP/1.1"
    server_version = "digit-recogniser"
    sys_version = ""
    timeout = _READ_TIMEOUT_SECONDS
    _body_read = True

    def do_GET(self) -> None:
        self._respond()

    def do_HEAD(self) -> None:
        self._respond()

    def do_POST(self) -> None:
        self._respond()

    def do_PUT(self) -> None:
        self._respond()

    def do_DELETE(self) -> None:
        self._respond()

    def handle_expect_100(self) -> bool:
        """Answer ``Expect: 100-continue`` before the body is sent: a refused body stays where it is."""
        try:
            self._check_route()
            self._length()
        except _RefusedError as refusal:
            self._body_read = False
            self._refuse(refusal)
            return False
        return super().handle_expect_100()

    def _respond(self) -> None:
        self._body_read = self.headers.get("Content-Length", "0") == "0" and "Transfer-Encoding" not in self.headers
        try:
            self._check_route()
            path = urlsplit(self.path).path
            if path == "/":
                policy = {"Content-Security-Policy": self.server.policy}
                self._send(HTTPStatus.OK, self.server.page, "text/html; charset=utf-8", policy)
            elif path == "/health":
                model = self.server.recogniser.path.name
                self._send_json(HTTPStatus.OK, {"version": JSON_VERSION, "status": "ok", "model": model})
            else:
                self._send_json(HTTPStatus.OK, self._recognise())
        except _RefusedError as refusal:
            self._refuse(refusal)
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        except Exception as error:  # noqa: BLE001 -- the client gets an answer and the server lives on
            sys.stderr.write(f"recognise: internal error: {error!r}\n")
            self._refuse(_RefusedError(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error"))

    def _check_route(self) -> None:
        path = urlsplit(self.path).path
        if path not in _METHODS:
            raise _RefusedError(HTTPStatus.NOT_FOUND, f"no such path; there are {', '.join(_METHODS)}")
        if self.command not in _METHODS[path]:
            allowed = ", ".join(_METHODS[path])
            raise _RefusedError(
                HTTPStatus.METHOD_NOT_ALLOWED, f"{path} takes {allowed}, not {self.command}", Allow=allowed
            )

    def _recognise(self) -> dict[str, Any]:
        top = self._top()
        data = self._body()
        if not self.server.slots.acquire(timeout=WAIT_SECONDS):
            raise _RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "busy; try again", Retry_After="1")
        try:
            answer = self.server.recogniser.recognise(data, top)
        except PictureError as error:
            raise _RefusedError(error.status, str(error)) from error
        except FileError as error:
            sys.stderr.write(f"recognise: error: {error}\n")
            raise _RefusedError(HTTPStatus.INTERNAL_SERVER_ERROR, "the model does not answer") from error
        finally:
            self.server.slots.release()
        seen = {"side": answer.seen.shape[0], "gray": base64.b64encode(answer.seen.tobytes()).decode()}
        return {"version": JSON_VERSION, **answer.facts(), "seen": seen}

    def _top(self) -> int:
        given = parse_qs(urlsplit(self.path).query, keep_blank_values=True).get("top", [str(self.server.top)])[0]
        if not re.fullmatch(r"[1-9][0-9]{0,3}", given):
            raise _RefusedError(HTTPStatus.BAD_REQUEST, f"top is {given[:20]!r}; expected a number from 1")
        return int(given)

    def _length(self) -> int:
        given = self.headers.get("Content-Length")
        if given is None or "Transfer-Encoding" in self.headers:
            raise _RefusedError(HTTPStatus.LENGTH_REQUIRED, "send the picture with a Content-Length")
        if not re.fullmatch(r"[0-9]{1,18}", given):
            raise _RefusedError(HTTPStatus.BAD_REQUEST, f"Content-Length is {given[:20]!r}; expected a number")
        length = int(given)
        if length > MAX_BYTES:
            raise _RefusedError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{length:,} bytes; at most {MAX_BYTES:,} are taken"
            )
        return length

    def _body(self) -> bytes:
        length = self._length()
        try:
            data = self.rfile.read(length)
        except TimeoutError as error:
            raise _RefusedError(HTTPStatus.REQUEST_TIMEOUT, "the picture did not arrive in time") from error
        if len(data) < length:
            raise ConnectionError("the client left")
        self._body_read = True
        return data

    def _refuse(self, refusal: _RefusedError) -> None:
        facts = {"version": JSON_VERSION, "error": str(refusal)}
        self._send_json(refusal.status, facts, refusal.headers)
        if not self._body_read:
            self._linger()

    def _linger(self) -> None:
        """Discard for a moment what the client still sends: a reset would destroy the answer on its way."""
        end = time.monotonic() + _LINGER_SECONDS
        with contextlib.suppress(OSError):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(0.5)
            while time.monotonic() < end and self.connection.recv(65536):
                pass

    def _send_json(self, status: HTTPStatus, facts: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(facts).encode(), "application/json", headers)

    def _send(self, status: HTTPStatus, body: bytes, content_type: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if not self._body_read:
            # What is left of this request would be taken for the next one.
            self.close_connection = True
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Faults that the base class finds (a malformed request line) are JSON too."""
        status = HTTPStatus(code)
        self.close_connection = True
        self._send_json(status, {"version": JSON_VERSION, "error": explain or message or status.phrase})

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the base class's name
        """Keep no log: pictures and addresses of people are nobody's business."""


def _content_policy(page: str) -> str:
    """A policy under which the page runs its own script and style and nothing else."""
    hashes = {}
    for tag in ("script", "style"):
        text = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digests = (base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in text)
        hashes[tag] = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {hashes['script']}; style-src {hashes['style']}; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
