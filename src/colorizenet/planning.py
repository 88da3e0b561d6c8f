"""Which photos are colorized, and the file of each result."""

import mimetypes
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from colorizenet.errors import ConfigError, ImageError, quote
from colorizenet.files import open_for_reading
from colorizenet.imaging.formats import FORMATS, Format, detect_format
from colorizenet.imaging.reading import MAX_PIXELS, open_image
from colorizenet.imaging.writing import choose_format
from colorizenet.journal import find_results

__all__ = [
    "SIDECAR_SUFFIX",
    "Done",
    "Job",
    "LeftOut",
    "SidecarMode",
    "choose_ending",
    "fit_format",
    "name_folder",
    "name_variants",
    "plan_jobs",
    "walk_photos",
]

SIDECAR_SUFFIX = ".colors.json"
"""What is added to the name of a result for the name of its sidecar."""

SidecarMode = Literal["also", "only"]
"""Whether sidecars are written along with the results, or in place of them."""


@dataclass(frozen=True)
class Job:
    """One photo to colorize, and where the results go."""

    source: Path
    targets: tuple[Path, ...]
    """One file for each answer that is wanted; mostly one."""
    format: str | None = None
    """Format of the results, a key of ``FORMATS``; None for that of the source."""
    reason: str = ""
    """Why that is not the format that was requested; empty where it is."""
    contact_sheet: Path | None = None
    """A file with the photo and all results side by side; None where none is wanted."""
    sidecar: SidecarMode | None = None
    """Whether a sidecar of each result is written; None: no."""

    @property
    def sidecars(self) -> tuple[Path, ...]:
        """The sidecar of each target; empty where none is wanted."""
        targets = self.targets if self.sidecar else ()
        return tuple(each.with_name(each.name + SIDECAR_SUFFIX) for each in targets)

    @property
    def files(self) -> tuple[Path, ...]:
        """Everything that is written: targets, sidecars and the contact sheet."""
        results = () if self.sidecar == "only" else self.targets
        return results + self.sidecars + ((self.contact_sheet,) if self.contact_sheet else ())

    @property
    def target(self) -> Path:
        """The first of the targets."""
        return self.targets[0]


@dataclass(frozen=True)
class Done:
    """The outcome of one job: written, skipped, or failed."""

    job: Job
    error: str | None = None
    """Why it failed, in one line; None where it did not."""
    skipped: Literal["", "exists", "in color"] = ""
    """Why nothing was written although nothing failed; empty otherwise."""
    width: int = 0
    """Width of the photo in pixels; 0 where it was not colorized."""
    height: int = 0
    """Height of the photo in pixels, of all pages together."""
    seconds: float = 0.0
    """Time from opening the source to the last result."""
    warnings: tuple[str, ...] = ()
    """What was lost or assumed, each in one line."""
    kept: tuple[Path, ...] = ()
    """Files of the job that somebody else had written, which were not replaced."""


@dataclass(frozen=True)
class LeftOut:
    """Something in a folder of photos that gets no job."""

    path: Path
    why: Literal["other format", "earlier result", "linked folder", "cannot be searched"]
    reason: str = ""
    """The reason of the system for a folder that cannot be searched."""


def plan_jobs(
    inputs: Sequence[Path],
    out: Path,
    *,
    format: str | None = None,
    suffix: str = "",
    variants: int = 1,
    sidecar: SidecarMode | None = None,
    max_pixels: int = MAX_PIXELS,
    left_out: list[LeftOut] | None = None,
) -> list[Job]:
    """Choose the target of each photo: files go into ``out``, folders are mirrored
    under it.

    Several folders keep their own names. A folder is searched to any depth for the file
    name extensions of ``FORMATS``; what lies under ``out`` is never an input. A photo
    that is named twice gets one job. No two targets are the same file, and none is an
    input. ``suffix`` is added to each name, before its extension. With more than one of
    ``variants``, a.jpg has the targets a-1.jpg, a-2.jpg, ... and the contact sheet
    a-variants.jpg. A target is PNG or TIFF where ``format`` cannot hold the result.
    ``sidecar`` is that of each job.

    Files of other formats, results of earlier runs in folders below the one that is
    named, linked folders, and folders that cannot be searched are added to
    ``left_out``. Without that list, the last are a ``ConfigError``.
    """
    skipped: list[LeftOut] = []
    # Not Path.is_dir, because names may be too long for stat.
    are_folders = [os.path.isdir(path) for path in inputs]  # noqa: PTH112
    are_several = sum(are_folders) > 1
    pairs: list[tuple[Path, Path]] = []
    for path, is_folder in zip(inputs, are_folders, strict=True):
        if is_folder:
            if _is_same(path, out):
                raise ConfigError(
                    f"{quote(path)} is both the input and the folder of the results; "
                    "choose another --out"
                )
            below = out / name_folder(path) if are_several else out
            pairs += [
                (found, below / found.relative_to(path))
                for photos in walk_photos(path, out, skipped)
                for found in photos
            ]
        else:
            pairs.append((path, out / path.name))
    for each in skipped if left_out is None else ():
        if each.why == "cannot be searched":
            raise ConfigError(
                f"{quote(each.path)} cannot be searched: {each.reason}; "
                "make it readable, or leave it out"
            )
    if left_out is not None:
        left_out += skipped
    unique: dict[str, tuple[Path, Path]] = {}
    for pair in pairs:
        unique.setdefault(os.path.abspath(pair[0]), pair)  # noqa: PTH100 (a link stays a link)
    pairs = list(unique.values())
    if suffix:
        pairs = [
            (source, wanted.with_name(f"{wanted.stem}{suffix}{wanted.suffix}"))
            for source, wanted in pairs
        ]

    def key(path: Path) -> str:
        # A file system may hold a.jpg and A.JPG to be the same file.
        return os.path.realpath(path).casefold()

    jobs: list[Job] = []
    taken = {key(source) for source, _ in pairs}
    fits = [fit_format(source, format, max_pixels) for source, _ in pairs]
    endings = [
        choose_ending(source, fit) for (source, _), (fit, _) in zip(pairs, fits, strict=True)
    ]
    short = Counter(
        key(wanted.with_suffix(ending)) for (_, wanted), ending in zip(pairs, endings, strict=True)
    )
    for (source, wanted), ending, (fit, reason) in zip(pairs, endings, fits, strict=True):
        candidates = _list_names(wanted, ending)
        if short[key(wanted.with_suffix(ending))] > 1 and wanted.suffix != ending:
            next(candidates)  # which photo gets a name must not depend on their order
        targets, sheet = next(
            found
            for found in (name_variants(candidate, variants) for candidate in candidates)
            if taken.isdisjoint(map(key, (*found[0], found[1] or found[0][0])))
        )
        job = Job(source, targets, fit, reason, None if sidecar == "only" else sheet, sidecar)
        taken.update(map(key, (*targets, *job.files)))
        jobs.append(job)
    return jobs


