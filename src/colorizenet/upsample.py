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

_CUBIC = -0.5  # Keys (1981): reproduces quadratics


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
        planes = np.concatenate([ab, slope, l_small[..., None]], axis=-1).astype(np.float32, copy=False)
        self.shape = shape
        self._height = planes.shape[0]
        columns, weights = cubic_taps(planes.shape[1], shape[1], 0, shape[1])
        # Widened once, plane by plane: (5, h, w) -> (5, h, W)
        planes = np.ascontiguousarray(np.moveaxis(planes, -1, 0))
        self._wide = planes[..., columns[:, 0]] * weights[:, 0]
        for tap in range(1, 4):
            self._wide += planes[..., columns[:, tap]] * weights[:, tap]

    def rows(self, l_star: np.ndarray, top: int) -> np.ndarray:
        """Chroma of the rows from ``top`` on, whose lightness is ``l_star``: (n, W) -> (n, W, 2)."""
        used, weights = cubic_taps(self._height, self.shape[0], top, top + len(l_star))
        first = used.min()
        down = np.zeros((len(l_star), used.max() + 1 - first), np.float32)
        np.add.at(down, (np.arange(len(l_star))[:, None], used - first), weights)
        a, b, slope_a, slope_b, l_up = np.matmul(down, self._wide[:, first : first + down.shape[1]])
        detail = l_star - l_up
        return np.stack([a + slope_a * detail, b + slope_b * detail], axis=-1)


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


def cubic_taps(small: int, large: int, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of ``small`` samples make each of ``large``, for those from start to stop, and their weights.

    Shapes: (stop - start, 4) integers and float32, whose rows sum to 1. Sample centres are aligned
    and edges repeated. It only enlarges: a plane made smaller by it would alias.
    """
    position = (np.arange(start, stop) + 0.5) * (small / large) - 0.5
    tap = np.floor(position)[:, None] + np.arange(-1, 3)
    distance = np.abs(position[:, None] - tap)
    near = (_CUBIC + 2) * distance**3 - (_CUBIC + 3) * distance**2 + 1
    far = _CUBIC * (distance**3 - 5 * distance**2 + 8 * distance - 4)
    weights = np.where(distance <= 1, near, np.where(distance < 2, far, 0))
    return np.clip(tap, 0, small - 1).astype(int), weights.astype(np.float32)
