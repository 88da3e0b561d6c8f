"""Conversions between sRGB and CIELAB, for NumPy arrays and PyTorch tensors alike.

Color is the last axis and the rest of the shape is free: ``(3,)`` is one color, ``(H,
W, 3)`` an image, ``(B, H, W, 3)`` a batch. Every function keeps the dtype, the device
and (for tensors) the gradient of its input, and none of them clips unless its name says
so.

    space     range                             white
    rgb       0..1, gamma-encoded sRGB          (1, 1, 1)
    linear    0..1, the same primaries, light   (1, 1, 1)
    lab       L* 0..100, a* and b* about ±110   (100, 0, 0), D65, 2 degree observer
    network   L / 100, ab / 128                 (1, 0, 0)

White is the sum of the primaries, so a gray has no chroma: exactly a = b = 0.

``lightness``, ``compose``, ``lab_planes`` and ``delta_e_2000_planes`` are fast versions
for whole photographs: NumPy only, in single precision.

References:
    IEC 61966-2-1:1999 (sRGB); CIE 15:2004 (CIELAB, D65); CIE 142-2001 (CIEDE2000).
"""

from colorizenet.color.difference import delta_e_2000
from colorizenet.color.fast import (
    compose,
    compose_planes,
    delta_e_2000_planes,
    lab_planes,
    lightness,
)
from colorizenet.color.gamut import fade_linear, fade_to_gamut
from colorizenet.color.spaces import (
    AB_SCALE,
    L_SCALE,
    cie_f,
    denormalize_ab,
    denormalize_l,
    invert_cie_f,
    lab_to_linear,
    lab_to_rgb,
    linear_to_lab,
    linear_to_rgb,
    luminance,
    normalize_ab,
    normalize_l,
    rgb_to_lab,
    rgb_to_linear,
)
from colorizenet.color.subsampled import compose_subsampled, gray_levels, halve_levels

__all__ = [
    "AB_SCALE",
    "L_SCALE",
    "cie_f",
    "compose",
    "compose_planes",
    "compose_subsampled",
    "delta_e_2000",
    "delta_e_2000_planes",
    "denormalize_ab",
    "denormalize_l",
    "fade_linear",
    "fade_to_gamut",
    "gray_levels",
    "halve_levels",
    "invert_cie_f",
    "lab_planes",
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
