"""The same conversions, fast, for whole photographs: float32 NumPy planes.

Tables replace powers, strips fit the processor's cache, and each call covers a whole
strip and releases Python's lock. The functions of ``spaces``, ``gamut`` and
``difference`` are the reference that these must equal, and tests compare them.
"""

import math
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from colorizenet.color.spaces import (
    DELTA,
    LINEAR_FROM_XYZ_DIFFERENCES,
    LINEAR_JOINT,
    RELATIVE_XYZ_FROM_LINEAR,
    XYZ_FROM_LINEAR_DIFFERENCES,
    cie_f,
    linear_to_rgb,
    rgb_to_linear,
)

__all__ = [
    "LUMINANCE_WEIGHTS",
    "compose",
    "compose_planes",
    "delta_e_2000_planes",
    "find_steps",
    "lab_planes",
    "lightness",
    "linear_planes",
    "linear_table",
    "look_up",
]

Planes = tuple[np.ndarray, np.ndarray, np.ndarray]

_LINEAR_FROM_XYZ = np.insert(LINEAR_FROM_XYZ_DIFFERENCES, 1, 1, axis=1).astype(np.float32)
"""Linear sRGB from (X - Y, Y, Z - Y)."""
_XYZ_FROM_LINEAR = np.insert(XYZ_FROM_LINEAR_DIFFERENCES, 1, 1, axis=1).astype(np.float32)
"""Relative XYZ from (R - G, G, B - G)."""
_DIFFERENCES_FROM_LINEAR = np.array([[1, -1, 0], [0, 1, 0], [0, -1, 1]], np.float32)
"""(R - G, G, B - G) from linear sRGB."""
LUMINANCE_WEIGHTS = RELATIVE_XYZ_FROM_LINEAR[1:2].astype(np.float32)
"""Luminance from linear sRGB, ``(1, 3)``."""

_MATMUL_COLUMNS = 1 << 14
"""Columns per matrix product: below 2^18 multiply-adds OpenBLAS stays single-threaded,
so worker threads never wait for its pool."""
_MOST_PICKED = 0.2
"""If more pixels than this fraction need a change, all of them are computed, which is
faster than picking those."""
_VECTOR_PIXELS = 64
"""More pixels than the longest vector registers hold, several times over."""


def lightness(pixels: np.ndarray) -> np.ndarray:
    """Compute L* of sRGB pixels: ``(H, W)`` or ``(H, W, 3)`` -> ``(H, W)`` float32.

    Takes uint8 and uint16 of full range, and floats in 0..1.
    """
    if pixels.ndim == 2 and pixels.dtype.kind == "u":
        return look_up(_lightness_table(pixels.dtype), pixels)
    if pixels.dtype.kind == "u":
        linear = look_up(linear_table(pixels.dtype), pixels)
    else:
        linear = rgb_to_linear(pixels.astype(np.float32, copy=False))
    if linear.ndim == 3:
        y = cv2.transform(np.ascontiguousarray(linear), LUMINANCE_WEIGHTS).reshape(pixels.shape[:2])
    else:
        y = linear.copy()
    l_star = fast_cie_f(y)
    l_star *= 116
    l_star -= 16
    return l_star


