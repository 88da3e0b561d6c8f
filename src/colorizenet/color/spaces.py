"""sRGB, linear light, CIELAB and network units: the reference formulas."""

from collections.abc import Callable

import numpy as np

from colorizenet.color.arrays import Array, find_library, split_channels

__all__ = [
    "AB_SCALE",
    "LINEAR_FROM_XYZ_DIFFERENCES",
    "L_SCALE",
    "RELATIVE_XYZ_FROM_LINEAR",
    "XYZ_FROM_LINEAR_DIFFERENCES",
    "cie_f",
    "denormalize_ab",
    "denormalize_l",
    "invert_cie_f",
    "lab_to_linear",
    "lab_to_rgb",
    "linear_to_lab",
    "linear_to_rgb",
    "luminance",
    "normalize_ab",
    "normalize_l",
    "rgb_to_lab",
    "rgb_to_linear",
]

L_SCALE = 100.0
"""L* of 0..100 is divided by this for the network."""
AB_SCALE = 128.0
"""a* and b* are divided by this for the network."""

DELTA = 6 / 29
"""CIE 15:2004: the value of f below which the cube root continues along its tangent."""
LINEAR_JOINT = 0.0031308
"""IEC 61966-2-1:1999: the linear value below which the transfer function is a line."""
_ENCODED_JOINT = 0.04045  # the same joint, gamma-encoded


def _derive_xyz_from_linear() -> np.ndarray:
    """Derive the matrix linear sRGB -> XYZ from the chromaticities of sRGB."""
    xy = np.array([[0.64, 0.33], [0.30, 0.60], [0.15, 0.06]])
    white_x, white_y = 0.3127, 0.3290
    primaries = np.column_stack([xy, 1 - xy.sum(axis=1)]).T / xy[:, 1]
    white = np.array([white_x, white_y, 1 - white_x - white_y]) / white_y
    return primaries * np.linalg.solve(primaries, white)


RELATIVE_XYZ_FROM_LINEAR = _derive_xyz_from_linear() / _derive_xyz_from_linear().sum(
    axis=1, keepdims=True
)
"""Linear sRGB to XYZ divided by the XYZ of white, so that each row sums to 1."""

# Relative XYZ sends grays to grays. It is computed as green plus what r - g and b - g
# add: for grays both differences are exactly 0, so rounding can never tint a gray.
XYZ_FROM_LINEAR_DIFFERENCES = RELATIVE_XYZ_FROM_LINEAR[:, [0, 2]]
"""What r - g and b - g add to green in each of X, Y and Z."""
LINEAR_FROM_XYZ_DIFFERENCES = np.linalg.inv(RELATIVE_XYZ_FROM_LINEAR)[:, [0, 2]]
"""What X - Y and Z - Y add to Y in each of red, green and blue."""


# PyTorch rounds the last few elements of an array (a scalar loop) otherwise than the
# rest (a vector loop), so the equal channels of a gray would not stay equal inside one
# array. Powers are therefore taken of each channel separately. Both branches of every
# where() are finite, or its gradient would not be.


def _apply_per_channel(curve: Callable[[Array], Array], colors: Array) -> Array:
    """Apply an elementwise curve so that grays stay gray."""
    xp = find_library(colors)
    if xp is np or colors.shape[-1] != 3:
        return curve(colors)
    return xp.concatenate([curve(channel) for channel in split_channels(colors)], -1)


def rgb_to_linear(rgb: Array) -> Array:
    """Decode the sRGB transfer function (IEC 61966-2-1). Shape is kept."""
    xp = find_library(rgb)

    def decode(value: Array) -> Array:
        curve = ((xp.clip(value, _ENCODED_JOINT, None) + 0.055) / 1.055) ** 2.4
        return xp.where(value <= _ENCODED_JOINT, value / 12.92, curve)

    return _apply_per_channel(decode, rgb)


def linear_to_rgb(linear: Array) -> Array:
    """Encode with the sRGB transfer function (IEC 61966-2-1). Shape is kept."""
    xp = find_library(linear)

    def encode(value: Array) -> Array:
        curve = 1.055 * xp.clip(value, LINEAR_JOINT, None) ** (1 / 2.4) - 0.055
        return xp.where(value <= LINEAR_JOINT, value * 12.92, curve)

    return _apply_per_channel(encode, linear)


def luminance(linear: Array) -> Array:
    """Compute Y of linear sRGB, 0..1. Shape: ``(..., 3) -> (..., 1)``."""
    red, green, blue = split_channels(linear)
    red_weight, blue_weight = XYZ_FROM_LINEAR_DIFFERENCES[1].tolist()
    return green + red_weight * (red - green) + blue_weight * (blue - green)


def cie_f(t: Array) -> Array:
    """Apply the lightness function of CIE 15:2004 to relative X, Y or Z. Any shape.

    A cube root that continues along its tangent below ``(6 / 29) ** 3``. L* is
    ``116 * cie_f(Y) - 16``.
    """
    xp = find_library(t)
    joint = DELTA**3
    # The sum of the two parts is faster than a where().
    return xp.clip(t, joint, None) ** (1 / 3) + xp.clip(t - joint, None, 0) / (3 * DELTA**2)


def invert_cie_f(f: Array) -> Array:
    """Apply the inverse of ``cie_f``. Any shape."""
    return find_library(f).where(f > DELTA, f**3, (f - 4 / 29) * (3 * DELTA**2))


def linear_to_lab(linear: Array) -> Array:
    """Convert linear sRGB to CIELAB. Shape: ``(..., 3) -> (..., 3)``."""
    xp = find_library(linear)
    red, green, blue = split_channels(linear)
    fx, fy, fz = (
        cie_f(green + (red - green) * from_red + (blue - green) * from_blue)
        for from_red, from_blue in XYZ_FROM_LINEAR_DIFFERENCES.tolist()
    )
    return xp.concatenate([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)], -1)


def lab_to_linear(lab: Array) -> Array:
    """Convert CIELAB to linear sRGB, which may leave 0..1. Shape: ``(..., 3) -> (...,
    3)``."""
    xp = find_library(lab)
    l_star, a, b = split_channels(lab)
    fy = (l_star + 16) / 116
    x, y, z = (invert_cie_f(f) for f in (fy + a / 500, fy, fy - b / 200))
    return xp.concatenate(
        [
            y + (x - y) * from_x + (z - y) * from_z
            for from_x, from_z in LINEAR_FROM_XYZ_DIFFERENCES.tolist()
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
    """Convert CIELAB to gamma-encoded sRGB, which leaves 0..1 for colors out of gamut.

    Shape: ``(..., 3) -> (..., 3)``. Apply ``fade_to_gamut`` first to stay inside.
    """
    return linear_to_rgb(lab_to_linear(lab))


def normalize_l(l_star: Array) -> Array:
    """Convert L* in 0..100 to network units, 0..1. Any shape."""
    return l_star / L_SCALE


def denormalize_l(value: Array) -> Array:
    """Convert network units, 0..1, to L* in 0..100. Any shape."""
    return value * L_SCALE


def normalize_ab(ab: Array) -> Array:
    """Convert a* and b* to network units, about ±0.86. Any shape."""
    return ab / AB_SCALE


def denormalize_ab(value: Array) -> Array:
    """Convert network units to a* and b*, about ±110. Any shape."""
    return value * AB_SCALE
