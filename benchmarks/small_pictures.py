"""Measure colorizing small pictures against the network alone.

    python benchmarks/small_pictures.py [--pictures 1000] [--size 256]

The same pictures on every core, one network run each: the network alone on prepared
planes of the model's preferred size; a Colorizer on arrays; and files, from folder to
folder in this process (decoding, encoding and writing included). Best of several
rounds, in alternation.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from colorizenet import batch, color
from colorizenet.colorizer import Colorizer
from colorizenet.imaging.libvips import configure_process
from colorizenet.imaging.reading import read_image
from colorizenet.imaging.resampling import network_shape, resize
from colorizenet.modelfile import load_model
from colorizenet.planning import plan_jobs

SAMPLES = Path(__file__).parents[1] / "samples"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    cores = os.cpu_count() or 1
    configure_process(1)

    photographs = [read_image(path).pixels for path in sorted(SAMPLES.glob("*.jpg"))]
    pictures = [
        cv2.resize(
            photographs[i % len(photographs)],
            (options.size, options.size),
            interpolation=cv2.INTER_AREA,
        )
        for i in range(options.pictures)
    ]
    session = load_model("default", threads=1).session
    colorizer = Colorizer(threads=1)
    shape = network_shape(
        (options.size, options.size), colorizer.card.size, colorizer.card.size_multiple
    )
    planes = [
        color.lightness(resize(picture, *shape))[None, None] / np.float32(colorizer.card.l_scale)
        for picture in pictures
    ]
    pool = ThreadPoolExecutor(cores)

    def time_on_all_cores(work: Callable[..., object], items: list[np.ndarray]) -> float:
        started = time.perf_counter()
        for _ in pool.map(work, items):
            pass
        return time.perf_counter() - started

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "in"
        folder.mkdir()
        for i, picture in enumerate(pictures):
            cv2.imwrite(str(folder / f"{i:05}.jpg"), picture)
        jobs = plan_jobs([folder], Path(scratch) / "out")
        worker = batch.Worker(threads=1, overwrite=True)
        assert worker.colorizer  # loaded before the first round

        def files() -> float:
            started = time.perf_counter()
            done = list(batch.run_threads(jobs, worker, workers=cores + 1))
            assert len(done) == options.pictures and not any(result.error for result in done)
            return time.perf_counter() - started

        ways: dict[str, Callable[[], float]] = {
            "the network alone": lambda: time_on_all_cores(
                lambda plane: session.run(None, {"lightness": plane}), planes
            ),
            "a Colorizer on arrays": lambda: time_on_all_cores(colorizer, pictures),
            "folder to folder": files,
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(options.rounds):
            for name, way in ways.items():
                seconds[name].append(way())
    baseline = min(seconds["the network alone"])
    print(
        f"{options.pictures} pictures of {options.size} px, {cores} cores; "
        f"network input {shape[0]} x {shape[1]}"
    )
    for name, of in seconds.items():
        each = 1000 * min(of) / options.pictures
        print(f"{name:24} {min(of):6.2f} s  {each:6.2f} ms per picture  {min(of) / baseline:5.2f}x")


if __name__ == "__main__":
    main()
