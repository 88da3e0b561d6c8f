"""Metrics of pictures, for NumPy arrays: each function states source, unit and
direction.

Pictures are sRGB ``(H, W, 3)`` uint8, so that a metric is about what a screen shows.
``measure`` computes all metrics of a pair at less than the sum of their costs;
``METRICS`` describes each one. Values are the same to the last digit on every run and
for any number of threads.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from colorizenet import color
from colorizenet.evaluation.arrays import (
    RGB8,
    STRIP_PIXELS,
    check_pair,
    sum_squares,
    sum_values,
)
from colorizenet.evaluation.colorfulness import (
    OpponentSums,
    colorfulness,
    colorfulness_absolute,
)
from colorizenet.evaluation.ssim import SMALLEST, ssim

__all__ = [
    "METRICS",
    "SMALLEST",
    "Metric",
    "bleeding",
    "ciede2000",
    "colorfulness",
    "colorfulness_absolute",
    "glow",
    "measure",
    "psnr",
    "rmse_ab",
    "ssim",
]

Planes = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """The description of a metric in reports."""

    title: str
    unit: str
    """Empty where the metric has none."""
    better: Literal["higher", "lower", "neither"]
    """The direction of better pictures; compare ``neither`` with the value of the
    truth."""
    source: str


METRICS = {
    "psnr": Metric(
        title="PSNR",
        unit="dB",
        better="higher",
        source="mean squared error over all channels of sRGB",
    ),
    "ssim": Metric(
        title="SSIM", unit="", better="higher", source="Wang, Bovik, Sheikh and Simoncelli (2004)"
    ),
    "ciede2000": Metric(
        title="CIEDE2000",
        unit="ΔE00",
        better="lower",
        source="CIE 142-2001; Sharma, Wu, Dalal (2005)",
    ),
    "rmse_ab": Metric(
        title="RMSE of ab",
        unit="a*b*",
        better="lower",
        source="CIE 15:2004, distance in the a*b* plane",
    ),
    "colorfulness": Metric(
        title="Colorfulness",
        unit="levels",
        better="neither",
        source="Hasler and Süsstrunk (2003), signed axes",
    ),
    "colorfulness_absolute": Metric(
        title="Colorfulness, absolute axes",
        unit="levels",
        better="neither",
        source="as computed by DDColor's code; not the paper's formula",
    ),
    "bleeding": Metric(
        title="Bleeding",
        unit="a*b* per pixel",
        better="lower",
        source="ColorizeNet: error of ab gradients away from lightness edges",
    ),
    "glow": Metric(
        title="Glow",
        unit="%",
        better="lower",
        source="ColorizeNet: pixels with a chroma over 60 that exceeds the truth's by over 25",
    ),
}
"""The metrics that ``measure`` computes, in its order."""


def measure(picture: RGB8, truth: RGB8) -> dict[str, float]:
    """Compute every metric of ``METRICS`` of one pair, each equal to its own function.

    Both sides must be at least ``SMALLEST``. The pair is converted to CIELAB once.
    """
    picture, truth = check_pair(picture, truth)
    l_star, error_a, error_b = _allocate_planes(truth)
    total, glowing = 0.0, 0
    for rows, lab in _iterate_lab_strips(picture, truth):
        _store_errors(lab, l_star[rows], error_a[rows], error_b[rows])
        glowing += _count_glowing(*lab[1:])
        total += sum_values(color.delta_e_2000_planes(*lab))
    opponents = OpponentSums(picture)
    return {
        "psnr": psnr(picture, truth),
        "ssim": ssim(picture, truth),
        "ciede2000": total / l_star.size,
        "rmse_ab": _compute_rmse(error_a, error_b),
        "colorfulness": opponents.signed(),
        "colorfulness_absolute": opponents.absolute(),
        "bleeding": _compute_bleeding(l_star, error_a, error_b),
        "glow": 100 * glowing / l_star.size,
    }


def psnr(picture: RGB8, truth: RGB8) -> float:
    """Peak signal-to-noise ratio in dB over all channels; higher is better, equal is
    infinite."""
    picture, truth = check_pair(picture, truth)
    squares = sum_squares(picture, truth)
    return 10 * math.log10(255**2 * picture.size / squares) if squares else math.inf


def ciede2000(picture: RGB8, truth: RGB8) -> float:
    """Mean CIEDE2000 over the pixels; lower is better, 1 is about just noticeable.

    CIE 142-2001, as ``color.delta_e_2000``.
    """
    picture, truth = check_pair(picture, truth)
    total = sum(
        sum_values(color.delta_e_2000_planes(*lab))
        for _, lab in _iterate_lab_strips(picture, truth)
    )
    return total / (picture.shape[0] * picture.shape[1])


def rmse_ab(picture: RGB8, truth: RGB8) -> float:
    """Root mean square distance in the a*b* plane, ``sqrt(mean(Δa² + Δb²))``; lower is
    better.

    The distance of colors in CIELAB (CIE 15:2004) without lightness: a cast of (3, 4)
    scores 5. Papers that also average over the two channels print this divided by
    ``sqrt(2)``.
    """
    _, error_a, error_b = _compute_errors(*check_pair(picture, truth))
    return _compute_rmse(error_a, error_b)


def bleeding(picture: RGB8, truth: RGB8) -> float:
    """How much color changes where it should not, in a*b* per pixel; lower is better.

    Chroma should change where the truth's does. At edges of lightness the eye tolerates
    blurred chroma; elsewhere it notices color that leaks over an outline, and blocks
    and fringes of chroma predicted at low resolution. So this is the error of the
    gradient of chroma, each pixel weighted by how little the truth's lightness changes
    there::

        bleeding = Σ w |∇(ab - ab_truth)| / Σ w,    w = exp(-|∇L_truth| / 2)

    ∇ is the 5 x 5 Sobel operator scaled to units per pixel (mirrored borders, edge
    pixel included), which smooths by about 1 pixel, or the noise of the truth would
    dominate. |∇ab| is the root of the sum of the four squares. 2 L* per pixel is about
    the median of photographs of 256 pixels, whose outlines have 8 and more and so weigh
    less than 2 %.

    The truth scores 0. A gray picture scores what the truth itself has of such changes,
    about 1.2 for photographs: more is worse than no color. Scaling the saturation by 1
    ± p scores p times as much as gray. The value depends on the size: compare pictures
    of one size only. A metric of ColorizeNet.
    """
    return _compute_bleeding(*_compute_errors(*check_pair(picture, truth)))


_FLAT = 2.0  # L* per pixel: the gradient at which the weight of `bleeding` falls to 1 / e
_VIVID, _EXCESS = 60.0, 25.0  # a*b*: the thresholds of `glow`


def glow(picture: RGB8, truth: RGB8) -> float:
    """Percentage of pixels with a chroma over 60 that exceeds the truth's by over 25.

    Lower is better. These are red patches on skin and orange hair, the first thing
    people notice in a colorized photo, which mean errors hide because CIEDE2000
    tolerates most where colors are vivid. In photographs about 2 % of the pixels have a
    chroma over 60; gray scores 0. A metric of ColorizeNet.
    """
    picture, truth = check_pair(picture, truth)
    glowing = sum(_count_glowing(*lab[1:]) for _, lab in _iterate_lab_strips(picture, truth))
    return 100 * glowing / (picture.shape[0] * picture.shape[1])


def _compute_rmse(error_a: np.ndarray, error_b: np.ndarray) -> float:
    return math.sqrt(sum_values(error_a * error_a + error_b * error_b) / error_a.size)


def _compute_bleeding(l_star: np.ndarray, error_a: np.ndarray, error_b: np.ndarray) -> float:
    # cv2.magnitude would be faster, but its last digit depends on memory alignment.
    weight = cv2.exp(_compute_length(*_differentiate(l_star)) * (-1 / _FLAT))
    change = np.sqrt(
        sum(part * part for plane in (error_a, error_b) for part in _differentiate(plane))
    )
    return sum_values(change * weight) / sum_values(weight)


def _differentiate(plane: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the change per pixel to the right and downwards. Shape: ``(H, W) -> 2 x
    (H, W)``."""
    scale = 1 / 128  # the 5 x 5 Sobel operator turns a ramp of slope 1 into 128
    across = cv2.Sobel(plane, -1, 1, 0, ksize=5, scale=scale, borderType=cv2.BORDER_REFLECT)
    down = cv2.Sobel(plane, -1, 0, 1, ksize=5, scale=scale, borderType=cv2.BORDER_REFLECT)
    return across, down


