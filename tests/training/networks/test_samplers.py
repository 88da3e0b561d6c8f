"""Samplers on flows whose result is known in closed form."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from colorizenet.training.networks.samplers import (
    SAMPLERS,
    guide,
    sample_euler,
    sample_heun,
    space_times,
)

MEAN, DEVIATION = 2.0, 0.5


def gaussian_velocity(x: Tensor, t: float) -> Tensor:
    """From standard normal noise to N(MEAN, DEVIATION^2)."""
    variance = (1 - t) ** 2 + (t * DEVIATION) ** 2
    return MEAN + (t * DEVIATION**2 - (1 - t)) / variance * (x - t * MEAN)


def mixture_velocity(x: Tensor, t: float) -> Tensor:
    """From standard normal noise to N(-2, 0.2^2) and N(2, 0.2^2), 1 to 3."""
    means, shares, deviation = torch.tensor([-2.0, 2.0]), torch.tensor([0.25, 0.75]), 0.2
    variance = (1 - t) ** 2 + (t * deviation) ** 2
    offset = x[:, None] - t * means
    share = (shares.log() - offset.square() / (2 * variance)).softmax(dim=1)
    each = means + (t * deviation**2 - (1 - t)) / variance * offset
    return (share * each).sum(dim=1)


def error(sampler, steps: int) -> float:
    """The largest error for the Gaussian, whose flow shifts and scales the noise."""
    noise = torch.linspace(-3, 3, 31, dtype=torch.float64)
    expected = MEAN + DEVIATION * noise
    return float((sampler(gaussian_velocity, noise, space_times(steps)) - expected).abs().max())


@pytest.mark.parametrize("name", SAMPLERS)
def test_noise_becomes_the_gaussian(name):
    assert error(SAMPLERS[name], 256) < 0.01


def test_halving_the_steps_halves_the_error_of_euler_and_quarters_that_of_heun():
    assert error(sample_euler, 32) / error(sample_euler, 64) == pytest.approx(2, rel=0.1)
    # Its last step is Euler's, whose error is of second order as well.
    assert error(sample_heun, 32) / error(sample_heun, 64) == pytest.approx(4, rel=0.15)
    assert error(sample_heun, 8) < error(sample_euler, 16) / 2  # at one pass less


@pytest.mark.parametrize("name", SAMPLERS)
def test_noise_becomes_a_mixture_with_its_shares_and_spreads(name):
    noise = torch.randn(4000, generator=torch.Generator().manual_seed(0))
    x = SAMPLERS[name](mixture_velocity, noise, space_times(100))
    right = x > 0
    assert right.float().mean().item() == pytest.approx(0.75, abs=0.02)
    assert x[right].mean().item() == pytest.approx(2, abs=0.03)
    assert x[right].std().item() == pytest.approx(0.2, abs=0.03)
    assert x[~right].std().item() == pytest.approx(0.2, abs=0.04)


def test_less_noise_gives_results_nearer_to_the_mean():
    noise = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    times = space_times(64)
    full, half = (sample_heun(gaussian_velocity, k * noise, times) for k in (1.0, 0.5))
    assert half.std().item() == pytest.approx(full.std().item() / 2, rel=0.01)


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_velocity_is_not_evaluated_at_the_last_time(name):
    # A network that predicts the data has the velocity (data - x) / (1 - t).
    def velocity(x: Tensor, t: float) -> Tensor:
        return (3.0 - x) / (1 - t)

    x = SAMPLERS[name](velocity, torch.randn(5), space_times(4))
    torch.testing.assert_close(x, torch.full((5,), 3.0))


def test_guidance_moves_away_from_the_unconditional_velocity():
    def constant(value: float):
        return lambda x, _t: torch.full_like(x, value)

    x, times = torch.zeros(1), space_times(2)
    for scale, expected in ((0.0, 1.0), (1.0, 3.0), (2.0, 5.0)):
        velocity = guide(constant(3.0), constant(1.0), scale)
        assert sample_euler(velocity, x, times).item() == expected


def test_times_are_from_zero_to_one():
    times = space_times(3)
    assert times[0] == 0 and times[-1] == 1 and len(times) == 4
    assert all(math.isclose(b - a, 1 / 3) for a, b in itertools.pairwise(times))
