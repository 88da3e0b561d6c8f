"""The configuration of libvips, and small conversions that its Python binding lacks.

Importing this module switches off every loader that the authors of libvips consider
unsafe for untrusted files. Call libvips only from modules that import this one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
import pyvips

from colorizenet.errors import quote
from colorizenet.memory import keep_freed_memory
from colorizenet.parallel import SharedLimit, limit_opencv_threads

__all__ = [
    "configure_process",
    "fix_encoding_threads",
    "from_array",
    "get_number",
    "is_out_of_memory",
    "limit_threads",
    "select_channels",
    "set_field",
    "shorten_error",
]

pyvips.block_untrusted_set(True)
# libvips logs warnings from its own threads. If Python ran its garbage collector inside
# the log handler, it could free pictures in the middle of libvips' work, which aborts
# the process. Everything that matters arrives as an error anyway.
pyvips._remove_log_handler()  # pyright: ignore[reportAttributeAccessIssue]


def from_array(array: np.ndarray) -> pyvips.Image:
    """Wrap an array ``(H, W, 1 to 4)`` as a libvips image, tagged as sRGB or gray."""
    image = pyvips.Image.new_from_array(np.ascontiguousarray(array))
    deep = array.dtype == np.uint16
    gray = array.shape[2] < 3
    return image.copy(
        interpretation=("grey16" if deep else "b-w") if gray else ("rgb16" if deep else "srgb")
    )


def get_number(image: pyvips.Image, field: str) -> int:
    """Return an integer field of a libvips image, or 1 where it has none."""
    found: Any = image.get(field) if image.get_typeof(field) else 1
    return int(found)


def set_field(image: pyvips.Image, kind: int, field: str, value: Any) -> pyvips.Image:
    """Return a copy of a libvips image with one field set."""
    copied = image.copy()
    copied.set_type(kind, field, value)
    return copied


def select_channels(image: pyvips.Image, channels: tuple[int, ...]) -> pyvips.Image:
    """Return an image of some of the channels, in their order; of all if one is
    missing."""
    if max(channels) >= image.bands:
        return image
    first, *others = (image.extract_band(channel) for channel in channels)
    following: Any = others
    return first.bandjoin(following) if others else first


def is_out_of_memory(error: pyvips.Error) -> bool:
    """Return whether libvips failed because it got no memory.

    libtiff says "Out of memory reading of" a tag that claims more than a file may hold.
    """
    text = f"{error.message} {error.detail}".lower()
    return "out of memory" in text.replace("out of memory reading of", "")


def shorten_error(error: pyvips.Error) -> str:
    """Return the first line of a libvips error; some repeat one line many times."""
    lines = [line.strip() for line in (error.detail or error.message).splitlines() if line.strip()]
    return quote(lines[0]) if lines else "no reason given"


_cached_pictures = SharedLimit(pyvips.cache_get_max, pyvips.cache_set_max, 0)
_vips: Any = pyvips  # has functions that are made at run time
fix_encoding_threads = SharedLimit(_vips.concurrency_get, _vips.concurrency_set, 4).limit
"""A context in which libvips has the same number of threads on every machine."""


@contextmanager
def limit_threads() -> Iterator[None]:
    """Let N threads that decode keep N cores busy, and cache no picture."""
    with _cached_pictures.limit(), limit_opencv_threads():
        yield


def configure_process(threads: int) -> None:
    """Set up a process for nothing but photos: ``threads`` for each, and no cache.

    OpenCV has one thread, as in ``batch.run_threads``, so that results are the same.
    """
    keep_freed_memory()
    cv2.setNumThreads(1)
    _vips.concurrency_set(threads)
    pyvips.cache_set_max(0)
