"""Small networks, one batch in memory, and a loop that trains a task on it."""

import itertools
from collections.abc import Callable
from typing import Any

import lightning
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from colorizenet.training.losses import LossConfig
from colorizenet.training.networks.unet import UNet, UNetConfig
from colorizenet.training.tasks import OptimConfig, RegressionConfig, Task

Logged = list[dict[str, float]]


@pytest.fixture(scope="session")
def batch() -> Tensor:
    """Four smooth pictures of many colors, ``(4, 32, 32, 3)`` uint8."""
    small = torch.rand((4, 3, 4, 4), generator=torch.Generator().manual_seed(0))
    pictures = F.interpolate(small, size=(32, 32), mode="bicubic").clamp(0, 1)
    return (pictures * 255).to(torch.uint8).movedim(1, -1).contiguous()


@pytest.fixture
def make_network() -> Callable[..., UNet]:
    """Build a small U-Net of three levels whose head is not zero."""

    def make(*, in_channels: int = 1) -> UNet:
        torch.manual_seed(0)
        network = UNetConfig(widths=(8, 8, 8)).build(in_channels=in_channels)
        nn.init.normal_(network.head.weight, std=0.05)
        return network

    return make


@pytest.fixture
def make_regression(make_network: Callable[..., UNet]) -> Callable[..., Task]:
    """Build a regression on the small network; arguments set its optimizer."""

    def make(
        *, loss: LossConfig | None = None, pictures: int = 4000, network: Any = None, **optim: Any
    ) -> Task:
        settings = {"lr": 1e-2, "warmup": 0} | optim
        return RegressionConfig().build(
            network or make_network(),
            loss or LossConfig(),
            OptimConfig(**settings),
            pictures=pictures,
        )

    return make


@pytest.fixture
def train(batch: Tensor) -> Callable[..., tuple[Logged, set[str]]]:
    """Train a task on one batch, again and again.

    Returns the values that each step logged, and the names of the parameters that
    changed.
    """

    def train(task: Task, steps: int, *callbacks: lightning.Callback) -> tuple[Logged, set[str]]:
        before = {name: value.clone() for name, value in task.named_parameters()}
        logged: Logged = []

        class Record(lightning.Callback):
            def on_train_batch_end(self, _trainer: Any, _task: Any, outputs: Any, *_: Any) -> None:
                logged.append(
                    {name.removeprefix("train/"): float(value) for name, value in outputs.items()}
                )

        disabled = dict.fromkeys(
            ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"),
            False,
        )
        trainer = lightning.Trainer(
            accelerator="cpu",
            max_epochs=1,
            limit_train_batches=steps,
            callbacks=[Record(), *callbacks],
            **disabled,
        )
        trainer.fit(task, itertools.repeat(batch))
        changed = {
            name for name, value in task.named_parameters() if not torch.equal(value, before[name])
        }
        return logged, changed

    return train
