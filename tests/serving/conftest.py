"""A server in this process, and what its tests need to talk to it."""

import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from colorizenet.colorizer import Colorizer
from colorizenet.serving.access import Access
from colorizenet.serving.http import App, create_server
from colorizenet.serving.jobs import JobQueue, Limits
from colorizenet.serving.messages import Loader

sys.path.append(str(Path(__file__).parent))  # the processes of a server import by name

from gated_colorizer import GatedColorizer

RunServer = Callable[..., AbstractContextManager[httpx.Client]]
RunServe = Callable[..., AbstractContextManager[tuple[str, subprocess.Popen[str]]]]


class Gate:
    """Holds up the calls of a ``GatedColorizer``, and counts them."""

    def __init__(self, path: Path, folder: Path) -> None:
        self._folder = folder
        self.load = partial(GatedColorizer, path, folder)

    def open(self) -> None:
        (self._folder / "gate").touch()

    def close(self) -> None:
        (self._folder / "gate").unlink()

    @property
    def started(self) -> int:
        return len(list(self._folder.glob("started-*")))

    @property
    def finished(self) -> int:
        return len(list(self._folder.glob("finished-*")))


@contextmanager
def _run_server(
    loaders: dict[str, Loader], limits: Limits | None = None, **access: Any
) -> Iterator[httpx.Client]:
    app = App(JobQueue(loaders, limits or Limits()), access=Access(**access))
    server = create_server(app)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            with httpx.Client(base_url=url, timeout=30) as client:
                assert client.get("/healthz").json() == {"status": "ready", "page": "off"}
                yield client
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive()


@pytest.fixture(scope="session")
def run_server() -> RunServer:
    """Run a server without a page and yield a client of it; at the end the server must
    stop."""
    return _run_server


@contextmanager
def _run_serve(*flags: object, **environment: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    port = () if "--port" in flags else ("--port", 0)
    command = [sys.executable, "-m", "colorizenet", "serve", *map(str, (*port, *flags))]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | environment
    ) as process:
        try:
            assert process.stderr
            line = process.stderr.readline()
            found = re.fullmatch(r"serving the (?:page and the )?API at (http://\S+)\n", line)
            assert found, line
            yield found[1], process
            if process.poll() is None:
                process.terminate()
                assert (process.wait(20), process.stderr.read()) == (0, "")
        finally:
            process.kill()


@pytest.fixture(scope="session")
def run_serve() -> RunServe:
    """Run ``colorizenet serve``, by default at a free port, and yield its URL and its
    process. It must stop in order, unless the test has ended it."""
    return _run_serve


@pytest.fixture(scope="session")
def colorizer() -> Colorizer:
    """The default model."""
    return Colorizer(threads=1)


@pytest.fixture(scope="session")
def load_default() -> Loader:
    """Loads the default model."""
    return partial(Colorizer, threads=1)


@pytest.fixture(scope="module")
def api(load_default, run_server) -> Iterator[httpx.Client]:
    """A client of a server with the default model and limits that are easy to
    exceed."""
    limits = Limits(max_bytes=2_000_000, max_pixels=1_000_000)
    with run_server({"default": load_default}, limits) as client:
        yield client


@pytest.fixture
def gate(make_model, tmp_path) -> Iterator[Gate]:
    """A model that waits until a test opens its gate."""
    folder = tmp_path / "calls"
    folder.mkdir()
    gate = Gate(make_model(), folder)
    yield gate
    gate.open()


@pytest.fixture(scope="session")
def connect() -> Callable[[httpx.Client], socket.socket]:
    """Open a bare connection to the server of a client."""

    def connect(client: httpx.Client) -> socket.socket:
        url = client.base_url
        return socket.create_connection((url.host, url.port or 80), timeout=20)

    return connect


@pytest.fixture(scope="session")
def wait_until() -> Callable[[Callable[[], Any]], None]:
    """Wait until a condition is true, for at most 20 seconds."""

    def wait_until(condition: Callable[[], Any]) -> None:
        end = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.01)

    return wait_until


@pytest.fixture(scope="session")
def read_problem() -> Callable[[httpx.Response, int], str]:
    """Check that a response is a problem document with a status, and return its
    sentence."""

    def read_problem(response: httpx.Response, status: int) -> str:
        assert response.status_code == status, response.text
        assert response.headers["content-type"] == "application/problem+json"
        problem = response.json()
        assert problem["status"] == status and problem["title"]
        assert "Traceback" not in response.text
        assert response.headers["x-content-type-options"] == "nosniff"
        return problem["detail"]

    return read_problem
