"""Whether a model's pictures are closer to photographs than another model's.

    python benchmarks/compare_frechet.py PICTURES --model NAME|FILE --baseline NAME|FILE
                                         [--metric NAME]... [--metric-weights NAME=FILE]
                                         [--limit N] [--picture-size 256]

PICTURES is a source as of `colorizenet evaluate`. For each metric, by default
frechet_efficientnet_lite0 and frechet_vgg16, the table has the Fréchet distance of both
models, and the change in percent with its 95 % interval over pictures. The last lines
are the means of CIEDE2000 and colorfulness. Use a thousand pictures.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

from colorizenet import Colorizer
from colorizenet.evaluation import metrics
from colorizenet.evaluation.truth import PICTURE_SIZE, read_truth
from colorizenet.photosets import list_photos
from colorizenet.training.metrics import (
    Moments,
    build_set_metrics,
    compare_frechet_distances,
    frechet_distance,
)

METRICS = ("frechet_efficientnet_lite0", "frechet_vgg16")


def compute_distance(features: np.ndarray, truth: np.ndarray) -> float:
    """The Fréchet distance of two sets of features."""
    sets = []
    for vectors in (features, truth):
        sets.append(Moments(vectors.shape[1]))
        sets[-1].add(vectors)
    return frechet_distance(*sets)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--baseline", required=True)
    parser.add_argument("--metric", action="append", default=[])
    parser.add_argument("--metric-weights", action="append", default=[])
    parser.add_argument("--limit", type=int)
    parser.add_argument("--picture-size", type=int, default=PICTURE_SIZE)
    options = parser.parse_args()

    weights = dict(pair.split("=", 1) for pair in options.metric_weights)
    extract = build_set_metrics(options.metric or METRICS, weights=weights)
    models = {name: Colorizer(getattr(options, name)) for name in ("model", "baseline")}
    features: dict[tuple[str, str], list[np.ndarray]] = defaultdict(list)
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for photo in list_photos(options.pictures)[: options.limit]:
        truth = read_truth(photo, options.picture_size)
        if truth.is_gray:
            continue
        pictures = {name: model(truth.gray) for name, model in models.items()}
        for name, rgb in (pictures | {"truth": truth.rgb}).items():
            values["ciede2000", name].append(metrics.ciede2000(rgb, truth.rgb))
            values["colorfulness", name].append(metrics.colorfulness(rgb))
            for metric in extract:
                features[metric, name].append(extract[metric].features(rgb[None])[0])

    print(f"{len(values['ciede2000', 'truth'])} pictures               baseline     model   change")
    for metric in extract:
        own, baseline, truth = (
            np.stack(features[metric, name]) for name in ("model", "baseline", "truth")
        )
        change, low, high = (100 * x for x in compare_frechet_distances(own, baseline, truth))
        print(
            f"{metric:27} {compute_distance(baseline, truth):9.2f} "
            f"{compute_distance(own, truth):9.2f}   {change:+.1f} % ({low:+.1f} to {high:+.1f})"
        )
    for metric in ("ciede2000", "colorfulness"):
        before, after = (float(np.mean(values[metric, name])) for name in ("baseline", "model"))
        print(f"{metric:27} {before:9.2f} {after:9.2f}   {after - before:+.2f}")


if __name__ == "__main__":
    main()
