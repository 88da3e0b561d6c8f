"""Model + picture -> picture: the public class."""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import overload

import cv2
import numpy as np

from colorizenet import color
from colorizenet.errors import ImageError
from colorizenet.images import Image
from colorizenet.modelfile import ModelCard, load_model
from colorizenet.upsample import EdgeUpsampler

__all__ = ["Colorizer"]

_STRIP_PIXELS = 1 << 17
"""Strips of about this many pixels, so that what is made of them stays in the cache."""


class Colorizer:
    """A loaded model. Build one and share it: calls are independent and thread-safe.

    ``model`` is the name of one inside the package or an ONNX file of ours; ``provider`` where
    ONNX Runtime runs it; ``threads`` 0 takes every core.
    """

    card: ModelCard
    """What the model says about itself."""
    sha256: str
    """Of the model's file."""

    def __init__(self, model: str | os.PathLike[str] = "default", *, provider: str = "cpu", threads: int = 0) -> None:
        loaded = load_model(model, provider=provider, threads=threads)
        self._session, self.card, self.sha256 = loaded.session, loaded.card, loaded.sha256
        self._threads = threads or os.cpu_count() or 1

    @overload
    def __call__(self, picture: Image, *, strength: float = 1.0, size: int | None = None) -> Image: ...
    @overload
    def __call__(self, picture: np.ndarray, *, strength: float = 1.0, size: int | None = None) -> np.ndarray: ...
    def __call__(
        self, picture: Image | np.ndarray, *, strength: float = 1.0, size: int | None = None
    ) -> Image | np.ndarray:
        """Colorize a picture of any size; only its lightness is read, and it is kept.

        An ``Image``, or an array (H, W) or (H, W, 3) of uint8, uint16 or floats in 0..1; the
        answer has the same height, width and depth, in sRGB. ``strength`` multiplies the chroma;
        ``size`` is the short side of what the network sees, by default what the model prefers.
        """
        if not 0 <= strength <= 2:
            raise ValueError(f"strength is {strength}; give a number from 0 (grey) over 1 to 2 (twice the chroma)")
        if isinstance(picture, Image):
            return picture.with_pixels(self._colorize(picture.pixels, strength, size))
        return self._colorize(_checked(picture), strength, size)

    def chroma(self, pixels: np.ndarray, *, size: int | None = None) -> np.ndarray:
        """The model's own answer: a* and b* of the reduced picture, (h, w, 2) float32."""
        height, width = network_size(pixels.shape[:2], size or self.card.size, self.card.size_multiple)
        small = color.lightness(resized(pixels, height, width)) / np.float32(self.card.l_scale)
        (ab,) = self._session.run(None, {"lightness": small[None, None]})
        return np.moveaxis(np.asarray(ab)[0], 0, -1) * np.float32(self.card.ab_scale * self.card.strength)

    def _colorize(self, pixels: np.ndarray, strength: float, size: int | None) -> np.ndarray:
        ab = self.chroma(pixels, size=size) * np.float32(strength)
        l_small = color.lightness(resized(pixels, *ab.shape[:2]))
        height, width = pixels.shape[:2]
        upsampler = EdgeUpsampler(ab, l_small, (height, width))
        result = np.empty((height, width, 3), pixels.dtype)

        def merge(top: int) -> None:
            l_star = color.lightness(pixels[top : top + rows])
            result[top : top + rows] = color.compose(l_star, upsampler.rows(l_star, top), result.dtype)

        rows = max(1, _STRIP_PIXELS // width)
        with ThreadPoolExecutor(self._threads) as pool:
            for _ in pool.map(merge, range(0, height, rows)):
                pass
        return result


def network_size(shape: tuple[int, int], short: int, multiple: int) -> tuple[int, int]:
    """Height and width of what the network sees: the short side brought to ``short``, the aspect kept,
    both rounded to ``multiple``. Long pictures get less: the area is at most about twice a square's."""
    area = 2 * short**2
    scale = min(short / min(shape), (area / (shape[0] * shape[1])) ** 0.5)
    height, width = (max(multiple, round(side * scale / multiple) * multiple) for side in shape)
    longest = max(multiple, area // min(height, width) // multiple * multiple)
    return min(height, longest), min(width, longest)


def resized(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Down by area, up by cubic interpolation."""
    shrinks = height * width < pixels.shape[0] * pixels.shape[1]
    resized = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return resized if resized.dtype.kind == "u" else np.clip(resized, 0, 1)


def _checked(array: np.ndarray) -> np.ndarray:
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3) or 0 in array.shape:
        raise ImageError(f"an array of shape {array.shape} is no picture; give (H, W) or (H, W, 3)")
    if array.dtype in (np.uint8, np.uint16):
        return array
    if array.dtype in (np.float32, np.float64):
        if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
            raise ImageError("a picture of floats has values outside 0..1 or not finite; scale it to 0..1")
        return array
    raise ImageError(f"a picture of {array.dtype} is not understood; give uint8, uint16, or float32 or float64 in 0..1")
