"""What is computed of each photograph, and what stays in memory of it."""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from colorizenet import color
from colorizenet.colorizer import Chroma
from colorizenet.errors import ImageError, quote
from colorizenet.evaluation import metrics
from colorizenet.evaluation.arrays import RGB8
from colorizenet.evaluation.examples import ExampleSelection
from colorizenet.evaluation.results import HISTOGRAM_BINS, HISTOGRAM_EDGE
from colorizenet.evaluation.rows import Row
from colorizenet.evaluation.truth import Truth
from colorizenet.evaluation.variants import group_variants, measure_diversity
from colorizenet.photosets import Photo

__all__ = ["Columns", "Measured", "PairMetric", "SetMetric", "measure_batch", "measure_rows"]


class PairMetric(Protocol):
    """A value per picture, from batches of both sides: ``(n, H, W, 3)`` uint8."""

    def __call__(self, pictures: np.ndarray, truths: np.ndarray, /) -> Sequence[float]:
        """``pictures`` may hold several sets of pictures of the same ``truths``, one
        after the other."""
        ...

    def compare_variants(self, variants: Sequence[np.ndarray], /) -> Sequence[float]:
        """The mean over all pairs of ``variants``, for each photograph in them."""
        ...


class SetMetric(Protocol):
    """A value per set of pictures, such as a Fréchet distance."""

    def add(self, row: str, pictures: np.ndarray, /) -> None: ...
    def distance(self, row: str, other: str, /) -> float: ...


@dataclass(frozen=True)
class Measured:
    """One photograph, measured."""

    truth: Truth
    values: dict[str, dict[str, float]]
    """Row -> metric -> value."""
    histograms: dict[str, np.ndarray]
    """Row, or ``photographs`` -> counts of colors."""
    chroma: dict[str, Chroma | None]
    """Row -> the network's answer."""
    pictures: dict[str, RGB8]
    """Row -> its picture, where a pair or set metric needs it."""
    diversity: dict[str, dict[str, float]] = field(default_factory=dict)
    """Model -> how much its variants differ."""


class Columns:
    """All that stays in memory of measured photographs: eight bytes per value."""

    def __init__(self, rows: Sequence[Row], subject: str) -> None:
        self.names: list[str] = []
        self.photographs: dict[str, array[float]] = {}
        self.values: dict[str, dict[str, array[float]]] = {row.name: {} for row in rows}
        self.histograms = {
            name: np.zeros((HISTOGRAM_BINS, HISTOGRAM_BINS))
            for name in (*self.values, "photographs")
        }
        self.diversity: dict[str, dict[str, array[float]]] = {}
        self.examples = ExampleSelection()
        self._subject = subject

    def add(self, one: Measured) -> None:
        truth = one.truth
        self.names.append(truth.name)
        own = {
            "colorfulness": truth.colorfulness,
            "colorfulness_absolute": metrics.colorfulness_absolute(truth.rgb),
        }
        _append(self.photographs, own)
        for row, values in one.values.items():
            _append(self.values[row], values)
        for model, values in one.diversity.items():
            _append(self.diversity.setdefault(model, {}), values)
        for name, histogram in one.histograms.items():
            self.histograms[name] += histogram
        data = truth.photo, one.chroma
        self.examples.add(truth.name, one.values[self._subject], truth.colorfulness, data)


def _append(columns: dict[str, "array[float]"], values: Mapping[str, float]) -> None:
    for name, value in values.items():
        columns.setdefault(name, array("d")).append(value)


def measure_rows(rows: Sequence[Row], truth: Truth, *, keep_pictures: bool) -> Measured:
    chroma = {row.name: row.predict(truth) for row in rows}
    pictures = {row.name: row.apply(truth, chroma[row.name]) for row in rows}
    return Measured(
        truth,
        {name: metrics.measure(picture, truth.rgb) for name, picture in pictures.items()},
        {
            name: _count_colors(picture)
            for name, picture in (pictures | {"photographs": truth.rgb}).items()
        },
        chroma,
        pictures if keep_pictures else {},
        {
            model: measure_diversity([pictures[name] for name in names])
            for model, names in group_variants(rows).items()
        },
    )


def measure_batch(
    batch: Sequence[Measured],
    variants: Mapping[str, Sequence[str]],
    pair_metrics: Mapping[str, PairMetric],
    set_metrics: Mapping[str, SetMetric],
) -> dict[Photo, str]:
    """Add values of pair metrics to each photograph, and pictures to the set metrics.

    ``variants``: model -> its rows that are compared with each other, too.

    Returns a message for each photograph that a metric refused, as too small or too
    large.
    """
    refused: dict[Photo, str] = {}
    if not (pair_metrics or set_metrics):
        return refused
    for group in _group_by_shape(batch):
        truths = np.stack([one.truth.rgb for one in group])
        stacked = {row: np.stack([one.pictures[row] for one in group]) for row in group[0].pictures}
        try:
            for name, metric in pair_metrics.items():
                values = iter(metric(np.concatenate(list(stacked.values())), truths))
                for row in stacked:
                    for one in group:
                        one.values[row][name] = float(next(values))
                for model, rows in variants.items():
                    differences = metric.compare_variants([stacked[row] for row in rows])
                    for one, value in zip(group, differences, strict=True):
                        one.diversity[model][name] = float(value)
            for metric in set_metrics.values():
                for row, pictures in (stacked | {"photographs": truths}).items():
                    metric.add(row, pictures)
        except ImageError as error:
            refused |= {one.truth.photo: f"{quote(one.truth.name)}: {error}" for one in group}
    return refused


def _group_by_shape(batch: Sequence[Measured]) -> Iterator[list[Measured]]:
    by_shape: dict[tuple[int, ...], list[Measured]] = {}
    for one in batch:
        by_shape.setdefault(one.truth.rgb.shape, []).append(one)
    yield from by_shape.values()


def _count_colors(rgb: RGB8) -> np.ndarray:
    """Count the colors of a quarter of the pixels, over a* (down) and b* (across)."""
    _, a, b = color.lab_planes(np.ascontiguousarray(rgb[::2, ::2]).reshape(-1, 3))
    ab = np.stack([a.ravel(), b.ravel()], axis=-1)
    bins = ((ab + HISTOGRAM_EDGE) * (HISTOGRAM_BINS / (2 * HISTOGRAM_EDGE))).astype(np.int64)
    np.clip(bins, 0, HISTOGRAM_BINS - 1, out=bins)
    flat = np.bincount(bins[:, 0] * HISTOGRAM_BINS + bins[:, 1], minlength=HISTOGRAM_BINS**2)
    return flat.reshape(HISTOGRAM_BINS, HISTOGRAM_BINS).astype(np.float64)
