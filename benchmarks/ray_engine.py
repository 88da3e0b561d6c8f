"""Measure ``--engine ray`` against ``--engine local``, and the memory of its driver.

    python benchmarks/ray_engine.py [--pictures 40] [--workers 1 2 4] [--small 200 400]

Pictures are JPEGs of 1 megapixel, made of the sample photographs. Each engine has as
many cores as workers: this process and all that it starts are bound to them (Linux).
Starting the cluster and loading models is not counted: time runs from the first to
the last result, over the pictures in between. Rows without so many cores are left out.

Memory is the highest private memory of the driver, in a run over many tiny files. Their
workers copy the files, since what the network does is not the driver's concern.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from colorizenet.batch import Done, Worker, configure_libvips, run_threads
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
    parser.add_argument("--small", type=int, nargs="*", default=[200, 400])
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
        print("workers  local/s    ray/s  overhead")
        for workers in options.workers:
            if workers > len(cores):
                print(f"{workers:>7}  (this machine has {len(cores)} cores)")
                continue
            os.sched_setaffinity(0, cores[:workers])
            local = measure_local(folder / "in", folder / f"local{workers}", workers)
            rate = measure_ray(folder / "in", folder / f"ray{workers}", workers)
            print(f"{workers:>7} {local:>8.2f} {rate:>8.2f} {local / rate - 1:>9.1%}", flush=True)
        os.sched_setaffinity(0, cores)
        for count in options.small:
            command = [sys.executable, __file__, "--driver", folder / f"small{count}"]
            subprocess.run([*map(str, command), "--small", str(count)], check=True)


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


def measure_rate(results: Iterable[object], batch: int = 1) -> float:
    """Results per second, after the first batch."""
    times = [time.perf_counter() for _ in results]
    return (len(times) - batch) / (times[-1] - times[batch - 1])


def measure_local(inputs: Path, out: Path, workers: int) -> float:
    """Pictures per second of threads."""
    worker = Worker(journal=out)
    configure_libvips(1)
    return measure_rate(run_threads(plan_jobs([inputs], out), worker, workers=workers))


def measure_ray(inputs: Path, out: Path, workers: int) -> float:
    """Pictures per second of actors."""
    archive = make_archive(inputs, out, Worker())
    with start_cluster(cores=workers):
        return measure_rate(archive.run(Cluster(concurrency=workers), batch_size=_BATCH), _BATCH)


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
