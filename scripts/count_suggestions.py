"""Count which colors photographs have where a model predicts a color.

    python scripts/count_suggestions.py PHOTOS PAIRS.npy [--pictures 2000]
                                        [--model NAME|FILE] [--out FILE]

PHOTOS is a source of photographs as of `colorizenet evaluate`: training photographs,
not those that the result is measured on. Each is prepared as docs/protocol.md says, at
the size of the network input, and colorized. PAIRS.npy gets what was found at random
places: L*, the predicted and the true a* and b*. An existing file is used as it is.

For each cell of lightness and predicted color, the places most like its center are
weighted by how near they are. From the true colors there, those are chosen one after
the other that have the largest share within ΔE*ab 10 of them, and not within 10 of one
before. `colorizenet.suggestions` reads the result.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

from colorizenet import color
from colorizenet.colorizer import Colorizer
from colorizenet.errors import DataError
from colorizenet.evaluation.truth import read_truth
from colorizenet.files import open_atomically
from colorizenet.photosets import list_photos
from colorizenet.suggestions import MAX_SUGGESTIONS, TABLE

PLACES = 250
"""Number of places in each photograph."""
RADIUS = 10.0
"""Colors this near in a* and b* count as the same."""
LIGHTNESSES = 10
"""Number of cells of L*."""
LIMIT, STEP = 60.0, 10.0
"""Largest predicted a* and b* that has a cell, and the distance of cells."""
SCALES = (10.0, 5.0, 5.0)
"""Differences in L*, and in predicted a* and b*, that count as one."""
NEAREST = 3000
"""Number of places from which the colors of a cell are counted."""

BIN, EDGE = 2.0, 110.0
"""Size of the bins of true colors, and where they end."""
BINS = round(2 * EDGE / BIN) + 1


def collect_pairs(photos: str, pictures: int, model: str) -> np.ndarray:
    """L*, predicted a* and b*, true a* and b*, at random places: ``(n, 5)``."""
    colorizer, random = Colorizer(model, threads=1), np.random.default_rng(0)
    found = list_photos(photos)
    pairs = []
    for number in random.permutation(len(found))[:pictures]:
        try:
            truth = read_truth(found[number], colorizer.card.size)
        except DataError:
            continue
        if truth.is_gray:
            continue
        height, width = truth.l_star.shape
        [chroma] = colorizer.predict(truth.gray)
        predicted = cv2.resize(chroma.ab, (width, height), interpolation=cv2.INTER_LINEAR)
        places = tuple((random.random((PLACES, 2)) * (height, width)).astype(int).T)
        pairs.append(np.column_stack([truth.l_star[places], predicted[places], truth.ab[places]]))
    return np.concatenate(pairs).astype(np.float32)


def count_table(pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The arrays ``colors`` and ``shares`` of a ``SuggestionTable``."""
    axis = np.arange(-LIMIT, LIMIT + STEP / 2, STEP)
    shape = (LIGHTNESSES, len(axis), len(axis), MAX_SUGGESTIONS)
    colors, shares = np.zeros((*shape, 2), np.int8), np.zeros(shape, np.uint8)
    bins = np.rint((pairs[:, 3:] + EDGE) / BIN).astype(int).clip(0, BINS - 1)
    flat = bins[:, 0] * BINS + bins[:, 1]
    for level in range(LIGHTNESSES):
        l_star = (level + 0.5) * 100 / LIGHTNESSES
        allowed = find_gamut(l_star)
        for row, a in enumerate(axis):
            for column, b in enumerate(axis):
                distance = np.square((pairs[:, :3] - (l_star, a, b)) / SCALES).sum(axis=1)
                count = min(NEAREST, len(pairs)) - 1
                farthest = np.partition(distance, count)[count]
                near = distance <= farthest
                weights = np.exp(-1.5 * distance[near] / max(1.0, farthest))
                counted = np.bincount(flat[near], weights, minlength=BINS**2)
                cell = level, row, column
                colors[cell], shares[cell] = choose_colors(counted.reshape(BINS, BINS), allowed)
    return colors, shares


def find_gamut(l_star: float) -> np.ndarray:
    """Which bins sRGB has colors of at this lightness, ``(BINS, BINS)``."""
    lab = np.empty((BINS, BINS, 3))
    axis = np.arange(BINS) * BIN - EDGE
    lab[..., 0], lab[..., 1], lab[..., 2] = l_star, axis[:, None], axis
    linear = color.lab_to_linear(lab)
    return np.all((linear >= -0.01) & (linear <= 1.01), axis=-1)


def choose_colors(counted: np.ndarray, allowed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colors that cover most of what was counted, and their shares in 1 / 255."""
    left = cv2.GaussianBlur(counted.astype(np.float32), (0, 0), 1.0)
    total = left.sum()
    reach = int(RADIUS / BIN)
    square = np.square(np.arange(-reach, reach + 1) * BIN)
    disc = (square[:, None] + square <= RADIUS**2).astype(np.float32)
    axis = np.arange(BINS)
    colors, shares = [], []
    for _ in range(MAX_SUGGESTIONS):
        covered = cv2.filter2D(left, -1, disc, borderType=cv2.BORDER_CONSTANT)
        best = divmod(int(np.where(allowed, covered, -1).argmax()), BINS)
        colors.append([BIN * each - EDGE for each in best])
        shares.append(covered[best] / total * 255)
        distance = np.square(axis - best[0])[:, None] + np.square(axis - best[1])
        left[distance * BIN**2 <= RADIUS**2] = 0
    return np.rint(colors), np.rint(shares).clip(0, 255)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos")
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--model", default="default")
    parser.add_argument("--out", type=Path, default=TABLE)
    options = parser.parse_args()
    if not options.pairs.exists():
        pairs = collect_pairs(options.photos, options.pictures, options.model)
        with open_atomically(options.pairs) as file:  # a name would get another extension
            np.save(file, pairs)
    pairs = np.load(options.pairs)
    colors, shares = count_table(pairs)
    provenance = {
        "limit": LIMIT,
        "radius": RADIUS,
        "model_sha256": Colorizer(options.model).sha256,
        "photographs": Path(options.photos).name,
        "places": len(pairs),
        "places_in_each": PLACES,
    }
    with open_atomically(options.out) as file:
        np.savez_compressed(
            file, colors=colors, shares=shares, provenance=np.array(json.dumps(provenance))
        )
    print(f"{options.out}: {options.out.stat().st_size:,} bytes from {len(pairs):,} places")


if __name__ == "__main__":
    main()
