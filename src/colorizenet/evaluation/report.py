"""What an evaluation found: means with their certainty, comparisons, and three ways to show them."""

import base64
import html
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import cv2
import numpy as np

from colorizenet import __version__, color
from colorizenet.evaluation.metrics import METRICS
from colorizenet.files import open_atomically, write_atomically

__all__ = ["HISTOGRAM_BINS", "HISTOGRAM_EDGE", "Comparison", "Report"]

HISTOGRAM_BINS = 64
HISTOGRAM_EDGE = 96.0
"""Colors are counted in 64 x 64 bins over a* and b* from -96 to 96."""

_RESAMPLES = 1000
_SEED = 0
_INTERVAL = (2.5, 97.5)


@dataclass(frozen=True)
class Comparison:
    """One row against another on the same pictures, by one metric."""

    wins: float
    """Share of the pictures on which the first is better; a tie counts half."""
    wins_interval: tuple[float, float]
    """Of Wilson (1927), 95 %."""
    difference: float
    """Mean of first minus second."""
    difference_interval: tuple[float, float]
    """Bootstrap over the pictures, 95 %."""


@dataclass(frozen=True)
class Report:
    """Figures of every row on every picture, and what is made of them."""

    protocol: str
    settings: dict[str, Any]
    pictures: list[str]
    failed: list[str]
    """Pictures that could not be decoded, each with the reason."""
    about: dict[str, dict[str, Any]]
    """What each row is: its kind, and for models their SHA-256."""
    figures: dict[str, dict[str, np.ndarray]]
    """Row -> metric -> one number a picture."""
    photographs: dict[str, np.ndarray]
    """Figures of the photographs themselves."""
    sets: dict[str, dict[str, float]]
    """Metric of many pictures at once -> row -> figure."""
    histograms: dict[str, np.ndarray] = field(repr=False)
    """Row, or ``photographs`` -> how often each color, over a* and b*."""
    show: Callable[[str], dict[str, np.ndarray]] = field(repr=False)
    """The name of a picture -> what each row shows for it, and the photograph."""

    @property
    def subject(self) -> str:
        """The row that the report is about: the first model, else the first rival, else gray."""
        kinds = {row: about.get("kind") for row, about in self.about.items()}
        return next(
            (row for kind in ("model", "rival") for row in kinds if kinds[row] == kind), "gray"
        )

    @property
    def mean(self) -> dict[str, float]:
        """The subject's mean of each metric."""
        return self.means[self.subject]

    @property
    def worst(self) -> list[str]:
        """The names of the pictures, the subject's worst by CIEDE2000 first."""
        order = np.argsort(-self.figures[self.subject]["ciede2000"], kind="stable")
        return [self.pictures[i] for i in order]

    @cached_property
    def means(self) -> dict[str, dict[str, float]]:
        """Row -> metric -> mean over the pictures; infinite figures (the PSNR of equal pictures) count as they are."""
        found = {
            row: {name: float(np.mean(values)) for name, values in of.items()}
            for row, of in self.figures.items()
        }
        for row, of in found.items():
            for name in ("colorfulness", "colorfulness_absolute"):
                of[f"delta_{name}"] = abs(of[name] - float(np.mean(self.photographs[name])))
            of |= {name: by_row[row] for name, by_row in self.sets.items()}
        return found

    @cached_property
    def intervals(self) -> dict[str, dict[str, tuple[float, float]]]:
        """Row -> metric -> 95 % interval of the mean, by a bootstrap over the pictures."""
        keys = [(row, name) for row, of in self.figures.items() for name in of]
        columns = np.stack([self.figures[row][name] for row, name in keys], axis=1)
        means = np.stack([self._resampled[row, name, False] for row, name in keys], axis=1)
        intervals: dict[str, dict[str, tuple[float, float]]] = {row: {} for row in self.figures}
        for (row, name), interval in zip(keys, _percentiles(means, columns), strict=True):
            intervals[row][name] = interval
        return intervals

    @cached_property
    def _resampled(self) -> dict[tuple[str, str, bool], np.ndarray]:
        """Row, metric, distance from the photograph's own or not -> its mean over each resampled set of pictures."""
        keys = [
            (row, name, away)
            for row, of in self.figures.items()
            for name in of
            for away in (False, True)
        ]
        keys = [key for key in keys if not key[2] or key[1] in self.photographs]
        means = _resampled_means(np.stack([self._column(*key) for key in keys], axis=1))
        return dict(zip(keys, means.T, strict=True))

    def _column(self, row: str, name: str, away: bool) -> np.ndarray:
        values = self.figures[row][name]
        return np.abs(values - self.photographs[name]) if away else values

    def compare(self, one: str, other: str, metric: str = "ciede2000") -> Comparison:
        """Is a row better than another, or is that noise?"""
        direction = METRICS[metric].better if metric in METRICS else "lower"
        away = direction == "neither"  # the nearer to the photograph's own, the better
        a, b = self._column(one, metric, away), self._column(other, metric, away)
        better = a > b if direction == "higher" else a < b
        share = float(np.mean(better + 0.5 * (a == b)))
        with np.errstate(invalid="ignore"):
            difference = np.where(a == b, 0.0, a - b)  # infinite and infinite are equal
        if (
            np.isfinite(a).all() and np.isfinite(b).all()
        ):  # then the mean difference is that of the means
            means = self._resampled[one, metric, away] - self._resampled[other, metric, away]
        else:
            means = _resampled_means(difference[:, None])[:, 0]
        (interval,) = _percentiles(means[:, None], difference[:, None])
        return Comparison(
            share, _wilson(share, len(self.pictures)), float(np.mean(difference)), interval
        )

    # Shown

    def as_dict(self) -> dict[str, Any]:
        """Everything but pictures, as it is in the JSON file; there, figures that are not finite are strings."""
        return self._summary() | {"each": list(self._each())}

    def _summary(self) -> dict[str, Any]:
        return {
            "protocol": self.protocol,
            "colorizenet": __version__,
            "settings": self.settings,
            "pictures": len(self.pictures),
            "failed": self.failed,
            "rows": self.about,
            "mean": self.means,
            "interval": self.intervals,
            "photographs": {
                name: float(np.mean(values)) for name, values in self.photographs.items()
            },
            "compared": {
                one: {
                    other: {
                        metric: vars(self.compare(one, other, metric))
                        for metric in self.figures[one]
                    }
                    for other in self.figures
                    if other != one
                }
                for one in self.figures
            },
        }

    def _each(self) -> Iterator[dict[str, Any]]:
        """The figures of one picture after the other."""
        for i, name in enumerate(self.pictures):
            rows = self.figures.items()
            yield {"name": name} | {
                row: {metric: float(of[metric][i]) for metric in of} for row, of in rows
            }

    def to_json(self, path: str | Path) -> None:
        """Write everything but pictures, a line for each picture, of which no more than one is held at a time."""
        with open_atomically(Path(path)) as file:
            file.write(json.dumps(_finite(self._summary()), indent=1)[:-2].encode())
            before = ',\n "each": [\n  '
            for line in self._each():
                file.write((before + json.dumps(_finite(line))).encode())
                before = ",\n  "
            file.write(b"\n ]\n}\n")

    def table(self) -> tuple[list[str], list[list[str]]]:
        """The names of the rows, and for each metric its title with unit and direction, and their means."""
        lines = []
        for name in self.means[self.subject]:
            truth = (
                _number(float(np.mean(self.photographs[name]))) if name in self.photographs else ""
            )
            lines.append(
                [_title(name), *(_number(of.get(name)) for of in self.means.values()), truth]
            )
        return ["", *self.means, "photographs"], lines

    def verdicts(self) -> list[str]:
        """The subject against every other model and rival, by CIEDE2000: a line each."""
        found = []
        for other, about in self.about.items():
            if other == self.subject or about.get("kind") not in ("model", "rival"):
                continue
            pairs = self.compare(self.subject, other)
            low, high = pairs.wins_interval
            least, most = pairs.difference_interval
            found.append(
                f"{self.subject} against {other}: nearer on {pairs.wins:.0%} of the photographs "
                f"({low:.0%} to {high:.0%}), "
                f"CIEDE2000 {pairs.difference:+.2f} ({least:+.2f} to {most:+.2f}; less is nearer)"
            )
        return found

    def to_html(self, path: str | Path) -> None:
        """Write one page that holds everything it shows."""
        page = Template(
            files("colorizenet.evaluation").joinpath("report.html").read_text(encoding="utf-8")
        )
        write_atomically(Path(path), page.substitute(_page(self)).encode())


