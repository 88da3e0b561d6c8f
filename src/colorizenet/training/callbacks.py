"""Callbacks of a run: averaged weights, early stopping, checkpoints, reports.

All counts are in pictures, so that they do not depend on the batch size.
"""

import csv
import io
import logging
import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import lightning
import numpy as np
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    ModelCheckpoint,
    WeightAveraging,
)
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from colorizenet.errors import ConfigError, quote
from colorizenet.files import write_atomically
from colorizenet.training.loggers import log_image

__all__ = [
    "AtomicCheckpointIO",
    "BestCheckpoint",
    "EarlyStop",
    "LastCheckpoint",
    "Progress",
    "Report",
    "WeightEMA",
]

_log = logging.getLogger(__name__)


class WeightEMA(WeightAveraging):
    """Exponential moving average of the weights; validated and saved in their place.

    With ``ramp``, update n uses the decay ``min(decay, (1 + n) / (10 + n))``, so that
    the random initial weights of a short run are forgotten soon. Without it, the decay
    is constant, which keeps the initial weights of a run that continues another one.
    """

    def __init__(self, decay: float, *, ramp: bool) -> None:
        def update(averaged: Any, current: Any, updates: Tensor | int) -> None:
            n = int(updates)
            now = min(decay, (1 + n) / (10 + n)) if ramp else decay
            get_ema_multi_avg_fn(now)(averaged, current, updates)

        super().__init__(multi_avg_fn=update)


class EarlyStop(EarlyStopping):
    """End the run after ``validations`` validations without a better ``monitor``.

    A run that ended so stays ended when it is resumed, unless it gets more patience or
    other validation photos, whose scores do not compare with those before.
    """

    def __init__(self, monitor: str, validations: int) -> None:
        super().__init__(monitor, patience=validations)

    def on_train_start(self, trainer: lightning.Trainer, _task: Any) -> None:
        if trainer.datamodule.val_changed:  # type: ignore[attr-defined]
            self.best_score, self.wait_count = torch.tensor(math.inf), 0
        trainer.should_stop = trainer.should_stop or self.wait_count >= self.patience

    def on_validation_end(self, trainer: lightning.Trainer, task: Any) -> None:
        super().on_validation_end(trainer, task)
        if trainer.should_stop and trainer.is_global_zero and self.stopping_reason_message:
            _log.info(
                "%d pictures: the run ends early. %s",
                task.pictures_seen,
                self.stopping_reason_message,
            )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the counts, but keep the patience, which may change on resuming."""
        super().load_state_dict(state_dict | {"patience": self.patience})


class BestCheckpoint(ModelCheckpoint):
    """Keeps the weights with the best score, also where the run folder was moved.

    The best score starts anew in a resumed run with other validation photos.
    """

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        super().on_train_start(trainer, pl_module)
        # Initial weights may be the best, and Lightning would not save them at step 0.
        self._last_global_step_saved = -1
        if trainer.datamodule.val_changed:  # type: ignore[attr-defined]
            self.load_state_dict(self.state_dict() | {"best_model_score": None})
            if trainer.is_global_zero and pl_module.pictures_seen < pl_module.pictures:
                _log.info(
                    "%d pictures: the validation photos are not those from before, so the best "
                    "score starts anew",
                    pl_module.pictures_seen,
                )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the best score; Lightning forgets it if the folder has another path."""
        path = str(Path(self.dirpath or "") / "best.ckpt")
        score = state_dict["best_model_score"]
        best = {} if score is None else {path: score}
        found = path if best else ""
        moved = {"best_model_path": found, "kth_best_model_path": found, "best_k_models": best}
        super().load_state_dict(state_dict | moved | {"dirpath": self.dirpath})


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write checkpoints atomically: a killed run leaves the old file or the new one."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        try:
            write_atomically(Path(path), buffer.getvalue())
        except OSError as error:
            raise ConfigError(
                f"{quote(path)} cannot be written ({quote(error.strerror or error)}); free space, "
                "and go on with --resume"
            ) from error


