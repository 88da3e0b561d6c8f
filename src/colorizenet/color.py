"""Conversions between sRGB and CIELAB, for NumPy arrays and PyTorch tensors alike.

Color is the last axis and the rest of the shape is free: ``(3,)`` is one color,
``(H, W, 3)`` an image, ``(B, H, W, 3)`` a batch. Every function keeps the dtype, the
device and (for tensors) the gradient of its input, and none of them clips unless its name
says so.

    space     range                             white
    rgb       0..1, gamma-encoded sRGB          (1, 1, 1)
    linear    0..1, the same primaries, light   (1, 1, 1)
    lab       L* 0..100, a* and b* about ±110   (100, 0, 0), D65, 2 degree observer
    network   L / 100, ab / 128                 (1, 0, 0)

White is the sum of the primaries, so a gray has no chroma: exactly a = b = 0.

References:
    IEC 61966-2-1:1999 (sRGB); CIE 15:2004 (CIELAB, D65).
"""

import sys
from collections.abc import Callable
from functools import lru_cache
from types import ModuleType
from typing import Any, TypeVar

import cv2
import numpy as np

__all__ = [
    "AB_SCALE",
    "L_SCALE",
    "compose",
    "compose_planes",
    "denormalize_ab",
    "denormalize_l",
    "fade_linear",
    "fade_to_gamut",
    "lab_to_linear",
    "lab_to_rgb",
    "lightness",
    "linear_to_lab",
    "linear_to_rgb",
    "luminance",
    "normalize_ab",
    "normalize_l",
    "rgb_to_lab",
    "rgb_to_linear",
]

Array = TypeVar("Array", bound=Any)
"""A ``numpy.ndarray`` or a ``torch.Tensor`` of floats; what goes in comes out."""

L_SCALE = 100.0
"""L* of 0..100 divided by this is what a network sees."""
AB_SCALE = 128.0
"""a* and b* divided by this is what a network predicts."""


def _xyz_from_linear() -> np.ndarray:
    """The matrix linear sRGB -> XYZ, derived from the chromaticities of IEC 61966-2-1."""
    xy = np.array([[0.64, 0.33], [0.30, 0.60], [0.15, 0.06]])
    white_x, white_y = 0.3127, 0.3290
    primaries = np.column_stack([xy, 1 - xy.sum(axis=1)]).T / xy[:, 1]
    white = np.array([white_x, white_y, 1 - white_x - white_y]) / white_y
    return primaries * np.linalg.solve(primaries, white)


# XYZ relative to white is linear in rgb and sends grays to grays, so it is "green plus what
# the differences from green add": with r - g = b - g = 0 exactly, no rounding can tint a gray.
_RELATIVE_XYZ = _xyz_from_linear() / _xyz_from_linear().sum(axis=1, keepdims=True)
_XYZ_FROM_DIFFERENCES = _RELATIVE_XYZ[:, [0, 2]]
# The same the other way round: rgb is Y plus what X - Y and Z - Y add.
_LINEAR_FROM_DIFFERENCES = np.linalg.inv(_RELATIVE_XYZ)[:, [0, 2]]

# Both at once, of X - Y, Y and Z - Y
_LINEAR_FROM_LIGHT = np.insert(_LINEAR_FROM_DIFFERENCES, 1, 1, axis=1).astype(np.float32)

_DELTA = 6 / 29  # CIE 15:2004, where the cube root meets its tangent
_DARK = 0.0031308  # IEC 61966-2-1:1999, where the power meets its tangent
_COLUMNS = (
    1 << 14
)  # of a product that BLAS does not share out among threads of its own, which ours must not wait for


def _xp(array: Any) -> ModuleType:
    """The library an array belongs to (numpy or torch), found without importing torch."""
    xp = sys.modules[type(array).__module__.partition(".")[0]]
    if xp.__name__ not in ("numpy", "torch"):
        raise ValueError(f"colors are NumPy arrays or PyTorch tensors, not {type(array)}")
    if "float" not in str(array.dtype):
        raise ValueError(f"colors are floats, and this array is {array.dtype}; scale it to 0..1")
    return xp


# Powers are taken of each channel by itself: PyTorch rounds the last few elements of an array (a
# scalar loop) otherwise than the rest (a vector loop), so the equal channels of a gray would not
# stay equal in one array. Each branch of a where() is finite everywhere, or its gradient is not.


def _channels(colors: Array) -> tuple[Array, Array, Array]:
    """Each channel as an array with a last axis of one: ``(..., 3) -> 3 x (..., 1)``."""
    return colors[..., 0:1], colors[..., 1:2], colors[..., 2:3]


