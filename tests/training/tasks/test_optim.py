"""Learning rates: warm-up, cosine and plateau, and their state in a checkpoint."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from colorizenet.errors import ConfigError
from colorizenet.training.tasks.optim import (
    OptimConfig,
    PicturesLR,
    build_optimizer,
    build_schedulers,
    scale_learning_rate,
)

pictures = st.integers(0, 2000)


def scale(seen: int, *, warmup: int = 100) -> float:
    return scale_learning_rate(seen, warmup=warmup, total=1000)


@settings(deadline=None)
@given(pictures, pictures, st.integers(0, 1000))
def test_the_learning_rate_rises_to_its_peak_and_then_falls_to_zero(one, other, warmup):
    first, second = sorted((one, other))
    assert 0 <= scale(first, warmup=warmup) <= 1
    if second <= warmup:
        assert scale(first, warmup=warmup) <= scale(second, warmup=warmup)
    if first >= warmup:
        assert scale(first, warmup=warmup) >= scale(second, warmup=warmup)


def test_the_learning_rate_at_the_ends_and_in_the_middle():
    assert [scale(seen) for seen in (0, 50, 100, 1000, 5000)] == [0, 0.5, 1, 0, 0]
    assert scale(550) == pytest.approx(0.5)
    assert scale(0, warmup=0) == 1
    # A network that starts later has the rate of its first picture until then.
    assert (scale(-10), scale(-10, warmup=0)) == (0, 1)


def test_a_plateau_stays_at_its_peak_after_the_warm_up():
    assert [
        scale_learning_rate(seen, warmup=100, total=1000, schedule="plateau")
        for seen in (50, 100, 5000)
    ] == [0.5, 1, 1]


class WithEncoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.head = nn.Linear(2, 2), nn.Linear(2, 2)


def test_the_encoder_has_its_own_peak_learning_rate():
    network = WithEncoder()
    optimizer = build_optimizer(network, OptimConfig(lr=0.1, encoder_lr=0.2))
    rates = {
        id(parameter): group["lr"]
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    assert [rates[id(it)] for it in network.head.parameters()] == [0.1, 0.1]
    assert [rates[id(it)] for it in network.encoder.parameters()] == [0.2, 0.2]


def build(total: int = 1000, **optim):
    """An optimizer that has made a step, and its schedulers."""
    network = nn.Linear(1, 1)
    config = OptimConfig(lr=0.1, encoder_lr=0.1, **optim)
    optimizer = build_optimizer(network, config)
    schedulers = build_schedulers(optimizer, config, pictures=total)
    network(torch.ones(1, 1)).sum().backward()
    optimizer.step()
    return optimizer, schedulers


def test_the_rate_depends_on_the_pictures_and_not_on_the_number_of_steps():
    optimizer, [scheduler] = build(warmup=100)
    for seen in (16, 50, 100, 550):
        scheduler.step_to(seen)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1 * scale(seen))


def test_a_resumed_schedule_continues_and_may_have_another_length():
    _, [scheduler] = build(warmup=100)
    scheduler.step_to(400)
    optimizer, [resumed] = build(total=2000, warmup=100)
    resumed.load_state_dict(scheduler.state_dict())
    resumed.step_to(400)
    expected = scale_learning_rate(400, warmup=100, total=2000)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1 * expected)


def test_setting_the_same_rate_again_leaves_the_same_state():
    _, [scheduler] = build(warmup=100)
    scheduler.step_to(400)
    before = scheduler.state_dict()
    scheduler.step_to(400)
    assert scheduler.state_dict() == before


def test_a_plateau_has_a_warm_up_and_a_reduction():
    _, schedulers = build(schedule="plateau")
    assert [type(each) for each in schedulers] == [PicturesLR, ReduceLROnPlateau]


@pytest.mark.parametrize("factor", [0.0, 1.0, 1.5])
def test_a_plateau_factor_that_does_not_reduce_is_an_error(factor):
    with pytest.raises(ConfigError, match=r"optim\.plateau-factor"):
        OptimConfig(plateau_factor=factor)


@pytest.mark.parametrize(
    "config", [{"plateau_patience": -1}, {"lr": -1.0}, {"warmup": -1}, {"clip": -0.1}]
)
def test_negative_settings_are_an_error(config):
    with pytest.raises(ConfigError, match=rf"optim\.{next(iter(config)).replace('_', '-')}"):
        OptimConfig(**config)
