"""Tell color photos from gray and toned ones.

Gray scans have chroma from noise and JPEG compression. Toned photos (sepia, cyanotype,
yellowed paper, split toning) have a hue that depends on lightness only. In a color
photo pixels of equal lightness differ in color, and that is what is measured here.

Reduced to 64 pixels a side, gray and toned versions of ten photos, with noise, JPEG
quality 40 or strongly yellowed corners, measure up to 4.2. Of 400 color photos of
COCO val2017, 91 % measure more than 5.
"""

import numpy as np

from colorizenet import color
from colorizenet.imaging.resampling import resize

__all__ = ["COLORED", "is_colored", "measure_color_variation"]

COLORED = 5.0
"""Photos whose color variation is larger count as color photos. In units of CIELAB."""

_SHORT_SIDE = 64
_LIGHTNESS_LEVELS = 16


def measure_color_variation(pixels: np.ndarray) -> float:
    """Root mean square distance of a*, b* from the mean at similar lightness, in
    CIELAB.

    ``pixels``: ``(H, W)`` or ``(H, W, 3)`` sRGB, uint8, uint16 or floats in 0..1. The
    result is 0 for gray pictures and close to 0 for pictures toned in one hue.
    """
    if pixels.ndim == 2:
        return 0.0
    scale = min(1.0, _SHORT_SIDE / min(pixels.shape[:2]))
    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    small = resize(pixels, height, width)
    largest = np.iinfo(small.dtype).max if small.dtype.kind == "u" else 1
    rgb = small.reshape(-1, 3).astype(np.float32) / np.float32(largest)
    lab = color.rgb_to_lab(rgb)
    by_lightness = lab[np.argsort(lab[:, 0], kind="stable"), 1:]
    levels = np.array_split(by_lightness, min(_LIGHTNESS_LEVELS, len(by_lightness)))
    variances = [((ab - ab.mean(axis=0)) ** 2).sum(axis=1).mean() for ab in levels]
    return float(np.sqrt(np.mean(variances)))


def is_colored(pixels: np.ndarray) -> bool:
    """Whether a picture is a color photo: neither gray nor toned. See ``COLORED``."""
    return measure_color_variation(pixels) > COLORED
