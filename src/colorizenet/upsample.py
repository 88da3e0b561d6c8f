"""Small chroma + full-size lightness -> full-size chroma that stops at edges.

Cubic interpolation, plus the local slope of chroma against lightness times the lightness
detail that the small picture could not hold::

    up(ab) + gain * up(slope) * (L - up(L_small))

Where there is no detail it is the network's chroma. The slope is a 3x3 regression with a
small ridge, at small size (the idea of the guided filter: He, Sun and Tang, ECCV 2010). Rows
are asked for in strips, so that a large photograph never needs its chroma in memory at once.
"""

import cv2
import numpy as np

__all__ = ["EdgeUpsampler"]

_CUBIC = -0.75  # that of OpenCV, so that a small picture and the strips of a large one are the same

_BLAS_ALONE = 1 << 18
"""Products of less than so many multiplications BLAS does not share out among threads of its own, which ours must not
wait for."""

_AT_ONCE = 1 << 17
"""Pictures of up to so many pixels are brought up whole: the planes still fit the cache."""


class EdgeUpsampler:
    """The chroma of one photograph, ready to be asked for row by row; thread-safe.

    ``ab``: (h, w, 2) and ``l_small``: (h, w), the lightness that belongs to it, float32 in Lab
    units; ``shape``: (H, W) of the photograph. ``gain`` 0 is plain cubic interpolation; the
    defaults are those that did best on true chroma (``benchmarks/upsampling.py``).
    """

    def __init__(
        self,
        ab: np.ndarray,
        l_small: np.ndarray,
        shape: tuple[int, int],
        *,
        gain: float = 0.7,
        ridge: float = 30.0,
    ) -> None:
        slope = chroma_slope(ab, l_small, ridge=ridge) * np.float32(gain)
        planes = [*cv2.split(ab), *cv2.split(slope), l_small]
        self.shape = shape
        self._small_height = len(l_small)
        self._whole = shape[0] * shape[1] <= _AT_ONCE
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
        """Chroma of the rows from ``top`` on, whose lightness is ``l_star``: (n, W) -> (n, W, 2)."""
        return np.stack(self.planes(l_star, top), axis=-1)

    def planes(self, l_star: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
        """As ``rows``, with a* and b* as planes of their own: (n, W) -> 2 x (n, W)."""
        if self._whole:
            strip = self._wide[:, top : top + len(l_star)]
        else:
            strip = np.empty((5, *l_star.shape), np.float32)
            first, down = cubic_rows(self._small_height, self.shape[0], top, top + len(l_star))
            small = self._wide[:, first : first + down.shape[1]]
            rows = max(1, _BLAS_ALONE // small[0].size)
            for start in range(0, len(down), rows):
                np.matmul(down[start : start + rows], small, out=strip[:, start : start + rows])
        a, b, slope_a, slope_b, l_up = strip
        detail = l_star - l_up
        chroma_a = slope_a * detail
        chroma_a += a
        detail *= slope_b
        detail += b
        return chroma_a, detail


def chroma_slope(ab: np.ndarray, l_small: np.ndarray, *, ridge: float) -> np.ndarray:
    """How a* and b* change with L* around each pixel: (h, w, 2), (h, w) -> (h, w, 2).

    Least squares over 3x3 pixels; ``ridge``, in L* squared, keeps it small where L* is flat.
    """

    def mean(plane: np.ndarray) -> np.ndarray:
        return cv2.blur(plane, (3, 3), borderType=cv2.BORDER_REPLICATE)

    mean_l = mean(l_small)
    variance = mean(l_small * l_small) - mean_l * mean_l
    covariance = mean(ab * l_small[..., None]) - mean(ab) * mean_l[..., None]
    return covariance / (np.maximum(variance, 0) + ridge)[..., None]


def cubic_rows(small: int, large: int, start: int, stop: int) -> tuple[int, np.ndarray]:
    """How rows of a plane make those from start to stop of one that is ``large`` instead of ``small`` high.

    The first row it takes, and a matrix (stop - start, rows taken) whose rows sum to 1. As
    OpenCV's cubic interpolation has it: sample centers are aligned and edges repeated.
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
    for i in range(4):  # taps that an edge has made one add up
        matrix[row, tap[:, i] - first] += weights[:, i]
    return first, matrix
