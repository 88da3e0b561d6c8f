"""Colorize many photos: an engine runs a ``Worker`` on each ``Job``.

A result appears whole or not at all. Photos are redone only if they, the model or a
setting changed (see ``journal``); files the tool did not write are never overwritten. A
file that fails does not stop the others.
"""

import dataclasses
import json
import os
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from threading import RLock
from typing import Any, BinaryIO, cast

import cv2
import pyvips

from colorizenet import __version__
from colorizenet.colorizer import Chroma, Colorizer
from colorizenet.errors import ColorizeNetError, ConfigError, ImageError, explain_write_error, quote
from colorizenet.files import compute_sha256, open_atomically, open_for_reading, sync_folder
from colorizenet.imaging.contact_sheet import draw_contact_sheet
from colorizenet.imaging.formats import FORMATS, find_format
from colorizenet.imaging.image import Image
from colorizenet.imaging.reading import MAX_PIXELS, ImageFile, open_image
from colorizenet.imaging.toning import is_colored
from colorizenet.imaging.warnings import list_losses
from colorizenet.imaging.writing import choose_format, encode_image
from colorizenet.journal import Journal, read_fingerprint
from colorizenet.merging import STREAM_ABOVE, STRIP_PIXELS, describe_colors
from colorizenet.options import Hint, Options, Output
from colorizenet.parallel import limit_opencv_threads, map_ordered
from colorizenet.planning import Done, Job
from colorizenet.sidecar import Sidecar, round_chroma
from colorizenet.signing import SigningKey, describe_origin

__all__ = [
    "Done",
    "Engine",
    "Worker",
    "colorize",
    "run_threads",
]

_LOADING = RLock()
"""Held while a worker loads its model or journal, so that threads load them once."""


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
    signing: SigningKey | None = None
    """Key that signs the results; None: they are not signed."""
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
        started = time.perf_counter()
        try:
            if not self.overwrite:
                self._check_source(job)
            if self.is_finished(job):
                return Done(job, skipped="exists")
            # A photo that changes while it is in work is colorized again by the next
            # run.
            fingerprint = read_fingerprint(job.source) if job.source.exists() else None
            with open_image(job.source, max_pixels=self.max_pixels) as file:
                done = self._colorize(job, file, fingerprint)
        except ImageError as error:
            return Done(job, error=str(error))
        except ColorizeNetError:
            raise  # the model or a setting: no photo could be colorized
        except OSError as error:  # it was moved away while it was in work
            name = quote(error.filename or job.source)
            return Done(job, error=f"{name} cannot be read any more: {error.strerror}; try again")
        except Exception as error:
            if not _is_of_library(error):  # whose errors have no common base
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
        if (journal := self._opened_journal) is None:
            return all(path.exists() for path in job.files)
        own = self.describe_job(job)
        return all(journal.is_finished(job.source, path, own) for path in job.files)

    def keeps(self, path: Path) -> bool:
        """Whether a file of somebody else has this name, and is not to be replaced."""
        journal = self._opened_journal
        return not self.overwrite and (journal.is_foreign(path) if journal else path.exists())

    def _check_source(self, job: Job) -> None:
        """Raise ``ImageError`` where the result of another photo has the name."""
        if (journal := self._opened_journal) is not None:
            for path in job.files:
                if other := journal.find_other_source(job.source, path):
                    raise ImageError(
                        f"{quote(path)} is the result of {quote(other)}; choose another --out "
                        f"for {quote(job.source)}, or add --overwrite"
                    )

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
                **({"signer": self.signing.fingerprint} if self.signing else {}),
            },
            default=float,  # numbers of NumPy
        )

    def describe_job(self, job: Job) -> str:
        """What the results of this photo alone depend on, for the journal: its hints,
        the number of its variants if there are several, and whether it has a sidecar.
        Empty if there is nothing."""
        own = self.hints.get(job.source, ())
        objects = [dataclasses.asdict(hint) for hint in Options(hints=own).hints]
        hints = json.dumps(objects, default=float) if own else ""
        more: dict[str, Any] = {"variants": len(job.targets)} if len(job.targets) > 1 else {}
        if job.sidecar:
            more["rounded"] = True  # as the colors in a sidecar are
        return hints + (json.dumps(more) if more else "")

    def _make_options(self, job: Job) -> Options:
        """The options of one photo."""
        return replace(self.options, hints=self.options.hints + self.hints.get(job.source, ()))

    @cached_property
    def _loaded_colorizer(self) -> Colorizer:
        return Colorizer(self.model, device=self.device, threads=self.threads)

    @property
    def _opened_journal(self) -> Journal | None:
        """The journal, read on first use; None where there is none."""
        with _LOADING:
            return self._loaded_journal

    @cached_property
    def _loaded_journal(self) -> Journal | None:
        return None if self.journal is None else Journal(self.journal, self.journal_key)

    def _colorize(self, job: Job, file: ImageFile, fingerprint: list[int] | None) -> Done:
        warnings: list[str] = list(file.warnings)
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
        note = describe_colors(options, self.output)
        reduced = self.colorizer.reduce(picture, options)
        colored = any(is_colored(page) for page in reduced.pages)
        if colored and self.skip_color:
            return Done(job, skipped="in color", warnings=tuple(warnings))
        advice = "--skip-color leaves such photos out"
        warnings += list_losses(file, format, colored=colored, note=note, advice=advice)
        answers = self.colorizer.predict(reduced, options, count=len(job.targets))
        if job.sidecar:
            answers = [round_chroma(chroma, options) for chroma in answers]
        source = compute_sha256(job.source) if job.sidecar or self.signing else ""
        written: dict[Path, bool] = {}
        write = partial(self._write, job, fingerprint)
        for number, (target, chroma) in enumerate(zip(job.targets, answers, strict=True)):
            if job.sidecar != "only":
                write_result = self._make_writer(job, picture, chroma, format, options, source)
                written[target] = write(target, write_result)
            if job.sidecar:
                sidecar = self._make_sidecar(job, chroma, format, options, source)
                if job.sidecar == "also" and written[target] and not self.signing:
                    sidecar = replace(sidecar, result_sha256=compute_sha256(target))
                encoded = sidecar.encode()
                path = job.sidecars[number]
                written[path] = write(path, lambda file, it=encoded: file.write(it))
        if job.contact_sheet:
            sheet = draw_contact_sheet(
                [(job.source, *job.targets)], columns=1, max_pixels=self.max_pixels
            )
            encoded = encode_image(sheet, "jpeg")
            written[job.contact_sheet] = write(job.contact_sheet, lambda file: file.write(encoded))
        kept = tuple(path for path, done in written.items() if not done)
        foreign = "was not written by colorizenet, and was not replaced"
        warnings += [f"{quote(path)} {foreign}" for path in kept]
        height, width = file.shape[0] * file.pages, file.shape[1]
        return Done(job, width=width, height=height, warnings=tuple(warnings), kept=kept)

    def _make_writer(
        self,
        job: Job,
        picture: ImageFile | Image,
        chroma: Chroma,
        format: str,
        options: Options,
        source: str,
    ) -> Callable[[BinaryIO], None]:
        """A function that writes a result to a file. ``source`` is the SHA-256 of the
        photo."""
        colorizer, signing = self.colorizer, self.signing

        def write(file: BinaryIO) -> None:
            colorizer.merger.write(
                file,
                picture,
                chroma,
                options,
                format=format,
                quality=self.output.quality,
                note=describe_colors(options, self.output),
                strip_pixels=self.strip_pixels,
            )

        def write_signed(file: BinaryIO) -> None:
            assert signing is not None
            origin = describe_origin(
                options,
                model=colorizer.card.name,
                model_sha256=colorizer.sha256,
                source_sha256=source,
            )
            with tempfile.TemporaryFile(dir=job.target.parent) as unsigned:
                write(cast(BinaryIO, unsigned))
                unsigned.seek(0)
                with open_for_reading(job.source) as original:
                    signing.sign(
                        cast(BinaryIO, unsigned), file, format, origin, original, job.source.name
                    )

        return write_signed if signing else write

    def _make_sidecar(
        self, job: Job, chroma: Chroma, format: str, options: Options, source: str
    ) -> Sidecar:
        """The sidecar of a result. ``source`` is the SHA-256 of the photo."""
        colorizer = self.colorizer
        return Sidecar(
            source=job.source.name,
            source_sha256=source,
            model=colorizer.card.name,
            model_sha256=colorizer.sha256,
            takes_hints=colorizer.card.takes("hints"),
            short=options.size or colorizer.card.size,
            multiple=colorizer.card.size_multiple,
            options=options,
            output=replace(self.output, format=format),
            chroma=chroma,
        )

    def _write(
        self,
        job: Job,
        fingerprint: list[int] | None,
        target: Path,
        write: Callable[[BinaryIO], Any],
    ) -> bool:
        """Let ``write`` write a whole file. False: a foreign one is kept instead."""
        if self.keeps(target):
            return False

        def record(temporary: Path) -> None:
            if (journal := self._opened_journal) is not None:
                own = self.describe_job(job)
                journal.record(job.source, target, temporary, own, fingerprint=fingerprint)

        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with open_atomically(target, record, durable=False) as file:
                write(file)
        except OSError as error:
            raise ImageError(explain_write_error(target, error)) from error
        return True