def _resampled_means(columns: np.ndarray) -> np.ndarray:
    """Each column's mean over resampled rows, again and again (Efron 1979): (n, k) -> (_RESAMPLES, k).

    The same rows for every column, so that means may be subtracted. Columns with infinite figures have no meaning.
    """
    count, generator = len(columns), np.random.default_rng(_SEED)
    finite = np.isfinite(columns).all(axis=0)
    finite = columns if finite.all() else np.where(finite, columns, 0)
    means = np.empty((_RESAMPLES, columns.shape[1]))
    for each in means:
        each[:] = np.bincount(generator.integers(0, count, count), minlength=count) @ finite
    return means / count


def _percentiles(means: np.ndarray, columns: np.ndarray) -> list[tuple[float, float]]:
    """The 95 % interval of each column's mean: (_RESAMPLES, k), (n, k) -> k pairs."""
    # Where a figure is infinite for some picture, so is the mean; then the interval is that of the pictures.
    finite = np.isfinite(columns).all(axis=0)
    low, high = np.percentile(means, _INTERVAL, axis=0)
    low, high = (
        np.where(finite, low, columns.min(axis=0)),
        np.where(finite, high, columns.max(axis=0)),
    )
    return [(float(a), float(b)) for a, b in zip(low, high, strict=True)]


