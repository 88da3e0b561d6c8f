"""A process that colorizes one file at a time, watched for time and memory."""

import faulthandler
import multiprocessing
import os
import random
import resource
import time
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyvips

from colorizenet import batch
from colorizenet.errors import ImageError
from colorizenet.imaging.image import Image
from colorizenet.imaging.libvips import configure_process
from colorizenet.imaging.reading import ImageFile, open_image, read_rgb8
from colorizenet.merging import Merger
from colorizenet.options import Options
from colorizenet.planning import plan_jobs
from colorizenet.reduction import Reduced

__all__ = ["Outcome", "Supervisor"]

_MAX_PIXELS = 4_000_000
"""As with --max-pixels."""
_MESSAGES = "messages"
"""Name of the file of what decoders print."""
_HARMLESS = ("Tag won't be written to file", "compression support is not configured")
"""Ends of what libtiff says of tags that it does not know, and of other pages.

A page that is colorized and has such a compression would be refused.
"""
_FORMATS = (None, None, None, "jpeg", "png", "tiff", "webp")
"""The formats of results."""


@dataclass(frozen=True)
class Outcome:
    """What became of a file."""

    kind: Literal["colored", "refused", "finding"]
    reason: str = ""
    """Why it was refused, or which invariant it violates."""
    seconds: float = 0.0
    """Processor time."""
    memory: int = 0
    """Bytes of memory, at the most, beyond those of the idle process."""


class Supervisor:
    """Runs a process that colorizes files, without a network, and replaces it if it
    dies.

    The invariants are: a file ends in a result or in one ``ImageError``, within
    ``seconds`` of processor time and ``memory`` bytes; a result is whole, and no
    decoder reported an error on the way to it.
    """

    def __init__(self, folder: Path, *, seconds: float = 5.0, memory: int = 1 << 30) -> None:
        self._folder, self._seconds, self._memory = folder, seconds, memory
        (folder / "out").mkdir(parents=True, exist_ok=True)
        self._context = multiprocessing.get_context("spawn")
        self._process: Any = None
        self._pipe: Any = None

    def __enter__(self) -> "Supervisor":
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def colorize(self, name: str, content: bytes, rng: random.Random) -> Outcome:
        """Colorize a file in every way that ``rng`` chooses, and remove it again."""
        if self._process is None:
            self._start()
        path = self._folder / name
        path.write_bytes(content)
        try:
            outcome = self._wait(path.name, rng.choice(_FORMATS), rng.randrange(3) == 0)
        finally:
            path.unlink()
            for leftover in (self._folder / "out").iterdir():
                leftover.unlink()
        if outcome.kind == "finding":
            return outcome
        if outcome.seconds > self._seconds:
            return replace(outcome, kind="finding", reason=f"it took {outcome.seconds:.1f} s")
        if outcome.memory > self._memory:
            return replace(outcome, kind="finding", reason=f"it took {outcome.memory >> 20} MiB")
        return outcome

    def _start(self) -> None:
        self._pipe, child = self._context.Pipe()
        self._process = self._context.Process(
            target=_run_cases, args=(child, self._folder), daemon=True
        )
        self._process.start()
        child.close()

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
        self._process = None

    def _wait(self, name: str, format: str | None, streamed: bool) -> Outcome:
        """Wait for the outcome; the process is stopped where there will be none."""
        started, process = time.monotonic(), self._process
        before = _read_seconds(process.pid)
        try:
            self._pipe.send((name, format, streamed))
            while not self._pipe.poll(0.05):
                seconds, memory = _read_seconds(process.pid), _read_memory("VmRSS", process.pid)
                # Other programs may keep the processor busy for long.
                waited = time.monotonic() - started
                if seconds - before > 4 * self._seconds or waited > 60 * self._seconds:
                    self._stop()
                    return Outcome("finding", "it does not end", seconds - before, memory)
                if memory > 3 * self._memory:
                    self._stop()
                    return Outcome("finding", "it takes ever more memory", seconds - before, memory)
            return self._pipe.recv()
        except (EOFError, ConnectionError):
            process.join()
            status = process.exitcode
            self._stop()
            said = (self._folder / _MESSAGES).read_text(errors="replace")[-2_000:]
            return Outcome("finding", f"the process died with status {status}: {said}")


