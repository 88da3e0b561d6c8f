"""``Regression``: predict the color of each pixel."""

from dataclasses import dataclass
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor

from colorizenet.training.data.augment import Sample
from colorizenet.training.losses.combined import LossConfig
from colorizenet.training.networks.base import Network
from colorizenet.training.tasks.base import Task
from colorizenet.training.tasks.optim import OptimConfig

__all__ = ["Regression", "RegressionConfig"]


@dataclass(frozen=True, kw_only=True)
class RegressionConfig:
    """Predict the color of each pixel."""

    kind: ClassVar = "regression"

    def build(
        self, network: Network, loss: LossConfig, optim: OptimConfig, **settings: Any
    ) -> "Regression":
        """Build the task; ``settings`` are the keyword arguments of ``Task``."""
        return Regression(network, loss, optim, **settings)


class Regression(Task):
    """Minimize the difference of each pixel's color (Zhang et al. 2016, section 2)."""

    def training_losses(self, sample: Sample) -> dict[str, Float[Tensor, ""]]:
        """Compute the weighted loss terms of the prediction."""
        return self.losses(self.predict(sample.condition), sample)
