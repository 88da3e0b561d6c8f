"""The page in Chromium, and the requests that its routes reject."""

import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from colorizenet.imaging import tiff
from colorizenet.imaging.image import Image, Metadata
from colorizenet.imaging.reading import read_image
from colorizenet.imaging.writing import encode_image
from colorizenet.serving.settings import offered_choices

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
in_a_browser = pytest.mark.skipif(
    CHROMIUM is None and "CI" not in os.environ,
    reason="needs Chromium: apt-get install chromium",
)
SAMPLES = Path(__file__).parents[2] / "samples"


def wait_for_page(address: str) -> None:
    """Wait until Gradio has been imported; the API must answer meanwhile."""
    end = time.monotonic() + 90
    while (health := httpx.get(f"{address}/healthz").json())["page"] != "ready":
        assert health == {"status": "ready", "page": "starting"} and time.monotonic() < end
        time.sleep(0.1)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The URL of a server with its page, which must stop orderly while a visitor is
    connected."""
    command = [
        sys.executable,
        "-m",
        "colorizenet",
        "serve",
        "--port",
        "0",
        "--max-bytes",
        "2000000",
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        address = process.stderr.readline().removeprefix("serving the page and the API at ").strip()
        wait_for_page(address)
        try:
            yield address
            with httpx.stream("GET", f"{address}/gradio_api/heartbeat/visitor"):
                process.send_signal(signal.SIGTERM)
                assert process.wait(20) == 0
            assert process.stderr.read() == ""
        finally:
            process.kill()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert CHROMIUM, "Chromium is missing; CI must install it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, address) -> Iterator[Callable[..., Page]]:
    """Open the page in a new browser context.

    Errors in the console and requests to other hosts fail the test.
    """
    contexts: list[BrowserContext] = []
    faults: list[str] = []

    def check_request(request: Any) -> None:
        if urlsplit(request.url).scheme not in ("data", "blob") and not request.url.startswith(
            f"{address}/"
        ):
            faults.append(f"requested {request.url}")

    def open(**options: Any) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        context.on("request", check_request)
        context.on("weberror", lambda error: faults.append(str(error.error)))
        context.on(
            "console",
            lambda message: faults.append(message.text) if message.type == "error" else None,
        )
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.goto(address)
        page.locator("#files").wait_for()
        return page

    yield open
    for context in contexts:
        context.close()
    assert faults == []


def choose(page: Page, *files: Path) -> None:
    page.locator("#files input[type=file]").set_input_files([str(path) for path in files])


def download(page: Page, link: Any) -> tuple[str, bytes]:
    with page.expect_download() as pending:
        link.click()
    return pending.value.suggested_filename, Path(pending.value.path()).read_bytes()


def colorfulness(encoded: bytes) -> float:
    return float(np.ptp(read_image(encoded).pixels.astype(int), axis=2).mean())


@in_a_browser
def test_a_photo_is_uploaded_colorized_and_downloaded(visit, tmp_path, gray):
    """The download is the whole file, with 16 bits and metadata, not the preview."""
    deep = np.repeat(np.repeat(gray.astype(np.uint16) * 257, 2, axis=0), 2, axis=1)
    carried = Metadata(exif=tiff.make_exif_block({315: (tiff.ASCII, b"Dorothea Lange\0")}))
    sent = tmp_path / "grandmother's cat & dog <1921>.tif"
    sent.write_bytes(encode_image(Image(deep, metadata=carried), "tiff"))
    page = visit()
    choose(page, sent)
    name, encoded = download(page, page.get_by_role("link", name="Download"))
    result = read_image(encoded)
    assert name.endswith("-color.tif") and b"Dorothea Lange" in encoded
    assert result.pixels.dtype == np.uint16 and result.pixels.shape == (600, 902, 3)
    assert colorfulness(encoded) > 5 * 257
    expect(page.locator("figcaption")).to_contain_text("902 x 600 pixels, 16 bits, TIFF")
    assert page.evaluate(
        "[...document.querySelectorAll('.cn-compare img')].every(i => i.complete && i.naturalWidth)"
    )


@in_a_browser
def test_the_slider_moves_by_mouse_and_by_keyboard(visit):
    page = visit()
    page.get_by_role("button", name="Moose").click()
    slider = page.get_by_role("slider", name="Original part of moose.jpg, in percent")
    slider.wait_for()

    box = slider.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + box["height"] / 2)
    page.mouse.up()
    assert page.locator(".cn-compare").evaluate(
        "e => parseFloat(e.style.getPropertyValue('--at'))"
    ) == pytest.approx(80, abs=3)
    slider.press("Home")
    assert slider.input_value() == "0"
    slider.press("ArrowRight")
    assert page.locator(".cn-compare").evaluate("e => e.style.getPropertyValue('--at')") == "1%"


@in_a_browser
def test_the_page_works_with_the_keyboard_alone(visit):
    page = visit()
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id").startswith("sample-"):
            break
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Download").wait_for()
    strength = page.locator("#strength input[type=number]")
    with page.expect_response(re.compile(r"/results/.*\.after\.")):
        strength.fill("0")
        strength.press("Tab")
    page.locator("#again").focus()
    with page.expect_response(re.compile(r"/results/.*\.after\.")):
        page.keyboard.press("Enter")
    page.get_by_role("link", name="Download").focus()
    with page.expect_download() as pending:
        page.keyboard.press("Enter")
    assert colorfulness(Path(pending.value.path()).read_bytes()) == 0  # of strength 0


@in_a_browser
def test_of_many_photos_one_is_damaged(visit, tmp_path):
    good, again = SAMPLES / "cat.jpg", tmp_path / "cat.jpg"
    shutil.copy(SAMPLES / "temple.jpg", again)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(good.read_bytes()[:9000])
    page = visit()
    choose(page, good, broken, again)
    expect(page.get_by_role("status").filter(has_text="of 3 photos")).to_have_text(
        "2 of 3 photos colorized"
    )
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("broken.jpg")
    expect(alert).to_contain_text("damaged or cut short")
    _, archive = download(page, page.locator("#zip"))
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        assert sorted(file.namelist()) == ["cat-color-2.jpg", "cat-color.jpg"]
        assert all(colorfulness(file.read(name)) > 3 for name in file.namelist())


@in_a_browser
def test_files_that_are_not_photos_are_explained(visit, tmp_path):
    (tmp_path / "letter.jpg").write_bytes(b"Dear Grandmother")
    (tmp_path / "empty.jpg").write_bytes(b"")
    page = visit()
    choose(page, tmp_path / "letter.jpg", tmp_path / "empty.jpg")
    alerts = page.get_by_role("alert")
    expect(alerts).to_have_count(2)
    expect(alerts.nth(0)).to_contain_text("The file is not a photo in a supported format.")
    expect(alerts.nth(1)).to_contain_text("This file is empty. Choose another photo.")


@in_a_browser
def test_the_settings_change_the_result(visit):
    """Every control is on the page; a format is chosen and a wrong number is
    explained."""
    page = visit()
    page.get_by_role("button", name="Moose").click()
    page.get_by_role("link", name="Download").wait_for()
    page.get_by_role("button", name="More settings").click()
    for name in (*(choice.name for choice in offered_choices()), "model"):
        expect(page.locator(f"#{name}")).to_be_visible()
    page.locator("#format input").click()
    page.get_by_role("option", name="PNG").click()
    page.locator("#again").click()
    expect(page.locator("figcaption")).to_contain_text("PNG")
    name, encoded = download(page, page.get_by_role("link", name="Download"))
    assert name == "moose-color.png" and encoded.startswith(b"\x89PNG")
    size = page.locator("#size input")
    size.fill("8")
    size.press("Tab")
    page.locator("#again").click()
    expect(page.get_by_role("alert")).to_contain_text(
        "Size is 8. Give a whole number from 32 to 2048."
    )


@in_a_browser
def test_two_visitors_at_once(visit):
    pages = [visit(), visit()]
    for page, name in zip(pages, ("Temple", "Cameraman"), strict=True):
        page.get_by_role("button", name=name).click()
    for page, name in zip(pages, ("temple", "cameraman"), strict=True):
        given, encoded = download(page, page.get_by_role("link", name="Download"))
        assert given == f"{name}-color.jpg" and colorfulness(encoded) > 3


@in_a_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone_in_light_and_dark(visit, scheme):
    page = visit(viewport={"width": 375, "height": 800}, color_scheme=scheme, has_touch=True)
    page.get_by_role("button", name="Moose").tap()
    page.get_by_role("link", name="Download").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground)[:3])) > 384) == (scheme == "light")
    picture, settings = (page.locator(name).bounding_box() for name in (".cn-compare", "#strength"))
    assert picture and settings and picture["width"] > 300 and picture["y"] < settings["y"]


def prepare_events(address: str) -> Callable[[list[Any]], httpx.Response]:
    """A function that sends the event of an upload, with any files."""
    config = httpx.get(f"{address}/config").json()
    event = next(d for d in config["dependencies"] if [t[1] for t in d["targets"]] == ["upload"])

    defaults = [choice.default for choice in offered_choices()]

    def send(files: list[Any]) -> httpx.Response:
        body = {
            "data": [files, *defaults, "default"],
            "fn_index": event["id"],
            "session_hash": "abc",
            "event_data": None,
        }
        return httpx.post(f"{address}/gradio_api/queue/join", json=body)

    return send


def test_no_path_or_url_of_a_client_is_opened(address, tmp_path):
    (tmp_path / "secret.jpg").write_bytes((SAMPLES / "cat.jpg").read_bytes())
    upload = {"files": ("cat.jpg", (SAMPLES / "cat.jpg").read_bytes())}
    (held,) = httpx.post(f"{address}/gradio_api/upload", files=upload).json()
    meta, join = {"_type": "gradio.FileData"}, prepare_events(address)
    folder = Path(held).parents[1]
    for path in (
        "/etc/passwd",
        str(tmp_path / "secret.jpg"),
        "http://127.0.0.1:1/x.jpg",
        "https://example.com/x.jpg",
        "file:///etc/passwd",
        f"{folder}/../../etc/passwd",
        f"{held}/../../../../etc/passwd",
        str(folder),
        "",
        "\0",
        None,
        ["/etc/passwd"],
    ):
        response = join([{"path": path, "meta": meta}])
        assert response.status_code == 403, path
        assert response.json()["detail"].startswith("only files that were uploaded to this page")
        assert response.headers["content-type"] == "application/problem+json"
    assert (
        join([{"path": held, "url": "http://127.0.0.1:1/x.jpg", "meta": meta}]).status_code == 200
    )
    assert httpx.post(f"{address}/gradio_api/queue/join", content=b"{").status_code == 400
    assert httpx.post(f"{address}/gradio_api/queue/join", content=b"[" * 100_000).status_code == 400
    assert (
        httpx.post(f"{address}/gradio_api/queue/join", content=bytes(1_000_001)).status_code == 413
    )
    assert httpx.get(f"{address}/gradio_api/file={held}").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=https://example.com/x.jpg",
        "/gradio_api/file=../../etc/passwd",
        "/gradio_api/file=%2e%2e/%2e%2e/etc/passwd",
        "/gradio_api/file=C:\\windows\\win.ini",
        "/gradio_api/file//etc/passwd",
        "/gradio_api/proxy=https://example.com/",
        "/gradio_api/stream/abc/1/2/playlist.m3u8",
        "/gradio_api/custom_component/1/client/component/../../x.js",
        "/gradio_api/component_server",
        "/gradio_api/run/predict",
        "/gradio_api/call/predict",
        "/gradio_api/process_recording",
        "/gradio_api/vibe-code",
        "/gradio_api/vibe-edit",
        "/gradio_api/runs",
        "/gradio_api/deep_link",
        "/gradio_api/openapi.json",
        "/gradio_api/queue/status",
        "/monitoring",
        "/monitoring/summary",
        "/login",
        "/pwa_icon",
        "/static/../../../../etc/passwd",
        "/static/%2e%2e/%2e%2e/server.py",
        "/assets/..%2f..%2f..%2froutes.py",
        "/results/../secret",
        "/results/%2e%2e/%2e%2e/etc/passwd",
        "/samples/..%2f..%2fpyproject.toml",
        "/samples//etc/passwd",
    ],
)
def test_gradios_other_routes_do_not_exist(address, path):
    for method in ("GET", "POST"):
        # httpx would normalize the path
        request = httpx.Request(method, address)
        request.url = httpx.URL(address).copy_with(raw_path=path.encode())
        with httpx.Client() as client:
            assert client.send(request).status_code in (404, 405), method


def test_large_uploads_are_rejected_while_they_arrive(address):
    response = httpx.post(
        f"{address}/gradio_api/upload", files={"files": ("big.jpg", bytes(2_000_001))}
    )
    assert response.status_code == 413


def test_uploads_that_state_no_length_are_rejected(address):
    response = httpx.post(f"{address}/gradio_api/upload", content=iter([b"--x"]))
    assert response.status_code == 411 and "Content-Length" in response.json()["detail"]
    url = httpx.URL(address)
    with socket.create_connection((url.host, url.port), timeout=20) as connection:
        head = f"POST /gradio_api/upload HTTP/1.1\r\nHost: {url.host}:{url.port}\r\n"
        connection.sendall(f"{head}Content-Length: {'9' * 18}\r\n\r\nx".encode())
        assert connection.recv(12) == b"HTTP/1.1 413"


def test_uploads_of_a_killed_server_are_deleted_by_the_next_one(tmp_path):
    command = [sys.executable, "-m", "colorizenet", "serve", "--port", "0"]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    content = (SAMPLES / "cat.jpg").read_bytes()
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stderr
            address = process.stderr.readline().split()[-1]
            wait_for_page(address)
            upload = {"files": ("cat.jpg", content)}
            (held,) = httpx.post(f"{address}/gradio_api/upload", files=upload).json()
        finally:
            process.kill()
    assert Path(held).is_relative_to(tmp_path) and Path(held).read_bytes() == content
    with subprocess.Popen(
        [*command, "--no-page"], stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stderr and "serving" in process.stderr.readline()
        photos = [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size]
        process.terminate()
    assert photos == []


@in_a_browser
def test_what_is_lost_is_shown_with_the_photo(visit, tmp_path, color_photograph):
    (tmp_path / "a.png").write_bytes(encode_image(Image(color_photograph), "png"))
    page = visit()
    choose(page, tmp_path / "a.png")
    expect(page.locator("figcaption .cn-warning")).to_have_text(
        "The picture is already in color, and its colors are replaced."
    )


def test_the_security_headers_forbid_frames_and_other_hosts(address):
    page = httpx.get(address)
    assert (
        page.headers["x-frame-options"] == "DENY"
        and page.headers["x-content-type-options"] == "nosniff"
    )
    policy = page.headers["content-security-policy"]
    assert "default-src 'self'" in policy and "unsafe-eval" not in policy and "http" not in policy
    assert (
        json.loads(re.findall(r"window.gradio_config = (.*?);</script>", page.text)[0])[
            "analytics_enabled"
        ]
        is False
    )


def test_uploads_are_deleted_and_the_server_connects_to_no_host(tmp_path):
    """Old files are deleted, slow uploads and a full disk are reported, and nothing is
    left at the end."""
    program = """
