"""``FollowHints``: a trained network learns to follow color hints."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from colorizenet.errors import ConfigError, quote
from colorizenet.training.data.augment import Sample, to_network
from colorizenet.training.data.conditions import CONDITIONS, Condition
from colorizenet.training.data.hints import Hints, paint_hints, simulate_hints
from colorizenet.training.losses.combined import LossConfig, reduce_to
from colorizenet.training.networks.base import Network
from colorizenet.training.networks.encoder_unet import EncoderUNet
from colorizenet.training.tasks.base import Task
from colorizenet.training.tasks.optim import OptimConfig

__all__ = ["FollowHints", "HintsConfig"]

_INPUTS = ("lightness", "hints")
_VALIDATED = 10
"""Number of random hints in each picture of the validation with hints."""
_VALIDATED_SIDE = 1 / 40
"""Their side as a share of the short side."""


def _leave_out(
    lightness: Float[Tensor, "b 1 h w"], _ab: Tensor | None, _generator: torch.Generator
) -> Float[Tensor, "b 3 h w"]:
    """No hints: the task draws them, once it knows what the network predicts
    without."""
    return lightness.new_zeros(len(lightness), 3, *lightness.shape[2:])


_CONDITIONS: Mapping[str, Condition] = MappingProxyType(
    {**CONDITIONS, "hints": Condition(3, _leave_out)}
)


@dataclass(frozen=True, kw_only=True)
class HintsConfig:
    """Color hints, simulated on the pictures that a trained network predicts."""

    kind: ClassVar = "hints"
    implausible: float = 0.3
    """Share of pictures with a region whose wanted color is not the true one. The
    network then also obeys where a color is unlikely."""
    lambda_hints: float = 0.1
    """Weight of the pixel loss at the hints, in addition to that of the picture."""

    def __post_init__(self) -> None:
        if not 0 <= self.implausible <= 1:
            raise ConfigError(
                f"task.implausible is {self.implausible}; give a share from 0 to 1, for example 0.3"
            )
        if self.lambda_hints < 0:
            raise ConfigError(
                f"task.lambda-hints is {self.lambda_hints}; give a weight of at least 0"
            )

    def build(
        self, network: Network, loss: LossConfig, optim: OptimConfig, **settings: Any
    ) -> "FollowHints":
        """Build the task; ``settings`` are the keyword arguments of ``Task``."""
        return FollowHints(network, self, loss, optim, **settings)


class FollowHints(Task):
    """Train the part of a network that follows hints; the rest stays as it is.

    So its predictions without hints stay those of the initial network, bit for bit, and
    every picture can have hints. Half of the hints are where the prediction without
    hints is most wrong, because that is where users click.
    """

    monitor = "val/ciede2000_hints"

    def __init__(
        self,
        network: Network,
        config: HintsConfig,
        loss: LossConfig,
        optim: OptimConfig,
        **settings: Any,
    ) -> None:
        settings.setdefault("conditions", _CONDITIONS)
        super().__init__(network, loss, optim, **settings)
        self.config = config
        if self.inputs != _INPUTS:
            raise ConfigError(
                f"inputs is {quote(' '.join(self.inputs))}; give lightness hints, which this task "
                "trains with"
            )
        if optim.freeze != "all-but-hints":
            raise ConfigError(
                f"optim.freeze is {optim.freeze}; give all-but-hints, so that predictions "
                "without hints stay as they are"
            )

    def training_losses(self, sample: Sample) -> dict[str, Float[Tensor, ""]]:
        """Draw hints, and compute the weighted loss terms of what the network makes of
        them."""
        network, lightness = self.network, sample.condition[:, :1]
        assert isinstance(network, EncoderUNet)  # no other has a part that follows hints
        with torch.no_grad():
            features = network.features(
                sample.condition.contiguous(memory_format=torch.channels_last)
            )
            automatic = network.decode(features)
        key = f"{self.seed} {self.pictures_seen} {self.global_rank} hints"
        drawn = simulate_hints(
            sample.lightness,
            sample.ab,
            automatic,
            torch.Generator().manual_seed(zlib.crc32(key.encode())),
            implausible=self.config.implausible,
        )
        condition = torch.cat([lightness, drawn.planes], dim=1)
        predicted = network.follow_hints(condition, features, automatic).float()
        terms = self.losses(predicted, sample._replace(condition=condition, ab=drawn.ab))
        coverage, *_ = covered = reduce_to(predicted, drawn.planes).split((1, 2), dim=1)
        at_hints = self.losses.pixel_loss(predicted * coverage, covered[1]) / coverage.mean()
        return {**terms, "hints": self.config.lambda_hints * at_hints}

    def validate(
        self,
        batch: UInt8[Tensor, "b h w 3"],
        grays: UInt8[np.ndarray, "b h w"],
        condition: Float[Tensor, "b c h w"],
        index: int,
    ) -> UInt8[Tensor, "b h w 3"]:
        """Measure without hints, then with ten random ones of the true colors."""
        super().validate(batch, grays, condition, index)
        _, ab = to_network(batch)
        generator = torch.Generator().manual_seed(index)
        y, x = torch.rand(2, len(batch), _VALIDATED, generator=generator)
        side = torch.full_like(y, _VALIDATED_SIDE * min(batch.shape[1:3]))
        planes = paint_hints(Hints(y, x, side, torch.ones_like(y, dtype=torch.bool)), ab)
        hinted = torch.cat([condition[:, :1], planes], dim=1)
        colored, means = self.measure(batch, grays, hinted, index)
        self.log_validation(
            {f"{name}_hints": means[name] for name in ("ciede2000", "psnr", "colorfulness")},
            len(batch),
        )
        return colored
