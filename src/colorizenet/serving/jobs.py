"""Coloring for many clients at once: who is next, how long anyone may take, and what it cost. No HTTP here.

Every place is one thread that takes one picture from bytes to bytes. Large pictures may have all
places but one, so that however many giants wait, the small ones go past them.
"""

import asyncio
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import pyvips
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from colorizenet.colorizer import Colorizer
from colorizenet.errors import ImageError
from colorizenet.imaging.formats import FORMATS, detect_format
from colorizenet.imaging.image import Image
from colorizenet.imaging.reading import read_image
from colorizenet.imaging.writing import choose_format, encode_image

__all__ = ["Choices", "Colored", "Limits", "Refusal", "Service"]

LARGE = 8_000_000
"""A picture of more pixels than this never gets the last place."""

_STAGES = ("receive", "queue", "decode", "color", "encode")
_BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much a client may ask for."""

    max_bytes: int = 100_000_000
    """Largest file taken."""
    max_pixels: int = 100_000_000
    """Largest picture decoded, by what its header claims."""
    concurrency: int = field(default_factory=lambda: (os.cpu_count() or 1) + 1)
    """Pictures worked on at once, each by one thread; at least 2, of which large pictures get all but one."""
    queue: int = 32
    """Pictures that may wait, small and large ones counted apart."""
    seconds: float = 120.0
    """How long a picture may take to arrive, and then to be colored."""

    def too_large(self) -> "Refusal":
        """Of a file, before or while it is read."""
        return Refusal(
            413,
            f"the file is larger than the {self.max_bytes:,} bytes that are taken here; send a smaller one",
        )


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What a client may choose."""

    strength: float = 1.0
    size: int | None = None
    format: str | None = None
    """A key of ``FORMATS``; None is that of the photograph."""
    model: str = "default"
    """A name that ``Service`` was given."""


@dataclass(frozen=True, kw_only=True)
class Colored:
    """A finished picture and what it took."""

    encoded: bytes
    format: str
    width: int
    height: int
    bits: int
    """Of each channel: 8 or 16."""
    seconds: Mapping[str, float]
    """Of each stage: queue, decode, color, encode."""
    before: bytes = b""
    """A small copy of the photograph, for a screen; empty unless asked for."""
    after: bytes = b""


