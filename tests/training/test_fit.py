"""A run: what it leaves in its folder, and that being stopped and resumed changes none of it."""

import csv
import dataclasses
import json
import os
import resource
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import cv2
import pytest
import torch

from colorizenet.errors import ConfigError, DataError
from colorizenet.training import callbacks
from colorizenet.training.config import from_json, to_json
from colorizenet.training.data import loader as data
from colorizenet.training.data.screen import Screen
from colorizenet.training.fit import fit
from colorizenet.training.losses.objective import Objective
from colorizenet.training.networks.encoder_unet import EncoderUNetConfig
from colorizenet.training.tasks.base import OptimConfig, RegressionConfig, Task


def checkpoint(folder: Path, name: str = "last") -> dict:
    return torch.load(folder / f"{name}.ckpt", weights_only=True)


def same(one, other) -> bool:
    """Equal to the last bit, however deep."""
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


# What a run leaves


def test_a_run_leaves_what_its_docstring_says(finished, tiny):
    names = {path.name for path in finished.iterdir()}
    assert names >= {
        "config.json",
        "made-with.json",
        "metrics.csv",
        "last.ckpt",
        "best.ckpt",
        "grids",
    }
    assert any(name.startswith("events.out.tfevents") for name in names)
    assert not any(name.endswith(".part") for name in names)
    assert from_json(finished / "config.json") == tiny


def test_it_says_what_it_was_made_with(finished, tiny):
    made = json.loads((finished / "made-with.json").read_text())
    assert made["recipe"] == "encoder_unet"
    assert made["pictures"] == {"train": 16, "val": 4}
    assert torch.__version__.startswith(made["versions"]["torch"])
    assert [part["name"] for part in made["data"]] == [Path(tiny.data.root).name]
    assert str(Path(tiny.data.root).parent) not in (finished / "made-with.json").read_text()


def test_each_validation_has_a_row_and_a_grid(finished):
    assert [row["pictures"] for row in rows(finished)] == [16, 32, 48]
    for row in rows(finished):
        assert row.keys() == {"pictures", "train/loss", "train/pixels", "train/gradient_norm"} | {
            f"val/{name}" for name in ("loss", "ciede2000", "psnr", "colorfulness")
        }
        assert 0 < row["train/loss"] < 1 and 0 < row["val/ciede2000"] < 100
    grids = sorted((finished / "grids").iterdir())
    assert [grid.name for grid in grids] == ["000000016.png", "000000032.png", "000000048.png"]
    assert cv2.imread(str(grids[0])).shape == (
        2 * 64,
        2 * 3 * 64,
        3,
    )  # two columns of gray | predicted | true


def test_the_last_checkpoint_is_the_last_and_the_best_is_the_best(finished):
    assert checkpoint(finished)["pictures_seen"] == 48
    best = min(rows(finished), key=lambda row: row["val/loss"])
    assert checkpoint(finished, "best")["pictures_seen"] == best["pictures"]


def test_the_averaged_weights_are_those_that_count(finished):
    last = checkpoint(finished)
    averaged, current = last["state_dict"], last["current_model_state"]
    moving = [name for name, value in current.items() if value.is_floating_point()]
    assert not same(
        {name: averaged[name] for name in moving}, {name: current[name] for name in moving}
    )


def test_without_averaging_the_weights_are_the_weights(tiny, tmp_path):
    fit(dataclasses.replace(tiny, ema=0.0, pictures=4, validate_every=8), tmp_path)
    assert "current_model_state" not in checkpoint(tmp_path)


def test_an_average_is_the_decayed_mean_of_the_weights(tiny, tmp_path, monkeypatch):
    """By hand: the first update copies, and each later one moves by 1 - min(ema, (1 + n) / (10 + n))."""
    passed = []
    update = Task.update
    monkeypatch.setattr(
        Task, "update", lambda task, *given: (update(task, *given), passed.append(head(task)))[0]
    )

    def head(task):
        return task.network.head.bias.detach().clone()

    fit(dataclasses.replace(tiny, ema=0.2, pictures=16), tmp_path)
    expected = passed[0]
    for n, weights in enumerate(passed[1:], start=1):
        expected = expected + (weights - expected) * (1 - min(0.2, (1 + n) / (10 + n)))
    assert torch.allclose(
        checkpoint(tmp_path)["state_dict"]["network.head.bias"], expected, rtol=1e-5
    )


