"""Colored noise: the spread of each octave, at any size."""

import pytest
import torch

from colorizenet.training.networks.colored_noise import color_noise, measure_bands

BANDS = (0.43, 0.22, 0.23, 0.20, 0.17, 0.19)


def white(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", [(32, 32), (64, 64), (24, 64), (8, 8)])
def test_the_variance_is_one_at_any_size(size):
    noise = color_noise(white(2000, 2, *size), BANDS)
    assert noise.square().mean().item() == pytest.approx(1, rel=0.05)


def test_each_band_has_its_share():
    noise = color_noise(white(2000, 2, 32, 32), BANDS)
    measured, expected = measure_bands(noise, 6), torch.tensor(BANDS)
    torch.testing.assert_close(measured, expected / expected.norm(), rtol=0.05, atol=0)


def test_the_bands_of_white_noise_have_the_share_of_their_coefficients():
    measured = measure_bands(white(2000, 2, 16, 16), 5)
    expected = (torch.tensor([1.0, 3.0, 12.0, 48.0, 192.0]) / 256).sqrt()
    torch.testing.assert_close(measured, expected, rtol=0.05, atol=0)


@pytest.mark.parametrize("width", [16, 24, 80])
def test_the_first_band_is_the_mean_of_the_picture(width):
    noise = color_noise(white(3, 2, 16, width), (1.0, 0.0))
    torch.testing.assert_close(noise, noise.mean((2, 3), keepdim=True).expand_as(noise))


def test_a_wide_picture_has_structures_as_large_as_a_square_one():
    """The variance of the mean over a square part does not depend on the width."""
    square, wide = (color_noise(white(4000, 1, 16, width), BANDS) for width in (16, 32))
    one, other = (float(noise[..., :16].mean((2, 3)).std()) for noise in (square, wide))
    assert other == pytest.approx(one, rel=0.25)


def test_no_noise_stays_no_noise():
    assert (color_noise(torch.zeros(1, 2, 8, 8), BANDS) == 0).all()


def test_temperatures_multiply_the_bands_and_the_last_one_all_further_bands():
    plain, cooled = (
        color_noise(white(2000, 2, 32, 32), BANDS, temperatures)
        for temperatures in ((1.0,), (0.5, 1.0, 0.25))
    )
    factors = torch.tensor([0.5, 1.0, 0.25, 0.25, 0.25, 0.25])
    torch.testing.assert_close(measure_bands(cooled, 6), factors * measure_bands(plain, 6))
