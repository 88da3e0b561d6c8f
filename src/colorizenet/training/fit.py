"""A configuration -> a trained run: Trainer, callbacks and the run folder.

A run folder holds ``config.json`` (the whole configuration), ``made-with.json`` (versions, data
by name and SHA-256), ``metrics.csv`` with a row for each validation, TensorBoard events,
``last.ckpt`` to resume from, ``best.ckpt`` of the lowest validation loss, and ``grids/`` with
grey | predicted | true.

A run that was stopped, at any moment and in any way, and resumed ends with the weights and the
``metrics.csv`` of one that was not, bit for bit, on the same machine.
"""

import csv
import dataclasses
import importlib.metadata
import io
import json
import logging
import platform
import signal
import subprocess
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import lightning
import numpy as np
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback, Checkpoint, ModelCheckpoint, WeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from colorizenet.errors import ConfigError, quoted
from colorizenet.images import write_atomically
from colorizenet.training.config import RunConfig, differences, from_json, to_json
from colorizenet.training.data import Photographs
from colorizenet.training.encoder_unet import EncoderUNet
from colorizenet.training.tasks import Regression, Task

__all__ = ["build_task", "fit", "read_checkpoint"]

_log = logging.getLogger(__name__)


def build_task(config: RunConfig, *, pretrained: bool = True) -> Task:
    """The networks and the training step of a run, with first weights or, for a checkpoint, any."""
    shape = config.network if pretrained else dataclasses.replace(config.network, pretrained="none")
    network = EncoderUNet(shape).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
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

    if resume:
        _check_resumable(from_json(folder / "config.json"), config, folder)
        read_checkpoint(last)

    lightning.seed_everything(config.seed, verbose=False)
    data = Photographs(config.data, batch_size=config.batch_size, seed=config.seed)
    task = build_task(config, pretrained=not resume)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(to_json(config))
    (folder / "made-with.json").write_text(json.dumps({"recipe": recipe} | _made_with(data), indent=2))

    with _quiet(), _interruptible() as interrupted:
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
            logger=TensorBoardLogger(folder, name="", version=""),
            callbacks=_callbacks(config, folder, interrupted),
            plugins=_WholeFiles(),
            default_root_dir=folder,
            use_distributed_sampler=False,
        )
        trainer.fit(task, datamodule=data, ckpt_path=last if resume else None, weights_only=True)
    return task


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What a run kept: never a pickle, which could run a program."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # A foreign border: a missing file, a cut archive and a refused pickle share no base.
        raise ConfigError(
            f"{quoted(path)} cannot be read as a checkpoint ({quoted(error)}); name the folder of a run"
        ) from error


def _check_resumable(before: RunConfig, now: RunConfig, folder: Path) -> None:
    """What the weights are of, and what they are punished for, stays in the middle of a run."""
    changed = [name for name in differences(before, now) if name.startswith(("network.", "task.", "ema"))]
    if changed:
        raise ConfigError(
            f"{quoted(folder)} was trained with another {' and '.join(changed)}, which a run keeps; "
            "resume it without, or start a new run"
        )


def _callbacks(config: RunConfig, folder: Path, interrupted: threading.Event) -> list[Callback]:
    return [
        *([_MovingAverage(config.ema)] if config.ema else []),
        _Watch(folder),
        ModelCheckpoint(folder, "best", monitor="val/loss", enable_version_counter=False),
        _Last(folder / "last.ckpt", every=_steps(config.checkpoint_every, config), interrupted=interrupted),
    ]


