"""A queue that colorizes the photos of many clients with a bounded number of threads.

Each photo is one job: one thread decodes, colorizes and encodes it. Large photos may
use all threads but one, so that small photos never wait behind large ones only. This
module knows nothing of HTTP but the status codes of ``RequestError``.
"""

import asyncio
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from anyio import CapacityLimiter

from colorizenet.colorizer import Colorizer
from colorizenet.errors import ConfigError, ImageError
from colorizenet.imaging.formats import FORMATS, detect_format
from colorizenet.imaging.image import Image
from colorizenet.imaging.reading import ImageFile, open_image
from colorizenet.imaging.writing import choose_format, encode_image
from colorizenet.options import Options, Output
from colorizenet.serving.errors import RequestError
from colorizenet.serving.metrics import STAGES, ServerMetrics

__all__ = ["ColorizeRequest", "ColorizedPhoto", "JobQueue", "Limits", "readable_formats"]

_BUFFER_FACTOR = 4
"""Photos in memory may have this many times ``Limits.max_bytes`` together."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a client may demand of the server."""

    max_bytes: int = 100_000_000
    """Size of the largest file that is accepted."""
    max_pixels: int = 100_000_000
    """Number of pixels of the largest photo that is decoded, according to its
    header."""
    concurrency: int = field(default_factory=lambda: (os.cpu_count() or 1) + 1)
    """Photos colorized at once, each by one thread; at least 2."""
    queue: int = 32
    """Photos that may wait for a thread. Small and large photos are counted
    separately."""
    timeout: float = 120.0
    """Seconds that a photo may take to arrive, and then again to be colorized."""
    idle_timeout: float = 15.0
    """Seconds for the headers of a request, and between two parts of its body."""
    large_pixels: int = 8_000_000
    """A photo with more pixels than this is large, and leaves one thread to small
    ones."""
    page_seconds: float = 3600.0
    """Seconds for which the page keeps uploads and results on the disk."""
    page_files: int = 20
    """Disk space for the page's uploads and results, in multiples of ``max_bytes``."""

    def __post_init__(self) -> None:
        if self.concurrency < 2:
            raise ConfigError(
                f"concurrency is {self.concurrency}; give at least 2, "
                "one thread for large photos and one for small ones"
            )

    @property
    def file_too_large(self) -> RequestError:
        """The error for a file of more than ``max_bytes``."""
        return RequestError(
            413,
            f"the file is larger than the limit of {self.max_bytes:,} bytes; use a smaller file",
        )


@dataclass(frozen=True, kw_only=True)
class ColorizeRequest:
    """How one photo is to be colorized and written, and by which model."""

    options: Options = Options()
    output: Output = Output()
    model: str | None = None
    """A key of ``JobQueue.models``; None is the default model."""


@dataclass(frozen=True, kw_only=True)
class ColorizedPhoto:
    """A finished photo and how long its stages took."""

    encoded: bytes
    """The bytes of the result's file."""
    format: str
    """Format of the result, a key of ``FORMATS``."""
    width: int
    height: int
    bits: int
    """Bits per channel: 8, 16 or 32."""
    seconds: Mapping[str, float]
    """Duration of the stages queue, decode, color and encode."""
    preview_before: bytes = b""
    """A small JPEG or WebP of the original; empty unless previews were requested."""
    preview_after: bytes = b""
    """A small JPEG or WebP of the result; empty unless previews were requested."""


