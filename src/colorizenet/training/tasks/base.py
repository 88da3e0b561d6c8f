"""``Task``: composed of a network, its losses and an optimizer."""

import math
import zlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol, cast, runtime_checkable

import lightning
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from colorizenet import color
from colorizenet.errors import ConfigError
from colorizenet.modelfile import Input
from colorizenet.training.data.augment import AugmentConfig, Sample, augment_batch, to_network
from colorizenet.training.data.conditions import CONDITIONS, Condition, render_condition
from colorizenet.training.losses.combined import LossConfig, Losses, reduce_to
from colorizenet.training.networks.base import Network
from colorizenet.training.tasks.optim import (
    OptimConfig,
    Scheduler,
    build_optimizer,
    build_schedulers,
    find_frozen,
)
from colorizenet.training.tasks.validation import color_pictures, make_gray, measure_pictures

__all__ = ["ExportedNetwork", "Task", "TaskConfig", "sum_losses"]

_MAX_LEFT_OUT = 20
"""Steps in a row that may be left out because their gradient is not finite."""


class ExportedNetwork(nn.Module):
    """A network whose inputs are tensors of their own instead of one condition."""

    def __init__(self, network: nn.Module, inputs: Sequence[str]) -> None:
        super().__init__()
        self.network, self.inputs = network, tuple(inputs)

    def forward(self, *planes: Tensor, **named: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Predict ab from the inputs, given in the order of ``inputs`` or by name; and
        what is similar, if the network says it."""
        ordered = [*planes, *(named[name] for name in self.inputs[len(planes) :])]
        condition = torch.cat(ordered, dim=1) if len(ordered) > 1 else ordered[0]
        return getattr(self.network, "infer", self.network)(condition)


class Task(lightning.LightningModule, ABC):
    """What all tasks share: counting pictures, augmentation, optimizers, validation.

    A training batch is ``(b, h, w, 3)`` uint8 sRGB. The run stops after ``pictures``
    pictures, counted over all processes. ``inputs`` are the names of the network's
    inputs, of which ``conditions`` renders the condition.
    """

    monitor: ClassVar[str] = "val/loss"
    """Name of the validation metric that is lowest for the best weights."""
    min_val_photos: ClassVar[int] = 1
    """Number of validation photos that its metrics need."""
    random_inputs: ClassVar[tuple[Input, ...]] = ()
    """Inputs of the exported module in addition to ``inputs``: of random numbers."""
    trains_all_parameters: ClassVar[bool] = True
    """Whether each backward pass reaches every trained parameter, as DDP expects."""
    network: nn.Module
    """The network that is validated and exported."""

    def __init__(
        self,
        network: Network | nn.Module,
        loss: LossConfig,
        optim: OptimConfig,
        *,
        pictures: int,
        inputs: Sequence[str] = ("lightness",),
        augment: AugmentConfig | None = None,
        seed: int = 0,
        conditions: Mapping[str, Condition] | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        assert isinstance(network, nn.Module)
        self.network, self.losses, self.optim = network, Losses(loss), optim
        for part in find_frozen(network, optim.freeze):
            part.requires_grad_(False)
        self.pictures, self.inputs, self.seed = pictures, tuple(inputs), seed
        self.augmentation = augment or AugmentConfig()
        self.conditions = dict(conditions or CONDITIONS)
        self.pictures_seen = 0
        self._left_out: Counter[nn.Module] = Counter()
        self._statistics: list[Tensor] = []
        self._statistics_before: list[Tensor] = []

    @property
    def initial_network(self) -> nn.Module:
        """The network that starts from the weights of another run or a model."""
        return self.network

    @abstractmethod
    def training_losses(self, sample: Sample) -> dict[str, Float[Tensor, ""]]:
        """Compute the weighted loss terms, by name. The network minimizes their sum."""

    def optimize(self, sample: Sample) -> dict[str, Tensor]:
        """Take one training step, with one optimizer unless this is overridden.

        Returns what to log, by the same names each time.
        """
        terms = self.training_losses(sample)
        loss = sum_losses(terms)
        [optimizer] = self.list_optimizers()
        norm = self.update(optimizer, loss, self.network)
        return {"loss": loss, **terms, "gradient_norm": norm}

    def sample(
        self, condition: Float[Tensor, "b c h w"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "b 2 h2 w2"]:
        """Predict ab as validation measures it; ``generator`` is for random tasks."""
        return self.predict(condition)

    def exported(self) -> nn.Module:
        """The module to export: takes each input as its own tensor and returns ab."""
        return ExportedNetwork(self.network, self.inputs)

    def predict(self, condition: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 2 h2 w2"]:
        """Run the network. Returns float32, under autocast as well."""
        return self.network(condition.contiguous(memory_format=torch.channels_last)).float()

    # Training

    def train(self, mode: bool = True) -> Any:
        """Switch to training or evaluation. Frozen parts stay in evaluation."""
        super().train(mode)
        self.train_network(mode)
        return self

    def train_network(self, mode: bool = True) -> None:
        """Switch the network alone, as ``train`` does."""
        self.network.train(mode)
        if self.optim.freeze != "none":
            for part in find_frozen(self.network, self.optim.freeze):
                part.eval()
            for module in self.network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()

    def on_fit_start(self) -> None:
        """Report missing weights before the first step."""
        self.losses.load_weights()

    def on_train_start(self) -> None:
        """Apply the learning rates of this run's length; end a finished run at once."""
        self.train()  # Lightning starts with the modes of a new module, whatever is frozen
        self._statistics = [
            buffer
            for module in self.modules()
            if isinstance(module, nn.BatchNorm2d)
            for buffer in module.buffers()
        ]
        if self.pictures_seen:
            self._apply_settings()
        self.step_schedulers()
        self._stop_if_finished()

    def training_step(self, batch: UInt8[Tensor, "b h w 3"], _index: int) -> dict[str, Tensor]:
        """Augment a batch, take one step, count its pictures, and log."""
        sample = augment_batch(
            batch,
            self.augmentation,
            self.seed_batch(),
            inputs=self.inputs,
            conditions=self.conditions,
        )
        self._statistics_before = [buffer.clone() for buffer in self._statistics]
        logged = self.optimize(sample)
        self.log("learning_rate", self.list_optimizers()[0].param_groups[0]["lr"])
        self.pictures_seen += len(batch) * self.trainer.world_size
        self.step_schedulers()
        values = {f"train/{name}": value.detach() for name, value in logged.items()}
        self.log_dict(values)
        self._stop_if_finished()
        return values

    def seed_batch(self, *purpose: str) -> int:
        """The seed of the random numbers that a training step needs for a purpose.

        Each batch of each process has its own, the same in a resumed run.
        """
        key = " ".join([f"{self.seed} {self.pictures_seen} {self.global_rank}", *purpose])
        return zlib.crc32(key.encode())

    def update(
        self, optimizer: torch.optim.Optimizer, loss: Float[Tensor, ""], network: nn.Module
    ) -> Float[Tensor, ""]:
        """Minimize a loss by one step. Returns the gradient norm before clipping.

        A step whose gradient is not finite is left out, because it would end the run:
        all weights would be NaN. The statistics of BatchNorm become those from before
        it, because one infinite activation makes them NaN for good. Raises ConfigError
        after many such steps in a row.
        """
        optimizer.zero_grad()
        self.manual_backward(loss)
        norm = nn.utils.clip_grad_norm_(network.parameters(), self.optim.clip or math.inf)
        if torch.isfinite(norm):
            self._left_out[network] = 0
            optimizer.step()
        else:
            self._left_out[network] += 1
            for buffer, before in zip(self._statistics, self._statistics_before, strict=True):
                buffer.copy_(before)
        if self._left_out[network] >= _MAX_LEFT_OUT:
            raise ConfigError(
                f"the gradient was not finite in {_MAX_LEFT_OUT} steps in a row, the last after "
                f"{self.pictures_seen} pictures; resume from last.ckpt or start again, with a "
                "smaller optim.lr or precision 32-true"
            )
        return norm

    def _stop_if_finished(self) -> None:
        if self.pictures_seen >= self.pictures:
            self.trainer.should_stop = True

    # Optimizers and learning rates

    def configure_optimizers(self) -> Any:
        """AdamW with the schedule of ``optim``."""
        optimizer = build_optimizer(self.network, self.optim)
        return [optimizer], build_schedulers(optimizer, self.optim, pictures=self.pictures)

    def _apply_settings(self) -> None:
        """Give restored optimizers and schedulers the settings of this run.

        A checkpoint holds those of the run before. A learning rate that a plateau has
        reduced stays reduced as much.
        """
        optimizers, schedulers = self.configure_optimizers()
        for optimizer, new in zip(self.list_optimizers(), optimizers, strict=True):
            for group, settings in zip(optimizer.param_groups, new.param_groups, strict=True):
                lr, peak, new_peak = group["lr"], group["initial_lr"], settings["initial_lr"]
                if peak != new_peak:
                    lr = new_peak * (lr / peak if peak else 1.0)
                group.update(settings | {"params": group["params"], "lr": lr})
        for scheduler, new in zip(self.list_schedulers(), schedulers, strict=True):
            if isinstance(scheduler, ReduceLROnPlateau):
                scheduler.patience, scheduler.factor = new.patience, new.factor
                if self.trainer.datamodule.val_changed:  # type: ignore[attr-defined]
                    scheduler.best, scheduler.num_bad_epochs = math.inf, 0
            else:
                scheduler.base_lrs = new.base_lrs

    def list_optimizers(self) -> list[torch.optim.Optimizer]:
        """The optimizers in the order of ``configure_optimizers``."""
        optimizers = self.optimizers()
        listed = optimizers if isinstance(optimizers, list) else [optimizers]
        return cast(list[torch.optim.Optimizer], listed)

    def list_schedulers(self) -> list[Scheduler]:
        """The learning rate schedulers in the order of ``configure_optimizers``."""
        schedulers = self.lr_schedulers() or []
        listed = schedulers if isinstance(schedulers, list) else [schedulers]
        return cast(list[Scheduler], listed)

    def step_schedulers(self, val_loss: float | None = None) -> None:
        """Set the learning rates of the next step, by pictures seen or validation loss.

        Called without a loss after each training step, with one after each validation.
        """
        plateau, warmup = self.optim.schedule == "plateau", self.optim.warmup
        for scheduler in self.list_schedulers():
            if isinstance(scheduler, ReduceLROnPlateau):
                if val_loss is not None and self.pictures_seen >= warmup:
                    scheduler.step(val_loss)
            elif val_loss is None and scheduler.optimizer.state:  # empty before the first step
                if not plateau:
                    scheduler.step_to(self.pictures_seen)
                elif scheduler.last_epoch < warmup:
                    scheduler.step_to(min(self.pictures_seen, warmup))

    # Validation

    def validation_step(
        self, batch: UInt8[Tensor, "b h w 3"], index: int
    ) -> UInt8[Tensor, "b h _width 3"]:
        """Colorize photos from their lightness and log the mean of each metric."""
        grays = np.stack([make_gray(photo) for photo in batch.cpu().numpy()])
        lightness = np.stack([color.normalize_l(color.lightness(gray)) for gray in grays])
        condition = render_condition(
            self.inputs,
            torch.from_numpy(lightness)[:, None].to(batch.device),
            None,
            index,
            conditions=self.conditions,
        )
        return self.validate(batch, grays, condition, index)

    def validate(
        self,
        batch: UInt8[Tensor, "b h w 3"],
        grays: UInt8[np.ndarray, "b h w"],
        condition: Float[Tensor, "b c h w"],
        index: int,
    ) -> UInt8[Tensor, "b h _width 3"]:
        """Colorize the gray photos of a batch and log the mean of each metric."""
        predicted = self.sample(condition, generator=torch.Generator().manual_seed(index))
        colored, means = self.measure_chroma(predicted, batch, grays)
        self.log_validation(means, len(batch))
        return colored

    def measure_chroma(
        self,
        predicted: Float[Tensor, "b 2 h2 w2"],
        batch: UInt8[Tensor, "b h w 3"],
        grays: UInt8[np.ndarray, "b h w"],
    ) -> tuple[UInt8[Tensor, "b h w 3"], dict[str, float]]:
        """Merge predicted chroma with gray photos, and compute the mean of each
        metric."""
        colored = color_pictures(grays, predicted)
        _, ab = to_network(batch)
        pixel_loss = self.losses.pixel_loss(predicted, reduce_to(predicted, ab))
        means = measure_pictures(colored, batch.cpu().numpy()) | {"loss": float(pixel_loss)}
        return torch.from_numpy(colored), means

    def log_validation(self, means: dict[str, float], pictures: int) -> None:
        """Log the means over the pictures of a validation batch."""
        values = {f"val/{name}": value for name, value in means.items()}
        self.log_dict(values, batch_size=pictures, sync_dist=True)

    def on_validation_epoch_end(self) -> None:
        """Pass the validation loss to the ``plateau`` schedule."""
        self.step_schedulers(float(self.trainer.callback_metrics["val/loss"]))

    # Checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the number of pictures seen."""
        checkpoint["pictures_seen"] = self.pictures_seen

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the number of pictures seen."""
        self.pictures_seen = checkpoint["pictures_seen"]


@runtime_checkable
class TaskConfig(Protocol):
    """A frozen dataclass with the settings of one kind of task."""

    kind: ClassVar[str]
    """The name of this kind in ``config.json``."""

    def build(
        self, network: Network, loss: LossConfig, optim: OptimConfig, **settings: Any
    ) -> Task:
        """Build the task; ``settings`` are the keyword arguments of ``Task``."""
        ...


def sum_losses(terms: dict[str, Float[Tensor, ""]]) -> Float[Tensor, ""]:
    """The sum of weighted loss terms."""
    return torch.stack(list(terms.values())).sum()
