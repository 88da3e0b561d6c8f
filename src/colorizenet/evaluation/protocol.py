"""Model + photographs -> ``Report``: the protocol of docs/protocol.md, carried out.

Each photograph is cut, turned gray, and shown to every row: nothing (``gray``), our own pipeline
with the true colors (``truth``, ``oracle 4x``, ``oracle 8x``), models, and rivals' finished
pictures. What a row shows is compared with the photograph. Photographs are taken one at a time, a
few at once, and come out in their order, so that memory is constant and every run has the same numbers.
"""

import math
import os
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from colorizenet import color
from colorizenet.colorizer import Colorizer
from colorizenet.imaging.resampling import resize
from colorizenet.errors import DataError, ImageError, quote
from colorizenet.evaluation import metrics
from colorizenet.evaluation.report import HISTOGRAM_BINS, HISTOGRAM_EDGE, Report
from colorizenet.parallel import limit_opencv_threads, map_ordered
from colorizenet.photosets import SUFFIXES, Photo, Split, decode, find_photos, list_photos
from colorizenet.upsample import EdgeUpsampler

__all__ = [
    "PROTOCOL",
    "PairMetric",
    "Row",
    "SetMetric",
    "Truth",
    "evaluate",
    "evaluate_rows",
    "row_of_model",
    "standard_rows",
    "strength_for",
    "truth_of",
]

PROTOCOL = "1.1"
"""Of docs/protocol.md. The first number changes when figures are no longer comparable."""

SIZE = 256
"""Side of the pictures in pixels."""
_BATCH = 16
"""Pictures that a metric of many at once is given at a time, where they are all of one size."""

Pixels = np.ndarray


class PairMetric(Protocol):
    """A figure of each picture against its truth, such as LPIPS: batches (N, H, W, 3) of uint8."""

    def __call__(self, pictures: np.ndarray, truths: np.ndarray) -> Sequence[float]: ...


class SetMetric(Protocol):
    """A figure of many pictures against many truths, such as a Fréchet distance."""

    def add(self, row: str, pictures: np.ndarray) -> None: ...
    def distance(self, row: str, other: str) -> float: ...


@dataclass(frozen=True)
class Truth:
    """A photograph as the protocol has it, and what is known of it without its colors."""

    name: str
    rgb: Pixels

    @cached_property
    def l_star(self) -> np.ndarray:
        return color.lightness(self.rgb)

    @cached_property
    def ab(self) -> np.ndarray:
        return color.rgb_to_lab(self.rgb.astype(np.float32) / 255)[..., 1:]

    @cached_property
    def gray(self) -> Pixels:
        """The gray picture of the same L*, (H, W) uint8: what models are given."""
        return self.with_chroma(np.zeros((*self.l_star.shape, 2), np.float32))[..., 0]

    def with_chroma(self, ab: np.ndarray) -> Pixels:
        """The photograph's own lightness in other colors, as our pipeline shows it."""
        return color.compose(self.l_star, np.ascontiguousarray(ab, np.float32), np.dtype(np.uint8))


@dataclass(frozen=True)
class Row:
    """One line of the table: what it shows for a photograph, and what the report says of it."""

    name: str
    shown: Callable[[Truth], Pixels]
    about: dict[str, Any] = field(default_factory=dict)


def evaluate(
    models: Colorizer | Mapping[str, Colorizer],
    source: str | Path,
    *,
    split: Split | None = None,
    against: Mapping[str, Path] | None = None,
    strength: float = 1.0,
    colorfulness: float | None = None,
    size: int = SIZE,
    full: bool = False,
    limit: int | None = None,
    workers: int | None = None,
    command: str = "",
    **settings: Any,
) -> Report:
    """How good the colors are of models, and of rivals' finished pictures, on the photographs of a source.

    ``source`` is a folder of any depth, tar shards, or a pattern of them; ``split`` takes train, val or
    test of it, by the rules of training. ``against`` names folders of pictures colored by others, with
    the file stems of the photographs. ``colorfulness`` has each model shown with the strength that makes it so
    colorful, instead of ``strength``; rivals stay as they are. ``full`` leaves photographs as large as they are;
    ``command`` is what repeats it. See ``evaluate_rows`` for the rest.
    """
    if colorfulness is not None and not colorfulness > 0:
        raise ValueError(f"colorfulness is {colorfulness}; give a number over 0, such as 30")
    models = {models.card.name: models} if isinstance(models, Colorizer) else models
    pictures = find_photos(source, split) if split else list_photos(source)
    pictures = pictures[:limit]
    side = None if full else size
    stems = [Path(picture.name).stem for picture in pictures]
    rivals = [
        row
        for name, folder in (against or {}).items()
        for row in _rows_of_rival(name, folder, stems)
    ]
    strengths = dict.fromkeys(models, strength)
    if colorfulness is not None:
        for name, model in models.items():
            strengths[name] = strength_for(
                name, model, pictures, colorfulness, size=side, workers=workers
            )
    rows = (
        standard_rows()
        + [row_of_model(name, model, strengths[name]) for name, model in models.items()]
        + rivals
    )
    about = {"split": split, "limit": limit, "size": side}
    about |= {"strength": strength} if colorfulness is None else {"colorfulness": colorfulness}
    about |= {"command": command} if command else {}
    return evaluate_rows(rows, pictures, size=side, workers=workers, about=about, **settings)