def _count_glowing(a: np.ndarray, b: np.ndarray) -> int:
    """Count the pixels that glow, given a* and b* of picture and truth: 2 x (2, n)."""
    squares = a[0] * a[0] + b[0] * b[0]
    vivid = np.flatnonzero(squares > _VIVID**2)  # usually few or none
    excessive = np.sqrt(squares[vivid]) > _compute_length(a[1, vivid], b[1, vivid]) + _EXCESS
    return int(np.count_nonzero(excessive))


def _compute_length(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.sqrt(x * x + y * y)  # np.hypot guards against overflow, at ten times the cost


def _compute_errors(picture: RGB8, truth: RGB8) -> Planes:
    """Compute L* of the truth and the errors of a* and b*, each ``(H, W)`` float32."""
    l_star, error_a, error_b = _allocate_planes(truth)
    for rows, lab in _iterate_lab_strips(picture, truth):
        _store_errors(lab, l_star[rows], error_a[rows], error_b[rows])
    return l_star, error_a, error_b


def _store_errors(
    lab: Planes, l_star: np.ndarray, error_a: np.ndarray, error_b: np.ndarray
) -> None:
    l_star[...] = lab[0][1].reshape(l_star.shape)
    for pair, error in ((lab[1], error_a), (lab[2], error_b)):
        np.subtract(pair[0].reshape(error.shape), pair[1].reshape(error.shape), out=error)


def _iterate_lab_strips(picture: RGB8, truth: RGB8) -> Iterator[tuple[slice, Planes]]:
    """Yield L*, a* and b* of picture and truth, each (2, n) float32, some rows at a
    time.

    Both pictures go through each call together: worker threads wait for each other once
    per call.
    """
    height, width = picture.shape[:2]
    step = max(1, STRIP_PIXELS // width)
    for top in range(0, height, step):
        rows = np.s_[top : top + step]
        yield rows, color.lab_planes(picture[rows].reshape(-1, 3), truth[rows].reshape(-1, 3))


def _allocate_planes(picture: RGB8) -> Planes:
    shape = picture.shape[:2]
    return np.empty(shape, np.float32), np.empty(shape, np.float32), np.empty(shape, np.float32)
