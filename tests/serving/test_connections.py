"""Slow, malformed and hostile connections."""

import asyncio
import contextlib
import re
import socket
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from colorizenet.imaging.image import Image
from colorizenet.imaging.writing import encode_image
from colorizenet.serving.connections import PhotoResponse
from colorizenet.serving.jobs import Limits


def test_slow_senders_are_disconnected(run_server, connect, load_default):
    with run_server({"default": load_default}, Limits(idle_timeout=0.3)) as client:
        with connect(client) as sock:  # sends nothing
            assert sock.recv(100) == b""
        with connect(client) as sock:  # sends its headers one byte at a time
            started = time.monotonic()
            with contextlib.suppress(ConnectionError):
                for byte in b"POST /v1/colorize HTTP/1.1\r\n" * 10:
                    sock.sendall(bytes([byte]))
                    time.sleep(0.02)
            assert time.monotonic() - started < 2
        with connect(client) as sock:  # sends less of its body than it declared
            sock.sendall(
                b"POST /v1/colorize HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n\xff\xd8"
            )
            assert sock.recv(100).startswith(b"HTTP/1.1 408 ")
        assert client.get("/healthz").status_code == 200


def read_slowly(sock: socket.socket, number: int, pause: float, received: bytes = b"") -> bytes:
    """Read until the server disconnects, at most ``number`` bytes between two
    pauses."""
    with contextlib.suppress(ConnectionError):
        while part := sock.recv(number):
            received += part
            time.sleep(pause)
    return received


@pytest.fixture(scope="module")
def large_result(run_server, load_default) -> Iterator[tuple[httpx.Client, bytes]]:
    """A server with a short idle timeout, and a request whose result has 6 MB."""
    noise = np.random.default_rng(0).integers(0, 256, (1200, 1700), np.uint8)
    request = post(encode_image(Image(noise), "tiff"))
    with run_server({"default": load_default}, Limits(idle_timeout=0.5)) as client:
        yield client, request


