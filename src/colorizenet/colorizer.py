"""Model + picture -> picture: the public class."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import overload

import cv2
import numpy as np

from colorizenet import __version__, color
from colorizenet.errors import ImageError
from colorizenet.images import Image, Picture
from colorizenet.modelfile import ModelCard, load_model
from colorizenet.parallel import in_order
from colorizenet.upsample import EdgeUpsampler

__all__ = ["Colorizer"]

_STRIP_PIXELS = 1 << 17
"""What a thread colours at once: enough that a call is worth Python's lock, which it gives up and takes again, and
few enough that the planes fit the cache."""


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
    def __call__(
        self, picture: Image, *, strength: float = 1.0, size: int | None = None, tta: bool = False
    ) -> Image: ...
    @overload
    def __call__(
        self, picture: np.ndarray, *, strength: float = 1.0, size: int | None = None, tta: bool = False
    ) -> np.ndarray: ...
    def __call__(
        self, picture: Image | np.ndarray, *, strength: float = 1.0, size: int | None = None, tta: bool = False
    ) -> Image | np.ndarray:
        """Colorize a picture of any size; only its lightness is read, and it is kept.

        An ``Image``, or an array (H, W) or (H, W, 3) of uint8, uint16 or floats in 0..1; the
        answer has the same height, width and depth, in sRGB. ``strength`` multiplies the chroma;
        ``size`` is the short side of what the network sees, by default what the model prefers;
        ``tta`` asks the network four times (mirrored, and at another size) and takes the mean.
        """
        _check_strength(strength)
        if isinstance(picture, Image):
            pages = np.split(picture.pixels, picture.pages)
            coloured = [self._colorize(_checked(page), strength, size, tta) for page in pages]
            whole = coloured[0] if len(coloured) == 1 else np.concatenate(coloured)
            return replace(picture.with_pixels(whole), note=self.note)
        return self._colorize(_checked(picture), strength, size, tta)

    @property
    def note(self) -> str:
        """What a file of ours says about its colours."""
        return f"ColorizeNet {__version__}: colours reconstructed"

    def chroma(self, pixels: np.ndarray, *, size: int | None = None, tta: bool = False) -> np.ndarray:
        """The model's own answer: a* and b* of the reduced picture, (h, w, 2) float32."""
        shape = network_size(pixels.shape[:2], size or self.card.size, self.card.size_multiple)
        return self._predicted(resized(pixels, *shape), tta)

    def strips(
        self, picture: Picture, rows: int, *, strength: float = 1.0, size: int | None = None, tta: bool = False
    ) -> Iterator[np.ndarray]:
        """Colorize a picture that need not fit into memory, from top to bottom.

        Strips of ``rows`` rows (of a page the last may have fewer), (n, W, 3), or (n, W, 4) with its alpha.
        The file is decoded twice: the network sees it whole before its first row is coloured.
        """
        _check_strength(strength)
        height, width = picture.shape
        seen = network_size(picture.shape, size or self.card.size, self.card.size_multiple)

        def merge(strip: tuple[int, int, np.ndarray, np.ndarray | None]) -> np.ndarray:
            page, top, pixels, alpha = strip
            merged = np.empty((*pixels.shape[:2], 3 if alpha is None else 4), pixels.dtype)
            self._merge(upsamplers[page], pixels, top, merged[..., :3])
            if alpha is not None:
                merged[..., 3] = alpha
            return merged

        with ThreadPoolExecutor(self._threads) as pool:
            if seen[0] <= height and seen[1] <= width:
                reduced = _reduced(picture, seen, max(rows, 64), pool, 2 * self._threads)
            else:
                image = picture.whole()
                reduced = [resized(page, *seen) for page in np.split(image.pixels, image.pages)]
            upsamplers = []
            for page in reduced:
                ab = self._predicted(page, tta) * np.float32(strength)
                upsamplers.append(EdgeUpsampler(ab, color.lightness(resized(page, *ab.shape[:2])), (height, width)))
            yield from in_order(pool, merge, _with_tops(picture, rows), 2 * self._threads)

    def _predicted(self, reduced: np.ndarray, tta: bool) -> np.ndarray:
        """a* and b* of what the network sees, (h, w, 2) float32."""

        def run(pixels: np.ndarray) -> np.ndarray:
            lightness = color.lightness(pixels) * np.float32(1 / self.card.l_scale)
            (ab,) = self._session.run(None, {"lightness": lightness[None, None]})
            return np.moveaxis(np.asarray(ab)[0], 0, -1)

        ab = run(reduced)
        if tta:
            multiple = self.card.size_multiple
            larger = resized(
                reduced, *(side + max(multiple, side // 4 // multiple * multiple) for side in reduced.shape[:2])
            )
            answers = [ab, run(reduced[:, ::-1])[:, ::-1], run(larger), run(larger[:, ::-1])[:, ::-1]]
            answers = [
                cv2.resize(np.ascontiguousarray(each), ab.shape[1::-1], interpolation=cv2.INTER_AREA)
                for each in answers
            ]
            ab = np.mean(answers, axis=0)
            # Answers that differ in hue cancel out in their mean: give it the chroma that they have
            own = np.mean([np.hypot(each[..., 0], each[..., 1]).mean() for each in answers])
            ab *= own / max(float(np.hypot(ab[..., 0], ab[..., 1]).mean()), 1e-6)
        return ab * np.float32(self.card.ab_scale * self.card.strength)

    def _colorize(self, pixels: np.ndarray, strength: float, size: int | None, tta: bool) -> np.ndarray:
        shape = network_size(pixels.shape[:2], size or self.card.size, self.card.size_multiple)
        reduced = resized(pixels, *shape)
        ab = self._predicted(reduced, tta) * np.float32(strength)
        height, width = pixels.shape[:2]
        upsampler = EdgeUpsampler(ab, color.lightness(resized(reduced, *ab.shape[:2])), (height, width))
        result = np.empty((height, width, 3), pixels.dtype)

        def merge(top: int) -> None:
            self._merge(upsampler, pixels[top : top + rows], top, result[top : top + rows])

        rows = max(1, _STRIP_PIXELS // width)
        tops = range(0, height, rows)
        if self._threads == 1 or len(tops) == 1:
            for top in tops:
                merge(top)
        else:
            with ThreadPoolExecutor(self._threads) as pool:
                for _ in pool.map(merge, tops):
                    pass
        return result

    def _merge(self, upsampler: EdgeUpsampler, pixels: np.ndarray, top: int, result: np.ndarray) -> None:
        """Colour some rows of a picture, the first of which is ``top``."""
        rows = max(1, _STRIP_PIXELS // pixels.shape[1])
        for start in range(0, len(pixels), rows):
            l_star = color.lightness(pixels[start : start + rows])
            a, b = upsampler.planes(l_star, top + start)
            result[start : start + rows] = color.compose_planes(l_star, a, b, pixels.dtype)


def _check_strength(strength: float) -> None:
    if not 0 <= strength <= 2:
        raise ValueError(f"strength is {strength}; give a number from 0 (grey) over 1 to 2 (twice the chroma)")


def _with_tops(picture: Picture, rows: int) -> Iterator[tuple[int, int, np.ndarray, np.ndarray | None]]:
    """The strips of a picture: the page of each, which row of it comes first, its pixels and its alpha."""
    before, top = 0, 0
    for page, pixels, alpha in picture.strips(rows):
        top = top if page == before else 0
        yield page, top, pixels, alpha
        before, top = page, top + len(pixels)


def _reduced(
    picture: Picture, shape: tuple[int, int], rows: int, pool: ThreadPoolExecutor, ahead: int
) -> list[np.ndarray]:
    """Each page of a picture reduced by area, as ``resized`` does, from strips of it."""
    height, scale = shape[0], picture.shape[0] / shape[0]

    def narrowed(strip: tuple[int, int, np.ndarray, np.ndarray | None]) -> tuple[int, int, np.ndarray]:
        """What some rows add to the reduced page: to which, and from which of its rows on."""
        page, top, pixels, _ = strip
        end = top + len(pixels)
        pixels, halvings = halved(pixels, 2 * int(np.ceil(len(pixels) / scale)), 2 * shape[1])
        narrow = cv2.resize(pixels, (shape[1], len(pixels)), interpolation=cv2.INTER_AREA)
        first = int(top / scale)
        begins = np.arange(first, min(height, int(np.ceil(end / scale))))[:, None] * scale
        each = np.arange(top, end, 1 << halvings)[None]
        shares = np.minimum(begins + scale, each + (1 << halvings)) - np.maximum(begins, each)
        weights = (np.maximum(shares, 0) / scale).astype(np.float32)
        flat = narrow.reshape(len(pixels), -1).astype(np.float32, copy=False)
        return page, first, (weights @ flat).reshape(len(weights), *narrow.shape[1:])

    channels = (3,) if picture.colour else ()
    pages = np.zeros((picture.pages, *shape, *channels), np.float32)
    for page, first, part in in_order(pool, narrowed, _with_tops(picture, rows), ahead):
        pages[page, first : first + len(part)] += part
    return list(pages if picture.dtype.kind == "f" else np.rint(pages).astype(picture.dtype))


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
    pixels, _ = halved(pixels, height, width)
    shrinks = height * width < pixels.shape[0] * pixels.shape[1]
    resized = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return resized if resized.dtype.kind == "u" else np.clip(resized, 0, 1)


def halved(pixels: np.ndarray, height: int, width: int) -> tuple[np.ndarray, int]:
    """Half the size, by area, as often as nothing is cut and at least twice ``height`` and ``width`` are left.

    Halves are many times faster than any other part, and of halves the area is that of the whole.
    """
    times = 0
    while pixels.shape[0] >= 4 * height and pixels.shape[1] >= 4 * width and not any(n % 2 for n in pixels.shape[:2]):
        pixels = cv2.resize(pixels, (pixels.shape[1] // 2, pixels.shape[0] // 2), interpolation=cv2.INTER_AREA)
        times += 1
    return pixels, times


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
