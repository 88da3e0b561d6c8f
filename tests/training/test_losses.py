"""What a network is punished for: which way each loss pulls, and how hard."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from colorizenet import color
from colorizenet.evaluation import metrics
from colorizenet.training.losses import pixel as losses

LOSSES = (losses.l1, losses.l2, losses.huber, losses.ciede2000)
chroma = st.floats(-110, 110).map(lambda ab: ab / color.AB_SCALE)


def everywhere(value: float) -> torch.Tensor:
    return torch.full((2, 2, 3, 3), value)


def pull(loss, predicted: float, target: float) -> float:
    """What a gradient step adds to the prediction, up to a positive factor."""
    tensor = everywhere(predicted).requires_grad_()
    loss(tensor, everywhere(target)).backward()
    assert tensor.grad is not None
    return -tensor.grad.sum().item()


@pytest.mark.parametrize("loss", LOSSES[:3])
@settings(deadline=None)
@given(predicted=chroma, target=chroma)
def test_a_step_moves_the_prediction_towards_the_target(loss, predicted, target):
    if abs(predicted - target) > 1e-6:
        assert pull(loss, predicted, target) * (target - predicted) > 0


@pytest.mark.parametrize("loss", LOSSES[:3])
@settings(deadline=None)
@given(value=chroma)
def test_nothing_is_wrong_with_the_target_itself(loss, value):
    assert loss(everywhere(value), everywhere(value)) == 0
    assert pull(loss, value, value) == 0


@pytest.mark.parametrize("loss", LOSSES)
def test_the_size_of_a_picture_does_not_count(loss):
    predicted, target = torch.rand(1, 2, 4, 6), torch.rand(1, 2, 4, 6)
    assert torch.allclose(
        loss(predicted, target), loss(predicted.repeat(3, 1, 2, 5), target.repeat(3, 1, 2, 5))
    )


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


def colors(*ab: tuple[float, float]) -> torch.Tensor:
    """A picture of one row, in network units."""
    return torch.tensor(ab).T.reshape(1, 2, 1, -1) / color.AB_SCALE


def test_the_ciede2000_loss_is_the_metric_where_lightness_is_kept():
    one, other = (
        torch.rand(1, 2, 1, 2000, generator=torch.Generator().manual_seed(seed)) - 0.5
        for seed in (0, 1)
    )
    for share in (1.0, 0.1):  # any two colors, and such as are near each other
        near = share * one + (1 - share) * other

        def lab(ab):
            return np.insert(ab[0, :, 0].T.numpy() * color.AB_SCALE, 0, 50.0, axis=1)

        expected = metrics.delta_e_2000(lab(near), lab(other))
        for n in range(0, 2000, 100):
            ours = (
                losses.ciede2000(near[..., n : n + 1], other[..., n : n + 1], corner=0.1).item()
                * color.AB_SCALE
            )
            assert ours == pytest.approx(expected[n], abs=0.25)


def test_a_step_along_the_slope_of_ciede2000_comes_nearer():
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        target = (torch.rand(1, 2, 1, 1, generator=generator) - 0.5) * 1.6
        near = (target + 0.2 * torch.randn(1, 2, 1, 1, generator=generator)).requires_grad_()
        before = losses.ciede2000(near, target)
        before.backward()
        with torch.no_grad():
            assert losses.ciede2000(near - 1e-3 * near.grad / near.grad.norm(), target) < before
    assert losses.ciede2000(target, target) < 1e-4


def test_the_ciede2000_loss_forgives_more_where_colors_are_vivid():
    pale = losses.ciede2000(colors((5.0, 0.0)), colors((15.0, 0.0)))
    vivid = losses.ciede2000(colors((60.0, 0.0)), colors((70.0, 0.0)))
    assert vivid < pale / 2


def test_the_ciede2000_loss_is_square_well_below_its_corner_and_straight_beyond():
    def at(off: float, corner: float) -> float:
        return (
            losses.ciede2000(colors((20.0, off)), colors((20.0, 0.0)), corner=corner).item()
            * color.AB_SCALE
        )

    near, far = (at(off, corner=0.1) + 0.1 for off in (2.0, 80.0))
    assert at(2.0, corner=20.0) == pytest.approx(near**2 / (2 * 20.0), rel=0.05)
    assert at(80.0, corner=1.0) == pytest.approx(far - 1.0, abs=0.05)


def test_enough_keeps_hues_and_what_is_muted_and_pays_nothing_for_more():
    ab = colors((3.0, 4.0), (-30.0, 40.0), (-60.0, 80.0)).requires_grad_()
    kept = losses.enough(ab)
    muted, lively, glowing = kept.detach()[0, :, 0].T * color.AB_SCALE
    assert muted.tolist() == pytest.approx([3.0, 4.0], rel=0.01)
    assert (lively / lively.norm()).tolist() == pytest.approx([-0.6, 0.8], rel=1e-5)
    assert 30 < lively.norm() < 40 and lively.norm() < glowing.norm() < 40
    kept.square().sum().sqrt().backward()
    assert (
        ab.grad[0, :, 0, 2].norm()
        < 0.1 * ab.grad[0, :, 0, 0].norm() * glowing.norm() / muted.norm()
    )
    assert torch.isfinite(losses.enough(colors((0.0, 0.0)))).all()


def test_the_gradient_loss_sees_a_step_and_not_a_cast():
    flat, step = (colors((0, 0), (0, 0), last).expand(1, 2, 3, 3) for last in ((0, 0), (64, 0)))
    assert losses.gradient(flat + 0.3, flat).item() == pytest.approx(0, abs=1e-7)
    assert losses.gradient(step, flat) > 0
    assert losses.gradient(step + 0.1, step).item() == pytest.approx(0, abs=1e-7)


def test_the_grayness_loss_is_one_less_colorfulness_and_pulls_away_from_gray():
    rgb = torch.rand(2, 3, 8, 8, requires_grad=True)
    levels = rgb.detach().movedim(1, -1).numpy() * 255
    expected = (
        1
        - np.mean([metrics.colorfulness(picture.round().astype(np.uint8)) for picture in levels])
        / 100
    )
    loss = losses.colorfulness_loss(rgb)
    assert loss.item() == pytest.approx(expected, abs=2e-3)
    loss.backward()
    with torch.no_grad():
        assert losses.colorfulness_loss(rgb - 10 * rgb.grad) < loss


GAMES = [
    (losses.judge_bce, losses.fool_bce),
    (losses.judge_least_squares, losses.fool_least_squares),
    (losses.judge_hinge, losses.fool_hinge),
]
UNDECIDED = 0.1 * torch.ones(2, 1, 3, 3)


def moved(loss, scores=UNDECIDED) -> float:
    """Where a gradient step moves scores, on the mean."""
    scores = scores.clone().requires_grad_()
    loss(scores).backward()
    return -scores.grad.sum().item()


@pytest.mark.parametrize(("judge", "fool"), GAMES)
def test_one_side_raises_real_scores_and_lowers_fake_ones_and_the_other_raises_fake_ones(
    judge, fool
):
    assert moved(lambda real: judge(real, UNDECIDED)) > 0
    assert moved(lambda fake: judge(UNDECIDED, fake)) < 0
    assert moved(fool) > 0


@pytest.mark.parametrize(("judge", "_fool"), GAMES)
def test_a_smoothed_label_pulls_scores_that_are_too_sure_back(judge, _fool):
    sure = torch.full((2, 1, 3, 3), 6.0 if judge is losses.judge_bce else 0.95)
    assert moved(lambda real: judge(real, UNDECIDED, smooth=1.0), sure) >= 0
    assert moved(lambda real: judge(real, UNDECIDED, smooth=0.9), sure) <= 0


@pytest.mark.parametrize(
    ("judge", "fool", "judging", "fooling"),
    [
        (losses.judge_bce, losses.fool_bce, np.log(2), np.log(2)),
        (losses.judge_least_squares, losses.fool_least_squares, 0.5, 1.0),
        (losses.judge_hinge, losses.fool_hinge, 1.0, 0.0),
    ],
)
def test_what_not_knowing_costs(judge, fool, judging, fooling):
    zero = torch.zeros(2, 1, 3, 3)
    assert judge(zero, zero).item() == pytest.approx(judging)
    assert fool(zero).item() == pytest.approx(fooling)


def test_r1_is_half_the_squared_slope():
    pictures = torch.rand(4, 3, 5, 5, requires_grad=True)
    weights = torch.rand(3, 5, 5, requires_grad=True)
    scores = (pictures * weights).sum((1, 2, 3)).reshape(4, 1, 1, 1)
    loss = losses.r1(scores, pictures)
    assert loss.item() == pytest.approx(weights.square().sum().item() / 2, rel=1e-5)
    loss.backward()
    assert torch.allclose(weights.grad, weights.detach())  # a step makes the discriminator flatter
