"""What measuring costs: one model's row of every torch-free metric, against decoding and the network alone.

    python benchmarks/evaluation.py PICTURES [--pictures 400] [--repeat 3]

Both go through the same photographs at 256 px in as many threads. Goal: at most 2.0 times as long.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import cv2

from colorizenet.colorizer import Colorizer
from colorizenet.evaluation.protocol import SIZE, Row, evaluate_rows, truth_of
from colorizenet.photosets import Photo, list_photos


def seconds(work: Callable[[], object]) -> float:
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
    options = parser.parse_args()

    found = list_photos(options.pictures)
    pictures = (found * (options.count // len(found) + 1))[: options.count]
    model, workers = Colorizer(threads=1), os.cpu_count() or 1

    def alone(picture: Photo) -> None:
        model.chroma(truth_of(picture, SIZE).gray)

    def network() -> None:
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)
        with ThreadPoolExecutor(workers) as pool:
            for _ in pool.map(alone, pictures):
                pass
        cv2.setNumThreads(threads)

    def measured() -> None:
        evaluate_rows([Row("default", lambda truth: model(truth.gray))], pictures)

    network()  # warms the disk's cache
    times = [(seconds(network), seconds(measured)) for _ in range(options.repeat)]
    for name, own in zip(
        ("decoding and network", "with all metrics"), zip(*times, strict=True), strict=True
    ):
        print(f"{name:22}{1000 * statistics.median(own) / len(pictures):7.1f} ms a picture")
    print(f"{'ratio':22}{statistics.median(b / a for a, b in times):7.2f}")


if __name__ == "__main__":
    main()
