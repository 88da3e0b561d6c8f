"""One picture as ``evaluate`` treats it: gray for the network, then chroma added.

These are the steps of ``Colorizer.predict`` and ``Colorizer.apply`` for a gray picture
of 8 bits at the network's size, by the same functions of ``upsample`` and ``color``. A
test compares the results.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from colorizenet import color
from colorizenet.evaluation import metrics
from colorizenet.imaging.resampling import resize
from colorizenet.upsample import EdgeUpsampler

__all__ = ["color_pictures", "make_gray", "measure_draws", "measure_pictures", "merge_chroma"]


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


def color_pictures(
    grays: UInt8[np.ndarray, "n h w"], ab: Float[Tensor, "n 2 h2 w2"]
) -> UInt8[np.ndarray, "n h w 3"]:
    """Color gray pictures by ``merge_chroma``; ab is in network units."""
    chroma = color.denormalize_ab(ab).movedim(1, -1).contiguous().cpu().numpy()
    return np.stack([merge_chroma(*pair) for pair in zip(grays, chroma, strict=True)])


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


def measure_draws(
    drawn: Sequence[UInt8[np.ndarray, "n h w 3"]],
    draws: Sequence[Float[Tensor, "n 2 h2 w2"]],
    truths: UInt8[np.ndarray, "n h w 3"],
) -> dict[str, float]:
    """Metrics of several draws of each picture, colored and as ab in network units.

    ``best_ciede2000`` is that of the best draw of each picture, ``mean_spread`` the
    standard deviation of the mean a* and b* of a picture over its draws. The others are
    those of the first draw.
    """
    errors = [
        [metrics.ciede2000(*pair) for pair in zip(pictures, truths, strict=True)]
        for pictures in drawn
    ]
    means = color.denormalize_ab(torch.stack([ab.mean((2, 3)) for ab in draws]))
    spread = means.var(0, correction=min(1, len(draws) - 1)).sum(-1).sqrt()
    return {
        **measure_pictures(drawn[0], truths),
        "best_ciede2000": float(np.min(errors, axis=0).mean()),
        "mean_spread": float(spread.mean()),
    }
