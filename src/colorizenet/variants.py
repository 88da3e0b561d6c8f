"""Several colorings of one photo: which noise draws them, and which of them are chosen.

A model with the input ``noise`` draws one coloring for each noise. Draws come in pairs
of opposite noise, for which most colors change in opposite directions, and what both
change in the same direction is reduced. Of twice as many draws as are wanted, those
that differ most from the answer and from each other are chosen.
"""

from collections.abc import Collection, Sequence

import cv2
import numpy as np

from colorizenet.errors import ConfigError, quote
from colorizenet.modelfile import NOISE, ModelCard
from colorizenet.options import MAX_VARIANTS, Options

__all__ = [
    "DRAWN_PIXELS",
    "balance_draws",
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
_SHARED = 0.6
"""What is left of the change that two draws of opposite noise share."""
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
    """The seeds of ``count`` draws, in pairs ``2 k`` and ``2 k + 1``, whose noises are
    opposite: those of fewer draws come first, and different ``seed`` have no draws in
    common."""
    numbers = [np.random.SeedSequence((seed, number)) for number in range((count + 1) // 2)]
    pairs = [int(each.generate_state(1, np.uint64)[0] >> np.uint64(2)) for each in numbers]
    return [2 * pair + sign for pair in pairs for sign in (0, 1)][:count]


def balance_draws(answer: np.ndarray, drawn: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Reduce what draws of opposite noise have in common, pair by pair.

    ``answer`` and each of ``drawn``, whose length is even: a* and b* of one shape.

    Draws are not centered on the answer: most are more colorful, whatever their noise.
    Antithetic draws (Hammersley and Morton 1956) tell this from what the noise decides.
    """
    balanced = []
    for one, other in zip(drawn[::2], drawn[1::2], strict=True):
        shared = (1 - _SHARED) * ((one + other) / 2 - answer)
        balanced += [one - shared, other - shared]
    return balanced


def choose_variants(answer: np.ndarray, drawn: Sequence[np.ndarray], count: int) -> list[int]:
    """The numbers of the ``count`` draws to keep, those most like the answer first.

    ``answer`` and each of ``drawn``: a* and b*, ``(h, w, 2)`` or ``(pages, h, w, 2)``.

    The next choice is always the farthest from all colorings chosen so far (Gonzalez
    1985), and the answer is the first of them. The farthest are the least plausible, so
    they come last.
    """
    coarse = np.stack([_reduce(ab) for ab in (answer, *drawn)])
    distances = np.sqrt(np.square(coarse[:, None] - coarse[None]).mean(axis=2))
    chosen: list[int] = []
    nearest = distances[0, 1:].copy()
    for _ in range(count):
        best = int(nearest.argmax())
        chosen.append(best)
        nearest = np.minimum(nearest, distances[1 + best, 1:])
        nearest[best] = -1  # below any distance, so it is not chosen again
    return sorted(chosen, key=lambda number: distances[0, 1 + number])


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
