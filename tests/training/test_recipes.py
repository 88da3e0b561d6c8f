"""What every recipe must do, on widths and pictures small enough to do it in a second."""

import dataclasses
import itertools

import lightning
import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from colorizenet.training.config import RunConfig
from colorizenet.training.data.loader import DataConfig, Photographs
from colorizenet.training.data.screen import Screen
from colorizenet.training.export import export_run
from colorizenet.training.fit import build_task, fit
from colorizenet.training.networks.encoder_unet import EncoderUNetConfig
from colorizenet.training.recipes import RECIPES
from colorizenet.training.tasks.base import Pix2PixConfig, Task

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated"),
    pytest.mark.filterwarnings(
        "ignore:You defined a `validation_step` but have no `val_dataloader`"
    ),
]


def small(config: RunConfig, root, **settings) -> RunConfig:
    """The recipe with its task, loss and schedule, on narrow networks and few pictures."""
    if isinstance(config.network, EncoderUNetConfig):
        network = EncoderUNetConfig(
            encoder="test_efficientnet", pretrained="none", widths=(16, 8, 8, 8)
        )
    else:
        network = dataclasses.replace(
            config.network, widths=tuple(min(width, 8) for width in config.network.widths)
        )
    task = config.task
    if isinstance(task, Pix2PixConfig):
        discriminator = dataclasses.replace(task.discriminator, widths=(8, 8, 8))
        task = dataclasses.replace(task, discriminator=discriminator, warm_up=min(task.warm_up, 8))
    screen = Screen(min_side=0, min_colorfulness=0.0, max_tone=1.0)
    return dataclasses.replace(
        config,
        data=DataConfig(root=str(root), size=32, val_size=64, workers=0, screen=screen),
        network=network,
        task=task,
        optim=dataclasses.replace(config.optim, lr=1e-2, encoder_lr=1e-2, warmup=8),
        precision="32-true",
        **{
            "pictures": 48,
            "batch_size": 4,
            "validate_every": 16,
            "checkpoint_every": 12,
            "ema": 0.9,
        }
        | settings,
    )


@pytest.fixture(params=RECIPES)
def config(request, photographs) -> RunConfig:
    return small(RECIPES[request.param](), photographs)


def test_it_overfits_one_batch_and_every_parameter_learns(config):
    config = dataclasses.replace(
        config, pictures=4 * 80, optim=dataclasses.replace(config.optim, lr=2e-2)
    )
    batch = next(iter(Photographs(config.data, batch_size=4, seed=0).train_dataloader()))
    torch.manual_seed(0)
    task = build_task(config)
    nn.init.normal_(task.network.head.weight, std=0.1)
    before = {name: value.clone() for name, value in task.network.named_parameters()}
    found = []

    class Note(lightning.Callback):
        def on_train_batch_end(self, _trainer, _task, logged, *_):
            found.append(float(logged["train/pixels"]))

    quiet = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
    )
    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=1, limit_train_batches=80, callbacks=[Note()], **quiet
    )
    trainer.fit(task, itertools.repeat(batch))
    assert found[-1] < found[0] / 3
    assert [
        name for name, value in task.network.named_parameters() if torch.equal(value, before[name])
    ] == []


def weights(folder, name="last"):
    return torch.load(folder / f"{name}.ckpt", weights_only=True)["state_dict"]


def test_the_same_seed_gives_the_same_weights(config, tmp_path):
    for name in ("one", "other"):
        fit(config, tmp_path / name)
    one, other = weights(tmp_path / "one"), weights(tmp_path / "other")
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_a_run_that_was_stopped_and_resumed_is_the_same_run(config, tmp_path, monkeypatch):
    class Stop(Exception):
        """What no code expects."""

    update, calls = Task.update, itertools.count(1)

    def failing(*given, **settings):
        if next(calls) == 8:
            raise Stop
        return update(*given, **settings)

    with monkeypatch.context() as patched:
        patched.setattr(Task, "update", failing)
        with pytest.raises(Stop):
            fit(config, tmp_path / "stopped")
    fit(config, tmp_path / "stopped", resume=True)
    fit(config, tmp_path / "whole")
    whole, stopped = weights(tmp_path / "whole"), weights(tmp_path / "stopped")
    assert all(torch.equal(value, stopped[name]) for name, value in whole.items())
    assert (tmp_path / "whole" / "metrics.csv").read_text() == (
        tmp_path / "stopped" / "metrics.csv"
    ).read_text()


def test_it_exports_at_any_size(config, tmp_path):
    config = dataclasses.replace(config, pictures=8)
    fit(config, tmp_path / "run")
    card = export_run(tmp_path / "run", tmp_path / "model.onnx", name="small")
    session = onnxruntime.InferenceSession(
        tmp_path / "model.onnx", providers=["CPUExecutionProvider"]
    )
    task = build_task(config, pretrained=False)
    task.load_state_dict(weights(tmp_path / "run", "best"))
    for height, width in ((1, 2), (3, 1)):
        lightness = torch.rand(2, 1, height * card.size_multiple, width * card.size_multiple)
        (ab,) = session.run(None, {"lightness": lightness.numpy()})
        with torch.no_grad():
            expected = task.network.eval()(lightness).numpy()
        assert np.abs(ab - expected).max() * 128 < 0.5  # weights of half precision
