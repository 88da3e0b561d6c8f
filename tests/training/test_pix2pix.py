"""The game: who learns when, what steadies it, and which weights are kept."""

import csv
import dataclasses
import itertools
import json
import shutil

import lightning
import pytest
import torch

from colorizenet.errors import ConfigError
from colorizenet.training.data.loader import Photographs
from colorizenet.training.export import export_run
from colorizenet.training.fit import build_task, fit
from colorizenet.training.losses import pixel as losses
from colorizenet.training.networks.patchgan import PatchGANConfig
from colorizenet.training.networks.unet import UNetConfig
from colorizenet.training.tasks.base import OptimConfig, Pix2PixConfig

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated"),
    pytest.mark.filterwarnings(
        "ignore:You defined a `validation_step` but have no `val_dataloader`"
    ),
]


@pytest.fixture
def game(tiny):
    """A small game from scratch; what is given changes its settings."""

    def make(**settings):
        task = Pix2PixConfig(
            **{"discriminator": PatchGANConfig(widths=(8, 8)), "discriminator_lr": 1e-2} | settings
        )
        optim = OptimConfig(lr=1e-2, betas=(0.5, 0.999), warmup=0, clip=0.0)
        return dataclasses.replace(
            tiny, network=UNetConfig(widths=(8, 8, 8)), task=task, optim=optim, pictures=4000
        )

    return make


@pytest.fixture(scope="module")
def batch(tiny):
    return next(iter(Photographs(tiny.data, batch_size=4, seed=0).train_dataloader()))


def played(config, batch, steps):
    """The task after so many steps on one batch, what it logged in each, and what has changed."""
    torch.manual_seed(0)
    task = build_task(config)
    torch.nn.init.normal_(task.network.head.weight, std=0.05)
    before = {name: value.clone() for name, value in task.named_parameters()}
    rows = []

    class Note(lightning.Callback):
        def on_train_batch_end(self, _trainer, _task, logged, *_):
            rows.append(
                {name.removeprefix("train/"): float(value) for name, value in logged.items()}
            )

    quiet = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
    )
    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=1, limit_train_batches=steps, callbacks=[Note()], **quiet
    )
    trainer.fit(task, itertools.repeat(batch))
    changed = {
        name.split(".")[0]
        for name, value in task.named_parameters()
        if not torch.equal(value, before[name])
    }
    return task, rows, changed


def test_both_sides_learn(game, batch):
    _, rows, changed = played(game(), batch, 3)
    assert changed == {"network", "discriminator"}
    assert rows[0].keys() >= {
        "loss",
        "fooling",
        "judging",
        "score_real",
        "score_fake",
        "pixels",
        "guarded",
    }


def test_the_discriminator_learns_to_tell_them_apart(game, batch):
    config = game(weight=0.0)
    config = dataclasses.replace(config, optim=dataclasses.replace(config.optim, lr=0.0))
    _, rows, _ = played(config, batch, 40)
    assert (
        rows[-1]["score_real"] - rows[-1]["score_fake"]
        > rows[0]["score_real"] - rows[0]["score_fake"] + 0.3
    )


@pytest.mark.parametrize("adversary", ["bce", "least_squares", "hinge"])
def test_the_network_learns_to_fool_one_that_stands_still(game, batch, adversary):
    _, rows, changed = played(
        game(discriminator_lr=0.0, weight=0.0, adversary=adversary), batch, 20
    )
    assert changed == {"network"}
    assert rows[-1]["fooling"] < rows[0]["fooling"]


def test_with_a_heavy_weight_the_truth_counts(game, batch):
    _, rows, _ = played(game(weight=100.0), batch, 60)
    assert rows[-1]["pixels"] < rows[0]["pixels"] / 2


def test_while_it_warms_up_the_discriminator_learns_alone(game, batch):
    task, rows, changed = played(game(warm_up=12), batch, 3)
    assert changed == {"discriminator"}
    assert all(row["gradient_norm"] == 0 for row in rows)
    fresh = build_task(game(warm_up=12))
    # Not even the running means of its normalization move.
    assert torch.equal(task.network.down[0][1].running_mean, fresh.network.down[0][1].running_mean)
    _, longer, changed = played(game(warm_up=12), batch, 5)
    assert changed == {"network", "discriminator"}
    assert longer[0].keys() == longer[-1].keys()  # one table holds them all


def test_a_discriminator_that_wins_is_left_out(game, batch):
    _, rows, changed = played(game(guard=1e9), batch, 3)
    assert changed == {"network"}
    assert all(row["guarded"] == 1 and row["discriminator_norm"] == 0 for row in rows)
    _, rows, _ = played(game(guard=0.0), batch, 3)
    assert all(row["guarded"] == 0 and row["discriminator_norm"] > 0 for row in rows)


def test_r1_makes_the_discriminator_flatter(game, batch):
    def slope(r1):
        task, _, _ = played(game(r1=r1, weight=0.0), batch, 30)
        sample = torch.rand(4, 3, 32, 32, requires_grad=True)
        return losses.r1(task.discriminator.eval()(sample), sample).item()

    assert slope(10.0) < slope(0.0) / 2


def test_smoothed_labels_keep_it_from_being_sure(game, batch):
    def sure(smooth):
        config = game(smooth=smooth)
        config = dataclasses.replace(config, optim=dataclasses.replace(config.optim, lr=0.0))
        return played(config, batch, 60)[1][-1]["score_real"]

    assert sure(0.8) < sure(1.0)


