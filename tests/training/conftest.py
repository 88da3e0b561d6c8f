"""Photographs, shards and runs small enough to train on for a second."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from jaxtyping import install_import_hook

with install_import_hook("colorizenet.training", "beartype.beartype"):  # checks shape annotations
    from colorizenet.training.config import RunConfig
    from colorizenet.training.data.loader import DataConfig
    from colorizenet.training.data.screen import Screen
    from colorizenet.training.fit import fit
    from colorizenet.training.networks.encoder_unet import EncoderUNetConfig
    from colorizenet.training.recipes import RECIPES  # noqa: F401
    from colorizenet.training.tasks.optim import OptimConfig

torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"  # so that the programs that tests start count in the same order

Write = Callable[..., Path]


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory, write_photograph: Write) -> Path:
    """A folder of twenty photos: sixteen for training and four for validation."""
    root = tmp_path_factory.mktemp("photographs")
    for number in range(20):
        split = "train" if number < 16 else "val"
        write_photograph(
            root / split / f"{number:02}.png", number, height=40 + number, width=64 - number
        )
    return root


@pytest.fixture(scope="session")
def tiny(photographs: Path) -> RunConfig:
    """A run of twelve steps that validates each fourth and keeps a checkpoint each
    third."""
    return RunConfig(
        data=DataConfig(
            root=str(photographs),
            size=32,
            val_size=64,
            screen=Screen(min_side=0, min_colorfulness=0.0, max_hue_concentration=1.0),
            workers=0,
        ),
        network=EncoderUNetConfig(
            encoder="test_efficientnet", pretrained="none", widths=(16, 8, 8, 8)
        ),
        optim=OptimConfig(lr=1e-2, encoder_lr=1e-2, warmup=8),
        pictures=48,
        batch_size=4,
        validate_every=16,
        checkpoint_every=12,
        ema=0.9,
        precision="32-true",
    )


@pytest.fixture(scope="session")
def finished(tiny: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of that run, when nothing disturbed it."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    fit(tiny, folder, recipe="encoder_unet")
    return folder


@pytest.fixture
def with_data(tiny: RunConfig) -> Callable[..., RunConfig]:
    """The tiny run with other settings of its data."""

    def change(**settings: object) -> RunConfig:
        return dataclasses.replace(tiny, data=dataclasses.replace(tiny.data, **settings))

    return change