import os, sys
from functools import partial
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
from colorizenet.colorizer import Colorizer
from colorizenet.serving.access import Access
from colorizenet.serving.http import serve
from colorizenet.serving.jobs import Limits

def report_connection(event, arguments):
    if event == "socket.connect" or event == "socket.getaddrinfo":
        host = arguments[1] if event == "socket.connect" else arguments[0]
        if isinstance(host, tuple):  # a path is the socket of a process of this machine
            host = host[0]
        elif event == "socket.connect":
            return
        if host not in ("127.0.0.1", None):
            print("connected to", host, file=sys.stderr, flush=True)

sys.addaudithook(report_connection)
serve(
    {"default": partial(Colorizer, threads=1)},
    limits=Limits(max_bytes=200_000, page_seconds=3.0, page_files=2, idle_timeout=3.0),
    access=Access(),
    host="127.0.0.1",
    port=0,
    with_page=True,
    announce=lambda url: print(url, file=sys.stderr, flush=True),
)
"""
    command = [sys.executable, "-c", program]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stderr
            address = process.stderr.readline().strip()
            wait_for_page(address)
            end = time.monotonic() + 90

            def upload(number: int) -> httpx.Response:
                return httpx.post(
                    f"{address}/gradio_api/upload",
                    files={"files": ("a.jpg", bytes([number]) * 190_000)},
                )

            url = httpx.URL(address)
            with socket.create_connection((url.host, url.port), timeout=20) as connection:
                connection.sendall(
                    b"POST /gradio_api/upload HTTP/1.1\r\nHost: localhost\r\n"
                    b"Content-Type: multipart/form-data; boundary=b\r\n"
                    b"Content-Length: 999\r\n\r\n--b\r\n"
                )
                assert connection.recv(12) == b"HTTP/1.1 408"
            held = [upload(number).json()[0] for number in range(2)]
            assert all(path.startswith(str(tmp_path)) for path in held)
            full = upload(4)
            assert full.status_code == 503 and full.headers["retry-after"]
            assert "disk space for photos is full" in full.json()["detail"]
            while httpx.get(f"{address}/gradio_api/file={held[0]}").status_code == 200:
                assert time.monotonic() < end
                time.sleep(0.1)
            assert httpx.get(f"{address}/gradio_api/file={held[0]}").status_code == 404
            assert upload(5).status_code == 200
            process.terminate()
            assert process.wait(20) == 0
            assert process.stderr.read() == ""
            assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
        finally:
            process.kill()
