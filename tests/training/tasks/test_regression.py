"""``Regression``: learning, counting, clipping, schedules and further inputs."""

import itertools
import math
from collections.abc import Container

import lightning
import pytest
import torch
from torch import nn

from colorizenet.errors import ConfigError
from colorizenet.training.data.conditions import CONDITIONS, Condition
from colorizenet.training.losses import LossConfig
from colorizenet.training.tasks import OptimConfig, RegressionConfig

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated"),
    pytest.mark.filterwarnings(
        "ignore:You defined a `validation_step` but have no `val_dataloader`"
    ),
]


@pytest.mark.parametrize("pixel", ["huber", "l1", "l2"])
def test_overfits_one_batch(make_regression, train, pixel):
    logged, changed = train(make_regression(loss=LossConfig(pixel=pixel), lr=3e-2), 100)
    assert len(logged) == 100
    assert logged[0].keys() == {"loss", "pixel", "gradient_norm"}
    assert logged[-1]["loss"] < logged[0]["loss"] / (9 if pixel == "l2" else 3)
    assert changed == {name for name, _ in make_regression().named_parameters()}


def test_the_training_losses_sum_to_the_loss(make_regression, train, batch):
    logged, _ = train(make_regression(loss=LossConfig(colorfulness=0.5)), 1)
    assert logged[0]["loss"] == pytest.approx(logged[0]["pixel"] + logged[0]["colorfulness"])


def test_the_gradient_is_clipped(make_regression, train):
    def gradient(clip):
        task = make_regression(clip=clip)
        logged, _ = train(task, 1)
        norm = torch.cat([it.grad.flatten() for it in task.parameters()]).norm().item()
        return norm, logged[0]["gradient_norm"]

    free, reported = gradient(0.0)
    assert reported == pytest.approx(free, rel=1e-4)
    assert gradient(free / 2) == pytest.approx((free / 2, free), rel=1e-3)
    assert gradient(free * 2) == pytest.approx((free, free), rel=1e-4)


class SpoiledGradients(lightning.Callback):
    """Make the gradient of some steps NaN, as an overflow does, and record a weight."""

    def __init__(self, steps: Container[int]) -> None:
        self.steps = steps
        self.weights: list[float] = []

    def on_train_batch_start(self, _trainer, task, _batch, index):
        self.now = index in self.steps
        if index == 0:
            self.parameter = next(task.parameters())
            self.parameter.register_hook(lambda gradient: gradient * math.nan if self.now else None)
        self.weights.append(float(self.parameter.detach().sum()))


def list_left_out(logged):
    """The numbers of the steps, of five, whose gradient was not finite."""
    assert len(logged) == 5
    return [k for k, row in enumerate(logged) if not math.isfinite(row["gradient_norm"])]


def test_a_step_without_a_finite_gradient_is_left_out(make_regression, train):
    task, spoiled = make_regression(lr=1e-2), SpoiledGradients({2})
    logged, _ = train(task, 5, spoiled)
    assert list_left_out(logged) == [2]
    assert spoiled.weights[2] == spoiled.weights[3] != spoiled.weights[4]
    assert all(torch.isfinite(each).all() for each in task.parameters())


class InfiniteActivation(lightning.Callback):
    """Make an activation infinite in one step, and record the buffers before each."""

    def __init__(self, step: int) -> None:
        self.step, self.buffers = step, []

    def on_train_batch_start(self, _trainer, task, _batch, step):
        self.buffers.append([each.clone() for each in task.network.buffers() if each.ndim])
        if step == self.step:
            convolution = task.network.down[0][0]
            self.hook = convolution.register_forward_hook(lambda _module, _inputs, out: out / 0)

    def on_train_batch_end(self, *_):
        if hasattr(self, "hook"):
            self.hook.remove()


def test_the_statistics_of_a_step_that_is_left_out_are_left_out_too(make_regression, train):
    infinite = InfiniteActivation(2)
    logged, _ = train(make_regression(), 5, infinite)
    assert list_left_out(logged) == [2]
    _, _, before, after, later = infinite.buffers
    assert all(map(torch.equal, before, after)) and not any(map(torch.equal, after, later))


def test_many_such_steps_in_a_row_end_the_run(make_regression, train):
    with pytest.raises(ConfigError, match="not finite in 20 steps in a row, the last after 84 pic"):
        train(make_regression(), 40, SpoiledGradients(range(2, 40)))


def test_it_counts_pictures_and_stops_by_them(make_regression, train):
    task = make_regression(pictures=9)
    logged, _ = train(task, 10)
    assert (task.pictures_seen, len(logged)) == (12, 3)


class Rates(lightning.Callback):
    """Record the learning rate of each step."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def on_train_batch_start(self, _trainer, task, *_):
        self.rates.append(task.list_optimizers()[0].param_groups[0]["lr"])


def test_cosine_follows_the_pictures(make_regression, train):
    rates = Rates()
    train(make_regression(lr=1.0, warmup=8, pictures=24), 6, rates)
    assert rates.rates == pytest.approx([0, 0.5, 1, 0.853553, 0.5, 0.146447], rel=1e-5)


class FalseValidation(lightning.Callback):
    """Report a validation loss that never falls, after every second step."""

    def on_train_batch_end(self, _trainer, task, _outputs, _batch, index):
        if index % 2:
            task.step_schedulers(1.0)


def test_a_plateau_reduces_the_rate_after_the_warm_up_and_keeps_it(make_regression, train):
    rates = Rates()
    task = make_regression(
        lr=1.0, warmup=8, schedule="plateau", plateau_patience=1, plateau_factor=0.5
    )
    train(task, 13, rates, FalseValidation())
    # Validations after steps 2, 4, 6, ...: the first is the best, the third reduces.
    assert rates.rates == pytest.approx([0, 0.5, *[1.0] * 4, *[0.5] * 4, *[0.25] * 3])


class Ones(nn.Module):
    """A network that records its condition."""

    size_multiple = 1

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))
        self.conditions: list[torch.Tensor] = []

    def forward(self, condition):
        self.conditions.append(condition)
        return self.weight[:, None, None] * torch.ones_like(condition[:, :1])


def test_a_further_input_reaches_the_network_in_training_validation_and_export(train, batch):
    def render(lightness, ab, _generator):
        return torch.full_like(lightness, 0.25 if ab is None else 0.75).expand(-1, 2, -1, -1)

    network = Ones()
    task = RegressionConfig().build(
        network,
        LossConfig(),
        OptimConfig(),
        pictures=8,
        inputs=("lightness", "dummy"),
        conditions=CONDITIONS | {"dummy": Condition(2, render)},
    )
    lightning.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        val_check_interval=2,
        limit_val_batches=1,
    ).fit(task, itertools.repeat(batch), itertools.repeat(batch))
    *training, validation = network.conditions
    assert all(condition.shape == (4, 3, 32, 32) for condition in network.conditions)
    assert len(training) == 2 and all((each[:, 1:] == 0.75).all() for each in training)
    assert (validation[:, 1:] == 0.25).all()
    assert torch.allclose(validation[:, :1], training[0][:, :1], atol=0.01)

    lightness, dummy = torch.rand(1, 1, 4, 4), torch.rand(1, 2, 4, 4)
    exported = task.exported()
    by_order, by_name = exported(lightness, dummy), exported(dummy=dummy, lightness=lightness)
    assert by_order.shape == (1, 2, 4, 4) and torch.equal(by_order, by_name)
    assert torch.equal(network.conditions[-1], torch.cat([lightness, dummy], dim=1))