def _channelwise(curve: Callable[[Array], Array], colors: Array) -> Array:
    """Apply an elementwise curve so that a gray stays gray. NumPy needs no help with that."""
    xp = _xp(colors)
    if xp is np or colors.shape[-1] != 3:
        return curve(colors)
    return xp.concatenate([curve(channel) for channel in _channels(colors)], -1)


def rgb_to_linear(rgb: Array) -> Array:
    """Decode the sRGB transfer function. Shape and range are kept (IEC 61966-2-1)."""
    xp = _xp(rgb)

    def decode(value: Array) -> Array:
        curve = ((xp.clip(value, 0.04045, None) + 0.055) / 1.055) ** 2.4
        return xp.where(value <= 0.04045, value / 12.92, curve)

    return _channelwise(decode, rgb)


def linear_to_rgb(linear: Array) -> Array:
    """Encode with the sRGB transfer function. Shape and range are kept (IEC 61966-2-1)."""
    xp = _xp(linear)

    def encode(value: Array) -> Array:
        curve = 1.055 * xp.clip(value, _DARK, None) ** (1 / 2.4) - 0.055
        return xp.where(value <= _DARK, value * 12.92, curve)

    return _channelwise(encode, linear)


def luminance(linear: Array) -> Array:
    """Y of linear sRGB, 0..1. Shape: ``(..., 3) -> (..., 1)``."""
    red, green, blue = _channels(linear)
    red_weight, blue_weight = _XYZ_FROM_DIFFERENCES[1].tolist()
    return green + red_weight * (red - green) + blue_weight * (blue - green)


def linear_to_lab(linear: Array) -> Array:
    """Convert linear sRGB to CIELAB. Shape: ``(..., 3) -> (..., 3)``."""
    xp = _xp(linear)

    def lightness_curve(t: Array) -> Array:
        # Below _DELTA**3 the cube root goes on along its tangent; said without a where(), which takes longer.
        return xp.clip(t, _DELTA**3, None) ** (1 / 3) + xp.clip(t - _DELTA**3, None, 0) / (
            3 * _DELTA**2
        )

    red, green, blue = _channels(linear)
    fx, fy, fz = (
        lightness_curve(green + (red - green) * from_red + (blue - green) * from_blue)
        for from_red, from_blue in _XYZ_FROM_DIFFERENCES.tolist()
    )
    return xp.concatenate([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)], -1)


def lab_to_linear(lab: Array) -> Array:
    """Convert CIELAB to linear sRGB, which may leave 0..1. Shape: ``(..., 3) -> (..., 3)``."""
    xp = _xp(lab)
    l_star, a, b = _channels(lab)
    fy = (l_star + 16) / 116
    x, y, z = (
        xp.where(f > _DELTA, f**3, (f - 4 / 29) * (3 * _DELTA**2))
        for f in (fy + a / 500, fy, fy - b / 200)
    )
    return xp.concatenate(
        [
            y + (x - y) * from_x + (z - y) * from_z
            for from_x, from_z in _LINEAR_FROM_DIFFERENCES.tolist()
        ],
        -1,
    )


def rgb_to_lab(rgb: Array) -> Array:
    """Convert gamma-encoded sRGB in 0..1 to CIELAB. Shape: ``(..., 3) -> (..., 3)``.

    >>> rgb_to_lab(np.array([1.0, 1.0, 1.0])).round(6) + 0.0
    array([100.,   0.,   0.])
    """
    return linear_to_lab(rgb_to_linear(rgb))


def lab_to_rgb(lab: Array) -> Array:
    """Convert CIELAB to gamma-encoded sRGB, outside 0..1 where a screen cannot show it.

    Shape: ``(..., 3) -> (..., 3)``. Follow ``fade_to_gamut`` with it to stay inside.
    """
    return linear_to_rgb(lab_to_linear(lab))


def normalize_l(l_star: Array) -> Array:
    """L* in 0..100 to what a network sees, 0..1. Any shape."""
    return l_star / L_SCALE


def denormalize_l(value: Array) -> Array:
    """What a network sees, 0..1, to L* in 0..100. Any shape."""
    return value * L_SCALE


def normalize_ab(ab: Array) -> Array:
    """a* and b* to what a network predicts, about ±0.86. Any shape."""
    return ab / AB_SCALE


def denormalize_ab(value: Array) -> Array:
    """What a network predicts to a* and b*, about ±110. Any shape."""
    return value * AB_SCALE


