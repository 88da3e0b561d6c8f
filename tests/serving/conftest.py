"""A server in this process, and what its tests need to talk to it."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import httpx
import pytest

from colorizenet.colorizer import Colorizer
from colorizenet.serving.access import Access
from colorizenet.serving.http import App, create_server
from colorizenet.serving.jobs import JobQueue, Limits

RunServer = Callable[..., AbstractContextManager[httpx.Client]]


class GatedColorizer(Colorizer):
    """A model whose calls wait for ``gate``, and are counted before and after it."""

    def __init__(self, path: Any) -> None:
        super().__init__(path, threads=1)
        self.gate, self.started, self.finished = threading.Event(), 0, 0

    def __call__(self, *arguments: Any, **more: Any) -> Any:
        self.started += 1
        assert self.gate.wait(20)
        self.finished += 1
        return super().__call__(*arguments, **more)


@contextmanager
def _run_server(
    models: dict[str, Colorizer], limits: Limits | None = None, **access: Any
) -> Iterator[httpx.Client]:
    app = App(JobQueue(models, limits or Limits()), access=Access(**access))
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


@pytest.fixture(scope="session")
def colorizer() -> Colorizer:
    """The default model."""
    return Colorizer(threads=1)


@pytest.fixture(scope="module")
def api(colorizer, run_server) -> Iterator[httpx.Client]:
    """A client of a server with the default model and limits that are easy to
    exceed."""
    limits = Limits(max_bytes=2_000_000, max_pixels=1_000_000)
    with run_server({"default": colorizer}, limits) as client:
        yield client


@pytest.fixture
def gated(make_model) -> Iterator[GatedColorizer]:
    """A model that waits until a test sets its ``gate``."""
    model = GatedColorizer(make_model())
    yield model
    model.gate.set()


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
