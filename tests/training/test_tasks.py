"""What a task does with its networks: how fast they learn, and that they do."""

import dataclasses
import itertools

import lightning
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from colorizenet.errors import ConfigError
from colorizenet.training.data import augment
from colorizenet.training.data.loader import Photographs
from colorizenet.training.fit import build_task
from colorizenet.training.tasks.base import OptimConfig, RegressionConfig, learning_rate_share

pictures = st.integers(0, 2000)


def share(seen: int, *, warmup: int = 100) -> float:
    return learning_rate_share(seen, warmup=warmup, total=1000)


@settings(deadline=None)
@given(pictures, pictures, st.integers(0, 1000))
def test_the_learning_rate_rises_to_its_peak_and_then_falls_to_nothing(one, other, warmup):
    first, second = sorted((one, other))
    assert 0 <= share(first, warmup=warmup) <= 1
    if second <= warmup:
        assert share(first, warmup=warmup) <= share(second, warmup=warmup)
    if first >= warmup:
        assert share(first, warmup=warmup) >= share(second, warmup=warmup)


def test_the_learning_rate_at_the_ends_and_in_the_middle():
    assert [share(seen) for seen in (0, 50, 100, 1000, 5000)] == [0, 0.5, 1, 0, 0]
    assert share(550) == pytest.approx(0.5)
    assert share(0, warmup=0) == 1


def test_a_plateau_stays_at_its_peak():
    assert [
        learning_rate_share(seen, warmup=100, total=1000, schedule="plateau")
        for seen in (50, 100, 5000)
    ] == [
        0.5,
        1,
        1,
    ]


@pytest.mark.parametrize("factor", [0.0, 1.0, 1.5])
def test_a_step_down_goes_down(factor):
    with pytest.raises(ConfigError, match=r"optim\.plateau-factor"):
        OptimConfig(plateau_factor=factor)


@pytest.mark.parametrize(
    "config", [{"plateau_patience": -1}, {"lr": -1.0}, {"warmup": -1}, {"clip": -0.1}]
)
def test_negative_rates_are_refused(config):
    with pytest.raises(ConfigError, match=rf"optim\.{next(iter(config))}"):
        OptimConfig(**config)


def test_a_corner_of_nothing_is_refused():
    with pytest.raises(ConfigError, match=r"task\.corner"):
        RegressionConfig(corner=0.0)


def trained(config, batch, steps):
    """A task after so many steps on one batch, and the losses on the way."""
    torch.manual_seed(0)
    task = build_task(config)
    nn.init.normal_(
        task.network.head.weight, std=0.1
    )  # a head of zeros would keep the encoder from learning
    before = {name: value.clone() for name, value in task.network.named_parameters()}
    found = []

    class Note(lightning.Callback):
        def on_train_batch_end(self, _trainer, _task, logged, *_):
            found.append(float(logged["train/loss"]))

    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = lightning.Trainer(accelerator="cpu", max_steps=steps, callbacks=[Note()], **quiet)
    trainer.fit(task, itertools.repeat(batch))
    changed = {
        name
        for name, value in task.network.named_parameters()
        if not torch.equal(value, before[name])
    }
    return task, found, changed


@pytest.fixture
def batch(tiny):
    return next(iter(Photographs(tiny.data, batch_size=4, seed=0).train_dataloader()))


@pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated")
@pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no `val_dataloader`")
class TestRegression:
    @pytest.mark.parametrize("loss", ["huber", "l1", "l2"])
    def test_overfits_one_batch(self, tiny, batch, loss):
        optim = OptimConfig(lr=2e-2, encoder_lr=2e-2, warmup=0)
        config = dataclasses.replace(
            tiny, task=RegressionConfig(loss=loss), optim=optim, pictures=4 * 60
        )
        _, found, _ = trained(config, batch, 60)
        assert len(found) == 60
        assert found[-1] < found[0] / (20 if loss == "l2" else 4)

    def test_the_encoder_has_its_own_learning_rate(self, tiny, batch):
        for lr, encoder_lr in ((1e-2, 0.0), (0.0, 1e-2)):
            config = dataclasses.replace(
                tiny, optim=OptimConfig(lr=lr, encoder_lr=encoder_lr, warmup=0)
            )
            task, _, changed = trained(config, batch, 2)
            learning = "encoder." if encoder_lr else ("decoder.", "head.")
            assert changed == {
                name for name, _ in task.network.named_parameters() if name.startswith(learning)
            }

    def test_a_step_is_no_longer_than_the_clip(self, tiny, batch):
        def gradient(clip):
            config = dataclasses.replace(tiny, optim=OptimConfig(clip=clip, warmup=0))
            task, _, _ = trained(config, batch, 1)
            return (
                torch.cat([parameter.grad.flatten() for parameter in task.parameters()])
                .norm()
                .item()
            )

        free = gradient(0.0)
        assert gradient(free / 2) == pytest.approx(free / 2, rel=1e-3)
        assert gradient(free * 2) == pytest.approx(free, rel=1e-5)

    def test_it_counts_pictures_and_stops_by_them(self, tiny, batch):
        task, found, _ = trained(dataclasses.replace(tiny, pictures=9), batch, 10)
        assert (task.pictures_seen, len(found)) == (12, 3)


def test_pixels_survive_the_way_to_network_units_and_back(batch):
    lightness, ab = augment.to_network(batch)
    assert lightness.min() >= 0 and lightness.max() <= 1 and ab.abs().max() < 1
    assert (augment.to_rgb(lightness, ab).int() - batch.int()).abs().max() <= 1


def test_smaller_chroma_is_brought_to_the_size_of_the_lightness(batch):
    lightness, ab = augment.to_network(batch)
    shown = augment.to_rgb(lightness, nn.functional.avg_pool2d(ab, 2))
    assert shown.shape == batch.shape
    assert (
        augment.to_network(shown)[0] - lightness
    ).abs().max() < 0.01  # whatever the colors, L* is kept