def _is_of_library(error: Exception) -> bool:
    """Whether an error is about memory, or of libvips, OpenCV or ONNX Runtime."""
    return isinstance(error, MemoryError | pyvips.Error | cv2.error) or type(
        error
    ).__module__.startswith("onnxruntime")


Engine = Callable[[Iterable[Job], Worker], Generator[Done]]
"""Runs a worker on each job and yields the outcomes in the order of the jobs."""


def run_threads(jobs: Iterable[Job], worker: Worker, *, workers: int = 1) -> Generator[Done]:
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


def colorize(
    photo: str | os.PathLike[str],
    result: str | os.PathLike[str],
    *,
    model: str | os.PathLike[str] = "default",
    overwrite: bool = False,
    **options: Any,
) -> None:
    """Colorize a photo of any size into a file, whole or not at all.

    The extension of ``result`` chooses its format. ``options`` are fields of
    ``Options``: ``colorize("1921.jpg", "1921-color.jpg", strength=1.2)``. For several
    photos, use one ``Worker`` or ``Colorizer``, which loads the model once. Raises
    ``ImageError``, and ``ConfigError`` where ``result`` exists and is not to be
    overwritten.
    """
    source, target = Path(photo), Path(result)
    if target.exists() and source.exists() and target.samefile(source):
        raise ConfigError(f"{quote(target)} is the photo itself; name another file")
    if target.exists() and not overwrite:
        raise ConfigError(f"{quote(target)} exists already; name another file, or use overwrite")
    format = find_format(target.suffix)
    if format is None or not FORMATS[format].written:
        written = ", ".join(each.suffixes[0] for each in FORMATS.values() if each.written)
        raise ConfigError(f"{quote(target)} has no known extension; use one of {written}")
    threads = os.cpu_count() or 1
    worker = Worker(model=model, threads=threads, options=Options(**options), overwrite=True)
    done = worker(Job(source, (target,), format))
    sync_folder(target.parent)
    if done.error:
        raise ImageError(done.error)
