"""A queue that colorizes the photos of many clients with a bounded number of processes.

Each photo is one job: one process reads its header, which decides how much work and
memory it needs, and then one process decodes, colorizes and encodes it. Large photos
may use all processes but one, so that small photos never wait behind large ones only.
This module knows nothing of HTTP but the status codes of ``RequestError``.
"""

import asyncio
import math
import time
from collections.abc import Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from anyio import CapacityLimiter, WouldBlock

from colorizenet.modelfile import NOISE, ModelCard
from colorizenet.serving.coloring import is_streamed, reduced_shape
from colorizenet.serving.errors import ProblemCode, RequestError, Values
from colorizenet.serving.folder import ServerFolder
from colorizenet.serving.limits import PHOTO_BYTES, Limits, Reading, UsualDuration, estimate_memory
from colorizenet.serving.memory import MemoryBudget
from colorizenet.serving.messages import (
    ColorizedPhoto,
    ColorizeMessage,
    ColorizeRequest,
    Content,
    Loader,
    OpenMessage,
    PhotoHeader,
    SuggestedColors,
    SuggestRequest,
)
from colorizenet.serving.metrics import ServerMetrics
from colorizenet.serving.processes import ProcessPool, WorkerProcess
from colorizenet.serving.storage import Storage, delete_file
from colorizenet.variants import choose_model, count_draws

__all__ = [
    "ColorizeRequest",
    "ColorizedPhoto",
    "JobQueue",
    "Limits",
    "ModelDescription",
    "SuggestRequest",
    "SuggestedColors",
]

_NETWORK_WEIGHT = 8
"""A pixel of the network input takes about as long as so many of the photo."""
_DRAW_WEIGHT = 3
"""The draw of a diffusion model takes about as long as so many passes of the network
that it started from."""

_REDUCED_WEIGHT = 8
"""So many pixels of a photo that is reduced while it is decoded take as long as one."""
_ENCODING_WEIGHTS = {"heic": 60, "avif": 40, "jxl": 10, "webp": 5}
"""A pixel in these formats takes about as long as so many of JPEG."""

AnyRequest = ColorizeRequest | SuggestRequest
T = TypeVar("T")


class ModelDescription(NamedTuple):
    """What clients learn about a model."""

    card: ModelCard
    sha256: str
    """SHA-256 of the model file."""


class Demand(NamedTuple):
    """What a photo needs."""

    large: bool
    """Whether it must leave one process to small photos."""
    memory: int
    """Bytes beyond ``PHOTO_BYTES``."""
    cost: float
    """Work, in pixels: of the photo, and those of the network input with a weight."""


