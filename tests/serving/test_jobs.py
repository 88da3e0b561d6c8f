"""The queue under load: its limits, its order, cancellation, and what the metrics
count."""

import asyncio
import contextlib
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpx
import pytest
from gated_colorizer import CrashingColorizer, GreedyColorizer

from colorizenet.colorizer import Colorizer
from colorizenet.errors import ConfigError
from colorizenet.imaging.image import Image
from colorizenet.imaging.writing import encode_image
from colorizenet.serving.jobs import Limits
from colorizenet.serving.limits import PROCESS_BYTES
from colorizenet.serving.processes import ProcessPool

HEAD = b"POST /v1/colorize HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"


def read_metrics(client: httpx.Client) -> dict[str, float]:
    lines = client.get("/metrics").text.splitlines()
    pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {
        name.removeprefix("colorizenet_"): float(value)
        for name, _, value in pairs
        if name.startswith("colorizenet_")
    }


def test_a_file_of_too_many_bytes_is_rejected_while_it_arrives(api, connect, read_problem):
    response = api.post("/v1/colorize", content=bytes(2_000_001))
    assert "larger than the limit of 2,000,000 bytes" in read_problem(response, 413)
    with connect(api) as sock:  # a body without a length and without an end
        sock.sendall(b"POST /v1/colorize HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"%x\r\n%s\r\n" % (65536, bytes(65536))
        for _ in range(31):
            sock.sendall(chunk)
        assert sock.recv(100).startswith(b"HTTP/1.1 413 ")
    with connect(api) as sock:  # the declared length is reason enough
        sock.sendall(HEAD % 99_999_999_999)
        assert sock.recv(100).startswith(b"HTTP/1.1 413 ")


def test_the_bytes_of_all_clients_together_are_limited(
    run_server, wait_until, read_problem, gate, gray
):
    encoded = encode_image(Image(gray), "png")
    limits = Limits(max_bytes=len(encoded), concurrency=2, queue=99)
    with run_server({"gated": gate.load}, limits) as client, ThreadPoolExecutor(8) as pool:
        accepted = [pool.submit(client.post, "/v1/colorize", content=encoded) for _ in range(4)]
        wait_until(lambda: read_metrics(client)["buffered_bytes"] == 4 * len(encoded))
        response = client.post("/v1/colorize", content=encoded)
        assert "receiving too many bytes at once" in read_problem(response, 503)
        assert int(response.headers["retry-after"]) >= 1
        gate.open()
        assert [done.result().status_code for done in accepted] == [200] * 4


def test_a_full_queue_rejects_requests_with_the_time_to_retry(
    run_server, wait_until, read_problem, gate, gray
):
    encoded = encode_image(Image(gray), "png")
    limits = Limits(concurrency=2, queue=3)
    with run_server({"gated": gate.load}, limits) as client, ThreadPoolExecutor(8) as pool:
        accepted = [pool.submit(client.post, "/v1/colorize", content=encoded) for _ in range(5)]
        wait_until(lambda: read_metrics(client)["queue_length"] == 3)
        assert read_metrics(client)["in_progress"] == 2
        response = client.post("/v1/colorize", content=encoded)
        assert "3 photos are waiting and the limit is 3" in read_problem(response, 503)
        assert int(response.headers["retry-after"]) >= 1
        gate.open()
        assert [done.result().status_code for done in accepted] == [200] * 5
        metrics = read_metrics(client)
    assert metrics['photos_total{outcome="colorized"}'] == 5
    assert metrics['photos_total{outcome="overloaded"}'] == 1
    assert metrics['requests_total{route="/v1/colorize",status="503"}'] == 1
    assert metrics['stage_seconds_count{stage="color"}'] == 5
    assert metrics["pixels_total"] == 5 * gray.size
    assert metrics["queue_length"] == metrics["in_progress"] == metrics["buffered_bytes"] == 0


def test_large_photos_leave_a_process_to_small_ones(
    run_server, wait_until, read_problem, gate, make_model, gray
):
    large, small = encode_image(Image(gray), "png"), encode_image(Image(gray[:50, :50]), "png")
    models = {"gated": gate.load, "quick": partial(Colorizer, make_model("quick.onnx"), threads=1)}
    limits = Limits(concurrency=3, queue=4, large_pixels=100_000)
    with run_server(models, limits) as client, ThreadPoolExecutor(16) as pool:
        waiting = [
            pool.submit(client.post, "/v1/colorize?model=gated", content=large) for _ in range(6)
        ]
        wait_until(lambda: read_metrics(client)["queue_length"] == 4)
        assert gate.started == 2
        read_problem(client.post("/v1/colorize?model=quick", content=large), 503)
        for _ in range(8):
            assert client.post("/v1/colorize?model=quick", content=small).status_code == 200
        assert not any(done.done() for done in waiting)
        gate.open()
        assert [done.result().status_code for done in waiting] == [200] * 6


def test_the_process_of_a_photo_that_exceeds_the_timeout_is_replaced(
    run_server, read_problem, wait_until, gate, make_model, gray
):
    encoded = encode_image(Image(gray), "png")
    models = {"quick": partial(Colorizer, make_model("quick.onnx"), threads=1), "gated": gate.load}
    limits = Limits(concurrency=2, queue=0, timeout=1)
    with run_server(models, limits) as client:

        def colorize_quickly() -> bool:  # a busy machine may need more than a second
            return client.post("/v1/colorize?model=quick", content=encoded).status_code == 200

        wait_until(colorize_quickly)
        before = read_metrics(client).get('photos_total{outcome="timeout"}', 0)
        for _ in range(4):  # more than there are processes
            started = time.monotonic()
            response = client.post("/v1/colorize?model=gated", content=encoded)
            assert "not finished within the limit of 1 s" in read_problem(response, 503)
            assert time.monotonic() - started < 2
        assert colorize_quickly()
        timeouts = read_metrics(client)['photos_total{outcome="timeout"}'] - before
        metrics = read_metrics(client)
    assert gate.finished == 0
    assert timeouts == 4 and metrics["in_progress"] == 0


@pytest.mark.parametrize("concurrency", [2, 3])
def test_a_crash_costs_one_photo(run_server, read_problem, make_model, gray, concurrency, caplog):
    encoded = encode_image(Image(gray), "png")
    models = {
        "quick": partial(Colorizer, make_model("quick.onnx"), threads=1),
        "crashing": partial(CrashingColorizer, make_model()),
    }
    limits = Limits(concurrency=concurrency)
    with run_server(models, limits) as client, ThreadPoolExecutor(8) as pool:
        url = "/v1/colorize?model="
        for _ in range(3):
            crashed = [
                pool.submit(client.post, f"{url}crashing", content=encoded) for _ in range(2)
            ]
            good = [pool.submit(client.post, f"{url}quick", content=encoded) for _ in range(6)]
            for done in crashed:
                assert "ended unexpectedly (SIGSEGV)" in read_problem(done.result(), 500)
            assert [done.result().status_code for done in good] == [200] * 6
    assert any("ended unexpectedly (SIGSEGV)" in each.getMessage() for each in caplog.records)


def test_a_process_that_ended_while_it_was_idle_is_replaced(make_model, wait_until, tmp_path):
    async def use(pool):
        async with pool.take() as process:
            await asyncio.to_thread(process.start)
            return pool.process_ids[0]

    async def run():
        pool = ProcessPool({"tiny": partial(Colorizer, make_model(), threads=1)}, 1, tmp_path)
        try:
            first = await use(pool)
            assert await use(pool) == first
            os.kill(first, signal.SIGKILL)
            wait_until(lambda: not is_running(first))
            return first, await use(pool)
        finally:
            pool.close()

    def is_running(process_id):
        try:
            os.kill(process_id, 0)
        except ProcessLookupError:
            return False
        return True

    first, second = asyncio.run(run())
    assert second != first


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts the memory of a process")
def test_a_photo_that_takes_too_much_memory_is_an_error(run_server, read_problem, make_model, gray):
    encoded = encode_image(Image(gray), "png")
    models = {
        "quick": partial(Colorizer, make_model("quick.onnx"), threads=1),
        "greedy": partial(GreedyColorizer, make_model()),
    }
    with run_server(models, Limits(concurrency=2)) as client:
        for _ in range(3):
            response = client.post("/v1/colorize?model=greedy", content=encoded)
            assert "needs more memory than" in read_problem(response, 413)
            assert client.post("/v1/colorize", content=encoded).status_code == 200
        assert read_metrics(client)["workers_memory_bytes"] < 2e9


def test_photos_that_need_much_memory_wait_for_each_other(run_server, wait_until, gate, gray):
    encoded = encode_image(Image(gray), "png")
    memory = Limits(concurrency=4).processes * PROCESS_BYTES + 5_000_000_000
    limits = Limits(concurrency=4, memory=memory)
    with run_server({"gated": gate.load}, limits) as client, ThreadPoolExecutor(8) as pool:
        url = "/v1/colorize?size=2048"  # about 4 GB
        large = [pool.submit(client.post, url, content=encoded) for _ in range(3)]
        wait_until(lambda: read_metrics(client)["queue_length"] == 2)
        small = pool.submit(client.post, "/v1/colorize", content=encoded)
        wait_until(lambda: gate.started == 2)
        gate.open()
        assert small.result().status_code == 200
        assert [done.result().status_code for done in large] == [200] * 3


def test_a_photo_that_needs_more_memory_than_there_is_is_rejected(
    run_server, read_problem, make_model, gray
):
    least = Limits(concurrency=2).processes * PROCESS_BYTES
    with pytest.raises(ConfigError, match=r"give more memory or a lower concurrency"):
        Limits(concurrency=2, memory=least - 1)
    models = {"quick": partial(Colorizer, make_model(), threads=1)}
    with run_server(models, Limits(concurrency=2, memory=least)) as client:
        encoded = encode_image(Image(gray), "png")
        response = client.post("/v1/colorize?size=2048", content=encoded)
        assert "GB of memory with these settings and the limit is" in read_problem(response, 413)
        assert client.post("/v1/colorize", content=encoded).status_code == 200


def test_the_server_ends_in_time_while_a_photo_is_stuck(run_server, gate, gray):
    encoded = encode_image(Image(gray), "png")
    started = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        with run_server({"gated": gate.load}, Limits(concurrency=2, timeout=2)) as client:
            stuck = pool.submit(httpx.post, f"{client.base_url}/v1/colorize", content=encoded)
            while not gate.started:
                time.sleep(0.01)
        assert time.monotonic() - started < 10 and stuck.result().status_code == 503


def test_nothing_is_colorized_for_a_client_that_disconnected(
    run_server, wait_until, connect, gate, gray
):
    encoded = encode_image(Image(gray), "png")
    limits = Limits(concurrency=2, queue=9)
    with run_server({"gated": gate.load}, limits) as client, contextlib.ExitStack() as stack:
        staying = [stack.enter_context(connect(client)) for _ in range(2)]
        leaving = [stack.enter_context(connect(client)) for _ in range(5)]
        for sock in staying:
            sock.sendall(HEAD % len(encoded) + encoded)
        wait_until(lambda: gate.started == 2)
        for sock in leaving:
            sock.sendall(HEAD % len(encoded) + encoded)
        wait_until(lambda: read_metrics(client)["queue_length"] == 5)
        for sock in leaving:
            sock.close()
        wait_until(lambda: read_metrics(client)["queue_length"] == 0)
        gate.open()
        assert all(sock.recv(12) == b"HTTP/1.1 200" for sock in staying)
        assert gate.finished == 2


def test_a_stopping_server_finishes_what_has_arrived(run_server, wait_until, gate, gray):
    encoded = encode_image(Image(gray), "png")
    with ThreadPoolExecutor(8) as pool:
        with run_server({"gated": gate.load}, Limits(concurrency=2, queue=9)) as client:
            accepted = [
                pool.submit(httpx.post, f"{client.base_url}/v1/colorize", content=encoded)
                for _ in range(6)
            ]
            wait_until(lambda: read_metrics(client)["queue_length"] == 4)
            threading.Timer(0.5, gate.open).start()  # by then the server is stopping
        assert [done.result().status_code for done in accepted] == [200] * 6


def test_a_slow_body_is_limited_as_a_whole(run_server, connect, load_default):
    limits = Limits(timeout=0.3)
    with run_server({"default": load_default}, limits) as client, connect(client) as sock:
        sock.sendall(HEAD % 1000)
        with contextlib.suppress(ConnectionError):
            for _ in range(20):
                sock.sendall(b"\xff")
                time.sleep(0.03)
        assert sock.recv(100).startswith(b"HTTP/1.1 408 ")


def test_one_process_is_too_few():
    with pytest.raises(ConfigError, match="concurrency is 1; give at least 2"):
        Limits(concurrency=1)
