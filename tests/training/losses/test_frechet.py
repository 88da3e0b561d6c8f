"""``RunningFrechet``: a distance known in closed form, its gradient, and its state."""

import copy

import numpy as np
import pytest
import torch

from colorizenet.training.losses.frechet import RunningFrechet
from colorizenet.training.metrics import Moments, frechet_distance

WIDTH = 6


def vectors(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(99))
    return torch.randn(count, WIDTH, generator=generator) @ mixing + 3


def moments(data: torch.Tensor) -> Moments:
    found = Moments(data.shape[1])
    found.add(data.detach().double().numpy())
    return found


def make_loss(**settings) -> RunningFrechet:
    defaults = {"dimensions": WIDTH, "basis_pictures": 64, "moment_pictures": 64, "memory": 4000}
    return RunningFrechet(WIDTH, **(defaults | settings))


def test_the_distance_is_that_of_the_metric_over_the_real_variance():
    loss = make_loss(memory=10_000)
    real, gray = vectors(2000, 0), vectors(2000, 1)
    predicted = 0.7 * real + 1
    for start in range(0, 2000, 100):
        part = slice(start, start + 100)
        if loss.is_ready:
            found = loss(predicted[part], real[part], gray[part])
        else:
            loss.collect(predicted[part], real[part], gray[part])
    seen = slice(100, 2000)  # the first batch is for the principal components
    one, other = (moments(torch.cat([x[seen], gray[seen]], dim=1)) for x in (predicted, real))
    expected = frechet_distance(one, other) / np.trace(moments(real[seen]).covariance)
    assert found.item() == pytest.approx(expected, rel=0.02)


def test_the_distance_of_true_pictures_is_zero():
    loss = make_loss()
    for seed in range(6):
        real, gray = vectors(64, seed), vectors(64, seed + 100)
        if loss.is_ready:
            assert loss(real, real, gray).item() == pytest.approx(0, abs=1e-4)
        else:
            loss.collect(real, real, gray)
    assert loss.is_ready


def test_descent_lowers_the_frechet_distance_of_the_population():
    """A generator with wrong mean and spread learns both from batches of 16."""
    loss = make_loss(memory=256)
    scale, shift = torch.full((WIDTH,), 0.5), torch.full((WIDTH,), 1.0)
    parameters = [scale.requires_grad_(), shift.requires_grad_()]
    optimizer = torch.optim.Adam(parameters, lr=0.005)

    def distance() -> float:
        real = vectors(4000, 1234)
        return frechet_distance(moments(real * scale + shift), moments(real))

    before = distance()
    for step in range(400):
        real = vectors(16, step)
        gray = torch.zeros_like(real)
        predicted = real * scale + shift
        if not loss.is_ready:
            loss.collect(predicted, real, gray)
            continue
        optimizer.zero_grad()
        loss(predicted, real, gray).backward()
        optimizer.step()
    assert distance() < before / 20


def test_colors_on_the_wrong_pictures_cost_although_the_set_of_colors_is_right():
    found = {}
    for shift in (0, 1):
        loss = make_loss()
        for seed in range(8):
            gray = vectors(64, seed)
            real = gray + 0.5 * vectors(64, seed + 100)
            if loss.is_ready:
                found[shift] = loss(real.roll(shift, 0), real, gray).item()
            else:
                loss.collect(real.roll(shift, 0), real, gray)
    assert found[0] == pytest.approx(0, abs=1e-4)
    assert found[1] > 0.05


def test_the_gradient_goes_through_the_current_batch_only():
    loss = make_loss()
    for seed in range(8):
        real, gray = vectors(64, seed), vectors(64, seed + 100)
        predicted = (real * 0.5).requires_grad_()
        if loss.is_ready:
            loss(predicted, real, gray).backward()  # a second time through a batch raises
            assert predicted.grad is not None and predicted.grad.abs().max() > 0
        else:
            loss.collect(predicted, real, gray)


def test_the_state_continues_exactly():
    one, other = make_loss(), make_loss()

    def step(loss, seed):
        real, gray = vectors(32, seed), vectors(32, seed + 100)
        if loss.is_ready:
            return loss(0.5 * real, real, gray)
        return loss.collect(0.5 * real, real, gray)

    for seed in range(6):
        step(one, seed)
    other.load_state_dict(one.state_dict())
    assert other.is_ready
    assert torch.equal(step(one, 6), step(other, 6))


def test_several_processes_have_the_moments_and_the_gradient_of_one():
    """Each of two has half of each batch; DDP averages their gradients."""
    real, gray = vectors(256, 0), vectors(256, 1)
    predicted = (0.7 * real + 1).requires_grad_()
    alone, rank = make_loss(), make_loss()
    waiting: list[torch.Tensor] = []
    rank.gather = lambda _: waiting.pop(0)
    for start in range(0, 192, 64):
        part = slice(start, start + 64)
        alone.collect(predicted[part], real[part], gray[part])
        waiting += [predicted[part].detach(), real[part], gray[part]]
        rank.collect(predicted[part][:32], real[part][:32], gray[part][:32])
    part = slice(192, 256)
    [expected] = torch.autograd.grad(alone(predicted[part], real[part], gray[part]), predicted)
    halves = []
    for half in (slice(192, 224), slice(224, 256)):
        process = copy.deepcopy(rank)
        joined = [process._join(x[part].detach(), gray[part]) for x in (real, predicted)]
        process.gather = lambda _, waiting=joined: waiting.pop(0)
        loss = process(predicted[half], real[half], gray[half])
        halves += torch.autograd.grad(loss, predicted)
        assert torch.allclose(process.means, alone.means, atol=1e-5)
    assert torch.allclose(sum(halves) / 2, expected, atol=1e-6)
