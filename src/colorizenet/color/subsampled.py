"""sRGB for files that store chroma at half size (4:2:0), as most JPEGs do.

Chroma, the gamut and the encoding of light are computed at half size, which is all that
the file stores. Only lightness needs every pixel: for a block of 2 x 2 pixels,

    rgb = rgb_half + slope * (gray - gray_half)

where ``gray`` is the level of the gray of equal luminance, and ``slope`` how fast luma
must follow it, at fixed chroma, so that luminance does::

    slope = d linear(gray_half) / sum_i w_i d linear(rgb_half_i)

with the weights ``w`` of luminance. All three channels get the same addition, so the
encoder finds the same chroma in the four pixels of a block.
"""

from functools import lru_cache

import cv2
import numpy as np

from colorizenet.color.fast import (
    LUMINANCE_WEIGHTS,
    find_steps,
    lightness,
    linear_planes,
    linear_table,
    look_up,
)
from colorizenet.color.spaces import LINEAR_JOINT, linear_to_rgb, rgb_to_linear

__all__ = ["compose_subsampled", "gray_levels", "halve_levels"]


def gray_levels(pixels: np.ndarray) -> np.ndarray:
    """Compute the gray of equal luminance: ``(H, W)`` or ``(H, W, 3)`` -> ``(H, W)``.

    uint8 sRGB, in and out.
    """
    if pixels.ndim == 2:
        return pixels
    light = look_up(linear_table(pixels.dtype), pixels)
    y = cv2.transform(light, LUMINANCE_WEIGHTS).reshape(pixels.shape[:2])
    return np.rint(look_up(_levels_of_light(), find_steps(y))).astype(np.uint8)


def halve_levels(levels: np.ndarray) -> np.ndarray:
    """Average blocks of 2 x 2 pixels: ``(H, W)`` -> ``(H / 2, W / 2)`` uint8."""
    height, width = levels.shape
    return cv2.resize(levels, (width // 2, height // 2), interpolation=cv2.INTER_AREA)


def compose_subsampled(
    levels: np.ndarray, halved: np.ndarray, a: np.ndarray, b: np.ndarray, result: np.ndarray
) -> None:
    """Color gray levels, for a file with chroma at half size.

    ``levels`` are ``(H, W)`` uint8, with even sides, and ``halved`` are their means by
    ``halve_levels``, whose a* and b* are given. ``result``, ``(H, W, 3)`` uint8, is
    filled.
    """
    linear = linear_planes(lightness(halved), a, b)
    rgb = look_up(_levels_of_light(), find_steps(linear))
    slope = look_up(_light_slopes(), halved) / _luminance_slope(linear, rgb).reshape(halved.shape)
    center, slope, *channels = (
        _double_columns(plane.reshape(halved.shape)) for plane in (halved, slope, *rgb)
    )
    for odd in (0, 1):
        detail = cv2.subtract(levels[odd::2], center, dtype=cv2.CV_32F)
        detail *= slope
        rounded = [cv2.add(detail, channel, dtype=cv2.CV_8U) for channel in channels]
        cv2.merge(rounded, dst=result[odd::2])


def _luminance_slope(linear: np.ndarray, rgb: np.ndarray) -> np.ndarray:
    """How luminance grows with luma at fixed chroma: ``(3, n), (3, n) -> (1, n)``.

    ``linear`` is light in 0..1, ``rgb`` the same in 0..255.
    """
    # The derivative of ((x + 0.055) / 1.055) ** 2.4 is 2.4 times itself / (x + 0.055);
    # on the line below the joint, which it exceeds above it, it is 1 / 12.92.
    slopes = rgb + np.float32(255 * 0.055)
    np.divide(linear, slopes, out=slopes)
    np.maximum(slopes, np.float32(1 / 12.92 / (255 * 2.4)), out=slopes)
    return LUMINANCE_WEIGHTS * np.float32(255 * 2.4) @ slopes


def _double_columns(plane: np.ndarray) -> np.ndarray:
    """Repeat each column: ``(h, w) -> (h, 2 * w)``, five times as fast as NumPy."""
    return cv2.merge([plane, plane]).reshape(len(plane), -1)


@lru_cache
def _light_slopes() -> np.ndarray:
    """How fast light grows with encoded gray, both in 0..1, at 256 levels, float32."""
    gray = np.arange(256) / 255
    light = rgb_to_linear(gray)
    line = light <= LINEAR_JOINT
    return np.where(line, 1 / 12.92, 2.4 * light / (gray + 0.055)).astype(np.float32)


@lru_cache
def _levels_of_light() -> np.ndarray:
    """The sRGB level, 0..255, of each of 65,536 even steps of light, float32."""
    return (linear_to_rgb((np.arange(65536) + 0.5) / 65536) * 255).astype(np.float32)
