"""The engine of the page that colorizes on the server, in Chromium."""

import base64
import json
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import BrowserContext, Page

from colorizenet.imaging import tiff
from colorizenet.imaging.image import Image, Metadata
from colorizenet.imaging.reading import read_image
from colorizenet.imaging.writing import encode_image

SAMPLES = Path(__file__).parents[3] / "samples"

HELPERS = """
const settings = {model: null, strength: 1, format: null, hints: []};
const never = new AbortController().signal;
const toFile = (encoded, name) =>
  new File([Uint8Array.from(atob(encoded), (c) => c.charCodeAt(0))], name);
const toBase64 = async (blob) => {
  const url = await new Promise((resolve) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.readAsDataURL(blob);
  });
  return url.slice(url.indexOf(",") + 1);
};
const sizeOf = async (blob) => {
  const bitmap = await createImageBitmap(blob);
  return [bitmap.width, bitmap.height];
};
const describe = (error) => ({
  name: error.name, code: error.code, message: error.message, status: error.status,
  values: error.values,
});
const { ServerEngine } = await import("/server/engine.js");
const { PageError } = await import("/errors.js");
const engine = new ServerEngine();
const info = await engine.start();
"""


@pytest.fixture(scope="module")
def address(run_serve) -> Iterator[str]:
    """The URL of a server with its page."""
    limits = ("--max-bytes", 4_000_000, "--max-pixels", 5_000_000)
    with run_serve(*limits) as (address, _):
        yield address


@pytest.fixture
def visit(browser) -> Iterator[Callable[..., Page]]:
    """Open a document of a server that runs no script of its own."""
    contexts: list[BrowserContext] = []

    def visit(address: str, **options: Any) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.goto(f"{address}/errors.js")
        return page

    yield visit
    for context in contexts:
        context.close()


def run(page: Page, program: str, **values: Any) -> Any:
    """What a program with ``engine`` and ``HELPERS`` returns; bytes become base64."""
    encoded = {
        name: base64.b64encode(value).decode() if isinstance(value, bytes) else value
        for name, value in values.items()
    }
    names = ", ".join(encoded) or "_"
    return page.evaluate(f"async ({{{names}}}) => {{{HELPERS}{program}}}", encoded)


def make_jpeg(width: int, height: int, **more: Any) -> bytes:
    """A JPEG file with some structure."""
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return encode_image(Image(((across + down) / 2).astype(np.uint8), **more), "jpeg")


def measure_colors(encoded: bytes) -> float:
    return float(np.ptp(read_image(encoded).pixels.astype(int), axis=2).mean())


def test_the_engine_describes_the_server(visit, address):
    info = run(visit(address), "return info")
    assert info["limits"] == {"maxBytes": 4_000_000, "maxPixels": 5_000_000, "maxPages": 20}
    assert {"jpeg", "png", "tiff"} <= set(info["formats"]) & set(info["readable"])
    model, other = info["models"]
    assert model["name"] == "default" and model["default"] and model["takesHints"]
    assert other["name"] == "diverse" and not other["default"]
    assert model["drawsFor"] is None and other["drawsFor"] == "default"
    assert model["drawsVariants"] and other["drawsVariants"] and len(model["sha256"]) == 64
    assert info["version"] and info["license"] == "Apache-2.0"


def test_a_photo_is_colorized_with_its_metadata_and_reports_progress(visit, address):
    carried = Metadata(exif=tiff.make_exif_block({315: (tiff.ASCII, b"Dorothea Lange\0")}))
    photo = encode_image(Image(np.full((90, 120), 40_000, np.uint16), metadata=carried), "tiff")
    done = run(
        visit(address),
        """
        const stages = [];
        const result = await engine.colorize(
          toFile(photo, "a.tif"), settings,
          {signal: never, onProgress: ({stage}) => stages.push(stage)},
        );
        return {...result, blob: await toBase64(result.blob), stages: [...new Set(stages)]};
        """,
        photo=photo,
    )
    encoded = base64.b64decode(done["blob"])
    assert done["format"] == "tiff" and done["seconds"] > 0
    assert done["stages"] == ["uploading", "coloring"]
    assert b"Dorothea Lange" in encoded and read_image(encoded).pixels.dtype == np.uint16


