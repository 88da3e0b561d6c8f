"""One picture as ``evaluate`` treats it: gray for the network, then chroma added.

These are the steps of ``Colorizer.predict`` and ``Colorizer.apply`` for a gray picture
of 8 bits at the network's size, by the same functions of ``upsample`` and ``color``. A
test compares the results.
"""

import numpy as np
from jaxtyping import Float, UInt8

from colorizenet import color
from colorizenet.evaluation import metrics
from colorizenet.imaging.resampling import resize
from colorizenet.upsample import EdgeUpsampler

__all__ = ["make_gray", "measure_pictures", "merge_chroma"]


def make_gray(rgb: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w"]:
    """Convert a photo to the gray picture of equal L*."""
    l_star = color.lightness(rgb)
    return color.compose(l_star, np.zeros((*l_star.shape, 2), np.float32), np.dtype(np.uint8))[
        ..., 0
    ]


def merge_chroma(
    gray: UInt8[np.ndarray, "h w"], ab: Float[np.ndarray, "h2 w2 2"]
) -> UInt8[np.ndarray, "h w 3"]:
    """Color a gray picture: upsample ab, in a*b* units, and fade it to the gamut."""
    l_small = color.lightness(resize(gray, *ab.shape[:2]))
    l_star = color.lightness(gray)
    a, b = EdgeUpsampler(ab, l_small, gray.shape).planes(l_star, 0)
    return color.compose_planes(l_star, a, b, np.dtype(np.uint8))


def measure_pictures(
    pictures: UInt8[np.ndarray, "n h w 3"], truths: UInt8[np.ndarray, "n h w 3"]
) -> dict[str, float]:
    """Mean CIEDE2000, PSNR and colorfulness of pictures, as ``evaluate`` has them."""
    pairs = list(zip(pictures, truths, strict=True))
    return {
        "ciede2000": float(np.mean([metrics.ciede2000(*pair) for pair in pairs])),
        "psnr": float(np.mean([metrics.psnr(*pair) for pair in pairs])),
        "colorfulness": float(np.mean([metrics.colorfulness(picture) for picture in pictures])),
    }
