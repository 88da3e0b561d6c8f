"""The page as a visitor meets it, in Debian's Chromium; and what its routes refuse."""

import io
import json
import os
import re
import shutil
import signal
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
import pyvips
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from colorizenet.imaging.image import Image
from colorizenet.imaging.reading import read_image
from colorizenet.imaging.writing import encode_image

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
in_a_browser = pytest.mark.skipif(
    CHROMIUM is None and "CI" not in os.environ,
    reason="needs Chromium: apt-get install chromium",
)
SAMPLES = Path(__file__).parents[1] / "samples"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A server as people start it, with its page; it ends in good order although visitors are still there."""
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
        told = process.stderr.readline()
        address = told.removeprefix("the page and the API: ").strip()
        end = time.monotonic() + 90
        while (health := httpx.get(f"{address}/healthz").json())["page"] != "ready":
            assert health == {"status": "ready", "page": "starting"} and time.monotonic() < end
            time.sleep(0.1)
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
    assert CHROMIUM, "there is no Chromium, and this is CI"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, address) -> Iterator[Callable[..., Page]]:
    """Open the page in a browser of its own; what the console or another host would hear is a failure."""
    contexts: list[BrowserContext] = []
    faults: list[str] = []

    def heard(request: Any) -> None:
        if urlsplit(request.url).scheme not in ("data", "blob") and not request.url.startswith(
            f"{address}/"
        ):
            faults.append(f"asked {request.url}")

    def open(**options: Any) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        context.on("request", heard)
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
def test_a_photograph_comes_home_in_color(visit, tmp_path, gray):
    """16 bits and metadata included: what is downloaded is the file, not what the browser shows."""
    deep = np.repeat(np.repeat(gray.astype(np.uint16) * 257, 2, axis=0), 2, axis=1)
    carried = {"image-description": (pyvips.GValue.gstr_type, "Dorothea Lange")}
    sent = tmp_path / "grandmother's cat & dog <1921>.tif"
    sent.write_bytes(encode_image(Image(deep, carried=carried), "tiff"))
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
def test_the_slider_moves_by_hand_and_by_keyboard(visit):
    page = visit()
    page.get_by_role("button", name="Moose").click()
    slider = page.get_by_role("slider", name="How much of moose.jpg is shown as it was")
    slider.wait_for()

    def shown() -> float:
        edge = page.locator(".cn-before").evaluate("e => getComputedStyle(e).clipPath")
        return float(re.findall(r"([\d.]+)%", edge)[-1]) if "%" in edge else -1.0

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
def test_the_keyboard_alone_is_enough(visit):
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
def test_many_photographs_one_of_them_broken(visit, tmp_path):
    good, again = SAMPLES / "cat.jpg", tmp_path / "cat.jpg"
    shutil.copy(SAMPLES / "temple.jpg", again)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(good.read_bytes()[:9000])
    page = visit()
    choose(page, good, broken, again)
    expect(page.get_by_role("status").filter(has_text="in color")).to_have_text("2 of 3 in color")
    told = page.get_by_role("alert")
    expect(told).to_contain_text("broken.jpg")
    expect(told).to_contain_text("damaged or cut short")
    _, archive = download(page, page.locator("#zip"))
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        assert sorted(file.namelist()) == ["cat-color-2.jpg", "cat-color.jpg"]
        assert all(colorfulness(file.read(name)) > 3 for name in file.namelist())


@in_a_browser
def test_what_is_no_picture_or_too_large_is_said(visit, tmp_path):
    page = visit()
    (tmp_path / "letter.jpg").write_bytes(b"Dear Grandmother")
    choose(page, tmp_path / "letter.jpg")
    expect(page.get_by_role("alert")).to_contain_text("not a picture that is read here")


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
def test_it_fits_a_phone_in_light_and_dark(visit, scheme):
    page = visit(viewport={"width": 375, "height": 800}, color_scheme=scheme, has_touch=True)
    page.get_by_role("button", name="Moose").tap()
    page.get_by_role("link", name="Download").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground)[:3])) > 384) == (scheme == "light")
    picture, settings = (page.locator(name).bounding_box() for name in (".cn-compare", "#strength"))
    assert picture and settings and picture["width"] > 300 and picture["y"] < settings["y"]


def sending(address: str) -> Callable[[list[Any]], httpx.Response]:
    """Send the event that an upload sends, with files of our own choice."""
    config = httpx.get(f"{address}/config").json()
    event = next(d for d in config["dependencies"] if [t[1] for t in d["targets"]] == ["upload"])

    def send(files: list[Any]) -> httpx.Response:
        body = {
            "data": [files, 1, 160, "default"],
            "fn_index": event["id"],
            "session_hash": "abc",
            "event_data": None,
        }
        return httpx.post(f"{address}/gradio_api/queue/join", json=body)

    return send


def test_no_path_and_no_url_of_a_client_is_opened(address, tmp_path):
    (tmp_path / "secret.jpg").write_bytes((SAMPLES / "cat.jpg").read_bytes())
    upload = {"files": ("cat.jpg", (SAMPLES / "cat.jpg").read_bytes())}
    (held,) = httpx.post(f"{address}/gradio_api/upload", files=upload).json()
    meta, join = {"_type": "gradio.FileData"}, sending(address)
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
        assert response.json()["detail"].startswith("only files that were uploaded here")
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
def test_of_gradios_routes_only_what_the_page_needs_is_there(address, path):
    for method in ("GET", "POST"):
        # As it stands: httpx would tidy the path
        request = httpx.Request(method, address)
        request.url = httpx.URL(address).copy_with(raw_path=path.encode())
        with httpx.Client() as client:
            assert client.send(request).status_code in (404, 405), method


def test_uploads_that_are_too_large_are_refused_while_they_are_read(address):
    response = httpx.post(
        f"{address}/gradio_api/upload", files={"files": ("big.jpg", bytes(2_000_001))}
    )
    assert response.status_code == 413


def test_the_page_may_be_framed_by_nobody_and_asks_nobody_else(address):
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


def test_uploads_have_an_end_and_the_server_calls_nobody(tmp_path):
    """Old files are deleted, a full disk is refused, all are gone at the end; with a witness to every connection."""
    program = """
import os, sys
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import colorizenet.serving.page as ui
from colorizenet.cli import main

def witness(event, arguments):
    if event == "socket.connect" or event == "socket.getaddrinfo":
        where = arguments[1][0] if event == "socket.connect" else arguments[0]
        if where not in ("127.0.0.1", None):
            print("called", where, file=sys.stderr, flush=True)

sys.addaudithook(witness)
ui._KEPT, ui._ROOM = 3.0, 2
main(["serve", "--port", "0", "--max-bytes", "200000"])
"""
    command = [sys.executable, "-c", program]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stderr
            address = process.stderr.readline().removeprefix("the page and the API: ").strip()
            end = time.monotonic() + 90
            while httpx.get(f"{address}/healthz").json()["page"] != "ready":
                assert time.monotonic() < end
                time.sleep(0.1)

            def upload(number: int) -> httpx.Response:
                return httpx.post(
                    f"{address}/gradio_api/upload",
                    files={"files": ("a.jpg", bytes([number]) * 190_000)},
                )

            held = [upload(number).json()[0] for number in range(3)]
            assert all(path.startswith(str(tmp_path)) for path in held)
            assert "no room" in upload(4).json()["detail"]
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