class LastCheckpoint(Checkpoint):
    """Write ``last.ckpt`` every ``every`` steps, after validations, when interrupted.

    A run resumed from it repeats the rest bit for bit. So it is written only between
    steps, where weights, averages and counts belong together. Where a validation is
    due, it is written after it, so that the validation is neither skipped nor repeated.

    ``interrupted``: once it is set, the run saves and stops after the current step.
    """

    def __init__(self, path: Path, *, every: int, interrupted: threading.Event) -> None:
        self.path, self.every, self.interrupted = path, every, interrupted
        self._saved = self._consistent = False

    def on_train_batch_start(self, *_: Any) -> None:
        self._saved = self._consistent = False

    def on_train_batch_end(
        self, trainer: lightning.Trainer, _task: Any, _out: Any, _batch: Any, index: int
    ) -> None:
        validation_is_due = trainer.should_stop or (index + 1) % trainer.val_check_interval == 0
        self._consistent = not validation_is_due
        if self._consistent and (index + 1) % self.every == 0:
            self._save(trainer)
        self._stop_if_interrupted(trainer)

    def on_validation_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        self._stop_if_interrupted(trainer)

    def on_validation_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        self._consistent = True
        self._save(trainer)

    def on_exception(self, trainer: lightning.Trainer, *_: Any) -> None:
        # Saving waits for all processes, and after an error the others may be
        # elsewhere.
        together = trainer.world_size == 1 or self.interrupted.is_set()
        if self._consistent and not self._saved and together:
            self._save(trainer)

    def _stop_if_interrupted(self, trainer: lightning.Trainer) -> None:
        """Raise KeyboardInterrupt in all processes if any of them was interrupted."""
        stop = self.interrupted.is_set()
        if trainer.world_size > 1:
            stop = trainer.strategy.reduce_boolean_decision(stop, all=False)
        if stop:
            self.interrupted.set()
            raise KeyboardInterrupt

    def _save(self, trainer: lightning.Trainer) -> None:
        trainer.save_checkpoint(self.path)
        self._saved = True


class Progress(Callback):
    """Call ``show(pictures seen, length of the run)`` after each step."""

    def __init__(self, show: Callable[[int, int], None]) -> None:
        self.show = show

    def on_train_start(self, trainer: lightning.Trainer, task: Any) -> None:
        self._show(trainer, task)

    def on_train_batch_end(self, trainer: lightning.Trainer, task: Any, *_: Any) -> None:
        self._show(trainer, task)

    def _show(self, trainer: lightning.Trainer, task: Any) -> None:
        if trainer.is_global_zero:
            self.show(task.pictures_seen, task.pictures)