def test_the_same_seed_gives_the_same_weights(tiny, finished, tmp_path):
    fit(tiny, tmp_path)
    assert_same_runs(finished, tmp_path)


def test_another_seed_gives_other_weights(tiny, tmp_path):
    found = []
    for seed in (0, 1):
        fit(dataclasses.replace(tiny, seed=seed, pictures=4), tmp_path / str(seed))
        found.append(checkpoint(tmp_path / str(seed))["state_dict"]["network.decoder.0.0.weight"])
    assert not torch.equal(*found)


def test_a_run_in_bfloat16_with_workers(tiny, with_data, tmp_path):
    config = dataclasses.replace(
        with_data(workers=1), precision="bf16-mixed", pictures=8, validate_every=8
    )
    fit(config, tmp_path)
    assert [row["pictures"] for row in rows(tmp_path)] == [8]


def test_it_talks_of_results_and_of_nothing_else(tiny, tmp_path, capfd, caplog):
    caplog.set_level("INFO")
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        fit(dataclasses.replace(tiny, pictures=4), tmp_path)
    assert [str(warning.message) for warning in warned] == []
    assert capfd.readouterr() == ("", "")
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["4 pictures"]


# A loss that no longer falls


def learning_rates(monkeypatch) -> list[float]:
    """The learning rate of each step of the runs that follow."""
    found: list[float] = []
    update = Task.update

    def noting(task, optimizer, loss, *networks):
        result = update(task, optimizer, loss, *networks)
        found.append(optimizer.param_groups[0]["lr"])
        return result

    monkeypatch.setattr(Task, "update", noting)
    return found


def no_progress(monkeypatch) -> None:
    """Let no validation be better than the first."""
    monkeypatch.setattr(
        Objective, "pixels", lambda objective, predicted, ab: predicted.square().sum() * 0 + 1
    )


def test_the_learning_rate_steps_down_when_the_loss_no_longer_falls(tiny, tmp_path, monkeypatch):
    no_progress(monkeypatch)
    rates = learning_rates(monkeypatch)
    optim = OptimConfig(
        lr=1e-2, warmup=8, schedule="plateau", plateau_patience=1, plateau_factor=0.5
    )
    fit(dataclasses.replace(tiny, optim=optim, pictures=96), tmp_path)
    # Validations at 16, 32, ... pictures: the first is the best, two more are waited for, and so on.
    assert rates[:3] == pytest.approx([0, 5e-3, 1e-2])
    assert rates[2:12] == [1e-2] * 10
    assert rates[12:20] == pytest.approx([5e-3] * 8)
    assert rates[20:] == pytest.approx([2.5e-3] * 4)


def test_a_plateau_survives_being_stopped(tiny, tmp_path, monkeypatch):
    no_progress(monkeypatch)
    optim = OptimConfig(
        lr=1e-2, warmup=0, schedule="plateau", plateau_patience=1, plateau_factor=0.5
    )
    config = dataclasses.replace(tiny, optim=optim, pictures=80)
    whole, parts = learning_rates(monkeypatch), []
    fit(config, tmp_path / "whole")
    monkeypatch.undo()
    no_progress(monkeypatch)
    parts = learning_rates(monkeypatch)
    for pictures in (40, 56, 80):
        fit(
            dataclasses.replace(config, pictures=pictures), tmp_path / "parts", resume=pictures > 40
        )
    assert parts[:10] == whole[:10]
    assert parts[-1] < whole[0]


