"""Structural similarity against scikit-image and by hand."""

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from colorizenet.evaluation import metrics


def ssim_of_scikit_image(picture, truth):
    gaussian = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return structural_similarity(picture, truth, data_range=255, channel_axis=-1, **gaussian)


@pytest.mark.parametrize("shape", [(11, 11), (11, 40), (40, 11), (13, 12), (300, 12), (12, 300)])
def test_ssim_of_any_shape_is_that_of_scikit_image(shape):
    picture, other = np.random.default_rng(0).integers(0, 256, (2, *shape, 3), dtype=np.uint8)
    assert metrics.ssim(picture, other) == pytest.approx(
        ssim_of_scikit_image(picture, other), rel=1e-4, abs=1e-6
    )
    assert metrics.ssim(picture, other) == pytest.approx(metrics.ssim(other, picture), rel=1e-6)
    assert metrics.ssim(picture, picture) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("levels", [(0, 0), (255, 255), (0, 255), (255, 254), (3, 90)])
def test_ssim_of_flat_pictures_by_hand(levels):
    x, y = levels
    c1 = (0.01 * 255) ** 2
    picture, other = (np.full((20, 20, 3), level, np.uint8) for level in levels)
    assert metrics.ssim(picture, other) == pytest.approx(
        (2 * x * y + c1) / (x * x + y * y + c1), rel=1e-4, abs=1e-6
    )


def test_ssim_says_when_a_picture_is_too_small():
    with pytest.raises(ValueError, match="11 x 11 pixels and this picture is 20 x 10"):
        metrics.ssim(*np.zeros((2, 10, 20, 3), np.uint8))