def strength_for(
    name: str,
    model: Colorizer,
    pictures: Sequence[Photo],
    colorfulness: float,
    *,
    size: int | None = SIZE,
    workers: int | None = None,
) -> float:
    """The strength, up to 2, at which what a model shows of these pictures is in the mean so colorful.

    To half a percent; a DataError says so where there is none. What makes colors stronger makes most errors larger,
    so that models are best compared where they are equally colorful.
    """

    def seen(picture: Photo) -> float | None:
        try:
            truth = truth_of(picture, size)
        except DataError:
            return None  # evaluate_rows will name it
        return metrics.colorfulness(row_of_model(name, model, strength).shown(truth))

    strength, low, high, found = 1.0, 0.0, math.inf, ""
    workers = workers or os.cpu_count() or 1
    with limit_opencv_threads(), ThreadPoolExecutor(workers) as pool:
        for _ in range(12):
            values = [
                value
                for value in map_ordered(pool, seen, pictures, 2 * workers)
                if value is not None
            ]
            reached = float(np.mean(values)) if values else colorfulness
            if abs(reached - colorfulness) <= 0.005 * colorfulness:
                return strength
            found = f"strength {strength:.3g} gives {reached:.3g}"
            low, high = (strength, high) if reached < colorfulness else (low, strength)
            if low == 2:
                break
            # Nearly proportional: colors that do not fit a screen lose some, and rounding to 8 bits makes steps.
            strength = min(2.0, strength * colorfulness / max(reached, 1e-3))
            if not low < strength < high:
                strength = (low + min(high, 2.0)) / 2
    raise DataError(
        f"{name} cannot be as colorful as {colorfulness:g} on these pictures: {found}; ask for another colorfulness"
    )