def test_the_weights_that_are_kept_are_those_of_the_best_choice(game, tmp_path):
    config = dataclasses.replace(game(), pictures=48, precision="bf16-mixed")
    fit(config, tmp_path / "run")
    with (tmp_path / "run" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    best = min(rows, key=lambda row: float(row["val/choice"]))
    kept = torch.load(tmp_path / "run" / "best.ckpt", weights_only=True)["pictures_seen"]
    assert len(rows) == 3
    assert kept == int(best["pictures"])
    off = abs(float(best["val/colorfulness"]) - float(best["val/colorfulness_true"])) / float(
        best["val/colorfulness_true"]
    )
    assert float(best["val/choice"]) == pytest.approx(
        float(best["val/frechet"]) * (1 + off), rel=1e-4
    )


@pytest.mark.parametrize(
    ("named", "kept", "other"), [("", "best", "last"), ("last.ckpt", "last", "best")]
)
def test_it_starts_from_a_regression(game, tiny, tmp_path, named, kept, other):
    regression = dataclasses.replace(tiny, network=UNetConfig(widths=(8, 8, 8)), pictures=16)
    task = dataclasses.replace(regression.task, vgg16=str(tmp_path / "vgg16.safetensors"))
    fit(dataclasses.replace(regression, task=task), tmp_path / "regression")
    (tmp_path / "regression" / f"{other}.ckpt").unlink()
    config = dataclasses.replace(
        game(warm_up=1000), start=str(tmp_path / "regression" / named), pictures=16, ema=0.0
    )
    task = fit(config, tmp_path / "game")
    before = torch.load(tmp_path / "regression" / f"{kept}.ckpt", weights_only=True)["state_dict"]
    after = task.network.state_dict()
    assert all(torch.equal(value, before[f"network.{name}"]) for name, value in after.items())

    card = export_run(tmp_path / "game", tmp_path / "model.onnx")
    assert (card.task, card.pictures_seen) == ("pix2pix", 16)
    assert (card.start["pictures_seen"], card.start["settings"]["task"]["kind"]) == (
        16,
        "regression",
    )
    assert str(tmp_path) not in card.to_json() and "vgg16.safetensors" in card.to_json()


def test_a_run_goes_on_without_the_one_it_started_from(game, tiny, tmp_path):
    regression = dataclasses.replace(tiny, network=UNetConfig(widths=(8, 8, 8)), pictures=16)
    fit(regression, tmp_path / "regression")
    config = dataclasses.replace(game(), start=str(tmp_path / "regression"), pictures=16)
    fit(config, tmp_path / "game")
    told = json.loads((tmp_path / "game" / "made-with.json").read_text())["start"]
    shutil.rmtree(tmp_path / "regression")
    fit(dataclasses.replace(config, pictures=32), tmp_path / "game", resume=True)
    assert json.loads((tmp_path / "game" / "made-with.json").read_text())["start"] == told
    assert told["pictures_seen"] == 16
    assert export_run(tmp_path / "game", tmp_path / "model.onnx").start["pictures_seen"] == 16
    for another in ("", str(tmp_path / "another")):
        with pytest.raises(ConfigError, match="another start, which a run keeps"):
            fit(
                dataclasses.replace(config, start=another, pictures=48),
                tmp_path / "game",
                resume=True,
            )


def test_averages_begin_with_the_weights_that_it_starts_from(game, tiny, tmp_path):
    regression = dataclasses.replace(tiny, network=UNetConfig(widths=(8, 8, 8)), pictures=16)
    fit(regression, tmp_path / "regression")
    short, long = {}, {}
    for pictures, kept in ((16, short), (48, long)):
        start, folder = str(tmp_path / "regression"), tmp_path / str(pictures)
        fit(dataclasses.replace(game(), start=start, pictures=pictures, ema=0.9999), folder)
        kept |= torch.load(folder / "last.ckpt", weights_only=True)
    name = "network.head.weight"
    assert (
        long["current_model_state"][name] - short["current_model_state"][name]
    ).abs().max() > 1e-3
    assert (long["state_dict"][name] - short["state_dict"][name]).abs().max() < 1e-4


def test_it_starts_from_nothing_but_a_run_of_the_same_network(game, tiny, tmp_path):
    fit(
        dataclasses.replace(tiny, network=UNetConfig(widths=(8, 16)), pictures=16),
        tmp_path / "other",
    )
    with pytest.raises(ConfigError, match="the network of"):
        fit(dataclasses.replace(game(), start=str(tmp_path / "other")), tmp_path / "game")
    with pytest.raises(ConfigError, match="cannot be read as a checkpoint"):
        fit(dataclasses.replace(game(), start=str(tmp_path / "nowhere")), tmp_path / "again")


def test_a_plateau_is_no_schedule_for_a_game(game):
    config = game()
    with pytest.raises(ConfigError, match="plateau"):
        build_task(dataclasses.replace(config, optim=OptimConfig(schedule="plateau")))


@pytest.mark.parametrize(
    "setting", [{"weight": -1.0}, {"r1": -1.0}, {"smooth": 0.4}, {"guard": -0.1}, {"warm_up": -1}]
)
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(ConfigError, match=rf"task\.{next(iter(setting))}"):
        Pix2PixConfig(**setting)
