"""What every recipe must do, with narrow networks and few pictures."""

import dataclasses
import itertools
from pathlib import Path

import lightning
import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from colorizenet.modelfile import NOISE
from colorizenet.training.config import RunConfig
from colorizenet.training.data.loader import DataConfig, Photographs
from colorizenet.training.data.screen import Screen
from colorizenet.training.export import export_run
from colorizenet.training.fit import build_task, fit
from colorizenet.training.networks import Network
from colorizenet.training.networks.denoiser import DenoiserConfig
from colorizenet.training.networks.encoder_unet import EncoderUNetConfig
from colorizenet.training.networks.frozen_features import FeaturesConfig
from colorizenet.training.recipes import RECIPES
from colorizenet.training.tasks import (
    DDPMConfig,
    DiffusionConfig,
    FrechetConfig,
    HintsConfig,
    Pix2PixConfig,
    ProjectedGANConfig,
    Task,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated"),
    pytest.mark.filterwarnings(
        "ignore:You defined a `validation_step` but have no `val_dataloader`"
    ),
]


def shrink(config: RunConfig, root: Path) -> RunConfig:
    """The recipe with its task, losses and schedule, but a small network and a short
    run."""
    network = config.network
    if isinstance(network, EncoderUNetConfig):
        network = dataclasses.replace(
            network,
            encoder="test_efficientnet",
            pretrained="none",
            widths=(16, 8, 8, 8),
            queries=min(network.queries, 3),
        )
    else:
        widths = tuple(min(width, 8) for width in network.widths)
        network = dataclasses.replace(network, widths=widths)
    task = config.task
    if isinstance(task, DiffusionConfig):
        denoiser = DenoiserConfig(widths=(16, 16), fine_width=8, blocks=1, heads=2)
        task = dataclasses.replace(task, denoiser=denoiser, draws=2, steps=2, val_draws=2)
    if isinstance(task, DDPMConfig):
        task = dataclasses.replace(task, steps=2, val_draws=2)
    if isinstance(task, Pix2PixConfig):
        task = dataclasses.replace(
            task,
            discriminator=dataclasses.replace(task.discriminator, widths=(8, 8, 8)),
            discriminator_warmup=min(task.discriminator_warmup, 8),
        )
    features = FeaturesConfig(encoder="test_efficientnet", pretrained="none")
    if isinstance(task, FrechetConfig):
        task = dataclasses.replace(
            task,
            lambda_frechet=0.01,
            dimensions=8,
            basis_pictures=8,
            moment_pictures=8,
            memory=32,
            features=features,
        )
    if isinstance(task, ProjectedGANConfig):
        task = dataclasses.replace(task, discriminator_warmup=8, features=features)
    if isinstance(task, HintsConfig):
        task = dataclasses.replace(task, implausible=0.0)  # which no picture foretells
    screen = Screen(min_side=0, min_colorfulness=0.0, max_hue_concentration=1.0)
    return dataclasses.replace(
        config,
        data=DataConfig(root=str(root), size=32, val_size=64, workers=0, screen=screen),
        network=network,
        task=task,
        optim=dataclasses.replace(config.optim, lr=1e-2, encoder_lr=1e-2, warmup=8),
        precision="32-true",
        pictures=48,
        batch_size=4,
        validate_every=16,
        checkpoint_every=12,
        ema=0.9,
        init_from="",
    )


@pytest.fixture(scope="module", params=RECIPES)
def config(request, photographs) -> RunConfig:
    return shrink(RECIPES[request.param](), photographs)


@pytest.fixture(scope="module")
def run(config, tmp_path_factory) -> Path:
    """The folder of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("recipes") / "run"
    fit(config, folder)
    return folder


def read_weights(folder: Path, name: str = "last") -> dict[str, torch.Tensor]:
    return torch.load(folder / f"{name}.ckpt", weights_only=True)["state_dict"]


def test_it_overfits_one_batch_and_every_parameter_learns(config):
    if isinstance(config.task, DiffusionConfig | DDPMConfig):
        pytest.skip("its loss is random: see tasks/test_diffusion.py and test_ddpm.py")
    config = dataclasses.replace(
        config, pictures=4 * 80, optim=dataclasses.replace(config.optim, lr=2e-2)
    )
    batch = next(iter(Photographs(config.data, batch_size=4, seed=0).train_dataloader()))
    torch.manual_seed(0)
    task = build_task(config)
    assert isinstance(task.network, Network)
    nn.init.normal_(task.network.head.weight, std=0.1)
    before = {name: value.clone() for name, value in task.network.named_parameters()}
    losses = []

    class Record(lightning.Callback):
        def on_train_batch_end(self, _trainer, _task, logged, *_):
            losses.append(float(logged["train/pixel"]))

    disabled = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
    )
    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=1, limit_train_batches=80, callbacks=[Record()], **disabled
    )
    trainer.fit(task, itertools.repeat(batch))
    # Of a random network that stays as it is, a few hints correct only a part.
    bound = 0.9 if config.optim.freeze == "all-but-similarity" else 1 / 3
    # Augmentation and hints differ from step to step, and so does the loss.
    first, last = (sum(part) / len(part) for part in (losses[:3], losses[-10:]))
    assert last < first * bound
    unchanged = [
        name for name, value in task.network.named_parameters() if torch.equal(value, before[name])
    ]
    expected = {
        "none": set(),
        "encoder": {name for name in before if name.startswith("encoder.")},
        "all-but-similarity": {name for name in before if not name.startswith("similarity.")},
    }
    assert set(unchanged) == expected[config.optim.freeze]


def test_an_interrupted_and_resumed_run_repeats_the_run_bit_for_bit(
    config, run, tmp_path, monkeypatch
):
    class Stop(Exception):
        """An error that no code expects."""

    update, calls = Task.update, itertools.count(1)

    def fail(*given, **settings):
        if next(calls) == 8:
            raise Stop
        return update(*given, **settings)

    with monkeypatch.context() as patched:
        patched.setattr(Task, "update", fail)
        with pytest.raises(Stop):
            fit(config, tmp_path)
    fit(config, tmp_path, resume=True)
    resumed = read_weights(tmp_path)
    assert all(torch.equal(value, resumed[name]) for name, value in read_weights(run).items())
    assert (run / "metrics.csv").read_text() == (tmp_path / "metrics.csv").read_text()


def test_it_exports_and_runs_at_any_size(config, run, tmp_path):
    card = export_run(run, tmp_path / "model.onnx", name="small")
    session = onnxruntime.InferenceSession(
        tmp_path / "model.onnx", providers=["CPUExecutionProvider"]
    )
    task = build_task(config, pretrained=False)
    task.load_state_dict(read_weights(run, "best"))
    for height, width in ((1, 2), (3, 1)):
        size = height * card.size_multiple, width * card.size_multiple
        pictures = 1 if card.takes("noise") else 2
        inputs = {
            each.name: torch.rand(2 if each == NOISE else pictures, each.channels, *size)
            for each in card.inputs
        }
        (ab,) = session.run(["ab"], {name: plane.numpy() for name, plane in inputs.items()})
        with torch.no_grad():
            outputs = task.exported().eval()(*inputs.values())
        expected = outputs if isinstance(outputs, torch.Tensor) else outputs[0]
        assert np.abs(ab - expected.numpy()).max() * 128 < 0.5  # its weights have half precision