def standard_rows() -> list[Row]:
    """The rows that keep one honest: doing nothing, the ceiling of our pipeline, and true but small chroma."""

    def oracle(times: int) -> Callable[[Truth], Pixels]:
        def shown(truth: Truth) -> Pixels:
            height, width = truth.l_star.shape
            small = max(1, width // times), max(1, height // times)
            ab = cv2.resize(truth.ab, small, interpolation=cv2.INTER_AREA)
            l_small = cv2.resize(truth.l_star, small, interpolation=cv2.INTER_AREA)
            return truth.with_chroma(
                EdgeUpsampler(ab, l_small, (height, width)).rows(truth.l_star, 0)
            )

        return shown

    return [
        Row(
            "gray",
            lambda truth: np.repeat(truth.gray[..., None], 3, axis=2),
            {"kind": "nothing done"},
        ),
        Row(
            "truth",
            lambda truth: truth.with_chroma(truth.ab),
            {"kind": "true colors through our pipeline"},
        ),
        Row("oracle 4x", oracle(4), {"kind": "true chroma at a quarter of the size, brought up"}),
        Row("oracle 8x", oracle(8), {"kind": "true chroma at an eighth of the size, brought up"}),
    ]


def row_of_model(name: str, model: Colorizer, strength: float) -> Row:
    """What a model makes of the gray picture."""

    def shown(truth: Truth) -> Pixels:
        return model(truth.gray, strength=strength)

    card = {
        "card": model.card.name,
        "sha256": model.sha256,
        "license": model.card.license,
        "strength": strength,
    }
    return Row(name, shown, {"kind": "model", **card})


def _rows_of_rival(name: str, folder: Path, stems: Sequence[str]) -> list[Row]:
    """A rival's pictures as they are, and with the photograph's own lightness, so that a lossy file costs no color."""
    if not folder.is_dir():
        raise DataError(
            f"{quote(folder)} is no folder; give {name}=DIR, a folder of colored pictures"
        )
    files: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES:
            if path.stem in files:
                raise DataError(
                    f"{quote(folder)} has two pictures called {quote(path.stem)}; leave one of them"
                )
            files[path.stem] = path
    if missing := [stem for stem in stems if stem not in files]:
        raise DataError(
            f"{quote(folder)} lacks {len(missing)} of {len(stems)} pictures (the first: {quote(missing[0])}); "
            "give a colored picture of the same file stem for each photograph"
        )
    if len(set(stems)) < len(stems):
        raise DataError(
            "two of the photographs have the same file stem, so a rival's cannot be told apart; rename one"
        )

    def shown(truth: Truth) -> Pixels:
        path = files[Path(truth.name).stem]
        rgb = decode(Photo(str(path), path))
        height, width = truth.rgb.shape[:2]
        return resize(_center(rgb, height / width), height, width)

    def with_own_lightness(truth: Truth) -> Pixels:
        return truth.with_chroma(color.rgb_to_lab(shown(truth).astype(np.float32) / 255)[..., 1:])

    return [
        Row(name, shown, {"kind": "rival"}),
        Row(
            f"{name}, own L*",
            with_own_lightness,
            {"kind": "rival's chroma on the photograph's own lightness"},
        ),
    ]


@dataclass(frozen=True)
class _Measured:
    """What was seen of one photograph: its own figures, and for each row its figures and how often each color."""

    name: str
    rgb: Pixels
    own: dict[str, float]
    figures: dict[str, dict[str, float]]
    histograms: dict[str, np.ndarray]
    shown: dict[str, Pixels]


class _Counted:
    """All that is kept of photographs once they are measured: eight bytes a figure."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.names: list[str] = []
        self.own: dict[str, array[float]] = {}
        self.figures: dict[str, dict[str, array[float]]] = {row.name: {} for row in rows}
        self.histograms = {
            name: np.zeros((HISTOGRAM_BINS, HISTOGRAM_BINS))
            for name in (*self.figures, "photographs")
        }

    def add(self, one: _Measured) -> None:
        self.names.append(one.name)
        _append(self.own, one.own)
        for row, figures in one.figures.items():
            _append(self.figures[row], figures)
        for name, histogram in one.histograms.items():
            self.histograms[name] += histogram


def _append(columns: dict[str, "array[float]"], figures: Mapping[str, float]) -> None:
    for name, value in figures.items():
        columns.setdefault(name, array("d")).append(value)


def evaluate_rows(
    rows: Sequence[Row],
    pictures: Sequence[Photo],
    *,
    size: int | None = SIZE,
    pair_metrics: Mapping[str, PairMetric] | None = None,
    set_metrics: Mapping[str, SetMetric] | None = None,
    workers: int | None = None,
    about: dict[str, Any] | None = None,
    told: Callable[[int, int], None] = lambda _done, _total: None,
) -> Report:
    """Measure every row on every picture; pictures that cannot be decoded or measured are named and left out.

    ``pair_metrics`` and ``set_metrics`` are what the core cannot do, by name. ``told`` hears how many of
    how many pictures are done.
    """
    pair_metrics, set_metrics = pair_metrics or {}, set_metrics or {}
    keep_pixels = bool(pair_metrics or set_metrics)

    def measured(picture: Photo) -> _Measured | str:
        try:
            truth = truth_of(picture, size)
            if min(truth.rgb.shape[:2]) < metrics.SMALLEST:
                height, width = truth.rgb.shape[:2]
                least = f"{metrics.SMALLEST} x {metrics.SMALLEST}"
                return f"{quote(picture.name)} is {width} x {height} and metrics look at {least} and more; enlarge it"
            shown = {row.name: row.shown(truth) for row in rows}
        except DataError as error:
            return str(error)
        return _Measured(
            truth.name,
            truth.rgb,
            _of_one(truth.rgb),
            {name: metrics.measure(pixels, truth.rgb) for name, pixels in shown.items()},
            {
                name: histogram_ab(pixels)
                for name, pixels in (shown | {"photographs": truth.rgb}).items()
            },
            shown if keep_pixels else {},
        )

    counted = _Counted(rows)
    failed: list[str] = []
    waiting: list[_Measured] = []

    def settle() -> None:
        """Give the metrics of many pictures at once what waits for them, and count it."""
        refused: dict[str, str] = {}
        for batch in _of_one_size(waiting):
            truths = np.stack([one.rgb for one in batch])
            stacked = {row.name: np.stack([one.shown[row.name] for one in batch]) for row in rows}
            try:
                for name, metric in pair_metrics.items():
                    for row, pixels in stacked.items():
                        for one, value in zip(batch, metric(pixels, truths), strict=True):
                            one.figures[row][name] = float(value)
            except ImageError as error:
                refused |= {one.name: f"{quote(one.name)}: {error}" for one in batch}
                continue
            for metric in set_metrics.values():
                for row, pixels in (stacked | {"photographs": truths}).items():
                    metric.add(row, pixels)
        for one in waiting:
            if one.name not in refused:
                counted.add(one)
        failed.extend(refused.values())
        waiting.clear()

    workers = workers or os.cpu_count() or 1
    ahead = 2 * workers if size else workers  # whole photographs may take a gigabyte each
    with limit_opencv_threads(), ThreadPoolExecutor(workers) as pool:
        for done, result in enumerate(map_ordered(pool, measured, pictures, ahead), 1):
            if isinstance(result, str):
                failed.append(result)
            elif keep_pixels:
                waiting.append(result)
                if (
                    len(waiting) == _BATCH
                    or sum(one.rgb.size for one in waiting) >= _BATCH * SIZE * SIZE * 3
                ):
                    settle()
            else:
                counted.add(result)
            told(done, len(pictures))
    settle()
    if not counted.names:
        raise DataError(
            f"none of {len(pictures)} pictures could be measured (the first: {failed[0]})"
        )

    by_name = {picture.name: picture for picture in pictures}

    def shown_again(name: str) -> dict[str, Pixels]:
        truth = truth_of(by_name[name], size)
        return {row.name: row.shown(truth) for row in rows} | {"photograph": truth.rgb}

    return Report(
        protocol=PROTOCOL,
        settings=about or {},
        pictures=counted.names,
        failed=failed,
        about={row.name: row.about for row in rows},
        figures={row: _as_arrays(columns) for row, columns in counted.figures.items()},
        photographs=_as_arrays(counted.own),
        sets={
            name: {row.name: metric.distance(row.name, "photographs") for row in rows}
            for name, metric in set_metrics.items()
        },
        histograms=counted.histograms,
        show=shown_again,
    )


def _of_one(rgb: Pixels) -> dict[str, float]:
    """The figures of a photograph that need no other."""
    return {
        "colorfulness": metrics.colorfulness(rgb),
        "colorfulness_absolute": metrics.colorfulness_absolute(rgb),
    }


def truth_of(picture: Photo, size: int | None) -> Truth:
    """A photograph decoded and cut as the protocol has it; a DataError says so where it is none."""
    return Truth(picture.name, protocol_picture(decode(picture), size))


def protocol_picture(rgb: Pixels, size: int | None) -> Pixels:
    """The center square brought to ``size`` by area (by cubic interpolation where it is smaller), or all of it."""
    return rgb if size is None else resize(_center(rgb, 1.0), size, size)


def histogram_ab(rgb: Pixels) -> np.ndarray:
    """How often each color: counts over a* (down) and b* (across), from -edge to edge."""
    some = rgb[::2, ::2].astype(np.float32) / 255  # a quarter of the pixels tells as much
    ab = cv2.cvtColor(some, cv2.COLOR_RGB2LAB)[..., 1:].reshape(-1, 2)
    bins = ((ab + HISTOGRAM_EDGE) * (HISTOGRAM_BINS / (2 * HISTOGRAM_EDGE))).astype(np.int64)
    np.clip(bins, 0, HISTOGRAM_BINS - 1, out=bins)
    flat = np.bincount(bins[:, 0] * HISTOGRAM_BINS + bins[:, 1], minlength=HISTOGRAM_BINS**2)
    return flat.reshape(HISTOGRAM_BINS, HISTOGRAM_BINS).astype(np.float64)


def _center(rgb: Pixels, aspect: float) -> Pixels:
    """The largest part in the middle with height / width of ``aspect``; all of it where it has that already."""
    height, width = rgb.shape[:2]
    if abs(height / width - aspect) < 1.5 / width:
        return rgb
    tall, wide = min(height, round(width * aspect)), min(width, round(height / aspect))
    top, left = (height - tall) // 2, (width - wide) // 2
    return rgb[top : top + tall, left : left + wide]


def _of_one_size(results: Sequence[_Measured]) -> Iterator[list[_Measured]]:
    by_shape: dict[tuple[int, ...], list[_Measured]] = {}
    for result in results:
        by_shape.setdefault(result.rgb.shape, []).append(result)
    yield from by_shape.values()


def _as_arrays(columns: Mapping[str, "array[float]"]) -> dict[str, np.ndarray]:
    return {name: np.frombuffer(column) for name, column in columns.items()}
