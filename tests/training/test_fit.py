"""A run: the files of its folder; resumed, it repeats an undisturbed one exactly."""

import csv
import dataclasses
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import cv2
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from colorizenet.errors import ConfigError, DataError
from colorizenet.training import callbacks
from colorizenet.training.callbacks import BestCheckpoint
from colorizenet.training.config import read_json, to_json
from colorizenet.training.data import loader
from colorizenet.training.data.screen import Screen
from colorizenet.training.fit import choose_precision, find_commit, fit
from colorizenet.training.losses.combined import LossConfig, Losses
from colorizenet.training.networks.encoder_unet import EncoderUNetConfig
from colorizenet.training.networks.frozen_features import FeaturesConfig
from colorizenet.training.networks.patchgan import PatchGANConfig
from colorizenet.training.networks.unet import UNetConfig
from colorizenet.training.tasks.base import Task
from colorizenet.training.tasks.frechet import FrechetConfig
from colorizenet.training.tasks.optim import OptimConfig
from colorizenet.training.tasks.pix2pix import Pix2PixConfig


def checkpoint(folder: Path, name: str = "last") -> dict:
    return torch.load(folder / f"{name}.ckpt", weights_only=True)


def same(one, other) -> bool:
    """Whether two nested structures of tensors are equal to the last bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def rows(folder: Path) -> list[dict[str, float]]:
    with (folder / "metrics.csv").open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def assert_same_runs(folder: Path, other: Path) -> None:
    for name, parts in {
        "last": (
            "pictures_seen",
            "state_dict",
            "current_model_state",
            "averaging_state",
            "optimizer_states",
        ),
        "best": ("pictures_seen", "state_dict"),
    }.items():
        one, another = checkpoint(folder, name), checkpoint(other, name)
        assert [part for part in parts if not same(one[part], another[part])] == [], name
    assert (folder / "metrics.csv").read_text() == (other / "metrics.csv").read_text()
    assert (folder / "config.json").read_text() == (other / "config.json").read_text()


# The files of a run


def test_run_folder_has_the_documented_files(finished, tiny):
    names = {path.name for path in finished.iterdir()}
    events = {name for name in names if name.startswith("events.out.tfevents")}
    assert len(events) == 1
    assert names - events == {
        "config.json",
        "provenance.json",
        "metrics.csv",
        "last.ckpt",
        "best.ckpt",
        "grids",
    }
    assert read_json(finished / "config.json") == tiny


def test_provenance_names_recipe_versions_and_data_but_no_folders(finished, tiny):
    provenance = json.loads((finished / "provenance.json").read_text())
    assert provenance["recipe"] == "encoder_unet"
    assert provenance["pictures"] == {"train": 16, "val": 4}
    assert torch.__version__.startswith(provenance["versions"]["torch"])
    assert [part["name"] for part in provenance["data"]] == [Path(tiny.data.root).name]
    assert str(Path(tiny.data.root).parent) not in (finished / "provenance.json").read_text()


def test_each_validation_has_a_row_and_a_grid(finished):
    assert [row["pictures"] for row in rows(finished)] == [16, 32, 48]
    for row in rows(finished):
        assert row.keys() == {"pictures", "train/loss", "train/pixel", "train/gradient_norm"} | {
            f"val/{name}" for name in ("loss", "ciede2000", "psnr", "colorfulness")
        }
        assert 0 < row["train/loss"] < 1 and 0 < row["val/ciede2000"] < 100
    grids = sorted((finished / "grids").iterdir())
    assert [grid.name for grid in grids] == ["000000016.png", "000000032.png", "000000048.png"]
    two_columns_of_gray_predicted_true = (2 * 64, 2 * 3 * 64, 3)
    assert cv2.imread(str(grids[0])).shape == two_columns_of_gray_predicted_true


def test_last_checkpoint_is_the_last_and_best_has_the_lowest_loss(finished):
    assert checkpoint(finished)["pictures_seen"] == 48
    best = min(rows(finished), key=lambda row: row["val/loss"])
    assert checkpoint(finished, "best")["pictures_seen"] == best["pictures"]


def test_averaged_weights_are_saved_in_place_of_the_current_ones(finished):
    last = checkpoint(finished)
    averaged, current = last["state_dict"], last["current_model_state"]
    moving = [name for name, value in current.items() if value.is_floating_point()]
    assert not same(
        {name: averaged[name] for name in moving}, {name: current[name] for name in moving}
    )


def test_without_ema_the_current_weights_are_saved(tiny, tmp_path):
    fit(dataclasses.replace(tiny, ema=0.0, pictures=4, validate_every=8), tmp_path)
    assert "current_model_state" not in checkpoint(tmp_path)


def test_ema_is_the_decayed_mean_of_the_weights(tiny, tmp_path, monkeypatch):
    """Update 0 copies; update n moves by 1 - min(ema, (1 + n) / (10 + n))."""
    seen = []
    update = Task.update
    monkeypatch.setattr(
        Task, "update", lambda task, *given: (update(task, *given), seen.append(head(task)))[0]
    )

    def head(task):
        return task.network.head.bias.detach().clone()

    fit(dataclasses.replace(tiny, ema=0.2, pictures=16), tmp_path)
    expected = seen[0]
    for n, weights in enumerate(seen[1:], start=1):
        expected = expected + (weights - expected) * (1 - min(0.2, (1 + n) / (10 + n)))
    assert torch.allclose(
        checkpoint(tmp_path)["state_dict"]["network.head.bias"], expected, rtol=1e-5
    )


def test_same_seed_gives_the_same_weights(tiny, finished, tmp_path):
    fit(tiny, tmp_path)
    assert_same_runs(finished, tmp_path)


def test_another_seed_gives_other_weights(tiny, finished, tmp_path):
    fit(dataclasses.replace(tiny, seed=1, pictures=4), tmp_path)
    name = "network.decoder.0.0.weight"
    assert not torch.equal(
        checkpoint(finished)["state_dict"][name], checkpoint(tmp_path)["state_dict"][name]
    )


def test_messages_are_the_results_and_nothing_else(tiny, tmp_path, capfd, caplog):
    caplog.set_level("INFO")
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        fit(dataclasses.replace(tiny, pictures=4), tmp_path)
    assert [str(warning.message) for warning in warned] == []
    assert capfd.readouterr() == ("", "")
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["4 pictures"]


def test_progress_counts_pictures_up_to_the_length_of_the_run(tiny, tmp_path):
    calls = []
    fit(
        dataclasses.replace(tiny, pictures=12),
        tmp_path,
        show_progress=lambda seen, total: calls.append((seen, total)),
    )
    assert calls == [(0, 12), (4, 12), (8, 12), (12, 12)]


# Precision


def test_bfloat16_with_worker_processes(tiny, with_data, tmp_path):
    config = dataclasses.replace(
        with_data(workers=1), precision="bf16-mixed", pictures=8, validate_every=8
    )
    fit(config, tmp_path)
    assert [row["pictures"] for row in rows(tmp_path)] == [8]


def test_precision_follows_the_processor(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for capability, expected in (
        ("avx2", "32-true"),
        ("avx512_bf16", "bf16-mixed"),
        ("amx_bf16", "bf16-mixed"),
    ):
        capabilities = {capability: True}
        # torch 2.10 does not have this function.
        monkeypatch.setattr(
            torch.cpu, "get_capabilities", lambda found=capabilities: found, raising=False
        )
        assert choose_precision("auto") == expected
        assert choose_precision("32-true") == "32-true"
        assert choose_precision("bf16-mixed") == "bf16-mixed"


def test_run_records_the_precision_that_it_chose_and_keeps_it(tiny, tmp_path):
    config = dataclasses.replace(tiny, precision="auto", pictures=4)
    fit(config, tmp_path)
    chosen = read_json(tmp_path / "config.json").precision
    assert chosen == choose_precision("auto")
    kept = "32-true" if chosen == "bf16-mixed" else "bf16-mixed"  # as on another machine
    (tmp_path / "config.json").write_text(to_json(dataclasses.replace(config, precision=kept)))
    fit(config, tmp_path, resume=True)
    assert read_json(tmp_path / "config.json").precision == kept


# Loggers


def events(folder: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(folder))
    accumulator.Reload()
    return accumulator


def test_x_axis_of_every_logger_is_pictures(tiny, tmp_path, monkeypatch):
    config = dataclasses.replace(tiny, pictures=160, batch_size=8, validate_every=80)
    fit(config, tmp_path / "board")
    board = events(tmp_path / "board")
    assert [event.step for event in board.Scalars("val/loss")] == [80, 160]
    assert [event.step for event in board.Scalars("train/loss")] == [160]  # each 20th step
    assert [event.step for event in board.Images("gray | predicted | true")] == [80, 160]

    fit(config, tmp_path / "table", logger="csv")
    with (tmp_path / "table" / "csv" / "version_0" / "metrics.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [row["step"] for row in table if row["val/loss"]] == ["80", "160"]
    assert [row["step"] for row in table if row["train/loss"]] == ["160"]
    assert [row["pictures"] for row in rows(tmp_path / "table")] == [80, 160]
    assert not list(tmp_path.rglob("hparams.yaml"))


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_logger_whose_package_is_missing_is_refused(tiny, tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match=f"needs the package {name}.*pip install {name}"):
        fit(tiny, tmp_path / "run", logger=name)
    assert not (tmp_path / "run").exists()


# A validation loss that stops falling


def record_learning_rates(monkeypatch) -> list[float]:
    """The learning rate of each step of the runs that follow."""
    found: list[float] = []
    update = Task.update

    def recording(task, optimizer, loss, network):
        found.append(optimizer.param_groups[0]["lr"])
        return update(task, optimizer, loss, network)

    monkeypatch.setattr(Task, "update", recording)
    return found


def make_loss_constant(monkeypatch) -> None:
    """Let every validation have the loss 1."""
    monkeypatch.setattr(
        Losses, "pixel_loss", lambda losses, predicted, ab: predicted.square().sum() * 0 + 1
    )


def test_learning_rate_falls_on_plateaus(tiny, tmp_path, monkeypatch):
    make_loss_constant(monkeypatch)
    rates = record_learning_rates(monkeypatch)
    optim = OptimConfig(
        lr=1e-2, warmup=8, schedule="plateau", plateau_patience=1, plateau_factor=0.5
    )
    fit(dataclasses.replace(tiny, optim=optim, pictures=96), tmp_path)
    # Validations are at 16, 32, ... The first is the best, the third reduces the rate.
    assert rates[:3] == pytest.approx([0, 5e-3, 1e-2])
    assert rates[2:12] == [1e-2] * 10
    assert rates[12:20] == pytest.approx([5e-3] * 8)
    assert rates[20:] == pytest.approx([2.5e-3] * 4)


def test_plateau_schedule_continues_in_a_resumed_run(tiny, tmp_path, monkeypatch):
    make_loss_constant(monkeypatch)
    optim = OptimConfig(
        lr=1e-2, warmup=0, schedule="plateau", plateau_patience=1, plateau_factor=0.5
    )
    config = dataclasses.replace(tiny, optim=optim, pictures=80)
    whole = record_learning_rates(monkeypatch)
    fit(config, tmp_path / "whole")
    monkeypatch.undo()
    make_loss_constant(monkeypatch)
    parts = record_learning_rates(monkeypatch)
    for pictures in (40, 56, 80):
        fit(
            dataclasses.replace(config, pictures=pictures), tmp_path / "parts", resume=pictures > 40
        )
    assert parts[:10] == whole[:10]
    assert parts[-1] < whole[0]


def test_a_resumed_run_has_the_optimizer_settings_that_it_is_given(tiny, tmp_path, monkeypatch):
    config = dataclasses.replace(tiny, optim=OptimConfig(lr=1e-2, warmup=0), pictures=40)
    fit(config, tmp_path)
    optim = OptimConfig(lr=1e-3, warmup=0, weight_decay=0.5, betas=(0.8, 0.9))
    rates = record_learning_rates(monkeypatch)
    fit(dataclasses.replace(config, optim=optim, pictures=80), tmp_path, resume=True)
    assert rates[0] == pytest.approx(1e-3 / 2)  # half way down the cosine
    for group in checkpoint(tmp_path)["optimizer_states"][0]["param_groups"]:
        assert group["weight_decay"] == 0.5 and tuple(group["betas"]) == (0.8, 0.9)


def test_a_plateau_that_was_reached_stays_reached_with_another_peak(tiny, tmp_path, monkeypatch):
    make_loss_constant(monkeypatch)
    optim = OptimConfig(
        lr=1e-2, warmup=0, schedule="plateau", plateau_patience=0, plateau_factor=0.5
    )
    config = dataclasses.replace(tiny, optim=optim, pictures=48)
    fit(config, tmp_path)  # the validations at 32 and 48 halve the rate
    rates = record_learning_rates(monkeypatch)
    optim = dataclasses.replace(optim, lr=1e-3)
    fit(dataclasses.replace(config, optim=optim, pictures=56), tmp_path, resume=True)
    assert rates == pytest.approx([1e-3 / 4] * 2)


def test_run_ends_when_its_patience_does(tiny, tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO")
    make_loss_constant(monkeypatch)
    config = dataclasses.replace(tiny, patience=2, pictures=160)
    fit(config, tmp_path)
    assert [row["pictures"] for row in rows(tmp_path)] == [16, 32, 48]
    assert checkpoint(tmp_path)["pictures_seen"] == 48
    assert any(
        "48 pictures: the run ends early" in record.getMessage() for record in caplog.records
    )

    fit(config, tmp_path, resume=True)
    assert checkpoint(tmp_path)["pictures_seen"] == 48
    fit(dataclasses.replace(config, patience=3), tmp_path, resume=True)
    assert [row["pictures"] for row in rows(tmp_path)] == [16, 32, 48, 64]


def test_run_that_improves_does_not_end_early(tiny, finished, tmp_path):
    losses = [row["val/loss"] for row in rows(finished)]
    assert min(range(3), key=losses.__getitem__) > 0
    fit(dataclasses.replace(tiny, patience=2), tmp_path)
    assert [row["pictures"] for row in rows(tmp_path)] == [16, 32, 48]


def test_skipped_pictures_are_listed_with_reasons(
    with_data, tmp_path, write_photograph, write_flat, caplog
):
    caplog.set_level("INFO")
    for number in range(10):
        write_photograph(tmp_path / "data" / "train" / f"{number}.png", number)
    write_photograph(tmp_path / "data" / "val" / "0.png")
    write_flat(tmp_path / "data" / "train" / "gray.png", 99)
    (tmp_path / "data" / "train" / "cor\nrupt.png").write_bytes(b"no picture")
    screen = Screen(min_side=0, min_colorfulness=12.0, max_hue_concentration=1.0)
    fit(with_data(root=str(tmp_path / "data"), screen=screen), tmp_path / "run")
    skipped = dict(
        line.split("\t") for line in (tmp_path / "run" / "skipped.tsv").read_text().splitlines()
    )
    assert skipped.keys() == {"train/gray.png", "'train/cor\\nrupt.png'"}
    assert skipped["train/gray.png"] == "gray: colorfulness 0.0"
    assert any("2 pictures skipped so far" in record.getMessage() for record in caplog.records)


# Interruption and resuming


class Stop(Exception):
    """An error that no code expects."""


def stop_in(
    monkeypatch, owner, name: str, call: int, error: BaseException, *, after: bool = False
) -> None:
    """Let the ``call``-th call of a method fail, before or after its work."""
    original = getattr(owner, name)
    calls = 0

    def failing(*given, **named):
        nonlocal calls
        calls += 1
        if calls == call and not after:
            raise error
        result = original(*given, **named)
        if calls == call:
            raise error
        return result

    monkeypatch.setattr(owner, name, failing)


BEFORE, AFTER = False, True


@pytest.mark.parametrize(
    ("error", "owner", "name", "call", "after"),
    [
        pytest.param(Stop(), Task, "manual_backward", 6, BEFORE, id="batch norm is ahead"),
        pytest.param(KeyboardInterrupt(), Task, "update", 5, AFTER, id="weights are ahead"),
        pytest.param(
            Stop(), callbacks.WeightEMA, "on_train_batch_end", 8, BEFORE, id="average is behind"
        ),
        pytest.param(
            KeyboardInterrupt(),
            callbacks.WeightEMA,
            "on_train_batch_end",
            6,
            AFTER,
            id="checkpoint is due",
        ),
        pytest.param(
            Stop(), callbacks.LastCheckpoint, "on_train_batch_end", 4, AFTER, id="validation is due"
        ),
        pytest.param(
            KeyboardInterrupt(), Task, "validation_step", 2, AFTER, id="averages are swapped in"
        ),
        pytest.param(
            Stop(), callbacks.Report, "_add_row", 2, AFTER, id="row without its checkpoint"
        ),
        pytest.param(
            KeyboardInterrupt(), callbacks.Report, "on_train_epoch_end", 1, BEFORE, id="at the end"
        ),
    ],
)
def test_run_interrupted_anywhere_and_resumed_is_the_same_run(
    tiny, finished, tmp_path, monkeypatch, error, owner, name, call, after
):
    with monkeypatch.context() as patched:
        stop_in(patched, owner, name, call, error, after=after)
        with pytest.raises(type(error)):
            fit(tiny, tmp_path)
    fit(read_json(tmp_path / "config.json"), tmp_path, resume=True)
    assert_same_runs(finished, tmp_path)


def test_loader_that_fails_costs_no_step(tiny, finished, tmp_path, monkeypatch):
    pictures = 4 * 4 + 4 + 10  # four steps, a validation, two and a half steps
    with monkeypatch.context() as patched:
        stop_in(patched, loader, "read_photo", pictures, Stop())
        with pytest.raises(Stop):
            fit(tiny, tmp_path)
    assert checkpoint(tmp_path)["pictures_seen"] >= 20
    fit(tiny, tmp_path, resume=True)
    assert_same_runs(finished, tmp_path)


def test_ctrl_c_ends_a_run_after_the_current_step(tiny, finished, tmp_path, monkeypatch):
    handler = signal.getsignal(signal.SIGINT)
    backward, steps = Task.manual_backward, []

    def interrupted(*given):
        backward(*given)
        steps.append(0)
        if len(steps) == 5:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(Task, "manual_backward", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fit(tiny, tmp_path)
    assert signal.getsignal(signal.SIGINT) is handler
    assert (len(steps), checkpoint(tmp_path)["pictures_seen"]) == (5, 20)
    fit(tiny, tmp_path, resume=True)
    assert_same_runs(finished, tmp_path)


def signal_in_fifth_step(patched, *signals) -> list:
    """Let a run get signals in its fifth step. Returns a list that gets a zero for each
    step, and a one after the signals."""
    update, steps = Task.update, []

    def signaled(*given):
        steps.append(0)
        if len(steps) == 5:
            for number in signals:
                os.kill(os.getpid(), number)
            steps.append(1)
        return update(*given)

    patched.setattr(Task, "update", signaled)
    return steps


def test_a_run_that_is_terminated_says_so_and_can_be_resumed(tiny, finished, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        signal_in_fifth_step(patched, signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            fit(tiny, tmp_path)
    assert 16 <= checkpoint(tmp_path)["pictures_seen"] <= 24
    fit(tiny, tmp_path, resume=True)
    assert_same_runs(finished, tmp_path)


def test_second_ctrl_c_does_not_wait_for_the_step(tiny, finished, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        steps = signal_in_fifth_step(patched, signal.SIGINT, signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            fit(tiny, tmp_path)
    assert steps == [0] * 5
    assert checkpoint(tmp_path)["pictures_seen"] == 16
    fit(tiny, tmp_path, resume=True)
    assert_same_runs(finished, tmp_path)


def test_run_interrupted_twice_is_the_same_run(tiny, finished, tmp_path, monkeypatch):
    for call, resume in ((5, False), (4, True)):
        with monkeypatch.context() as patched:
            stop_in(patched, Task, "update", call, Stop())
            with pytest.raises(Stop):
                fit(tiny, tmp_path, resume=resume)
    fit(tiny, tmp_path, resume=True)
    assert_same_runs(finished, tmp_path)


KILLED = """
import os, signal, sys, torch
from pathlib import Path
torch.set_num_threads(1)
from colorizenet.training import config, fit
from colorizenet.training.tasks.regression import Regression
optimize, steps = Regression.optimize, []
def dying(*given):
    steps.append(0)
    if len(steps) == 9:
        os.kill(os.getpid(), signal.SIGKILL)
    return optimize(*given)
