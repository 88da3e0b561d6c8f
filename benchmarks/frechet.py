"""Fréchet distances of true colors that were changed in known ways.

    python benchmarks/frechet.py PICTURES [--model NAME|FILE]... [--limit N]
                                 [--picture-size 256]

PICTURES is a source as of `colorizenet evaluate`. The table has a line per row:
CIEDE2000, the Fréchet distance (EfficientNet-Lite0), and the part of it that is the
difference of the means. The other part is the difference of the covariances. With fewer
pictures than features it is small only where every picture is close to its photograph.

    muted    the true chroma times 0.66
    1/N      the true chroma, reduced N times by area and enlarged by cubic filter
    coarse   a model's chroma at 1/16 of the size, with the detail of the true chroma
    fine     the detail of a model's chroma, with the true chroma at 1/16 of the size
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np

from colorizenet import Colorizer
from colorizenet.color import rgb_to_lab
from colorizenet.evaluation import metrics
from colorizenet.evaluation.truth import PICTURE_SIZE, Truth, read_truth
from colorizenet.photosets import list_photos
from colorizenet.training.metrics import Moments, build_set_metrics, frechet_distance

METRIC = "frechet_efficientnet_lite0"
FACTORS = (4, 8, 16, 32, 64)
"""Factors N of the rows 1/N."""


def blur(ab: np.ndarray, factor: int = 16) -> np.ndarray:
    """Reduce chroma ``factor`` times by area, and enlarge it again."""
    height, width = ab.shape[:2]
    small = cv2.resize(ab, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def render_rows(truth: Truth, models: Mapping[str, Colorizer]) -> Iterator[tuple[str, np.ndarray]]:
    """The name of each row, and its picture."""
    yield "truth", truth.rgb
    yield "muted", truth.with_chroma(0.66 * truth.ab)
    for factor in FACTORS:
        yield f"1/{factor}", truth.with_chroma(blur(truth.ab, factor))
    yield "gray", truth.with_chroma(np.zeros_like(truth.ab))
    for name, model in models.items():
        rgb = model(truth.gray)
        ab = rgb_to_lab(rgb.astype(np.float32) / 255)[..., 1:]
        error = blur(ab) - blur(truth.ab)
        yield name, rgb
        yield f"{name}, coarse", truth.with_chroma(truth.ab + error)
        yield f"{name}, fine", truth.with_chroma(ab - error)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--model", action="append", default=[], help="repeat it for more models")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--picture-size", type=int, default=PICTURE_SIZE)
    options = parser.parse_args()
    if options.picture_size < FACTORS[-1]:
        parser.error(
            f"--picture-size {options.picture_size} is too small for the row 1/{FACTORS[-1]}; "
            f"give {FACTORS[-1]} or more"
        )

    models = {name: Colorizer(name) for name in options.model or ["default"]}
    metric = build_set_metrics([METRIC])[METRIC]
    features: dict[str, list[np.ndarray]] = defaultdict(list)
    errors: dict[str, list[float]] = defaultdict(list)
    for photo in list_photos(options.pictures)[: options.limit]:
        truth = read_truth(photo, options.picture_size)
        for name, rgb in render_rows(truth, models):
            features[name].append(metric.features(rgb[None])[0])
            errors[name].append(metrics.ciede2000(rgb, truth.rgb))

    moments = {}
    for name, vectors in features.items():
        moments[name] = Moments(len(vectors[0]))
        moments[name].add(np.stack(vectors))
    print(f"{len(errors['truth'])} pictures      CIEDE2000  distance  of the means")
    for name, own in moments.items():
        means = float(np.square(own.mean - moments["truth"].mean).sum())
        distance = frechet_distance(own, moments["truth"])
        print(f"{name:18} {np.mean(errors[name]):9.2f} {distance:9.2f} {means:13.2f}")


if __name__ == "__main__":
    main()
