"""Several colorings of one photo: which noise draws them, and which of them are chosen.

A model with the input ``noise`` draws one coloring for each noise. Of twice as many
draws as are wanted, a quarter, which is least like the others, is dropped. Of the rest,
those that differ most from the answer and from each other are chosen. So a user can
choose between colorings that differ, and none of them is an outlier.
"""

from collections.abc import Collection, Sequence

import cv2
import numpy as np

from colorizenet.errors import ConfigError, quote
from colorizenet.modelfile import NOISE, ModelCard
from colorizenet.options import MAX_VARIANTS, Options

__all__ = [
    "DRAWN_PIXELS",
    "check_variants",
    "choose_model",
    "choose_variants",
    "count_draws",
    "draw_seeds",
]

DRAWN_PIXELS = 1_000_000
"""Pixels of noise, of all draws together, that a network gets at once."""
_DRAWS = 2
"""Number of draws for each coloring that is wanted."""
_DROPPED = 0.25
"""Share of the draws that is dropped."""
_COARSE = 8
"""Cells along the short side of the picture in which colors are compared."""


def choose_model(model: str, count: int, models: Collection[str]) -> str:
    """The model for ``count`` colorings: ``diverse`` for several colorings of
    ``default``, which cannot draw, if it is one of ``models``."""
    several = count > 1 and model == "default" and "diverse" in models
    return "diverse" if several else model


def check_variants(card: ModelCard, options: Options, count: int) -> None:
    """Raise ``ConfigError`` for a model that cannot give ``count`` colorings."""
    if count < 1:
        raise ValueError(f"count is {count}; give 1 or more")
    if count > 1 and not card.takes(NOISE.name):
        raise ConfigError(
            f"the model {quote(card.name)} cannot draw variants, because it has no input "
            f"{NOISE.name}; choose diverse or another model that draws, or leave out variants"
        )
    if count > MAX_VARIANTS:
        raise ConfigError(f"{count} variants were requested; give at most {MAX_VARIANTS}")
    if count > 1 and options.tta:
        raise ConfigError(
            "tta averages predictions and variants are single draws; leave one of them out"
        )


def count_draws(variants: int) -> int:
    """Number of draws for so many colorings, the first of which is not drawn."""
    return _DRAWS * (variants - 1)


def draw_seeds(seed: int, count: int) -> list[int]:
    """The seeds of ``count`` draws: those of fewer draws come first, and different
    ``seed`` have no draws in common."""
    numbers = [np.random.SeedSequence((seed, number)) for number in range(count)]
    return [int(each.generate_state(1, np.uint64)[0] >> np.uint64(1)) for each in numbers]


def choose_variants(answer: np.ndarray, drawn: Sequence[np.ndarray], count: int) -> list[int]:
    """The numbers of the ``count`` draws to keep, in the order of their choice.

    ``answer`` and each of ``drawn``: a* and b*, ``(h, w, 2)`` or ``(pages, h, w, 2)``.

    A draw is less plausible the larger its mean distance to the nearer half of the
    other draws is, an estimate of density by neighbors (Loftsgaarden and Quesenberry
    1965). The next choice is always the farthest from all colorings chosen so far
    (Gonzalez 1985), and the answer is the first of them.
    """
    coarse = np.stack([_reduce(ab) for ab in (answer, *drawn)])
    distances = np.sqrt(np.square(coarse[:, None] - coarse[None]).mean(axis=2))
    between = np.sort(distances[1:, 1:], axis=1)[:, 1 : 2 + len(drawn) // 2]
    if between.shape[1]:
        order = np.argsort(between.mean(axis=1), kind="stable")
    else:
        order = np.arange(len(drawn))
    plausible = sorted(order[: max(count, len(drawn) - int(_DROPPED * len(drawn)))].tolist())
    chosen: list[int] = []
    nearest = distances[0, 1:].copy()
    for _ in range(count):
        best = max(
            (number for number in plausible if number not in chosen),
            key=lambda number: nearest[number],
        )
        chosen.append(best)
        nearest = np.minimum(nearest, distances[1 + best, 1:])
    return chosen


def _reduce(ab: np.ndarray) -> np.ndarray:
    """The mean colors of coarse cells, as one vector."""
    pages = ab[None] if ab.ndim == 3 else ab
    height, width = pages.shape[1:3]
    cells = min(_COARSE, height, width)
    size = [max(1, round(cells * side / min(height, width))) for side in (width, height)]
    size = [min(number, side) for number, side in zip(size, (width, height), strict=True)]
    return np.concatenate(
        [
            cv2.resize(np.ascontiguousarray(page), size, interpolation=cv2.INTER_AREA).ravel()
            for page in pages
        ]
    )
