"""Measure how fast a photo of 1 megapixel gets other colors after a changed hint.

    python benchmarks/recoloring.py [--model NAME|FILE] [--threads 2] [--rounds 10]

Prints the fastest round, in milliseconds, of `Colorizer.__call__` on the decoded photo,
and of a `Session` that already has an answer of the network. The session runs the
network again only if the model has the input hints. The photograph is a sample of this
repository, enlarged.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from colorizenet.colorizer import Colorizer
from colorizenet.imaging.reading import read_image
from colorizenet.options import Hint, Options

SAMPLE = Path(__file__).parents[1] / "samples" / "black-canyon-1871.jpg"
HEIGHT, WIDTH = 800, 1250


def measure(call: Callable[[Options], object], rounds: int) -> float:
    """The fastest of some calls in milliseconds, each with another hint."""
    times = []
    for number in range(rounds):
        hint = Hint(x=(number + 0.5) / rounds, y=0.5, rgb=(46, 107, 58))
        options = Options(hints=(hint, Hint(x=0.2, y=0.2, rgb=None)))
        started = time.perf_counter()
        call(options)
        times.append(time.perf_counter() - started)
    return 1000 * min(times)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="default")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    cv2.setNumThreads(options.threads)
    colorizer = Colorizer(options.model, threads=options.threads)
    pixels = np.asarray(read_image(SAMPLE).pixels)
    picture = cv2.resize(pixels, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    session = colorizer.session(picture)
    session()
    print(f"Colorizer {measure(lambda each: colorizer(picture, each), options.rounds):8.1f} ms")
    print(f"Session   {measure(session, options.rounds):8.1f} ms")


if __name__ == "__main__":
    main()
