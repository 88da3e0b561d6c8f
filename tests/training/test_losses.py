"""What a network is punished for: which way each loss pulls, and how hard."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from colorizenet import color
from colorizenet.training import losses

LOSSES = (losses.l1, losses.l2, losses.huber)
chroma = st.floats(-110, 110).map(lambda ab: ab / color.AB_SCALE)


def everywhere(value: float) -> torch.Tensor:
    return torch.full((2, 2, 3, 3), value)


def pull(loss, predicted: float, target: float) -> float:
    """What a gradient step adds to the prediction, up to a positive factor."""
    tensor = everywhere(predicted).requires_grad_()
    loss(tensor, everywhere(target)).backward()
    assert tensor.grad is not None
    return -tensor.grad.sum().item()


@pytest.mark.parametrize("loss", LOSSES)
@settings(deadline=None)
@given(predicted=chroma, target=chroma)
def test_a_step_moves_the_prediction_towards_the_target(loss, predicted, target):
    if abs(predicted - target) > 1e-6:
        assert pull(loss, predicted, target) * (target - predicted) > 0


@pytest.mark.parametrize("loss", LOSSES)
@settings(deadline=None)
@given(value=chroma)
def test_nothing_is_wrong_with_the_target_itself(loss, value):
    assert loss(everywhere(value), everywhere(value)) == 0
    assert pull(loss, value, value) == 0


@pytest.mark.parametrize("loss", LOSSES)
def test_the_size_of_a_picture_does_not_count(loss):
    predicted, target = torch.rand(1, 2, 4, 6), torch.rand(1, 2, 4, 6)
    assert torch.allclose(loss(predicted, target), loss(predicted.repeat(3, 1, 2, 5), target.repeat(3, 1, 2, 5)))


@pytest.mark.parametrize(("loss", "expected"), [(losses.l1, 0.25), (losses.l2, 0.125)])
def test_values_by_hand(loss, expected):
    predicted = torch.tensor([0.5, 0.0]).reshape(1, 2, 1, 1)
    assert loss(predicted, torch.zeros(1, 2, 1, 1)).item() == pytest.approx(expected)


@pytest.mark.parametrize("corner", [5.0, 10.0, 40.0])
def test_huber_is_square_up_to_the_corner_and_straight_beyond(corner):
    def at(ab: float) -> float:
        return losses.huber(everywhere(ab / color.AB_SCALE), everywhere(0.0), corner=corner).item()

    # Huber (1964), over the corner: d^2 / 2c up to d = c, and d - c/2 beyond, all in units of the network.
    assert at(corner / 2) * color.AB_SCALE == pytest.approx(corner / 8)
    assert at(corner) * color.AB_SCALE == pytest.approx(corner / 2)
    assert at(corner + 30) * color.AB_SCALE == pytest.approx(corner / 2 + 30, rel=1e-5)


def test_huber_pulls_like_l2_near_and_like_l1_far():
    near, far = 4 / color.AB_SCALE, 60 / color.AB_SCALE
    assert pull(losses.huber, near, 0.0) == pytest.approx(2 * pull(losses.huber, near / 2, 0.0))
    assert pull(losses.huber, far, 0.0) == pytest.approx(pull(losses.l1, far, 0.0))
    assert pull(losses.huber, far, 0.0) == pytest.approx(pull(losses.huber, 2 * far, 0.0))
