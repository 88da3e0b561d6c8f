"""Several processes, started by torchrun, talking over gloo: they learn what one would."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch


def train(
    root: Path, run: Path, *settings: str, processes: int, batch_size: int, pictures: int = 48
) -> str:
    """Train a small U-Net through the command line; what it said."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    where = ["--resume", str(run)] if run.exists() else ["--out", str(run)]
    command = [
        sys.executable,
        *(torchrun if processes > 1 else []),
        *("-m", "colorizenet", "train", "unet", "--data.root", str(root), *where),
        *("--data.size", "32", "--data.val-size", "64", "--data.workers", "0"),
        *(
            "--data.screen.min-side",
            "0",
            "--data.screen.min-colorfulness",
            "0",
            "--data.screen.max-tone",
            "1",
        ),
        *("--network.widths", "8", "8", "8", "--network.norm", "group", "--precision", "32-true"),
        *("--optim.lr", "1e-3", "--optim.warmup", "8", "--ema", "0.9"),
        *("--batch-size", str(batch_size), "--validate-every", "16", "--checkpoint-every", "24"),
        *("--pictures", str(pictures), *settings),
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{run}\n"  # said once
    return done.stderr


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "last.ckpt", weights_only=True)["state_dict"]


def rows(run: Path) -> list[dict[str, float]]:
    with (run / "metrics.csv").open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def two(photographs, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("two") / "run"
    train(photographs, run, processes=2, batch_size=4)
    return run


def test_two_processes_learn_the_same_as_one(photographs, two, tmp_path):
    one = tmp_path / "one"
    train(photographs, one, processes=1, batch_size=8)
    train(photographs, tmp_path / "other", "--seed", "1", processes=1, batch_size=8)
    ours, theirs, strangers = weights(one), weights(two), weights(tmp_path / "other")
    apart = max(float((ours[name] - theirs[name]).abs().max()) for name in ours)
    assert apart < 1e-5
    assert max(float((ours[name] - strangers[name]).abs().max()) for name in ours) > 100 * apart
    assert (
        [row["pictures"] for row in rows(one)]
        == [row["pictures"] for row in rows(two)]
        == [16, 32, 48]
    )
    for mine, other in zip(rows(one), rows(two), strict=True):
        for name in ("val/loss", "val/ciede2000", "val/psnr"):
            assert mine[name] == pytest.approx(other[name], rel=1e-3)


def test_two_processes_that_stopped_go_on_as_if_they_had_not(photographs, two, tmp_path):
    train(photographs, tmp_path / "run", processes=2, batch_size=4, pictures=24)
    train(photographs, tmp_path / "run", processes=2, batch_size=4)
    whole, parts = weights(two), weights(tmp_path / "run")
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())


def test_the_first_process_writes_the_folder(two):
    assert {path.name for path in two.iterdir()} >= {
        "config.json",
        "made-with.json",
        "metrics.csv",
        "last.ckpt",
    }
    assert json.loads((two / "made-with.json").read_text())["pictures"] == {"train": 16, "val": 4}
    assert len(list(two.glob("events.out.tfevents*"))) == 1
    assert not list(two.glob("*.part"))


def test_each_process_names_what_it_skipped(photographs, tmp_path, write_photograph):
    for number in range(8):
        write_photograph(tmp_path / "data" / "train" / f"{number}.png", number)
    write_photograph(tmp_path / "data" / "val" / "0.png")
    for number in range(4):
        (tmp_path / "data" / "train" / f"corrupt {number}.png").write_bytes(b"no picture")
    said = train(
        tmp_path / "data",
        tmp_path / "run",
        "--data.max-corrupt",
        "0.5",
        processes=2,
        batch_size=4,
        pictures=32,
    )
    named = [
        line.split("\t")[0] for line in (tmp_path / "run" / "skipped.tsv").read_text().splitlines()
    ]
    assert named == [f"train/corrupt {number}.png" for number in range(4)]
    assert "4 pictures skipped so far: 4 corrupt" in said
