"""Measure ``--engine ray`` against ``--engine local``, and the memory of its driver.

    python benchmarks/ray_engine.py [--pictures 40] [--workers 1 2 4] [--rounds 1]
                                    [--small 200 400] [--stored 128 384]

Pictures are JPEGs of 1 megapixel, made of the sample photographs. Each engine has as
many cores as workers: this process and all that it starts are bound to them (Linux).
Starting the cluster and loading models is not counted: time runs from the first to
the last result, over the pictures in between. Seconds of processor time for each
picture are those of all processes of an engine, in the same interval; other load
changes them less. The engines run in alternation and the best of each counts. Rows
without so many cores are left out.

Requests are those to an object store (moto's S3 server on this machine) for so many
tiny photos in it and results in it: those of all runs, and those for each photo more.

Memory is the highest private memory of the driver, in a run over many tiny files. Their
workers copy the files, since what the network does is not the driver's concern.
"""

import argparse
import contextlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from colorizenet.batch import Done, Worker, run_threads
from colorizenet.imaging.libvips import configure_process
from colorizenet.imaging.reading import read_image
from colorizenet.planning import Job, plan_jobs
from colorizenet.ray.archive import Archive
from colorizenet.ray.engine import Cluster, start_cluster
from colorizenet.ray.plan import Planner
from colorizenet.ray.stores import Folder

_BATCH = 4
"""Pictures that an actor takes at a time."""

SAMPLES = Path(__file__).parents[1] / "samples"


