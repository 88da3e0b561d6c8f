"""Colorize many photos: an engine runs a ``Worker`` on each ``Job``.

A result appears whole or not at all. Photos are redone only if they, the model or a
setting changed (see ``journal``); files the tool did not write are never overwritten. A
file that fails does not stop the others.
"""

import dataclasses
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from threading import RLock
from typing import Any, BinaryIO, Literal

import cv2
import pyvips

from colorizenet import __version__
from colorizenet.colorizer import Chroma, Colorizer
from colorizenet.errors import ColorizeNetError, ImageError, quote
from colorizenet.files import open_atomically, sync_folder
from colorizenet.imaging.contact_sheet import draw_contact_sheet
from colorizenet.imaging.formats import FORMATS
from colorizenet.imaging.image import Image
from colorizenet.imaging.reading import MAX_PIXELS, ImageFile, open_image
from colorizenet.imaging.toning import is_colored
from colorizenet.imaging.warnings import list_losses
from colorizenet.imaging.writing import choose_format, encode_image, encode_strips
from colorizenet.journal import Journal
from colorizenet.options import Hint, Options, Output
from colorizenet.parallel import limit_opencv_threads, map_ordered
from colorizenet.planning import Job

__all__ = [
    "Done",
    "Engine",
    "Worker",
    "configure_libvips",
    "run_threads",
]

STREAM_ABOVE = 32_000_000
"""Photos of more pixels are colorized in strips and are never in memory as a whole."""

STRIP_PIXELS = 1 << 19
"""Pixels of a strip: few hand-overs between threads, which take turns for them."""

_LOADING = RLock()
"""Held while a worker loads its model or journal, so that threads load them once."""


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


