"""``ProjectedGAN``: which network is trained when, with which weight."""

import dataclasses

import lightning
import pytest
import torch
from torch import nn

from colorizenet.errors import ConfigError
from colorizenet.training.losses import LossConfig
from colorizenet.training.networks.encoder_unet import EncoderUNetConfig
from colorizenet.training.networks.frozen_features import FeaturesConfig
from colorizenet.training.networks.projected_discriminator import ProjectedDiscriminatorConfig
from colorizenet.training.tasks import OptimConfig, ProjectedGANConfig

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated"),
    pytest.mark.filterwarnings(
        "ignore:You defined a `validation_step` but have no `val_dataloader`"
    ),
]
SMALL = ProjectedGANConfig(
    discriminator=ProjectedDiscriminatorConfig(width=8),
    features=FeaturesConfig(encoder="test_efficientnet", pretrained="none"),
)


@pytest.fixture
def make_task():
    """Build the task with a small network; arguments change its settings."""

    def make(*, lr: float = 1e-3, warmup: int = 0, pictures: int = 4000, **settings):
        torch.manual_seed(0)
        network = EncoderUNetConfig(
            encoder="test_efficientnet", pretrained="none", widths=(16, 8, 8, 8)
        ).build()
        nn.init.normal_(network.head.weight, std=0.05)
        config = dataclasses.replace(SMALL, **settings)
        optim = OptimConfig(lr=lr, warmup=warmup, freeze="encoder")
        return config.build(network, LossConfig(pixel="l1"), optim, pictures=pictures)

    return make


def parts(names: set[str]) -> set[str]:
    return {".".join(name.split(".")[:2]) for name in names}


def test_at_first_only_the_heads_of_the_discriminator_are_trained(make_task, train):
    logged, changed = train(make_task(), 3)
    assert parts(changed) == {"discriminator.heads"}
    assert all(row["gradient_norm"] == 0 and row["gan_weight"] == 0 for row in logged)


def test_the_network_is_trained_once_the_discriminator_is_accurate(make_task, train):
    task = make_task(discriminator_lr=1e-2)
    logged, changed = train(task, 150)
    started = next(i for i, row in enumerate(logged) if row["gradient_norm"] > 0)
    assert int(task.started_at) == 4 * started  # 4 pictures a step
    assert logged[started - 2]["accuracy"] < 0.75 <= logged[started - 1]["accuracy"]
    assert parts(changed) == {"discriminator.heads", "network.decoder", "network.head"}
    assert logged[0].keys() == logged[-1].keys()  # metrics.csv has the same columns throughout


def test_the_network_is_trained_after_the_longest_warm_up_in_any_case(make_task, train):
    task = make_task(discriminator_lr=0.0, discriminator_warmup=8)
    logged, _ = train(task, 3)
    assert [row["gradient_norm"] > 0 for row in logged] == [False, False, True]
    assert int(task.started_at) == 8


@pytest.mark.parametrize(("steps", "warned"), [(2, True), (3, False)])
def test_a_run_that_ends_before_the_network_is_trained_says_so(
    make_task, train, caplog, steps, warned
):
    train(make_task(discriminator_lr=0.0, discriminator_warmup=8), steps)
    assert ("the network was not trained" in caplog.text) == warned


def test_the_statistics_of_batchnorm_stay(make_task, train):
    task = make_task(discriminator_warmup=0)
    before = {name: value.clone() for name, value in task.network.named_buffers()}
    train(task, 5)
    assert before.keys() == dict(task.network.named_buffers()).keys()
    assert all(torch.equal(x, before[name]) for name, x in task.network.named_buffers())


def test_the_network_lowers_the_adversarial_loss_of_a_fixed_discriminator(make_task, train):
    task = make_task(
        discriminator_lr=0.0, discriminator_warmup=0, lambda_gan=100.0, lr=1e-2, pictures=10**6
    )
    task.augmentation = dataclasses.replace(task.augmentation)
    logged, _ = train(task, 80)
    first, last = (sum(row["g_loss"] for row in part) for part in (logged[1:11], logged[-10:]))
    assert last < first


def test_the_adaptive_weight_makes_both_gradients_equally_large(make_task, batch):
    task = make_task(lambda_gan=1.0)
    predicted = task.network(torch.rand(2, 1, 32, 32))
    pixel_loss, g_loss = predicted.square().mean(), 1e-3 * predicted.sin().mean()
    surrogate, ratio = task._balance(predicted, pixel_loss, g_loss)
    weight = task.network.head.weight
    pixel, gan, total = (
        torch.autograd.grad(loss, weight, retain_graph=True)[0]
        for loss in (pixel_loss, g_loss, surrogate)
    )
    assert (ratio * gan).norm().item() == pytest.approx(pixel.norm().item(), rel=0.3)
    torch.testing.assert_close(total, pixel + ratio * gan)


class Rates(lightning.Callback):
    """Record the learning rate of the network in each step."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def on_train_batch_start(self, _trainer, task, *_):
        self.rates.append(task.list_optimizers()[0].param_groups[0]["lr"])


def test_the_schedule_of_the_network_begins_with_its_first_step(make_task, train):
    rates = Rates()
    task = make_task(
        lr=1.0, warmup=8, discriminator_lr=0.0, discriminator_warmup=12, lambda_gan=0.0, pictures=28
    )
    train(task, 7, rates)
    assert rates.rates[3:] == pytest.approx([0, 0.5, 1.0, 0.5])


@pytest.mark.parametrize(
    "setting",
    [
        {"lambda_gan": -1.0},
        {"gradient_penalty": -1.0},
        {"discriminator_lr": -0.1},
        {"discriminator_warmup": -1},
        {"discriminator_betas": (0.5, 1.0)},
        {"discriminator_accuracy": 1.5},
    ],
)
def test_settings_out_of_range_are_an_error(setting):
    with pytest.raises(ConfigError, match=rf"task\.{next(iter(setting)).replace('_', '-')}"):
        ProjectedGANConfig(**setting)
