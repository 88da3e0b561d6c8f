"""Colorize a Ray dataset of photos."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray.data

from colorizenet.batch import Worker
from colorizenet.errors import quote
from colorizenet.imaging.libvips import configure_process
from colorizenet.planning import Job, fit_format

__all__ = ["colorize"]

_BATCH = 8
"""Photos that an actor has in memory at a time."""


def colorize(
    dataset: "ray.data.Dataset",
    worker: Worker = Worker(),  # noqa: B008 (a frozen dataclass)
    *,
    concurrency: int | tuple[int, int] | None = None,
    num_cpus: float = 1,
    num_gpus: float | None = None,
) -> "ray.data.Dataset":
    """Colorize the photos in the column ``bytes`` of a dataset.

    That column, and the optional column ``path`` with the names of the photos, are what
    ``ray.data.read_binary_files(..., include_paths=True)`` makes. All columns are kept,
    and these are added:

        colorized   the result as an encoded file; None where there is none
        format      its format, such as "jpeg"
        error       why a photo failed, in one line
        skipped     "in color" where the worker leaves out such photos
        warnings    what was lost or assumed, each in one line

    A photo that fails does not stop the others. ``concurrency`` is the number of
    actors, each with one loaded model, or the lowest and the highest number; by default
    one for each core of the cluster at most.

        photos = ray.data.read_binary_files("s3://archive/scans", include_paths=True)
        colorizenet.ray.colorize(photos).write_parquet("s3://archive/colored")
    """
    low, high = concurrency if isinstance(concurrency, tuple) else (concurrency, concurrency)
    return dataset.map_batches(
        _Colorizing,
        fn_constructor_args=(replace(worker, journal=None, overwrite=True, threads=1),),
        batch_size=_BATCH,
        batch_format="pyarrow",
        num_cpus=num_cpus,
        num_gpus=num_gpus,
        compute=ray.data.ActorPoolStrategy(min_size=low or 1, max_size=high),
    )


class _Colorizing:
    """A process of the cluster, with one loaded model."""

    def __init__(self, worker: Worker) -> None:
        configure_process(worker.threads)
        self._worker = worker
        worker.colorizer  # noqa: B018 (an unusable model is reported before the first photo)

    def __call__(self, table: pa.Table) -> pa.Table:
        photos = table.column("bytes").to_pylist()
        has_names = "path" in table.column_names
        names = table.column("path").to_pylist() if has_names else [None] * len(photos)
        rows = [
            self._colorize(photo, quote(name or "a photo"))
            for photo, name in zip(photos, names, strict=True)
        ]
        for column in _SCHEMA:
            values = pa.array([row.get(column.name) for row in rows], column.type)
            table = table.append_column(column, values)
        return table

    def _colorize(self, photo: bytes | None, name: str) -> dict[str, Any]:
        if photo is None:
            return {"error": f"{name} has no bytes; leave out such rows"}
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "photo"  # some names of photos are none of files
            source.write_bytes(photo)
            format, reason = fit_format(source, self._worker.output.format, self._worker.max_pixels)
            target = Path(folder) / "result" / "result"
            done = self._worker(Job(source, (target,), format, reason))
            if done.error:
                return {"error": done.error.replace(quote(source), name)}
            warnings = [each.replace(quote(source), name) for each in done.warnings]
            warnings += [f"written as {format}: {reason}"] if reason else []
            colorized = None if done.skipped else target.read_bytes()
            return {
                "colorized": colorized,
                "format": None if done.skipped else format,
                "skipped": done.skipped or None,
                "warnings": warnings,
            }


_SCHEMA = pa.schema(
    [
        ("colorized", pa.binary()),
        ("format", pa.string()),
        ("error", pa.string()),
        ("skipped", pa.string()),
        ("warnings", pa.list_(pa.string())),
    ]
)
"""The columns that are added."""
