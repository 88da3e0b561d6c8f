"""The API as its clients meet it: on a real socket, with real pictures, and with clients who mean no good."""

import contextlib
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import numpy as np
import pytest

from colorizenet.colorizer import Colorizer
from colorizenet.imaging.image import Image
from colorizenet.imaging.reading import read_image
from colorizenet.imaging.writing import encode_image
from colorizenet.serving import http as server
from colorizenet.serving import jobs as service
from colorizenet.serving.http import Access, App, Server
from colorizenet.serving.jobs import Limits, Service


class Gated(Colorizer):
    """A model that waits until it is let, and counts who came."""

    def __init__(self, path: Any) -> None:
        super().__init__(path, threads=1)
        self.gate, self.began, self.colored = threading.Event(), 0, 0

    def __call__(self, picture: Any, **choices: Any) -> Any:
        self.began += 1
        assert self.gate.wait(20)
        self.colored += 1
        return super().__call__(picture, **choices)


@contextmanager
def running(
    models: dict[str, Colorizer], limits: Limits | None = None, **access: Any
) -> Iterator[httpx.Client]:
    """A client of a server in this process, which stops in good order at the end."""
    app = App(Service(models, limits or Limits()), access=Access(**access))
    listening = socket.create_server(("127.0.0.1", 0))
    running = Server(app)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=30
        ) as client:
            assert client.get("/healthz").json() == {"status": "ready", "page": "off"}
            yield client
    finally:
        running.should_exit = True
        thread.join(30)
        listening.close()
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def colorizer() -> Colorizer:
    return Colorizer(threads=1)


@pytest.fixture(scope="module")
def api(colorizer) -> Iterator[httpx.Client]:
    """A server with the model inside the package and limits that are easy to reach."""
    with running(
        {"default": colorizer}, Limits(max_bytes=2_000_000, max_pixels=1_000_000)
    ) as client:
        yield client


@pytest.fixture
def gated(make_model) -> Iterator[Gated]:
    model = Gated(make_model())
    yield model
    model.gate.set()


def connection(client: httpx.Client) -> socket.socket:
    return socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=20)


