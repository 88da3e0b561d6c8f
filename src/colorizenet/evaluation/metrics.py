"""One pair of pictures -> one number, for NumPy arrays. Each says its source, unit and direction.

Pictures are sRGB of 8 bits, ``(H, W, 3)`` uint8, so that a number is about what is shown. ``measure``
gives all of them at less than the sum of their costs, ``METRICS`` says what each one is. Numbers are
the same to the last digit on every run and for any number of threads.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import cv2
import numpy as np

from colorizenet import color

__all__ = [
    "METRICS",
    "SMALLEST",
    "Metric",
    "bleeding",
    "ciede2000",
    "colorfulness",
    "colorfulness_absolute",
    "delta_e_2000",
    "glow",
    "measure",
    "psnr",
    "rmse_ab",
    "ssim",
]

RGB8 = np.ndarray
Planes = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What a report says of a number."""

    title: str
    unit: str
    """Empty where the number has none."""
    better: Literal["higher", "lower", "neither"]
    """The direction in which pictures are better; ``neither`` is to be read beside that of the truth."""
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
        source="ours: error of ab gradients off lightness edges",
    ),
    "glow": Metric(
        title="Glow",
        unit="%",
        better="lower",
        source="ours: pixels of a chroma over 60 and of 25 more than the truth's",
    ),
}
"""What ``measure`` gives, in the order in which it gives it."""


def measure(picture: RGB8, truth: RGB8) -> dict[str, float]:
    """Every metric of ``METRICS`` of one pair, each equal to its own function.

    Both sides must be at least ``SMALLEST``. The pair is gone through once in CIELAB for all metrics that need it.
    """
    picture, truth = _pair(picture, truth)
    l_star, error_a, error_b = _empty_planes(truth)
    total, glowing = 0.0, 0
    for rows, lab in _lab_strips(picture, truth):
        _put_errors(lab, l_star[rows], error_a[rows], error_b[rows])
        glowing += _glowing(*lab[1:])
        total += _sum(_delta_e(*lab))
    moments = _Opponents(picture)
    return {
        "psnr": psnr(picture, truth),
        "ssim": ssim(picture, truth),
        "ciede2000": total / l_star.size,
        "rmse_ab": _rmse(error_a, error_b),
        "colorfulness": moments.signed(),
        "colorfulness_absolute": moments.absolute(),
        "bleeding": _bleeding(l_star, error_a, error_b),
        "glow": 100 * glowing / l_star.size,
    }


# Signal


def psnr(picture: RGB8, truth: RGB8) -> float:
    """Peak signal to noise ratio in dB over all channels; higher is better, equal is infinite."""
    picture, truth = _pair(picture, truth)
    squares = _squares(picture, truth)
    return 10 * math.log10(255**2 * picture.size / squares) if squares else math.inf


