"""Many pictures: which ones, where the results go, and one bad file does not stop the rest."""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import cv2
import numpy as np
import pyvips

from colorizenet.errors import ConfigError, ImageError, quoted
from colorizenet.images import FORMATS, Image, encode_image, read_image, recognised, write_atomically

__all__ = ["Done", "Job", "colorize_all", "contact_sheet", "plan"]


@dataclass(frozen=True)
class Job:
    """One picture to colour and where the result goes."""

    source: Path
    target: Path


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


def plan(inputs: Sequence[Path], out: Path, *, format: str | None = None) -> list[Job]:
    """Where the result of each picture goes: files into ``out``, folders mirrored under it.

    Several folders keep their own names. A folder is searched to any depth for endings that we
    read; what lies under ``out`` is never an input. No two results share a name, and none is an
    input.
    """
    folders = [path for path in inputs if os.path.isdir(path)]  # noqa: PTH112 (a name may be too long to ask)
    pairs: list[tuple[Path, Path]] = []
    for path in inputs:
        if path in folders:
            if _same(path, out):
                raise ConfigError(
                    f"{quoted(path)} is both the input and the place of the results; choose another --out"
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
    suffixes = [_suffix(source, format) for source, _ in pairs]
    short = Counter(key(wanted.with_suffix(suffix)) for (_, wanted), suffix in zip(pairs, suffixes, strict=True))
    for (source, wanted), suffix in zip(pairs, suffixes, strict=True):
        candidates = _candidates(wanted, suffix)
        if short[key(wanted.with_suffix(suffix))] > 1 and wanted.suffix != suffix:
            next(candidates)  # whose name it is must not depend on who came first
        target = next(candidate for candidate in candidates if key(candidate) not in taken)
        taken.add(key(target))
        jobs.append(Job(source, target))
    return jobs


def colorize_all(
    jobs: Iterable[Job],
    colorize: Callable[[Image], Image],
    *,
    read: Callable[[Path], Image] = read_image,
    format: str | None = None,
    quality: int | None = None,
    overwrite: bool = False,
    workers: int = 1,
) -> Iterator[Done]:
    """Colour pictures, several at a time, and tell of each in the order given."""

    def one(job: Job) -> Done:
        if job.target.exists() and not overwrite:
            return Done(job, skipped=True)
        started = time.perf_counter()
        try:
            image = colorize(read(job.source))
            encoded = encode_image(image, format, quality=quality)
            try:
                job.target.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(job.target, encoded)
            except OSError as error:
                raise ImageError(
                    f"{quoted(job.target)} cannot be written: {error.strerror}; choose another --out"
                ) from error
        except ImageError as error:
            return Done(job, error=str(error))
        except MemoryError:
            return Done(job, error=f"{quoted(job.source)} needs more memory than there is; reduce it, or use --jobs 1")
        height, width = image.pixels.shape[:2]
        return Done(job, width=width, height=height, seconds=time.perf_counter() - started)

    pool = ThreadPoolExecutor(workers)
    try:
        yield from pool.map(one, jobs)
    finally:
        pool.shutdown(cancel_futures=True)  # after Ctrl-C, only what is under way


def contact_sheet(pairs: Sequence[tuple[Path, Path]], *, columns: int = 2, tile: int = 320) -> Image:
    """One picture to look at: grey | colour of each pair of files, each ``tile`` pixels wide."""
    if not pairs:
        raise ConfigError("a contact sheet needs at least one coloured picture; name some that can be read")
    rows = []
    for start in range(0, len(pairs), columns):
        cells = [cell for pair in pairs[start : start + columns] for cell in _side_by_side(*pair, tile)]
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
            f"{quoted(error.filename)} cannot be searched: {error.strerror}; make it readable, or leave it out"
        ) from error

    for where, folders, files in os.walk(folder, onerror=refused):
        here = Path(where)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and not _same(here / name, out))
        found += [
            here / name for name in sorted(files) if Path(name).suffix.lower() in endings and not name.startswith(".")
        ]
    return found


def _name(folder: Path) -> str:
    return folder.name if folder.name not in ("", "..") else folder.resolve().name or "root"


def _suffix(source: Path, format: str | None) -> str:
    """The ending of the result: that of the format asked for, else of what the file really is."""
    if format is None:
        try:
            with source.open("rb") as file:
                format = recognised(file.read(16))
        except OSError:
            format = None  # it will fail with a reason when its turn comes
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
    grey = cv2.cvtColor(_thumbnail(before, tile - 8), cv2.COLOR_RGB2GRAY)
    return cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), _thumbnail(after, tile - 8)


def _thumbnail(path: Path, side: int) -> np.ndarray:
    """A picture brought to fit a square, read no larger than it must be: (h, w, 3) uint8."""
    try:
        encoded = path.read_bytes()
        if recognised(encoded) is None:
            raise ImageError(f"{quoted(path)} is not a picture we read and cannot be shown on the contact sheet")
        small = pyvips.Image.thumbnail_buffer(encoded, side, height=side, size="both").colourspace("srgb")
        if small.hasalpha():
            small = small.flatten(background=[255.0])
        return small.cast("uchar").numpy()
    except (pyvips.Error, OSError) as error:
        raise ImageError(f"{quoted(path)} cannot be shown on the contact sheet; read it again") from error