def test_the_settings_reach_the_server(visit, address):
    """Hints, a neutral one among them, the strength and the format."""
    done = run(
        visit(address),
        """
        const hints = [{x: 0.25, y: 0.5, color: "#c02020", radius: 0.2},
                       {x: 0.75, y: 0.5, color: null, radius: 0.2}];
        const result = await engine.colorize(
          toFile(photo, "a.jpg"), {...settings, format: "png", strength: 0, hints},
          {signal: never},
        );
        return {...result, blob: await toBase64(result.blob)};
        """,
        photo=make_jpeg(200, 100),
    )
    pixels = read_image(base64.b64decode(done["blob"])).pixels.astype(int)
    assert done["format"] == "png"
    assert pixels[50, 50, 0] > pixels[50, 50, 1] + 40 and np.ptp(pixels[50, 150]) <= 2


def test_a_preview_is_small_upright_and_colored(visit, address):
    page = visit(address)
    for photo, width, height in (
        (make_jpeg(1600, 1200), 1600, 1200),
        (encode_image(Image(np.full((600, 900), 40_000, np.uint16)), "tiff"), 900, 600),
    ):
        done = run(
            page,
            """
            const preview = await engine.open(toFile(photo, "a"), {signal: never, side: 400});
            const before = await preview.before();
            const after = await preview.render(settings, never);
            return {
              size: [preview.width, preview.height], type: after.type,
              sizes: [await sizeOf(before), await sizeOf(after)],
              before: await toBase64(before), after: await toBase64(after),
            };
            """,
            photo=photo,
        )
        assert done["size"] == [width, height] and done["type"] == "image/jpeg"
        assert done["sizes"] == [[400, round(400 * height / width)]] * 2
        assert measure_colors(base64.b64decode(done["after"])) > 2


@pytest.mark.parametrize("decodes", [True, False])
def test_a_preview_is_upright_whoever_decodes_the_photo(visit, address, decodes):
    photo = (SAMPLES / "cat.jpg").read_bytes()
    exif = b"Exif\0\0" + tiff.make_exif_block({274: (tiff.SHORT, b"\6\0")})
    photo = photo[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + photo[2:]
    expected = read_image(photo).pixels.shape[:2]
    page = visit(address)
    if not decodes:
        page.evaluate("() => { globalThis.createImageBitmap = () => Promise.reject(new Error()); }")
    size = run(
        page,
        """
        const preview = await engine.open(toFile(photo, "a.jpg"), {signal: never, side: 300});
        const image = new Image();
        image.src = URL.createObjectURL(await preview.before());
        await image.decode();
        return [preview.height, preview.width, image.naturalHeight > image.naturalWidth];
        """,
        photo=photo,
    )
    assert tuple(size) == (*expected, expected[0] > expected[1])


def test_a_newer_preview_aborts_the_older_one(visit, address):
    done = run(
        visit(address),
        """
        const preview = await engine.open(toFile(photo, "a.jpg"), {signal: never});
        const first = preview.render(settings, never).catch((error) => error.name);
        const second = preview.render({...settings, strength: 0}, never);
        const results = [await first, (await second).type];
        preview.close();
        const closed = await preview.render(settings, never).catch((error) => error.name);
        return [...results, closed];
        """,
        photo=make_jpeg(300, 200),
    )
    assert done == ["AbortError", "image/jpeg", "AbortError"]


def test_colors_are_suggested_for_a_place(visit, address):
    colors = run(
        visit(address),
        """
        const preview = await engine.open(toFile(photo, "a.jpg"), {signal: never});
        return preview.suggest(0.5, 0.5, null, never);
        """,
        photo=make_jpeg(300, 200),
    )
    assert len(colors) > 1 and all(re.fullmatch("#[0-9a-f]{6}", each["color"]) for each in colors)
    assert colors[0]["probability"] >= colors[-1]["probability"] > 0


@pytest.mark.parametrize(
    ("make", "code", "message"),
    [
        (lambda: b"", "empty", "This file is empty. Choose another photo."),
        (lambda: bytes(4_000_001), "too-many-bytes", "This file has 4 MB and the server accepts 4"),
        (lambda: make_jpeg(2600, 2000), "too-many-pixels", "This photo has 5.2 megapixels and the"),
        (lambda: b"Dear Grandmother", "unsupported", "The file is not a photo in a supported"),
        (lambda: make_jpeg(400, 300)[:2000], "damaged", "damaged or cut short"),
    ],
)
def test_what_is_wrong_is_said_in_plain_words(visit, address, make, code, message):
    page = visit(address)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.method))
    error = run(
        page,
        """
        return engine.colorize(toFile(photo, "a.jpg"), settings, {signal: never})
          .catch((error) => ({...describe(error), right: error instanceof PageError}));
        """,
        photo=make(),
    )
    assert error["name"] == "PageError" and error["right"]
    assert error["code"] == code and message in error["message"], error
    assert ("POST" in sent) == (code in ("unsupported", "damaged"))  # rejected before it is sent


