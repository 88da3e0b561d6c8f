"""A photograph made small, for training: shrunk while it is decoded, then by Lanczos.

JPEG is decoded at 1/2, 1/4 or 1/8 of its size, which spares most of the work on a large
photograph. Everything becomes upright sRGB of 8 bits, ``(h, w, 3)`` uint8, on white where it
is transparent.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import pyvips
from jaxtyping import UInt8

from colorizenet.errors import ImageError, quote
from colorizenet.imaging.formats import FORMATS, detect_format
from colorizenet.imaging.reading import MAX_PIXELS, means_srgb
from colorizenet.parallel import limit_opencv_threads

__all__ = ["UNREADABLE", "Original", "as_jpeg", "one_thread_each", "reason"]

UNREADABLE = (ImageError, OSError, pyvips.Error, cv2.error, MemoryError)
"""What reading a picture, shrinking it and encoding it may raise; ``reason`` says it in a few words."""

_ROOM = 4 / 3
"""What decoding leaves to Lanczos at the least. Compared with Lanczos alone, ten whole photographs came to
45 dB at 256 px and 48 dB at 200 px with this room; without any, to 44 dB and 35 dB."""


class Original:
    """An encoded photograph, of which only the header was read."""

    def __init__(self, encoded: bytes) -> None:
        self._encoded, self._format = encoded, detect_format(encoded)
        self._whole = self._loaded()
        self.width: int = self._whole.width
        self.height: int = self._whole.height
        if self.width * self.height > MAX_PIXELS:
            raise ImageError(f"{self.width} x {self.height} is over {MAX_PIXELS:,} pixels")
        if self._whole.format not in ("uchar", "ushort"):
            raise ImageError(f"it has {self._whole.format} pixels and we read 8 and 16 bits")

    def shrunk(self, size: int) -> UInt8[np.ndarray, "h w 3"]:
        """The picture with a short side of ``size``, or of its own where that is less."""
        short = min(self.width, self.height)
        factor = max((factor for factor in (2, 4, 8) if short >= size * _ROOM * factor), default=1)
        small = self._loaded(factor) if factor > 1 and self._format == "jpeg" else self._whole
        if small.hasalpha():
            small = small.flatten(background=[65535.0 if small.format == "ushort" else 255.0])
        if short > size:
            across, down = (round(side * size / short) for side in (self.width, self.height))
            small = small.resize(
                across / small.width, vscale=down / small.height, kernel="lanczos3"
            )
        small = small.copy()
        small.set_type(
            pyvips.GValue.gint_type, "concurrency", 1
        )  # threads of libvips for this picture
        # It is decoded here, from top to bottom; what follows is no longer large.
        rgb = _to_srgb(small.copy_memory().autorot())
        if rgb.bands != 3:
            raise ImageError(f"it has {small.bands} channels that are no colors we know")
        return np.ascontiguousarray(rgb.numpy())

    def _loaded(self, factor: int = 1) -> pyvips.Image:
        if self._format is None and self._encoded.startswith(b"BM"):  # libvips does not read BMP
            bgr = cv2.imdecode(np.frombuffer(self._encoded, np.uint8), cv2.IMREAD_COLOR)
            if bgr is None:
                raise ImageError("it is a damaged BMP")
            return pyvips.Image.new_from_array(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)).copy(
                interpretation="srgb"
            )
        if self._format is None or not FORMATS[self._format].loader:
            raise ImageError(
                "it is not JPEG, PNG, TIFF, WebP, AVIF, GIF or BMP"
                if self._encoded
                else "it is empty"
            )
        options: dict[str, Any] = {"shrink": factor} if factor > 1 else {}
        # libjpeg only warns of data that is damaged in the middle
        options["fail_on"] = "warning" if self._format == "jpeg" else "error"
        loader = f"{FORMATS[self._format].loader}_buffer"
        return getattr(pyvips.Image, loader)(self._encoded, access="sequential", **options)


def as_jpeg(rgb: UInt8[np.ndarray, "h w 3"], quality: int) -> bytes:
    """A JPEG with all of its chroma (4:4:4)."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    written, encoded = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), options)
    if not written:
        raise ImageError(f"it would be {rgb.shape[1]} x {rgb.shape[0]}, which no JPEG holds")
    return encoded.tobytes()


def reason(error: Exception) -> str:
    """Why a picture cannot be used, on one line and without a path."""
    if isinstance(error, MemoryError):
        return "it needs more memory than there is"
    if isinstance(error, OSError):
        return quote(error.strerror or error)
    text = (error.detail or error.message) if isinstance(error, pyvips.Error) else str(error)
    return quote(
        next((line.strip() for line in text.splitlines() if line.strip()), "no reason given")
    )


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Let N threads that shrink pictures be N busy cores, and hold no picture that is done with."""
    before = pyvips.cache_get_max()
    pyvips.cache_set_max(0)
    try:
        with limit_opencv_threads():
            yield
    finally:
        pyvips.cache_set_max(before)


def _to_srgb(image: pyvips.Image) -> pyvips.Image:
    profile: Any = image.get("icc-profile-data") if image.get_typeof("icc-profile-data") else b""
    cmyk = image.interpretation == "cmyk"
    try:
        if cmyk or (profile and not _means_srgb(bytes(profile), image.bands)):
            return image.icc_transform("srgb", embedded=True, intent="relative", depth=8)
    except pyvips.Error:
        if cmyk:
            raise
        # a profile that is damaged, or for other channels: the picture is sound without
    return image.colourspace("srgb")


@lru_cache(maxsize=64)
def _means_srgb(profile: bytes, bands: int) -> bool:
    """Whether a profile changes nothing; that of most photographs does not, and applying it takes 4 ms."""
    return means_srgb(profile, bands)