def _steps(pictures: int, config: RunConfig) -> int:
    return max(1, pictures // config.batch_size)


class _MovingAverage(WeightAveraging):
    """Averaged weights whose decay rises to its value, so that short runs are not held back."""

    def __init__(self, decay: float) -> None:
        def average(averaged: Any, current: Any, updates: Tensor | int) -> None:
            ramped = min(decay, (1 + int(updates)) / (10 + int(updates)))
            get_ema_multi_avg_fn(ramped)(averaged, current, updates)

        super().__init__(multi_avg_fn=average)


class _WholeFiles(TorchCheckpointIO):
    """Checkpoints that are there whole or not at all; Lightning's own may be cut short."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_atomically(Path(path), buffer.getvalue())


class _Last(Checkpoint):
    """Keeps ``last.ckpt`` such that a run resumed from it repeats what was lost, bit for bit.

    So only between steps, where weights, averages and counts belong together; and where a
    validation is due, after it, so that it is neither lost nor counted twice.
    """

    def __init__(self, path: Path, *, every: int, interrupted: threading.Event) -> None:
        self.path, self.every, self.interrupted = path, every, interrupted
        self._saved = self._whole = False

    def on_train_batch_start(self, *_: Any) -> None:
        self._saved = self._whole = False

    def on_train_batch_end(self, trainer: lightning.Trainer, _task: Any, _out: Any, _batch: Any, index: int) -> None:
        self._whole = not (trainer.should_stop or (index + 1) % trainer.val_check_interval == 0)
        if self._whole and (index + 1) % self.every == 0:
            self._save(trainer)
        self._obey()

    def on_validation_batch_end(self, *_: Any) -> None:
        self._obey()

    def on_validation_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        self._whole = True
        self._save(trainer)

    def on_exception(self, trainer: lightning.Trainer, *_: Any) -> None:
        if self._whole and not self._saved:
            self._save(trainer)

    def _obey(self) -> None:
        if self.interrupted.is_set():
            raise KeyboardInterrupt

    def _save(self, trainer: lightning.Trainer) -> None:
        trainer.save_checkpoint(self.path)
        self._saved = True


class _Watch(Callback):
    """For the person who waits: speed, and for each validation a line, a row and a grid to look at."""

    PICTURES = 12

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._since: tuple[float, int] | None = None
        self._shown: list[np.ndarray] = []
        self._sums: dict[str, Tensor] = {}
        self._steps = 0

    def on_train_start(self, trainer: lightning.Trainer, task: Any) -> None:
        """Forget the rows that a killed run wrote after its last checkpoint: they come again."""
        path = self.folder / "metrics.csv"
        if path.is_file() and trainer.is_global_zero:
            header, *rows = path.read_text().splitlines(keepends=True)
            kept = [row for row in rows if int(row.split(",")[0]) <= task.pictures_seen]
            write_atomically(path, "".join([header, *kept]).encode())

    def on_train_batch_end(self, _trainer: lightning.Trainer, task: Any, logged: Any, *_: Any) -> None:
        self._sums = {name: self._sums.get(name, 0) + value for name, value in logged.items()}
        self._steps += 1
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
        trained = {name: float(total) / self._steps for name, total in self._sums.items()}
        self._sums, self._steps = {}, 0
        if not trainer.is_global_zero:
            return
        validated = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
        self._add_row({"pictures": task.pictures_seen} | trained | validated)
        self._add_grid(trainer, task.pictures_seen)
        told = ", ".join(f"{name} {value:.4g}" for name, value in validated.items())
        _log.info("%d pictures: %s", task.pictures_seen, told)

    def _add_row(self, row: dict[str, float]) -> None:
        with (self.folder / "metrics.csv").open("a", newline="") as file:
            rows = csv.DictWriter(file, row, lineterminator="\n")
            if file.tell() == 0:
                rows.writeheader()
            rows.writerow(row)

    def _add_grid(self, trainer: lightning.Trainer, pictures_seen: int) -> None:
        half = (len(self._shown) + 1) // 2
        columns = [np.vstack(self._shown[:half])] + (
            [np.vstack(self._shown[half:])] if len(self._shown) % 2 == 0 else []
        )
        grid = np.hstack(columns)
        (self.folder / "grids").mkdir(exist_ok=True)
        cv2.imwrite(str(self.folder / "grids" / f"{pictures_seen:09d}.png"), grid[..., ::-1])
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image("grey | predicted | true", grid, pictures_seen, dataformats="HWC")

    def state_dict(self) -> dict[str, Any]:
        return {"sums": self._sums, "steps": self._steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._sums, self._steps = state_dict["sums"], state_dict["steps"]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Lightning's talk of devices and products, and its advice that does not apply here."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        # A run folder holds our configuration before its first checkpoint.
        warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")
        # It names a setting of its own; ours is data.workers.
        warnings.filterwarnings("ignore", ".*does not have many workers")
        # What it calls in PyTorch is its affair.
        warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated")
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Note the first Ctrl-C, to be obeyed between steps, where nothing is lost; the second does not wait.

    It leaves as what it is: Lightning would end the program, and ignore those that follow.
    """
    asked = threading.Event()

    def note(number: int, frame: Any) -> None:
        if asked.is_set():
            signal.default_int_handler(number, frame)
        asked.set()

    handler = signal.getsignal(signal.SIGINT)
    ours = handler is signal.default_int_handler and threading.current_thread() is threading.main_thread()
    try:
        if ours:
            signal.signal(signal.SIGINT, note)
        yield asked
    except SystemExit as ended:
        if isinstance(ended.__context__, KeyboardInterrupt):
            raise ended.__context__ from None
        raise
    finally:
        if ours:
            signal.signal(signal.SIGINT, handler)


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
