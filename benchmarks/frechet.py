"""What a Fréchet distance can say of so many pictures: that of true colors from which something was taken.

    python benchmarks/frechet.py PICTURES [--model NAME|FILE]... [--limit N] [--size 256]

PICTURES is what `colorizenet evaluate` takes. For each row: CIEDE2000, the distance (EfficientNet-Lite0), and which
part of it is the difference of means. The rest is that of covariances, which over fewer pictures than the features
have dimensions can hardly be small unless each picture is like its truth.

    muted    the true chroma times 0.66
    1/N      the true chroma reduced N-fold by area and brought up again by cubic interpolation: its small detail lost
    coarse   of a model, its chroma so reduced 16-fold, with the truth's detail
    fine     of a model, its detail, with the truth's chroma so reduced
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
from colorizenet.evaluation.protocol import Truth, truth_of
from colorizenet.photosets import list_photos
from colorizenet.training.losses.perceptual import Moments, frechet_distance, set_metrics

METRIC = "frechet_efficientnet_lite0"


def coarse(ab: np.ndarray, times: int = 16) -> np.ndarray:
    height, width = ab.shape[:2]
    small = cv2.resize(ab, (width // times, height // times), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def shown(truth: Truth, models: Mapping[str, Colorizer]) -> Iterator[tuple[str, np.ndarray]]:
    """Each row's picture, by the row's name."""
    yield "truth", truth.rgb
    yield "muted", truth.with_chroma(0.66 * truth.ab)
    for times in (4, 8, 16, 32, 64):
        yield f"1/{times}", truth.with_chroma(coarse(truth.ab, times))
    yield "gray", truth.with_chroma(np.zeros_like(truth.ab))
    for name, model in models.items():
        rgb = model(truth.gray)
        ab = rgb_to_lab(rgb.astype(np.float32) / 255)[..., 1:]
        off = coarse(ab) - coarse(truth.ab)
        yield name, rgb
        yield f"{name}, coarse", truth.with_chroma(truth.ab + off)
        yield f"{name}, fine", truth.with_chroma(ab - off)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pictures", type=Path)
    parser.add_argument(
        "--model", action="append", default=[], help="once for each model; default: default"
    )
    parser.add_argument("--limit", type=int)
    parser.add_argument("--size", type=int, default=256)
    options = parser.parse_args()

    models = {name: Colorizer(name) for name in options.model or ["default"]}
    metric = set_metrics([METRIC])[METRIC]
    features: dict[str, list[np.ndarray]] = defaultdict(list)
    errors: dict[str, list[float]] = defaultdict(list)
    for picture in list_photos(options.pictures)[: options.limit]:
        truth = truth_of(picture, options.size)
        for name, rgb in shown(truth, models):
            features[name].append(metric.features(rgb[None])[0])
            errors[name].append(metrics.ciede2000(rgb, truth.rgb))

    moments = {}
    for name, vectors in features.items():
        moments[name] = Moments(len(vectors[0]))
        moments[name].add(np.stack(vectors))
    print(f"{len(errors['truth'])} pictures      CIEDE2000  distance  of the means")
    for name, own in moments.items():
        apart = float(np.square(own.mean - moments["truth"].mean).sum())
        distance = frechet_distance(own, moments["truth"])
        print(f"{name:18} {np.mean(errors[name]):9.2f} {distance:9.2f} {apart:13.2f}")


if __name__ == "__main__":
    main()
