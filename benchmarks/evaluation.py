"""Measure the cost of an evaluation, relative to decoding and the network alone.

    python benchmarks/evaluation.py PICTURES [--pictures 400] [--repeat 3]

Both process the same photographs at 256 px in as many threads, for one model. Goal: a
ratio of at most 2.0. The third line is the search of the strength for a colorfulness,
with the evaluation at it.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from colorizenet.colorizer import Colorizer
from colorizenet.evaluation.protocol import evaluate, evaluate_rows
from colorizenet.evaluation.rows import ModelRow
from colorizenet.evaluation.truth import PICTURE_SIZE, read_truth
from colorizenet.parallel import limit_opencv_threads
from colorizenet.photosets import Photo, list_photos


def measure_seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pictures")
    parser.add_argument("--pictures", dest="count", type=int, default=400)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--match-colorfulness", type=float, default=28)
    options = parser.parse_args()

    found = list_photos(options.pictures)
    photos = (found * (options.count // len(found) + 1))[: options.count]
    model, jobs = Colorizer(threads=1), os.cpu_count() or 1

    def predict(photo: Photo) -> None:
        model.predict(read_truth(photo, PICTURE_SIZE).gray)

    def run_network() -> None:
        with limit_opencv_threads(), ThreadPoolExecutor(jobs) as pool:
            for _ in pool.map(predict, photos):
                pass

    def run_evaluation() -> None:
        evaluate_rows([ModelRow("default", model)], photos)

    def run_matched() -> None:
        evaluate(
            model,
            options.pictures,
            limit=options.count,
            match_colorfulness=options.match_colorfulness,
        )

    run_network()  # fills the disk cache
    works = {
        "decoding and network": run_network,
        "with all metrics": run_evaluation,
        "matched, with references": run_matched,
    }
    times = {name: [] for name in works}
    for _ in range(options.repeat):
        for name, work in works.items():
            times[name].append(measure_seconds(work))
    for name, seconds in times.items():
        # Photos of a small set are repeated, but not by `evaluate`.
        count = min(len(found), len(photos)) if works[name] is run_matched else len(photos)
        print(f"{name:26}{1000 * statistics.median(seconds) / count:7.1f} ms per picture")
    network, evaluation = times["decoding and network"], times["with all metrics"]
    ratio = statistics.median(b / a for a, b in zip(network, evaluation, strict=True))
    print(f"{'ratio':26}{ratio:7.2f}")


if __name__ == "__main__":
    main()