_SSIM_RADIUS = 5  # pixels; what scikit-image makes of sigma 1.5, cut at 3.5 sigma
SMALLEST = 2 * _SSIM_RADIUS + 1
"""The least height and width, in pixels, that every metric can measure."""
_SSIM_WINDOW = cv2.getGaussianKernel(SMALLEST, 1.5, cv2.CV_32F)
_SSIM_C1, _SSIM_C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def ssim(picture: RGB8, truth: RGB8) -> float:
    """Mean structural similarity over pixels and channels; higher is better, 1 is equal.

    Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to
    structural similarity" (2004): K1 = 0.01, K2 = 0.03, a Gaussian window of 11 x 11 with sigma
    1.5 and population moments, of each channel of sRGB. Windows that reach over the border do
    not count, so both sides must be at least 11. The same number as ``structural_similarity`` of
    scikit-image with ``gaussian_weights=True, use_sample_covariance=False, data_range=255``.
    """
    picture, truth = _pair(picture, truth)
    height, width = picture.shape[:2]
    if min(height, width) < SMALLEST:
        raise ValueError(
            f"SSIM looks through {SMALLEST} x {SMALLEST} pixels and this picture is {width} x {height}; enlarge it"
        )
    inner_height, inner_width = height - 2 * _SSIM_RADIUS, width - 2 * _SSIM_RADIUS
    total, rows = 0.0, max(16, _STRIP // width)
    for top in range(0, inner_height, rows):
        strip = np.s_[top : min(top + rows, inner_height) + 2 * _SSIM_RADIUS]
        total += _sum(_similarity(picture[strip], truth[strip]))
    return total / (inner_height * inner_width * 3)


def _similarity(picture: RGB8, truth: RGB8) -> np.ndarray:
    """SSIM of each sample whose window lies inside. Shape: ``(H, W, 3) -> (H - 10, (W - 10) * 3)``.

    With the sum s and the difference d of the pictures, 2xy = (s² - d²) / 2 and
    x² + y² = (s² + d²) / 2: four filters instead of five, and no small difference of large numbers.
    """
    gray = 255.0  # about the mean of s: variances lose no digits to it
    s = np.add(picture, truth, dtype=np.float32)
    s -= gray
    d = np.subtract(picture, truth, dtype=np.float32)
    s_mean, d_mean, s_square, d_square = map(_windowed, (s, d, s * s, d * d))
    d_mean2 = d_mean * d_mean
    s_square -= s_mean * s_mean
    d_square -= d_mean2
    s_mean += gray
    s_mean *= s_mean
    numerator = (s_mean - d_mean2 + 2 * _SSIM_C1) * (s_square - d_square + 2 * _SSIM_C2)
    s_mean += d_mean2
    s_mean += 2 * _SSIM_C1
    s_square += d_square
    s_square += 2 * _SSIM_C2
    return numerator / (s_mean * s_square)


def _windowed(samples: np.ndarray) -> np.ndarray:
    r = _SSIM_RADIUS
    mean = cv2.sepFilter2D(samples, -1, _SSIM_WINDOW, _SSIM_WINDOW)
    return mean.reshape(len(mean), -1)[r:-r, 3 * r : -3 * r].copy()


# Color difference


def ciede2000(picture: RGB8, truth: RGB8) -> float:
    """Mean CIEDE2000 over the pixels; lower is better, 1 is about a just noticeable difference."""
    picture, truth = _pair(picture, truth)
    total = sum(_sum(_delta_e(*lab)) for _, lab in _lab_strips(picture, truth))
    return total / (picture.shape[0] * picture.shape[1])


def rmse_ab(picture: RGB8, truth: RGB8) -> float:
    """Root mean square distance in the a*b* plane, ``sqrt(mean(Δa² + Δb²))``; lower is better.

    The distance of colors as CIELAB measures it, lightness left out: a cast of (3, 4) scores 5.
    Papers that average over the two channels as well print this divided by ``sqrt(2)``.
    """
    _, error_a, error_b = _errors(*_pair(picture, truth))
    return _rmse(error_a, error_b)


def bleeding(picture: RGB8, truth: RGB8) -> float:
    """How much color changes where it should not, in a*b* per pixel; lower is better, 0 is the truth.

    Chroma should change where the truth's does. At edges of lightness the eye forgives a blur of
    it; elsewhere it sees color that leaks over an outline, and blocks and fringes of chroma that
    was predicted small. So it is the error of the gradient of chroma, each pixel weighted by how
    little the lightness of the truth changes there::

        bleeding = Σ w |∇(ab - ab_truth)| / Σ w,    w = exp(-|∇L_truth| / 2)

    ∇ is the 5 x 5 Sobel operator scaled to units per pixel (borders mirrored, edge pixel included):
    binomial smoothing of about 1 pixel, or the noise of the truth would drown the rest. |∇ab| is
    the root of the sum of the four squares. 2 L* per pixel is about the median of photographs of
    256 px, whose outlines have 8 and more and so weigh less than 2 %.

    A gray picture scores what the truth itself has of such changes, about 1.2 for photographs: more than that
    is worse than no color. More or less saturation by a share p scores p times as much as gray.
    The figure is one of small pictures: compare pictures of one size only.
    """
    return _bleeding(*_errors(*_pair(picture, truth)))


_FLAT = 2.0  # L* per pixel


def _bleeding(l_star: np.ndarray, error_a: np.ndarray, error_b: np.ndarray) -> float:
    # Of OpenCV's functions, magnitude is not for us: its last digit depends on where memory lies.
    weight = cv2.exp(_length(*_gradient(l_star)) * (-1 / _FLAT))
    change = np.sqrt(sum(part * part for plane in (error_a, error_b) for part in _gradient(plane)))
    return _sum(change * weight) / _sum(weight)


def _gradient(plane: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Change per pixel to the right and downwards. Shape: ``(H, W) -> 2 x (H, W)``."""
    per_pixel = 1 / 128  # what a 5 x 5 Sobel operator makes of a ramp of slope 1
    across = cv2.Sobel(plane, -1, 1, 0, ksize=5, scale=per_pixel, borderType=cv2.BORDER_REFLECT)
    down = cv2.Sobel(plane, -1, 0, 1, ksize=5, scale=per_pixel, borderType=cv2.BORDER_REFLECT)
    return across, down


_VIVID, _MORE = 60.0, 25.0  # a*b*


def glow(picture: RGB8, truth: RGB8) -> float:
    """The percentage of pixels that glow: of a chroma over 60 where the truth's is less by over 25; lower is better.

    Red patches on skin, orange hair: what people see first in a colored photograph and what means of errors hide, for
    CIEDE2000 forgives most where colors are vivid. Photographs have a chroma over 60 in a pixel of 50; gray scores 0.
    """
    picture, truth = _pair(picture, truth)
    glowing = sum(_glowing(*lab[1:]) for _, lab in _lab_strips(picture, truth))
    return 100 * glowing / (picture.shape[0] * picture.shape[1])


def _glowing(a: np.ndarray, b: np.ndarray) -> int:
    """How many of these pixels glow: 2 x (2, n), the picture's and the truth's."""
    squares = a[0] * a[0] + b[0] * b[0]
    vivid = np.flatnonzero(squares > _VIVID**2)  # few, mostly none
    return int(
        np.count_nonzero(np.sqrt(squares[vivid]) > _length(a[1, vivid], b[1, vivid]) + _MORE)
    )


def _errors(picture: RGB8, truth: RGB8) -> Planes:
    """L* of the truth and the errors of a* and b*."""
    l_star, error_a, error_b = _empty_planes(truth)
    for rows, lab in _lab_strips(picture, truth):
        _put_errors(lab, l_star[rows], error_a[rows], error_b[rows])
    return l_star, error_a, error_b


def _put_errors(lab: Planes, l_star: np.ndarray, error_a: np.ndarray, error_b: np.ndarray) -> None:
    l_star[...] = lab[0][1].reshape(l_star.shape)
    for pair, error in ((lab[1], error_a), (lab[2], error_b)):
        np.subtract(pair[0].reshape(error.shape), pair[1].reshape(error.shape), out=error)


def _rmse(error_a: np.ndarray, error_b: np.ndarray) -> float:
    return math.sqrt(_sum(error_a * error_a + error_b * error_b) / error_a.size)


# Colorfulness


def colorfulness(picture: RGB8) -> float:
    """How colorful one picture is; 0 is gray, photographs are about 40, neither end is "better".

    Hasler and Süsstrunk, "Measuring colourfulness in natural images" (2003), with the signed
    opponent axes of the paper: ``|std| + 0.3 |mean|`` of rg = R - G and yb = (R + G) / 2 - B.
    """
    return _Opponents(picture).signed()


def colorfulness_absolute(picture: RGB8) -> float:
    """Colorfulness as DDColor's code and its followers compute it: *not* that of Hasler and Süsstrunk.

    The same formula of ``|R - G|`` and ``|(R + G) / 2 - B|``. Without signs, red beside green does
    not spread but shifts, so a picture of many hues scores less than by the paper (``colorfulness``).
    To be compared with tables of absolute axes only; neither end is "better".
    """
    return _Opponents(picture).absolute()


class _Opponents:
    """Sums over one picture of rg = R - G and of 2 yb = R + G - 2B: integers, so exact in any order."""

    def __init__(self, picture: RGB8) -> None:
        _check(picture)
        red, green, blue = _split(np.ascontiguousarray(picture))
        yellow, twice_blue = (
            cv2.add(red, green, dtype=cv2.CV_16S),
            cv2.add(blue, blue, dtype=cv2.CV_16S),
        )
        self.pixels = red.size
        pairs = (red, green), (yellow, twice_blue)
        self.sums = [round(cv2.sumElems(one)[0] - cv2.sumElems(other)[0]) for one, other in pairs]
        self.sums_absolute = [round(cv2.norm(*pair, cv2.NORM_L1)) for pair in pairs]
        self.squares = [_squares(*pair) for pair in pairs]

    def signed(self) -> float:
        return self._formula(self.sums)

    def absolute(self) -> float:
        return self._formula(self.sums_absolute)

    def _formula(self, sums: list[int]) -> float:
        n = self.pixels
        rg_std, yb_std = (
            math.sqrt(n * square - s * s) / n for s, square in zip(sums, self.squares, strict=True)
        )
        rg_mean, yb_mean = (s / n for s in sums)
        return math.hypot(rg_std, yb_std / 2) + 0.3 * math.hypot(rg_mean, yb_mean / 2)


# The formula of CIEDE2000


def delta_e_2000(lab: np.ndarray, other: np.ndarray) -> np.ndarray:
    """CIEDE2000 of each pair of Lab colors with kL = kC = kH = 1. Shape: ``(..., 3) -> (...)``.

    CIE 142-2001, after Sharma, Wu and Dalal (2005). In the precision of its input, at least single.
    """
    lab, other = np.broadcast_arrays(lab, other)
    dtype = np.result_type(lab, other, np.float32)
    pairs = np.stack([np.moveaxis(x, -1, 0).reshape(3, -1) for x in (lab, other)], axis=1).astype(
        dtype, copy=False
    )
    difference = np.empty(pairs.shape[-1], dtype)
    for start in range(0, difference.size, _STRIP):
        strip = np.s_[start : start + _STRIP]
        difference[strip] = _delta_e(*pairs[..., strip])
    return difference.reshape(lab.shape[:-1])[()]


_BLUE = math.radians(275), math.radians(25)  # the hue around which the ellipses tilt, and how far


def _delta_e(l_star: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """CIEDE2000 of pairs of colors, in planes that fit a cache: 3 x (2, n) -> (n).

    Equations are those of Sharma et al. No hue angle is taken: hues are unit vectors, of which the
    formula's cosines are polynomials.
    """
    stretch = _length(a, b)
    a = a * (1.5 - 0.5 * _high_chroma((stretch[0] + stretch[1]) * 0.5))  # eq. 4: 1 + G
    c = _length(a, b)
    scale = 1 / np.maximum(c, 1e-12)  # what has no hue gets (0, 0)
    (x1, x2), (y1, y2), (a1, a2), (b1, b2) = a * scale, b * scale, a, b
    dx, dy = x2 - x1, y2 - y1

    # The hue turns by less than half a circle, to the side that the cross product tells. It tells
    # nothing of exact opposites: for these the mean of angles in 0..360 leads from the smaller angle on.
    side = np.copysign(np.float32(1), a1 * b2 - a2 * b1 + (1e-30 * b1 + 1e-36 * a1))
    delta_l, delta_c = l_star[1] - l_star[0], c[1] - c[0]
    delta_h = side * np.sqrt(
        (dx * dx + dy * dy) * (c[0] * c[1])
    )  # eq. 11: the chord is 2 sin(Δh / 2)

    # The mean hue halves the angle. The sum of the two points there but vanishes for opposites; the
    # difference, turned by 90 degrees, points there too and vanishes for equals. A gray has no hue: its
    # mean is of no account because delta_h is 0.
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

    hue, width = _BLUE
    from_blue = np.arccos(np.clip(x * math.cos(hue) + y * math.sin(hue), -1, 1)) * (1 / width)
    mean_c = (c[0] + c[1]) * 0.5
    tilt = math.radians(60) * np.exp(-from_blue * from_blue)
    tilt *= (x <= 0) | (y < 0)  # the formula counts from 275 down to 0 degrees, not on over 360
    rotation = -2 * np.sin(tilt) * _high_chroma(mean_c)  # eq. 16, 17, 21
    mid2 = (l_star[0] + l_star[1]) * 0.5 - 50
    mid2 *= mid2
    delta_l /= 1 + 0.015 * mid2 / np.sqrt(20 + mid2)
    delta_c /= 1 + 0.045 * mean_c
    delta_h /= 1 + 0.015 * mean_c * t
    squared = delta_l * delta_l + delta_c * delta_c + delta_h * (delta_h + rotation * delta_c)
    return np.sqrt(np.maximum(squared, 0))


def _high_chroma(c: np.ndarray) -> np.ndarray:
    """sqrt(c⁷ / (c⁷ + 25⁷)): 0 for grays, 1 for vivid colors."""
    c = c * (1 / 25)
    c2 = c * c
    c7 = c2 * c2 * c2 * c
    return np.sqrt(c7 / (c7 + 1))


def _length(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.sqrt(x * x + y * y)  # np.hypot guards against overflow, at ten times the cost


def _wave(amplitude: float, cosine: np.ndarray, sine: np.ndarray, degrees: float) -> np.ndarray:
    """amplitude * cos(h - degrees) of the cosine and sine of h."""
    phase = math.radians(degrees)
    return cosine * (amplitude * math.cos(phase)) + sine * (amplitude * math.sin(phase))


# Pictures to CIELAB, in strips of rows that fit a cache together with what is computed of them. Both
# pictures of a pair go through each call: threads that measure wait for each other once a call.

_STRIP = 32_768  # pixels: 128 KiB a plane


def _lab_strips(picture: RGB8, truth: RGB8) -> Iterator[tuple[slice, Planes]]:
    """L*, a* and b* of the picture and the truth, each (2, n), some rows at a time, in single precision."""
    height, width = picture.shape[:2]
    step = max(1, _STRIP // width)
    for top in range(0, height, step):
        rows = np.s_[top : top + step]
        yield rows, _lab(picture[rows].reshape(-1, 3), truth[rows].reshape(-1, 3))


def _lab(picture: np.ndarray, truth: np.ndarray) -> Planes:
    """``color.rgb_to_lab`` of bytes, 2 x (n, 3) -> 3 x (2, n): by table, which is exact, and a quicker cube root."""
    count = len(picture)
    # OpenCV rounds the last pixels, which fill no vector, otherwise. None of ours may be among them, or
    # equal colors would differ.
    pair = np.zeros((2, (count // _VECTORS + 2) * _VECTORS, 3), np.uint8)
    pair[0, :count], pair[1, :count] = picture, truth
    xyz = cv2.transform(cv2.transform(cv2.LUT(pair, _linear()), _DIFFERENCES), _XYZ)
    fx, fy, fz = (plane[:, :count] for plane in cv2.split(_lab_curve(xyz)))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


_VECTORS = 64  # pixels: more than the longest vectors hold, several times over
# As in color: "green plus what the differences add" leaves grays without chroma, exactly.
_DIFFERENCES = np.array([[1, -1, 0], [0, 1, 0], [0, -1, 1]], np.float32)
_XYZ = np.insert(color._XYZ_FROM_DIFFERENCES, 1, 1, axis=1).astype(np.float32)


def _lab_curve(t: np.ndarray) -> np.ndarray:
    """The lightness function of CIE 15:2004: a cube root that meets its tangent at (6 / 29)³."""
    corner = (6 / 29) ** 3
    curved = np.maximum(t, corner)
    t -= corner
    np.minimum(t, 0, out=t)
    t *= 1 / (3 * (6 / 29) ** 2)
    root = cv2.exp(cv2.log(curved) * (1 / 3))  # OpenCV's are vectorized on any machine
    curved /= 3 * root * root
    root *= 2 / 3
    root += curved  # Newton: to the last digit but one
    root += t
    return root


@lru_cache
def _linear() -> np.ndarray:
    return color.rgb_to_linear(np.arange(256) / 255).astype(np.float32)


def _split(picture: RGB8) -> list[np.ndarray]:
    return list(cv2.split(picture))


def _empty_planes(picture: RGB8) -> Planes:
    shape = picture.shape[:2]
    return np.empty(shape, np.float32), np.empty(shape, np.float32), np.empty(shape, np.float32)


def _sum(values: np.ndarray) -> float:
    """In double precision, in the order of places and by one thread."""
    return float(values.sum(dtype=np.float64))


def _squares(one: np.ndarray, other: np.ndarray) -> int:
    """The sum of squared differences of integers, exact: OpenCV's may have gone through a root and back."""
    return round(cv2.norm(one, other, cv2.NORM_L2SQR))


def _pair(picture: RGB8, truth: RGB8) -> tuple[RGB8, RGB8]:
    _check(picture)
    _check(truth)
    if picture.shape != truth.shape:
        raise ValueError(
            f"the picture is {picture.shape} and its truth {truth.shape}; give two pictures of one size"
        )
    return np.ascontiguousarray(picture), np.ascontiguousarray(truth)


def _check(picture: RGB8) -> None:
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[-1] != 3:
        raise ValueError(
            f"a picture is (H, W, 3) of uint8 and this one {picture.shape} of {picture.dtype}; convert it"
        )
