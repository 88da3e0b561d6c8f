"""The strength at which a model's pictures have a given mean colorfulness.

Stronger colors raise most errors, so that models compare best at equal colorfulness.
"""

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace

import numpy as np

from colorizenet.colorizer import Colorizer
from colorizenet.errors import DataError
from colorizenet.evaluation import metrics
from colorizenet.evaluation.chromacache import ChromaCache
from colorizenet.evaluation.rows import ModelRow
from colorizenet.evaluation.truth import PICTURE_SIZE, read_truth
from colorizenet.options import Options
from colorizenet.parallel import limit_opencv_threads, map_ordered
from colorizenet.photosets import Photo

__all__ = ["Progress", "find_strength"]

Progress = Callable[[int, int], object]
"""Called with the number of steps that are done, and of all steps."""

_TOLERANCE = 0.005
"""Relative difference from the wanted colorfulness that is accepted."""
_MAX_TRIALS = 12
"""Strengths that are tried before the search fails."""


def find_strength(
    name: str,
    colorizer: Colorizer,
    photos: Sequence[Photo],
    target: float,
    *,
    options: Options = Options(),
    picture_size: int | None = PICTURE_SIZE,
    jobs: int | None = None,
    answers: ChromaCache | None = None,
    on_progress: Progress = lambda _done, _total: None,
) -> float:
    """Find the strength, up to 2, at which the mean colorfulness is ``target``.

    It is reached to half a percent. The network runs once per photograph, for the first
    trial, during which ``on_progress`` is called. ``answers`` keeps the network's
    answers for the caller. ``DataError`` where no strength reaches the target.
    Photographs that cannot be evaluated do not count; without any other, the strength
    is 1.
    """
    jobs = jobs or os.cpu_count() or 1
    strength, low, high, last = 1.0, 0.0, math.inf, ""
    with ExitStack() as stack:
        cache = answers or stack.enter_context(ChromaCache())
        stack.enter_context(limit_opencv_threads())
        pool = stack.enter_context(ThreadPoolExecutor(jobs))
        for trial in range(_MAX_TRIALS):
            row = ModelRow(name, colorizer, replace(options, strength=strength), answers=cache)

            def measure(photo: Photo, row: ModelRow = row) -> float | None:
                return _measure_colorfulness(row, photo, picture_size)

            values = []
            for done, value in enumerate(map_ordered(pool, measure, photos, 2 * jobs), 1):
                values += [] if value is None else [value]
                if trial == 0:
                    on_progress(done, len(photos))
            reached = float(np.mean(values)) if values else target
            if abs(reached - target) <= _TOLERANCE * target:
                return strength
            last = f"strength {strength:.3g} gives {reached:.3g}"
            low, high = (strength, high) if reached < target else (low, strength)
            if low == 2:
                break
            # Colorfulness is nearly proportional to strength: colors out of gamut lose
            # chroma, and rounding to 8 bits makes steps.
            strength = min(2.0, strength * target / max(reached, 1e-3))
            if not low < strength < high:
                strength = (low + min(high, 2.0)) / 2
    raise DataError(
        f"{name} cannot reach a colorfulness of {target:g} on these photographs: {last}; "
        "choose another --match-colorfulness"
    )


def _measure_colorfulness(row: ModelRow, photo: Photo, picture_size: int | None) -> float | None:
    """The colorfulness of the row's picture; None for a photograph that is left out."""
    try:
        truth = read_truth(photo, picture_size)
    except DataError:
        return None
    return None if truth.is_gray else metrics.colorfulness(row.apply(truth, row.predict(truth)))
