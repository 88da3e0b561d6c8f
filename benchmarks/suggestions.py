"""Measure how often the true color of a place is among the suggestions for it.

    python benchmarks/suggestions.py PICTURES [--model NAME|FILE] [--limit 1000]
                                     [--places 50] [--seed 0]

PICTURES is a source of photographs as of `colorizenet evaluate`. Each is prepared as
docs/protocol.md says; the places are random. A true color is found if it is within 10
of one of the first 1, 3, 5 suggestions, in ΔE*ab (CIE 1976) and in CIEDE2000. The rows:
the suggestions, the color that the model predicts, and random colors that sRGB has at
the lightness of the place. The last row is the suggestions at places where the
predicted color is not within 10.
"""

import argparse

import numpy as np

from colorizenet import color
from colorizenet.colorizer import Colorizer
from colorizenet.evaluation.truth import PICTURE_SIZE, read_truth
from colorizenet.hints import sample_color
from colorizenet.options import Hint
from colorizenet.photosets import list_photos

COUNTS = (1, 3, 5)
DISTANCE = 10.0


def draw_colors(l_star: float, count: int, random: np.random.Generator) -> np.ndarray:
    """a* and b* of random colors of sRGB at a lightness, ``(count, 2)``."""
    found: list[np.ndarray] = []
    while len(found) < count:
        ab = random.uniform(-110, 110, (500, 2))
        linear = color.lab_to_linear(np.column_stack([np.full(500, l_star), ab]))
        found += list(ab[((linear >= -0.01) & (linear <= 1.01)).all(axis=1)])
    return np.array(found[:count])


def find(ab: np.ndarray, true: np.ndarray) -> list[bool]:
    """Whether one of the first ``COUNTS`` colors is near, in ΔE*ab and then in
    CIEDE2000."""
    repeated = np.broadcast_to(true, ab.shape)
    distances = np.linalg.norm(ab - true, axis=1), color.delta_e_2000(ab, repeated)
    return [bool((each[:count] <= DISTANCE).any()) for each in distances for count in COUNTS]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pictures")
    parser.add_argument("--model", default="default")
    parser.add_argument("--limit", type=int, default=1000)
    parser.add_argument("--places", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    colorizer, random = Colorizer(options.model, threads=1), np.random.default_rng(options.seed)
    found: dict[str, list[list[bool]]] = {}
    for photo in list_photos(options.pictures)[: options.limit]:
        truth = read_truth(photo, PICTURE_SIZE)
        if truth.is_gray:
            continue
        session = colorizer.session(truth.gray)
        chroma = session.predict()
        for x, y in random.random((options.places, 2)):
            height, width = truth.l_star.shape
            place = int(y * height), int(x * width)
            true = truth.ab[place].astype(np.float64)
            rgb = np.array([each.rgb for each in session.suggest(x, y, max(COUNTS))])
            _, predicted = sample_color(chroma, Hint(x=x, y=y, rgb=None), (height, width))
            rows = {
                "suggestions": color.rgb_to_lab(rgb / 255)[:, 1:],
                "prediction": predicted.astype(np.float64)[None],
                "random colors": draw_colors(float(truth.l_star[place]), max(COUNTS), random),
            }
            for name, ab in rows.items():
                found.setdefault(name, []).append(find(ab, true))
            if not found["prediction"][-1][0]:
                found.setdefault("where the prediction is wrong", []).append(
                    found["suggestions"][-1]
                )
    print(f"{len(found['suggestions'])} places")
    print(f"{'found among the first':30}", *(f"{count:>6}" for count in COUNTS * 2))
    print(f"{'':30} {'ΔE*ab':>20} {'CIEDE2000':>20}")
    for name, values in found.items():
        print(f"{name:30}", *(f"{value:6.1%}" for value in np.mean(values, axis=0)))


if __name__ == "__main__":
    main()
