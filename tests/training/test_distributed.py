"""Several processes, started by torchrun over gloo, train as one process does.

Each command line of ``colorizenet train`` runs in both processes of one launch, because
starting a process takes longer than the training.
"""

import csv
import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from colorizenet import cli
from colorizenet.training.config import to_json
from colorizenet.training.networks.frozen_features import FeaturesConfig
from colorizenet.training.networks.patchgan import PatchGANConfig
from colorizenet.training.networks.projected_discriminator import ProjectedDiscriminatorConfig
from colorizenet.training.tasks import Pix2PixConfig, ProjectedGANConfig

COMMANDS = """
import json, sys
from colorizenet import cli
for command in json.loads(sys.argv[1]):
    try:
        cli.main(command)
    except SystemExit as end:
        if end.code:
            raise
"""

RANKS = """
import os, sys
from pathlib import Path
import torch
from colorizenet.training.config import read_json
from colorizenet.training.fit import fit
for folder in map(Path, sys.argv[1:]):
    task = fit(read_json(folder / "wanted.json"), folder, devices=2)
    torch.save(task.state_dict(), folder / f"rank {os.environ['RANK']}.pt")
"""


def make_command(
    root: Path, run: Path, *settings: str, batch_size: int, pictures: int = 48, resume: bool = False
) -> list[str]:
    """The arguments of ``colorizenet`` that train a small U-Net."""
    return [
        *("train", "unet", "--data.root", str(root), "--resume" if resume else "--out", str(run)),
        *("--data.size", "32", "--data.val-size", "64", "--data.workers", "0"),
        *("--data.screen.min-side", "0", "--data.screen.min-colorfulness", "0"),
        *("--data.screen.max-hue-concentration", "1"),
        *("--network.widths", "8", "8", "8", "--network.norm", "group", "--precision", "32-true"),
        *("--optim.lr", "1e-3", "--optim.warmup", "8", "--ema", "0.9"),
        *("--batch-size", str(batch_size), "--validate-every", "16", "--checkpoint-every", "24"),
        *("--pictures", str(pictures), *settings),
    ]


def train_in_two_processes(*commands: list[str]) -> subprocess.CompletedProcess[str]:
    return run_two_processes(COMMANDS, json.dumps(commands))


def run_two_processes(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    script = ["--no-python", sys.executable, "-c", program, *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, *torchrun, *script],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def train_in_one_process(command: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(command)
    assert not end.value.code


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "last.ckpt", weights_only=True)["state_dict"]


def rows(run: Path) -> list[dict[str, float]]:
    with (run / "metrics.csv").open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("two processes")


@pytest.fixture(scope="module")
def launch(photographs, folder, write_photograph) -> subprocess.CompletedProcess[str]:
    """A whole run, the same in two parts, and one with damaged photos."""
    damaged = folder / "damaged"
    for number in range(8):
        write_photograph(damaged / "train" / f"{number}.png", number)
    write_photograph(damaged / "val" / "0.png")
    for number in range(4):
        (damaged / "train" / f"corrupt {number}.png").write_bytes(b"no picture")
    tolerant = ("--data.max-corrupt", "0.5")
    return train_in_two_processes(
        make_command(photographs, folder / "whole", batch_size=4),
        make_command(photographs, folder / "parts", batch_size=4, pictures=24),
        make_command(photographs, folder / "parts", batch_size=4, resume=True),
        make_command(damaged, folder / "skipping", *tolerant, batch_size=4, pictures=32),
    )


def test_two_processes_train_as_one(photographs, launch, folder, tmp_path):
    train_in_one_process(make_command(photographs, tmp_path / "one", batch_size=8))
    train_in_one_process(make_command(photographs, tmp_path / "other", "--seed", "1", batch_size=8))
    one, two, other = (
        weights(tmp_path / "one"),
        weights(folder / "whole"),
        weights(tmp_path / "other"),
    )
    apart = max(float((one[name] - two[name]).abs().max()) for name in one)
    # A tenth of one step: sums in another order change the steps of small gradients.
    assert apart < 1e-4
    assert max(float((one[name] - other[name]).abs().max()) for name in one) > 100 * apart
    of_one, of_two = rows(tmp_path / "one"), rows(folder / "whole")
    assert [row["pictures"] for row in of_one] == [16, 32, 48]
    assert [row["pictures"] for row in of_two] == [16, 32, 48]
    for expected, found in zip(of_one, of_two, strict=True):
        for name in ("val/loss", "val/ciede2000", "val/psnr"):
            assert found[name] == pytest.approx(expected[name], rel=1e-3)


def test_resumed_run_of_two_processes_is_the_same_run(launch, folder):
    whole, parts = weights(folder / "whole"), weights(folder / "parts")
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())


def test_first_process_writes_the_folder_and_prints_it(launch, folder):
    names = ("whole", "parts", "parts", "skipping")
    assert launch.stdout.splitlines() == [str(folder / name) for name in names]
    assert {path.name for path in (folder / "whole").iterdir()} >= {
        "config.json",
        "provenance.json",
        "metrics.csv",
        "last.ckpt",
    }
    provenance = json.loads((folder / "whole" / "provenance.json").read_text())
    assert provenance["pictures"] == {"train": 16, "val": 4}
    assert len(list((folder / "whole").glob("events.out.tfevents*"))) == 1
    assert not list(folder.rglob("*.part"))


def test_skipped_pictures_of_all_processes_are_listed(launch, folder):
    lines = (folder / "skipping" / "skipped.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in lines] == [
        f"train/corrupt {number}.png" for number in range(4)
    ]
    assert "4 pictures skipped so far: 4 corrupt" in launch.stderr


def test_processes_of_adversarial_training_have_the_same_weights(tiny, tmp_path):
    features = FeaturesConfig(encoder="test_efficientnet", pretrained="none")
    tasks = {
        "pix2pix": Pix2PixConfig(discriminator=PatchGANConfig(widths=(8, 8)), r1=0.1),
        "projected_gan": ProjectedGANConfig(
            features=features,
            discriminator=ProjectedDiscriminatorConfig(scales=(8,), width=8),
            discriminator_accuracy=0.5,
        ),
    }
    for name, task in tasks.items():
        config = dataclasses.replace(tiny, task=task, data=dataclasses.replace(tiny.data, size=64))
        (tmp_path / name).mkdir()
        (tmp_path / name / "wanted.json").write_text(to_json(config))
    run_two_processes(RANKS, *(str(tmp_path / name) for name in tasks))
    for name in tasks:
        first, second = (
            torch.load(tmp_path / name / f"rank {rank}.pt", weights_only=True) for rank in (0, 1)
        )
        ends = ("weight", "bias", "accuracy", "started_at")
        shared = [key for key in first if key.endswith(ends)]
        differing = [key for key in shared if not torch.equal(first[key], second[key])]
        assert differing == [], name