class Refusal(Exception):
    """A request that is not served, in words for the client and with the HTTP status that says the same."""

    def __init__(self, status: int, detail: str, *, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.retry_after = status, detail, retry_after


class Service:
    """Models, places and figures of one server. ``models``: what clients may name; the first is the default."""

    def __init__(self, models: Mapping[str, Colorizer], limits: Limits) -> None:
        if limits.concurrency < 2:
            raise ValueError(
                f"concurrency is {limits.concurrency}; large pictures need one place and small ones one"
            )
        self.models, self.limits = models, limits
        self.default = next(iter(models))
        self._pool = ThreadPoolExecutor(limits.concurrency, "color")
        self._places = asyncio.Semaphore(limits.concurrency)
        self._small, self._large = _Lane(limits.concurrency), _Lane(limits.concurrency - 1)
        self.working = 0
        self._held = 0
        self._typical = 0.5  # seconds a picture, learned as they pass

        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        named = {"namespace": "colorizenet", "registry": self.registry}
        self._stage = Histogram(
            "stage_seconds", "Seconds by stage", ["stage"], buckets=_BUCKETS, **named
        )
        self.requests = Counter("requests", "Requests answered", ["route", "status"], **named)
        self._pictures = Counter(
            "pictures", "Pictures sent, by what became of them", ["outcome"], **named
        )
        self._pixels = Counter("pixels", "Pixels colored", **named)
        for stage in _STAGES:
            self._stage.labels(stage)
        for name, told, number in (
            ("queue_length", "Pictures waiting for a place", lambda: self.waiting),
            ("in_progress", "Pictures being worked on", lambda: self.working),
            ("held_bytes", "Bytes of pictures received and not yet answered", lambda: self._held),
        ):
            Gauge(name, told, **named).set_function(number)

    @property
    def waiting(self) -> int:
        """Pictures that have none yet."""
        return self._small.waiting + self._large.waiting

    def took(self, stage: str, seconds: float) -> None:
        """Count what a stage of a request took, into the histogram."""
        self._stage.labels(stage).observe(seconds)

    @contextmanager
    def receiving(self) -> Iterator[Callable[[int], None]]:
        """Count the bytes of a picture as they arrive, until it is answered; the count may refuse."""
        held = 0

        def add(number: int) -> None:
            nonlocal held
            held += number
            self._held += number
            if held > self.limits.max_bytes:
                raise self.limits.too_large()
            if self._held > 4 * self.limits.max_bytes:
                raise self.busy("too many bytes are on their way here at once")

        try:
            yield add
        finally:
            self._held -= held

    async def colorize(
        self, encoded: bytes, choices: Choices, *, screen: int | None = None
    ) -> Colored:
        """Color the bytes of one file; ``Refusal`` says why not.

        ``screen``: also give copies of before and after, with sides of at most so many pixels.
        Cancel it, and what was not begun is not done.
        """
        try:
            async with asyncio.timeout(self.limits.seconds):
                done = await self._colorize(encoded, choices, screen)
            self._pictures.labels("colored").inc()
            return done
        except Refusal as refusal:
            self._pictures.labels("no place" if refusal.status == 503 else "refused").inc()
            raise
        except TimeoutError:
            self._pictures.labels("too slow").inc()
            raise self.busy(
                f"the picture was not done within {self.limits.seconds:g} s, which is all that one may take"
            ) from None

    async def _colorize(self, encoded: bytes, choices: Choices, screen: int | None) -> Colored:
        if not encoded:
            raise Refusal(
                400, "the request has no picture in it; send the bytes of one as its body"
            )
        pixels = await asyncio.to_thread(self._claimed, encoded)
        arrived = time.perf_counter()
        lane = self._large if pixels > LARGE else self._small
        await self._wait_for_a_place(lane)
        queued = time.perf_counter() - arrived
        abandoned = threading.Event()
        loop = asyncio.get_running_loop()
        running = self._pool.submit(self._work, encoded, choices, screen, abandoned)
        # The thread gives the place back, which may be long after its client left.
        running.add_done_callback(lambda _: loop.call_soon_threadsafe(self._leave, lane))
        try:
            done = await asyncio.wrap_future(running)
        except asyncio.CancelledError:
            abandoned.set()  # a thread cannot be stopped, but it looks up between stages
            raise
        self._typical += 0.1 * (sum(done.seconds.values()) - self._typical)
        self._pixels.inc(pixels)
        for stage, seconds in (("queue", queued), *done.seconds.items()):
            self.took(stage, seconds)
        return replace(done, seconds={"queue": queued, **done.seconds})

    async def _wait_for_a_place(self, lane: "_Lane") -> None:
        full = self._places.locked() or lane.places.locked()
        if full and lane.waiting >= self.limits.queue:
            raise self.busy(f"{lane.waiting} pictures are waiting already, and no more may")
        lane.waiting += 1
        try:
            await lane.places.acquire()
            try:
                await self._places.acquire()
            except asyncio.CancelledError:
                lane.places.release()
                raise
        finally:
            lane.waiting -= 1
        self.working += 1

    def _leave(self, lane: "_Lane") -> None:
        self.working -= 1
        self._places.release()
        lane.places.release()

    def _claimed(self, encoded: bytes) -> int:
        """The pixels that the header of a file claims; what we would not decode is refused by it."""
        found = detect_format(encoded)
        if (
            found is None or not FORMATS[found].loader
        ):  # what others than libvips read has no header to judge by
            taken = [name for name, kind in FORMATS.items() if kind.loader]
            raise Refusal(
                415, f"the file is not a picture that is read here; send {' or '.join(taken)}"
            )
        try:
            header = getattr(pyvips.Image, f"{FORMATS[found].loader}_buffer")(encoded)
        except pyvips.Error:
            raise Refusal(
                422, "the picture is damaged at its very start; get a whole copy of it"
            ) from None
        pixels = header.width * header.height
        if pixels > self.limits.max_pixels:
            raise Refusal(
                413,
                f"the picture has {header.width} x {header.height} pixels and the limit here is "
                f"{self.limits.max_pixels:,}; send a smaller one",
            )
        return pixels

    def _work(
        self, encoded: bytes, choices: Choices, screen: int | None, abandoned: threading.Event
    ) -> Colored:
        times = [time.perf_counter()]

        def stage_done() -> None:
            times.append(time.perf_counter())
            if abandoned.is_set():
                raise Refusal(503, "its client has left")

        try:
            image = read_image(encoded, max_pixels=self.limits.max_pixels)
            stage_done()
            colored = self.models[choices.model](
                image, strength=choices.strength, size=choices.size
            )
            stage_done()
            format = choices.format or choose_format(colored).format
            result = encode_image(colored, format)
            before, after = (
                _for_screen(each, screen) if screen else b"" for each in (image, colored)
            )
            stage_done()
        except ImageError as error:
            raise Refusal(422, str(error)) from error
        except MemoryError as error:
            raise self.busy("the picture needs more memory than is free") from error
        seconds = {
            name: end - start
            for name, start, end in zip(_STAGES[2:], times, times[1:], strict=False)
        }
        height, width = image.pixels.shape[:2]
        return Colored(
            encoded=result,
            format=format,
            width=width,
            height=height,
            bits=8 * image.pixels.dtype.itemsize,
            seconds=seconds,
            before=before,
            after=after,
        )

    def busy(self, why: str) -> Refusal:
        """A refusal that says when to try again."""
        turns = math.ceil((self.waiting + 1) / self.limits.concurrency)
        wait = max(1, math.ceil(turns * self._typical))
        return Refusal(503, f"{why}; try again in {wait} s", retry_after=wait)

    def close(self) -> None:
        """Wait for the threads to finish what they have begun."""
        self._pool.shutdown()


class _Lane:
    """Pictures of one kind: how many may be worked on, and who waits, first come first served."""

    def __init__(self, places: int) -> None:
        self.places = asyncio.Semaphore(places)
        self.waiting = 0


def _for_screen(image: Image, side: int) -> bytes:
    """A small copy that any browser shows: JPEG, or WebP where there is transparency."""
    height, width = image.pixels.shape[:2]
    scale = min(1.0, side / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))

    def small(plane: np.ndarray) -> np.ndarray:
        top = {"uint8": 255, "uint16": 65535}.get(plane.dtype.name, 1)
        eight = plane if top == 255 else (plane * (255 / top)).astype(np.uint8)
        return cv2.resize(eight, size, interpolation=cv2.INTER_AREA)

    copy = Image(small(image.pixels), None if image.alpha is None else small(image.alpha))
    return encode_image(copy, "jpeg" if copy.alpha is None else "webp", quality=88)
