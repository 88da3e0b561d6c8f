"""The static site, built once for each test process, on a plain web server."""

import base64
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

import build_site

SUBPATH = "/some/folder/"
"""Sites must not depend on being at the root of a host."""
COMPARE = Path(__file__).with_name("compare.js")
_BARE = b'<!doctype html><html lang="en"><meta charset="utf-8"><title>Bare</title>'


@dataclass
class Site:
    """A served site."""

    address: str
    folder: Path
    requests: list[str] = field(default_factory=list)
    """Paths that were requested so far."""


class _Handler(SimpleHTTPRequestHandler):
    """Serves the folder below ``SUBPATH``, and two files for tests of its modules."""

    requests: list[str]

    def __init__(self, *arguments: Any, requests: list[str], **options: Any) -> None:
        self.requests = requests
        super().__init__(*arguments, **options)

    def translate_path(self, path: str) -> str:
        if not path.startswith(SUBPATH):
            return str(Path(self.directory) / "missing")
        return super().translate_path("/" + path.removeprefix(SUBPATH))

    def do_GET(self) -> None:
        self.requests.append(self.path)
        if self.path == f"{SUBPATH}bare.html":
            self._send("text/html", _BARE)
        elif self.path == f"{SUBPATH}compare.js":
            self._send("text/javascript", COMPARE.read_bytes())
        else:
            super().do_GET()

    def _send(self, kind: str, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="session")
def site_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("static") / "site"
    if not (build_site.RUNTIME / "package.json").is_file() and "CI" not in os.environ:
        pytest.skip("needs onnxruntime-web: run make node_modules/.installed")
    build_site.build_site(folder)
    return folder


@pytest.fixture(scope="module")
def site(site_folder) -> Iterator[Site]:
    requests: list[str] = []
    handler = partial(_Handler, directory=str(site_folder), requests=requests)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}{SUBPATH}"
        yield Site(address, site_folder, requests)
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def bare_page(browser, site) -> Iterator[Page]:
    """A page of the site without the user interface, which loads modules itself."""
    context = browser.new_context(locale="en-US")
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(f"{site.address}bare.html")
    yield page
    context.close()


@dataclass
class Colored:
    """What the engine gave for a photo."""

    encoded: bytes
    format: str
    warnings: list[str]
    seconds: float


@pytest.fixture(scope="module")
def colorize(bare_page) -> Callable[..., Colored]:
    """Colorize a file with the engine of the site. A ``PageError`` becomes a
    ``RuntimeError`` with its code and its message."""
    bare_page.evaluate("""async () => {
      const { Engine } = await import("./engine.js");
      globalThis.engine = new Engine();
      globalThis.info = await engine.start();
      globalThis.toFile = (data, name) => {
        const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
        return new File([bytes], name);
      };
      globalThis.toBase64 = async (blob) => {
        const address = await new Promise((resolve) => {
          const reader = new FileReader();
          reader.onload = () => resolve(reader.result);
          reader.readAsDataURL(blob);
        });
        return address.slice(address.indexOf(",") + 1);
      };
      globalThis.settings = { model: null, strength: 1, format: null, hints: [] };
    }""")

    def run(encoded: bytes, name: str = "photo", **settings: Any) -> Colored:
        given = {"data": base64.b64encode(encoded).decode(), "name": name, "settings": settings}
        result = bare_page.evaluate(
            """async ({ data, name, settings: changed }) => {
              const { signal } = new AbortController();
              try {
                const all = { ...settings, ...changed };
                const result = await engine.colorize(toFile(data, name), all, { signal });
                return { ...result, blob: await toBase64(result.blob) };
              } catch (error) {
                return { error: `${error.code}: ${error.message}` };
              }
            }""",
            given,
        )
        if "error" in result:
            raise RuntimeError(result["error"])
        return Colored(
            base64.b64decode(result["blob"]),
            result["format"],
            [each["message"] for each in result["warnings"]],
            result["seconds"],
        )

    return run