def until(true: Callable[[], Any]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def refused(response: httpx.Response, status: int) -> str:
    """The sentence of a problem document, which is all that a client gets."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    told = response.json()
    assert told["status"] == status and told["title"] and "Traceback" not in response.text
    assert response.headers["x-content-type-options"] == "nosniff"
    return told["detail"]


def test_a_photograph_comes_back_as_the_python_api_colors_it(api, colorizer, samples):
    for path in samples[:2]:
        response = api.post("/v1/colorize", content=path.read_bytes(), params={"strength": 1.3})
        assert response.status_code == 200 and response.headers["content-type"] == "image/jpeg"
        assert response.content == encode_image(colorizer(read_image(path), strength=1.3))
        stages = [part.partition(";dur=") for part in response.headers["server-timing"].split(", ")]
        assert [stage[0] for stage in stages] == ["receive", "queue", "decode", "color", "encode"]
        assert float(stages[3][2]) > 1


def test_a_form_with_one_file_is_the_same_as_the_file(api, samples):
    encoded = samples[0].read_bytes()
    plain = api.post("/v1/colorize", content=encoded).content
    assert api.post("/v1/colorize", files={"file": ("../../etc/passwd", encoded)}).content == plain


def test_depth_transparency_and_metadata_survive(api):
    random = np.random.default_rng(0)
    deep, alpha = random.integers(0, 65536, (2, 40, 50), dtype=np.uint16)
    carried = {
        "exif-ifd0-Artist": (64, "Dorothea Lange (Dorothea Lange, ASCII, 15 components, 15 bytes)")
    }
    sent = encode_image(Image(deep, alpha, carried=carried), "tiff")
    response = api.post("/v1/colorize", content=sent)
    result = read_image(response.content)
    assert response.headers["content-type"] == "image/tiff" and result.pixels.dtype == np.uint16
    assert result.alpha is not None and np.array_equal(result.alpha, alpha)
    assert read_image(api.post("/v1/colorize?format=png", content=sent).content).format == "png"
    encoded = encode_image(Image((deep >> 8).astype(np.uint8), carried=carried), "jpeg")
    assert b"Dorothea Lange" in api.post("/v1/colorize", content=encoded).content
    assert "choose png or tiff" in refused(api.post("/v1/colorize?format=webp", content=sent), 422)


@pytest.mark.parametrize(
    ("query", "status", "sentence"),
    [
        ("strength=3", 422, "strength: Input should be less than or equal to 2"),
        ("strength=nan", 422, "strength"),
        ("strenth=1", 422, "strenth: Extra inputs are not permitted"),
        ("size=8", 422, "size: Input should be greater than or equal to 32"),
        ("format=gif89", 422, "format"),
        ("model=/etc/passwd", 422, "model: Input should be 'default'"),
        ("model=http://127.0.0.1/x.onnx", 422, "model: Input should be 'default'"),
    ],
)
def test_a_wrong_setting_is_named(api, samples, query, status, sentence):
    assert sentence in refused(
        api.post(f"/v1/colorize?{query}", content=samples[0].read_bytes()), status
    )


def test_a_wrong_picture_is_refused_in_words(api, gray, samples):
    jpeg = samples[0].read_bytes()

    def post(content: bytes) -> httpx.Response:
        return api.post("/v1/colorize", content=content)

    assert "has no picture in it" in refused(post(b""), 400)
    assert "not a picture that is read here; send jpeg" in refused(
        post(b"BM6\0\0\0" + bytes(100)), 415
    )
    assert "not a picture that is read here" in refused(
        post(b"<svg xmlns='http://www.w3.org/2000/svg'/>"), 415
    )
    assert "damaged or cut short" in refused(post(jpeg[:20_000]), 422)
    assert "damaged at its very start" in refused(post(jpeg[:3]), 422)
    big = encode_image(Image(np.zeros((1000, 1001), np.uint8)), "png")
    assert len(big) < 2_000_000 and "1001 x 1000 pixels" in refused(post(big), 413)


def test_a_bomb_is_refused_by_its_header(api):
    """A few bytes that claim 30,000 x 30,000 pixels: nothing is decoded for them."""
    header = b"IHDR" + (30_000).to_bytes(4) * 2 + bytes([8, 0, 0, 0, 0])
    data = b"IDAT" + zlib.compress(bytes(1_000_000))
    chunks = b"".join(
        len(c[4:]).to_bytes(4) + c + zlib.crc32(c).to_bytes(4) for c in (header, data, b"IEND")
    )
    started = time.monotonic()
    sentence = refused(api.post("/v1/colorize", content=b"\x89PNG\r\n\x1a\n" + chunks), 413)
    assert "30000 x 30000 pixels and the limit here is 1,000,000" in sentence
    assert time.monotonic() - started < 1


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"files": {"picture": b"x"}}, "no file named `file`"),
        ({"files": [("file", b"x"), ("file", b"y")]}, "Too many files"),
        ({"files": {"file": b"x"}, "data": {"strength": "2"}}, "settings in the URL"),
        (
            {"content": b"--", "headers": {"content-type": "multipart/form-data"}},
            "Missing boundary",
        ),
        (
            {
                "content": b"--b\r\nx",
                "headers": {"content-type": "multipart/form-data; boundary=b"},
            },
            "form",
        ),
    ],
)
def test_a_wrong_form_is_refused_in_words(api, form, sentence):
    assert sentence in refused(api.post("/v1/colorize", **form), 400)


def test_too_many_bytes_are_refused_while_they_are_read(api):
    assert "larger than the 2,000,000 bytes" in refused(
        api.post("/v1/colorize", content=bytes(2_000_001)), 413
    )
    with connection(api) as sock:  # a body without a length and without an end
        sock.sendall(b"POST /v1/colorize HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"%x\r\n%s\r\n" % (65536, bytes(65536))
        for _ in range(31):
            sock.sendall(chunk)
        assert sock.recv(100).startswith(b"HTTP/1.1 413 ")
    with connection(api) as sock:  # a length that is too large is enough
        sock.sendall(
            b"POST /v1/colorize HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n"
        )
        assert sock.recv(100).startswith(b"HTTP/1.1 413 ")


def test_what_all_clients_send_together_is_bounded(colorizer, gated, gray):
    encoded = encode_image(Image(gray), "png")
    limits = Limits(max_bytes=len(encoded), concurrency=2, queue=99)
    with running({"gated": gated}, limits) as client, ThreadPoolExecutor(8) as pool:
        accepted = [pool.submit(client.post, "/v1/colorize", content=encoded) for _ in range(4)]
        until(lambda: f"held_bytes {4.0 * len(encoded)}" in client.get("/metrics").text)
        response = client.post("/v1/colorize", content=encoded)
        assert "too many bytes are on their way" in refused(response, 503)
        assert int(response.headers["retry-after"]) >= 1
        gated.gate.set()
        assert [done.result().status_code for done in accepted] == [200] * 4


def test_past_the_queue_clients_are_told_when_to_come_again(gated, gray):
    encoded = encode_image(Image(gray), "png")
    with (
        running({"gated": gated}, Limits(concurrency=2, queue=3)) as client,
        ThreadPoolExecutor(8) as pool,
    ):
        accepted = [pool.submit(client.post, "/v1/colorize", content=encoded) for _ in range(5)]
        until(lambda: "queue_length 3.0" in client.get("/metrics").text)
        response = client.post("/v1/colorize", content=encoded)
        assert "3 pictures are waiting already" in refused(response, 503)
        assert int(response.headers["retry-after"]) >= 1
        gated.gate.set()
        assert [done.result().status_code for done in accepted] == [200] * 5
        figures = client.get("/metrics").text
    assert 'colorizenet_pictures_total{outcome="colored"} 5.0' in figures
    assert 'colorizenet_pictures_total{outcome="no place"} 1.0' in figures
    assert 'colorizenet_requests_total{route="/v1/colorize",status="503"} 1.0' in figures
    assert (
        "queue_length 0.0" in figures
        and "in_progress 0.0" in figures
        and "held_bytes 0.0" in figures
    )
    assert 'colorizenet_stage_seconds_count{stage="color"} 5.0' in figures


def test_giants_do_not_starve_the_small(gated, make_model, gray, monkeypatch):
    monkeypatch.setattr(service, "LARGE", 100_000)
    giant, small = encode_image(Image(gray), "png"), encode_image(Image(gray[:50, :50]), "png")
    models = {"gated": gated, "quick": Colorizer(make_model("quick.onnx"), threads=1)}
    with running(models, Limits(concurrency=3, queue=4)) as client, ThreadPoolExecutor(16) as pool:
        giants = [
            pool.submit(client.post, "/v1/colorize?model=gated", content=giant) for _ in range(6)
        ]
        until(lambda: "queue_length 4.0" in client.get("/metrics").text)
        assert gated.began == 2
        refused(client.post("/v1/colorize?model=quick", content=giant), 503)
        for _ in range(8):
            assert client.post("/v1/colorize?model=quick", content=small).status_code == 200
        assert not any(done.done() for done in giants)
        gated.gate.set()
        assert [done.result().status_code for done in giants] == [200] * 6


def test_a_picture_that_takes_too_long_is_given_up_and_keeps_its_place(gated, gray):
    encoded = encode_image(Image(gray), "png")
    with running({"gated": gated}, Limits(concurrency=2, queue=0, seconds=1)) as client:
        for _ in range(2):
            sentence = refused(client.post("/v1/colorize", content=encoded), 503)
            assert "not done within 1 s" in sentence
        assert "waiting already" in refused(client.post("/v1/colorize", content=encoded), 503)
        gated.gate.set()
        until(lambda: "in_progress 0.0" in client.get("/metrics").text)
        assert client.post("/v1/colorize", content=encoded).status_code == 200


def test_nothing_is_colored_for_a_client_that_has_left(gated, gray):
    encoded = encode_image(Image(gray), "png")
    head = b"POST /v1/colorize HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(encoded)
    with (
        running({"gated": gated}, Limits(concurrency=2, queue=9)) as client,
        contextlib.ExitStack() as stack,
    ):
        here = [stack.enter_context(connection(client)) for _ in range(2)]
        gone = [stack.enter_context(connection(client)) for _ in range(5)]
        for sock in here:
            sock.sendall(head + encoded)
        until(lambda: gated.began == 2)
        for sock in gone:
            sock.sendall(head + encoded)
        until(lambda: "queue_length 5.0" in client.get("/metrics").text)
        for sock in gone:
            sock.close()
        until(lambda: "queue_length 0.0" in client.get("/metrics").text)
        gated.gate.set()
        assert all(sock.recv(12) == b"HTTP/1.1 200" for sock in here)
        assert gated.colored == 2


def test_slow_senders_are_not_waited_for(colorizer, monkeypatch):
    monkeypatch.setattr(server, "_IDLE", 0.3)
    with running({"default": colorizer}) as client:
        with connection(client) as sock:  # says nothing
            assert sock.recv(100) == b""
        with connection(client) as sock:  # begins its headers, one byte at a time
            started = time.monotonic()
            with contextlib.suppress(ConnectionError):
                for byte in b"POST /v1/colorize HTTP/1.1\r\n" * 10:
                    sock.sendall(bytes([byte]))
                    time.sleep(0.02)
            assert time.monotonic() - started < 2
        with connection(client) as sock:  # promises a body
            sock.sendall(
                b"POST /v1/colorize HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n\xff\xd8"
            )
            assert sock.recv(100).startswith(b"HTTP/1.1 408 ")
        assert client.get("/healthz").status_code == 200


def test_the_seconds_of_a_body_are_counted_as_a_whole(colorizer):
    with running({"default": colorizer}, Limits(seconds=0.5)) as client, connection(client) as sock:
        sock.sendall(b"POST /v1/colorize HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(20):
                sock.sendall(b"\xff")
                time.sleep(0.05)
        assert sock.recv(100).startswith(b"HTTP/1.1 408 ")


def test_a_token_is_asked_for(colorizer, samples):
    encoded = samples[0].read_bytes()
    with running({"default": colorizer}, token="open sesame") as client:
        for path in ("/", "/v1/models", "/metrics", "/docs"):
            assert "Authorization: Bearer TOKEN" in refused(client.get(path), 401)
        asked = client.post(
            "/v1/colorize", content=encoded, headers={"Authorization": "Bearer open"}
        )
        assert "token" in refused(asked, 401) and asked.headers["www-authenticate"].startswith(
            "Bearer"
        )
        assert client.get("/").headers["www-authenticate"].startswith("Basic")
        bearer = {"Authorization": "Bearer open sesame"}
        assert client.post("/v1/colorize", content=encoded, headers=bearer).status_code == 200
        assert client.get("/v1/models", auth=("anybody", "open sesame")).status_code == 200
        refused(client.get("/v1/models", auth=("open sesame", "")), 401)
        refused(
            client.get("/v1/models", headers={"Authorization": "Basic ÿ%%".encode("latin-1")}), 401
        )


def test_pages_of_other_sites_may_not_use_the_server(api, colorizer, samples):
    encoded = samples[0].read_bytes()
    evil = {"Origin": "https://evil.example"}
    assert "https://evil.example may not" in refused(
        api.post("/v1/colorize", content=encoded, headers=evil), 403
    )
    assert "access-control-allow-origin" not in api.get("/v1/models", headers=evil).headers
    own = {"Origin": f"http://{api.base_url.netloc.decode()}"}
    assert api.post("/v1/colorize", content=encoded, headers=own).status_code == 200
    with running(
        {"default": colorizer},
        hosts=frozenset({"127.0.0.1"}),
        origins=frozenset({"https://friend.example"}),
    ) as client:
        friend = client.post(
            "/v1/colorize", content=encoded, headers={"Origin": "https://friend.example"}
        )
        assert friend.headers["access-control-allow-origin"] == "https://friend.example"
        refused(client.post("/v1/colorize", content=encoded, headers=evil), 403)
        # A name of theirs that leads to this machine
        for host in ("evil.example:80", "[", "127.0.0.1.evil.example", "127.0.0.1@evil.example"):
            assert f"not {host}" in refused(client.get("/v1/models", headers={"Host": host}), 421)


def test_what_is_not_there_and_what_is_not_done(api):
    assert "nothing at /v1/nowhere" in refused(api.get("/v1/nowhere"), 404)
    for path in (
        "/gradio_api/file=/etc/passwd",
        "/file=/etc/passwd",
        "/..%2f..%2fetc/passwd",
        "/static/x",
    ):
        refused(api.get(path), 404)
    assert api.delete("/v1/colorize").headers["allow"] == "POST"
    assert "DELETE is not for /v1/colorize" in refused(api.delete("/v1/colorize"), 405)
    assert api.get("/").headers["location"] == "/docs"


def test_a_fault_of_ours_is_in_the_log_and_not_in_the_answer(make_model, gray, caplog):
    class Faulty(Colorizer):
        def __call__(self, *_: Any, **__: Any) -> Any:
            raise ZeroDivisionError("a secret")

    with running({"faulty": Faulty(make_model())}) as client:
        response = client.post("/v1/colorize", content=encode_image(Image(gray), "png"))
        assert "not yours" in refused(response, 500) and "secret" not in response.text
        assert response.headers["content-security-policy"]
        assert client.get("/healthz").status_code == 200
    instance = response.json()["instance"]
    logged = [record for record in caplog.records if instance in record.getMessage()]
    assert len(logged) == 1 and logged[0].exc_info and "secret" in str(logged[0].exc_info[1])


def test_the_models_are_described(api, colorizer):
    (told,) = api.get("/v1/models").json()
    assert (
        told["name"] == "default" and told["default"] is True and told["sha256"] == colorizer.sha256
    )
    assert told["license"] and told["figures"]["ciede2000"] > 0


def test_the_api_describes_itself_without_any_other_host(api):
    document = api.get("/openapi.json").json()
    assert set(document["paths"]) == {"/v1/colorize", "/v1/models", "/healthz", "/metrics"}
    colorize = document["paths"]["/v1/colorize"]["post"]
    assert {parameter["name"] for parameter in colorize["parameters"]} == {
        "strength",
        "size",
        "format",
        "model",
    }
    page = api.get("/docs")
    assert page.status_code == 200 and "swagger-ui" in page.text
    assert "://" not in page.text.replace("http://www.w3.org", "")
    assert api.get("/static-offline-docs/swagger-ui-bundle.js").status_code == 200


def test_headers_that_are_too_large_and_lines_that_are_none(api):
    for sent in (
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 100_000,
        b"\x16\x03\x01\x02\x00\x01",
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST /v1/colorize HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/colorize HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ):
        with connection(api) as sock:
            sock.sendall(sent + b"\r\n\r\n")
            with contextlib.suppress(ConnectionResetError):
                assert sock.recv(100).startswith(b"HTTP/1.1 4")


def test_a_server_that_stops_finishes_what_it_accepted(gated, gray):
    encoded = encode_image(Image(gray), "png")
    with ThreadPoolExecutor(8) as pool:
        with running({"gated": gated}, Limits(concurrency=2, queue=9)) as client:
            accepted = [
                pool.submit(httpx.post, f"{client.base_url}/v1/colorize", content=encoded)
                for _ in range(6)
            ]
            until(lambda: "queue_length 4.0" in client.get("/metrics").text)
            threading.Timer(0.5, gated.gate.set).start()  # by then it is stopping
        assert [done.result().status_code for done in accepted] == [200] * 6


def answered(client: httpx.Client, sent: bytes, *, then: str = "wait", slowly: float = 0) -> bytes:
    """The status line that a sender of such bytes gets, or nothing where it is hung up on; it must be one of these."""
    with connection(client) as sock, contextlib.suppress(ConnectionError):
        if slowly:
            for i in range(0, len(sent), 16):
                sock.sendall(sent[i : i + 16])
                time.sleep(slowly)
        else:
            sock.sendall(sent)
        if then == "end":
            sock.shutdown(socket.SHUT_WR)
        return sock.recv(4096)[:12]
    return b""


def malformed(gray: np.ndarray) -> list[tuple[bytes, dict[str, Any]]]:
    """A thousand requests of clients who mean no good, or whose connection is no good."""
    random = np.random.default_rng(0)
    jpeg = encode_image(Image(gray), "jpeg")

    def post(body: bytes, length: int | None = None, headers: bytes = b"") -> bytes:
        head = b"POST /v1/colorize HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n%s\r\n"
        return head % (len(body) if length is None else length, headers) + body

    def png(width: int, height: int) -> bytes:
        header = b"IHDR" + width.to_bytes(4) + height.to_bytes(4) + bytes([8, 0, 0, 0, 0])
        chunks = (header, b"IDAT" + zlib.compress(bytes(100_000)), b"IEND")
        return b"\x89PNG\r\n\x1a\n" + b"".join(
            len(chunk[4:]).to_bytes(4) + chunk + zlib.crc32(chunk).to_bytes(4) for chunk in chunks
        )

    kinds: list[Callable[[], tuple[bytes, dict[str, Any]]]] = [
        lambda: (post(jpeg[: random.integers(1, len(jpeg) - 100)]), {}),  # a picture cut short
        lambda: (post(jpeg[:1000], len(jpeg)), {"then": "end"}),  # a body cut short
        lambda: (post(jpeg[:1000], len(jpeg)), {}),  # a body that stops coming
        lambda: (post(jpeg, 1000), {}),  # a body that is longer than it says
        lambda: (post(b"", -5), {}),
        lambda: (post(jpeg, headers=b"X: " + b"y" * 50_000 + b"\r\n"), {}),
        lambda: (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 2000, {}),
        lambda: (b"POST /v1/colorize HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 600, {"slowly": 0.02}),
        lambda: (post(jpeg[:800]), {"slowly": 0.002}),
        lambda: (post(png(60_000, 60_000)), {}),  # bombs
        lambda: (post(png(900, 900)), {}),  # of which most is missing
        lambda: (post(random.bytes(500)), {}),
        lambda: (random.bytes(200), {"then": "end"}),
        lambda: (
            post(
                b"--x\r\n" + random.bytes(300),
                headers=b"Content-Type: multipart/form-data; boundary=x\r\n",
            ),
            {},
        ),
        lambda: (
            b"POST /v1/colorize HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
            + random.bytes(50),
            {},
        ),
        lambda: (post(jpeg, headers=b"Content-Length: 7\r\n"), {}),
        lambda: (b"", {}),  # a connection and no word
    ]
    return [kinds[i % len(kinds)]() for i in range(1000)]


def test_a_thousand_malformed_requests_harm_nobody(colorizer, gray, monkeypatch):
    monkeypatch.setattr(server, "_IDLE", 0.5)
    good = encode_image(Image(gray), "jpeg")
    with running(
        {"default": colorizer}, Limits(max_pixels=1_000_000, seconds=5, queue=1000)
    ) as client:

        def quickest() -> float:
            took = []
            for _ in range(5):
                started = time.perf_counter()
                assert client.post("/v1/colorize", content=good).status_code == 200
                took.append(time.perf_counter() - started)
            return min(took)

        before = quickest()
        with ThreadPoolExecutor(64) as pool:
            told = list(
                pool.map(lambda sent: answered(client, sent[0], **sent[1]), malformed(gray))
            )
        assert {line for line in told if not line.startswith(b"HTTP/1.1 4")} <= {b""}
        assert sum(1 for line in told if line) > 600
        assert quickest() < 2 * before + 0.1
        figures = client.get("/metrics").text
    assert 'status="500"' not in figures
    assert (
        "queue_length 0.0" in figures
        and "held_bytes 0.0" in figures
        and "in_progress 0.0" in figures
    )
