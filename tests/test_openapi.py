"""The API keeps what its own description promises, whatever it is sent."""

import socket
import threading
from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import checks

from colorizenet.colorizer import Colorizer
from colorizenet.serving.http import App, Server
from colorizenet.serving.jobs import Limits, Service


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    app = App(
        Service(
            {"default": Colorizer(threads=1)}, Limits(max_bytes=1_000_000, max_pixels=1_000_000)
        )
    )
    listening = socket.create_server(("127.0.0.1", 0))
    server = Server(app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join(30)
    listening.close()


def test_whatever_is_sent_is_answered_as_described(address):
    """Settings and bodies drawn from the description, right ones and wrong ones."""
    for found in schemathesis.openapi.from_url(f"{address}/openapi.json").get_all_operations():
        operation = found.ok()
        for mode in (
            schemathesis.GenerationMode
            if operation.method == "post"
            else [schemathesis.GenerationMode.POSITIVE]
        ):

            @settings(
                max_examples=30,
                deadline=None,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def each(case):
                # Bytes that are drawn at random are no picture, and are refused.
                case.call_and_validate(excluded_checks=[checks.positive_data_acceptance])

            each()
