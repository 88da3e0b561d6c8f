"""Results of an evaluation: values, means with intervals, comparisons of rows."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from colorizenet import __version__
from colorizenet.evaluation.confidence import (
    compute_mean_intervals,
    compute_wilson_interval,
    resample_means,
)
from colorizenet.evaluation.metrics import METRICS
from colorizenet.evaluation.rows import BASELINE, MODEL

__all__ = [
    "HISTOGRAM_BINS",
    "HISTOGRAM_EDGE",
    "Comparison",
    "Results",
    "find_subject",
    "format_title",
    "format_value",
]

HISTOGRAM_BINS = 64
HISTOGRAM_EDGE = 96.0
"""Colors are counted in 64 x 64 bins over a* and b* from -96 to 96."""


@dataclass(frozen=True)
class Comparison:
    """One row compared with another on the same photographs, by one metric."""

    wins: float
    """Share of the photographs on which the first row is better; a tie counts half."""
    wins_interval: tuple[float, float]
    """95 % interval of ``wins`` (Wilson 1927)."""
    difference: float
    """Mean of the first row's values minus the second's."""
    difference_interval: tuple[float, float]
    """95 % interval of ``difference``, by a bootstrap over the photographs."""


@dataclass(frozen=True, kw_only=True)
class Results:
    """The values of every row on every photograph, and the statistics of them."""

    protocol: str
    """Version of docs/protocol.md."""
    settings: dict[str, Any]
    """Settings of the evaluation; those that are None or empty were not used."""
    pictures: list[str]
    """Names of the photographs that were measured, in their order."""
    failed: list[str]
    """Photographs that could not be decoded or measured, and models that no strength
    makes colorful enough: a message each."""
    skipped: list[str]
    """Photographs without color, which are in no row: a message each."""
    about: dict[str, dict[str, Any]]
    """Row -> what it is: its kind, and of models the card's name and the SHA-256."""
    values: dict[str, dict[str, np.ndarray]]
    """Row -> metric -> one value per photograph."""
    photographs: dict[str, np.ndarray]
    """Metric -> the value of each photograph itself."""
    sets: dict[str, dict[str, float]]
    """Metric of sets of pictures -> row -> value."""
    histograms: dict[str, np.ndarray] = field(repr=False)
    """Row, or ``photographs`` -> counts of colors over a* (down) and b* (across)."""
    diversity: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    """Model that draws variants -> measure of how much they differ -> one value per
    photograph."""

    @property
    def mean_diversity(self) -> dict[str, dict[str, float]]:
        """Model -> measure of diversity -> mean over the photographs."""
        return {
            model: {name: float(np.mean(column)) for name, column in columns.items()}
            for model, columns in self.diversity.items()
        }

    @property
    def further_metrics(self) -> list[str]:
        """The metrics beside those of every evaluation."""
        pairs = [name for name in self.values[self.subject] if name not in METRICS]
        return [*pairs, *self.sets]

    @property
    def subject(self) -> str:
        """The row that the report is about: the first model, baseline, or else gray."""
        return find_subject({row: about.get("kind") for row, about in self.about.items()})

    @property
    def mean(self) -> dict[str, float]:
        """Metric -> mean of the subject."""
        return self.means[self.subject]

    @property
    def worst(self) -> list[str]:
        """Names of the photographs by the subject's CIEDE2000, largest first."""
        order = np.argsort(-self.values[self.subject]["ciede2000"], kind="stable")
        return [self.pictures[i] for i in order]

    @cached_property
    def means(self) -> dict[str, dict[str, float]]:
        """Row -> metric -> mean over the photographs.

        One infinite value (the PSNR of equal pictures) makes an infinite mean.
        """
        means = {
            row: {name: float(np.mean(column)) for name, column in columns.items()}
            for row, columns in self.values.items()
        }
        for row, by_name in means.items():
            for name in ("colorfulness", "colorfulness_absolute"):
                true = float(np.mean(self.photographs[name]))
                by_name[f"delta_{name}"] = abs(by_name[name] - true)
            by_name |= {name: by_row[row] for name, by_row in self.sets.items()}
        return means

    @cached_property
    def intervals(self) -> dict[str, dict[str, tuple[float, float]]]:
        """Row -> metric -> 95 % interval of the mean, by bootstrap over photographs."""
        keys = [(row, name) for row, columns in self.values.items() for name in columns]
        columns = np.stack([self.values[row][name] for row, name in keys], axis=1)
        means = np.stack([self._resampled[row, name, False] for row, name in keys], axis=1)
        intervals: dict[str, dict[str, tuple[float, float]]] = {row: {} for row in self.values}
        for (row, name), interval in zip(keys, compute_mean_intervals(means, columns), strict=True):
            intervals[row][name] = interval
        return intervals

    @cached_property
    def _resampled(self) -> dict[tuple[str, str, bool], np.ndarray]:
        """Means over bootstrap samples, by the arguments of ``_column``."""
        keys = [
            (row, name, distance)
            for row, columns in self.values.items()
            for name in columns
            for distance in (False, True)
            if not distance or name in self.photographs
        ]
        means = resample_means(np.stack([self._column(*key) for key in keys], axis=1))
        return dict(zip(keys, means.T, strict=True))

    def _column(self, row: str, name: str, distance: bool) -> np.ndarray:
        """A row's values, or their distances from the photographs' own."""
        column = self.values[row][name]
        return np.abs(column - self.photographs[name]) if distance else column

    def compare(self, one: str, other: str, metric: str = "ciede2000") -> Comparison:
        """Compare two rows by one metric, photograph by photograph."""
        direction = METRICS[metric].better if metric in METRICS else "lower"
        distance = direction == "neither"  # then nearer to the photograph's own is better
        a, b = self._column(one, metric, distance), self._column(other, metric, distance)
        better = a > b if direction == "higher" else a < b
        share = float(np.mean(better + 0.5 * (a == b)))
        with np.errstate(invalid="ignore"):
            difference = np.where(a == b, 0.0, a - b)  # two infinite values are equal
        if np.isfinite(a).all() and np.isfinite(b).all():
            # The mean difference is the difference of the means.
            means = (
                self._resampled[one, metric, distance] - self._resampled[other, metric, distance]
            )
        else:
            means = resample_means(difference[:, None])[:, 0]
        (interval,) = compute_mean_intervals(means[:, None], difference[:, None])
        wins_interval = compute_wilson_interval(share, len(self.pictures))
        return Comparison(share, wins_interval, float(np.mean(difference)), interval)

    def summarize(self) -> dict[str, Any]:
        """Everything but pictures and the values of single photographs."""
        return {
            "protocol": self.protocol,
            "colorizenet": __version__,
            "settings": self.settings,
            "pictures": len(self.pictures),
            "failed": self.failed,
            "skipped": self.skipped,
            "rows": self.about,
            "mean": self.means,
            "interval": self.intervals,
            "photographs": {name: float(np.mean(own)) for name, own in self.photographs.items()},
            **({"diversity": self.mean_diversity} if self.diversity else {}),
            "comparisons": {
                one: {
                    other: {name: vars(self.compare(one, other, name)) for name in self.values[one]}
                    for other in self.values
                    if other != one
                }
                for one in self.values
            },
        }

    def iterate_values(self) -> Iterator[dict[str, Any]]:
        """The values of each photograph: its name, and row -> metric -> value."""
        for i, name in enumerate(self.pictures):
            yield {"name": name} | {
                row: {metric: float(column[i]) for metric, column in columns.items()}
                for row, columns in self.values.items()
            }

    def build_table(self) -> tuple[list[str], list[list[str]]]:
        """Column headings, and a line per metric: its title and the rows' means."""
        lines = []
        for name in self.means[self.subject]:
            own = self.photographs.get(name)
            true = "" if own is None else format_value(float(np.mean(own)))
            means = [format_value(by_name.get(name)) for by_name in self.means.values()]
            lines.append([format_title(name), *means, true])
        return ["", *self.means, "photographs"], lines

    def describe_comparisons(self) -> list[str]:
        """A line per other model or baseline: the subject compared by CIEDE2000."""
        lines = []
        for other, about in self.about.items():
            if other == self.subject or about.get("kind") not in (MODEL, BASELINE):
                continue
            found = self.compare(self.subject, other)
            low, high = found.wins_interval
            least, most = found.difference_interval
            lines.append(
                f"{self.subject} vs. {other}: lower CIEDE2000 on {found.wins:.0%} of the "
                f"photographs ({low:.0%} to {high:.0%}), "
                f"mean difference {found.difference:+.2f} ({least:+.2f} to {most:+.2f})"
            )
        return lines


