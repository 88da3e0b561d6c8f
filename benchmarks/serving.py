"""Measure the server's throughput against the command line's, and its behavior under
overload.

    python benchmarks/serving.py [--seconds 60] [--folder 160]

The files are the samples at 1 megapixel. Server and clients share the cores of this
machine. `colorize` is `colorizenet colorize` of a folder of the files, without its
startup. Then 8 clients run for the given time; then 64, of which the surplus must be
refused; then one request once more.
"""

import argparse
import http.client
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import cv2
import numpy as np

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

    def run(self, seconds: float, each_second: list[float] | None = None) -> None:
        for thread in self.threads:
            thread.start()
        for _ in range(round(seconds)):
            time.sleep(1)
            if each_second is not None:
                each_second.append(read_memory(self.port))
        self.stop.set()
        for thread in self.threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in self.threads), "a client hangs"


def read_memory(port: int) -> float:
    """Memory of the server and its processes in MB, from its metrics."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/metrics")
    found = re.findall(
        rb"^(?:process_resident|colorizenet_workers)_memory_bytes (\S+)",
        connection.getresponse().read(),
        re.MULTILINE,
    )
    connection.close()
    assert found
    return sum(map(float, found)) / 1e6


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
        read_memory(port)
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
            eight = Clients(port, bodies, 8)
            begun = time.perf_counter()
            eight.run(options.seconds, memory)
            lasted = time.perf_counter() - begun
            served = [took for status, _, took in eight.answers if status == 200]
            print(
                f"8 clients, {lasted:.0f} s: {len(served) / lasted:.2f} pictures/s, "
                f"{len(served) / lasted / rate:.2f} of colorize; "
                f"{len(eight.answers) - len(served)} errors; "
                f"p95 {np.quantile(served, 0.95):.2f} s"
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
                f"64 clients, 15 s: {len(served)} served, p95 {np.quantile(served, 0.95):.2f} s "
                f"(allowed {allowed:.1f} s); "
                f"{len(refused)} refused with 503, p95 {np.quantile(refused, 0.95):.2f} s; "
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