def lab_planes(*pictures: np.ndarray) -> Planes:
    """Convert pictures of equal size, each ``(n, 3)`` uint8 sRGB, to CIELAB.

    Returns L*, a* and b*, each ``(number of pictures, n)`` float32. Equal pixels have
    equal Lab, wherever they are in the array, and grays have a* = b* = 0.
    """
    count = len(pictures[0])
    # OpenCV rounds the last pixels, which fill no vector register, otherwise than the
    # rest. Padding keeps every real pixel away from that end.
    padded_count = (count // _VECTOR_PIXELS + 2) * _VECTOR_PIXELS
    padded = np.zeros((len(pictures), padded_count, 3), np.uint8)
    for row, picture in zip(padded, pictures, strict=True):
        row[:count] = picture
    linear = cv2.LUT(padded, linear_table(np.dtype(np.uint8)))
    xyz = cv2.transform(cv2.transform(linear, _DIFFERENCES_FROM_LINEAR), _XYZ_FROM_LINEAR)
    fx, fy, fz = (plane[:, :count] for plane in cv2.split(fast_cie_f(xyz)))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def fast_cie_f(t: np.ndarray) -> np.ndarray:
    """Apply ``cie_f`` to a float32 array of any shape, which it overwrites."""
    joint = DELTA**3
    curved = np.maximum(t, joint)
    t -= joint
    np.minimum(t, 0, out=t)
    t *= 1 / (3 * DELTA**2)
    root = cv2.exp(cv2.log(curved) * (1 / 3)).reshape(t.shape)  # vectorized on any processor
    curved /= 3 * root * root
    root *= 2 / 3
    root += curved  # a Newton step, which leaves an error in the last digit
    root += t
    return root


def compose(l_star: np.ndarray, ab: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Convert L* ``(H, W)`` and ab ``(H, W, 2)`` to sRGB ``(H, W, 3)`` of ``dtype``.

    Colors outside sRGB fade as by ``fade_linear``. uint8 and uint16 use their full
    range and are rounded; floats are in 0..1.
    """
    return compose_planes(l_star, ab[..., 0], ab[..., 1], dtype)


def compose_planes(l_star: np.ndarray, a: np.ndarray, b: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """As ``compose``, with a* and b* in separate planes ``(H, W)`` float32."""
    rows = linear_planes(l_star, a, b)
    encoded = [_encode(row, np.dtype(dtype)) for row in (rows[0:1], rows[1:2], rows[2:3])]
    return cv2.merge(encoded).reshape(*l_star.shape, 3)


def linear_planes(l_star: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Convert planes of Lab, ``(H, W)`` float32, to linear sRGB ``(3, H * W)``.

    Colors outside sRGB fade as by ``fade_linear``.
    """
    # One row, as _raise_to needs it.
    l_star, a, b = (np.ascontiguousarray(plane).reshape(1, -1) for plane in (l_star, a, b))
    fy = (l_star + np.float32(16)) * np.float32(1 / 116)
    xyz = np.empty((3, l_star.size), np.float32)
    _invert_cie_f(cv2.scaleAdd(a, 1 / 500, fy), xyz[0:1])
    _invert_cie_f(cv2.scaleAdd(b, -1 / 200, fy), xyz[2:3])
    _invert_cie_f(fy, xyz[1:2])
    xyz[::2] -= xyz[1]
    linear = np.empty_like(xyz)
    for start in range(0, xyz.shape[1], _MATMUL_COLUMNS):
        columns = np.s_[:, start : start + _MATMUL_COLUMNS]
        np.matmul(_LINEAR_FROM_XYZ, xyz[columns], out=linear[columns])
    _fade(linear, xyz[1:2])
    return linear


def _fade(linear: np.ndarray, y: np.ndarray) -> None:
    """Apply ``fade_linear`` to light ``(3, n)`` of luminance ``(1, n)``, in place."""
    above = cv2.max(cv2.max(linear[0:1], linear[1:2]), linear[2:3])
    below = cv2.min(cv2.min(linear[0:1], linear[1:2]), linear[2:3])
    outside: Any = np.flatnonzero((above > 1) | (below < 0))
    if outside.size > _MOST_PICKED * y.size:
        outside = slice(None)
    # factor <= (1 - Y) / (max - Y) and <= Y / (Y - min), without dividing by zero
    y, above, below = y[0, outside], above[0, outside], below[0, outside]
    factor = (1 - y) / np.maximum(above - y, 1e-9)
    np.minimum(factor, y / np.maximum(y - below, 1e-9), out=factor)
    np.clip(factor, 0, 1, out=factor)
    linear[:, outside] = (linear[:, outside] - y) * factor + y


def _raise_to(row: np.ndarray, floor: float) -> np.ndarray:
    """Compute ``maximum(row, floor)`` of a row ``(1, n)``, faster than NumPy."""
    if row.size == 1:  # OpenCV takes it for a scalar, as it does a column of four
        return np.maximum(row, row.dtype.type(floor))
    return cv2.max(row, floor)  # pyright: ignore[reportCallIssue, reportArgumentType]


def _invert_cie_f(f: np.ndarray, result: np.ndarray) -> None:
    """Apply ``invert_cie_f`` to one row ``(1, n)``, into ``result``."""
    bright = f.min() > DELTA  # as in most strips
    clipped = f if bright else _raise_to(f, DELTA)
    np.multiply(clipped, clipped, out=result)
    result *= clipped
    if not bright:
        np.subtract(f, clipped, out=clipped)
        clipped *= np.float32(3 * DELTA**2)
        result += clipped


def _encode(linear: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Encode a row ``(1, n)`` of linear light, about 0..1; may overwrite it."""
    if dtype == np.uint8:
        # The 65,536 steps of light are at most 0.05 levels of 8 bits apart.
        return look_up(_encoding_table(), find_steps(linear))
    if dtype == np.uint16:
        # Steps of the square root of light are at most 1.5 levels of 16 bits apart.
        root = cv2.sqrt(_raise_to(linear, 0.0))
        return look_up(_deep_encoding_table(), find_steps(root))
    clipped = _raise_to(linear, LINEAR_JOINT)
    encoded = cv2.pow(clipped, 1 / 2.4).reshape(linear.shape)
    encoded *= np.float32(1.055)
    linear -= clipped
    linear *= np.float32(12.92)
    encoded += linear
    encoded -= np.float32(0.055)
    return encoded.clip(0, 1).astype(dtype, copy=False)


def find_steps(values: np.ndarray) -> np.ndarray:
    """The places of values in 0..1 in a table of 65,536 steps: uint16, of any shape."""
    steps = np.empty(values.shape, np.uint16)
    np.multiply(values, np.float32(65535), out=steps, casting="unsafe")
    return steps


def look_up(table: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Compute ``table[indices]`` for unsigned integers of any shape."""
    return cv2.LUT(np.ascontiguousarray(indices), table).reshape(indices.shape)


@lru_cache
def linear_table(dtype: np.dtype) -> np.ndarray:
    """Compute the linear light of every value of an unsigned integer, float32."""
    top = np.iinfo(dtype).max
    return rgb_to_linear(np.arange(top + 1) / top).astype(np.float32)


@lru_cache
def _lightness_table(dtype: np.dtype) -> np.ndarray:
    """Compute L* of every gray of an unsigned integer, float32."""
    top = np.iinfo(dtype).max
    return (116 * cie_f(rgb_to_linear(np.arange(top + 1) / top)) - 16).astype(np.float32)


@lru_cache
def _encoding_table() -> np.ndarray:
    """Compute the 8-bit sRGB value of each of 65,536 even steps of light."""
    return np.round(linear_to_rgb((np.arange(65536) + 0.5) / 65536) * 255).astype(np.uint8)


@lru_cache
def _deep_encoding_table() -> np.ndarray:
    """Compute the 16-bit sRGB value of each of 65,536 even steps of the square root of
    light."""
    light = ((np.arange(65536) + 0.5) / 65536) ** 2
    return np.round(linear_to_rgb(light) * 65535).astype(np.uint16)


# CIEDE2000 in planes. Equations are those of Sharma et al., as in ``difference``.

_BLUE_HUE, _BLUE_WIDTH = math.radians(275), math.radians(25)


def delta_e_2000_planes(l_star: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Compute CIEDE2000 of pairs of colors. Shape: ``3 x (2, n) -> (n)``.

    Equals ``delta_e_2000``, in the precision of its input and without any hue angle:
    hues are unit vectors, of which the formula's cosines are polynomials.
    """
    stretch = _length(a, b)
    a = a * (1.5 - 0.5 * _high_chroma((stretch[0] + stretch[1]) * 0.5))  # eq. 4: 1 + G
    c = _length(a, b)
    scale = 1 / np.maximum(c, 1e-12)  # a gray gets the unit vector (0, 0)
    (x1, x2), (y1, y2), (a1, a2), (b1, b2) = a * scale, b * scale, a, b
    dx, dy = x2 - x1, y2 - y1

    # The sign of the cross product is that of the turn, which is less than half a
    # circle. It is 0 for exact opposites, where the mean of angles in 0..360 leads away
    # from the smaller.
    side = np.copysign(np.float32(1), a1 * b2 - a2 * b1 + (1e-30 * b1 + 1e-36 * a1))
    delta_l, delta_c = l_star[1] - l_star[0], c[1] - c[0]
    # eq. 11: the chord is 2 sin(turn / 2)
    delta_h = side * np.sqrt((dx * dx + dy * dy) * (c[0] * c[1]))

    # The mean hue halves the angle. The sum of the two unit vectors points there but
    # vanishes for opposites; their difference, turned by 90 degrees, points there too
    # and vanishes for equals. The mean hue of a gray does not matter, because delta_h
    # is 0.
    x, y = x1 + x2 + side * dy, y1 + y2 - side * dx
    scale = 1 / np.maximum(_length(x, y), 1e-12)
    x *= scale
    y *= scale
    cos2, sin2 = x * x - y * y, 2 * x * y
    double = 2 * cos2
    t = 1 - _wave(0.17, x, y, 30)
    t += 0.24 * cos2
    t += _wave(0.32, x * (double - 1), y * (double + 1), -6)  # cos 3h, sin 3h
    t -= _wave(0.20, cos2 * double - 1, sin2 * double, 63)  # cos 4h, sin 4h; eq. 15

    cosine = x * math.cos(_BLUE_HUE) + y * math.sin(_BLUE_HUE)
    from_blue = np.arccos(np.clip(cosine, -1, 1)) * (1 / _BLUE_WIDTH)
    mean_c = (c[0] + c[1]) * 0.5
    tilt = math.radians(60) * np.exp(-from_blue * from_blue)
    tilt *= (x <= 0) | (y < 0)  # the formula counts from 275 down to 0 degrees, not over 360
    rotation = -2 * np.sin(tilt) * _high_chroma(mean_c)  # eq. 16, 17, 21
    mid2 = (l_star[0] + l_star[1]) * 0.5 - 50
    mid2 *= mid2
    delta_l /= 1 + 0.015 * mid2 / np.sqrt(20 + mid2)
    delta_c /= 1 + 0.045 * mean_c
    delta_h /= 1 + 0.015 * mean_c * t
    squared = delta_l * delta_l + delta_c * delta_c + delta_h * (delta_h + rotation * delta_c)
    return np.sqrt(np.maximum(squared, 0))


def _high_chroma(c: np.ndarray) -> np.ndarray:
    """Compute ``sqrt(c**7 / (c**7 + 25**7))``: 0 for grays, 1 for vivid colors."""
    c = c * (1 / 25)
    c2 = c * c
    c7 = c2 * c2 * c2 * c
    return np.sqrt(c7 / (c7 + 1))


def _length(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.sqrt(x * x + y * y)  # np.hypot guards against overflow, at ten times the cost


def _wave(amplitude: float, cosine: np.ndarray, sine: np.ndarray, degrees: float) -> np.ndarray:
    """Compute ``amplitude * cos(h - degrees)`` from the cosine and sine of h."""
    phase = math.radians(degrees)
    return cosine * (amplitude * math.cos(phase)) + sine * (amplitude * math.sin(phase))