@dataclass(frozen=True, kw_only=True)
class Worker:
    """Colorizes one job after another, from any thread. Never raises ``ImageError``.

    A worker can be pickled and sent to another process: it then holds settings only,
    and loads its model there on first use.
    """

    model: str | os.PathLike[str] = "default"
    """Name of a model inside the package, or path of an ONNX file."""
    device: str = "cpu"
    """Device that runs the network, as ``Colorizer`` takes it."""
    threads: int = 1
    """CPU threads for each photo."""
    options: Options = Options()
    hints: Mapping[Path, tuple[Hint, ...]] = field(default_factory=dict)
    """Hints of single photos by their source, in addition to those of ``options``."""
    output: Output = Output()
    """Quality and provenance of the results. Their format is that of the job."""
    max_pixels: int = MAX_PIXELS
    """Photos of more pixels fail before they are decoded."""
    overwrite: bool = False
    """Whether files that exist are replaced."""
    skip_color: bool = False
    """Whether photos that are already in color are left out."""
    journal: Path | None = None
    """Folder whose journal says what is finished; None skips every file that exists."""
    stream_above: int = STREAM_ABOVE
    """Number of pixels above which a photo is colorized in strips."""
    strip_pixels: int = STRIP_PIXELS
    """Number of pixels of a strip."""

    def __getstate__(self) -> dict[str, Any]:
        """The settings, without the loaded model and journal."""
        return {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}

    def __call__(self, job: Job) -> Done:
        """Colorize a photo and write the results.

        The engine calls ``files.sync_folder`` on the folders of the results at the end.
        """
        if self.is_finished(job):
            return Done(job, skipped="exists")
        started = time.perf_counter()
        try:
            with open_image(job.source, max_pixels=self.max_pixels) as file:
                done = self._colorize(job, file)
        except ImageError as error:
            return Done(job, error=str(error))
        except ColorizeNetError:
            raise  # the model or a setting: no photo could be colorized
        except Exception as error:
            # A broad except: the errors of libvips, OpenCV and ONNX Runtime, mostly
            # about memory, have no common base.
            if not _is_of_library(error):
                raise
            return Done(
                job,
                error=f"{quote(job.source)} needs more memory than there is, or cannot be "
                f"processed ({type(error).__name__}); reduce it, or use --jobs 1",
            )
        return replace(done, seconds=time.perf_counter() - started)

    def is_finished(self, job: Job) -> bool:
        """Whether the results of a job exist and are to be left as they are."""
        if self.overwrite:
            return False
        if self.journal is None:
            return all(path.exists() for path in job.files)
        with _LOADING:
            journal = self._loaded_journal
        own = self._describe(job)
        return all(journal.is_finished(job.source, path, own) for path in job.files)

    @property
    def colorizer(self) -> Colorizer:
        """The model, loaded on first use (``ModelFileError``, ``DeviceError``)."""
        with _LOADING:
            return self._loaded_colorizer

    @property
    def journal_key(self) -> str:
        """Everything that all results depend on, as JSON."""
        return json.dumps(
            {
                "version": __version__,
                "model": self.colorizer.sha256,
                **dataclasses.asdict(self.options),
                **dataclasses.asdict(self.output),
            },
            default=float,  # numbers of NumPy
        )

    def _describe(self, job: Job) -> str:
        """What the results of this photo alone depend on, for the journal: its hints,
        and the number of its variants if there are several. Empty if there is
        nothing."""
        own = self.hints.get(job.source, ())
        objects = [dataclasses.asdict(hint) for hint in Options(hints=own).hints]
        hints = json.dumps(objects, default=float) if own else ""
        count = len(job.targets)
        return hints + (json.dumps({"variants": count}) if count > 1 else "")

    def _make_options(self, job: Job) -> Options:
        """The options of one photo."""
        return replace(self.options, hints=self.options.hints + self.hints.get(job.source, ()))

    @cached_property
    def _loaded_colorizer(self) -> Colorizer:
        return Colorizer(self.model, device=self.device, threads=self.threads)

    @cached_property
    def _loaded_journal(self) -> Journal:
        assert self.journal is not None
        return Journal(self.journal, self.journal_key)

    def _colorize(self, job: Job, file: ImageFile) -> Done:
        warnings = list(file.warnings)
        fit = choose_format(file, job.format)
        if job.format and fit.reason:
            raise ImageError(
                f"{quote(job.source)} cannot be written as {job.format}: {fit.reason}; "
                f"choose {fit.format}"
            )
        format = fit.format
        whole_only = not FORMATS[format].saver  # libvips does not write it
        streamed = file.pixel_count > self.stream_above and not whole_only
        picture = file if streamed else file.read()
        options = self._make_options(job)
        note = self.colorizer.provenance_note(options) if self.output.provenance else ""
        reduced = self.colorizer.reduce(picture, options)
        colored = any(is_colored(page) for page in reduced.pages)
        if colored and self.skip_color:
            return Done(job, skipped="in color", warnings=tuple(warnings))
        advice = "--skip-color leaves such photos out"
        warnings += list_losses(file, format, colored=colored, note=note, advice=advice)
        answers = self.colorizer.predict(reduced, options, count=len(job.targets))
        for target, chroma in zip(job.targets, answers, strict=True):
            self._write_result(job, target, picture, chroma, format, options, note)
        if job.contact_sheet:
            sheet = draw_contact_sheet([(job.source, *job.targets)], columns=1)
            encoded = encode_image(sheet, "jpeg")
            self._write(job, job.contact_sheet, lambda file: file.write(encoded))
        height, width = file.shape
        return Done(job, width=width, height=height * file.pages, warnings=tuple(warnings))

    def _write_result(
        self,
        job: Job,
        target: Path,
        picture: ImageFile | Image,
        chroma: Chroma,
        format: str,
        options: Options,
        note: str,
    ) -> None:
        quality = self.output.quality

        def write(file: BinaryIO) -> None:
            if isinstance(picture, ImageFile):
                rows = max(1, self.strip_pixels // picture.shape[1])
                strips = self.colorizer.apply_strips(picture, chroma, options, rows=rows)
                encode_strips(file, picture, strips, rows, format, quality=quality, note=note)
            else:
                image = self.colorizer.apply(picture, chroma, options)
                file.write(encode_image(replace(image, note=note), format, quality=quality))

        self._write(job, target, write)

    def _write(self, job: Job, target: Path, write: Callable[[BinaryIO], Any]) -> None:
        """Let ``write`` write a file of a job, whole or not at all."""

        def record(temporary: Path) -> None:
            if self.journal is not None:
                with _LOADING:
                    journal = self._loaded_journal
                journal.record(job.source, target, temporary, self._describe(job))

        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with open_atomically(target, record, durable=False) as file:
                write(file)
        except OSError as error:
            raise ImageError(
                f"{quote(target)} cannot be written: {error.strerror}; choose another --out"
            ) from error


def _is_of_library(error: Exception) -> bool:
    """Whether an error is about memory, or of libvips, OpenCV or ONNX Runtime."""
    return isinstance(error, MemoryError | pyvips.Error | cv2.error) or type(
        error
    ).__module__.startswith("onnxruntime")


Engine = Callable[[Iterable[Job], Worker], Iterator[Done]]
"""Runs a worker on each job and yields the outcomes in the order of the jobs."""


def run_threads(jobs: Iterable[Job], worker: Worker, *, workers: int = 1) -> Iterator[Done]:
    """Run a worker on each job, ``workers`` at a time, in threads of this process.

    Outcomes come in the order of the jobs. If the caller stops early, the photos that
    are being colorized are finished and the others are not begun.
    """
    folders: set[Path] = set()

    def run(job: Job) -> Done:
        folders.update(target.parent for target in job.targets)
        return worker(job)

    pool = ThreadPoolExecutor(workers)
    with limit_opencv_threads():
        try:
            yield from map_ordered(pool, run, jobs, 4 * workers)
        finally:
            pool.shutdown(cancel_futures=True)
            for folder in folders:  # once, because it takes as long as writing a small photo
                sync_folder(folder)


def configure_libvips(threads: int) -> None:
    """Set up libvips for many photos: ``threads`` for each, and no cache."""
    pyvips.concurrency_set(threads)  # pyright: ignore[reportAttributeAccessIssue] (made at run time)
    pyvips.cache_set_max(0)