class Copying(Worker):
    """A worker that copies the photo."""

    def __call__(self, job: Job) -> Done:
        shutil.copyfile(job.source, job.target)
        return Done(job, width=1, height=1)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--small", type=int, nargs="*", default=[200, 400])
    parser.add_argument("--stored", type=int, nargs="*", default=[])
    parser.add_argument("--driver", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.driver:
        [count] = options.small
        peak = measure_memory(options.driver, count)
        print(f"driver, {count} files: {peak / 1e6:.0f} MB", flush=True)
        return
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_photos(folder / "in", options.pictures)
        print("workers  local/s    ray/s  overhead  local CPU    ray CPU  overhead")
        for workers in options.workers:
            if workers > len(cores):
                print(f"{workers:>7}  (this machine has {len(cores)} cores)")
                continue
            os.sched_setaffinity(0, cores[:workers])
            turns = []
            for number in range(options.rounds):
                out = folder / f"out{workers}-{number}"
                turns.append(
                    (
                        measure_local(folder / "in", out / "local", workers),
                        measure_ray(folder / "in", out / "ray", workers),
                    )
                )
                shutil.rmtree(out)
            (local, local_cpu), (rate, ray_cpu) = (
                (max(each[side].rate for each in turns), min(each[side].cpu for each in turns))
                for side in (0, 1)
            )
            print(
                f"{workers:>7} {local:>8.2f} {rate:>8.2f} {local / rate - 1:>9.1%} "
                f"{local_cpu * 1000:>7.1f} ms {ray_cpu * 1000:>7.1f} ms "
                f"{ray_cpu / local_cpu - 1:>9.1%}",
                flush=True,
            )
        os.sched_setaffinity(0, cores)
        for count in options.small:
            command = [sys.executable, __file__, "--driver", folder / f"small{count}"]
            subprocess.run([*map(str, command), "--small", str(count)], check=True)
    if options.stored:
        with serve_store() as requests:
            compare_requests(options.stored, requests)


def write_photos(folder: Path, count: int) -> None:
    """JPEGs of about 1 megapixel, 4:3, each another cut of a sample photograph."""
    folder.mkdir()
    samples = [read_image(path).pixels for path in sorted(SAMPLES.glob("*.jpg"))]
    rng = np.random.default_rng(0)
    for number in range(count):
        sample = samples[number % len(samples)]
        gray = sample if sample.ndim == 2 else cv2.cvtColor(sample, cv2.COLOR_RGB2GRAY)
        top, left = (int(rng.integers(0, side // 8 + 1)) for side in gray.shape)
        picture = cv2.resize(gray[top:, left:], (1152, 864), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"{number:06}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 92])


class Speed(NamedTuple):
    rate: float
    """Pictures per second."""
    cpu: float
    """Seconds of processor time for a picture."""


def measure_speed(results: Iterable[object], batch: int = 1) -> Speed:
    """The speed after the first batch."""
    count, first, last, cpu = 0, 0.0, 0.0, 0.0
    for count, _ in enumerate(results, start=1):
        last = time.perf_counter()
        if count == batch:
            first, cpu = last, sum_processor_time()
    rest = count - batch
    return Speed(rest / (last - first), (sum_processor_time() - cpu) / rest)


def sum_processor_time() -> float:
    """Seconds of processor time of this process and all that it has started."""
    parents, times = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # of a process that has ended
            fields = path.read_text().rpartition(")")[2].split()
            parents[int(path.parent.name)] = int(fields[1])
            times[int(path.parent.name)] = int(fields[11]) + int(fields[12])

    def is_own(process: int) -> bool:
        while process not in (0, os.getpid()):
            process = parents.get(process, 0)
        return process != 0

    ticks = sum(time for process, time in times.items() if is_own(process))
    return ticks / os.sysconf("SC_CLK_TCK")


def measure_local(inputs: Path, out: Path, workers: int) -> Speed:
    """The speed of threads."""
    worker = Worker(journal=out)
    configure_process(1)
    return measure_speed(run_threads(plan_jobs([inputs], out), worker, workers=workers))


def measure_ray(inputs: Path, out: Path, workers: int) -> Speed:
    """The speed of actors."""
    archive = make_archive(inputs, out, Worker())
    with start_cluster(cores=workers):
        return measure_speed(archive.run(Cluster(concurrency=workers), batch_size=_BATCH), _BATCH)


def make_archive(inputs: Path, out: Path, worker: Worker) -> Archive:
    results = Folder(str(out))
    (out / ".colorizenet").mkdir(parents=True)
    archive = Archive(results, worker)
    archive.plan(Planner(results=results).plan([str(inputs)]))
    return archive


def measure_memory(folder: Path, count: int) -> int:
    """Highest private memory of a driver, in bytes."""
    encoded = cv2.imencode(".jpg", np.zeros((8, 8), np.uint8))[1].tobytes()
    for number in range(count):
        path = folder / "in" / f"{number // 1000:04}" / f"{number:07}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded)
    with watch_memory() as peak:
        archive = make_archive(folder / "in", folder / "out", Copying())
        with start_cluster(cores=2):
            done = sum(1 for _ in archive.run(Cluster(concurrency=2)))
    assert done == count
    return peak[0]


@contextmanager
def serve_store() -> Iterator[Counter[str]]:
    """An object store, and its requests by kind."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    application = DomainDispatcherApplication(create_backend_app)
    requests: Counter[str] = Counter()

    def count(environ, start_response):
        listing = "list-type" in environ["QUERY_STRING"]
        requests["LIST" if listing else environ["REQUEST_METHOD"]] += 1
        return application(environ, start_response)

    server = make_server("127.0.0.1", 0, count, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
    }
    yield requests
    server.shutdown()


def compare_requests(counts: list[int], requests: Counter[str]) -> None:
    """Print the requests of runs over so many photos, and those for each photo more."""
    import s3fs

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    store = s3fs.S3FileSystem(use_listings_cache=False)
    random = np.random.default_rng(0)
    found: list[Counter[str]] = []
    for count in counts:
        store.mkdir(f"in{count}")
        for number in range(count):
            gray = random.integers(0, 256, (64, 64), np.uint8)
            encoded = cv2.imencode(".jpg", gray)[1].tobytes()
            store.pipe_file(f"in{count}/{number:06}.jpg", encoded)
        store.mkdir(f"out{count}")
        requests.clear()
        results = Folder(f"s3://out{count}/results")
        archive = Archive(results, Worker())
        archive.plan(Planner(results=results).plan([f"s3://in{count}"]))
        with start_cluster(cores=1):
            records = list(archive.run(Cluster(concurrency=1), batch_size=128))
        assert all(record.status == "colorized" for record in records)
        found.append(Counter(requests))
        print(f"requests for {count} photos: {dict(found[-1])}", flush=True)
    for few, many, first, second in zip(counts, counts[1:], found, found[1:], strict=False):
        rates = {kind: round((second[kind] - first[kind]) / (many - few), 3) for kind in second}
        print(f"requests for each photo more: {rates}")


@contextmanager
def watch_memory() -> Iterator[list[int]]:
    """The highest private memory of this process, four times a second."""
    peak, stop = [0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.25):
            lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
            private = sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))
            peak[0] = max(peak[0], private * 1024)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()


if __name__ == "__main__":
    main()
