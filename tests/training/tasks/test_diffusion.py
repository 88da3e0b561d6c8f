"""``Diffusion``: what is frozen, what is learned, and what is drawn."""

import dataclasses

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from colorizenet import color
from colorizenet.colorizer import Colorizer
from colorizenet.errors import ConfigError
from colorizenet.modelfile import LIGHTNESS, NOISE, ModelCard
from colorizenet.training.data.augment import augment_batch
from colorizenet.training.export import export_network
from colorizenet.training.losses import LossConfig
from colorizenet.training.networks.denoiser import DenoiserConfig
from colorizenet.training.networks.encoder_unet import EncoderUNetConfig
from colorizenet.training.networks.unet import UNetConfig
from colorizenet.training.tasks import Diffusion, DiffusionConfig, OptimConfig

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated"),
    pytest.mark.filterwarnings(
        "ignore:You defined a `validation_step` but have no `val_dataloader`"
    ),
]
SMALL = DiffusionConfig(
    denoiser=DenoiserConfig(widths=(16, 16), fine_width=8, blocks=1, heads=2),
    draws=4,
    steps=2,
    guidance=1.0,
    val_draws=2,
)


@pytest.fixture
def make_task():
    """Build the task with a small network; arguments change its settings."""

    def make(*, network=None, lr: float = 1e-2, pictures: int = 4000, **settings) -> Diffusion:
        torch.manual_seed(0)
        network = network or EncoderUNetConfig(
            encoder="test_efficientnet", pretrained="none", widths=(16, 8, 8, 8), queries=3
        )
        built = network.build()
        nn.init.normal_(built.head.weight, std=0.05)
        config = dataclasses.replace(SMALL, **settings)
        optim = OptimConfig(lr=lr, warmup=0)
        return config.build(built, LossConfig(), optim, pictures=pictures)

    return make


def learn_to_draw(task: Diffusion) -> Diffusion:
    """Make the untrained denoiser predict something other than 0."""
    torch.manual_seed(1)
    nn.init.normal_(task.network.denoiser.head.weight, std=1.0)
    nn.init.normal_(task.network.denoiser.head.bias, std=0.5)
    return task


def test_all_but_the_frozen_network_learns(make_task, train):
    task = make_task()
    frozen = {name: value.clone() for name, value in task.network.frozen.state_dict().items()}
    logged, changed = train(task, 60)
    assert all(torch.equal(x, frozen[name]) for name, x in task.network.frozen.state_dict().items())
    trained = {
        f"network.{name}" for name, each in task.network.named_parameters() if each.requires_grad
    }
    assert changed == trained
    for name in ("velocity", "spread"):
        first, last = (np.mean([row[name] for row in part]) for part in (logged[:5], logged[-5:]))
        assert last < first


def test_the_frozen_network_stays_in_evaluation_when_the_task_is_trained(make_task):
    task = make_task()
    task.train()
    assert task.network.denoiser.training and not task.network.frozen.training


def test_the_losses_of_one_batch_depend_on_the_number_of_pictures_seen(make_task, batch):
    task = make_task()
    sample = augment_batch(batch, task.augmentation, 0)
    first = task.training_losses(sample)["velocity"].item()
    assert task.training_losses(sample)["velocity"].item() == first
    task.pictures_seen = 4
    assert task.training_losses(sample)["velocity"].item() != first


def test_the_loss_is_lowest_for_a_denoiser_that_knows_the_data(make_task, batch):
    task = make_task()
    sample = augment_batch(batch, task.augmentation, 0)
    described = task.network.describe(sample.condition)
    truth = nn.functional.avg_pool2d(sample.ab, 4)
    data = (truth - described.small_answer) / described.spread
    task.network.denoise = lambda state, t, levels: data.repeat_interleave(4, dim=0).detach()
    assert task.training_losses(sample)["velocity"].item() == pytest.approx(0, abs=1e-9)


