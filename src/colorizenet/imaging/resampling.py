"""Resize pictures, as a whole or strip by strip, and choose the network input size."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from colorizenet.imaging.borders import Box
from colorizenet.imaging.imagefile import ImageFile, Strip
from colorizenet.parallel import map_ordered

__all__ = ["halve", "network_shape", "reduce_pages", "reduce_strips", "resize"]

_STRIP_PIXELS = 1 << 17
"""Pixels of a strip: large enough to outweigh the call, small enough for the cache."""


def reduce_pages(
    pages: Sequence[np.ndarray] | ImageFile,
    boxes: Sequence[Box],
    shapes: Sequence[tuple[int, int]],
    threads: int,
) -> list[np.ndarray]:
    """Resize a part of each page of a picture, a file strip by strip.

    ``boxes`` are the parts and ``shapes`` their sizes afterwards, one for each page.
    """
    if isinstance(pages, ImageFile):
        if all(
            np.less_equal(shape, box.shape).all() for box, shape in zip(boxes, shapes, strict=True)
        ):
            with ThreadPoolExecutor(threads) as pool:
                return reduce_strips(pages, boxes, shapes, pool, 2 * threads)
        image = pages.read()
        pages = np.split(image.pixels, image.pages)
    return [
        resize(page[box.top : box.bottom, box.left : box.right], *shape)
        for page, box, shape in zip(pages, boxes, shapes, strict=True)
    ]


def reduce_strips(
    picture: ImageFile,
    boxes: Sequence[Box],
    shapes: Sequence[tuple[int, int]],
    pool: ThreadPoolExecutor,
    ahead: int,
) -> list[np.ndarray]:
    """As ``reduce_pages``, by area, without the whole picture in memory."""
    rows = max(64, _STRIP_PIXELS // picture.shape[1])

    def narrow_strip(strip: Strip) -> tuple[int, int, np.ndarray]:
        """Reduce some rows: the page, the first reduced row, and their sums."""
        page, top, pixels, _ = strip
        box, (height, width) = boxes[page], shapes[page]
        scale = box.shape[0] / height
        start = max(top, box.top)
        pixels = pixels[start - top : max(start, box.bottom) - top, box.left : box.right]
        top, end = start - box.top, start - box.top + len(pixels)
        if not len(pixels):
            return page, 0, np.zeros((0, width, *pixels.shape[2:]), np.float32)
        pixels, halvings = halve(pixels, 2 * int(np.ceil(len(pixels) / scale)), 2 * width)
        narrow = cv2.resize(pixels, (width, len(pixels)), interpolation=cv2.INTER_AREA)
        first = int(top / scale)
        begins = np.arange(first, min(height, int(np.ceil(end / scale))))[:, None] * scale
        each = np.arange(top, end, 1 << halvings)[None]
        shares = np.minimum(begins + scale, each + (1 << halvings)) - np.maximum(begins, each)
        weights = (np.maximum(shares, 0) / scale).astype(np.float32)
        flat = narrow.reshape(len(pixels), -1).astype(np.float32, copy=False)
        return page, first, (weights @ flat).reshape(len(weights), *narrow.shape[1:])

    channels = (3,) if picture.has_color else ()
    pages = [np.zeros((*shape, *channels), np.float32) for shape in shapes]
    for page, first, part in map_ordered(pool, narrow_strip, picture.read_strips(rows), ahead):
        pages[page][first : first + len(part)] += part
    return (
        pages
        if picture.dtype.kind == "f"
        else [np.rint(page).astype(picture.dtype) for page in pages]
    )


def network_shape(shape: tuple[int, int], short: int, multiple: int) -> tuple[int, int]:
    """Compute the network input size: the short side is ``short``, the aspect is kept.

    Returns height and width, both rounded to ``multiple``. Long pictures get less: the
    area is at most about twice that of a square.
    """
    area = 2 * short**2
    scale = min(short / min(shape), (area / (shape[0] * shape[1])) ** 0.5)
    height, width = (max(multiple, round(side * scale / multiple) * multiple) for side in shape)
    longest = max(multiple, area // min(height, width) // multiple * multiple)
    return min(height, longest), min(width, longest)


def resize(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize a picture: down by area averaging, up by cubic interpolation."""
    pixels, _ = halve(pixels, height, width)
    shrinks = height * width < pixels.shape[0] * pixels.shape[1]
    resized = cv2.resize(
        pixels, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    )
    return resized if resized.dtype.kind == "u" else np.clip(resized, 0, 1)


def halve(pixels: np.ndarray, height: int, width: int) -> tuple[np.ndarray, int]:
    """Halve by area while the sides are even and stay at least twice ``height`` and
    ``width``.

    Returns the picture and the number of halvings. Halving is many times faster than
    other factors, and averages of halves equal averages of the whole.
    """
    times = 0
    while (
        pixels.shape[0] >= 4 * height
        and pixels.shape[1] >= 4 * width
        and not any(n % 2 for n in pixels.shape[:2])
    ):
        pixels = cv2.resize(
            pixels, (pixels.shape[1] // 2, pixels.shape[0] // 2), interpolation=cv2.INTER_AREA
        )
        times += 1
    return pixels, times
