"""Merge small chroma with the full-size lightness of a picture. Needs no model."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import numpy as np

from colorizenet import __version__, color
from colorizenet.hints import HintedUpsampler, make_upsamplers
from colorizenet.imaging.conversion import Source, convert_like, open_picture, split_pages
from colorizenet.imaging.image import Image
from colorizenet.imaging.reading import ImageFile
from colorizenet.imaging.writing import encode_image, encode_strips, is_subsampled
from colorizenet.options import Options, Output
from colorizenet.parallel import map_ordered
from colorizenet.upsample import Chroma, EdgeUpsampler

__all__ = ["STREAM_ABOVE", "STRIP_PIXELS", "Merger", "describe_colors"]

STREAM_ABOVE = 32_000_000
"""Photos of more pixels are colorized in strips and are never in memory as a whole."""

STRIP_PIXELS = 1 << 19
"""Pixels of a strip: few hand-overs between threads, which take turns for them."""

_STRIP_PIXELS = 1 << 17
"""Pixels that a thread merges in one step: large enough to outweigh taking Python's
lock, small enough that the planes fit the cache."""

_SUBSAMPLED_STRIP_PIXELS = 1 << 18
"""The same, where most planes have a quarter of the pixels."""

Upsampler = EdgeUpsampler | HintedUpsampler
_MergeRows = Callable[[Upsampler, np.ndarray, int, np.ndarray], None]


def describe_colors(options: Options, output: Output = Output()) -> str:
    """The note about the colors that is written into a result; empty where ``output``
    has none."""
    if not output.provenance:
        return ""
    count = len(options.hints)
    hints = f", {count} user hint{'' if count == 1 else 's'}" if count else ""
    return f"ColorizeNet {__version__}: colors reconstructed{hints}"


@dataclass(frozen=True)
class Merger:
    """Merges chroma with pictures, at their own size. Thread-safe."""

    threads: int = 1
    """Number of CPU threads."""
    spread_hints: bool = True
    """Whether the chroma is of a model that does not know hints, so that the residuals
    at the hints are spread."""

    def merge(
        self, picture: Source, chroma: Chroma, options: Options, *, subsampled: bool = False
    ) -> Any:
        """As ``Colorizer.apply``.

        ``subsampled``: chroma is constant in each block of 2 x 2 pixels, which is
        faster, for files that store no more. 8 bits only.
        """
        opened = open_picture(picture)
        pages = split_pages(opened)
        upsamplers = self._make_upsamplers(chroma, pages[0].shape[:2], options, subsampled)
        merge_rows = _merge_subsampled if subsampled else _merge
        colored = [
            self._merge_page(page, upsampler, merge_rows)
            for page, upsampler in zip(pages, upsamplers, strict=True)
        ]
        if isinstance(opened, np.ndarray):
            return colored[0]
        whole = colored[0] if len(colored) == 1 else np.concatenate(colored)
        result = replace(opened.with_pixels(whole), note=describe_colors(options))
        return convert_like(result, picture)

    def merge_strips(
        self,
        file: ImageFile,
        chroma: Chroma,
        options: Options,
        *,
        rows: int,
        subsampled: bool = False,
    ) -> Iterator[np.ndarray]:
        """As ``Colorizer.apply_strips``. ``subsampled`` is as for ``merge``, and needs
        an even number of rows."""
        upsamplers = self._make_upsamplers(chroma, file.shape, options, subsampled)
        merge_rows = _merge_subsampled if subsampled else _merge

        def merge(strip: tuple[int, int, np.ndarray, np.ndarray | None]) -> np.ndarray:
            page, top, pixels, alpha = strip
            channels = 3 if alpha is None else 4
            merged = np.empty((*pixels.shape[:2], channels), pixels.dtype)
            merge_rows(upsamplers[page], pixels, top, merged[..., :3])
            if alpha is not None:
                merged[..., 3] = alpha
            return merged

        with ThreadPoolExecutor(self.threads) as pool:
            yield from map_ordered(pool, merge, file.read_strips(rows), 2 * self.threads)

    def write(
        self,
        file: BinaryIO,
        picture: Image | ImageFile,
        chroma: Chroma,
        options: Options,
        *,
        format: str,
        quality: int | None,
        note: str,
        strip_pixels: int = STRIP_PIXELS,
    ) -> None:
        """Write a picture in color to a file. An ``ImageFile`` is written in strips of
        about ``strip_pixels`` pixels."""
        subsampled = is_subsampled(picture, format)
        if isinstance(picture, ImageFile):
            rows = _count_rows(strip_pixels, picture.shape[1])
            strips = self.merge_strips(picture, chroma, options, rows=rows, subsampled=subsampled)
            encode_strips(file, picture, strips, rows, format, quality=quality, note=note)
        else:
            merged = self.merge(picture, chroma, options, subsampled=subsampled)
            file.write(encode_image(replace(merged, note=note), format, quality=quality))

    def _make_upsamplers(
        self, chroma: Chroma, shape: tuple[int, int], options: Options, subsampled: bool
    ) -> list[Upsampler]:
        if subsampled:
            shape = (shape[0] + 1) // 2, (shape[1] + 1) // 2
        return make_upsamplers(chroma, shape, options, spread=self.spread_hints)

    def _merge_page(
        self, pixels: np.ndarray, upsampler: Upsampler, merge_rows: _MergeRows
    ) -> np.ndarray:
        height, width = pixels.shape[:2]
        result = np.empty((height, width, 3), pixels.dtype)
        rows = _count_rows(_SUBSAMPLED_STRIP_PIXELS, width)

        def merge(top: int) -> None:
            merge_rows(upsampler, pixels[top : top + rows], top, result[top : top + rows])

        tops = range(0, height, rows)
        if self.threads == 1 or len(tops) == 1:
            for top in tops:
                merge(top)
        else:
            with ThreadPoolExecutor(self.threads) as pool:
                list(pool.map(merge, tops))
        return result


def _count_rows(pixels: int, width: int) -> int:
    """The number of rows of a strip of about so many pixels, which is even."""
    return max(2, pixels // width // 2 * 2)


def _merge(upsampler: Upsampler, pixels: np.ndarray, top: int, result: np.ndarray) -> None:
    """Colorize some rows of a picture, the first of which is number ``top``."""
    rows = _count_rows(_STRIP_PIXELS, pixels.shape[1])
    for start in range(0, len(pixels), rows):
        l_star = color.lightness(pixels[start : start + rows])
        a, b = upsampler.planes(l_star, top + start)
        result[start : start + rows] = color.compose_planes(l_star, a, b, pixels.dtype)


def _merge_subsampled(
    upsampler: Upsampler, pixels: np.ndarray, top: int, result: np.ndarray
) -> None:
    """As ``_merge``, with chroma at half size; ``top`` is even."""
    height, width = pixels.shape[:2]
    rows = _count_rows(_SUBSAMPLED_STRIP_PIXELS, width)
    for start in range(0, height, rows):
        levels = color.gray_levels(pixels[start : start + rows])
        colored = result[start : start + rows]
        odd = (len(levels) % 2, width % 2)
        if any(odd):
            levels = np.pad(levels, ((0, odd[0]), (0, odd[1])), mode="edge")
            colored = np.empty((*levels.shape, 3), np.uint8)
        halved = color.halve_levels(levels)
        a, b = upsampler.planes(color.lightness(halved), (top + start) // 2)
        color.compose_subsampled(levels, halved, a, b, colored)
        if any(odd):
            result[start : start + rows] = colored[: height - start, :width]
