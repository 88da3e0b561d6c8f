"""What a client may demand of the server, and how much memory that takes."""

import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from colorizenet.errors import ConfigError
from colorizenet.imaging.reading import MAX_PIXELS
from colorizenet.merging import STREAM_ABOVE
from colorizenet.serving.errors import RequestError
from colorizenet.serving.messages import PhotoHeader
from colorizenet.variants import DRAWN_PIXELS, count_draws

__all__ = [
    "PHOTO_BYTES",
    "PROCESS_BYTES",
    "Limits",
    "Reading",
    "UsualDuration",
    "estimate_memory",
]

_LOCAL_BYTES = 4_000_000_000
"""Size of the largest file for a server that only this machine can reach, ..."""
_LOCAL_SECONDS = 3600.0
"""... how long a photo of so many bytes may take, ..."""
_LOCAL_HEADER_SECONDS = 60.0
"""... and how long its header, for which some of its bytes are read from the disk."""


_IDLE_BYTES = 200_000_000
"""What a process takes while it waits: libraries and models."""
PHOTO_BYTES = 400_000_000
"""What each process may always take for a photo. One of 8 megapixels takes less."""
PROCESS_BYTES = _IDLE_BYTES + PHOTO_BYTES
"""What a process takes at most for a photo that does not need more."""
_BYTES_PER_NETWORK_PIXEL = 640
_BYTES_PER_DRAWN_PIXEL = 120
"""A draw of a diffusion model takes so much for each pixel of the network input."""
_PIXELS_PER_TOKEN = 256
"""Its attention is between places at 1/16 of the size of the network input, ..."""
_BYTES_PER_TOKENS = 48
"""... and takes so much for each pair of them: four heads, and copies."""

_STRIPS_BYTES = 300_000_000
"""What a photo takes at most that is decoded in strips, or reduced."""
_HELD_PIXELS = 1 << 26
"""A photo of up to so many pixels is turned upright in memory, and its JPEG file is
optimized there, ..."""
_BYTES_PER_HELD_PIXEL = 9
"""... which takes so much for each pixel and each byte of a channel."""

_USUAL_COUNT = 3
"""Photos of a model that must have been finished before one can take too long."""
_USUAL_FACTOR = 30
"""A photo takes too long after so many times what its size usually takes, ..."""
_LEAST_SECONDS = 3.0
"""... and after so many seconds."""


def _half_of_memory() -> int:
    """Half of the memory of this machine or container, in bytes."""
    available = [8_000_000_000]
    if hasattr(os, "sysconf"):  # not on Windows
        available = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(path).read_text(encoding="ascii").strip()
        except OSError:
            continue
        available += [int(text)] if text.isdecimal() else []
    return min(available) // 2


Reading = Literal["whole", "strips", "preview"]
"""How a photo is decoded: as a whole, in strips, or reduced to a small picture."""


