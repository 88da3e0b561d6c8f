"""CIEDE2000, the perceptual difference of two colors.

References:
    CIE 142-2001. Equation numbers are those of Sharma, Wu and Dalal, "The CIEDE2000
    color-difference formula: implementation notes, supplementary test data, and
    mathematical observations", Color Research and Application 30 (2005).
"""

import math
from types import ModuleType
from typing import Any

from colorizenet.color.arrays import Array, find_library

__all__ = ["delta_e_2000"]

_DEGREE = math.pi / 180


def delta_e_2000(
    color: Array, other: Array, *, smoothing: float = 0.0, squared: bool = False
) -> Array:
    """Compute CIEDE2000 with kL = kC = kH = 1. Shape: ``(..., 3), (..., 3) -> (...)``.

    0 is equal, about 1 is just noticeable. A last axis of 2 means a* and b* of colors
    whose L* is equal. ``squared`` returns the square of the difference.

    Gradients of tensors are finite everywhere. The weights that depend on the mean hue
    (T and R_T) count as constants in them, because they jump where the mean hue does.
    ``smoothing``, in squared units of a* and b*, is added under every square root, so
    that gradients are smooth at grays and at equal colors too; values below its root
    blur.
    """
    xp = find_library(color)
    find_library(other)
    has_lightness = color.shape[-1] == 3
    a1, b1, a2, b2 = color[..., -2], color[..., -1], other[..., -2], other[..., -1]

    mean_c = (_length(xp, a1, b1, smoothing) + _length(xp, a2, b2, smoothing)) / 2
    stretch = 1.5 - 0.5 * _high_chroma(mean_c)  # 1 + G, eq. 4
    a1, a2 = a1 * stretch, a2 * stretch  # eq. 5
    c1, c2 = _length(xp, a1, b1, smoothing), _length(xp, a2, b2, smoothing)  # eq. 6
    mean_c = (c1 + c2) / 2  # eq. 13

    h1, h2 = (xp.arctan2(_detach(b), _detach(a)) % math.tau for a, b in ((a1, b1), (a2, b2)))
    turn = h2 - h1  # eq. 10: by less than half a circle
    turn = xp.where(abs(turn) > math.pi, turn - xp.sign(turn) * math.tau, turn)
    mean_h = (h1 + turn / 2) % math.tau  # eq. 14
    t = (
        1
        - 0.17 * xp.cos(mean_h - 30 * _DEGREE)
        + 0.24 * xp.cos(2 * mean_h)
        + 0.32 * xp.cos(3 * mean_h + 6 * _DEGREE)
        - 0.20 * xp.cos(4 * mean_h - 63 * _DEGREE)
    )  # eq. 15
    rotation = 30 * _DEGREE * xp.exp(-(((mean_h - 275 * _DEGREE) / (25 * _DEGREE)) ** 2))  # eq. 16
    r_t = -2 * _high_chroma(_detach(mean_c)) * xp.sin(2 * rotation)  # eq. 17 and 21

    # Eq. 11 through unit vectors, whose distance is 2 sin(turn / 2), instead of angles:
    # precise for close hues, and differentiable.
    tiny = _tiny(xp, c1)
    inverse1, inverse2 = 1 / xp.clip(c1, tiny, None), 1 / xp.clip(c2, tiny, None)
    chord = (a2 * inverse2 - a1 * inverse1) ** 2 + (b2 * inverse2 - b1 * inverse1) ** 2
    delta_h = _root(xp, chord * c1 * c2, smoothing)
    delta_h = xp.where(turn < 0, -delta_h, delta_h)
    delta_c = (c2 - c1) / (1 + 0.045 * mean_c)  # eq. 9 and 19
    delta_h = delta_h / (1 + 0.015 * mean_c * t)  # eq. 20
    result = delta_c**2 + delta_h**2 + r_t * delta_c * delta_h  # eq. 22
    if has_lightness:
        from_50 = ((color[..., 0] + other[..., 0]) / 2 - 50) ** 2
        weight = 1 + 0.015 * from_50 / (20 + from_50) ** 0.5  # eq. 18
        result = result + ((other[..., 0] - color[..., 0]) / weight) ** 2
    result = xp.clip(result, 0, None)  # rounding can make it negative
    return result if squared else _root(xp, result, smoothing)


def _length(xp: ModuleType, a: Any, b: Any, smoothing: float) -> Any:
    square = a * a + b * b
    return (square + smoothing) ** 0.5 if smoothing else _root(xp, square, 0.0)


def _root(xp: ModuleType, square: Any, smoothing: float) -> Any:
    """Compute a square root that is 0 at 0 and whose gradient is finite there."""
    if smoothing:
        return (square + smoothing) ** 0.5 - smoothing**0.5
    tiny = _tiny(xp, square)
    root = xp.sqrt(xp.clip(square, tiny, None))
    return xp.where(square > tiny, root, xp.zeros_like(root))


def _tiny(xp: ModuleType, array: Any) -> float:
    """Return a negligible number whose root and reciprocal are normal numbers."""
    return float(xp.finfo(array.dtype).tiny) ** 0.5


def _high_chroma(c: Any) -> Any:
    """Compute ``sqrt(c**7 / (c**7 + 25**7))``: 0 for grays, 1 for vivid colors."""
    root = (c / 25) ** 3.5  # unlike the root of a power of 7, it has a slope at 0
    return root / (root * root + 1) ** 0.5


def _detach(array: Any) -> Any:
    return array.detach() if hasattr(array, "detach") else array