def fade_to_gamut(lab: Array, *, halvings: int = 20) -> Array:
    """Fade each color towards the gray of its own lightness until a screen can show it.

    Shape: ``(..., 3) -> (..., 3)``; L* must lie in 0..100. Unlike clipping rgb, this keeps L*
    and hue; it bisects, so the chroma kept lies at an edge of the gamut to within 1 part in
    ``2**halvings``. The reference for ``fade_linear``, which is many times faster.
    """
    xp = _xp(lab)
    slack = 1e-6  # a gray must count as inside in spite of rounding

    def shown(share: Any) -> Array:
        return xp.concatenate([lab[..., :1], lab[..., 1:] * share], -1)

    def inside(candidate: Array) -> Any:
        linear = lab_to_linear(candidate)
        return ((linear >= -slack) & (linear <= 1 + slack)).all(-1)[..., None]

    kept = xp.where(inside(lab), xp.ones_like(lab[..., :1]), xp.zeros_like(lab[..., :1]))
    step = 1 - kept  # nothing to search where the color is inside already
    for _ in range(halvings):
        step = step / 2
        kept = xp.where(inside(shown(kept + step)), kept + step, kept)
    return shown(kept)


def fade_linear(linear: Array) -> Array:
    """Fade linear sRGB towards the gray of equal luminance until it lies in 0..1.

    Shape: ``(..., 3) -> (..., 3)``. In closed form, per pixel,
    ``t = min(1, (1 - Y) / (max - Y), Y / (Y - min))``: Y and so L* are exact; the hue angle in
    Lab turns by about 1 degree, at most 13 (in reds) for the chroma of photographs. The
    luminance must lie in 0..1.
    """
    xp = _xp(linear)
    y = xp.clip(luminance(linear), 0.0, 1.0)
    departure = linear - y
    negligible = xp.finfo(linear.dtype).eps  # keeps 0 / 0 away from grays, in half precision too
    above = xp.clip(xp.amax(departure, -1)[..., None], negligible, None)
    below = xp.clip(-xp.amin(departure, -1)[..., None], negligible, None)
    room = xp.minimum((1 - y) / above, y / below)
    return xp.clip(y + departure * xp.clip(room, None, 1.0), 0.0, 1.0)


# The fast path for whole photographs, in strips that fit the cache: planes instead of triples, tables
# instead of powers, and few calls, each over a whole strip and all of them without Python's lock.
# ``rgb_to_lab``, ``lab_to_rgb`` and ``fade_linear`` above say what it must equal.


def lightness(pixels: np.ndarray) -> np.ndarray:
    """L* of sRGB pixels, gray ``(H, W)`` or color ``(H, W, 3)`` -> ``(H, W)`` float32 in 0..100.

    Takes uint8, uint16 (each of full range) and floats in 0..1.
    """
    if pixels.ndim == 2:
        if pixels.dtype.kind == "u":
            return _looked_up(_lightness_table(pixels.dtype), pixels)
        y = rgb_to_linear(pixels.astype(np.float32, copy=False))
    else:
        if pixels.dtype.kind == "u":
            linear = _looked_up(_linear_table(pixels.dtype), pixels)
        else:
            linear = rgb_to_linear(pixels.astype(np.float32, copy=False))
        y = cv2.transform(np.ascontiguousarray(linear), _RELATIVE_XYZ[1:2].astype(np.float32))
        y = y.reshape(pixels.shape[:2])
    return _lightness_of_luminance(y)


