"""What is learnt and how: one LightningModule each, with one training step that reads like its paper."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal, cast

import lightning
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from colorizenet import metrics
from colorizenet.errors import ConfigError
from colorizenet.training import augment, losses

__all__ = ["OptimConfig", "Regression", "RegressionConfig", "Task", "learning_rate_share"]


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """AdamW, with a warm-up and a way down."""

    lr: float = 1.5e-3
    """Peak learning rate, reached after ``warmup`` pictures."""
    encoder_lr: float = 3e-4
    """Peak learning rate of a pretrained encoder."""
    weight_decay: float = 0.01
    """Decoupled weight decay of AdamW."""
    warmup: int = 10_000
    """Pictures over which the learning rate rises to its peak."""
    schedule: Literal["cosine", "plateau"] = "cosine"
    """After it: half a cosine down to zero at the end of the run, or a step down whenever the
    validation loss has stopped falling."""
    plateau_patience: int = 2
    """``plateau``: step down when the validation loss has not fallen in more than so many validations."""
    plateau_factor: float = 0.3
    """``plateau``: by what a step down multiplies the learning rate."""
    clip: float = 1.0
    """Largest norm of the gradient; 0 for no limit."""

    def __post_init__(self) -> None:
        for name in ("lr", "encoder_lr", "weight_decay", "warmup", "clip", "plateau_patience"):
            if getattr(self, name) < 0:
                raise ConfigError(f"optim.{name} is {getattr(self, name)}; give a number of at least 0")
        if not 0 < self.plateau_factor < 1:
            raise ConfigError(f"optim.plateau-factor is {self.plateau_factor}; give a share between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class RegressionConfig:
    """Learning to predict the colour of each pixel."""

    loss: Literal["huber", "l1", "l2"] = "huber"
    """What counts as an error: squared when small and absolute when large, absolute, or squared."""
    corner: float = 10.0
    """Where ``huber`` turns from squared to absolute, in a*b* units."""

    def __post_init__(self) -> None:
        if self.corner <= 0:
            raise ConfigError(f"task.corner is {self.corner}; give a distance over 0 in a*b* units, say 10")


def learning_rate_share(pictures: int, *, warmup: int, total: int, schedule: str = "cosine") -> float:
    """The share of the peak learning rate after so many pictures: a line up, then half a cosine down to 0.

    On the way down ``plateau`` leaves it at the peak: it is the peak that it lowers.
    """
    if pictures < warmup:
        return pictures / warmup
    if schedule == "plateau":
        return 1.0
    done = min(1.0, (pictures - warmup) / max(1, total - warmup))
    return (1 + math.cos(math.pi * done)) / 2


class Task(lightning.LightningModule, ABC):
    """What all tasks share: counting in pictures, stepping an optimizer, validating.

    ``network`` is what is validated and exported: (N, 1, H, W) lightness to chroma of H x W or
    an even division of it, in network units.
    """

    network: nn.Module

    def __init__(self, optim: OptimConfig, *, pictures: int) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.optim, self.pictures = optim, pictures
        self.pictures_seen = 0

    @abstractmethod
    def learn(self, lightness: Float[Tensor, "b 1 h w"], ab: Float[Tensor, "b 2 h w"]) -> dict[str, Tensor]:
        """One training step; what it returns is logged."""

    @abstractmethod
    def error(self, predicted: Float[Tensor, "b 2 h w"], ab: Float[Tensor, "b 2 h w"]) -> Float[Tensor, ""]:
        """What validation minimizes."""

    def on_train_start(self) -> None:
        if self.pictures_seen >= self.pictures:  # a finished run that is resumed
            self.trainer.should_stop = True

    def training_step(self, batch: UInt8[Tensor, "b h w 3"], _index: int) -> dict[str, Tensor]:
        lightness, ab = augment.to_network(batch)
        logged = self.learn(lightness.contiguous(memory_format=torch.channels_last), ab)
        self.pictures_seen += len(batch) * self.trainer.world_size
        figures = {f"train/{name}": value.detach() for name, value in logged.items()}
        self.log_dict(figures)
        if self.pictures_seen >= self.pictures:
            self.trainer.should_stop = True
        return figures

    def validation_step(self, batch: UInt8[Tensor, "b h w 3"], _index: int) -> UInt8[Tensor, "b h w 3"]:
        lightness, ab = augment.to_network(batch)
        predicted = self.network(lightness.contiguous(memory_format=torch.channels_last)).float()
        shown = augment.to_rgb(lightness, predicted)
        pairs = list(zip(shown.cpu().numpy(), batch.cpu().numpy(), strict=True))
        mean = {
            "ciede2000": sum(metrics.ciede2000(*pair) for pair in pairs) / len(pairs),
            "psnr": sum(metrics.psnr(*pair) for pair in pairs) / len(pairs),
            "colorfulness": sum(metrics.colorfulness(picture) for picture, _ in pairs) / len(pairs),
        }
        target = F.interpolate(ab, size=predicted.shape[-2:], mode="area")
        mean["loss"] = float(self.error(predicted, target))
        self.log_dict({f"val/{name}": value for name, value in mean.items()}, batch_size=len(batch), sync_dist=True)
        return shown

    def update(self, network: nn.Module, loss: Float[Tensor, ""], optimizer: torch.optim.Optimizer) -> Tensor:
        """Let one network learn from a loss; its gradient's norm, before clipping, is returned."""
        share = learning_rate_share(
            self.pictures_seen, warmup=self.optim.warmup, total=self.pictures, schedule=self.optim.schedule
        )
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * share
        self.log("learning_rate", optimizer.param_groups[0]["lr"])
        optimizer.zero_grad()
        self.manual_backward(loss)
        norm = nn.utils.clip_grad_norm_(network.parameters(), self.optim.clip or math.inf)
        optimizer.step()
        return norm

    def on_validation_epoch_end(self) -> None:
        """Where the schedule is ``plateau``, lower the peak learning rate if the loss no longer falls."""
        scheduler = self.lr_schedulers()
        if not isinstance(scheduler, ReduceLROnPlateau) or self.pictures_seen < self.optim.warmup:
            return
        for group in scheduler.optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        scheduler.step(self.trainer.callback_metrics["val/loss"])
        for group in scheduler.optimizer.param_groups:
            group["initial_lr"] = group["lr"]

    def configure_optimizers(self) -> Any:
        encoder = getattr(self.network, "encoder", None)
        pretrained = list(encoder.parameters()) if isinstance(encoder, nn.Module) else []
        known = {id(parameter) for parameter in pretrained}
        fresh = [parameter for parameter in self.network.parameters() if id(parameter) not in known]
        groups = [
            {"params": parameters, "initial_lr": lr}
            for parameters, lr in ((fresh, self.optim.lr), (pretrained, self.optim.encoder_lr))
            if parameters
        ]
        optimizer = torch.optim.AdamW(groups, lr=self.optim.lr, weight_decay=self.optim.weight_decay)
        if self.optim.schedule == "cosine":
            return optimizer
        patience, factor = self.optim.plateau_patience, self.optim.plateau_factor
        return [optimizer], [ReduceLROnPlateau(optimizer, patience=patience, factor=factor)]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["pictures_seen"] = self.pictures_seen

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.pictures_seen = checkpoint["pictures_seen"]


class Regression(Task):
    """Predict each pixel's colour, and be as wrong as the loss says (Zhang et al. 2016, section 2)."""

    def __init__(self, network: nn.Module, config: RegressionConfig, optim: OptimConfig, *, pictures: int) -> None:
        super().__init__(optim, pictures=pictures)
        self.network, self.config = network, config

    def learn(self, lightness: Float[Tensor, "b 1 h w"], ab: Float[Tensor, "b 2 h w"]) -> dict[str, Tensor]:
        predicted = self.network(lightness).float()
        loss = self.error(predicted, F.interpolate(ab, size=predicted.shape[-2:], mode="area"))
        norm = self.update(self.network, loss, cast(torch.optim.Optimizer, self.optimizers()))
        return {"loss": loss, "gradient_norm": norm}

    def error(self, predicted: Float[Tensor, "b 2 h w"], ab: Float[Tensor, "b 2 h w"]) -> Float[Tensor, ""]:
        if self.config.loss == "huber":
            return losses.huber(predicted, ab, corner=self.config.corner)
        return {"l1": losses.l1, "l2": losses.l2}[self.config.loss](predicted, ab)
