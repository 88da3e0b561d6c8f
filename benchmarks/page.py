"""Measure the editor of the page, and large photos that go through it.

    python benchmarks/page.py [--hints 20] [--megapixels 100 300]

Hints: a photo of 12 megapixels is opened, and a hint is changed `--hints` times.
Seconds until the first preview, and the median until the preview of a changed hint, in
Chromium. The engine of the server uses the model `default`, that of the browser
`small`. The baseline is `Colorizer.session` with the same model on the same small
picture, from the hint to a JPEG, without a browser.

Large photos: a gray JPEG of each size is given to the page of `colorizenet serve`,
which sends it over HTTP. Seconds until the page says that it is done, and the peak
memory of all processes of the server, and of Chromium. The baseline is `colorizenet
colorize`, its start included. Pages that processes share count once (PSS).
"""

import argparse
import base64
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pyvips
from playwright.sync_api import Browser, Page, sync_playwright

from browser import SAMPLE, Handler, build_site, list_browser_processes, make_jpeg
from colorizenet import Colorizer, Hint, Options
from colorizenet.imaging.image import Image
from colorizenet.imaging.resampling import resize
from colorizenet.imaging.writing import encode_image
from processes import Meter, list_family

COMMAND = [sys.executable, "-m", "colorizenet"]
SHAPE = (3000, 4000)
SIDE = 1280
CHANGE_HINTS = """async ({ data, count, side }) => {
  const { Engine } = await import("./engine.js");
  const engine = new Engine();
  await engine.start();
  const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
  const file = new File([bytes], "photo.jpg");
  const settings = { model: null, strength: 1, format: null, hints: [] };
  const { signal } = new AbortController();
  let started = performance.now();
  const measure = () => {
    const seconds = (performance.now() - started) / 1000;
    started = performance.now();
    return seconds;
  };
  const preview = await engine.open(file, { signal, side });
  await preview.render(settings, signal);
  const seconds = [measure()];
  for (let number = 0; number < count; number++) {
    const color = `#${(0x602020 + ((8 * number) % 200)).toString(16)}`;
    const hints = [{ x: 0.3, y: 0.6, color, radius: 0.05 }];
    const picture = await createImageBitmap(await preview.render({ ...settings, hints }, signal));
    picture.close();
    seconds.push(measure());
  }
  return seconds;
}"""


@contextmanager
def run_server() -> Iterator[tuple[str, int]]:
    """Run a server with the page; its address, and its process."""
    command = [*COMMAND, "serve", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        try:
            yield process.stderr.readline().split()[-1], process.pid
        finally:
            process.terminate()


@contextmanager
def run_site(folder: Path) -> Iterator[str]:
    """Build the static site and serve it, isolated, so that the engine has threads."""
    build_site.build_site(folder)
    (folder / "bare.html").write_text("<!doctype html><title>Benchmark</title>")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def measure_hints(page: Page, encoded: bytes, count: int) -> list[float]:
    """Seconds until the first preview, and until that of each changed hint."""
    data = base64.b64encode(encoded).decode()
    return page.evaluate(CHANGE_HINTS, {"data": data, "count": count, "side": SIDE})


def measure_session(model: str, small: Image, count: int) -> list[float]:
    """The same in this process."""
    session = Colorizer(model).session(small)
    seconds = []
    for number in range(count + 1):
        hint = Hint(x=0.3, y=0.6, rgb=(0x60, 0x20, 0x20 + 8 * number % 200), radius=0.05)
        started = time.perf_counter()
        encode_image(session(Options(hints=(hint,) if number else ())), "jpeg")
        seconds.append(time.perf_counter() - started)
    return seconds


def report_hints(browser: Browser, name: str, address: str, model: str, count: int) -> None:
    page = browser.new_page()
    page.set_default_timeout(300_000)
    page.goto(address)
    encoded = make_jpeg(SHAPE)
    seconds = measure_hints(page, encoded, count)
    page.close()
    gray = pyvips.Image.new_from_buffer(encoded, "").numpy()
    small = Image(resize(gray, SIDE * SHAPE[0] // SHAPE[1], SIDE).astype(np.uint8))
    baseline = measure_session(model, small, count)
    print(
        f"{name}, {model}: first preview {seconds[0]:.2f} s; changed hint "
        f"{statistics.median(seconds[1:]):.3f} s (largest {max(seconds[1:]):.3f} s); "
        f"session in Python {statistics.median(baseline[1:]):.3f} s",
        flush=True,
    )


def write_large_jpeg(path: Path, megapixels: float) -> tuple[int, int]:
    """Write a gray photograph with some noise; its width and height."""
    gray = pyvips.Image.new_from_file(str(SAMPLE)).colourspace("b-w")
    scale = (1e6 * megapixels / (gray.width * gray.height)) ** 0.5
    large = gray.resize(scale)
    noise = pyvips.Image.gaussnoise(large.width, large.height, sigma=3, mean=0, seed=0)
    (large + noise).cast("uchar").jpegsave(str(path), Q=90)
    return large.width, large.height


def report_large_photo(browser: Browser, folder: Path, megapixels: float) -> None:
    path = folder / "large.jpg"
    width, height = write_large_jpeg(path, megapixels)
    with run_server() as (address, server_id):
        page = browser.new_page()
        page.set_default_timeout(3_600_000)
        page.goto(address)
        page.locator("#privacy span").wait_for()
        meters = Meter(lambda: list_family(server_id)), Meter(list_browser_processes)
        started = time.perf_counter()
        page.set_input_files("#files", path)
        page.locator("[data-state=done], [data-state=failed]").wait_for(state="attached")
        seconds = time.perf_counter() - started
        server, chromium = (meter.stop() for meter in meters)
        assert page.locator("[data-state=done]").count() == 1, page.inner_text(".reason")
        page.close()
    started = time.perf_counter()
    command = [*COMMAND, "colorize", "-q", path, "--out", folder / "out"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        meter = Meter(lambda: list_family(process.pid))
        assert process.wait() == 0
    alone = time.perf_counter() - started
    print(
        f"{width} x {height} pixels, {path.stat().st_size / 1e6:.0f} MB: page {seconds:.1f} s, "
        f"server {server:.2f} GB, Chromium {chromium:.2f} GB; "
        f"colorize {alone:.1f} s, {meter.stop():.2f} GB",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hints", type=int, default=20)
    parser.add_argument("--megapixels", type=float, nargs="*", default=[100.0, 300.0])
    options = parser.parse_args()
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    print(f"load before: {os.getloadavg()[0]:.2f}; cores: {os.cpu_count()}")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        with run_server() as (address, _):
            report_hints(browser, "server", f"{address}/errors.js", "default", options.hints)
        with run_site(folder / "site") as address:
            report_hints(browser, "browser", f"{address}/bare.html", "small", options.hints)
        for megapixels in options.megapixels:
            report_large_photo(browser, folder, megapixels)
        browser.close()
    print(f"load after: {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    main()
