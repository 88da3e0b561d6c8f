"""The evaluation of models on color photographs, as docs/protocol.md defines it.

Each photograph is cropped and turned gray. Every row colorizes it: references
(``gray``, ``truth``, ``oracle 4x``, ``oracle 8x``), models, and pictures that others
have colorized. The row's picture is compared with the photograph. A few photographs are
measured at a time and results come in order, so that memory is bounded and every run
gives the same numbers.
"""

import os
from array import array
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from colorizenet.colorizer import Colorizer
from colorizenet.errors import DataError, quote
from colorizenet.evaluation.arrays import RGB8
from colorizenet.evaluation.chromacache import ChromaCache
from colorizenet.evaluation.hints import build_hint_rows
from colorizenet.evaluation.matching import Progress, find_strength
from colorizenet.evaluation.measuring import (
    Columns,
    Measured,
    PairMetric,
    SetMetric,
    measure_batch,
    measure_rows,
)
from colorizenet.evaluation.report import Report
from colorizenet.evaluation.results import find_subject
from colorizenet.evaluation.rows import (
    ModelRow,
    Row,
    build_prediction_rows,
    build_reference_rows,
    describe_options,
)
from colorizenet.evaluation.truth import PICTURE_SIZE, read_truth
from colorizenet.evaluation.variants import build_variant_rows, group_variants
from colorizenet.options import Options
from colorizenet.parallel import limit_opencv_threads, map_ordered
from colorizenet.photosets import Photo, Split, find_photos, list_photos

__all__ = ["PROTOCOL", "evaluate", "evaluate_rows"]

PROTOCOL = "2.0"
"""Version of docs/protocol.md. Values of different first numbers are not comparable."""

_BATCH = 16
"""Pictures of 256 px that pair and set metrics get at once; fewer of larger ones."""


def evaluate(
    models: Colorizer | Mapping[str, Colorizer],
    source: str | Path,
    *,
    options: Options = Options(),
    split: Split | None = None,
    predictions: Mapping[str, Path] | None = None,
    match_colorfulness: float | None = None,
    hints: Sequence[int] = (),
    variants: int = 1,
    seed: int = 0,
    picture_size: int = PICTURE_SIZE,
    full: bool = False,
    limit: int | None = None,
    jobs: int | None = None,
    command: str = "",
    pair_metrics: Mapping[str, PairMetric] | None = None,
    set_metrics: Mapping[str, SetMetric] | None = None,
    on_progress: Progress = lambda _done, _total: None,
) -> Report:
    """Measure models, and pictures that others have colorized, on color photographs.

    ``source`` is a folder of any depth, tar shards, or a pattern of them; ``split``
    takes train, val or test of it. ``options`` are those of ``Colorizer``.
    ``predictions`` maps names to folders of colorized pictures with the photographs'
    file stems. ``match_colorfulness`` replaces ``options.strength`` by the strength,
    for each model, at which its pictures have this mean colorfulness; a model that
    cannot reach it is left out, and ``Report.failed`` says so. ``hints``: give
    every model these numbers of hints of the true colors, at random places that follow
    from ``seed``; a row for each number. ``variants``: let every model draw so many
    colorings with ``options.diversity``, of noise that follows from ``seed`` and the
    photograph's name; a row for each of them, the best and the mean. ``picture_size``
    is the side of the squares that are compared; ``full`` compares whole photographs.
    ``command`` repeats the evaluation and is stated in the report. For the rest see
    ``evaluate_rows``.

    Every network runs once per photograph.
    """
    if match_colorfulness is not None and not match_colorfulness > 0:
        raise ValueError(
            f"match_colorfulness is {match_colorfulness}; give a number over 0, such as 30"
        )
    if hints and match_colorfulness is not None:
        raise ValueError("hints and match_colorfulness exclude each other; leave one out")
    if variants > 1 and (hints or match_colorfulness is not None):
        raise ValueError(
            "variants exclude hints and match_colorfulness; leave out one or the others"
        )
    models = {models.card.name: models} if isinstance(models, Colorizer) else models
    drawing = replace(options, seed=seed) if variants > 1 else options
    for model in models.values():
        model.check_options(drawing, variants)
    photos = (find_photos(source, split) if split else list_photos(source))[:limit]
    side = None if full else picture_size
    baselines = [
        row
        for name, folder in (predictions or {}).items()
        for row in build_prediction_rows(name, folder, photos)
    ]
    settings: dict[str, Any] = {"split": split, "limit": limit, "picture_size": side}
    settings |= describe_options(options)
    if match_colorfulness is not None:
        del settings["strength"]
        settings["match_colorfulness"] = match_colorfulness
    if hints:
        settings |= {"hints": list(hints), "seed": seed}
    if variants > 1:
        settings |= {"variants": variants, "seed": seed, "diversity": options.diversity}
    if command:
        settings["command"] = command
    steps = len(photos) * (1 if match_colorfulness is None else 1 + len(models))
    rows = build_reference_rows()
    unmatched: list[str] = []
    with ChromaCache() as answers:
        if hints:
            rows += build_hint_rows(models, options, counts=hints, seed=seed, answers=answers)
        if variants > 1:
            rows += build_variant_rows(models, drawing, count=variants, answers=answers)
        plain = {} if hints or variants > 1 else models
        for number, (name, model) in enumerate(plain.items()):
            if match_colorfulness is None:
                rows.append(ModelRow(name, model, options))
                continue
            before = number * len(photos)
            try:
                strength = find_strength(
                    name,
                    model,
                    photos,
                    match_colorfulness,
                    options=options,
                    picture_size=side,
                    jobs=jobs,
                    answers=answers,
                    on_progress=lambda done, _, before=before: on_progress(before + done, steps),
                )
            except DataError as error:
                unmatched.append(str(error))
                continue
            matched = replace(options, strength=strength)
            rows.append(ModelRow(name, model, matched, answers=answers))
        if unmatched and len(unmatched) == len(models):
            raise DataError(unmatched[0])
        report = evaluate_rows(
            [*rows, *baselines],
            photos,
            picture_size=side,
            jobs=jobs,
            settings=settings,
            pair_metrics=pair_metrics,
            set_metrics=set_metrics,
            on_progress=lambda done, count: on_progress(steps - count + done, steps),
        )
    return replace(report, failed=unmatched + report.failed)