def walk_photos(folder: Path, out: Path, left_out: list[LeftOut]) -> Iterator[list[Path]]:
    """The photos of a folder and of each folder in it, except hidden files, ``out``,
    and results that an earlier run wrote into one of the folders in it.

    What gets no job is added to ``left_out``.
    """
    endings = {ending for format in FORMATS.values() for ending in format.suffixes}

    def note(error: OSError) -> None:
        reason = error.strerror or "unknown error"
        left_out.append(LeftOut(Path(error.filename), "cannot be searched", reason))

    results: set[Path] = set()
    for where, folders, files in os.walk(folder, onerror=note):
        here = Path(where)
        if here != folder:  # whoever names a folder of results wants them colorized
            results |= find_results(here)
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and not _is_same(here / name, out)
        )
        left_out += [
            LeftOut(here / name, "linked folder") for name in folders if (here / name).is_symlink()
        ]
        found: list[Path] = []
        for name in sorted(files):
            if name.startswith("."):
                continue
            if here / name in results:
                left_out.append(LeftOut(here / name, "earlier result"))
            elif Path(name).suffix.lower() in endings:
                found.append(here / name)
            elif not (mimetypes.guess_type(name)[0] or "").startswith("text/"):
                left_out.append(LeftOut(here / name, "other format"))
        yield found


def name_folder(folder: Path) -> str:
    """The name that a folder of photos has among the results, next to other folders."""
    return folder.name if folder.name not in ("", "..") else folder.resolve().name or "root"


def fit_format(source: Path, format: str | None, max_pixels: int) -> tuple[str | None, str]:
    """The format of a result, and why it is not the one that was requested.

    Most photos need only the first bytes, which tell the format that they have: the
    header is read here only where the requested format may not hold what that format
    can.
    """
    try:
        with open_for_reading(source) as file:
            found = detect_format(file.read(64) or b"")
        if found is None:
            return format, ""  # it fails, with a reason, when the worker opens it
        exceeded = FORMATS[found].exceeded
        if not exceeded and _holds(FORMATS[format or found], FORMATS[found], pages=found == "tiff"):
            return format or found, ""
        if format is None and FORMATS[found].written and not exceeded:
            return found, ""
        with open_image(source, max_pixels=max_pixels) as picture:
            fit = choose_format(picture, format)
            return fit.format, fit.reason
    except (OSError, ValueError, ImageError, MemoryError):
        return format, ""  # as above


def _holds(target: Format, source: Format, *, pages: bool) -> bool:
    """Whether one format holds every photo of another; ``pages``: of a TIFF file."""
    return (
        target.written
        and target.deep >= source.deep
        and target.alpha >= source.alpha
        and target.longest >= source.longest
        and (not pages or target is FORMATS["tiff"])
    )


def choose_ending(source: Path, format: str | None) -> str:
    """The extension of the result: the source's own where it fits the format."""
    if format is None or source.suffix.lower() in FORMATS[format].suffixes:
        return source.suffix
    return FORMATS[format].suffixes[0]


def _list_names(wanted: Path, ending: str) -> Iterator[Path]:
    """For a.jpg as PNG: a.png, or a.jpg.png if that is taken, or a.jpg.2.png, ..."""
    yield wanted.with_suffix(ending)
    yield wanted.with_name(f"{wanted.name}{ending}")
    for number in range(2, 1_000_000):
        yield wanted.with_name(f"{wanted.name}.{number}{ending}")


def name_variants(target: Path, count: int) -> tuple[tuple[Path, ...], Path | None]:
    """The targets of one photo, and its contact sheet if there are several."""
    if count == 1:
        return (target,), None
    stem, ending = target.stem, target.suffix
    targets = tuple(target.with_name(f"{stem}-{i}{ending}") for i in range(1, count + 1))
    return targets, target.with_name(f"{stem}-variants.jpg")


def _is_same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:  # one of them does not exist
        return path.absolute() == other.absolute()
