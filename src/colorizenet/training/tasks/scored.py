"""``ScoredTask``: a task whose best weights have the lowest Fréchet distance."""

from typing import Any

from jaxtyping import UInt8
from torch import Tensor

from colorizenet.errors import ConfigError
from colorizenet.evaluation import metrics
from colorizenet.training.losses.combined import LossConfig
from colorizenet.training.metrics import FrechetMetric, build_set_metrics
from colorizenet.training.networks.base import Network
from colorizenet.training.tasks.base import Task
from colorizenet.training.tasks.optim import OptimConfig

__all__ = ["ScoredTask"]

_FRECHET = "frechet_efficientnet_lite0"


class ScoredTask(Task):
    """A task that makes pictures realistic, at some cost in accuracy.

    Losses do not show which of its weights are best. So the best weights have the
    lowest Fréchet distance, times one plus the relative error of the mean colorfulness.
    """

    monitor = "val/score"
    min_val_photos = 2  # a Fréchet distance compares covariances

    def __init__(
        self, network: Network, loss: LossConfig, optim: OptimConfig, **settings: Any
    ) -> None:
        super().__init__(network, loss, optim, **settings)
        if optim.schedule == "plateau":
            raise ConfigError(
                "optim.schedule is plateau, which waits for a loss to stop falling, and "
                "adversarial losses do not fall; use cosine"
            )
        self._frechet: FrechetMetric | None = None

    def on_fit_start(self) -> None:
        """Report missing weights before the first step."""
        super().on_fit_start()
        build_set_metrics([_FRECHET])

    def on_validation_epoch_start(self) -> None:
        """Begin a new Fréchet distance."""
        self._frechet = build_set_metrics([_FRECHET], device=str(self.device))[_FRECHET]

    def validation_step(
        self, batch: UInt8[Tensor, "b h w 3"], index: int
    ) -> UInt8[Tensor, "b h w 3"]:
        """Add the batch to the Fréchet distance, and log the true colorfulness."""
        colored = super().validation_step(batch, index)
        photos = batch.cpu().numpy()
        assert self._frechet is not None
        self._frechet.add("predicted", colored.numpy())
        self._frechet.add("true", photos)
        colorfulness = sum(metrics.colorfulness(photo) for photo in photos) / len(photos)
        self.log_validation({"colorfulness_true": colorfulness}, len(batch))
        return colored

    def on_validation_epoch_end(self) -> None:
        """Log the Fréchet distance and the score that selects the best weights."""
        super().on_validation_epoch_end()
        assert self._frechet is not None
        frechet = self._frechet.distance("predicted", "true")
        logged = self.trainer.callback_metrics
        true = float(logged["val/colorfulness_true"])
        error = abs(float(logged["val/colorfulness"]) - true) / max(true, 1e-6)  # 0 for grays
        self.log_dict({"val/frechet": frechet, "val/score": frechet * (1 + error)}, sync_dist=True)
        self._frechet = None
