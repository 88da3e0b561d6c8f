"""Many pictures: which ones, where the results go, and one bad file does not stop the rest.

A result appears whole or not at all, and a folder of results knows how each was made: a journal in
it says so before the result gets its name. So a run that was killed, at any moment, is finished by
the next, with the same bytes.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any, NoReturn

import cv2
import numpy as np
import pyvips
from filelock import FileLock, Timeout

from colorizenet.errors import ConfigError, ImageError, quote
from colorizenet.files import TEMPORARY_PATTERN, open_atomically, open_for_reading
from colorizenet.imaging.formats import FORMATS, detect_format
from colorizenet.imaging.image import Image
from colorizenet.imaging.metadata import name_dropped_metadata
from colorizenet.imaging.reading import MAX_PIXELS, ImageFile, open_image
from colorizenet.imaging.writing import choose_format, encode_image, encode_strips
from colorizenet.parallel import limit_opencv_threads, map_ordered

__all__ = [
    "Done",
    "Job",
    "Journal",
    "colorize_all",
    "contact_sheet",
    "open_journal",
    "configure_libvips",
    "plan",
]

STREAMED = 32_000_000
"""Pictures of more pixels are never whole in memory."""

_TASK_PIXELS = 1 << 19
"""Their strips have about this many: what the threads hand over to one another, which takes turns."""

_JOURNAL = ".colorizenet"
"""The folder, among the results, of what we remember of them."""


@dataclass(frozen=True)
class Job:
    """One picture to color and where the result goes."""

    source: Path
    target: Path
    format: str | None = None
    """What to write it as, a key of ``FORMATS``; None for what it is."""
    reason: str = ""
    """Why that is not the format which was asked for."""


@dataclass(frozen=True)
class Done:
    """What became of one picture: written, left as it was, or failed."""

    job: Job
    error: str | None = None
    """Why it failed, in one line; None where it did not."""
    skipped: bool = False
    """Whether the result was there already and was left alone."""
    width: int = 0
    height: int = 0
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    """What was not kept, or assumed, each a line."""


class Journal:
    """How each result of a folder was made: kept in the folder, one line of JSON a result.

    A line is written before its result gets its name, and says what the file will be (its length and
    its time, which a new name does not change). So a file that its line does not describe is not ours,
    or not finished as the line says; and nothing that is ours is unknown.
    """

    def __init__(self, folder: Path, way: str = "") -> None:
        self._folder, self._way, self._lock = folder, way, Lock()
        self._file = folder / _JOURNAL / "results.jsonl"
        self._known: dict[str, dict[str, Any]] = {}
        with suppress(OSError), self._file.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                with suppress(
                    ValueError, TypeError, KeyError
                ):  # the last one may have been cut short
                    told = json.loads(line)
                    self._known[told["result"]] = told

    def finished(self, job: Job) -> bool:
        """Whether the result is there and need not be made again."""
        try:
            there = _stamp(job.target)
        except OSError:
            return False
        told = self._known.get(self._name(job))
        if told is None or told.get("stamp") != there:
            return True  # somebody else's, or ours and changed since: not for us to replace
        with suppress(OSError):
            return told.get("way") == self._way and told.get("source") == _stamp(job.source)
        return True  # the source is gone, and the result is what is left of it

    def record(self, job: Job, finished: Path) -> None:
        """Say what ``finished`` is, which is about to become the result. Raises OSError."""
        told: dict[str, Any] = {
            "result": self._name(job),
            "stamp": _stamp(finished),
            "way": self._way,
        }
        with suppress(OSError):  # it may have vanished since it was read
            told["source"] = _stamp(job.source)
        line = json.dumps(told).encode() + b"\n"
        with self._lock:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("ab") as file:
                # One that was cut short must not swallow this one
                file.write(b"\n" + line if file.tell() else line)
            self._known[told["result"]] = told

    def _name(self, job: Job) -> str:
        return os.path.relpath(job.target, self._folder)


@contextmanager
def open_journal(out: Path, way: str, jobs: Sequence[Job]) -> Iterator[Journal]:
    """The journal of a folder of results, for one run at a time; what a killed run left half-written is removed.

    ``way`` names everything that the pixels depend on beside the source: results made in another way
    are made again.
    """
    try:
        (out / _JOURNAL).mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / _JOURNAL / "lock")
        lock.acquire(blocking=False)
    except Timeout as error:
        raise ConfigError(
            f"another run is writing into {quote(out)}; wait for it, or choose another --out"
        ) from error
    except OSError as error:
        raise ConfigError(
            f"{quote(out)} cannot be written: {error.strerror}; choose another --out"
        ) from error
    try:
        for folder in {job.target.parent for job in jobs}:
            for orphan in folder.glob(TEMPORARY_PATTERN) if folder.is_dir() else ():
                with suppress(OSError):
                    orphan.unlink()
        yield Journal(out, way)
    finally:
        lock.release()


def plan(
    inputs: Sequence[Path], out: Path, *, format: str | None = None, max_pixels: int = MAX_PIXELS
) -> list[Job]:
    """Where the result of each picture goes: files into ``out``, folders mirrored under it.

    Several folders keep their own names. A folder is searched to any depth for endings that we
    read; what lies under ``out`` is never an input. No two results share a name, and none is an
    input. A result is PNG or TIFF where the format asked for cannot hold it.
    """
    folders = [path for path in inputs if os.path.isdir(path)]  # noqa: PTH112 (a name may be too long to ask)
    pairs: list[tuple[Path, Path]] = []
    for path in inputs:
        if path in folders:
            if _same(path, out):
                raise ConfigError(
                    f"{quote(path)} is both the input and the place of the results; choose another --out"
                )
            below = out / _name(path) if len(folders) > 1 else out
            pairs += [(found, below / found.relative_to(path)) for found in _pictures_in(path, out)]
        else:
            pairs.append((path, out / path.name))

    def key(path: Path) -> str:
        # A disk may hold a.jpg and A.JPG to be the same file.
        return os.path.realpath(path).casefold()

    jobs: list[Job] = []
    taken = {key(source) for source, _ in pairs}
    fits = [_fit(source, format, max_pixels) for source, _ in pairs]
    suffixes = [
        _suffix(source, chosen) for (source, _), (chosen, _) in zip(pairs, fits, strict=True)
    ]
    short = Counter(
        key(wanted.with_suffix(suffix)) for (_, wanted), suffix in zip(pairs, suffixes, strict=True)
    )
    for (source, wanted), suffix, (chosen, reason) in zip(pairs, suffixes, fits, strict=True):
        candidates = _candidates(wanted, suffix)
        if short[key(wanted.with_suffix(suffix))] > 1 and wanted.suffix != suffix:
            next(candidates)  # whose name it is must not depend on who came first
        target = next(candidate for candidate in candidates if key(candidate) not in taken)
        taken.add(key(target))
        jobs.append(Job(source, target, chosen, reason))
    return jobs


def colorize_all(
    jobs: Iterable[Job],
    colorize: Callable[[Image], Image],
    *,
    stream: Callable[[ImageFile, int], Iterator[np.ndarray]] | None = None,
    journal: Journal | None = None,
    max_pixels: int = MAX_PIXELS,
    quality: int | None = None,
    note: str = "",
    overwrite: bool = False,
    workers: int = 1,
) -> Iterator[Done]:
    """Color pictures, several at a time, and tell of each in the order given.

    ``stream`` colors pictures of more than ``STREAMED`` pixels, strip by strip of so many rows;
    ``note`` is written into the results. What ``journal`` knows to be finished is left alone.
    """

    def finished(job: Job) -> bool:
        if overwrite:
            return False
        return journal.finished(job) if journal else job.target.exists()

    def one(job: Job) -> Done:
        if finished(job):
            return Done(job, skipped=True)
        started = time.perf_counter()
        try:
            with open_image(job.source, max_pixels=max_pixels) as picture:
                warnings = list(picture.warnings)
                format = job.format or choose_format(picture).format
                lost = name_dropped_metadata(picture.carried, format)
                if lost:
                    warnings.append(
                        f"{quote(job.source)} has {lost}, which {format} does not hold and is left out"
                    )
                _written(job, picture, format)
                height, width = picture.shape
        except ImageError as error:
            return Done(job, error=str(error))
        except MemoryError:
            return Done(
                job,
                error=f"{quote(job.source)} needs more memory than there is; reduce it, or use --jobs 1",
            )
        return Done(
            job,
            width=width,
            height=height * picture.pages,
            seconds=time.perf_counter() - started,
            warnings=tuple(warnings),
        )

    def _written(job: Job, picture: ImageFile, format: str) -> None:
        try:
            job.target.parent.mkdir(parents=True, exist_ok=True)
            with open_atomically(
                job.target,
                before_rename=lambda path: journal.record(job, path) if journal else None,
            ) as file:
                if stream and picture.pixels > STREAMED and FORMATS[format].saver:
                    rows = max(1, _TASK_PIXELS // picture.shape[1])
                    encode_strips(
                        file,
                        picture,
                        stream(picture, rows),
                        rows,
                        format,
                        quality=quality,
                        note=note,
                    )
                else:
                    image = replace(colorize(picture.whole()), note=note)
                    file.write(encode_image(image, format, quality=quality))
        except OSError as error:
            raise ImageError(
                f"{quote(job.target)} cannot be written: {error.strerror}; choose another --out"
            ) from error

    pool = ThreadPoolExecutor(workers)
    with limit_opencv_threads():
        try:
            yield from map_ordered(pool, one, jobs, 4 * workers)
        finally:
            pool.shutdown(cancel_futures=True)  # after Ctrl-C, only what is under way


def configure_libvips(threads: int) -> None:
    """For a process that colors many pictures: as many threads for each, and nothing kept of those that are done."""
    pyvips.concurrency_set(threads)  # pyright: ignore[reportAttributeAccessIssue] (made at run time)
    pyvips.cache_set_max(0)


def contact_sheet(
    pairs: Sequence[tuple[Path, Path]], *, columns: int = 2, tile: int = 320
) -> Image:
    """One picture to look at: gray | color of each pair of files, each ``tile`` pixels wide."""
    if not pairs:
        raise ConfigError(
            "a contact sheet needs at least one colored picture; name some that can be read"
        )
    rows = []
    for start in range(0, len(pairs), columns):
        cells = [
            cell for pair in pairs[start : start + columns] for cell in _side_by_side(*pair, tile)
        ]
        height = max(cell.shape[0] for cell in cells)
        row = np.full((height, 2 * columns * tile, 3), 255, np.uint8)
        for i, cell in enumerate(cells):
            top, left = (height - cell.shape[0]) // 2, i * tile + (tile - cell.shape[1]) // 2
            row[top : top + cell.shape[0], left : left + cell.shape[1]] = cell
        rows.append(np.pad(row, ((4, 4), (0, 0), (0, 0)), constant_values=255))
    return Image(np.vstack(rows))


def _pictures_in(folder: Path, out: Path) -> list[Path]:
    endings = {suffix for format in FORMATS.values() for suffix in format.suffixes}
    found: list[Path] = []

    def refused(error: OSError) -> NoReturn:
        raise ConfigError(
            f"{quote(error.filename)} cannot be searched: {error.strerror}; make it readable, or leave it out"
        ) from error

    for where, folders, files in os.walk(folder, onerror=refused):
        here = Path(where)
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and not _same(here / name, out)
        )
        found += [
            here / name
            for name in sorted(files)
            if Path(name).suffix.lower() in endings and not name.startswith(".")
        ]
    return found


def _name(folder: Path) -> str:
    return folder.name if folder.name not in ("", "..") else folder.resolve().name or "root"


def _stamp(path: Path) -> list[int]:
    """What tells a file from one that was put in its place."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _fit(source: Path, format: str | None, max_pixels: int) -> tuple[str | None, str]:
    """What to write a picture as, and why it is not what was asked for; what it is, where it cannot be read.

    Its header is read only where it decides: a picture mostly fits into the format that it came in.
    """
    try:
        with open_for_reading(source) as file:
            found = detect_format(file.read(64) or b"")
        if found is None or (format is None and FORMATS[found].written):
            return found, ""
        with open_image(source, max_pixels=max_pixels) as picture:
            fit = choose_format(picture, format)
            return fit.format, fit.reason
    except (OSError, ValueError, ImageError):
        return format, ""  # it will fail with a reason when its turn comes


