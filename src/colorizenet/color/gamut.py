"""Reduce chroma until a color fits into sRGB, by bisection and in closed form."""

from typing import Any

from colorizenet.color.arrays import Array, find_library
from colorizenet.color.spaces import lab_to_linear, luminance

__all__ = ["fade_linear", "fade_to_gamut"]


def fade_to_gamut(lab: Array, *, halvings: int = 20) -> Array:
    """Fade each color towards the gray of its own lightness until sRGB can hold it.

    Shape: ``(..., 3) -> (..., 3)``; L* must lie in 0..100. Unlike clipping rgb, this
    keeps L* and hue. It bisects, so the remaining chroma lies at an edge of the gamut
    to within 1 part in ``2**halvings``. This is the reference for ``fade_linear``,
    which is many times faster.
    """
    xp = find_library(lab)
    slack = 1e-6  # a gray must count as inside in spite of rounding

    def scale_chroma(factor: Any) -> Array:
        return xp.concatenate([lab[..., :1], lab[..., 1:] * factor], -1)

    def is_inside(candidate: Array) -> Any:
        linear = lab_to_linear(candidate)
        return ((linear >= -slack) & (linear <= 1 + slack)).all(-1)[..., None]

    factor = xp.where(is_inside(lab), xp.ones_like(lab[..., :1]), xp.zeros_like(lab[..., :1]))
    step = 1 - factor  # no search where the color is inside already
    for _ in range(halvings):
        step = step / 2
        factor = xp.where(is_inside(scale_chroma(factor + step)), factor + step, factor)
    return scale_chroma(factor)


def fade_linear(linear: Array) -> Array:
    """Fade linear sRGB towards the gray of equal luminance until it lies in 0..1.

    Shape: ``(..., 3) -> (..., 3)``; the luminance must lie in 0..1. Closed form, per
    pixel: ``t = min(1, (1 - Y) / (max - Y), Y / (Y - min))``. Y and so L* are exact.
    The hue angle in Lab turns by about 1 degree, and by at most 13 (in reds) for the
    chroma of photographs.
    """
    xp = find_library(linear)
    y = xp.clip(luminance(linear), 0.0, 1.0)
    departure = linear - y
    negligible = xp.finfo(linear.dtype).eps  # avoids 0 / 0 for grays, in half precision too
    above = xp.clip(xp.amax(departure, -1)[..., None], negligible, None)
    below = xp.clip(-xp.amin(departure, -1)[..., None], negligible, None)
    room = xp.minimum((1 - y) / above, y / below)
    return xp.clip(y + departure * xp.clip(room, None, 1.0), 0.0, 1.0)
