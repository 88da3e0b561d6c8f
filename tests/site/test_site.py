"""The static site as a person uses it: on a plain web server, and without a network."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

import build_site
from colorizenet.imaging.image import Image
from colorizenet.imaging.reading import read_image
from colorizenet.imaging.writing import encode_image

SCREENS = {"desktop": (1280, 800), "phone": (390, 844)}
on_both_screens = pytest.mark.parametrize("context", SCREENS, indirect=True)
ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "samples"


@pytest.fixture
def context(browser: Browser, site, request) -> Iterator[BrowserContext]:
    """Errors in the console, and requests to other hosts, fail the test."""
    width, height = SCREENS[getattr(request, "param", "desktop")]
    context = browser.new_context(locale="en-US", viewport={"width": width, "height": height})
    context.set_default_timeout(60_000)
    faults: list[str] = []
    context.on("weberror", lambda error: faults.append(str(error.error)))
    context.on(
        "console",
        lambda message: faults.append(message.text) if message.type == "error" else None,
    )
    context.on(
        "request",
        lambda request: (
            None
            if request.url.startswith((site.address, "blob:", "data:"))
            else faults.append(f"requested {request.url}")
        ),
    )
    yield context
    context.close()
    assert faults == []


@pytest.fixture
def visit(context, site) -> Callable[[], Page]:
    def open() -> Page:
        page = context.new_page()
        page.goto(site.address)
        expect(page.locator("[data-choose=files]").first).to_be_enabled(timeout=60_000)
        return page

    return open


def wait_for_offline_use(page: Page) -> None:
    """Wait until everything is stored for use without a network."""
    page.evaluate("navigator.serviceWorker.ready.then(() => {})")


def choose(page: Page, *files: Path) -> None:
    page.set_input_files("#files", [str(path) for path in files])


def wait_until_done(page: Page, count: int) -> None:
    expect(page.locator("[data-state=done]")).to_have_count(count, timeout=120_000)


def download(page: Page, name: str) -> bytes:
    with page.expect_download() as pending:
        page.get_by_role("button", name=f"Download {name}").click()
    return Path(pending.value.path()).read_bytes()


def colorfulness(encoded: bytes) -> float:
    return float(np.ptp(read_image(encoded).pixels.astype(int), axis=2).mean())


@on_both_screens
def test_a_photo_is_colorized_without_any_request(context, visit, site):
    page = visit()
    wait_for_offline_use(page)
    requested = len(site.requests)
    choose(page, SAMPLES / "cat.jpg", SAMPLES / "temple.jpg")
    wait_until_done(page, 2)
    assert colorfulness(download(page, "temple.jpg")) > 3
    # A browser looks for a newer version of the site by itself.
    assert {path.rpartition("/")[2] for path in site.requests[requested:]} <= {"service-worker.js"}


def test_the_site_works_without_a_network_after_the_first_visit(context, visit, site):
    page = visit()
    wait_for_offline_use(page)
    context.set_offline(True)
    requested = len(site.requests)
    page.reload()
    expect(page.locator("[data-choose=files]").first).to_be_enabled(timeout=60_000)
    assert page.evaluate("crossOriginIsolated"), "threads need an isolated page"
    choose(page, SAMPLES / "cat.jpg")
    wait_until_done(page, 1)
    assert colorfulness(download(page, "cat.jpg")) > 3
    # A browser looks for a newer version of the site by itself.
    assert all(path.endswith("/service-worker.js") for path in site.requests[requested:])


def test_a_photo_of_12_megapixels(visit, tmp_path, gray):
    large = cv2.resize(gray, (4000, 3000), interpolation=cv2.INTER_CUBIC)
    (tmp_path / "large.jpg").write_bytes(encode_image(Image(large), "jpeg"))
    page = visit()
    choose(page, tmp_path / "large.jpg")
    wait_until_done(page, 1)
    encoded = download(page, "large.jpg")
    assert read_image(encoded).pixels.shape == (3000, 4000, 3) and colorfulness(encoded) > 3


@on_both_screens
def test_bad_files_are_explained_and_do_not_stop_the_others(context, visit, tmp_path, gray):
    (tmp_path / "scan.tif").write_bytes(encode_image(Image(gray), "tiff"))
    (tmp_path / "broken.jpg").write_bytes((SAMPLES / "cat.jpg").read_bytes()[:9000])
    (tmp_path / "deep.png").write_bytes(encode_image(Image(gray.astype(np.uint16) * 257), "png"))
    page = visit()
    choose(page, *(tmp_path / name for name in ("scan.tif", "broken.jpg", "deep.png")))
    wait_until_done(page, 1)
    reasons = page.locator(".reason")
    expect(reasons).to_have_count(2)
    expect(reasons.filter(has_text="TIFF files cannot be read in the browser")).to_have_count(1)
    expect(reasons.filter(has_text="This photo is damaged or cut short")).to_have_count(1)
    expect(page.locator("#photos")).to_contain_text("The photo has 16 bits per channel")


def test_the_panel_about_the_site_promises_only_what_browsers_do(visit):
    page = visit()
    page.get_by_role("button", name="About").click()
    panel = page.get_by_role("dialog", name="About ColorizeNet")
    expect(panel).to_contain_text("Results have 8 bits per channel")
    expect(panel).not_to_contain_text("bit depth")


def test_the_site_can_be_installed(context, visit):
    page = visit()
    wait_for_offline_use(page)
    session = context.new_cdp_session(page)
    manifest = session.send("Page.getAppManifest")
    assert manifest["errors"] == []
    session.send("Page.enable")
    assert session.send("Page.getInstallabilityErrors")["installabilityErrors"] in (
        [],
        [{"errorId": "in-incognito", "errorArguments": []}],  # as contexts of tests are
    )


def test_all_files_are_stored_for_offline_use(site_folder):
    text = (site_folder / "service-worker.js").read_text()
    match = re.search(r"const FILES = (\[.*?\]);", text, re.DOTALL)
    assert match
    stored = set(json.loads(match[1]))
    files = {
        path.relative_to(site_folder).as_posix()
        for path in site_folder.rglob("*")
        if path.is_file()
    }
    assert stored == files - {"index.html", "service-worker.js", "assets/LICENSES.txt"} | {"./"}
    assert re.search('const VERSION = "[0-9a-f]{16}"', text)


def test_the_policy_of_the_site_adds_only_webassembly(site_folder):
    text = (site_folder / "index.html").read_text()
    match = re.search('http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert match
    assert "script-src 'self' 'wasm-unsafe-eval';" in match[1]
    assert "unsafe-inline" not in match[1] and "http" not in match[1]
    assert not re.search(r"(src|href)=\"(/|https?:)", text), "addresses are relative"


def test_the_site_holds_the_files_of_the_page(site_folder):
    """There is one source of the page: only the engine differs."""
    for path in build_site.PAGE.rglob("*.js"):
        name = path.relative_to(build_site.PAGE)
        if name.as_posix() not in ("engine.js", "browser/service-worker.js"):
            assert (site_folder / name).read_bytes() == path.read_bytes(), name


def test_a_folder_that_holds_something_else_is_not_replaced(tmp_path):
    (tmp_path / "letter.txt").write_text("Dear Grandmother")
    with pytest.raises(SystemExit, match="holds something other than a site"):
        build_site.build_site(tmp_path)
    assert (tmp_path / "letter.txt").exists()


def test_the_lock_of_npm_names_no_registry():
    lock = json.loads((ROOT / "package-lock.json").read_text())
    packages = [each for name, each in lock["packages"].items() if name]
    assert all("integrity" in each and "resolved" not in each for each in packages)
