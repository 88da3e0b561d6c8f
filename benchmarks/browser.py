"""Seconds and memory of the browser engine in Chromium, compared with Python.

``python benchmarks/browser.py`` builds the static site, serves it, and colorizes photos
of 1 and 12 megapixels in Chromium: seconds of a photo after the model is loaded (the
median of ``--runs``), and the peak memory of all processes of Chromium together, where
shared pages count once (PSS). Python runs the same model on the same files in the same
run, with as many threads as the browser has.
"""

import argparse
import base64
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
from playwright.sync_api import Page, sync_playwright

from colorizenet import Colorizer
from colorizenet.imaging.reading import read_image
from colorizenet.imaging.writing import encode_image
from processes import Meter, list_children

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import build_site

SAMPLE = Path(__file__).parents[1] / "samples" / "nagasaki-boats-1865.jpg"
SIZES = {"1 MP": (866, 1155), "12 MP": (3000, 4000), "12 MP, odd sides": (2999, 4001)}
START = """async () => {
  const { Engine } = await import("./engine.js");
  globalThis.engine = new Engine();
  const started = performance.now();
  await engine.start();
  return (performance.now() - started) / 1000;
}"""
COLORIZE = """async (data) => {
  const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
  const settings = { model: null, strength: 1, format: null, hints: [] };
  const { signal } = new AbortController();
  const started = performance.now();
  const result = await engine.colorize(new File([bytes], "photo.jpg"), settings, { signal });
  return [(performance.now() - started) / 1000, result.blob.size];
}"""


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder with the headers that isolate a page, and says nothing."""

    def end_headers(self) -> None:
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def list_browser_processes() -> list[int]:
    """List the processes of Chromium that this one has started."""
    return [each for each in list_children(os.getpid()) if "chrom" in read_command(each)]


def read_command(process: int) -> str:
    """Read the name of a process."""
    try:
        return Path(f"/proc/{process}/comm").read_text()
    except OSError:
        return ""


def make_jpeg(shape: tuple[int, int]) -> bytes:
    """Make a gray photograph of a size, as a JPEG of quality 92."""
    gray = cv2.imread(str(SAMPLE), cv2.IMREAD_GRAYSCALE)
    assert gray is not None
    large = cv2.resize(gray, shape[::-1], interpolation=cv2.INTER_CUBIC).astype(np.int16)
    noisy = large + np.random.default_rng(0).integers(-4, 5, shape, np.int16)
    return cv2.imencode(".jpg", noisy.clip(0, 255).astype(np.uint8), [1, 92])[1].tobytes()


def measure_browser(page: Page, encoded: bytes, runs: int) -> list[float]:
    """Colorize a photo several times; seconds of each."""
    data = base64.b64encode(encoded).decode()
    return [page.evaluate(COLORIZE, data)[0] for _ in range(runs)]


def measure_python(colorizer: Colorizer, encoded: bytes, runs: int) -> list[float]:
    """The same with Python, from bytes to bytes."""
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        encode_image(colorizer(read_image(encoded)))
        seconds.append(time.perf_counter() - started)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    colorizer = Colorizer("small")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        site = Path(folder) / "site"
        build_site.build_site(site)
        (site / "bare.html").write_text("<!doctype html><title>Benchmark</title>")
        with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=site)) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            print(f"load before: {os.getloadavg()[0]:.2f}; cores: {os.cpu_count()}")
            for name, shape in SIZES.items():
                browser = playwright.chromium.launch(
                    executable_path=chromium, args=["--no-sandbox"]
                )
                meter = Meter(list_browser_processes)
                page = browser.new_page()
                page.set_default_timeout(120_000)
                page.goto(f"http://127.0.0.1:{server.server_port}/bare.html")
                loading = page.evaluate(START)
                encoded = make_jpeg(shape)
                found = measure_browser(page, encoded, runs)
                peak = meter.stop()
                browser.close()
                python = measure_python(colorizer, encoded, runs)
                print(
                    f"{name}: loading {loading:.2f} s; first photo {found[0]:.2f} s, "
                    f"median {statistics.median(found):.2f} s; peak {peak:.2f} GB; "
                    f"Python {statistics.median(python):.2f} s"
                )
            print(f"load after: {os.getloadavg()[0]:.2f}")
            server.shutdown()


if __name__ == "__main__":
    main()