def open_narrow(client: httpx.Client) -> socket.socket:
    """A connection that takes few bytes at once."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    sock.settimeout(20)
    sock.connect((client.base_url.host, client.base_url.port))
    return sock


def test_a_client_that_reads_slowly_gets_the_whole_result(large_result):
    client, request = large_result
    with open_narrow(client) as sock:
        sock.sendall(request)
        head, _, body = sock.recv(1500).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        length = int(re.search(rb"content-length: (\d+)", head)[1])  # type: ignore[index]
        started = time.monotonic()
        for _ in range(80):  # for several times the limit
            time.sleep(0.025)
            body += sock.recv(100_000)
        body = read_slowly(sock, 1 << 20, 0, body)
        assert time.monotonic() - started > 1 and len(body) == length > 2_000_000


def test_a_client_that_reads_nothing_is_disconnected_and_its_result_freed(large_result, wait_until):
    client, request = large_result
    with open_narrow(client) as sock:
        sock.sendall(request)
        assert sock.recv(12) == b"HTTP/1.1 200"
        assert "colorizenet_buffered_bytes 0.0" not in client.get("/metrics").text
        wait_until(lambda: "colorizenet_buffered_bytes 0.0" in client.get("/metrics").text)
        assert len(read_slowly(sock, 1 << 20, 0)) < 6_000_000


def test_the_health_is_answered_while_all_connections_are_taken(run_server, connect, load_default):
    limits = Limits(connections=5)
    with run_server({"default": load_default}, limits) as client, contextlib.ExitStack() as stack:
        taken = [stack.enter_context(connect(client)) for _ in range(20)]
        for _ in range(3):
            assert httpx.get(f"{client.base_url}/healthz").status_code == 200
        for sock in taken[:15]:  # the oldest were closed
            with contextlib.suppress(ConnectionError):
                assert sock.recv(10) == b""


def test_the_health_is_answered_while_no_client_reads_its_response(run_server, load_default):
    noise = np.random.default_rng(0).integers(0, 256, (160, 200), np.uint8)
    request = post(encode_image(Image(noise), "png")).replace(b"Connection: close\r\n", b"")
    with (
        run_server({"default": load_default}, Limits(connections=3)) as client,
        contextlib.ExitStack() as stack,
    ):
        for _ in range(3):
            sock = stack.enter_context(open_narrow(client))
            sock.sendall(request)
            assert sock.recv(12) == b"HTTP/1.1 200"
        time.sleep(0.2)  # the server has handed over all it can
        for _ in range(5):
            assert httpx.get(f"{client.base_url}/healthz").status_code == 200


def test_the_bodies_of_all_routes_are_timed(run_server, connect, load_default):
    with (
        run_server({"default": load_default}, Limits(idle_timeout=0.3)) as client,
        connect(client) as sock,
    ):
        for path in (b"/v1/colorize", b"/v1/models", b"/nowhere"):
            with connect(client) as sock:
                sock.sendall(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx" % path)
                started = time.monotonic()
                assert read_slowly(sock, 1000, 0).startswith(b"HTTP/1.1 4")
                assert time.monotonic() - started < 3


def test_malformed_headers_are_rejected(api, connect):
    for sent in (
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 100_000,
        b"\x16\x03\x01\x02\x00\x01",
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST /v1/colorize HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/colorize HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ):
        with connect(api) as sock:
            sock.sendall(sent + b"\r\n\r\n")
            with contextlib.suppress(ConnectionResetError):
                answer = read_slowly(sock, 1000, 0)
                assert answer.startswith(b"HTTP/1.1 4")
                assert b"application/problem+json" in answer and b'"invalid-request"' in answer


def test_headers_that_arrive_in_parts_and_are_too_long_have_their_status(api, connect):
    with connect(api) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 20_000)
        time.sleep(0.1)
        sock.sendall(b"y" * 20_000)
        assert read_slowly(sock, 1000, 0).startswith(b"HTTP/1.1 431 ")


def test_a_malformed_body_after_the_response_is_only_disconnected(api, connect, caplog):
    with connect(api) as sock:
        sock.sendall(b"POST /v1/no HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 404 ")
        sock.sendall(b"no number\r\n")
        read_slowly(sock, 1000, 0)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_headers_of_too_many_bytes_are_rejected(api, read_problem):
    for headers in (
        [*((f"X-{number}", "y" * 10_000) for number in range(3)), ("X-3", "y" * 5000)],
        [("X", "y" * 10_000)] * 4,
    ):
        response = api.get("/v1/models", headers=headers)
        # uvicorn closes the connection of headers that are longer still
        assert response.status_code in (400, 431)


def send(
    connection: socket.socket, content: bytes, *, end: bool = False, delay: float = 0
) -> bytes:
    """Send bytes and return the status line, or nothing where the server
    disconnects."""
    with connection, contextlib.suppress(ConnectionError):
        if delay:
            for i in range(0, len(content), 16):
                connection.sendall(content[i : i + 16])
                time.sleep(delay)
        else:
            connection.sendall(content)
        if end:
            connection.shutdown(socket.SHUT_WR)
        return connection.recv(4096)[:12]
    return b""


def post(body: bytes, length: int | None = None, headers: bytes = b"") -> bytes:
    lines = (
        b"POST /v1/colorize HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        b"Content-Length: %d\r\n%s\r\n"
    )
    return lines % (len(body) if length is None else length, headers) + body


def make_png(width: int, height: int) -> bytes:
    """A PNG file with most of its pixels missing."""
    header = b"IHDR" + width.to_bytes(4) + height.to_bytes(4) + bytes([8, 0, 0, 0, 0])
    chunks = (header, b"IDAT" + zlib.compress(bytes(100_000)), b"IEND")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(chunk[4:]).to_bytes(4) + chunk + zlib.crc32(chunk).to_bytes(4) for chunk in chunks
    )


def malformed_requests(gray: np.ndarray) -> list[tuple[bytes, dict[str, Any]]]:
    """A thousand requests from hostile clients and broken connections, of 17 kinds."""
    random = np.random.default_rng(0)
    jpeg = encode_image(Image(gray), "jpeg")
    form = b"Content-Type: multipart/form-data; boundary=x\r\n"
    head = b"POST /v1/colorize HTTP/1.1\r\nHost: x\r\n"
    kinds: list[Callable[[], tuple[bytes, dict[str, Any]]]] = [
        lambda: (post(jpeg[: random.integers(1, len(jpeg) - 100)]), {}),  # a truncated photo
        lambda: (post(jpeg[:1000], len(jpeg)), {"end": True}),  # a truncated body
        lambda: (post(jpeg[:1000], len(jpeg)), {}),  # a body that stops arriving
        lambda: (post(jpeg, 1000), {}),  # a body longer than declared
        lambda: (post(b"", -5), {}),
        lambda: (post(jpeg, headers=b"X: " + b"y" * 50_000 + b"\r\n"), {}),
        lambda: (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 2000, {}),
        lambda: (head + b"X: " + b"y" * 600, {"delay": 0.02}),
        lambda: (post(jpeg[:800]), {"delay": 0.002}),
        lambda: (post(make_png(60_000, 60_000)), {}),  # decompression bombs
        lambda: (post(make_png(900, 900)), {}),  # an incomplete photo
        lambda: (post(random.bytes(500)), {}),
        lambda: (random.bytes(200), {"end": True}),
        lambda: (post(b"--x\r\n" + random.bytes(300), headers=form), {}),
        lambda: (head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + random.bytes(50), {}),
        lambda: (post(jpeg, headers=b"Content-Length: 7\r\n"), {}),
        lambda: (b"", {}),  # a connection without a request
    ]
    return [kinds[i % len(kinds)]() for i in range(1000)]


def test_a_thousand_malformed_requests_do_no_harm(run_server, connect, load_default, gray):
    valid = encode_image(Image(gray), "jpeg")
    limits = Limits(max_pixels=1_000_000, timeout=5, idle_timeout=0.5, queue=1000)

    def fastest_response(client: httpx.Client) -> float:
        times = []
        for _ in range(5):
            started = time.perf_counter()
            assert client.post("/v1/colorize", content=valid).status_code == 200
            times.append(time.perf_counter() - started)
        return min(times)

    with run_server({"default": load_default}, limits) as client:
        before = fastest_response(client)
        with ThreadPoolExecutor(64) as pool:
            calls = [
                partial(lambda content, more: send(connect(client), content, **more), *request)
                for request in malformed_requests(gray)
            ]
            lines = list(pool.map(lambda call: call(), calls))
        assert {line for line in lines if not line.startswith(b"HTTP/1.1 4")} <= {b""}
        assert sum(1 for line in lines if line) > 600
        assert fastest_response(client) < 2 * before + 0.1
        metrics = client.get("/metrics").text
    assert 'status="500"' not in metrics
    for name in ("queue_length", "buffered_bytes", "in_progress"):
        assert f"colorizenet_{name} 0.0" in metrics


def test_the_file_of_a_result_is_closed_before_it_is_deleted(tmp_path):
    files, were_closed = [], []

    class Result(type(Path())):
        def open(self, *arguments, **more):
            files.append(super().open(*arguments, **more))
            return files[-1]

    @contextlib.contextmanager
    def hold():
        try:
            yield
        finally:
            were_closed.extend(file.closed for file in files)

    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        if message["type"] == "http.response.body":
            raise OSError("the client is gone")

    (tmp_path / "result.jpg").write_bytes(b"picture")
    response = PhotoResponse(Result(tmp_path / "result.jpg"), holding=hold())
    with pytest.raises(OSError, match="gone"):
        asyncio.run(response({}, receive, send))
    assert were_closed == [True]