Regression.optimize = dying
fit.fit(config.read_json(Path(sys.argv[1])), Path(sys.argv[2]))
"""


def test_killed_and_resumed_run_is_the_same_run(tiny, finished, tmp_path):
    (tmp_path / "config.json").write_text(to_json(tiny))
    command = [sys.executable, "-c", KILLED, str(tmp_path / "config.json"), str(tmp_path / "run")]
    assert subprocess.run(command, check=False, capture_output=True).returncode == -9
    assert [row["pictures"] for row in rows(tmp_path / "run")] == [16, 32]
    fit(read_json(tmp_path / "run" / "config.json"), tmp_path / "run", resume=True)
    assert_same_runs(finished, tmp_path / "run")


def test_checkpoint_is_replaced_as_a_whole_or_not_at_all(tiny, tmp_path):
    fit(dataclasses.replace(tiny, pictures=4), tmp_path)
    before = (tmp_path / "last.ckpt").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # As if the disk were full in the middle of the file.
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))
    try:
        with pytest.raises(ConfigError, match="File too large"):
            fit(dataclasses.replace(tiny, pictures=16), tmp_path, resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / "last.ckpt").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


def test_finished_run_that_is_resumed_does_not_change(tiny, tmp_path):
    config = dataclasses.replace(tiny, pictures=7)  # the last step goes beyond it
    fit(config, tmp_path)
    before = checkpoint(tmp_path), (tmp_path / "metrics.csv").read_text()
    fit(config, tmp_path, resume=True)
    assert checkpoint(tmp_path)["pictures_seen"] == 8
    assert same(checkpoint(tmp_path)["state_dict"], before[0]["state_dict"])
    assert (tmp_path / "metrics.csv").read_text() == before[1]


def test_half_a_line_of_metrics_does_not_stop_a_resumed_run(tiny, tmp_path):
    fit(tiny, tmp_path)
    metrics = tmp_path / "metrics.csv"
    whole = metrics.read_text()
    for torn, expected in (whole + "3", whole), ("pictures,train/lo", ""), ("", ""):
        metrics.write_text(torn)
        fit(tiny, tmp_path, resume=True)
        assert metrics.read_text() == expected


def test_the_commit_is_that_of_the_code_and_not_of_a_project_around_it(tmp_path):
    def run_git(*arguments: str) -> None:
        person = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        command = ["git", "-C", str(tmp_path), *person, *arguments]
        subprocess.run(command, check=True, capture_output=True)

    file, installed = tmp_path / "code.py", tmp_path / "installed" / "fit.py"
    installed.parent.mkdir()
    file.touch()
    installed.touch()
    assert find_commit(file) == ""
    run_git("init")
    run_git("add", "code.py")
    run_git("commit", "-m", "first")
    assert re.fullmatch("[0-9a-f]{40}", find_commit(file))
    assert find_commit(installed) == ""


def test_finished_run_can_be_resumed_for_longer(tiny, tmp_path):
    fit(dataclasses.replace(tiny, pictures=8), tmp_path)
    fit(dataclasses.replace(tiny, pictures=20), tmp_path, resume=True)
    assert [row["pictures"] for row in rows(tmp_path)] == [8, 16, 20]
    assert checkpoint(tmp_path)["pictures_seen"] == 20


def test_run_cannot_be_resumed_with_fewer_pictures_than_it_has_seen(tiny, finished):
    before = [(finished / name).read_bytes() for name in ("config.json", "last.ckpt")]
    with pytest.raises(ConfigError, match=r"already seen 48 pictures.*at least 48"):
        fit(dataclasses.replace(tiny, pictures=40), finished, resume=True)
    assert [(finished / name).read_bytes() for name in ("config.json", "last.ckpt")] == before


def test_only_a_folder_with_a_checkpoint_can_be_resumed(tiny, tmp_path):
    with pytest.raises(ConfigError, match=r"no last\.ckpt to resume from"):
        fit(tiny, tmp_path, resume=True)
    assert list(tmp_path.iterdir()) == []


def test_existing_run_is_not_overwritten(tiny, finished):
    before = (finished / "last.ckpt").stat()
    with pytest.raises(ConfigError, match=r"already holds a run.*--resume"):
        fit(tiny, finished)
    assert (finished / "last.ckpt").stat() == before


@pytest.mark.parametrize(
    "settings",
    [
        {"ema": 0.0},
        {"loss": LossConfig(pixel="l2")},
        {"inputs": ("lightness", "hints")},
        {"init_from": "runs/other"},
        {"optim": OptimConfig(schedule="plateau")},
        {
            "network": EncoderUNetConfig(
                encoder="test_efficientnet", pretrained="none", widths=(8, 8, 8, 8)
            )
        },
    ],
)
def test_network_and_loss_cannot_change_within_a_run(tiny, finished, settings):
    before = (finished / "config.json").read_text()
    with pytest.raises(ConfigError, match=rf"another {next(iter(settings))}") as error:
        fit(dataclasses.replace(tiny, **settings), finished, resume=True)
    assert str(error.value).isprintable()
    assert (finished / "config.json").read_text() == before


def test_the_provenance_of_a_resumed_run_names_the_recipe_that_it_started_with(tiny, tmp_path):
    fit(dataclasses.replace(tiny, pictures=4), tmp_path / "run", recipe="encoder_unet")
    fit(dataclasses.replace(tiny, pictures=8), tmp_path / "run", recipe="other", resume=True)
    assert (
        json.loads((tmp_path / "run" / "provenance.json").read_text())["recipe"] == "encoder_unet"
    )


def test_the_provenance_of_a_resumed_run_names_all_of_its_data(
    tiny, with_data, photographs, tmp_path, write_photograph
):
    fit(dataclasses.replace(tiny, pictures=16), tmp_path / "run")
    before = json.loads((tmp_path / "run" / "provenance.json").read_text())["data"]
    for split in ("train", "val"):
        shutil.copytree(photographs / split, tmp_path / "more" / split)
    write_photograph(tmp_path / "more" / "train" / "another.png")
    config = dataclasses.replace(with_data(root=str(tmp_path / "more")), pictures=20)
    fit(config, tmp_path / "run", resume=True)
    after = json.loads((tmp_path / "run" / "provenance.json").read_text())["data"]
    assert after[: len(before)] == before and len(after) > len(before)


@pytest.mark.parametrize("changed", [True, False])
def test_the_best_score_starts_anew_with_other_validation_photos(
    tiny, with_data, photographs, tmp_path, write_photograph, caplog, monkeypatch, changed
):
    caplog.set_level("INFO")
    make_loss_constant(monkeypatch)  # no validation is better than the first
    settings = {
        "patience": 2,
        "optim": OptimConfig(warmup=0, schedule="plateau", plateau_patience=1, plateau_factor=0.5),
    }
    fit(dataclasses.replace(tiny, pictures=160, **settings), tmp_path / "run")
    assert checkpoint(tmp_path / "run")["pictures_seen"] == 48
    for split in ("train", "val"):
        shutil.copytree(photographs / split, tmp_path / "more" / split)
    write_photograph(tmp_path / "more" / ("val" if changed else "train") / "another.png")
    config = with_data(root=str(tmp_path / "more"))
    rates = record_learning_rates(monkeypatch)
    fit(dataclasses.replace(config, pictures=160, **settings), tmp_path / "run", resume=True)
    assert checkpoint(tmp_path / "run", "best")["pictures_seen"] == (64 if changed else 16)
    assert checkpoint(tmp_path / "run")["pictures_seen"] == (96 if changed else 48)
    # After the first new validation, the learning rate waits for two more.
    assert len(set(rates)) == changed
    assert any("score starts anew" in each.getMessage() for each in caplog.records) == changed


def test_a_checkpoint_of_another_program_is_refused_in_one_line(tiny, finished, tmp_path):
    shutil.copy(finished / "config.json", tmp_path)
    for content in ({"weights": torch.zeros(2)}, [torch.zeros(2)]):
        torch.save(content, tmp_path / "last.ckpt")
        with pytest.raises(ConfigError, match=r"last\.ckpt.*cannot be read as a checkpoint"):
            fit(tiny, tmp_path, resume=True)


def test_damaged_checkpoint_is_refused_in_one_line(tiny, finished, tmp_path):
    for name in ("config.json", "last.ckpt"):
        content = (finished / name).read_bytes()
        (tmp_path / name).write_bytes(
            content if name == "config.json" else content[: len(content) // 2]
        )
    with pytest.raises(ConfigError, match=r"last\.ckpt") as error:
        fit(tiny, tmp_path, resume=True)
    assert str(error.value).isprintable()


def test_missing_data_leaves_no_folder(with_data, tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        fit(with_data(root=os.fspath(tmp_path / "absent")), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_best_score_is_known_where_a_folder_was_moved(tmp_path):
    before = BestCheckpoint(tmp_path / "before", "best", monitor="val/loss")
    before.best_model_score = torch.tensor(1.0)
    after = BestCheckpoint(tmp_path / "after", "best", monitor="val/loss")
    after.load_state_dict(before.state_dict())
    assert after.best_model_score == 1.0 and after.state_key == before.state_key
    assert list(after.best_k_models) == [str(tmp_path / "after" / "best.ckpt")]


def test_the_weights_before_the_first_step_may_be_the_best(tiny, tmp_path):
    features = FeaturesConfig(encoder="test_efficientnet", pretrained="none")
    task = FrechetConfig(dimensions=8, basis_pictures=8, moment_pictures=8, features=features)
    optim = OptimConfig(lr=0.0, freeze="encoder")
    fit(dataclasses.replace(tiny, task=task, optim=optim, pictures=32), tmp_path / "run")
    with (tmp_path / "run" / "metrics.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert first["val/score"] == second["val/score"]
    best = torch.load(tmp_path / "run" / "best.ckpt", weights_only=True)
    assert best["pictures_seen"] == 16  # when only moments were collected


def test_pictures_that_the_network_cannot_halve_are_refused(tiny, tmp_path):
    data = dataclasses.replace(tiny.data, size=96)
    network = UNetConfig(widths=(8,) * 7)
    with pytest.raises(ConfigError, match=r"data\.size is 96; give a multiple of 64"):
        fit(dataclasses.replace(tiny, data=data, network=network), tmp_path / "run")


def test_too_few_photos_for_the_score_are_refused_before_training(with_data, tmp_path):
    task = Pix2PixConfig(discriminator=PatchGANConfig(widths=(8, 8)))
    config = dataclasses.replace(with_data(val_pictures=1), task=task)
    with pytest.raises(ConfigError, match=r"needs 2 validation photos or more, and there is 1"):
        fit(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
