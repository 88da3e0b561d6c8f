"""``Frechet``: what is trained when, and what stays as it is."""

import dataclasses
import math

import lightning
import pytest
import torch
from torch import nn

from colorizenet.errors import ConfigError
from colorizenet.training.data.augment import Sample
from colorizenet.training.losses import LossConfig
from colorizenet.training.networks.encoder_unet import EncoderUNetConfig
from colorizenet.training.networks.frozen_features import FeaturesConfig
from colorizenet.training.networks.unet import UNetConfig
from colorizenet.training.tasks import FrechetConfig, OptimConfig

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated"),
    pytest.mark.filterwarnings(
        "ignore:You defined a `validation_step` but have no `val_dataloader`"
    ),
]
SMALL = FrechetConfig(
    dimensions=8,
    basis_pictures=8,
    moment_pictures=8,
    memory=64,
    features=FeaturesConfig(encoder="test_efficientnet", pretrained="none"),
)


@pytest.fixture
def make_task():
    """Build the task with a small network; arguments change its settings."""

    def make(*, freeze="encoder", lr: float = 1e-3, pictures: int = 4000, **settings):
        torch.manual_seed(0)
        network = EncoderUNetConfig(
            encoder="test_efficientnet", pretrained="none", widths=(16, 8, 8, 8)
        ).build()
        nn.init.normal_(network.head.weight, std=0.05)
        config = dataclasses.replace(SMALL, **settings)
        optim = OptimConfig(lr=lr, warmup=0, freeze=freeze)
        return config.build(network, LossConfig(pixel="l1"), optim, pictures=pictures)

    return make


def test_the_network_is_trained_once_the_moments_are_known(make_task, train):
    logged, changed = train(make_task(), 4)  # of 4 pictures each
    assert changed == set()
    assert all(row["frechet"] == 0 and row["gradient_norm"] == 0 for row in logged)
    logged, changed = train(make_task(), 6)
    assert changed != set()
    assert logged[-1]["frechet"] > 0 and logged[-1]["gradient_norm"] > 0
    assert logged[0].keys() == logged[-1].keys()  # metrics.csv has the same columns throughout


def test_a_frozen_encoder_and_the_statistics_of_batchnorm_stay(make_task, train):
    task = make_task()
    before = {name: value.clone() for name, value in task.network.state_dict().items()}
    _, changed = train(task, 8)
    after = task.network.state_dict()
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed == {f"network.{name}" for name in moved}  # parameters, and no statistics
    assert {name.split(".")[0] for name in moved} == {"decoder", "head"}
    assert {name for name, _ in task.network.named_parameters()} - moved == {
        name for name, _ in task.network.named_parameters() if name.startswith("encoder.")
    }


def test_without_freezing_everything_is_trained(make_task, train):
    _, changed = train(make_task(freeze="none"), 8)
    assert {name.split(".")[1] for name in changed} == {"encoder", "decoder", "head"}


def test_a_network_without_an_encoder_cannot_freeze_it():
    network = UNetConfig(widths=(8, 8, 8)).build()
    with pytest.raises(ConfigError, match=r"optim\.freeze is encoder and the network UNet"):
        SMALL.build(network, LossConfig(), OptimConfig(freeze="encoder"), pictures=4)


def test_a_run_that_would_train_nothing_is_refused(make_task, train):
    with pytest.raises(ConfigError, match="pictures is 16, and the first 16 only collect"):
        train(make_task(pictures=16), 1)
    train(make_task(pictures=17), 1)


def test_the_loss_lowers_the_distance(make_task, train):
    task = make_task(lambda_frechet=100.0, lr=1e-2, memory=16)
    logged, _ = train(task, 100)
    distances = [row["frechet"] for row in logged if row["frechet"]]
    assert distances[-1] < distances[0] / 2


class InfinitePredictions(lightning.Callback):
    """Make the predictions of some steps infinite."""

    def __init__(self, *steps: int) -> None:
        self.steps = steps

    def on_train_batch_start(self, _trainer, task, _batch, step):
        if step in self.steps:
            self.hook = task.network.register_forward_hook(lambda _module, _inputs, out: out / 0)

    def on_train_batch_end(self, _trainer, _task, _outputs, _batch, step):
        if step in self.steps:
            self.hook.remove()


def test_infinite_predictions_are_left_out_of_the_moments(make_task, train):
    task = make_task()
    logged, _ = train(task, 9, InfinitePredictions(2, 6))  # collecting, and training
    assert [not math.isfinite(row["gradient_norm"]) for row in logged] == [False] * 6 + [
        True,
        False,
        False,
    ]
    assert task.frechet.seconds.isfinite().all()
    assert all(row["frechet"] > 0 and row["gradient_norm"] > 0 for row in logged[7:])


def test_no_checkpoint_contains_the_frozen_network(make_task):
    task = make_task()
    task.extract.load_weights()
    assert not any(name.startswith("extract.") for name in task.state_dict())


@pytest.mark.parametrize(
    "setting", [{"lambda_frechet": -1.0}, {"memory": 0}, {"dimensions": 0}, {"basis_pictures": 0}]
)
def test_settings_out_of_range_are_an_error(setting):
    with pytest.raises(ConfigError, match=rf"task\.{next(iter(setting)).replace('_', '-')}"):
        FrechetConfig(**setting)


def test_moments_are_in_float32_under_autocast(make_task, train):
    task = make_task()
    sample = Sample(*(torch.rand(8, channels, 32, 32) for channels in (1, 1, 2)))
    with torch.autocast("cpu", torch.bfloat16):
        while not task.frechet.is_ready:
            task._collect(sample)
        terms = task.training_losses(sample)
    assert task.frechet.seconds.dtype == terms["frechet"].dtype == torch.float32
    assert terms["frechet"].isfinite()