def test_a_change_of_the_state_is_in_units_of_the_spread(make_task, batch):
    task = make_task()
    described = task.network.describe(augment_batch(batch, task.augmentation, 0).condition)
    drawn = task.network.add_change(described, 0.25 / described.spread)
    torch.testing.assert_close(drawn, described.answer + 0.25)


def test_a_change_ends_where_lightness_does(make_task, batch):
    """The edge is within a pixel of the state, where bilinear enlarging blurs it."""
    task = make_task()
    described = task.network.describe(augment_batch(batch, task.augmentation, 0).condition)
    side = described.answer.shape[-1]
    factor = side // described.spread.shape[-1]
    assert factor > 1
    light = (torch.arange(side) > side // 2).float().expand_as(described.lightness)
    change = (nn.functional.avg_pool2d(light, factor) - 0.5) / described.spread
    drawn = task.network.add_change(described._replace(lightness=light), change)
    torch.testing.assert_close(
        drawn - described.answer, (light - 0.5).expand_as(drawn), atol=0.02, rtol=0
    )


def test_drawings_are_around_the_answer_even_if_the_data_are_not(make_task, batch):
    """A denoiser whose data are paler than the answer does not make drawings pale."""
    task = make_task(temperatures=(0.01,)).eval()
    task.network.denoise = lambda state, t, levels: 0.1 * state - 5
    described = task.network.describe(augment_batch(batch, task.augmentation, 0).condition)
    [drawn] = task.draw(described, 1, torch.Generator().manual_seed(0))
    assert (drawn - described.answer).abs().mean() < 0.01 * 5 * described.spread.mean()


def test_higher_temperatures_draw_more_different_colorings(make_task, batch):
    spreads = []
    for temperature in (0.25, 1.0):
        task = learn_to_draw(make_task(temperatures=(temperature,))).eval()
        described = task.network.describe(augment_batch(batch, task.augmentation, 0).condition)
        draws = task.draw(described, 4, torch.Generator().manual_seed(0))
        spreads.append(torch.stack(draws).std(0).mean().item())
    assert spreads[0] < 0.5 * spreads[1]


def test_times_are_logit_normal_and_partly_uniform(make_task):
    random = torch.Generator().manual_seed(0)
    times = make_task(t_mean=1.0, t_std=0.5, t_uniform=0.0)._draw_times(20_000, random)
    assert times.logit().mean().item() == pytest.approx(1.0, abs=0.02)
    assert times.logit().std().item() == pytest.approx(0.5, abs=0.02)
    times = make_task(t_uniform=1.0)._draw_times(20_000, random)
    assert times.mean().item() == pytest.approx(0.5, abs=0.02)
    assert times.min() >= 0 and times.max() <= 1


def test_draws_differ_by_the_noise_alone(make_task):
    task = learn_to_draw(make_task()).eval()
    with torch.no_grad():
        described = task.network.describe(torch.rand(2, 1, 32, 64))
        one, other = task.draw(described, 2, torch.Generator().manual_seed(0))
        again, _ = task.draw(described, 2, torch.Generator().manual_seed(0))
    assert one.shape == (2, 2, 16, 32)
    assert torch.equal(one, again) and not torch.allclose(one, other, atol=1e-3)


def test_the_exported_module_draws_around_each_of_several_pictures(make_task):
    task = learn_to_draw(make_task()).eval()
    lightness, noise = torch.rand(3, 1, 32, 64), torch.randn(3, 2, 32, 64)
    with torch.no_grad():
        together = task.exported()(lightness, noise)
        alone = [task.exported()(lightness[i : i + 1], noise[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-5)


def test_noise_of_zero_gives_the_answer_of_the_frozen_network(make_task):
    task = learn_to_draw(make_task()).eval()
    lightness, noise = torch.rand(1, 1, 32, 64), torch.randn(3, 2, 32, 64)
    noise[1] = 0
    with torch.no_grad():
        drawn, answer = task.exported()(lightness, noise), task.network.frozen(lightness)
    assert torch.equal(drawn[1], answer[0])
    assert all((drawn[i] - answer[0]).abs().max() > 1e-3 for i in (0, 2))


@pytest.mark.parametrize(("sampler", "guidance"), [("euler", 1.5), ("heun", 1.0)])
def test_the_exported_file_draws_what_the_network_draws(make_task, tmp_path, sampler, guidance):
    task = learn_to_draw(make_task(sampler=sampler, guidance=guidance)).eval()
    multiple = task.network.size_multiple
    card = ModelCard(
        name="small", task="diffusion", inputs=(LIGHTNESS, NOISE), size=64, size_multiple=multiple
    )
    export_network(task.exported(), card, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(
        tmp_path / "model.onnx", providers=["CPUExecutionProvider"]
    )
    lightness, noise = torch.rand(1, 1, 2 * multiple, multiple), torch.randn(5, 2, 64, 32)
    (ab,) = session.run(["ab"], {"lightness": lightness.numpy(), "noise": noise.numpy()})
    with torch.no_grad():
        expected = task.exported().eval()(lightness, noise)
    assert ab.shape == (5, 2, 32, 16)
    assert np.abs(color.denormalize_ab(ab - expected.numpy())).max() < 0.5  # half precision

    # The first answer is that of the frozen network; the others are drawn.
    colorizer, picture = Colorizer(tmp_path / "model.onnx"), np.full((64, 64, 3), 100, np.uint8)
    answer, *drawn = colorizer.predict(picture, count=3)
    plane = torch.full((1, 1, 64, 64), float(color.lightness(picture)[0, 0]) / color.L_SCALE)
    with torch.no_grad():
        expected = color.denormalize_ab(task.network.frozen(plane)[0]).movedim(0, -1).numpy()
    assert np.abs(answer.ab - expected).max() < 0.5
    assert all(np.abs(each.ab - expected).max() > 0.5 for each in drawn)


def test_a_network_with_chroma_of_full_size_can_be_frozen(make_task, batch):
    task = learn_to_draw(make_task(network=UNetConfig(widths=(8, 8, 8)))).eval()
    assert task.network.size_multiple == 16
    sample = augment_batch(batch, task.augmentation, 0)
    assert task.sample(sample.condition).shape == (4, 2, 32, 32)
    assert task.training_losses(sample)["velocity"].isfinite()


def test_validation_shows_the_answer_and_each_draw_side_by_side(make_task, batch):
    task = learn_to_draw(make_task()).eval()
    logged: dict[str, float] = {}
    task.log_validation = lambda means, pictures: logged.update(means)
    with torch.no_grad():
        strips = task.validation_step(batch, 0)
    assert strips.shape == (4, 32, 3 * 32, 3)
    assert logged["best_ciede2000"] <= logged["ciede2000"]
    assert logged["mean_spread"] > 0


def test_chroma_that_is_too_small_is_an_error(make_task):
    network = EncoderUNetConfig(encoder="test_efficientnet", pretrained="none", widths=(16, 8))
    with pytest.raises(ConfigError, match="1/8 of the size"):
        make_task(network=network)


@pytest.mark.parametrize(
    "setting",
    [{"draws": 0}, {"steps": 0}, {"t_uniform": 1.5}, {"condition_dropout": -0.1}, {"t_std": 0.0}],
)
def test_settings_out_of_range_are_an_error(setting):
    with pytest.raises(ConfigError, match=rf"task\.{next(iter(setting)).replace('_', '-')}"):
        DiffusionConfig(**setting)


def test_bands_and_widths_that_make_no_sense_are_an_error():
    with pytest.raises(ConfigError, match=r"task\.bands"):
        DiffusionConfig(bands=(0.0, 0.0))
    with pytest.raises(ConfigError, match=r"task\.temperatures"):
        DiffusionConfig(temperatures=(1.0, -0.5))
    with pytest.raises(ConfigError, match=r"task\.denoiser\.widths"):
        DenoiserConfig(widths=(20, 20))
    with pytest.raises(ConfigError, match=r"task\.denoiser\.heads"):
        DenoiserConfig(widths=(16, 16), heads=3)