def test_a_photo_can_be_stopped(visit, address):
    name = run(
        visit(address),
        """
        const stop = new AbortController();
        const working = engine.colorize(
          toFile(photo, "a.jpg"), settings,
          {signal: stop.signal, onProgress: ({stage}) => stage === "coloring" && stop.abort()},
        );
        const name = await working.catch((error) => error.name);
        const after = await engine.colorize(
          toFile(photo, "a.jpg"), settings, {signal: stop.signal},
        ).catch((error) => error.name);
        return [name, after];
        """,
        photo=make_jpeg(1000, 800),
    )
    assert name == ["AbortError", "AbortError"]


def test_a_busy_server_is_asked_again_until_it_has_time(visit, address):
    page = visit(address)
    answers = [503, 503]

    def answer(route: Any) -> None:
        if answers:
            body = '{"detail": "the queue is full; try again in 1 s"}'
            route.fulfill(status=answers.pop(), headers={"Retry-After": "0"}, body=body)
        else:
            route.continue_()

    page.route("**/v1/colorize", answer)
    program = """
        const stages = [];
        const result = await engine.colorize(
          toFile(photo, "a.jpg"), settings,
          {signal: never, onProgress: ({stage}) => stages.push(stage)},
        );
        return [result.format, stages.filter((stage) => stage === "waiting").length];
    """
    assert run(page, program, photo=make_jpeg(100, 80)) == ["jpeg", 2]


def test_a_photo_whose_time_is_over_is_sent_once_more(visit, address):
    page, sent = visit(address), []
    problem = {"detail": "it took too long", "code": "timeout", "values": {"limit": 2}}

    def answer(route: Any) -> None:
        sent.append(route)
        route.fulfill(status=503, headers={"Retry-After": "0"}, body=json.dumps(problem))

    page.route("**/v1/colorize", answer)
    program = """
        return engine.colorize(toFile(photo, "a.jpg"), settings, {signal: never}).catch(describe);
    """
    run(page, program, photo=make_jpeg(100, 80))
    assert len(sent) == 2


def test_a_photo_that_takes_too_long_is_not_sent_again(visit, address):
    page = visit(address)
    body = '{"detail": "the photo was not finished within 3 s; use a smaller one"}'
    page.route("**/v1/colorize", lambda route: route.fulfill(status=503, body=body))
    error = run(
        page,
        """
        return engine.colorize(toFile(photo, "a.jpg"), settings, {signal: never}).catch(describe);
        """,
        photo=make_jpeg(100, 80),
    )
    assert error["code"] == "timeout"
    assert error["message"] == "The photo was not finished within 3 s. Use a smaller one."


def test_a_server_that_is_gone_is_an_error_until_it_is_back(visit, run_serve):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    photo = base64.b64encode(make_jpeg(100, 80)).decode()
    colorize = """(photo) => engine.colorize(toFile(photo, "a.jpg"), settings, {signal: never})
      .then((result) => result.format, (error) => error.code)"""
    with run_serve("--port", port) as (address, process):
        page = visit(address)
        run(page, "Object.assign(globalThis, {engine, settings, never, toFile})")
        assert page.evaluate(colorize, photo) == "jpeg"
        process.kill()
        process.wait(20)
    assert page.evaluate(colorize, photo) == "network"
    with run_serve("--port", port):
        assert page.evaluate(colorize, photo) == "jpeg"


def test_a_browser_that_knows_the_token_sends_it_with_every_photo(visit, run_serve):
    with run_serve(COLORIZENET_TOKEN="open sesame") as (address, _):
        page = visit(address, http_credentials={"username": "anybody", "password": "open sesame"})
        program = """
            const result = await engine.colorize(toFile(photo, "a.jpg"), settings, {signal: never});
            return result.format;
        """
        assert run(page, program, photo=make_jpeg(100, 80)) == "jpeg"