def test_a_run_ends_when_patience_does(tiny, tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO")
    no_progress(monkeypatch)
    config = dataclasses.replace(tiny, patience=2, pictures=160)
    fit(config, tmp_path)
    assert [row["pictures"] for row in rows(tmp_path)] == [16, 32, 48]
    assert checkpoint(tmp_path)["pictures_seen"] == 48
    assert any(
        "48 pictures: the run ends early" in record.getMessage() for record in caplog.records
    )

    fit(config, tmp_path, resume=True)  # it stays ended
    assert checkpoint(tmp_path)["pictures_seen"] == 48
    fit(dataclasses.replace(config, patience=3), tmp_path, resume=True)  # until one is more patient
    assert [row["pictures"] for row in rows(tmp_path)] == [16, 32, 48, 64]


def test_a_run_that_gets_better_goes_on(tiny, finished, tmp_path):
    assert min(range(3), key=lambda i: rows(finished)[i]["val/loss"]) > 0
    fit(dataclasses.replace(tiny, patience=2), tmp_path)
    assert [row["pictures"] for row in rows(tmp_path)] == [16, 32, 48]


def test_pictures_that_were_skipped_are_named(
    with_data, tmp_path, write_photograph, write_flat, caplog
):
    caplog.set_level("INFO")
    for number in range(10):
        write_photograph(tmp_path / "data" / "train" / f"{number}.png", number)
    write_photograph(tmp_path / "data" / "val" / "0.png")
    write_flat(tmp_path / "data" / "train" / "gray.png", 99)
    (tmp_path / "data" / "train" / "cor\nrupt.png").write_bytes(b"no picture")
    screen = Screen(min_side=0, min_colorfulness=12.0, max_tone=1.0)
    fit(with_data(root=str(tmp_path / "data"), screen=screen), tmp_path / "run")
    skipped = dict(
        line.split("\t") for line in (tmp_path / "run" / "skipped.tsv").read_text().splitlines()
    )
    assert skipped.keys() == {"train/gray.png", "'train/cor\\nrupt.png'"}
    assert skipped["train/gray.png"] == "gray: colorfulness 0.0"
    assert any("2 pictures skipped so far" in record.getMessage() for record in caplog.records)


# Stopped and resumed


class Stop(Exception):
    """What no code expects."""


def stop_in(
    monkeypatch, owner, name: str, call: int, error: BaseException, *, after: bool = False
) -> None:
    """Let the call of that number fail, before or after it does what it does."""
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


@pytest.mark.parametrize(
    ("error", "owner", "name", "call", "after"),
    [
        (
            Stop(),
            Task,
            "manual_backward",
            6,
            False,
        ),  # the batch norms have seen the batch, the weights have not
        (
            KeyboardInterrupt(),
            Task,
            "update",
            5,
            True,
        ),  # the weights have learned from it, and nobody counted it
        (
            Stop(),
            callbacks.MovingAverage,
            "on_train_batch_end",
            8,
            False,
        ),  # it is counted, and not in the average
        (
            KeyboardInterrupt(),
            callbacks.MovingAverage,
            "on_train_batch_end",
            6,
            True,
        ),  # where a checkpoint is due
        (Stop(), callbacks.Last, "on_train_batch_end", 4, True),  # where a validation is due
        (
            KeyboardInterrupt(),
            Task,
            "validation_step",
            2,
            True,
        ),  # with the averaged weights swapped in
        (Stop(), callbacks.Watch, "_add_row", 2, True),  # its row is written, and no checkpoint
        (KeyboardInterrupt(), callbacks.Watch, "on_train_epoch_end", 1, False),  # all is done
    ],
)
def test_a_run_that_was_stopped_anywhere_and_resumed_is_the_same_run(
    tiny, finished, tmp_path, monkeypatch, error, owner, name, call, after
):
    with monkeypatch.context() as patched:
        stop_in(patched, owner, name, call, error, after=after)
        with pytest.raises(type(error)):
            fit(tiny, tmp_path)
    fit(from_json(tmp_path / "config.json"), tmp_path, resume=True)
    assert_same_runs(finished, tmp_path)


def test_a_loader_that_fails_costs_no_step(tiny, finished, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        stop_in(
            patched, data, "decode", 4 * 4 + 4 + 10, Stop()
        )  # four steps, a validation, and a half
        with pytest.raises(Stop):
            fit(tiny, tmp_path)
    assert checkpoint(tmp_path)["pictures_seen"] >= 20
    fit(tiny, tmp_path, resume=True)
    assert_same_runs(finished, tmp_path)


def test_ctrl_c_ends_a_run_after_the_step_at_hand(tiny, finished, tmp_path, monkeypatch):
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


def test_a_run_that_was_stopped_twice_is_the_same_run(tiny, finished, tmp_path, monkeypatch):
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
from colorizenet.training.tasks import base as tasks
learn, steps = tasks.Regression.learn, []
def dying(*given):
    steps.append(0)
    if len(steps) == 9:
        os.kill(os.getpid(), signal.SIGKILL)
    return learn(*given)
tasks.Regression.learn = dying
fit.fit(config.from_json(Path(sys.argv[1])), Path(sys.argv[2]))
"""


def test_a_run_that_was_killed_and_resumed_is_the_same_run(tiny, finished, tmp_path):
    (tmp_path / "config.json").write_text(to_json(tiny))
    command = [sys.executable, "-c", KILLED, str(tmp_path / "config.json"), str(tmp_path / "run")]
    assert subprocess.run(command, check=False, capture_output=True).returncode == -9
    assert [row["pictures"] for row in rows(tmp_path / "run")] == [16, 32]
    fit(from_json(tmp_path / "run" / "config.json"), tmp_path / "run", resume=True)
    assert_same_runs(finished, tmp_path / "run")


def test_a_checkpoint_is_there_whole_or_not_at_all(tiny, tmp_path):
    fit(dataclasses.replace(tiny, pictures=4), tmp_path)
    before = (tmp_path / "last.ckpt").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (len(before) // 2, hard)
    )  # as a disk that is full in the midst of it
    try:
        with pytest.raises(OSError, match="File too large"):
            fit(dataclasses.replace(tiny, pictures=16), tmp_path, resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / "last.ckpt").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


def test_a_finished_run_has_nothing_left_to_do(tiny, tmp_path):
    config = dataclasses.replace(tiny, pictures=8)
    fit(config, tmp_path)
    before = checkpoint(tmp_path), (tmp_path / "metrics.csv").read_text()
    fit(config, tmp_path, resume=True)
    assert checkpoint(tmp_path)["pictures_seen"] == 8
    assert same(checkpoint(tmp_path)["state_dict"], before[0]["state_dict"])
    assert (tmp_path / "metrics.csv").read_text() == before[1]


def test_a_finished_run_can_go_on_for_longer(tiny, tmp_path):
    fit(dataclasses.replace(tiny, pictures=8), tmp_path)
    fit(dataclasses.replace(tiny, pictures=20), tmp_path, resume=True)
    assert [row["pictures"] for row in rows(tmp_path)] == [8, 16, 20]
    assert checkpoint(tmp_path)["pictures_seen"] == 20


def test_only_a_folder_with_a_checkpoint_is_resumed(tiny, tmp_path):
    with pytest.raises(ConfigError, match=r"no last\.ckpt to resume from"):
        fit(tiny, tmp_path, resume=True)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_a_run_is_left_alone(tiny, finished):
    before = (finished / "last.ckpt").stat()
    with pytest.raises(ConfigError, match=r"holds a run already.*--resume"):
        fit(tiny, finished)
    assert (finished / "last.ckpt").stat() == before


@pytest.mark.parametrize(
    "settings",
    [
        {"ema": 0.0},
        {"task": RegressionConfig(loss="l2")},
        {
            "network": EncoderUNetConfig(
                encoder="test_efficientnet", pretrained="none", widths=(8, 8, 8, 8)
            )
        },
    ],
)
def test_what_a_run_is_of_stays_in_the_middle_of_it(tiny, finished, settings):
    before = (finished / "config.json").read_text()
    with pytest.raises(ConfigError, match=rf"another {next(iter(settings))}") as error:
        fit(dataclasses.replace(tiny, **settings), finished, resume=True)
    assert str(error.value).isprintable()
    assert (finished / "config.json").read_text() == before


def test_a_damaged_checkpoint_is_refused_on_one_line(tiny, finished, tmp_path):
    for name in ("config.json", "last.ckpt"):
        content = (finished / name).read_bytes()
        (tmp_path / name).write_bytes(
            content if name == "config.json" else content[: len(content) // 2]
        )
    with pytest.raises(ConfigError, match=r"last\.ckpt") as error:
        fit(tiny, tmp_path, resume=True)
    assert str(error.value).isprintable()


def test_nothing_is_left_where_the_data_is_missing(with_data, tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        fit(with_data(root=os.fspath(tmp_path / "absent")), tmp_path / "run")
    assert not (tmp_path / "run").exists()
