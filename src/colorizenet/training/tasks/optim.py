"""``OptimConfig``, the optimizer of a network, its learning rate, and frozen weights.

Learning rates are functions of the number of pictures trained on, so the batch size is
free. ``Task.step_schedulers`` is the only place that changes them.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from colorizenet.errors import ConfigError, check_minimum

__all__ = [
    "OptimConfig",
    "PicturesLR",
    "Scheduler",
    "build_optimizer",
    "build_schedulers",
    "check_betas",
    "find_frozen",
    "freeze",
    "scale_learning_rate",
]

Schedule = Literal["cosine", "plateau"]


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """AdamW and its learning rate."""

    lr: float = 1.5e-3
    """Peak learning rate, reached after ``warmup`` pictures."""
    encoder_lr: float = 3e-4
    """Peak learning rate of a pretrained encoder."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay rates of AdamW's moments; 0.5 and 0.999 in adversarial training."""
    weight_decay: float = 0.01
    """Decoupled weight decay of AdamW."""
    warmup: int = 10_000
    """Number of pictures over which the learning rate rises linearly to its peak."""
    schedule: Schedule = "cosine"
    """After the warm-up: ``cosine`` falls to zero at the end of the run, ``plateau`` is
    reduced whenever the validation loss stops falling."""
    plateau_patience: int = 2
    """``plateau``: number of validations without a lower loss after which the next one
    without reduces the learning rate."""
    plateau_factor: float = 0.3
    """``plateau``: factor of each reduction."""
    clip: float = 1.0
    """Maximum norm of the gradient; 0 for no limit."""
    freeze: Literal["none", "encoder", "all-but-similarity"] = "none"
    """Parts of a trained network that keep their weights: the ``encoder``, or all but
    the part that says where hints spread (``similarity``). The statistics of every
    BatchNorm are kept as well."""

    def __post_init__(self) -> None:
        names = ("lr", "encoder_lr", "weight_decay", "warmup", "clip", "plateau_patience")
        check_minimum(0, "optim", self, *names)
        check_betas("optim.betas", self.betas)
        if not 0 < self.plateau_factor < 1:
            raise ConfigError(
                f"optim.plateau-factor is {self.plateau_factor}; give a factor between 0 and 1"
            )


def check_betas(name: str, betas: tuple[float, float]) -> None:
    """Raise ConfigError for decay rates of moments that no Adam takes."""
    if not all(0 <= beta < 1 for beta in betas):
        raise ConfigError(f"{name} is {' '.join(map(str, betas))}; give numbers from 0 to below 1")


class PicturesLR(LambdaLR):
    """A learning rate as a function of the number of pictures instead of steps.

    Its state in a checkpoint is that of one step for each picture. The function is not
    part of it, so that a run can be resumed with another length.
    """

    def step_to(self, pictures: int) -> None:
        """Set the learning rate for the step after so many pictures."""
        self.last_epoch, self._step_count = pictures - 1, pictures
        self.step()


Scheduler = PicturesLR | ReduceLROnPlateau


def scale_learning_rate(
    pictures: int, *, warmup: int, total: int, schedule: Schedule = "cosine"
) -> float:
    """Factor of the peak learning rate after ``pictures`` of ``total`` pictures, 0..1.

    Linear warm-up, then half a cosine down to 0, or 1 for ``plateau``. Negative
    numbers, before the network starts to train, count as 0.
    """
    pictures = max(0, pictures)
    if pictures < warmup:
        return pictures / warmup
    if schedule == "plateau":
        return 1.0
    progress = min(1.0, (pictures - warmup) / max(1, total - warmup))
    return (1 + math.cos(math.pi * progress)) / 2


def build_optimizer(network: nn.Module, optim: OptimConfig) -> torch.optim.Optimizer:
    """AdamW for a network, with another learning rate for its ``encoder``, if any.

    Frozen parts are left out.
    """
    encoder = getattr(network, "encoder", None)
    pretrained = list(encoder.parameters()) if isinstance(encoder, nn.Module) else []
    known = {id(parameter) for parameter in pretrained}
    fresh = [parameter for parameter in network.parameters() if id(parameter) not in known]
    frozen = {
        id(parameter)
        for part in find_frozen(network, optim.freeze)
        for parameter in part.parameters()
    }
    groups = [
        {"params": trained, "lr": lr}
        for parameters, lr in ((fresh, optim.lr), (pretrained, optim.encoder_lr))
        if (trained := [each for each in parameters if id(each) not in frozen])
    ]
    return torch.optim.AdamW(
        groups, lr=optim.lr, betas=optim.betas, weight_decay=optim.weight_decay
    )


def find_frozen(network: nn.Module, freeze: str) -> list[nn.Module]:
    """The parts of a network that keep their weights.

    Raises ConfigError where it lacks the part that ``freeze`` names.
    """
    if freeze == "none":
        return []
    named = "encoder" if freeze == "encoder" else "similarity"
    part = getattr(network, named, None)
    if not isinstance(part, nn.Module):
        raise ConfigError(
            f"optim.freeze is {freeze} and the network {type(network).__name__} has no {named}; "
            "use none, or a network with a pretrained encoder"
            f"{' and network.similarity 16' if named == 'similarity' else ''}"
        )
    return [part] if freeze == "encoder" else [x for x in network.children() if x is not part]


def build_schedulers(
    optimizer: torch.optim.Optimizer, optim: OptimConfig, *, pictures: int, start: int = 0
) -> list[Scheduler]:
    """Build the schedulers of an optimizer that steps from picture ``start`` on.

    With ``plateau`` there are two, one for the warm-up and one for the time after it.
    """

    def scale(seen: int) -> float:
        return scale_learning_rate(
            seen - start, warmup=optim.warmup, total=pictures - start, schedule=optim.schedule
        )

    schedulers: list[Scheduler] = [PicturesLR(optimizer, scale)]
    if optim.schedule == "plateau":
        patience, factor = optim.plateau_patience, optim.plateau_factor
        schedulers.append(ReduceLROnPlateau(optimizer, patience=patience, factor=factor))
    return schedulers


@contextmanager
def freeze(network: nn.Module) -> Iterator[None]:
    """Exclude the trained parameters of a network from the gradient."""
    trained = [each for each in network.parameters() if each.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
