"""``Pix2Pix``: which network is trained when, and which weights are the best."""

import itertools

import lightning
import pytest
import torch

from colorizenet.errors import ConfigError
from colorizenet.training.losses import LossConfig
from colorizenet.training.losses.adversarial import r1_penalty
from colorizenet.training.networks.patchgan import PatchGANConfig
from colorizenet.training.tasks import OptimConfig, Pix2PixConfig

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated"),
    pytest.mark.filterwarnings(
        "ignore:You defined a `validation_step` but have no `val_dataloader`"
    ),
]


@pytest.fixture
def make_task(make_network):
    """Build adversarial training of a small network; arguments change its settings."""

    def make(*, lr: float = 1e-2, pictures: int = 4000, schedule="cosine", **settings):
        config = Pix2PixConfig(
            **{"discriminator": PatchGANConfig(widths=(8, 8)), "discriminator_lr": 1e-2} | settings
        )
        optim = OptimConfig(
            lr=lr, betas=(0.5, 0.999), warmup=0, clip=0.0, weight_decay=0.0, schedule=schedule
        )
        network = make_network()
        return config.build(network, LossConfig(pixel="l1"), optim, pictures=pictures)

    return make


def parts(names: set[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


def test_both_networks_are_trained(make_task, train):
    logged, changed = train(make_task(), 3)
    assert parts(changed) == {"network", "discriminator"}
    losses = {"loss", "g_loss", "d_loss", "r1", "pixel", "real_score", "fake_score"}
    assert logged[0].keys() == losses | {"gradient_norm", "discriminator_norm"}


def test_the_loss_is_the_adversarial_loss_plus_lambda_times_the_pixel_loss(make_task, train):
    ten, hundred = (train(make_task(lambda_pixel=each), 1)[0][0] for each in (10.0, 100.0))
    assert hundred["loss"] == pytest.approx(hundred["g_loss"] + hundred["pixel"], rel=1e-5)
    assert hundred["pixel"] == pytest.approx(10 * ten["pixel"], rel=1e-5)
    assert hundred["g_loss"] == pytest.approx(ten["g_loss"], rel=1e-5)


def test_the_discriminator_learns_to_tell_real_from_fake(make_task, train):
    logged, _ = train(make_task(lambda_pixel=0.0, lr=0.0), 40)
    first, last = (row["real_score"] - row["fake_score"] for row in (logged[0], logged[-1]))
    assert last > first + 0.3


@pytest.mark.parametrize("gan_loss", ["bce", "hinge"])
def test_the_network_reduces_the_adversarial_loss_of_a_fixed_discriminator(
    make_task, train, gan_loss
):
    task = make_task(discriminator_lr=0.0, lambda_pixel=0.0, gan_loss=gan_loss)
    logged, changed = train(task, 20)
    assert parts(changed) == {"network"}
    assert logged[-1]["g_loss"] < logged[0]["g_loss"]


def test_a_large_lambda_reduces_the_pixel_loss(make_task, train):
    logged, _ = train(make_task(lambda_pixel=100.0), 60)
    assert logged[-1]["pixel"] < logged[0]["pixel"] / 2


def test_during_its_warm_up_only_the_discriminator_is_trained(make_task, train):
    task = make_task(discriminator_warmup=12)
    before = task.network.down[0][1].running_mean.clone()
    logged, changed = train(task, 3)
    assert parts(changed) == {"discriminator"}
    assert all(row["gradient_norm"] == 0 for row in logged)
    assert torch.equal(task.network.down[0][1].running_mean, before)  # not even these change
    longer, changed = train(make_task(discriminator_warmup=12), 5)
    assert parts(changed) == {"network", "discriminator"}
    assert longer[0].keys() == longer[-1].keys()  # metrics.csv has the same columns throughout


def test_a_run_that_would_train_only_the_discriminator_is_refused(make_task, train):
    with pytest.raises(ConfigError, match="pictures is 8, and the first 8 train the discriminator"):
        train(make_task(discriminator_warmup=8, pictures=8), 2)


class Rates(lightning.Callback):
    """Record the learning rates of network and discriminator in each step."""

    def __init__(self) -> None:
        self.rates: list[tuple[float, float]] = []

    def on_train_batch_start(self, _trainer, task, *_):
        network, discriminator = task.list_optimizers()
        self.rates.append((network.param_groups[0]["lr"], discriminator.param_groups[0]["lr"]))


def test_the_network_begins_its_schedule_after_the_warm_up_of_the_discriminator(make_task, train):
    rates = Rates()
    task = make_task(lr=1.0, discriminator_lr=1.0, discriminator_warmup=8, pictures=24)
    train(task, 6, rates)
    network, discriminator = zip(*rates.rates, strict=True)
    assert network == pytest.approx([1, 1, 1, 0.853553, 0.5, 0.146447], rel=1e-5)
    expected = [1, 0.933013, 0.75, 0.5, 0.25, 0.066987]
    assert discriminator == pytest.approx(expected, rel=1e-5)


def test_r1_reduces_the_slope_of_the_discriminator(make_task, train):
    def slope(r1):
        task = make_task(r1=r1, lambda_pixel=0.0)
        train(task, 30)
        sample = torch.rand(4, 3, 32, 32, requires_grad=True)
        return r1_penalty(task.discriminator.eval()(sample), sample).item()

    assert slope(10.0) < slope(0.0) / 2


def test_the_discriminator_has_gradients_again_after_a_step(make_task, train):
    task = make_task()
    train(task, 1)
    assert all(parameter.requires_grad for parameter in task.discriminator.parameters())


def test_the_score_is_the_frechet_distance_raised_by_the_error_of_colorfulness(make_task, batch):
    task = make_task()
    trainer = lightning.Trainer(
        accelerator="cpu",
        limit_val_batches=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    [logged] = trainer.validate(task, itertools.repeat(batch), verbose=False)
    true = logged["val/colorfulness_true"]
    error = abs(logged["val/colorfulness"] - true) / true
    assert task.monitor == "val/score"
    assert logged["val/frechet"] > 0
    assert logged["val/score"] == pytest.approx(logged["val/frechet"] * (1 + error), rel=1e-4)


def test_plateau_is_an_error(make_task):
    with pytest.raises(ConfigError, match="plateau"):
        make_task(schedule="plateau")


@pytest.mark.parametrize(
    "setting",
    [
        {"lambda_pixel": -1.0},
        {"r1": -1.0},
        {"discriminator_lr": -0.1},
        {"discriminator_warmup": -1},
        {"discriminator_betas": (0.5, 1.0)},
    ],
)
def test_settings_out_of_range_are_an_error(setting):
    with pytest.raises(ConfigError, match=rf"task\.{next(iter(setting)).replace('_', '-')}"):
        Pix2PixConfig(**setting)