def compose(l_star: np.ndarray, ab: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """sRGB pixels of L* ``(H, W)`` and ab ``(H, W, 2)``, both float32 -> ``(H, W, 3)`` of ``dtype``.

    Colors outside sRGB fade as by ``fade_linear``. uint8 and uint16 use their full range and
    are rounded, floats are in 0..1.
    """
    return compose_planes(l_star, ab[..., 0], ab[..., 1], dtype)


def compose_planes(l_star: np.ndarray, a: np.ndarray, b: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """As ``compose``, with a* and b* as planes of their own, ``(H, W)`` float32."""
    dtype = np.dtype(dtype)
    shape = l_star.shape
    # In one row, for _at_least
    l_star, a, b = (np.ascontiguousarray(plane).reshape(1, -1) for plane in (l_star, a, b))
    fy = (l_star + np.float32(16)) * np.float32(1 / 116)
    f = a * np.float32(1 / 500)
    f += fy
    light = np.empty((3, l_star.size), np.float32)
    _cube(f, light[0:1])
    _cube(fy, light[1:2])
    np.multiply(b, np.float32(-1 / 200), out=f)
    f += fy
    _cube(f, light[2:3])
    light[::2] -= light[1]
    y = light[1:2]
    linear = np.empty_like(light)
    for start in range(0, light.shape[1], _COLUMNS):
        np.matmul(
            _LINEAR_FROM_LIGHT,
            light[:, start : start + _COLUMNS],
            out=linear[:, start : start + _COLUMNS],
        )
    red, green, blue = linear[0:1], linear[1:2], linear[2:3]
    above = cv2.max(cv2.max(red, green), blue)
    below = cv2.min(cv2.min(red, green), blue)
    if above.max() > 1 or below.min() < 0:
        # share <= (1 - Y) / (max - Y) and share <= Y / (Y - min), written without dividing by zero
        above -= y
        above = _at_least(above, 1e-9)
        np.subtract(y, below, out=below)
        below = _at_least(below, 1e-9)
        np.divide(1 - y, above, out=above)
        np.divide(y, below, out=below)
        share = 1 - _at_least(1 - _at_least(cv2.min(above, below), 0.0), 0.0)
        linear -= y
        linear *= share
        linear += y
    return cv2.merge([_encode(channel, dtype) for channel in (red, green, blue)]).reshape(*shape, 3)


def _at_least(row: np.ndarray, floor: float) -> np.ndarray:
    """The larger of each number and one other, in a third of the time that NumPy takes. Shape: ``(1, n)``."""
    if row.size == 1:  # which OpenCV takes for a scalar, as it does a column of four
        return np.maximum(row, row.dtype.type(floor))
    return cv2.max(row, floor)  # pyright: ignore[reportCallIssue, reportArgumentType]


def _cube(f: np.ndarray, cubed: np.ndarray) -> None:
    """The inverse of the CIE 15:2004 lightness function, which goes on along its tangent below delta. One row."""
    bright = f.min() > _DELTA  # nothing is nearly black, as in most strips
    held = f if bright else _at_least(f, _DELTA)
    np.multiply(held, held, out=cubed)
    cubed *= held
    if not bright:
        np.subtract(f, held, out=held)
        held *= np.float32(3 * _DELTA**2)
        cubed += held


def _lightness_of_luminance(y: np.ndarray) -> np.ndarray:
    held = np.maximum(y, _DELTA**3)
    l_star = 116 * np.cbrt(held) - 16
    l_star += (y - held) * (116 / (3 * _DELTA**2))
    return l_star.astype(np.float32, copy=False)


def _encode(linear: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Linear light, within rounding of 0..1 -> sRGB of a depth. One row, which it takes for itself."""
    if dtype == np.uint8:
        # 65,536 steps of light are at most 0.05 levels of 8 bits apart
        index = np.empty(linear.shape, np.uint16)
        np.multiply(linear, np.float32(65535), out=index, casting="unsafe")
        return _looked_up(_encoding_table(), index)
    top, half = (65535, 0.5) if dtype == np.uint16 else (1, 0)
    dark = linear.min() < _DARK
    held = _at_least(linear, _DARK) if dark else linear
    encoded = cv2.pow(held, 1 / 2.4).reshape(linear.shape)
    encoded *= np.float32(1.055 * top)
    if dark:
        linear -= held
        linear *= np.float32(12.92 * top)
        encoded += linear
    encoded += np.float32(half - 0.055 * top)
    return (
        encoded.astype(dtype)
        if dtype == np.uint16
        else encoded.clip(0, 1).astype(dtype, copy=False)
    )


def _looked_up(table: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """``table[indices]``, of any shape, for integers that cannot be outside."""
    if indices.dtype == np.uint8:
        return cv2.LUT(np.ascontiguousarray(indices), table).reshape(indices.shape)
    return table.take(indices)


@lru_cache
def _linear_table(dtype: np.dtype) -> np.ndarray:
    """Linear light of every value of an unsigned integer, float32."""
    top = np.iinfo(dtype).max
    return rgb_to_linear(np.arange(top + 1) / top).astype(np.float32)


@lru_cache
def _lightness_table(dtype: np.dtype) -> np.ndarray:
    """L* of every gray of an unsigned integer, float32."""
    return _lightness_of_luminance(
        rgb_to_linear(np.arange(np.iinfo(dtype).max + 1) / np.iinfo(dtype).max)
    )


@lru_cache
def _encoding_table() -> np.ndarray:
    """The 8-bit sRGB value of the middle of each of 65,536 even steps of linear light."""
    return np.round(linear_to_rgb((np.arange(65536) + 0.5) / 65536) * 255).astype(np.uint8)
