"""A server with its page, and a browser that visits it."""

import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Error,
    Page,
    Request,
    Response,
    Route,
    expect,
)

expect.set_options(timeout=20_000)  # several tests may share one core

SAMPLES = Path(__file__).parents[3] / "samples"
SCREENS: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": {"width": 1280, "height": 860}},
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
}
MAX_BYTES = 2_000_000


class RunningServer:
    """``colorizenet serve`` at a port that it keeps when it is started again."""

    def __init__(self, *flags: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self._flags = flags
        self.address = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        command = [sys.executable, "-m", "colorizenet", "serve", "--port", str(self._port)]
        self.process = subprocess.Popen([*command, *self._flags], stderr=subprocess.PIPE, text=True)
        assert self.process.stderr
        assert self.process.stderr.readline().endswith(f"{self.address}\n")

    def kill(self) -> None:
        """End the server as a crash does."""
        self.process.kill()
        self.process.communicate()

    def stop(self) -> None:
        """End the server as Ctrl-C does; it must end in order."""
        self.process.send_signal(signal.SIGINT)
        _, messages = self.process.communicate(timeout=20)
        assert (self.process.returncode, messages) == (0, "")


@pytest.fixture(scope="session", autouse=True)
def need_browser(chromium) -> None:
    """Skip the tests of this folder where there is no browser, except in CI."""


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of the sample photos."""
    return SAMPLES


@pytest.fixture(scope="module")
def start_server() -> Iterator[Callable[..., RunningServer]]:
    """Start a server with the flags that are given; it is stopped after the module."""
    servers: list[RunningServer] = []

    def start(*flags: str) -> RunningServer:
        server = RunningServer(*flags)
        server.start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="module")
def address(start_server) -> str:
    """The URL of a server with two models that accepts files of 2 MB."""
    flags = ("--model", "default", "--model", "small", "--max-bytes", str(MAX_BYTES))
    return start_server(*flags).address


class Gate:
    """Holds up the requests of a page to colorize photos, until it is opened."""

    def __init__(self, page: Page) -> None:
        self.held: list[Route] = []
        self._opened = False
        page.route("**/v1/colorize", self._pass)

    def open(self) -> None:
        """Let all requests pass; those of photos that were stopped have ended."""
        self._opened = True
        for route in self.held:
            with contextlib.suppress(Error):
                route.continue_()

    def _pass(self, route: Route) -> None:
        if self._opened:
            route.continue_()
        else:
            self.held.append(route)


@pytest.fixture(scope="session")
def hold_requests() -> type[Gate]:
    """Hold up the requests of a page to colorize photos."""
    return Gate


class Visitor:
    """Opens pages of one server, and collects what goes wrong in them."""

    def __init__(self, browser: Browser, address: str) -> None:
        self._browser, self._address = browser, address
        self.contexts: list[BrowserContext] = []
        self.faults: list[str] = []

    def __call__(self, screen: str = "desktop", **options: Any) -> Page:
        """Open the page in a new browser context, and wait until it has started."""
        context = self._browser.new_context(**{"locale": "en-US"} | SCREENS[screen] | options)
        self.contexts.append(context)
        context.on("request", self._check_request)
        context.on("response", self._check_response)
        context.on("weberror", lambda error: self.faults.append(str(error.error)))
        context.on("console", lambda message: self._check_message(message.type, message.text))
        return self.open(context)

    def open(self, context: BrowserContext) -> Page:
        """Open the page in a tab of a browser context."""
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.goto(self._address)
        page.locator("#privacy span").wait_for()
        return page

    def leave(self) -> None:
        """Close all tabs."""
        for context in self.contexts:
            for page in context.pages:
                page.unroute_all(behavior="ignoreErrors")
            context.close()

    def _check_request(self, request: Request) -> None:
        scheme = urlsplit(request.url).scheme
        if scheme not in ("data", "blob") and not request.url.startswith(f"{self._address}/"):
            self.faults.append(f"requested {request.url}")

    def _check_response(self, response: Response) -> None:
        if response.status >= 400 and "/v1/colorize" not in response.url:
            self.faults.append(f"{response.status} for {response.url}")

    def _check_message(self, kind: str, text: str) -> None:
        # Chromium writes this for each photo that the server rejects.
        if kind in ("error", "warning") and not text.startswith("Failed to load resource"):
            self.faults.append(text)


@contextlib.contextmanager
def _make_visitor(browser: Browser, address: str) -> Iterator[Visitor]:
    visitor = Visitor(browser, address)
    yield visitor
    visitor.leave()
    assert visitor.faults == []


@pytest.fixture
def visit(browser, address) -> Iterator[Visitor]:
    """Open the page in a new browser context.

    Errors in the console and requests to other hosts fail the test.
    """
    with _make_visitor(browser, address) as visitor:
        yield visitor


@pytest.fixture
def visit_server(browser) -> Iterator[Callable[[str], Visitor]]:
    """Open the page of another server, with the same checks."""
    visitors: list[Visitor] = []

    def make(address: str) -> Visitor:
        visitors.append(Visitor(browser, address))
        return visitors[-1]

    yield make
    for visitor in visitors:
        visitor.leave()
    assert [fault for visitor in visitors for fault in visitor.faults] == []
