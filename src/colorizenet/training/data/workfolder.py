"""The target folder of ``prepare``: who may write into it, and whether a run can
continue."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock

from colorizenet.errors import ConfigError, quote
from colorizenet.files import TEMPORARY_PATTERN, write_atomically
from colorizenet.photosets import Photo, Split

__all__ = ["FORMAT", "claim_folder", "describe_job", "flatten_settings"]

FORMAT = 2
"""Version of prepare.json and of the meaning of the settings. A folder with another one
cannot be continued."""

_LEFTOVERS = rf"{re.escape(TEMPORARY_PATTERN).replace(re.escape('*'), '[0-9a-f]+')}|\.prepare"
"""Names that a killed program leaves behind."""
_WRITTEN = rf"(train|val|test)-\d+\.tar|manifest\.tsv|prepare\.json|{_LEFTOVERS}"
"""Names of the files that ``prepare`` writes."""


def describe_job(
    photos: Mapping[Split, Sequence[Photo]], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """The content of prepare.json, which must be equal to continue a run.

    Holds the settings and a hash of the names and sizes of the photos in their order.
    """
    listing = hashlib.sha256()
    for split, members in photos.items():
        for photo in members:
            line = f"{split}\0{photo.name}\0{photo.measure_size()}\n"
            listing.update(line.encode(errors="surrogateescape"))
    return {
        "format": FORMAT,
        "pictures": sum(map(len, photos.values())),
        "sha256": listing.hexdigest(),
        "settings": dict(settings),
    }


@contextmanager
def claim_folder(target: Path, job: dict[str, Any]) -> Iterator[tuple[Path, bool]]:
    """Lock the target folder against other programs.

    Yields the folder for intermediate files and whether the target is already finished.
    Raises ConfigError where the target belongs to another job or has foreign files.
    """
    path, work = target / "prepare.json", target / ".prepare"
    if target.exists() and not target.is_dir():
        raise ConfigError(f"{quote(target)} is a file; name a new or empty folder")
    started = _read_job(path) if path.exists() else None
    finished = started is not None and (target / "manifest.tsv").exists()
    if started is not None:
        _compare_jobs(started, job, target)
    if not finished:
        _reject_foreign_files(target, _LEFTOVERS if started is None else _WRITTEN)
    if finished and not work.exists():
        yield work, True
        return
    work.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(work / "lock", timeout=0):
            for folder in (target, work):
                for leftover in folder.glob(TEMPORARY_PATTERN):
                    leftover.unlink()
            if started is None:
                write_atomically(path, (json.dumps(job, indent=2) + "\n").encode())
            yield work, finished
    except filelock.Timeout as error:
        raise ConfigError(
            f"{quote(target)} is in use by another program; wait for it, or name another folder"
        ) from error


def _reject_foreign_files(target: Path, allowed: str) -> None:
    names = sorted(path.name for path in target.iterdir()) if target.exists() else []
    for name in names:
        if not re.fullmatch(allowed, name):
            raise ConfigError(
                f"{quote(target)} has {quote(name)}, which `prepare` did not write; "
                "name a new or empty folder"
            )


def _read_job(path: Path) -> dict[str, Any]:
    try:
        job = json.loads(path.read_bytes())
        assert job.keys() >= {"format", "pictures", "sha256", "settings"}
        return job
    except (ValueError, AttributeError, AssertionError) as error:
        raise ConfigError(
            f"{quote(path)} was not written by `prepare` or is damaged; name a new or empty folder"
        ) from error


def _compare_jobs(started: dict[str, Any], job: dict[str, Any], target: Path) -> None:
    if started["format"] != job["format"]:
        raise ConfigError(
            f"{quote(target)} was started by another version of colorizenet (format "
            f"{started['format']}, this one has {job['format']}); name another folder"
        )
    before, now = flatten_settings(started["settings"]), flatten_settings(job["settings"])
    changed = [
        f"{name} {before.get(name)} (now {now[name]})"
        for name in now
        if before.get(name) != now[name]
    ]
    if changed:
        raise ConfigError(
            f"{quote(target)} was started with {', '.join(changed)}; "
            "use the same settings, or name another folder"
        )
    if (started["pictures"], started["sha256"]) != (job["pictures"], job["sha256"]):
        raise ConfigError(
            f"{quote(target)} was started with another list of photos ({started['pictures']}, now "
            f"{job['pictures']}, by name and size); use the same source, or name another folder"
        )


def flatten_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with those of the screen among them."""
    return {name: value for name, value in settings.items() if name != "screen"} | settings[
        "screen"
    ]
