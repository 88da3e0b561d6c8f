"""Upsample small chroma to the size of a photo, along the edges of its lightness.

Cubic interpolation, plus the local slope of chroma against lightness times the
lightness detail that the small picture could not hold::

    up(ab) + gain * up(slope) * (L - up(L_small))

Without detail this is the network's chroma. The slope is a 3x3 regression with a small
ridge, at small size (the idea of the guided filter: He, Sun and Tang, ECCV 2010). Rows
are computed in strips, so the chroma of a large photo never needs to be in memory at
once.
"""

import cv2
import numpy as np

__all__ = ["EdgeUpsampler", "compute_slope", "make_cubic_rows"]

_CUBIC = -0.75  # OpenCV's coefficient, so that whole pictures and strips agree

_MATMUL_TERMS = 1 << 18
"""Below 2^18 multiply-adds OpenBLAS stays single-threaded, so worker threads never
block on its pool."""


class EdgeUpsampler:
    """The chroma of one photo, which can be computed row by row. Thread-safe.

    ``ab``: ``(h, w, 2)`` and ``l_small``: ``(h, w)``, its lightness, float32 in Lab
    units; ``shape``: ``(H, W)`` of the photo. ``gain`` 0 is plain cubic interpolation;
    the defaults were best on the chroma of real photos (``benchmarks/upsampling.py``).
    Photos of up to ``whole_pixels`` pixels are upsampled at once, because their planes
    fit the cache.
    """

    def __init__(
        self,
        ab: np.ndarray,
        l_small: np.ndarray,
        shape: tuple[int, int],
        *,
        gain: float = 0.7,
        ridge: float = 30.0,
        whole_pixels: int = 1 << 17,
    ) -> None:
        slope = compute_slope(ab, l_small, ridge=ridge) * np.float32(gain)
        planes = [*cv2.split(ab), *cv2.split(slope), l_small]
        self.shape = shape
        self._small_height = len(l_small)
        self._whole = shape[0] * shape[1] <= whole_pixels
        height = shape[0] if self._whole else self._small_height
        wide = [
            cv2.resize(
                np.ascontiguousarray(plane, np.float32),
                (shape[1], height),
                interpolation=cv2.INTER_CUBIC,
            )
            for plane in planes
        ]
        self._wide = np.stack(wide).reshape(5, height, shape[1])

    def rows(self, l_star: np.ndarray, top: int) -> np.ndarray:
        """Compute the chroma of some rows from their lightness: ``(n, W) -> (n, W,
        2)``.

        ``top`` is the number of the first row.
        """
        return np.stack(self.planes(l_star, top), axis=-1)

    def planes(self, l_star: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
        """As ``rows``, with a* and b* in separate planes: ``(n, W) -> 2 x (n, W)``."""
        if self._whole:
            strip = self._wide[:, top : top + len(l_star)]
        else:
            strip = np.empty((5, *l_star.shape), np.float32)
            first, weights = make_cubic_rows(
                self._small_height, self.shape[0], top, top + len(l_star)
            )
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
        return chroma_a, detail


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