def _wilson(share: float, count: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95 % interval of a share of so many (E. B. Wilson 1927)."""
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    reach = z / (1 + z**2 / count) * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return max(0.0, middle - reach), min(1.0, middle + reach)


def _finite(value: Any) -> Any:
    """JSON has no infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list | tuple) else value


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return "∞" if math.isinf(value) else f"{value:.2f}" if abs(value) >= 10 else f"{value:.3f}"


_OTHER_TITLES = {
    "delta_colorfulness": "Δ colorfulness [levels]",
    "delta_colorfulness_absolute": "Δ colorfulness, absolute axes [levels]",
    "lpips_alex": "LPIPS, AlexNet",
    "lpips_vgg": "LPIPS, VGG16",
    "frechet_inception": "FID",
    "frechet_efficientnet_lite0": "Fréchet distance, EfficientNet-Lite0",
}
"""Of what ``metrics`` does not measure; all of it is better when it is lower."""


def _title(name: str) -> str:
    """A metric as a column is headed: its title, its unit and which way is better."""
    if name not in METRICS:
        return _OTHER_TITLES.get(name, name) + "\N{NO-BREAK SPACE}↓"
    metric = METRICS[name]
    arrow = {"higher": "\N{NO-BREAK SPACE}↑", "lower": "\N{NO-BREAK SPACE}↓", "neither": ""}[
        metric.better
    ]
    return metric.title + (f" [{metric.unit}]" if metric.unit else "") + arrow


# The page


def _page(report: Report) -> dict[str, str]:
    settings = {name: value for name, value in report.settings.items() if value not in (None, "")}
    command = settings.pop("command", "")
    told = "".join(f"; {name} {value}" for name, value in settings.items())
    return {
        "subject": html.escape(report.subject),
        "summary": html.escape(
            f"{len(report.pictures)} photographs, protocol {report.protocol}, colorizenet {__version__}{told}"
        ),
        "command": f"<p>Repeat it with <code>{html.escape(command)}</code></p>" if command else "",
        "failed": "".join(f"<p>Left out: {html.escape(each)}</p>" for each in report.failed[:20]),
        "table": _table_of(report),
        "about": "".join(
            f"<tr><th>{html.escape(row)}</th><td>{html.escape(_told(about))}</td></tr>"
            for row, about in report.about.items()
        ),
        "compared": _comparisons(report),
        "distributions": "".join(
            f'<figure><img src="{_png(_colored(histogram))}" alt="">'
            f"<figcaption>{html.escape(name)}</figcaption></figure>"
            for name, histogram in report.histograms.items()
        ),
        "errors": _curves(report),
        "sections": "".join(
            _section(report, title, names) for title, names in _chosen(report).items()
        ),
    }


def _table_of(report: Report) -> str:
    names = list(report.means[report.subject])
    titles = "".join(f"<th>{html.escape(_title(name))}</th>" for name in names)
    rows = ""
    for row, means in report.means.items():
        cells = ""
        for name in names:
            interval = report.intervals[row].get(name)
            spread = (
                f"<small>{_number(interval[0])} to {_number(interval[1])}</small>"
                if interval
                else ""
            )
            cells += f"<td>{_number(means.get(name))}{spread}</td>"
        marked = ' class="subject"' if row == report.subject else ""
        rows += f"<tr{marked}><th>{html.escape(row)}</th>{cells}</tr>"
    truth = "".join(
        f"<td>{_number(float(np.mean(report.photographs[name])))}</td>"
        if name in report.photographs
        else "<td></td>"
        for name in names
    )
    return f"<thead><tr><th></th>{titles}</tr></thead><tbody>{rows}<tr><th>photographs</th>{truth}</tr></tbody>"


def _told(about: Mapping[str, Any]) -> str:
    """What a row is, in one line."""
    return ", ".join(
        f"strength {value:.3g}" if key == "strength" else str(value) for key, value in about.items()
    )


def _comparisons(report: Report) -> str:
    rows = list(report.figures)
    head = "".join(f"<th>{html.escape(row)}</th>" for row in rows)
    body = ""
    for one in rows:
        cells = ""
        for other in rows:
            if one == other:
                cells += "<td></td>"
                continue
            found = report.compare(one, other)
            low, high = found.wins_interval
            kind = "better" if low > 0.5 else "worse" if high < 0.5 else "even"
            cells += (
                f'<td class="{kind}">{found.wins:.0%}<small>{low:.0%} to {high:.0%}</small></td>'
            )
        body += f"<tr><th>{html.escape(one)}</th>{cells}</tr>"
    return f"<thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody>"