class JobQueue:
    """The models of a server, the processes that run them, and the queue for the
    processes."""

    models: Mapping[str, ModelDescription]
    """The models a client may choose from, by name."""
    limits: Limits
    default_model: str
    """The first name of ``models``."""
    metrics: ServerMetrics
    folder: ServerFolder
    """Where temporary files are, until the queue is closed."""
    storage: Storage
    """The photos that arrive, and the results until they have been sent."""

    def __init__(self, loaders: Mapping[str, Loader], limits: Limits) -> None:
        self.limits = limits
        self.default_model = next(iter(loaders))
        with ThreadPoolExecutor() as pool:  # raises errors that only this process can report
            loaded = pool.map(lambda load: load(), loaders.values())
            self.models = {
                name: ModelDescription(each.card, each.sha256)
                for name, each in zip(loaders, loaded, strict=True)
            }
        self.folder = ServerFolder()
        self._pool = ProcessPool(loaders, limits.processes, self.folder.path)
        self._running = CapacityLimiter(limits.concurrency)
        self._small = CapacityLimiter(limits.concurrency)
        self._large = CapacityLimiter(limits.concurrency - 1)
        self._memory = MemoryBudget(limits.shared_memory)
        self.storage = Storage(self.folder.path, limits, self.overloaded)
        self._durations = {name: UsualDuration() for name in loaders}
        self._mean_seconds = 0.5  # of a photo, updated with each one
        self.metrics = ServerMetrics(
            {
                "queue_length": ("Photos waiting for a process", lambda: self.waiting),
                "in_progress": ("Photos in work", lambda: self._running.borrowed_tokens),
                "buffered_bytes": (
                    "Bytes of photos and results in memory",
                    lambda: self.storage.memory_bytes,
                ),
                "stored_bytes": (
                    "Bytes of photos and results on the disk",
                    lambda: self.storage.disk_bytes,
                ),
            },
            process_ids=lambda: self._pool.process_ids,
        )

    @property
    def waiting(self) -> int:
        """Number of photos that wait for a process or for memory."""
        limiters = (self._small, self._large, self._running)
        waiting = sum(limiter.statistics().tasks_waiting for limiter in limiters)
        return waiting + self._memory.waiting

    async def colorize(self, content: Content, request: ColorizeRequest) -> ColorizedPhoto:
        """Colorize one file. ``RequestError`` says why that is not possible.

        The result is to be sent within ``storage.hold``. A cancelled call stops within
        about a second.
        """
        photo = await self._count(self._enqueue(content, request), "colorized")
        assert isinstance(photo, ColorizedPhoto)
        return photo

    async def suggest(self, content: Content, request: SuggestRequest) -> SuggestedColors:
        """Find likely colors for a place of a photo; otherwise as ``colorize``."""
        colors = await self._count(self._enqueue(content, request), "suggested")
        assert isinstance(colors, SuggestedColors)
        return colors

    async def _count(self, work: Coroutine[Any, Any, T], finished: str) -> T:
        """Do some work within the time limit, and count its outcome."""
        outcome = "failed"
        try:
            async with asyncio.timeout(self.limits.timeout):
                result = await work
            outcome = finished
            return result
        except RequestError as error:
            if error.status != 500:
                outcome = "overloaded" if error.status == 503 else "rejected"
            raise
        except TimeoutError:
            outcome = "timeout"
            raise self.overloaded(
                f"the photo was not finished within the limit of {self.limits.timeout:g} s",
                "timeout",
                {"limit": self.limits.timeout},
            ) from None
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        finally:
            self.metrics.photos.labels(outcome).inc()

    async def _enqueue(
        self, content: Content, request: AnyRequest
    ) -> ColorizedPhoto | SuggestedColors:
        if not content:
            raise RequestError(400, "empty", "this file is empty; choose another photo")
        started = time.monotonic()
        job = object()
        photo = None
        async with self._pool.take() as process:
            header = await self._read_header(process, content, request)
            demand = self._judge(header, request)
            if self._acquire_at_once(job, demand):
                # The process that has read the header goes on with the photo.
                try:
                    photo = await self._work(process, request, demand, started)
                finally:
                    self._release(job, demand)
        if photo is None:
            await self._acquire(job, demand)
            try:
                async with self._pool.take() as process:
                    await self._read_header(process, content, request)
                    photo = await self._work(process, request, demand, started)
            finally:
                self._release(job, demand)
        self.metrics.pixels.inc(header.pixel_count)
        for stage, duration in photo.seconds.items():
            self.metrics.record_stage(stage, duration)
        return photo

    async def _read_header(
        self, process: WorkerProcess, content: Content, request: AnyRequest
    ) -> PhotoHeader:
        limit = self.limits.header_timeout
        first_page = isinstance(request, ColorizeRequest) and request.preview is not None
        message = OpenMessage(content, self._allow(0), first_page)
        try:
            return await self._pool.ask(process, message, limit)
        except TimeoutError:
            raise RequestError(
                422,
                "timeout",
                f"the header of the photo takes more than {limit:g} s to be read; "
                "write it again with another program",
                values={"limit": limit},
            ) from None

    async def _work(
        self,
        process: WorkerProcess,
        request: AnyRequest,
        demand: Demand,
        started: float,
    ) -> ColorizedPhoto | SuggestedColors:
        """Do what a request wants with the photo that a process has opened.
        ``started``: when the photo arrived."""
        queued = time.monotonic() - started
        model = self._find_model(request)
        message = ColorizeMessage(
            request,
            model,
            self._allow(demand.memory),
            target=self.storage.new_path(),
            spool_bytes=self.limits.spool_bytes,
            stream_above=self.limits.stream_above,
        )
        left = max(0.0, self.limits.timeout - queued)
        usual = self._durations[model].limit(demand.cost)
        try:
            photo = await self._pool.ask(process, message, min(left, usual))
        except BaseException as error:
            delete_file(message.target)
            if not isinstance(error, TimeoutError):
                raise
            if usual >= left:
                raise
            # Again, it would probably take as long.
            raise RequestError(
                503,
                "timeout",
                f"the photo was not finished within {usual:.1f} s, many times what photos of its "
                "size take; convert it, or use a smaller one",
                values={"limit": round(usual, 1)},
            ) from None
        seconds = sum(photo.seconds.values())
        # Suggestions take less, and so do previews of a photo that was decoded before.
        if isinstance(request, ColorizeRequest) and not request.preview:
            self._durations[model].add(demand.cost, seconds)
        self._mean_seconds += 0.1 * (seconds - self._mean_seconds)
        return replace(photo, seconds={"queue": queued, **photo.seconds})

    def _find_model(self, request: AnyRequest) -> str:
        """The name of the model that answers a request."""
        variants = request.variants if isinstance(request, ColorizeRequest) else 1
        return choose_model(request.model or self.default_model, variants, self.models)

    def _allow(self, more: int) -> int | None:
        """Bytes that a process may take for a photo."""
        return None if self._memory.total is None else PHOTO_BYTES + more

    def _judge(self, header: PhotoHeader, request: AnyRequest) -> Demand:
        """What a photo needs, by its header. Raises ``RequestError`` if that is too
        much."""
        limits = self.limits
        limits.check_header(header)
        card = self.models[self._find_model(request)].card
        options = request.options
        network = header.network_pixels(options.size or card.size, card.size_multiple)
        draws = card.takes(NOISE.name)
        variants, written = 1, header.pixel_count
        reading: Reading = "whole"
        format = request.output.format or header.format
        if isinstance(request, ColorizeRequest):
            variants = request.variants
            if request.preview:
                reading, format = "preview", request.output.format or "jpeg"
                height, width = reduced_shape(header.shape, request.preview)
                written = height * width
            elif self._is_streamed(header, format):
                reading = "strips"
        elif header.pixel_count > limits.stream_above:
            reading = "preview"
        memory = estimate_memory(
            header, network, tta=options.tta, draws=draws, variants=variants, reading=reading
        )
        more = max(0, memory - PHOTO_BYTES)
        if self._memory.total is not None and more > self._memory.total:
            raise RequestError(
                413,
                "too-much-memory",
                f"the photo needs up to {memory / 1e9:.1f} GB of memory with these settings and "
                f"the limit is {(self._memory.total + PHOTO_BYTES) / 1e9:.1f} GB; "
                f"use a smaller photo or size{', or fewer variants' if variants > 1 else ''}",
            )
        drawn = 1 + count_draws(variants) if draws else 0
        passes = (6 if options.tta else 1) * (1 + _DRAW_WEIGHT * drawn)
        runs = header.pages * network * passes
        if isinstance(request, ColorizeRequest) and request.variant is None:
            written *= variants
        if reading == "preview":
            written += header.pixel_count // _REDUCED_WEIGHT
        large = more > 0 or written > limits.large_pixels or runs > limits.large_network_pixels
        per_pixel = header.item_bytes * _ENCODING_WEIGHTS.get(format, 1)
        return Demand(large, more, per_pixel * written + _NETWORK_WEIGHT * runs)

    def _is_streamed(self, header: PhotoHeader, format: str) -> bool:
        """Whether a photo is never in memory as a whole."""
        in_rows = header.streams and format in ("jpeg", "png", "tiff")
        return in_rows and is_streamed(header.pixel_count, format, self.limits.stream_above)

    def _acquire_at_once(self, job: object, demand: Demand) -> bool:
        """Reserve what a photo needs if that is free; otherwise reserve nothing."""
        kind = self._large if demand.large else self._small
        try:
            kind.acquire_on_behalf_of_nowait(job)
        except WouldBlock:
            return False
        try:
            self._running.acquire_on_behalf_of_nowait(job)
        except WouldBlock:
            kind.release_on_behalf_of(job)
            return False
        if not self._memory.take_at_once(demand.memory):
            self._running.release_on_behalf_of(job)
            kind.release_on_behalf_of(job)
            return False
        return True

    async def _acquire(self, job: object, demand: Demand) -> None:
        """Wait until one more photo of its kind may run, then for memory, then until a
        process is free."""
        kind = self._large if demand.large else self._small
        waiting = kind.statistics().tasks_waiting
        if waiting >= self.limits.queue:
            raise self.overloaded(
                f"the queue is full: {waiting} photos are waiting and the limit is "
                f"{self.limits.queue}"
            )
        await kind.acquire_on_behalf_of(job)
        try:
            await self._memory.take(demand.memory)
            try:
                await self._running.acquire_on_behalf_of(job)
            except asyncio.CancelledError:
                self._memory.give_back(demand.memory)
                raise
        except asyncio.CancelledError:
            kind.release_on_behalf_of(job)
            raise

    def _release(self, job: object, demand: Demand) -> None:
        self._running.release_on_behalf_of(job)
        self._memory.give_back(demand.memory)
        (self._large if demand.large else self._small).release_on_behalf_of(job)

    def overloaded(
        self, reason: str, code: ProblemCode = "busy", values: Values | None = None
    ) -> RequestError:
        """The error for a request that may succeed later, with the time after which to
        retry."""
        rounds = math.ceil((self.waiting + 1) / self.limits.concurrency)
        wait = max(1, math.ceil(rounds * self._mean_seconds))
        values = {**(values or {}), "seconds": wait}
        detail = f"{reason}; try again in {wait} s"
        return RequestError(503, code, detail, values=values, retry_after=wait)

    def close(self) -> None:
        """End all processes, and delete their temporary files."""
        self._pool.close()
        self.folder.delete()
