"""Measure how a photo follows one hint: at its place, in its object, and beyond it.

    python benchmarks/hint_following.py PICTURES [--model NAME|FILE]... [--limit 100]
                                        [--objects 5] [--seed 0]

PICTURES is a source of photographs as of `colorizenet evaluate`. Each is prepared as
docs/protocol.md says. Objects are segments of the true picture by the method of
Felzenszwalb and Huttenlocher (2004) of 1 to 25 percent of its area, and the hint is at
the place that is farthest from their edge. The figures, each a mean over objects:

- obedience: CIEDE2000 between the hint and the result at its place
- reach: share of the object that changes by more than 2.3, in CIEDE2000, in percent
- leak: mean change outside of the object, in CIEDE2000
- neutral: chroma left at the place of a neutral hint, where the usual result has a
  chroma of 10 or more

A plausible hint has the true color of the object, and is drawn only where that differs
by 5 or more from the usual result. An implausible one has the opposite hue of the
result, with a chroma of 35 or as much as sRGB holds.
"""

import argparse
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from skimage.segmentation import felzenszwalb

from colorizenet import color
from colorizenet.colorizer import Colorizer
from colorizenet.evaluation.truth import PICTURE_SIZE, Truth, read_truth
from colorizenet.options import Hint, Options
from colorizenet.photosets import list_photos

RADIUS = 1 / 80
SCALE = 400
AREA = 0.01, 0.25
NOTICED = 2.3
"""A change in CIEDE2000 that people notice."""
CHROMA = 35.0
TITLES = "obedience", "reach", "leak"


class Object(NamedTuple):
    """A part of a photo."""

    inside: np.ndarray
    """``(h, w)`` bool."""
    row: int
    column: int
    """The place that is farthest from the edge."""


def find_objects(truth: Truth) -> list[Object]:
    """Segments of a photo of moderate size."""
    labels = felzenszwalb(truth.rgb, scale=SCALE, sigma=0.8, min_size=300)
    found = []
    for label in range(labels.max() + 1):
        inside = labels == label
        if AREA[0] <= inside.mean() <= AREA[1]:
            padded = np.pad(inside, 1).astype(np.uint8)
            depth = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
            row, column = np.unravel_index(int(depth.argmax()), depth.shape)
            found.append(Object(inside, int(row), int(column)))
    return found


def make_color(l_star: float, ab: Sequence[float]) -> tuple[int, int, int]:
    """The color of sRGB of a lightness and of this hue, with at most this chroma."""
    rgb = np.zeros(3)
    for share in np.linspace(1, 0, 41):
        rgb = color.lab_to_rgb(np.array([l_star, share * ab[0], share * ab[1]]))
        if rgb.min() >= 0 and rgb.max() <= 1:
            break
    red, green, blue = np.rint(rgb.clip(0, 1) * 255).astype(int).tolist()
    return red, green, blue


def measure(
    colorizer: Colorizer, truth: Truth, found: Object, usual: np.ndarray, ab: Sequence[float]
) -> list[float]:
    """Obedience, reach and leak of a hint of a color in the middle of an object."""
    height, width = truth.l_star.shape
    place = found.row, found.column
    l_star = float(color.rgb_to_lab(usual[place] / 255.0)[0])
    rgb = make_color(l_star, ab)
    hint = Hint(x=(place[1] + 0.5) / width, y=(place[0] + 0.5) / height, rgb=rgb, radius=RADIUS)
    result = color.rgb_to_lab(colorizer(truth.gray, Options(hints=(hint,))) / 255.0)
    wanted = color.rgb_to_lab(np.array(rgb) / 255.0)
    wanted[0] = result[place][0]  # the lightness of a hint is ignored
    obedience = float(color.delta_e_2000(result[place], wanted))
    change = color.delta_e_2000(result, color.rgb_to_lab(usual / 255.0))
    reach = 100 * float((change[found.inside] > NOTICED).mean())
    return [obedience, reach, float(change[~found.inside].mean())]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pictures")
    parser.add_argument("--model", action="append")
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--objects", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    photos = list_photos(options.pictures)[: options.limit]
    for name in options.model or ["default"]:
        colorizer, random = Colorizer(name, threads=1), np.random.default_rng(options.seed)
        rows: dict[str, list[list[float]]] = {"plausible": [], "implausible": []}
        neutral: list[float] = []
        for photo in photos:
            truth = read_truth(photo, PICTURE_SIZE)
            usual = colorizer(truth.gray)
            lab = color.rgb_to_lab(usual / 255.0)
            objects = find_objects(truth)
            random.shuffle(objects)
            for each in objects[: options.objects]:
                own = lab[each.row, each.column, 1:]
                true = truth.ab[each.inside].mean(axis=0)
                if np.linalg.norm(true - own) >= 5:
                    found = measure(colorizer, truth, each, usual, true.tolist())
                    rows["plausible"].append(found)
                length = max(float(np.linalg.norm(own)), 1e-6)
                opposite = (-own / length * CHROMA).tolist()
                rows["implausible"].append(measure(colorizer, truth, each, usual, opposite))
                if length >= 10:
                    height, width = truth.l_star.shape
                    place = (each.column + 0.5) / width, (each.row + 0.5) / height
                    hint = Hint(x=place[0], y=place[1], rgb=None, radius=RADIUS)
                    result = colorizer(truth.gray, Options(hints=(hint,)))[each.row, each.column]
                    neutral.append(float(np.linalg.norm(color.rgb_to_lab(result / 255.0)[1:])))
        print(f"{name}, {len(photos)} photos")
        for row, values in rows.items():
            means = zip(TITLES, np.mean(values, axis=0), strict=True)
            line = "  ".join(f"{title} {mean:6.2f}" for title, mean in means)
            print(f"  {row:<11} {line}  ({len(values)} objects)")
        print(f"  neutral     chroma {np.mean(neutral):.2f}, largest {np.max(neutral):.2f}")


if __name__ == "__main__":
    main()
