"""Pixel losses: the direction and the size of their gradients, and known values."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from colorizenet import color
from colorizenet.training.losses import pixel

LOSSES = (pixel.l1, pixel.l2, pixel.huber, pixel.ciede2000, pixel.chroma)
ab_values = st.floats(-110, 110).map(lambda ab: ab / color.AB_SCALE)


def fill(value: float) -> torch.Tensor:
    return torch.full((2, 2, 3, 3), value)


def pull(loss, predicted: float, target: float) -> float:
    """The change of the prediction by a gradient step, up to a positive factor."""
    tensor = fill(predicted).requires_grad_()
    loss(tensor, fill(target)).backward()
    assert tensor.grad is not None
    return -tensor.grad.sum().item()


@pytest.mark.parametrize("loss", LOSSES[:3])
@settings(deadline=None)
@given(predicted=ab_values, target=ab_values)
def test_a_step_moves_the_prediction_towards_the_target(loss, predicted, target):
    if abs(predicted - target) > 1e-6:
        assert pull(loss, predicted, target) * (target - predicted) > 0


@pytest.mark.parametrize("loss", LOSSES[:3])
@settings(deadline=None)
@given(value=ab_values)
def test_the_loss_of_the_target_is_zero_without_a_gradient(loss, value):
    assert loss(fill(value), fill(value)) == 0
    assert pull(loss, value, value) == 0


@pytest.mark.parametrize("loss", LOSSES)
def test_the_size_of_a_picture_has_no_effect(loss):
    predicted, target = torch.rand(1, 2, 4, 6), torch.rand(1, 2, 4, 6)
    assert torch.allclose(
        loss(predicted, target), loss(predicted.repeat(3, 1, 2, 5), target.repeat(3, 1, 2, 5))
    )


@pytest.mark.parametrize(("loss", "expected"), [(pixel.l1, 0.25), (pixel.l2, 0.125)])
def test_values_computed_by_hand(loss, expected):
    predicted = torch.tensor([0.5, 0.0]).reshape(1, 2, 1, 1)
    assert loss(predicted, torch.zeros(1, 2, 1, 1)).item() == pytest.approx(expected)


@pytest.mark.parametrize("delta", [5.0, 10.0, 40.0])
def test_huber_is_quadratic_up_to_delta_and_linear_beyond(delta):
    def at(ab: float) -> float:
        return pixel.huber(fill(ab / color.AB_SCALE), fill(0.0), delta=delta).item()

    # Huber (1964), over delta: d^2 / (2 delta) up to delta, then d - delta / 2.
    assert at(delta / 2) * color.AB_SCALE == pytest.approx(delta / 8)
    assert at(delta) * color.AB_SCALE == pytest.approx(delta / 2)
    assert at(delta + 30) * color.AB_SCALE == pytest.approx(delta / 2 + 30, rel=1e-5)


def test_huber_pulls_like_l2_near_and_like_l1_far():
    near, far = 4 / color.AB_SCALE, 60 / color.AB_SCALE
    assert pull(pixel.huber, near, 0.0) == pytest.approx(2 * pull(pixel.huber, near / 2, 0.0))
    assert pull(pixel.huber, far, 0.0) == pytest.approx(pull(pixel.l1, far, 0.0))
    assert pull(pixel.huber, far, 0.0) == pytest.approx(pull(pixel.huber, 2 * far, 0.0))


def make_row(*ab: tuple[float, float]) -> torch.Tensor:
    """A picture of one row, in network units."""
    return torch.tensor(ab).T.reshape(1, 2, 1, -1) / color.AB_SCALE


def test_the_ciede2000_loss_equals_the_metric_at_equal_lightness():
    one, other = (
        torch.rand(1, 2, 1, 2000, generator=torch.Generator().manual_seed(seed)) - 0.5
        for seed in (0, 1)
    )
    for share in (1.0, 0.1):  # any two colors, and similar ones
        near = share * one + (1 - share) * other

        def lab(ab):
            return np.insert(ab[0, :, 0].T.numpy() * color.AB_SCALE, 0, 50.0, axis=1)

        expected = color.delta_e_2000(lab(near), lab(other))
        for n in range(0, 2000, 100):
            found = (
                pixel.ciede2000(near[..., n : n + 1], other[..., n : n + 1], delta=0.1).item()
                * color.AB_SCALE
            )
            assert found == pytest.approx(expected[n], abs=0.25)


def test_a_gradient_step_of_ciede2000_reduces_the_loss():
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        target = (torch.rand(1, 2, 1, 1, generator=generator) - 0.5) * 1.6
        near = (target + 0.2 * torch.randn(1, 2, 1, 1, generator=generator)).requires_grad_()
        before = pixel.ciede2000(near, target)
        before.backward()
        with torch.no_grad():
            assert pixel.ciede2000(near - 1e-3 * near.grad / near.grad.norm(), target) < before
    assert pixel.ciede2000(target, target) < 1e-4


def test_the_ciede2000_loss_is_lower_for_equal_errors_of_vivid_colors():
    pale = pixel.ciede2000(make_row((5.0, 0.0)), make_row((15.0, 0.0)))
    vivid = pixel.ciede2000(make_row((60.0, 0.0)), make_row((70.0, 0.0)))
    assert vivid < pale / 2


def test_the_ciede2000_loss_is_quadratic_below_delta_and_linear_beyond():
    def at(off: float, delta: float) -> float:
        return (
            pixel.ciede2000(make_row((20.0, off)), make_row((20.0, 0.0)), delta=delta).item()
            * color.AB_SCALE
        )

    near, far = (at(off, delta=0.1) + 0.1 for off in (2.0, 80.0))
    assert at(2.0, delta=20.0) == pytest.approx(near**2 / (2 * 20.0), rel=0.05)
    assert at(80.0, delta=1.0) == pytest.approx(far - 1.0, abs=0.05)


def paint(a: float, b: float) -> torch.Tensor:
    """A picture of one color, of which a and b are a*b* units."""
    return torch.tensor([a, b]).reshape(1, 2, 1, 1).expand(1, 2, 2, 2) / color.AB_SCALE


@pytest.mark.parametrize("other", [(30.0, 0.0), (0.0, -30.0), (-18.0, 24.0)])
def test_the_loss_of_chroma_is_zero_for_every_hue(other):
    assert pixel.chroma(paint(*other), paint(30, 0)).item() == pytest.approx(0, abs=1e-6)


def test_the_loss_of_chroma_is_a_pseudo_huber_of_its_difference():
    found = pixel.chroma(paint(0, 30), paint(6, 0), delta=10.0).item()
    expected = ((24**2 + 10**2) ** 0.5 - 10) / color.AB_SCALE
    assert found == pytest.approx(expected, rel=1e-3)


def test_the_loss_of_chroma_makes_the_answer_to_two_hues_as_vivid_as_either():
    truth = torch.cat([paint(30, 8), paint(-30, 8)])
    predicted = paint(0, 8).clone().requires_grad_()  # their mean, which is pale
    optimizer = torch.optim.Adam([predicted], lr=0.01)
    for _ in range(200):
        optimizer.zero_grad()
        pixel.chroma(predicted.expand(2, 2, 2, 2), truth).backward()
        optimizer.step()
    a, b = (predicted.detach() * color.AB_SCALE)[0, :, 0, 0]
    assert float(torch.hypot(a, b)) == pytest.approx(float(np.hypot(30, 8)), abs=0.5)
    assert abs(float(a)) < 1  # its hue stays as it was