def _colored(histogram: np.ndarray, side: int = 192) -> np.ndarray:
    """Counts over a* and b* as a picture in those very colors, the more frequent the lighter; b* goes up."""
    density = np.log1p(histogram * (1e6 / max(histogram.sum(), 1)))
    density = cv2.resize(
        density / max(density.max(), 1e-9), (side, side), interpolation=cv2.INTER_LINEAR
    )
    axis = np.linspace(-HISTOGRAM_EDGE, HISTOGRAM_EDGE, side, dtype=np.float32)
    ab = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)
    l_star = np.clip(density * 85, 0, 100).astype(np.float32)
    shown = color.compose(
        l_star, ab * np.minimum(1, density * 4)[..., None].astype(np.float32), np.dtype(np.uint8)
    )
    return np.ascontiguousarray(shown.transpose(1, 0, 2)[::-1])


def _curves(report: Report, width: int = 720, height: int = 300) -> str:
    """Each row's CIEDE2000 on its pictures, from the best to the worst."""
    values = {row: np.sort(of["ciede2000"]) for row, of in report.figures.items() if row != "truth"}
    top = max(float(np.max(each)) for each in values.values()) or 1.0
    left, bottom = 46, 34
    parts = []
    step = next(step for step in (0.2, 0.5, 1, 2, 5, 10, 20, 50) if top / step <= 8)
    for tick in np.arange(0, top, step):
        y = height - bottom - tick / top * (height - bottom - 10)
        parts.append(f'<line class="grid" x1="{left}" x2="{width - 8}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    legend = ""
    for number, (row, each) in enumerate(values.items()):
        at = np.linspace(0, len(each) - 1, min(len(each), 240)).astype(int)
        points = " ".join(
            f"{left + i / max(1, len(each) - 1) * (width - left - 8):.1f},"
            f"{height - bottom - each[i] / top * (height - bottom - 10):.1f}"
            for i in at
        )
        parts.append(f'<polyline class="curve c{number % 8}" points="{points}"/>')
        legend += f'<span><i class="c{number % 8}"></i>{html.escape(row)}</span>'
    parts.append(
        f'<text x="{(left + width) / 2}" y="{height - 8}" text-anchor="middle">pictures, from best to worst</text>'
    )
    return f'<svg viewBox="0 0 {width} {height}" role="img">{"".join(parts)}</svg><p class="legend">{legend}</p>'


def _chosen(report: Report, few: int = 12, ten: int = 10) -> dict[str, list[str]]:
    """The pictures that are shown, by the reason."""
    generator = np.random.default_rng(_SEED)
    random = sorted(generator.permutation(len(report.pictures))[:few])
    gain = report.figures[report.subject]["colorfulness"] - report.photographs["colorfulness"]

    def names(order: Sequence[int] | np.ndarray) -> list[str]:
        return [report.pictures[i] for i in order]

    return {
        "A random dozen": names(random),
        "The worst, by CIEDE2000": report.worst[:ten],
        "The most desaturated": names(np.argsort(gain, kind="stable")[:ten]),
        "The most over-colored": names(np.argsort(-gain, kind="stable")[:ten]),
    }


def _section(report: Report, title: str, names: Sequence[str]) -> str:
    rows = [row for row in report.figures if row not in ("truth", "oracle 4x", "oracle 8x")]
    heads = "".join(f"<th>{html.escape(row)}</th>" for row in (*rows, "photograph"))
    body = ""
    for name in names:
        shown, index = report.show(name), report.pictures.index(name)
        cells = "".join(
            f'<td><img loading="lazy" src="{_jpeg(shown[row])}" alt="">'
            + (
                f"<small>{_number(float(report.figures[row]['ciede2000'][index]))}</small>"
                if row in rows
                else ""
            )
            + "</td>"
            for row in (*rows, "photograph")
        )
        body += f"<tr><th>{html.escape(name)}</th>{cells}</tr>"
    table = f'<table class="pictures"><thead><tr><th></th>{heads}</tr></thead><tbody>{body}</tbody></table>'
    return f'<h2>{html.escape(title)}</h2><div class="wide">{table}</div>'


def _png(rgb: np.ndarray) -> str:
    return _data("png", cv2.imencode(".png", rgb[..., ::-1])[1])


def _jpeg(rgb: np.ndarray, side: int = 256) -> str:
    """Small enough for a page: the original is one command away."""
    scale = side / max(rgb.shape[:2])
    if scale < 1:
        rgb = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    quality = [
        cv2.IMWRITE_JPEG_QUALITY,
        88,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]
    return _data("jpeg", cv2.imencode(".jpg", rgb[..., ::-1], quality)[1])


def _data(kind: str, encoded: np.ndarray) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(encoded.tobytes()).decode()}"