def _suffix(source: Path, format: str | None) -> str:
    """The ending of the result: the source's own where it says the format."""
    if format is None or source.suffix.lower() in FORMATS[format].suffixes:
        return source.suffix
    return FORMATS[format].suffixes[0]


def _candidates(wanted: Path, suffix: str) -> Iterator[Path]:
    """a.jpg as PNG is a.png, or a.jpg.png where another picture has that name, or a.jpg.2.png, ..."""
    yield wanted.with_suffix(suffix)
    yield wanted.with_name(f"{wanted.name}{suffix}")
    for number in range(2, 1_000_000):
        yield wanted.with_name(f"{wanted.name}.{number}{suffix}")


def _same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:  # one of them is not there
        return path.absolute() == other.absolute()


def _side_by_side(before: Path, after: Path, tile: int) -> tuple[np.ndarray, np.ndarray]:
    gray = cv2.cvtColor(_thumbnail(before, tile - 8), cv2.COLOR_RGB2GRAY)
    return cv2.cvtColor(gray, cv2.COLOR_GRAY2RGB), _thumbnail(after, tile - 8)


def _thumbnail(path: Path, side: int) -> np.ndarray:
    """A picture brought to fit a square, read no larger than it must be: (h, w, 3) uint8."""
    try:
        encoded = path.read_bytes()
        if detect_format(encoded) is None:
            raise ImageError(
                f"{quote(path)} is not a picture we read and cannot be shown on the contact sheet"
            )
        small = pyvips.Image.thumbnail_buffer(encoded, side, height=side, size="both").colourspace(
            "srgb"
        )
        if small.hasalpha():
            small = small.flatten(background=[255.0])
        return small.cast("uchar").numpy()
    except (pyvips.Error, OSError) as error:
        raise ImageError(
            f"{quote(path)} cannot be shown on the contact sheet; read it again"
        ) from error
