"""Pictures at the size of the network input, without the borders of scans."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from colorizenet import color
from colorizenet.imaging.borders import Border, find_border, locate_photo
from colorizenet.imaging.conversion import Source, open_picture, split_pages
from colorizenet.imaging.reading import ImageFile
from colorizenet.imaging.resampling import network_shape, reduce_pages, resize

__all__ = ["Reduced", "reduce_picture"]


@dataclass(frozen=True)
class Reduced:
    """A picture at the size of the network input. Made by ``reduce_picture``."""

    pages: tuple[np.ndarray, ...]
    """Each page without its border, ``(h, w)`` or ``(h, w, 3)``, with the dtype of the
    picture."""
    borders: tuple[Border | None, ...] = ()
    """The border of each page; empty if there is none."""

    def lightness(self, height: int, width: int) -> np.ndarray:
        """L* of each page at the size of its chroma: ``(pages, height, width)``
        float32."""
        return np.stack([color.lightness(resize(page, height, width)) for page in self.pages])


def reduce_picture(
    picture: Source | ImageFile,
    short: int,
    multiple: int,
    *,
    threads: int = 1,
    borders: Sequence[Border | None] | None = None,
) -> Reduced:
    """Reduce each page to a short side of ``short`` pixels, rounded to ``multiple``.

    Uniform borders are left out: those that are given, or else those that are found. An
    empty list means that there are none. An ``ImageFile`` is reduced strip by strip, so
    it is never in memory as a whole; one in which a border is found is decoded once
    more.
    """
    if isinstance(picture, ImageFile):
        pages, shape, count = picture, picture.shape, picture.pages
    else:
        pages = split_pages(open_picture(picture))
        shape, count = pages[0].shape[:2], len(pages)

    def reduce_inside(borders: Sequence[Border | None]) -> tuple[np.ndarray, ...]:
        boxes = [locate_photo(border, shape) for border in borders]
        shapes = [network_shape(box.shape, short, multiple) for box in boxes]
        return tuple(reduce_pages(pages, boxes, shapes, threads))

    if borders:
        return Reduced(reduce_inside(borders), tuple(borders))
    reduced = reduce_inside([None] * count)
    found = tuple(find_border(page, shape) for page in reduced) if borders is None else ()
    if not any(found):
        return Reduced(reduced)
    return Reduced(reduce_inside(found), found)
