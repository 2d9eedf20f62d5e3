"""deploy/python: the HTTP endpoint, over a real socket."""

from __future__ import annotations

import base64
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from digit_recogniser import decode as decode_module
from digit_recogniser.errors import UsageError
from digit_recogniser.model import Recogniser
from digit_recogniser.serve import DigitServer
from PIL import Image

from tests.deploy.digit_drawing import draw, encode
from tests.deploy.python_app import APP, png_bomb


@pytest.fixture(scope="module")
def server(recogniser: Recogniser) -> Iterator[DigitServer]:
    with DigitServer(recogniser, "127.0.0.1", 0) as serving:
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


Reply = tuple[int, dict[str, str], bytes]


def ask(
    server: DigitServer,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> Reply:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


def error_of(reply: Reply) -> str:
    assert reply[1]["Content-Type"] == "application/json"
    facts = json.loads(reply[2])
    assert facts.keys() == {"version", "error"}
    return str(facts["error"])


def test_http_answers(server: DigitServer) -> None:
    for file_format in ("PNG", "JPEG"):
        status, headers, body = ask(server, "POST", "/recognise?top=2", encode(draw("3"), file_format))
        answer = json.loads(body)
        assert (status, headers["Content-Type"], answer["label"]) == (200, "application/json", "3")
        assert len(answer["candidates"]) == 2
        seen = np.frombuffer(base64.b64decode(answer["seen"]["gray"]), np.uint8)
        assert (answer["seen"]["side"], seen.size, seen.max()) == (28, 784, 255)


def test_http_page_and_health(server: DigitServer) -> None:
    status, headers, body = ask(server, "GET", "/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert b"<canvas" in body
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["Content-Security-Policy"].count("'sha256-") == 2
    status, headers, body = ask(server, "HEAD", "/")
    assert (status, body) == (200, b"")
    status, _, body = ask(server, "GET", "/health")
    assert (status, json.loads(body)["status"]) == (200, "ok")


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/recognise", b"not a picture", 415),
        ("POST", "/recognise", b"", 415),
        ("POST", "/recognise", encode(Image.new("L", (40, 40), 255)), 422),
        ("POST", "/recognise", png_bomb(8000), 413),
        ("POST", "/recognise?top=0", encode(draw("3")), 400),
        ("POST", "/recognise?top=-1", encode(draw("3")), 400),
        ("POST", "/nowhere", encode(draw("3")), 404),
        ("GET", "/../etc/passwd", None, 404),
        ("GET", "/page.html", None, 404),
        ("POST", "/", encode(draw("3")), 405),
        ("POST", "/health", b"x", 405),
        ("PUT", "/recognise", encode(draw("3")), 405),
        ("DELETE", "/", None, 405),
        ("BREW", "/", None, 501),
    ],
)
def test_http_faults_are_json(server: DigitServer, method: str, path: str, body: bytes | None, status: int) -> None:
    reply = ask(server, method, path, body)
    assert reply[0] == status
    assert error_of(reply)
    if status == 405:
        assert reply[1]["Allow"]
    assert ask(server, "GET", "/health")[0] == 200


def test_http_method_not_allowed_names_what_is(server: DigitServer) -> None:
    assert ask(server, "GET", "/recognise")[1]["Allow"] == "POST"


def test_http_refuses_too_large_a_body_unread(server: DigitServer) -> None:
    reply = ask(server, "POST", "/recognise", bytes(decode_module.MAX_BYTES + 1))
    assert reply[0] == 413
    assert "at most" in error_of(reply)
    assert reply[1]["Connection"] == "close"


def _raw(server: DigitServer, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=20) as connection:
        connection.sendall(request)
        received = b""
        while part := connection.recv(65536):
            received += part
        return received


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"POST /recognise HTTP/1.1\r\nConnection: close\r\n\r\n", b"411"),
        (b"POST /recognise HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"411"),
        (b"POST /recognise HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"POST /recognise HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", b"413"),
        (b"POST /recognise HTTP/1.1\r\nContent-Length: 99999999\r\nExpect: 100-continue\r\n\r\n", b"413"),
        (b"POST /no HTTP/1.1\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n", b"404"),
        (
            b"GET /health HTTP/1.1\r\nContent-Length: 44\r\n\r\nGET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n",
            b"200",
        ),
        (b"nonsense\r\n\r\n", b"400"),
    ],
)
def test_http_protocol_edges(server: DigitServer, request_: bytes, status: bytes) -> None:
    received = _raw(server, request_)
    assert status in received.split(b"\r\n")[0] or received.startswith(b"{")
    # Bytes of a refused or ignored body are never taken for the next request.
    assert received.count(b"HTTP/1.1 ") <= 1


def test_http_keeps_a_connection_and_answers_side_by_side(server: DigitServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    for digit in "347":
        connection.request("POST", "/recognise", encode(draw(digit)))
        assert json.loads(connection.getresponse().read())["label"] == digit
    connection.close()
    answers: dict[str, str] = {}

    def one(digit: str) -> None:
        answers[digit] = json.loads(ask(server, "POST", "/recognise", encode(draw(digit)))[2])["label"]

    threads = [threading.Thread(target=one, args=(digit,)) for digit in "0234578"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {digit: digit for digit in "0234578"}


def test_http_says_when_it_is_busy(server: DigitServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("digit_recogniser.serve.WAIT_SECONDS", 0.05)
    monkeypatch.setattr(server, "slots", threading.BoundedSemaphore(1))
    with server.slots:
        reply = ask(server, "POST", "/recognise", encode(draw("3")))
    assert (reply[0], reply[1]["Retry-After"]) == (503, "1")


def test_taken_port_is_a_usage_error(server: DigitServer, recogniser: Recogniser) -> None:
    with pytest.raises(UsageError, match="choose another"):
        DigitServer(recogniser, "127.0.0.1", server.server_port)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_serving_stops_cleanly(model_path: Path, stop: signal.Signals) -> None:
    words = [sys.executable, str(APP / "recognise.py"), "--model", str(model_path), "--serve", "0"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.fullmatch(r"serving on http://127\.0\.0\.1:(\d+)/ \(Ctrl-C stops\)\n", line)
        assert found
        connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=20)
        connection.request("POST", "/recognise", encode(draw("7")))
        assert json.loads(connection.getresponse().read())["label"] == "7"
        process.send_signal(stop)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert (process.returncode, out, err) == (0, "stopped\n", "")