class _RedMerger(Merger):
    """Colors everything red."""

    def merge(self, picture: Image, chroma: None, options: Options, **_settings: Any) -> Image:
        pixels = picture.pixels if picture.pixels.ndim == 2 else picture.pixels[..., 0]
        half = pixels // 2 if pixels.dtype.kind == "u" else pixels
        return picture.with_pixels(np.dstack([pixels, half, half]))

    def merge_strips(
        self, file: ImageFile, chroma: None, options: Options, *, rows: int, **_settings: Any
    ):
        for _, _, pixels, alpha in file.read_strips(rows):
            gray = pixels if pixels.ndim == 2 else pixels[..., 0]
            yield np.dstack([gray] * 3 if alpha is None else [gray, gray, gray, alpha])


class _RedColorizer:
    """Stands for a ``Colorizer`` without a network."""

    merger = _RedMerger()

    def reduce(self, picture: Image | ImageFile, options: Options) -> Reduced:
        return Reduced(())

    def predict(self, picture: Reduced, options: Options, *, count: int) -> list[None]:
        return [None] * count


class _RedWorker(batch.Worker):
    @property
    def colorizer(self) -> Any:
        return _RedColorizer()


def _run_cases(pipe: Connection, folder: Path) -> None:
    """Colorize each file named on the pipe and send back the outcome."""
    messages = os.open(folder / _MESSAGES, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    os.dup2(messages, 2)
    faulthandler.enable()
    configure_process(1)
    read_rgb8(_make_first_file())  # what is loaded once is not counted
    while True:
        name, format, streamed = pipe.recv()
        os.ftruncate(messages, 0)
        before = _reset_peak()
        started = time.process_time()
        try:
            outcome = _run_case(folder / name, folder / "out", format, streamed)
        except BaseException as error:  # whatever it is, it is a finding
            outcome = Outcome("finding", f"raised {error!r}")
        seconds, memory = time.process_time() - started, _read_peak() - before
        pipe.send(replace(outcome, seconds=seconds, memory=memory))


def _make_first_file() -> bytes:
    image: Any = pyvips.Image.black(64, 64).jpegsave_buffer()
    return image


def _run_case(source: Path, out: Path, format: str | None, streamed: bool) -> Outcome:
    try:
        read_rgb8(source, min_side=32, max_pixels=_MAX_PIXELS)  # as training and evaluation do
    except ImageError as error:
        assert "\n" not in str(error)
    (job,) = plan_jobs([source], out, format=format, max_pixels=_MAX_PIXELS)
    pyvips.Error("")  # this empties the list of errors
    worker = _RedWorker(max_pixels=_MAX_PIXELS, stream_above=0 if streamed else _MAX_PIXELS)
    done = worker(job)
    reported = [
        line for line in pyvips.Error("").detail.splitlines() if not line.endswith(_HARMLESS)
    ]
    if done.error:
        assert "\n" not in done.error and len(done.error) < 2_000
        if "needs more memory than there is" in done.error:
            return Outcome("finding", done.error)
        if any(out.iterdir()):
            return Outcome("finding", f"left {[path.name for path in out.iterdir()]}")
        return Outcome("refused", done.error)
    if reported:
        return Outcome("finding", f"a result in spite of: {reported[0][:300]}")
    with open_image(job.target) as result:  # raises if the result is incomplete
        picture = result.read()
        shape = (result.shape[0] * result.pages, result.shape[1])
    if shape != (done.height, done.width) or picture.pixels.shape[:2] != shape:
        return Outcome("finding", f"a result of {shape} instead of {(done.height, done.width)}")
    if list(out.iterdir()) != [job.target]:
        return Outcome("finding", f"left {[path.name for path in out.iterdir()]}")
    return Outcome("colored")


def _reset_peak() -> int:
    """Start to measure the largest memory; return the current one, in bytes."""
    peak = Path("/proc/self/clear_refs")
    if not peak.exists():  # not Linux: the largest memory of all files so far
        return _read_peak()
    peak.write_text("5")
    return _read_memory("VmRSS", os.getpid())


def _read_peak() -> int:
    if Path("/proc/self/status").exists():
        return _read_memory("VmHWM", os.getpid())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _read_seconds(process: int) -> float:
    """Read the processor time of a process; 0 where the system does not state it."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _read_memory(field: str, process: int) -> int:
    """Read a size of memory of a process in bytes; 0 where the system states none."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith(field)), 0)
