"""Measure the server's throughput against the command line's, and its behavior under
overload.

    python benchmarks/serving.py [--seconds 60] [--folder 160]

The files are the samples at 1 megapixel. Server and clients share the cores of this
machine. `colorize` is `colorizenet colorize` of a folder of the files, without its
startup. Then 8 clients run for the given time; then 64, of which the surplus must be
refused; then one request once more.

Memory is that of all processes of the server, where shared pages count once (PSS).
"""

import argparse
import http.client
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from processes import list_family, read_memory

SAMPLES = Path(__file__).parents[1] / "samples"
COLORIZENET = [sys.executable, "-m", "colorizenet"]


def write_megapixel_files(folder: Path, number: int) -> list[Path]:
    """Write gray JPEGs of 1 megapixel."""
    made = []
    for path in sorted(SAMPLES.glob("*.jpg")):
        picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        assert picture is not None
        scale = (1e6 / picture.size) ** 0.5
        encoded = cv2.imencode(
            ".jpg", cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        )
        made.append(encoded[1].tobytes())
    files = [folder / f"{i:04}.jpg" for i in range(number)]
    for i, file in enumerate(files):
        file.write_bytes(made[i % len(made)])
    return files


def measure_command_line(number: int) -> float:
    """Pictures per second of `colorizenet colorize`, without its startup."""

    def seconds(count: int) -> float:
        with tempfile.TemporaryDirectory() as name:
            write_megapixel_files(Path(name), count)
            started = time.perf_counter()
            command = [*COLORIZENET, "colorize", name, "--out", f"{name}/out"]
            subprocess.run(command, check=True, capture_output=True)
            return time.perf_counter() - started

    few = number // 4
    return (number - few) / (seconds(number) - seconds(few))


class Clients:
    """Threads that post one picture after another until they are stopped."""

    def __init__(self, port: int, bodies: list[bytes], number: int) -> None:
        self.port, self.bodies = port, bodies
        self.answers: list[tuple[int | str, float, float]] = []
        """Status or name of the error, time of sending, seconds taken."""
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self.work, args=(i,)) for i in range(number)]

    def work(self, i: int) -> None:
        while not self.stop.is_set():
            started = time.perf_counter()
            status, wait = self.post(self.bodies[i % len(self.bodies)])
            self.answers.append((status, started, time.perf_counter() - started))
            i += 1
            self.stop.wait(min(wait, 1.0))

    def post(self, body: bytes) -> tuple[int | str, float]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("POST", "/v1/colorize", body)
            answer = connection.getresponse()
            answer.read()
            return answer.status, float(answer.headers.get("Retry-After", 0))
        except OSError as error:
            return type(error).__name__, 0.0
        finally:
            connection.close()

    def run(self, seconds: float, each_second: Callable[[], None] = lambda: None) -> None:
        for thread in self.threads:
            thread.start()
        for _ in range(round(seconds)):
            time.sleep(1)
            each_second()
        self.stop.set()
        for thread in self.threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in self.threads), "a client hangs"


def request_health(port: int) -> None:
    """Send a request that is answered without work."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/healthz")
    connection.getresponse().read()
    connection.close()


def format_p95(seconds: list[float]) -> str:
    """The 95th percentile; there is none where no request ended in this way."""
    return f"p95 {np.quantile(seconds, 0.95):.2f} s" if seconds else "no p95"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--folder", type=int, default=160)
    parser.add_argument("--queue", type=int, default=32)
    options = parser.parse_args()

    rate = measure_command_line(options.folder)
    print(f"colorize: {rate:.2f} pictures/s", flush=True)
    with tempfile.TemporaryDirectory() as name:
        bodies = [path.read_bytes() for path in write_megapixel_files(Path(name), 10)]
    command = [*COLORIZENET, "serve", "--port", "0", "--no-page", "--queue", str(options.queue)]
    started = time.perf_counter()
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as process:
        assert process.stderr
        port = int(process.stderr.readline().rpartition(":")[2])
        request_health(port)
        print(
            f"the API answers {time.perf_counter() - started:.2f} s after its start, "
            "imports included"
        )
        try:
            alone = Clients(port, bodies, 1)
            took = []
            for body in bodies:
                begun = time.perf_counter()
                assert alone.post(body)[0] == 200
                took.append(time.perf_counter() - begun)
            unloaded = statistics.median(took)
            print(f"one client: {unloaded:.3f} s per picture", flush=True)

            memory: list[float] = []

            def measure_memory() -> None:
                memory.append(sum(map(read_memory, list_family(process.pid))) / 1e6)

            eight = Clients(port, bodies, 8)
            begun = time.perf_counter()
            eight.run(options.seconds, measure_memory)
            lasted = time.perf_counter() - begun
            served = [took for status, _, took in eight.answers if status == 200]
            print(
                f"8 clients, {lasted:.0f} s: {len(served) / lasted:.2f} pictures/s, "
                f"{len(served) / lasted / rate:.2f} of colorize; "
                f"{len(eight.answers) - len(served)} errors; "
                f"{format_p95(served)}"
            )
            tenth, last = memory[min(9, len(memory) - 1)], memory[-1]
            print(
                f"memory at 10 s {tenth:.0f} MB, at the end {last:.0f} MB, "
                f"peak {max(memory):.0f} MB",
                flush=True,
            )

            many = Clients(port, bodies, 64)
            many.run(15)
            served = [took for status, _, took in many.answers if status == 200]
            refused = [took for status, _, took in many.answers if status == 503]
            allowed = 3 * unloaded * options.queue
            print(
                f"64 clients, 15 s: {len(served)} served, {format_p95(served)} "
                f"(allowed {allowed:.1f} s); "
                f"{len(refused)} refused with 503, {format_p95(refused)}; "
                f"{len(many.answers) - len(served) - len(refused)} others"
            )
            begun = time.perf_counter()
            assert alone.post(bodies[0])[0] == 200
            print(f"one client again: {time.perf_counter() - begun:.3f} s")
        finally:
            process.terminate()
    print(f"ended with status {process.returncode}")


if __name__ == "__main__":
    main()
