"""``FollowHints``: a trained network learns where color hints spread."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from colorizenet.errors import ConfigError, check_minimum
from colorizenet.training.data.augment import Sample, to_network
from colorizenet.training.data.hints import Hints, average_colors, simulate_hints
from colorizenet.training.losses.combined import LossConfig, reduce_to
from colorizenet.training.networks.base import Network
from colorizenet.training.networks.encoder_unet import EncoderUNet
from colorizenet.training.networks.similarity import spread_residuals
from colorizenet.training.tasks.base import Task
from colorizenet.training.tasks.optim import OptimConfig

__all__ = ["FollowHints", "HintsConfig"]

_VALIDATED = 10
"""Number of random hints in each picture of the validation with hints."""
_VALIDATED_SIDE = 1 / 40
"""Their side as a share of the short side."""


@dataclass(frozen=True, kw_only=True)
class HintsConfig:
    """Color hints, simulated on the pictures that a trained network predicts."""

    kind: ClassVar = "hints"
    implausible: float = 0.3
    """Share of pictures with a region whose wanted color is not the true one. The
    network then also obeys where a color is unlikely."""
    lambda_leak: float = 0.5
    """Weight of the change of chroma outside of such a region."""

    def __post_init__(self) -> None:
        if not 0 <= self.implausible <= 1:
            raise ConfigError(
                f"task.implausible is {self.implausible}; give a share from 0 to 1, for example 0.3"
            )
        check_minimum(0, "task", self, "lambda_leak")

    def build(
        self, network: Network, loss: LossConfig, optim: OptimConfig, **settings: Any
    ) -> "FollowHints":
        """Build the task; ``settings`` are the keyword arguments of ``Task``."""
        return FollowHints(network, self, loss, optim, **settings)


class FollowHints(Task):
    """Train the part of a network that says where hints spread; the rest stays as it
    is.

    So its predictions without hints stay those of the initial network, bit for bit. The
    residuals at simulated hints are spread by a Gaussian process, whose kernel is
    trained (deep kernel learning: Wilson et al. 2016, arXiv:1511.02222). Half of the
    hints are where the prediction without hints is most wrong, because that is where
    users click.
    """

    monitor = "val/ciede2000_hints"
    network: EncoderUNet  # type: ignore[assignment]

    def __init__(
        self,
        network: Network,
        config: HintsConfig,
        loss: LossConfig,
        optim: OptimConfig,
        **settings: Any,
    ) -> None:
        if not isinstance(network, EncoderUNet) or network.similarity is None:
            raise ConfigError(
                "the task hints trains network.similarity, which this network has not; choose "
                "encoder_unet with network.similarity 16"
            )
        super().__init__(network, loss, optim, **settings)
        self.config = config
        if optim.freeze != "all-but-similarity":
            raise ConfigError(
                f"optim.freeze is {optim.freeze}; give all-but-similarity, so that predictions "
                "without hints stay as they are"
            )

    def training_losses(self, sample: Sample) -> dict[str, Float[Tensor, ""]]:
        """Draw hints, and compute the weighted loss terms of what follows from them."""
        automatic, similarity = self._predict(sample.condition)
        with torch.autocast(self.device.type, enabled=False):
            return self._losses(sample, automatic, similarity)

    def _losses(
        self, sample: Sample, automatic: Tensor, similarity: Tensor
    ) -> dict[str, Float[Tensor, ""]]:
        """The loss terms, in float32: distances between places would cancel."""
        drawn = simulate_hints(
            sample.lightness,
            sample.ab,
            automatic,
            torch.Generator().manual_seed(self.seed_batch("hints")),
            implausible=self.config.implausible,
        )
        change = _spread(automatic, similarity, drawn.hints, drawn.colors)
        terms = self.losses(automatic + change, sample._replace(ab=drawn.ab))
        changed = drawn.region.any(dim=(1, 2)).float()[:, None, None]
        outside = changed * (1 - reduce_to(change, drawn.region[:, None].float())[:, 0])
        leak = ((change.square().sum(1) + 1e-8).sqrt() * outside).mean()
        return {**terms, "leak": self.config.lambda_leak * leak}

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
        hints = Hints(y, x, side, torch.ones_like(y, dtype=torch.bool))
        automatic, similarity = self._predict(condition)
        with torch.autocast(self.device.type, enabled=False):
            change = _spread(automatic, similarity, hints, average_colors(hints, ab))
        colored, means = self.measure_chroma(automatic + change, batch, grays)
        self.log_validation(
            {f"{name}_hints": means[name] for name in ("ciede2000", "psnr", "colorfulness")},
            len(batch),
        )
        return colored

    def _predict(
        self, condition: Float[Tensor, "b 1 h w"]
    ) -> tuple[Float[Tensor, "b 2 h2 w2"], Float[Tensor, "b _n h2 w2"]]:
        """Predict chroma without hints, and what is similar."""
        automatic, similarity = self.network.predict_similarity(
            condition.contiguous(memory_format=torch.channels_last)
        )
        return automatic.float(), similarity.float()


def _spread(
    automatic: Float[Tensor, "b 2 h w"],
    similarity: Float[Tensor, "b c h w"],
    hints: Hints,
    colors: Float[Tensor, "b k 2"],
) -> Float[Tensor, "b 2 h w"]:
    places = torch.stack([hints.x, hints.y], dim=-1).to(automatic)
    return spread_residuals(
        automatic, similarity, places, colors, hints.present.to(automatic.device)
    )
