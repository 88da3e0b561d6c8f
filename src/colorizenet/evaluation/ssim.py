"""Structural similarity of two pictures."""

import cv2
import numpy as np

from colorizenet.evaluation.arrays import RGB8, STRIP_PIXELS, check_pair, sum_values

__all__ = ["SMALLEST", "ssim"]

_RADIUS = 5  # pixels; as scikit-image chooses for sigma 1.5, cut at 3.5 sigma
SMALLEST = 2 * _RADIUS + 1
"""The smallest height and width, in pixels, that every metric can measure."""
_WINDOW = cv2.getGaussianKernel(SMALLEST, 1.5, cv2.CV_32F)
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def ssim(picture: RGB8, truth: RGB8) -> float:
    """Mean structural similarity over pixels and channels; higher is better, 1 is
    equal.

    Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility
    to structural similarity" (2004): K1 = 0.01, K2 = 0.03, a Gaussian window of 11 x 11
    with sigma 1.5 and population moments, of each channel of sRGB. Windows that reach
    over the border do not count, so both sides must be at least 11. Equals
    ``structural_similarity`` of scikit-image with ``gaussian_weights=True,
    use_sample_covariance=False, data_range=255``.
    """
    picture, truth = check_pair(picture, truth)
    height, width = picture.shape[:2]
    if min(height, width) < SMALLEST:
        raise ValueError(
            f"SSIM needs at least {SMALLEST} x {SMALLEST} pixels and this picture is "
            f"{width} x {height}; enlarge it"
        )
    inner_height, inner_width = height - 2 * _RADIUS, width - 2 * _RADIUS
    total, rows = 0.0, max(16, STRIP_PIXELS // width)
    for top in range(0, inner_height, rows):
        strip = np.s_[top : min(top + rows, inner_height) + 2 * _RADIUS]
        total += sum_values(_compute_map(picture[strip], truth[strip]))
    return total / (inner_height * inner_width * 3)


def _compute_map(picture: RGB8, truth: RGB8) -> np.ndarray:
    """Compute SSIM of each sample whose window lies inside.

    Shape: ``(H, W, 3) -> (H - 10, (W - 10) * 3)``. With the sum s and the difference d
    of the pictures, 2xy = (s² - d²) / 2 and x² + y² = (s² + d²) / 2: four filters
    instead of five, and no small difference of large numbers.
    """
    gray = 255.0  # about the mean of s; without it, variances would lose digits
    s = np.add(picture, truth, dtype=np.float32)
    s -= gray
    d = np.subtract(picture, truth, dtype=np.float32)
    s_mean, d_mean, s_square, d_square = map(_filter, (s, d, s * s, d * d))
    d_mean2 = d_mean * d_mean
    s_square -= s_mean * s_mean
    d_square -= d_mean2
    s_mean += gray
    s_mean *= s_mean
    numerator = (s_mean - d_mean2 + 2 * _C1) * (s_square - d_square + 2 * _C2)
    s_mean += d_mean2
    s_mean += 2 * _C1
    s_square += d_square
    s_square += 2 * _C2
    return numerator / (s_mean * s_square)


def _filter(samples: np.ndarray) -> np.ndarray:
    """Apply the Gaussian window and drop the border."""
    r = _RADIUS
    mean = cv2.sepFilter2D(samples, -1, _WINDOW, _WINDOW)
    return mean.reshape(len(mean), -1)[r:-r, 3 * r : -3 * r].copy()
