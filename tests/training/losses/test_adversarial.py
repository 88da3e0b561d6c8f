"""Adversarial losses: the direction in which they move scores, and known values."""

import numpy as np
import pytest
import torch

from colorizenet.training.losses.adversarial import (
    DISCRIMINATOR_LOSSES,
    GENERATOR_LOSSES,
    average_scores,
    r1_penalty,
    relativistic_discriminator_loss,
    relativistic_generator_loss,
    zero_centered_penalty,
)

UNDECIDED = 0.1 * torch.ones(2, 1, 3, 3)


def pull(loss, scores=UNDECIDED) -> float:
    """The sum of the changes of the scores by a gradient step."""
    scores = scores.clone().requires_grad_()
    loss(scores).backward()
    return -scores.grad.sum().item()


@pytest.mark.parametrize("name", ["bce", "hinge"])
def test_the_discriminator_raises_real_scores_and_lowers_fake_ones(name):
    loss = DISCRIMINATOR_LOSSES[name]
    assert pull(lambda real: loss(real, UNDECIDED)) > 0
    assert pull(lambda fake: loss(UNDECIDED, fake)) < 0


@pytest.mark.parametrize("name", ["bce", "hinge"])
def test_the_generator_raises_fake_scores(name):
    assert pull(GENERATOR_LOSSES[name]) > 0


@pytest.mark.parametrize(
    ("name", "discriminator", "generator"), [("bce", np.log(2), np.log(2)), ("hinge", 1.0, 0.0)]
)
def test_losses_at_scores_of_zero(name, discriminator, generator):
    zero = torch.zeros(2, 1, 3, 3)
    assert DISCRIMINATOR_LOSSES[name](zero, zero).item() == pytest.approx(discriminator)
    assert GENERATOR_LOSSES[name](zero).item() == pytest.approx(generator)


def test_hinge_has_no_gradient_beyond_its_margin():
    sure = torch.full((2, 1, 3, 3), 1.5)
    assert pull(lambda real: DISCRIMINATOR_LOSSES["hinge"](real, -sure), sure) == 0
    assert pull(lambda fake: DISCRIMINATOR_LOSSES["hinge"](sure, fake), -sure) == 0


def test_r1_is_half_the_squared_gradient_norm():
    pictures = torch.rand(4, 3, 5, 5, requires_grad=True)
    weights = torch.rand(3, 5, 5, requires_grad=True)
    scores = (pictures * weights).sum((1, 2, 3)).reshape(4, 1, 1, 1)
    loss = r1_penalty(scores, pictures)
    assert loss.item() == pytest.approx(weights.square().sum().item() / 2, rel=1e-5)
    loss.backward()
    assert torch.allclose(weights.grad, weights.detach())  # a step reduces the slope


def test_relativistic_losses_compare_the_scores_of_a_pair():
    real, fake = UNDECIDED + 2, UNDECIDED
    assert pull(lambda x: relativistic_discriminator_loss([(x, fake)])) > 0
    assert pull(lambda x: relativistic_discriminator_loss([(real, x)])) < 0
    assert pull(lambda x: relativistic_generator_loss([(real, x)])) > 0
    expected = np.log1p(np.exp(-2))
    found = relativistic_discriminator_loss([(real, fake), (real + 5, fake + 5)])
    assert found.item() == pytest.approx(expected, rel=1e-5)  # what both share does not count
    assert relativistic_generator_loss([(real, fake)]).item() == pytest.approx(expected + 2)


def test_the_zero_centered_penalty_is_half_the_squared_slope_over_all_inputs():
    one, other = torch.rand(2, 1, 4, 4), torch.rand(2, 1, 2, 2)
    inputs = [one.requires_grad_(), other.requires_grad_()]
    scores = average_scores([2 * one, 6 * other])
    # Each score is half the mean of 2 x over 16 numbers and of 6 y over 4.
    expected = (16 * (1 / 16) ** 2 + 4 * (3 / 4) ** 2) / 2
    assert zero_centered_penalty(scores, inputs).item() == pytest.approx(expected, rel=1e-5)
