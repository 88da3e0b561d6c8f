"""Every command of the tutorial works, in its order, on data small enough for a test."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"
SMALLER = {"10000": "64", "2000": "32", "20000": "96", "160": "128"}
"""Lengths and sizes that say how long it takes, not what happens."""
QUICKER = {
    "tiny": [
        "--pictures",
        "32",
        "--data.size",
        "32",
        "--data.val-size",
        "32",
        "--validate-every",
        "16",
    ],
    "encoder_unet": ["--batch-size", "8", "--data.size", "32", "--data.val-size", "32"],
}


def commands() -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", TUTORIAL.read_text(encoding="utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def test_the_commands_are_those_that_are_known_here():
    verbs = [" ".join(shlex.split(command)[:2]) for command in commands()]
    assert verbs == [
        "pip install",
        "colorizenet prepare",
        "colorizenet train",
        "tensorboard --logdir",
        "colorizenet train",
        "colorizenet train",
        "colorizenet export",
        "colorizenet info",
        "colorizenet colorize",
    ]


@pytest.fixture(scope="module")
def home(tmp_path_factory, write_photograph) -> Path:
    home = tmp_path_factory.mktemp("home")
    for number in range(40):
        write_photograph(
            home / "holiday" / f"day {number % 3}" / f"{number}.jpg", number, height=150, width=200
        )
    write_photograph(home / "gray" / "old.jpg", 7, height=90, width=70)
    return home


def test_every_command_works_in_its_order(home):
    environment = os.environ | {"HOME": str(home), "OMP_NUM_THREADS": "1"}
    said = {}
    for command in commands():
        words = [SMALLER.get(word, word) for word in shlex.split(command.replace("~", str(home)))]
        if words[0] != "colorizenet":
            continue  # installing is for a fresh environment, and TensorBoard is not ours
        words += (
            QUICKER.get(words[2], []) if words[1] == "train" and "--resume" not in words else []
        )
        program = [sys.executable, "-m", *words]
        done = subprocess.run(
            program, cwd=home, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        said[" ".join(words[1:3])] = done.stdout + done.stderr

    assert (home / "shards" / "manifest.tsv").is_file()
    assert list((home / "runs" / "try" / "grids").glob("*.png"))
    assert (
        "96 pictures: val/loss" in said["train encoder_unet"]
        or "96 pictures:" in said["train encoder_unet"]
    )
    assert "my own photographs" in said["info holiday.onnx"]
    assert (home / "in-color" / "old.jpg").is_file()
