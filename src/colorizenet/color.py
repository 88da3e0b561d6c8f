"""Conversions between sRGB and CIELAB, for NumPy arrays and PyTorch tensors alike.

Colour is the last axis and the rest of the shape is free: ``(3,)`` is one colour,
``(H, W, 3)`` an image, ``(B, H, W, 3)`` a batch. Every function keeps the dtype, the
device and (for tensors) the gradient of its input, and none of them clips unless its name
says so.

    space     range                             white
    rgb       0..1, gamma-encoded sRGB          (1, 1, 1)
    linear    0..1, the same primaries, light   (1, 1, 1)
    lab       L* 0..100, a* and b* about ±110   (100, 0, 0), D65, 2 degree observer
    network   L / 100, ab / 128                 (1, 0, 0)

White is the sum of the primaries, so a grey has no chroma: exactly a = b = 0.

References:
    IEC 61966-2-1:1999 (sRGB); CIE 15:2004 (CIELAB, D65).
"""

import sys
from types import ModuleType
from typing import Any, TypeVar

import numpy as np

__all__ = [
    "AB_SCALE",
    "L_SCALE",
    "denormalize_ab",
    "denormalize_l",
    "fade_linear",
    "fade_to_gamut",
    "lab_to_linear",
    "lab_to_rgb",
    "linear_to_lab",
    "linear_to_rgb",
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


# XYZ relative to white is linear in rgb and sends greys to greys, so it is "green plus what
# the differences from green add": with r - g = b - g = 0 exactly, no rounding can tint a grey.
_RELATIVE_XYZ = _xyz_from_linear() / _xyz_from_linear().sum(axis=1, keepdims=True)
_XYZ_FROM_DIFFERENCES = _RELATIVE_XYZ[:, [0, 2]]
# The same the other way round: rgb is Y plus what X - Y and Z - Y add.
_LINEAR_FROM_DIFFERENCES = np.linalg.inv(_RELATIVE_XYZ)[:, [0, 2]]

_DELTA = 6 / 29  # CIE 15:2004, where the cube root meets its tangent


def _xp(array: Any) -> ModuleType:
    """The library an array belongs to (numpy or torch), found without importing torch."""
    xp = sys.modules[type(array).__module__.partition(".")[0]]
    if xp.__name__ not in ("numpy", "torch"):
        raise ValueError(f"colours are NumPy arrays or PyTorch tensors, not {type(array)}")
    if "float" not in str(array.dtype):
        raise ValueError(f"colours are floats, and this array is {array.dtype}; scale it to 0..1")
    return xp


def _spread(base: Array, differences: Array, matrix: np.ndarray) -> Array:
    """``base + matrix @ differences`` along the last axis: (..., 1) + (..., 2) -> (..., 3)."""
    xp = _xp(base)
    columns = matrix.T.astype(str(base.dtype).removeprefix("torch."))
    if xp is not np:
        columns = xp.as_tensor(columns, device=base.device)
    return base + differences[..., 0:1] * columns[0] + differences[..., 1:2] * columns[1]


def rgb_to_linear(rgb: Array) -> Array:
    """Decode the sRGB transfer function. Shape and range are kept (IEC 61966-2-1)."""
    xp = _xp(rgb)
    # Each branch of where() must be finite everywhere, or its gradient is not.
    curve = ((xp.clip(rgb, 0.04045, None) + 0.055) / 1.055) ** 2.4
    return xp.where(rgb <= 0.04045, rgb / 12.92, curve)


def linear_to_rgb(linear: Array) -> Array:
    """Encode with the sRGB transfer function. Shape and range are kept (IEC 61966-2-1)."""
    xp = _xp(linear)
    curve = 1.055 * xp.clip(linear, 0.0031308, None) ** (1 / 2.4) - 0.055
    return xp.where(linear <= 0.0031308, linear * 12.92, curve)


def linear_to_lab(linear: Array) -> Array:
    """Convert linear sRGB to CIELAB. Shape: ``(..., 3) -> (..., 3)``."""
    xp = _xp(linear)
    green = linear[..., 1:2]
    differences = xp.concatenate([linear[..., 0:1] - green, linear[..., 2:3] - green], -1)
    xyz = _spread(green, differences, _XYZ_FROM_DIFFERENCES)
    root = xp.clip(xyz, _DELTA**3, None) ** (1 / 3)
    f = xp.where(xyz > _DELTA**3, root, xyz / (3 * _DELTA**2) + 4 / 29)
    fx, fy, fz = f[..., 0:1], f[..., 1:2], f[..., 2:3]
    return xp.concatenate([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)], -1)


def lab_to_linear(lab: Array) -> Array:
    """Convert CIELAB to linear sRGB, which may leave 0..1. Shape: ``(..., 3) -> (..., 3)``."""
    xp = _xp(lab)
    fy = (lab[..., 0:1] + 16) / 116
    f = xp.concatenate([fy + lab[..., 1:2] / 500, fy, fy - lab[..., 2:3] / 200], -1)
    xyz = xp.where(f > _DELTA, f**3, (f - 4 / 29) * (3 * _DELTA**2))
    y = xyz[..., 1:2]
    differences = xp.concatenate([xyz[..., 0:1] - y, xyz[..., 2:3] - y], -1)
    return _spread(y, differences, _LINEAR_FROM_DIFFERENCES)


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
    """Fade each colour towards the grey of its own lightness until a screen can show it.

    Shape: ``(..., 3) -> (..., 3)``; L* must lie in 0..100. Unlike clipping rgb, this keeps L*
    and hue; it bisects, so the chroma kept is the largest possible to within 1 part in
    ``2**halvings``. The reference for ``fade_linear``, which is many times faster.
    """
    xp = _xp(lab)
    slack = 1e-6  # a grey must count as inside in spite of rounding

    def shown(share: Any) -> Array:
        return xp.concatenate([lab[..., :1], lab[..., 1:] * share], -1)

    def inside(candidate: Array) -> Any:
        linear = lab_to_linear(candidate)
        return ((linear >= -slack) & (linear <= 1 + slack)).all(-1)[..., None]

    kept = xp.where(inside(lab), xp.ones_like(lab[..., :1]), xp.zeros_like(lab[..., :1]))
    step = 1 - kept  # nothing to search where the colour is inside already
    for _ in range(halvings):
        step = step / 2
        kept = xp.where(inside(shown(kept + step)), kept + step, kept)
    return shown(kept)


def fade_linear(linear: Array) -> Array:
    """Fade linear sRGB towards the grey of equal luminance until it lies in 0..1.

    Shape: ``(..., 3) -> (..., 3)``. In closed form, per pixel,
    ``t = min(1, (1 - Y) / (max - Y), Y / (Y - min))``: Y and so L* are exact, the hue angle in
    Lab nearly so. The luminance must lie in 0..1.
    """
    xp = _xp(linear)
    green = linear[..., 1:2]
    red_weight, blue_weight = _XYZ_FROM_DIFFERENCES[1].tolist()
    y = green + red_weight * (linear[..., 0:1] - green) + blue_weight * (linear[..., 2:3] - green)
    y = xp.clip(y, 0.0, 1.0)
    departure = linear - y
    above = xp.clip(xp.amax(departure, -1)[..., None], 1e-12, None)
    below = xp.clip(-xp.amin(departure, -1)[..., None], 1e-12, None)
    room = xp.minimum((1 - y) / above, y / below)
    return xp.clip(y + departure * xp.clip(room, None, 1.0), 0.0, 1.0)