class JobQueue:
    """The models of a server, the threads that run them, and the queue for the
    threads."""

    models: Mapping[str, Colorizer]
    """The models a client may choose from, by name."""
    limits: Limits
    default_model: str
    """The first name of ``models``."""
    metrics: ServerMetrics

    def __init__(self, models: Mapping[str, Colorizer], limits: Limits) -> None:
        self.models, self.limits = models, limits
        self.default_model = next(iter(models))
        self._threads = ThreadPoolExecutor(limits.concurrency, "colorize")
        self._running = CapacityLimiter(limits.concurrency)
        self._small = CapacityLimiter(limits.concurrency)
        self._large = CapacityLimiter(limits.concurrency - 1)
        self._buffered_bytes = 0
        self._mean_seconds = 0.5  # of a photo, updated with each one
        self.metrics = ServerMetrics(
            {
                "queue_length": ("Photos waiting for a thread", lambda: self.waiting),
                "in_progress": (
                    "Photos being colorized",
                    lambda: self._running.borrowed_tokens,
                ),
                "buffered_bytes": (
                    "Bytes of photos received and not yet answered",
                    lambda: self._buffered_bytes,
                ),
            }
        )

    @property
    def waiting(self) -> int:
        """Number of photos that wait for a thread."""
        limiters = (self._small, self._large, self._running)
        return sum(limiter.statistics().tasks_waiting for limiter in limiters)

    @contextmanager
    def count_bytes(self) -> Iterator[Callable[[int], None]]:
        """Count the bytes of a photo from their arrival until the photo is answered.

        Yields the function that adds a number of bytes; it raises ``RequestError``
        where a limit is exceeded.
        """
        received = 0

        def add(number: int) -> None:
            nonlocal received
            received += number
            self._buffered_bytes += number
            if received > self.limits.max_bytes:
                raise self.limits.file_too_large
            if self._buffered_bytes > _BUFFER_FACTOR * self.limits.max_bytes:
                raise self.overloaded("the server is receiving too many bytes at once")

        try:
            yield add
        finally:
            self._buffered_bytes -= received

    async def colorize(
        self, encoded: bytes, request: ColorizeRequest, *, preview: int | None = None
    ) -> ColorizedPhoto:
        """Colorize the bytes of one file. ``RequestError`` says why that is not
        possible.

        ``preview``: also make small copies of the original and the result, with sides
        of at most this many pixels. A cancelled call stops before the next stage.
        """
        outcome = "failed"
        try:
            async with asyncio.timeout(self.limits.timeout):
                photo = await self._enqueue(encoded, request, preview)
            outcome = "colorized"
            return photo
        except RequestError as error:
            outcome = "overloaded" if error.status == 503 else "rejected"
            raise
        except TimeoutError:
            outcome = "timeout"
            raise self.overloaded(
                f"the photo was not finished within the limit of {self.limits.timeout:g} s"
            ) from None
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        finally:
            self.metrics.photos.labels(outcome).inc()

    async def _enqueue(
        self, encoded: bytes, request: ColorizeRequest, preview: int | None
    ) -> ColorizedPhoto:
        if not encoded:
            raise RequestError(400, "this file is empty; choose another photo")
        file = await asyncio.to_thread(self._read_header, encoded)
        kind = self._large if file.pixel_count > self.limits.large_pixels else self._small
        started = time.perf_counter()
        job = object()
        await self._acquire_thread(job, kind)
        queued = time.perf_counter() - started
        cancelled = threading.Event()
        loop = asyncio.get_running_loop()
        future = self._threads.submit(self._run, file, request, preview, cancelled)
        # A thread cannot be stopped: it may run long after its job was cancelled.
        future.add_done_callback(
            lambda _: loop.call_soon_threadsafe(self._release_thread, job, kind)
        )
        try:
            photo = await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        self._mean_seconds += 0.1 * (sum(photo.seconds.values()) - self._mean_seconds)
        self.metrics.pixels.inc(file.pixel_count)
        seconds = {"queue": queued, **photo.seconds}
        for stage, duration in seconds.items():
            self.metrics.record_stage(stage, duration)
        return replace(photo, seconds=seconds)

    async def _acquire_thread(self, job: object, kind: CapacityLimiter) -> None:
        """Wait until one more photo of its kind may run, then until a thread is
        free."""
        waiting = kind.statistics().tasks_waiting
        full = self._running.available_tokens == 0 or kind.available_tokens == 0
        if full and waiting >= self.limits.queue:
            raise self.overloaded(
                f"the queue is full: {waiting} photos are waiting and the limit is "
                f"{self.limits.queue}"
            )
        await kind.acquire_on_behalf_of(job)
        try:
            await self._running.acquire_on_behalf_of(job)
        except asyncio.CancelledError:
            kind.release_on_behalf_of(job)
            raise

    def _release_thread(self, job: object, kind: CapacityLimiter) -> None:
        self._running.release_on_behalf_of(job)
        kind.release_on_behalf_of(job)

    def _read_header(self, encoded: bytes) -> ImageFile:
        """Open a file, and reject by its header alone what is not to be decoded."""
        found = detect_format(encoded)
        if found not in readable_formats():
            names = [name.upper() for name in readable_formats()]
            raise RequestError(
                415,
                f"the file is not a photo in a supported format; expected "
                f"{', '.join(names[:-1])} or {names[-1]}; convert it first",
            )
        try:
            file = open_image(encoded, max_pixels=sys.maxsize)
        except ImageError as error:
            raise RequestError(422, str(error)) from error
        if file.pixel_count > self.limits.max_pixels:
            height, width = file.shape
            pages = f"{file.pages} pages of " if file.pages > 1 else ""
            raise RequestError(
                413,
                f"the photo has {pages}{width} x {height} pixels and the limit is "
                f"{self.limits.max_pixels:,}; use a smaller photo",
            )
        return file

    def _run(
        self,
        file: ImageFile,
        request: ColorizeRequest,
        preview: int | None,
        cancelled: threading.Event,
    ) -> ColorizedPhoto:
        """Decode, colorize and encode one photo, in one of the threads."""
        times = [time.perf_counter()]

        def end_stage() -> None:
            times.append(time.perf_counter())
            if cancelled.is_set():
                raise RequestError(503, "the client has disconnected")

        output = request.output
        try:
            image = file.read()
            end_stage()
            colorizer = self.models[request.model or self.default_model]
            colorized = colorizer(image, request.options)
            if not output.provenance:
                colorized = replace(colorized, note="")
            end_stage()
            format = output.format or choose_format(colorized).format
            encoded = encode_image(colorized, format, quality=output.quality)
            before, after = (
                _encode_preview(each, preview) if preview else b"" for each in (image, colorized)
            )
            end_stage()
        except (ImageError, ConfigError) as error:
            raise RequestError(422, str(error)) from error
        except MemoryError as error:
            raise self.overloaded("the photo needs more memory than is free") from error
        height, width = image.pixels.shape[:2]
        return ColorizedPhoto(
            encoded=encoded,
            format=format,
            width=width,
            height=height,
            bits=8 * image.pixels.dtype.itemsize,
            seconds=dict(zip(STAGES[2:], np.diff(times).tolist(), strict=True)),
            preview_before=before,
            preview_after=after,
        )

    def overloaded(self, reason: str) -> RequestError:
        """The error for a request that may succeed later, with the time after which to
        retry."""
        rounds = math.ceil((self.waiting + 1) / self.limits.concurrency)
        wait = max(1, math.ceil(rounds * self._mean_seconds))
        return RequestError(503, f"{reason}; try again in {wait} s", retry_after=wait)

    def close(self) -> None:
        """Wait until the threads have finished what they began."""
        self._threads.shutdown()


def readable_formats() -> list[str]:
    """The formats that the server reads: those whose size libvips reads from the
    header."""
    return [name for name, kind in FORMATS.items() if kind.loader]


def _encode_preview(image: Image, side: int) -> bytes:
    """A small copy that any browser shows: JPEG, or WebP where there is
    transparency."""
    height, width = image.pixels.shape[:2]
    scale = min(1.0, side / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))

    def shrink(plane: np.ndarray) -> np.ndarray:
        largest = {"uint8": 255, "uint16": 65535}.get(plane.dtype.name, 1)
        bytes_ = plane if largest == 255 else (plane * (255 / largest)).astype(np.uint8)
        return cv2.resize(bytes_, size, interpolation=cv2.INTER_AREA)

    small = Image(shrink(image.pixels), None if image.alpha is None else shrink(image.alpha))
    return encode_image(small, "jpeg" if small.alpha is None else "webp", quality=88)
