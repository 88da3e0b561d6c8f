"""Rows of models that draw several colorings, and how much these differ.

Each variant is a row. Two more rows show what a choice among them is worth: the best of
them for each photograph, by CIEDE2000, and their mean.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from colorizenet import color
from colorizenet.colorizer import Chroma, Colorizer
from colorizenet.evaluation import metrics
from colorizenet.evaluation.arrays import RGB8
from colorizenet.evaluation.chromacache import ChromaCache
from colorizenet.evaluation.results import Results, format_title, format_value
from colorizenet.evaluation.rows import ModelRow, Row
from colorizenet.evaluation.truth import Truth
from colorizenet.options import Options

__all__ = [
    "BestRow",
    "MeanRow",
    "VariantRow",
    "build_variant_rows",
    "build_variant_table",
    "describe_diversity",
    "group_variants",
    "measure_diversity",
]

_METRICS = ("psnr", "ciede2000", "colorfulness", "bleeding")


class VariantRow(ModelRow):
    """One of ``count`` colorings of a model; number 1 is the answer that is not
    drawn."""

    def __init__(
        self,
        name: str,
        colorizer: Colorizer,
        options: Options,
        *,
        model: str,
        count: int,
        number: int | None,
        answers: ChromaCache,
    ) -> None:
        super().__init__(name, colorizer, options, answers=answers)
        self.about |= {"seed": options.seed, "diversity": options.diversity, "variants": count}
        self.model, self.count, self.number = model, count, number

    def predict(self, truth: Truth) -> Chroma:
        assert self.number is not None
        return self.predict_variants(truth)[self.number - 1]

    def predict_variants(self, truth: Truth) -> list[Chroma]:
        """All colorings; the network runs once for all rows of a model."""
        assert self._answers is not None
        keys = [(self.model, truth.photo, number) for number in range(self.count)]
        found = [self._answers.get(key) for key in keys]
        variants = [chroma for chroma in found if chroma is not None]
        if len(variants) < self.count:
            variants = self._colorizer.predict(
                truth.gray, self._make_options(truth), count=self.count
            )
            for key, chroma in zip(keys, variants, strict=True):
                self._answers.put(key, chroma)
        return variants

    def _make_options(self, truth: Truth) -> Options:
        """The options with a seed of the photograph: figures over many photographs are
        then not those of a few noises."""
        [seed] = truth.derive_seed(self._options.seed).generate_state(1, np.uint64)
        return replace(self._options, seed=int(seed >> np.uint64(1)))


class BestRow(VariantRow):
    """The variant with the lowest CIEDE2000, as somebody would choose who knows the
    photograph."""

    def predict(self, truth: Truth) -> Chroma:
        variants = self.predict_variants(truth)
        return min(
            variants, key=lambda chroma: metrics.ciede2000(self.apply(truth, chroma), truth.rgb)
        )


class MeanRow(VariantRow):
    """The mean chroma of the variants."""

    def predict(self, truth: Truth) -> Chroma:
        variants = self.predict_variants(truth)
        return replace(variants[0], ab=np.mean([chroma.ab for chroma in variants], axis=0))


def build_variant_rows(
    models: Mapping[str, Colorizer], options: Options, *, count: int, answers: ChromaCache
) -> list[VariantRow]:
    """For each model a row for each variant, for the best of them and for their
    mean."""

    def build(kind: type[VariantRow], label: str, name: str, number: int | None) -> VariantRow:
        return kind(
            f"{name}, {label}",
            models[name],
            options,
            model=name,
            count=count,
            number=number,
            answers=answers,
        )

    return [
        row
        for name in models
        for row in (
            *(build(VariantRow, f"variant {k}", name, k) for k in range(1, count + 1)),
            build(BestRow, f"best of {count}", name, None),
            build(MeanRow, f"mean of {count}", name, None),
        )
    ]


def group_variants(rows: Sequence[Row]) -> dict[str, list[str]]:
    """Model -> the names of the rows of its variants."""
    groups: dict[str, list[str]] = {}
    for row in rows:
        if isinstance(row, VariantRow) and row.number is not None:
            groups.setdefault(row.model, []).append(row.name)
    return groups


def measure_diversity(pictures: Sequence[RGB8]) -> dict[str, float]:
    """How much the variants of one photograph differ.

    ``ciede2000``: the mean over all pairs. ``mean_color``: the standard deviation of
    the mean a* and b* of a picture over the variants, as one length.
    """
    pairs = itertools.combinations(pictures, 2)
    means = [
        color.rgb_to_lab(picture.astype(np.float32) / 255)[..., 1:].mean(axis=(0, 1))
        for picture in pictures
    ]
    return {
        "ciede2000": float(np.mean([metrics.ciede2000(*pair) for pair in pairs])),
        "mean_color": float(np.sqrt(np.var(means, axis=0, ddof=1).sum())),
    }


def build_variant_table(results: Results) -> tuple[list[str], list[list[str]]]:
    """Column headings, and lines for each model: its answer, the mean over the drawn
    variants, the best of all and the mean of all.

    Columns are four of the usual metrics, then every metric that was asked for.
    """
    names = [*_METRICS, *results.further_metrics]
    headings = ["", *map(format_title, names)]
    lines = []
    for model, count in _list_models(results):
        drawn = [f"{model}, variant {number}" for number in range(2, count + 1)]
        for label, rows in (
            ("answer", [f"{model}, variant 1"]),
            ("one draw", drawn),
            (f"best of {count}", [f"{model}, best of {count}"]),
            (f"mean of {count}", [f"{model}, mean of {count}"]),
        ):
            values = [np.mean([results.means[row][name] for row in rows]) for name in names]
            lines.append([f"{model}, {label}", *(format_value(float(value)) for value in values)])
    return headings, lines


def describe_diversity(results: Results) -> list[str]:
    """A line for each model: how much its variants differ, as means over the
    photographs."""
    lines = []
    for model, values in results.mean_diversity.items():
        more = "".join(
            f", by {value:.3f} in {name}"
            for name, value in values.items()
            if name not in ("ciede2000", "mean_color")
        )
        lines.append(
            f"{model}: variants differ from each other by {values['ciede2000']:.2f} ΔE00 and by "
            f"{values['mean_color']:.2f} a*b* in their mean color{more}"
        )
    return lines


def _list_models(results: Results) -> Iterator[tuple[str, int]]:
    for model in results.diversity:
        yield model, int(results.about[f"{model}, variant 1"]["variants"])