def find_subject(kinds: dict[str, Any]) -> str:
    """The row that a report is about, of rows by their kind."""
    return next((row for kind in (MODEL, BASELINE) for row in kinds if kinds[row] == kind), "gray")


_OTHER_TITLES = {
    "delta_colorfulness": "Δ colorfulness [levels]",
    "delta_colorfulness_absolute": "Δ colorfulness, absolute axes [levels]",
    "lpips_alex": "LPIPS, AlexNet",
    "lpips_vgg": "LPIPS, VGG16",
    "frechet_inception": "FID",
    "frechet_efficientnet_lite0": "Fréchet distance, EfficientNet-Lite0",
    "frechet_vgg16": "Fréchet distance, VGG16",
}
"""Titles of the metrics that ``METRICS`` lacks; of all of them, lower is better."""
_ARROWS = {"higher": "\N{NO-BREAK SPACE}↑", "lower": "\N{NO-BREAK SPACE}↓", "neither": ""}


def format_title(name: str) -> str:
    """A metric's heading: its title, its unit, and an arrow in the better direction."""
    if name not in METRICS:
        return _OTHER_TITLES.get(name, name) + _ARROWS["lower"]
    metric = METRICS[name]
    unit = f" [{metric.unit}]" if metric.unit else ""
    return metric.title + unit + _ARROWS[metric.better]


def format_value(value: float | None) -> str:
    """A value with two or three decimals; empty for None."""
    if value is None:
        return ""
    if np.isinf(value):
        return "∞"
    return f"{value:.2f}" if abs(value) >= 10 else f"{value:.3f}"
