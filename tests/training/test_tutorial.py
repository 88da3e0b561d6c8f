"""The commands of the first part of the tutorial work, in their order, on a little
data."""

import re
import shlex
from pathlib import Path

import pytest

from colorizenet import cli

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"
SMALLER = {"10000": "64", "2000": "32", "20000": "96", "160": "128"}
"""Lengths and sizes of the tutorial, and those of the test."""
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
    part = TUTORIAL.read_text(encoding="utf-8").partition("## 6. Places365")[0]
    blocks = re.findall(r"```console\n(.*?)```", part, re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def test_tutorial_has_the_commands_that_are_tested():
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


def test_commands_work_in_their_order(home, monkeypatch, capfd):
    monkeypatch.chdir(home)
    messages = {}
    for command in commands():
        words = [SMALLER.get(word, word) for word in shlex.split(command.replace("~", str(home)))]
        if words[0] != "colorizenet":
            continue  # installation and TensorBoard
        if words[1] == "train" and "--resume" not in words:
            words += QUICKER.get(words[2], [])
        with pytest.raises(SystemExit) as end:
            cli.main(words[1:])
        printed = capfd.readouterr()
        assert not end.value.code, f"{command}: {printed.err}"
        messages[" ".join(words[1:3])] = printed.out + printed.err

    assert (home / "shards" / "manifest.tsv").is_file()
    assert list((home / "runs" / "try" / "grids").glob("*.png"))
    assert "96 pictures: val/" in messages["train encoder_unet"]
    assert "my own photographs" in messages["info holiday.onnx"]
    assert (home / "in-color" / "old.jpg").is_file()
