"""A configuration -> a trained run: Trainer, callbacks and the run folder.

A run folder holds ``config.json`` (the whole configuration), ``made-with.json`` (versions, data
by name and SHA-256), ``metrics.csv`` and TensorBoard events, ``last.ckpt`` to resume from,
``best.ckpt`` of the lowest validation loss, and ``grids/`` with grey | predicted | true.
"""

import importlib.metadata
import json
import logging
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

import cv2
import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, WeightAveraging
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch import Tensor

from colorizenet.errors import ConfigError, quoted
from colorizenet.training.config import RunConfig, to_json
from colorizenet.training.data import Photographs
from colorizenet.training.encoder_unet import EncoderUNet
from colorizenet.training.tasks import Regression, Task

__all__ = ["build_task", "fit"]

_log = logging.getLogger(__name__)


def build_task(config: RunConfig) -> Task:
    """The networks and the training step of a run, with fresh (or pretrained) weights."""
    network = EncoderUNet(config.network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Regression(network, config.task, config.optim, pictures=config.pictures)


def fit(config: RunConfig, folder: Path, *, recipe: str = "", resume: bool = False, progress: bool = False) -> Task:
    """Train into ``folder``, or go on where the run in it stopped."""
    last = folder / "last.ckpt"
    if resume and not last.is_file():
        raise ConfigError(
            f"{quoted(folder)} has no last.ckpt to resume from; name the folder of a run that was stopped"
        )
    if not resume and last.exists():
        raise ConfigError(f"{quoted(folder)} holds a run already; resume it with --resume, or name another folder")

    lightning.seed_everything(config.seed, verbose=False)
    data = Photographs(config.data, batch_size=config.batch_size, seed=config.seed)
    task = build_task(config)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(to_json(config))
    (folder / "made-with.json").write_text(json.dumps({"recipe": recipe} | _made_with(data), indent=2))

    trainer = lightning.Trainer(
        accelerator="auto",
        precision=config.precision,
        max_epochs=1,  # the loader has no end: the task stops the run by its pictures
        val_check_interval=_steps(config.validate_every, config),
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        log_every_n_steps=20,
        enable_progress_bar=progress,
        enable_model_summary=False,
        logger=[CSVLogger(folder, name="", version=""), TensorBoardLogger(folder, name="", version="")],
        callbacks=_callbacks(config, folder),
        default_root_dir=folder,
        use_distributed_sampler=False,
    )
    trainer.fit(task, datamodule=data, ckpt_path=last if resume else None, weights_only=True)
    return task


def _callbacks(config: RunConfig, folder: Path) -> list[Callback]:
    return [
        *([_MovingAverage(config.ema)] if config.ema else []),
        ModelCheckpoint(folder, "best", monitor="val/loss", enable_version_counter=False),
        ModelCheckpoint(
            folder,
            "last",
            every_n_train_steps=_steps(config.checkpoint_every, config),
            save_on_exception=True,
            enable_version_counter=False,
        ),
        _Watch(folder / "grids"),
    ]


def _steps(pictures: int, config: RunConfig) -> int:
    return max(1, pictures // config.batch_size)


class _MovingAverage(WeightAveraging):
    """Averaged weights whose decay rises to its value, so that short runs are not held back."""

    def __init__(self, decay: float) -> None:
        @torch.no_grad()
        def average(averaged: Tensor, current: Tensor, updates: Tensor | int) -> Tensor:
            ramped = min(decay, (1 + int(updates)) / (10 + int(updates)))
            return averaged + (current - averaged) * (1 - ramped)

        super().__init__(avg_fn=average)


class _Watch(Callback):
    """For the person who waits: speed, a line for each validation, and a grid to look at."""

    PICTURES = 12

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._since: tuple[float, int] | None = None
        self._shown: list[np.ndarray] = []

    def on_train_batch_end(self, trainer: lightning.Trainer, task: Any, *_: Any) -> None:
        now, seen = time.perf_counter(), task.pictures_seen
        if self._since is None:
            self._since = now, seen
        elif now - self._since[0] > 10:
            task.log("pictures_per_second", (seen - self._since[1]) / (now - self._since[0]))
            self._since = now, seen

    def on_validation_start(self, *_: Any) -> None:
        self._shown = []

    def on_validation_batch_end(
        self, trainer: lightning.Trainer, task: Any, shown: Any, batch: Tensor, *_: Any
    ) -> None:
        for picture, truth in zip(shown.cpu().numpy(), batch.cpu().numpy(), strict=True):
            if len(self._shown) < self.PICTURES:
                grey = cv2.cvtColor(cv2.cvtColor(truth, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
                self._shown.append(np.hstack([grey, picture, truth]))

    def on_validation_end(self, trainer: lightning.Trainer, task: Any) -> None:
        self._since = None  # the time of validating is not the time of training
        if not trainer.is_global_zero:
            return
        half = (len(self._shown) + 1) // 2
        columns = [np.vstack(self._shown[:half])] + (
            [np.vstack(self._shown[half:])] if len(self._shown) % 2 == 0 else []
        )
        grid = np.hstack(columns)
        self.folder.mkdir(exist_ok=True)
        cv2.imwrite(str(self.folder / f"{task.pictures_seen:09d}.png"), grid[..., ::-1])
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image("grey | predicted | true", grid, task.pictures_seen, dataformats="HWC")
        figures = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
        _log.info("%d pictures: %s", task.pictures_seen, ", ".join(f"{k} {v:.4g}" for k, v in figures.items()))


def _made_with(data: Photographs) -> dict[str, Any]:
    packages = ("colorizenet", "torch", "timm", "lightning", "numpy", "opencv-python-headless")
    return {
        "commit": _commit(),
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in packages},
        "data": data.fingerprint(),
        "pictures": {"train": len(data.train), "val": len(data.val)},
    }


def _commit() -> str:
    """The commit this code was checked out at, or "" where it was installed."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except FileNotFoundError:
        return ""
