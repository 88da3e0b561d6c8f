"""Upsample small chroma to the size of a photo, along the edges of its lightness.

Cubic interpolation, plus the local slope of chroma against lightness times the
lightness detail that the small picture could not hold::

    up(ab) + gain * up(slope) * (L - up(L_small))

Without detail this is the network's chroma. The slope is a 3x3 regression with a small
ridge, at small size (the idea of the guided filter: He, Sun and Tang, ECCV 2010). Rows
are computed in strips, so the chroma of a large photo never needs to be in memory at
once.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from colorizenet.imaging.borders import TOLERANCE, Border, locate_photo

__all__ = ["Chroma", "EdgeUpsampler", "compute_slope", "make_cubic_rows"]

_CUBIC = -0.75  # OpenCV's coefficient, so that whole pictures and strips agree

_MATMUL_TERMS = 1 << 18
"""Below 2^18 multiply-adds OpenBLAS stays single-threaded, so worker threads never
block on its pool."""


class EdgeUpsampler:
    """The chroma of one photo, which can be computed row by row. Thread-safe.

    ``ab``: ``(h, w, 2)`` and ``l_small``: ``(h, w)``, its lightness, float32 in Lab
    units; ``shape``: ``(H, W)`` of the photo. ``gain`` 0 is plain cubic interpolation;
    the defaults were best on the chroma of real photos (``benchmarks/upsampling.py``).
    With a ``border``, ``ab`` and ``l_small`` are those of the photo inside it, and the
    border has no chroma. Photos of up to ``whole_pixels`` pixels are upsampled at once,
    because their planes fit the cache.
    """

    def __init__(
        self,
        ab: np.ndarray,
        l_small: np.ndarray,
        shape: tuple[int, int],
        *,
        gain: float = 0.7,
        ridge: float = 30.0,
        border: Border | None = None,
        whole_pixels: int = 1 << 17,
    ) -> None:
        slope = compute_slope(ab, l_small, ridge=ridge) * np.float32(gain)
        planes = [*cv2.split(ab), *cv2.split(slope), l_small]
        self.shape, self._border = shape, border
        self._box = box = locate_photo(border, shape)
        self._small_height = len(l_small)
        self._whole = box.shape[0] * box.shape[1] <= whole_pixels
        height = box.shape[0] if self._whole else self._small_height
        wide = [
            cv2.resize(
                np.ascontiguousarray(plane, np.float32),
                (box.shape[1], height),
                interpolation=cv2.INTER_CUBIC,
            )
            for plane in planes
        ]
        self._wide = np.stack(wide).reshape(5, height, box.shape[1])
        if border is not None:  # a border that is not quite straight needs colors farther out
            beside = ((0, 0), (0, 0), (box.left, shape[1] - box.right))
            self._wide = np.pad(self._wide, beside, mode="edge")

    def rows(self, l_star: np.ndarray, top: int) -> np.ndarray:
        """Compute the chroma of some rows from their lightness: ``(n, W) -> (n, W,
        2)``.

        ``top`` is the number of the first row.
        """
        return np.stack(self.planes(l_star, top), axis=-1)

    def planes(self, l_star: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
        """As ``rows``, with a* and b* in separate planes: ``(n, W) -> 2 x (n, W)``."""
        # Rows of the photo inside the border; those above and below repeat its edge.
        numbers = np.arange(top, top + len(l_star)) - self._box.top
        numbers = numbers.clip(0, self._box.shape[0] - 1)
        start, stop = int(numbers[0]), int(numbers[-1]) + 1
        if self._whole:
            strip = self._wide[:, start:stop]
            if stop - start < len(l_star):
                strip = strip[:, numbers - start]
        else:
            strip = np.empty((5, *l_star.shape), np.float32)
            first, weights = make_cubic_rows(self._small_height, self._box.shape[0], start, stop)
            weights = weights[numbers - start]
            small = self._wide[:, first : first + weights.shape[1]]
            rows = max(1, _MATMUL_TERMS // small[0].size)
            for start in range(0, len(weights), rows):
                part = np.s_[start : start + rows]
                np.matmul(weights[part], small, out=strip[:, part])
        a, b, slope_a, slope_b, l_up = strip
        detail = l_star - l_up
        chroma_a = slope_a * detail
        chroma_a += a
        detail *= slope_b
        detail += b
        if self._border is not None:
            for part, weight in _weigh_border(self._border, self.shape, l_star, top):
                chroma_a[part] *= weight
                detail[part] *= weight
        return chroma_a, detail


def _weigh_border(
    border: Border, shape: tuple[int, int], l_star: np.ndarray, top: int
) -> list[tuple[tuple[slice, slice], np.ndarray | int]]:
    """By what the chroma of some rows is multiplied, part by part: 0 in a border.

    ``l_star`` are the rows of a picture of ``shape``, the first of which is number
    ``top``. Close to an edge, where border and photo may be mixed, only pixels of the
    lightness of the border lose their chroma.
    """
    (height, width), end = shape, top + len(l_star)
    rows, columns = slice(0, len(l_star)), slice(0, width)
    out, photo = border.outer_box(shape), border.inner_box(shape)

    def cut(first: int, last: int) -> slice:
        """Those of some rows of the picture that are given."""
        first, last = (min(max(row, top), end) - top for row in (first, last))
        return slice(first, last)

    down = (np.arange(top, end, dtype=np.float32)[:, None] + 0.5) / height
    across = (np.arange(width, dtype=np.float32)[None] + 0.5) / width
    parts: list[tuple[tuple[slice, slice], np.ndarray | int]] = [
        ((cut(0, out.top), columns), 0),
        ((cut(out.bottom, height), columns), 0),
        ((rows, slice(0, out.left)), 0),
        ((rows, slice(out.right, width)), 0),
    ]
    margins = [
        math.ceil(side.margin * length)
        for side, length in zip(border.sides, (height, height, width, width), strict=True)
    ]
    bands = (
        (cut(out.top, photo.top + margins[0]), columns),
        (cut(photo.bottom - margins[1], out.bottom), columns),
        (rows, slice(out.left, photo.left + margins[2])),
        (rows, slice(photo.right - margins[3], out.right)),
    )
    places = ((down, across), (1 - down, across), (across, down), (1 - across, down))
    for side, band, (depth, along) in zip(border.sides, bands, places, strict=True):
        depth, along = (np.broadcast_to(each, l_star.shape)[band] for each in (depth, along))
        inside = depth - side.edge - side.rise * (along - np.float32(0.5))
        difference = np.abs(l_star[band] - np.float32(side.l_star))
        weight = np.clip(difference * np.float32(1 / TOLERANCE) - 1, 0, 1)
        weight[inside < -side.margin] = 0
        weight[inside > side.margin] = 1
        parts.append((band, weight))
    return parts


@dataclass(frozen=True)
class Chroma:
    """A network's answer for one picture, before ``Options.strength``.

    For a picture of several pages, ``ab`` and ``l_star`` have the pages as their first
    axis.
    """

    ab: np.ndarray
    """a* and b*, ``(h, w, 2)`` float32."""
    l_star: np.ndarray
    """L* of the picture at the same size, ``(h, w)`` float32; guides the upsampling."""
    borders: tuple[Border | None, ...] = ()
    """The border of each page, which the arrays leave out; empty if there is none."""
    similarity: np.ndarray | None = None
    """What is similar on the first page, ``(h, w, 1 + c)`` float32, as
    ``hints.spread_residuals`` reads it; None if the model does not say it."""

    def pages(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """``(ab, l_star)`` of each page."""
        if self.ab.ndim == 3:
            return [(self.ab, self.l_star)]
        return list(zip(self.ab, self.l_star, strict=True))

    def make_upsamplers(self, shape: tuple[int, int], strength: float) -> list[EdgeUpsampler]:
        """The upsampler of each page of a picture whose pages have this height and
        width."""
        pages = self.pages()
        return [
            EdgeUpsampler(ab * np.float32(strength), l_star, shape, border=border)
            for (ab, l_star), border in zip(
                pages, self.borders or (None,) * len(pages), strict=True
            )
        ]


def compute_slope(ab: np.ndarray, l_small: np.ndarray, *, ridge: float) -> np.ndarray:
    """Compute how a* and b* change with L* around each pixel: ``(h, w, 2), (h, w) ->
    (h, w, 2)``.

    Least squares over 3x3 pixels; ``ridge``, in L* squared, keeps it small where L* is
    flat.
    """

    def mean(plane: np.ndarray) -> np.ndarray:
        return cv2.blur(plane, (3, 3), borderType=cv2.BORDER_REPLICATE)

    mean_l = mean(l_small)
    variance = mean(l_small * l_small) - mean_l * mean_l
    covariance = mean(ab * l_small[..., None]) - mean(ab) * mean_l[..., None]
    return covariance / (np.maximum(variance, 0) + ridge)[..., None]


def make_cubic_rows(small: int, large: int, start: int, stop: int) -> tuple[int, np.ndarray]:
    """Make the matrix that interpolates rows ``start`` to ``stop`` of a plane.

    The plane is ``large`` rows high and interpolated from ``small`` rows. Returns the
    first of those that the matrix needs, and the matrix (stop - start, rows needed),
    whose rows sum to 1. As OpenCV's cubic interpolation: sample centers are aligned and
    edges repeated.
    """
    position = (np.arange(start, stop) + 0.5) * (small / large) - 0.5
    tap = np.floor(position)[:, None] + np.arange(-1, 3)
    distance = np.abs(position[:, None] - tap)
    near = (_CUBIC + 2) * distance**3 - (_CUBIC + 3) * distance**2 + 1
    far = _CUBIC * (distance**3 - 5 * distance**2 + 8 * distance - 4)
    weights = np.where(distance <= 1, near, np.where(distance < 2, far, 0))
    tap = np.clip(tap, 0, small - 1).astype(int)
    first = int(tap[0, 0])
    matrix = np.zeros((stop - start, int(tap[-1, -1]) + 1 - first), np.float32)
    row = np.arange(stop - start)
    for i in range(4):  # taps that coincide at an edge add up
        matrix[row, tap[:, i] - first] += weights[:, i]
    return first, matrix
