"""Rows of models that get hints of the true colors, and what they gain by them.

A hint is at a random place and has the mean color of a disc of 1/40 of the short side
across. A photograph has the same places for every model, and those of few hints are
among those of many.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from colorizenet import color
from colorizenet.colorizer import Chroma, Colorizer
from colorizenet.evaluation.arrays import RGB8
from colorizenet.evaluation.chromacache import ChromaCache
from colorizenet.evaluation.results import Results, format_title, format_value
from colorizenet.evaluation.rows import ModelRow
from colorizenet.evaluation.truth import Truth
from colorizenet.options import MAX_HINTS, Hint, Options

__all__ = ["HintedRow", "build_hint_rows", "build_hint_table", "draw_hints"]

_RADIUS = 1 / 80
"""Radius of a hint, as a fraction of the short side."""
_METRICS = ("psnr", "ciede2000")


def draw_hints(truth: Truth, count: int, seed: int) -> tuple[Hint, ...]:
    """Hints of the true colors at random places of a photograph."""
    places = np.random.default_rng(truth.derive_seed(seed)).random((MAX_HINTS, 2))
    return tuple(_make_hint(truth, float(x), float(y)) for x, y in places[:count])


def _make_hint(truth: Truth, x: float, y: float) -> Hint:
    height, width = truth.l_star.shape
    radius = max(_RADIUS * min(height, width), 0.5)
    top, left = max(0, int(y * height - radius)), max(0, int(x * width - radius))
    bottom, right = (
        min(height, int(y * height + radius) + 1),
        min(width, int(x * width + radius) + 1),
    )
    window = np.s_[top:bottom, left:right]
    rows, columns = np.mgrid[window]
    inside = np.hypot(rows + 0.5 - y * height, columns + 0.5 - x * width) <= radius + 0.5
    lab = np.array([truth.l_star[window][inside].mean(), *truth.ab[window][inside].mean(axis=0)])
    rgb = np.rint(color.lab_to_rgb(lab).clip(0, 1) * 255).astype(int).tolist()
    return Hint(x=x, y=y, rgb=(rgb[0], rgb[1], rgb[2]), radius=_RADIUS)


class HintedRow(ModelRow):
    """What a model makes of the gray picture and of ``count`` hints."""

    def __init__(
        self,
        name: str,
        colorizer: Colorizer,
        options: Options,
        *,
        count: int,
        seed: int,
        answers: ChromaCache,
    ) -> None:
        super().__init__(name, colorizer, options, answers=answers)
        self.about |= {"hints": count}
        self.count, self._seed = count, seed

    def _make_options(self, truth: Truth) -> Options:
        return replace(self._options, hints=draw_hints(truth, self.count, self._seed))

    def predict(self, truth: Truth) -> Chroma:
        # A network without the input has the same answer for any hints.
        takes_hints = self._colorizer.card.takes("hints")
        key = self._colorizer.sha256, truth.photo, self.count if takes_hints else 0
        chroma = self._answers.get(key) if self._answers else None
        if chroma is None:
            options = self._make_options(truth) if takes_hints else self._options
            [chroma] = self._colorizer.predict(truth.gray, options)
            if self._answers:
                self._answers.put(key, chroma)
        return chroma

    def apply(self, truth: Truth, chroma: Chroma | None) -> RGB8:
        assert chroma is not None
        return self._colorizer.apply(truth.gray, chroma, self._make_options(truth))


def build_hint_rows(
    models: Mapping[str, Colorizer],
    options: Options,
    *,
    counts: Sequence[int],
    seed: int,
    answers: ChromaCache,
) -> list[HintedRow]:
    """A row for each model and number of hints; 0, which the gains refer to, is
    added."""
    return [
        HintedRow(
            f"{name}, {count} hint{'' if count == 1 else 's'}",
            model,
            options,
            count=count,
            seed=seed,
            answers=answers,
        )
        for name, model in models.items()
        for count in sorted({0, *counts})
    ]


def build_hint_table(results: Results) -> tuple[list[str], list[list[str]]]:
    """Column headings, and a line per model and number of hints: the means of PSNR,
    CIEDE2000 and every metric that was asked for, and their gains over no hints."""
    names = [*_METRICS, *results.further_metrics]
    headings = ["", *(text for name in names for text in (format_title(name), "gain"))]
    lines = [
        [row, *(format_value(value) for pair in pairs for value in pair)]
        for row, pairs in _compute_gains(results, names)
    ]
    return headings, lines


def _compute_gains(
    results: Results, names: Sequence[str]
) -> Iterator[tuple[str, list[tuple[float, float]]]]:
    """Rows with hints, and the mean and the gain by each metric. Of all but PSNR, lower
    is better."""
    base: dict[str, float] = {}
    for row, about in results.about.items():
        if "hints" not in about:
            continue
        means = results.means[row]
        if about["hints"] == 0:
            base = means
        gains = [
            means[name] - base[name] if name == "psnr" else base[name] - means[name]
            for name in names
        ]
        yield row, [(means[name], gain) for name, gain in zip(names, gains, strict=True)]