def estimate_memory(
    header: PhotoHeader,
    network_pixels: int,
    *,
    tta: bool,
    draws: bool = False,
    variants: int = 1,
    reading: Reading = "whole",
) -> int:
    """Bytes that a photo takes at most, by its header. ``network_pixels`` is the size
    of the network input of one page; pages pass the network one after another.
    ``draws``: whether the model takes noise. ``variants``: number of colorings."""
    larger = 25 / 16 if tta else 1  # each side is a quarter longer
    network = larger * network_pixels
    needed = _BYTES_PER_NETWORK_PIXEL * network
    if reading == "whole":
        needed += header.pixel_count * (3 * header.bytes_per_pixel + 12 * header.item_bytes)
        # Encoded pictures, and the ZIP file of them, are at most as large as their
        # pixels.
        needed += 2 * (variants - 1) * header.pixel_count * header.bytes_per_pixel
    elif reading == "strips":
        held = min(header.pixel_count, _HELD_PIXELS) * header.item_bytes
        needed += _STRIPS_BYTES + _BYTES_PER_HELD_PIXEL * held
    else:
        whole = 0 if header.streams else 3 * header.pixel_count * header.bytes_per_pixel
        needed += _STRIPS_BYTES + whole
    if draws:
        at_once = max(1, min(1 + count_draws(variants), DRAWN_PIXELS // network_pixels))
        tokens = network / _PIXELS_PER_TOKEN
        needed += at_once * (_BYTES_PER_DRAWN_PIXEL * network + _BYTES_PER_TOKENS * tokens**2)
    return round(needed)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a client may demand of the server."""

    max_bytes: int = 100_000_000
    """Size of the largest file that is accepted."""
    max_pixels: int = 100_000_000
    """Number of pixels of the largest photo that is decoded, according to its
    header."""
    max_pages: int = 20
    """Number of pages of a TIFF that is accepted."""
    concurrency: int = field(default_factory=lambda: (os.cpu_count() or 1) + 1)
    """Photos colorized at once, each by one process; at least 2."""
    queue: int = 32
    """Photos that may wait for a process. Small and large photos are counted
    separately."""
    memory: int | None = None
    """Bytes that all processes may take together; 0: any number. A photo that needs
    more than is left waits. None: half of the memory of this machine, or what the
    processes need to do anything."""
    timeout: float = 120.0
    """Seconds that a photo may take to arrive, and then again to be colorized."""
    idle_timeout: float = 15.0
    """Seconds for the headers of a request, between two parts of its body, and in which
    a client must read some of its response."""
    connections: int = 1024
    """Connections at once. At the limit, one without a request in work is closed."""
    header_timeout: float = 3.0
    """Seconds that the header of a photo may take to be read."""
    spool_bytes: int = 32_000_000
    """Photos and results of more bytes are files in the folder of the server."""
    stream_above: int = STREAM_ABOVE
    """Photos of more pixels are colorized in strips, and are never in memory as a
    whole."""
    large_pixels: int = 8_000_000
    """A photo with more pixels than this is large, and leaves one process to small
    ones."""
    large_network_pixels: int = 1_000_000
    """A photo is also large if its network inputs, of all pages, have more pixels."""

    def __post_init__(self) -> None:
        if self.concurrency < 2:
            raise ConfigError(
                f"concurrency is {self.concurrency}; give at least 2, "
                "one process for large photos and one for small ones"
            )
        least = self.processes * PROCESS_BYTES
        if self.memory and self.memory < least:
            raise ConfigError(
                f"the limit on memory is {self.memory:,} bytes and {self.processes} processes "
                f"need {least:,}; give more memory or a lower concurrency"
            )

    @classmethod
    def for_this_machine(cls) -> "Limits":
        """The limits of a server that only this machine can reach: those of the command
        line, and time for photos of that size."""
        return cls(
            max_bytes=_LOCAL_BYTES,
            max_pixels=MAX_PIXELS,
            timeout=_LOCAL_SECONDS,
            header_timeout=_LOCAL_HEADER_SECONDS,
        )

    @property
    def processes(self) -> int:
        """Number of processes: one more than photos in work, which reads the headers of
        those that wait."""
        return self.concurrency + 1

    @property
    def shared_memory(self) -> int | None:
        """Bytes that photos may take beyond ``PHOTO_BYTES`` each, all together; None:
        any number."""
        if self.memory == 0:
            return None
        least = self.processes * PROCESS_BYTES
        return (self.memory or max(_half_of_memory(), least)) - least

    def check_header(self, header: PhotoHeader) -> None:
        """Raise ``RequestError`` for a photo of too many pages or pixels."""
        height, width = header.shape
        if header.pages > self.max_pages:
            raise RequestError(
                413,
                "too-many-pages",
                f"the photo has {header.pages} pages and the limit is {self.max_pages}; "
                "send its pages one by one",
                values={"pages": header.pages, "limit": self.max_pages},
            )
        if header.pixel_count > self.max_pixels:
            pages = f"{header.pages} pages of " if header.pages > 1 else ""
            raise RequestError(
                413,
                "too-many-pixels",
                f"the photo has {pages}{width} x {height} pixels and the limit is "
                f"{self.max_pixels:,}; use a smaller photo",
                values={"pixels": header.pixel_count, "limit": self.max_pixels},
            )

    def make_size_error(self, size: int | None = None) -> RequestError:
        """Make the error for a file of more than ``max_bytes``. ``size`` is the number
        of its bytes, where that is known."""
        return RequestError(
            413,
            "too-many-bytes",
            f"the file is larger than the limit of {self.max_bytes:,} bytes; use a smaller file",
            values={"limit": self.max_bytes} | ({} if size is None else {"bytes": size}),
        )


class UsualDuration:
    """How long photos take with one model, to recognize one that takes far too long.

    A small file can be made to take minutes, and would keep others from being
    colorized until the time limit of the server, which large photos need.
    """

    def __init__(self) -> None:
        self._rate, self._count = 0.0, 0

    def add(self, cost: float, seconds: float) -> None:
        """Take a photo into account."""
        self._count += 1
        weight = max(0.05, 1 / self._count)
        self._rate += weight * (seconds / cost - self._rate)

    def limit(self, cost: float) -> float:
        """Seconds after which a photo is not a usual one; infinite at first."""
        if self._count < _USUAL_COUNT:
            return math.inf
        return max(_LEAST_SECONDS, _USUAL_FACTOR * self._rate * cost)
