"""``DDPM``: what is learned, and what is drawn."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from colorizenet import color
from colorizenet.colorizer import Colorizer
from colorizenet.errors import ConfigError
from colorizenet.modelfile import LIGHTNESS, NOISE, ModelCard
from colorizenet.training.config import RunConfig
from colorizenet.training.data.augment import augment_batch
from colorizenet.training.export import export_network
from colorizenet.training.losses import LossConfig
from colorizenet.training.networks.ddim import compute_alpha_bar
from colorizenet.training.networks.denoiser import NoisePredictorConfig
from colorizenet.training.recipes import diffusion_scratch
from colorizenet.training.tasks import DDPM, DDPMConfig, OptimConfig

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated"),
    pytest.mark.filterwarnings(
        "ignore:You defined a `validation_step` but have no `val_dataloader`"
    ),
]


@pytest.fixture
def make_task():
    """Build the task with a small network."""

    def make(*, lr: float = 1e-2, **settings) -> DDPM:
        torch.manual_seed(0)
        network = NoisePredictorConfig(widths=(8, 8, 8), fine_width=8, heads=2).build()
        config = DDPMConfig(**{"steps": 2, "val_draws": 2} | settings)
        optim = OptimConfig(lr=lr, warmup=0)
        return config.build(network, LossConfig(), optim, pictures=4000)

    return make


def change_predictions(task: DDPM) -> DDPM:
    """Make the untrained network predict something other than 0."""
    torch.manual_seed(1)
    nn.init.normal_(task.network.head.weight, std=0.1)
    nn.init.normal_(task.network.head.bias, std=0.5)  # type: ignore[arg-type]
    return task


def know_the_data(task: DDPM, ab: Tensor) -> None:
    """Replace the network by one that knows the data, and so the noise in a state."""

    def forward(state: Tensor, t: Tensor, levels: list[Tensor]) -> Tensor:
        assert len(levels[0]) == len(ab)
        alpha_bar = torch.tensor([compute_alpha_bar(float(each)) for each in t])[
            :, None, None, None
        ]
        return (state - alpha_bar.sqrt() * 4 * ab) / (1 - alpha_bar).sqrt()

    task.network.forward = forward


def test_it_overfits_one_batch_and_every_parameter_learns(make_task, train):
    task = make_task(lr=2e-2)
    logged, changed = train(task, 60)
    assert changed == {name for name, _ in task.named_parameters()}
    losses = [row["noise"] for row in logged]
    assert losses[0] == pytest.approx(1, abs=0.1)  # the first prediction is 0
    assert np.mean(losses[-20:]) < 0.5


def test_the_losses_of_one_batch_depend_on_the_number_of_pictures_seen(make_task, batch):
    task = make_task()
    sample = augment_batch(batch, task.augmentation, 0)
    first = task.training_losses(sample)["noise"].item()
    assert task.training_losses(sample)["noise"].item() == first
    task.pictures_seen = 4
    assert task.training_losses(sample)["noise"].item() != first


def test_a_network_that_knows_the_data_has_no_loss_and_draws_them(make_task, batch):
    task = make_task()
    sample = augment_batch(batch, task.augmentation, 0)
    know_the_data(task, sample.ab)
    assert task.training_losses(sample)["noise"].item() == pytest.approx(0, abs=1e-6)
    drawn = task.sample(sample.condition, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(drawn, sample.ab, rtol=0, atol=1e-5)


def test_the_exported_module_draws_around_each_of_several_pictures(make_task):
    exported = change_predictions(make_task()).eval().exported()
    lightness, noise = torch.rand(3, 1, 32, 64), torch.randn(3, 2, 32, 64)
    with torch.no_grad():
        together = exported(lightness, noise)
        alone = [exported(lightness[i : i + 1], noise[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-5)


def test_colorings_differ_by_the_noise_alone_in_the_exported_file(make_task, tmp_path):
    task = change_predictions(make_task(steps=1)).eval()
    card = ModelCard(
        name="small",
        task="ddpm",
        inputs=(LIGHTNESS, NOISE),
        size=64,
        size_multiple=task.network.size_multiple,
    )
    export_network(task.exported(), card, tmp_path / "model.onnx")
    colorizer, picture = Colorizer(tmp_path / "model.onnx"), np.full((64, 64, 3), 100, np.uint8)
    answer, *drawn = colorizer.predict(picture, count=3)
    plane = torch.full((1, 1, 64, 64), float(color.lightness(picture)[0, 0]) / color.L_SCALE)
    with torch.no_grad():
        without = task.exported()(plane, torch.zeros(1, 2, 64, 64))[0]
    expected = color.denormalize_ab(without).movedim(0, -1).numpy()
    assert np.abs(answer.ab - expected).max() < 0.5  # half precision
    assert all(np.abs(each.ab - answer.ab).max() > 1 for each in drawn)
    assert np.abs(drawn[0].ab - drawn[1].ab).max() > 1
    again = colorizer.predict(picture, count=3)[1:]
    assert all(np.array_equal(x.ab, y.ab) for x, y in zip(drawn, again, strict=True))
    other = colorizer.predict(picture, count=3, seed=1)[1:]
    assert not np.array_equal(drawn[0].ab, other[0].ab)


def test_validation_shows_each_draw_side_by_side(make_task, batch):
    task = change_predictions(make_task()).eval()
    logged: dict[str, float] = {}
    task.log_validation = lambda means, pictures: logged.update(means)
    with torch.no_grad():
        strips = task.validation_step(batch, 0)
    assert strips.shape == (4, 32, 2 * 32, 3)
    assert logged["best_ciede2000"] <= logged["ciede2000"]
    assert logged["mean_spread"] > 0 and math.isfinite(logged["loss"])


@pytest.mark.parametrize("setting", ["steps", "val_draws"])
def test_settings_out_of_range_are_an_error(setting):
    with pytest.raises(ConfigError, match=rf"task\.{setting.replace('_', '-')}"):
        DDPMConfig(**{setting: 0})


def test_widths_that_make_no_sense_are_an_error():
    with pytest.raises(ConfigError, match=r"network\.widths"):
        NoisePredictorConfig(widths=(20, 20))


def test_the_network_and_the_task_are_used_together_only():
    config = diffusion_scratch()
    with pytest.raises(ConfigError, match="network is noise_predictor and task is regression"):
        RunConfig(network=config.network)
    with pytest.raises(ConfigError, match="network is encoder_unet and task is ddpm"):
        RunConfig(task=config.task)
