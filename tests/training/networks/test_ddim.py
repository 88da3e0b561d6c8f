"""The DDIM sampler on data whose noise, and so the result, is known in closed form."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from colorizenet.training.networks.ddim import compute_alpha_bar, sample_ddim, space_ddim_times

MEAN, DEVIATION = 1.5, 0.4


def gaussian_noise(x: Tensor, t: float) -> Tensor:
    """The expectation of the noise in a state, if the data are N(MEAN, DEVIATION^2)."""
    alpha_bar = compute_alpha_bar(t)
    variance = alpha_bar * DEVIATION**2 + 1 - alpha_bar
    return math.sqrt(1 - alpha_bar) / variance * (x - math.sqrt(alpha_bar) * MEAN)


def error(steps: int) -> float:
    """The largest error of data that are the noise, shifted and scaled."""
    noise = torch.linspace(-3, 3, 31, dtype=torch.float64)
    drawn = sample_ddim(gaussian_noise, noise, space_ddim_times(steps))
    return float((drawn - (MEAN + DEVIATION * noise)).abs().max())


def test_drawings_have_the_mean_and_the_variance_of_the_data():
    noise = torch.randn(20_000, generator=torch.Generator().manual_seed(0))
    drawn = sample_ddim(gaussian_noise, noise, space_ddim_times(500))
    assert drawn.mean().item() == pytest.approx(MEAN, abs=0.01)
    assert drawn.std().item() == pytest.approx(DEVIATION, abs=0.01)


def test_each_noise_becomes_its_own_quantile_of_the_data():
    assert error(1000) < 0.01


def test_halving_the_steps_halves_the_error():
    assert error(100) / error(200) == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize("steps", [1, 7])
def test_the_only_possible_data_are_found_in_any_number_of_steps(steps):
    data = torch.linspace(-2, 2, 5, dtype=torch.float64)

    def predict_noise(x: Tensor, t: float) -> Tensor:
        alpha_bar = compute_alpha_bar(t)
        return (x - math.sqrt(alpha_bar) * data) / math.sqrt(1 - alpha_bar)

    noise = torch.randn(5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(sample_ddim(predict_noise, noise, space_ddim_times(steps)), data)


def test_times_fall_evenly_to_zero_from_one_step_after_one():
    assert space_ddim_times(3) == [0.75, 0.5, 0.25, 0]


def test_the_share_of_data_falls_from_all_to_nothing():
    shares = [compute_alpha_bar(number / 1000) for number in range(1001)]
    assert shares[0] == 1
    assert shares[-1] == pytest.approx(0, abs=1e-12)
    assert all(later < earlier for earlier, later in itertools.pairwise(shares))


def test_the_first_noise_is_slightly_smaller_than_a_step_of_8_bits():
    """As the offset of the schedule was chosen (Nichol and Dhariwal, section 3.2)."""
    deviation = math.sqrt(1 - compute_alpha_bar(1 / 1000))
    assert 0.75 / 127.5 < deviation < 1 / 127.5
