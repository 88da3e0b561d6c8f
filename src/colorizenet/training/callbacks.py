"""What happens around the steps of a run: averaging, stopping, checkpoints, and what a person looks at."""

import csv
import io
import logging
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import lightning
import numpy as np
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback, Checkpoint, EarlyStopping, WeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from colorizenet.errors import quote
from colorizenet.files import write_atomically

__all__ = ["Last", "MovingAverage", "Patience", "Watch", "WholeFiles"]

_log = logging.getLogger(__name__)


class MovingAverage(WeightAveraging):
    """Averaged weights whose decay rises to its value, so that short runs are not held back by their first weights.

    Where those are good already (``ramped=False``), they are what the average begins with.
    """

    def __init__(self, decay: float, *, ramped: bool = True) -> None:
        def average(averaged: Any, current: Any, updates: Tensor | int) -> None:
            rising = (1 + int(updates)) / (10 + int(updates)) if ramped else 1.0
            now = min(decay, rising)
            get_ema_multi_avg_fn(now)(averaged, current, updates)

        super().__init__(multi_avg_fn=average)


class Patience(EarlyStopping):
    """Ends a run whose validation loss no longer falls; one that ended so stays ended when it is resumed."""

    def __init__(self, monitor: str, validations: int) -> None:
        super().__init__(monitor, patience=validations)

    def on_train_start(self, trainer: lightning.Trainer, _task: Any) -> None:
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
        """All but the patience itself, which may be changed while resuming."""
        super().load_state_dict(state_dict | {"patience": self.patience})


class WholeFiles(TorchCheckpointIO):
    """Checkpoints that are there whole or not at all; Lightning's own may be cut short."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_atomically(Path(path), buffer.getvalue())


class Last(Checkpoint):
    """Keeps ``last.ckpt`` such that a run resumed from it repeats what was lost, bit for bit.

    So only between steps, where weights, averages and counts belong together; and where a
    validation is due, after it, so that it is neither lost nor counted twice.
    """

    def __init__(self, path: Path, *, every: int, interrupted: threading.Event) -> None:
        self.path, self.every, self.interrupted = path, every, interrupted
        self._saved = self._whole = False

    def on_train_batch_start(self, *_: Any) -> None:
        self._saved = self._whole = False

    def on_train_batch_end(
        self, trainer: lightning.Trainer, _task: Any, _out: Any, _batch: Any, index: int
    ) -> None:
        self._whole = not (trainer.should_stop or (index + 1) % trainer.val_check_interval == 0)
        if self._whole and (index + 1) % self.every == 0:
            self._save(trainer)
        self._obey(trainer)

    def on_validation_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        self._obey(trainer)

    def on_validation_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        self._whole = True
        self._save(trainer)

    def on_exception(self, trainer: lightning.Trainer, *_: Any) -> None:
        alone = trainer.world_size == 1  # the others may be elsewhere, and saving waits for them
        if self._whole and not self._saved and (alone or self.interrupted.is_set()):
            self._save(trainer)

    def _obey(self, trainer: lightning.Trainer) -> None:
        """Stop if one was asked to; several processes do so at the same step."""
        asked = self.interrupted.is_set()
        if trainer.world_size > 1:
            asked = trainer.strategy.reduce_boolean_decision(asked, all=False)
        if asked:
            self.interrupted.set()
            raise KeyboardInterrupt

    def _save(self, trainer: lightning.Trainer) -> None:
        trainer.save_checkpoint(self.path)
        self._saved = True


class Watch(Callback):
    """For the person who waits: speed, and for each validation a line, a row and a grid to look at."""

    PICTURES = 12

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._since: tuple[float, int] | None = None
        self._shown: list[np.ndarray] = []
        self._sums: dict[str, Tensor] = {}
        self._steps = 0
        self._told = 0

    def on_train_start(self, trainer: lightning.Trainer, task: Any) -> None:
        """Forget the rows that a killed run wrote after its last checkpoint: they come again."""
        path = self.folder / "metrics.csv"
        if path.is_file() and trainer.is_global_zero:
            header, *rows = path.read_text().splitlines(keepends=True)
            kept = [row for row in rows if int(row.split(",")[0]) <= task.pictures_seen]
            write_atomically(path, "".join([header, *kept]).encode())

    def on_train_batch_end(
        self, _trainer: lightning.Trainer, task: Any, logged: Any, *_: Any
    ) -> None:
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
                gray = cv2.cvtColor(cv2.cvtColor(truth, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
                self._shown.append(np.hstack([gray, picture, truth]))

    def on_validation_end(self, trainer: lightning.Trainer, task: Any) -> None:
        self._since = None  # the time of validating is not the time of training
        self._tell_skipped(trainer)
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
        told = ", ".join(f"{name} {value:.4g}" for name, value in validated.items())
        _log.info("%d pictures: %s", task.pictures_seen, told)

    def _tell_skipped(self, trainer: lightning.Trainer) -> None:
        """Name the pictures that any of the processes skipped."""
        skipped = trainer.datamodule.skipped  # type: ignore[attr-defined]
        if trainer.world_size > 1:
            everyone: list[Any] = [None] * trainer.world_size
            torch.distributed.all_gather_object(everyone, (skipped.reasons, skipped.corrupt))
            for reasons, corrupt in everyone:
                skipped.reasons |= reasons
                skipped.corrupt |= corrupt
        if trainer.is_global_zero and len(skipped.reasons) > self._told:
            self._told = len(skipped.reasons)
            rows = "".join(
                f"{quote(name)}\t{quote(why)}\n" for name, why in sorted(skipped.reasons.items())
            )
            write_atomically(self.folder / "skipped.tsv", rows.encode())
            _log.info("%d pictures skipped so far: %s; see skipped.tsv", self._told, skipped)

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
                logger.experiment.add_image(
                    "gray | predicted | true", grid, pictures_seen, dataformats="HWC"
                )

    def state_dict(self) -> dict[str, Any]:
        return {"sums": self._sums, "steps": self._steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._sums, self._steps = state_dict["sums"], state_dict["steps"]