@dataclass(frozen=True)
class _LeftOut:
    """A photograph that is in no row."""

    message: str
    is_gray: bool = False


def evaluate_rows(
    rows: Sequence[Row],
    photos: Sequence[Photo],
    *,
    picture_size: int | None = PICTURE_SIZE,
    pair_metrics: Mapping[str, PairMetric] | None = None,
    set_metrics: Mapping[str, SetMetric] | None = None,
    jobs: int | None = None,
    settings: dict[str, Any] | None = None,
    on_progress: Progress = lambda _done, _total: None,
) -> Report:
    """Measure every row on every photograph.

    ``picture_size``: side of the squares that are compared, None for whole photographs.
    ``pair_metrics`` and ``set_metrics``: further metrics by name. ``jobs``: photographs
    measured at a time, by default one per core. ``on_progress``: called after each
    photograph with the number of those done and of all.

    Photographs that cannot be decoded or measured are left out of every row and listed
    in ``Report.failed``; gray ones, which have no color to compare with, in
    ``Report.skipped``. ``DataError`` where none is left.
    """
    pair_metrics, set_metrics = pair_metrics or {}, set_metrics or {}
    needs_batches = bool(pair_metrics or set_metrics)

    def measure(photo: Photo) -> Measured | _LeftOut:
        try:
            truth = read_truth(photo, picture_size)
            if truth.is_gray:
                return _LeftOut(
                    f"{quote(photo.name)} is gray (colorfulness {truth.colorfulness:.1f}) and was "
                    "left out; evaluation needs color photographs",
                    is_gray=True,
                )
            return measure_rows(rows, truth, keep_pictures=needs_batches)
        except DataError as error:
            return _LeftOut(str(error))

    columns = Columns(rows, find_subject({row.name: row.about.get("kind") for row in rows}))
    left_out: list[_LeftOut] = []
    batch: list[Measured] = []
    groups = group_variants(rows)

    def finish_batch() -> None:
        """Give the batch to the pair and set metrics, and add it to the columns."""
        refused = measure_batch(batch, groups, pair_metrics, set_metrics)
        for one in batch:
            if message := refused.get(one.truth.photo):
                left_out.append(_LeftOut(message))
            else:
                columns.add(one)
        batch.clear()

    jobs = jobs or os.cpu_count() or 1
    ahead = 2 * jobs if picture_size else jobs  # whole photographs may take a gigabyte each
    with limit_opencv_threads(), ThreadPoolExecutor(jobs) as pool:
        for done, result in enumerate(map_ordered(pool, measure, photos, ahead), 1):
            if isinstance(result, _LeftOut):
                left_out.append(result)
            else:
                batch.append(result)
                pixels = sum(one.truth.rgb.size for one in batch)
                if not needs_batches or len(batch) == _BATCH or pixels >= _BATCH * 3 * 256**2:
                    finish_batch()
            on_progress(done, len(photos))
    finish_batch()
    if not columns.names:
        raise DataError(
            f"none of {len(photos)} photographs could be measured (the first: "
            f"{left_out[0].message})"
        )
    return _build_report(columns, left_out, rows, photos, picture_size, set_metrics, settings or {})


def _build_report(
    columns: Columns,
    left_out: Sequence[_LeftOut],
    rows: Sequence[Row],
    photos: Sequence[Photo],
    picture_size: int | None,
    set_metrics: Mapping[str, SetMetric],
    settings: dict[str, Any],
) -> Report:
    photo_by_name = {photo.name: photo for photo in photos}
    examples = columns.examples.collect_data()

    def render(name: str) -> dict[str, RGB8]:
        photo, chroma = examples.get(name, (photo_by_name[name], None))
        truth = read_truth(photo, picture_size)
        chroma = chroma or {row.name: row.predict(truth) for row in rows}
        pictures = {row.name: row.apply(truth, chroma[row.name]) for row in rows}
        return pictures | {"photograph": truth.rgb}

    return Report(
        protocol=PROTOCOL,
        settings=settings,
        pictures=columns.names,
        failed=[one.message for one in left_out if not one.is_gray],
        skipped=[one.message for one in left_out if one.is_gray],
        about={row.name: row.about for row in rows},
        values={row: _to_arrays(values) for row, values in columns.values.items()},
        photographs=_to_arrays(columns.photographs),
        sets={
            name: {row.name: metric.distance(row.name, "photographs") for row in rows}
            for name, metric in set_metrics.items()
        },
        histograms=columns.histograms,
        diversity={model: _to_arrays(values) for model, values in columns.diversity.items()},
        examples=columns.examples.list_names(),
        render=render,
    )


def _to_arrays(columns: Mapping[str, "array[float]"]) -> dict[str, np.ndarray]:
    return {name: np.frombuffer(column) for name, column in columns.items()}