class Report(Callback):
    """Report each validation: a log line, a row of ``metrics.csv``, a grid of pictures.

    The grid shows gray, predicted and true pictures side by side. Also names the
    skipped pictures in ``skipped.tsv``, logs the speed, and makes the number of
    pictures seen the x-axis of every logger.
    """

    def __init__(self, folder: Path, *, grid_pictures: int = 12) -> None:
        """``folder``: of the run. ``grid_pictures``: pictures in a grid."""
        self.folder, self.grid_pictures = folder, grid_pictures
        self._timed_from: tuple[float, int] | None = None
        self._grid: list[np.ndarray] = []
        self._sums: dict[str, Tensor] = {}
        self._steps = 0
        self._skipped = 0

    def on_train_start(self, trainer: lightning.Trainer, task: Any) -> None:
        """Drop rows after the last checkpoint, which the resumed run writes again."""
        path = self.folder / "metrics.csv"
        if path.is_file() and trainer.is_global_zero:
            lines = path.read_text().splitlines(keepends=True)
            # A run that was killed may have left an empty file or half a line.
            complete = [line for line in lines if line.endswith("\n")]
            valid = [row for row in complete[1:] if int(row.split(",")[0]) <= task.pictures_seen]
            write_atomically(path, "".join([*complete[:1], *valid]).encode())

    def on_train_batch_end(
        self, _trainer: lightning.Trainer, task: Any, logged: Any, *_: Any
    ) -> None:
        self._sums = {name: self._sums.get(name, 0) + value for name, value in logged.items()}
        self._steps += 1
        _log_pictures_as_step(task)
        now, seen = time.perf_counter(), task.pictures_seen
        if self._timed_from is None:
            self._timed_from = now, seen
        elif now - self._timed_from[0] > 10:
            started, before = self._timed_from
            task.log("pictures_per_second", (seen - before) / (now - started))
            self._timed_from = now, seen

    def on_validation_start(self, *_: Any) -> None:
        self._grid = []

    def on_validation_batch_end(
        self, _trainer: lightning.Trainer, _task: Any, predicted: Any, batch: Tensor, *_: Any
    ) -> None:
        pairs = zip(predicted.cpu().numpy(), batch.cpu().numpy(), strict=True)
        for picture, truth in list(pairs)[: self.grid_pictures - len(self._grid)]:
            gray = cv2.cvtColor(cv2.cvtColor(truth, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
            self._grid.append(np.hstack([gray, picture, truth]))

    def on_validation_epoch_end(self, trainer: lightning.Trainer, task: Any) -> None:
        _log_pictures_as_step(task, sync_dist=trainer.world_size > 1)

    def on_validation_end(self, trainer: lightning.Trainer, task: Any) -> None:
        self._timed_from = None  # the time of a validation does not count as training
        self._report_skipped(trainer)
        trained = {name: float(total) / self._steps for name, total in self._sums.items()}
        self._sums, self._steps = {}, 0
        if not trainer.is_global_zero:
            return
        validated = {
            name: float(value)
            for name, value in trainer.callback_metrics.items()
            if name.startswith("val/")
        }
        self._add_row({"pictures": task.pictures_seen} | trained | validated)
        self._add_grid(trainer, task.pictures_seen)
        results = ", ".join(f"{name} {value:.4g}" for name, value in validated.items())
        _log.info("%d pictures: %s", task.pictures_seen, results)

    def _report_skipped(self, trainer: lightning.Trainer) -> None:
        """Write the pictures that any of the processes skipped to ``skipped.tsv``."""
        skipped = trainer.datamodule.skipped  # type: ignore[attr-defined]
        if trainer.world_size > 1:
            gathered: list[Any] = [None] * trainer.world_size
            torch.distributed.all_gather_object(gathered, (skipped.reasons, skipped.corrupt))
            for reasons, corrupt in gathered:
                skipped.reasons |= reasons
                skipped.corrupt |= corrupt
        if trainer.is_global_zero and len(skipped.reasons) > self._skipped:
            self._skipped = len(skipped.reasons)
            rows = "".join(
                f"{quote(name)}\t{quote(reason)}\n"
                for name, reason in sorted(skipped.reasons.items())
            )
            write_atomically(self.folder / "skipped.tsv", rows.encode())
            _log.info("%d pictures skipped so far: %s; see skipped.tsv", self._skipped, skipped)

    def _add_row(self, row: dict[str, int | float]) -> None:
        with (self.folder / "metrics.csv").open("a", newline="") as file:
            rows = csv.DictWriter(file, row, lineterminator="\n")
            if file.tell() == 0:
                rows.writeheader()
            rows.writerow(row)

    def _add_grid(self, trainer: lightning.Trainer, pictures_seen: int) -> None:
        half = (len(self._grid) + 1) // 2
        columns = [self._grid[:half]]
        if len(self._grid) % 2 == 0:
            columns.append(self._grid[half:])
        grid = np.hstack([np.vstack(column) for column in columns])
        (self.folder / "grids").mkdir(exist_ok=True)
        cv2.imwrite(str(self.folder / "grids" / f"{pictures_seen:09d}.png"), grid[..., ::-1])
        for logger in trainer.loggers:
            log_image(logger, "gray | predicted | true", grid, pictures_seen)

    def state_dict(self) -> dict[str, Any]:
        return {"sums": self._sums, "steps": self._steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._sums, self._steps = state_dict["sums"], state_dict["steps"]


def _log_pictures_as_step(task: Any, *, sync_dist: bool = False) -> None:
    """Lightning takes a metric named ``step``, where there is one, as the x-axis."""
    task.log("step", torch.tensor(task.pictures_seen, dtype=torch.float64), sync_dist=sync_dist)
