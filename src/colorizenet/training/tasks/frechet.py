"""``Frechet``: lower the Fréchet distance of predicted to true pictures."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from colorizenet.errors import ConfigError, check_minimum
from colorizenet.training.data.augment import Sample, to_pixels
from colorizenet.training.losses.combined import LossConfig
from colorizenet.training.losses.frechet import RunningFrechet
from colorizenet.training.networks.base import Network
from colorizenet.training.networks.frozen_features import FeaturesConfig, PooledFeatures
from colorizenet.training.tasks.base import sum_losses
from colorizenet.training.tasks.optim import OptimConfig, build_optimizer, build_schedulers
from colorizenet.training.tasks.scored import ScoredTask

__all__ = ["Frechet", "FrechetConfig"]


@dataclass(frozen=True, kw_only=True)
class FrechetConfig:
    """A Fréchet distance in features of a frozen network in addition to ``loss``."""

    kind: ClassVar = "frechet"
    lambda_frechet: float = 0.1
    """Weight of the Fréchet distance, divided by the variance of the true features,
    against the losses of ``loss``. Higher gives livelier and less accurate colors."""
    dimensions: int = 192
    """Number of principal components of the features that are compared."""
    basis_pictures: int = 2_000
    """Pictures from which the principal components are computed, before training
    starts."""
    moment_pictures: int = 1_000
    """Further pictures from which the first moments are computed."""
    memory: int = 2_000
    """Number of pictures over which the moments are averaged, exponentially."""
    features: FeaturesConfig = field(default_factory=FeaturesConfig)

    def __post_init__(self) -> None:
        check_minimum(0, "task", self, "lambda_frechet")
        names = ("dimensions", "basis_pictures", "moment_pictures", "memory")
        check_minimum(1, "task", self, *names)

    def build(
        self, network: Network, loss: LossConfig, optim: OptimConfig, **settings: Any
    ) -> "Frechet":
        """Build the task; ``settings`` are the keyword arguments of ``Task``."""
        return Frechet(network, self, loss, optim, **settings)


class Frechet(ScoredTask):
    """Losses on pixels, and a Fréchet distance as a loss (Yang et al. 2026).

    The first pictures only collect moments; the network is trained from then on.
    """

    def __init__(
        self,
        network: Network,
        config: FrechetConfig,
        loss: LossConfig,
        optim: OptimConfig,
        **settings: Any,
    ) -> None:
        super().__init__(network, loss, optim, **settings)
        self.config = config
        self.extract = PooledFeatures(config.features)
        self.frechet = RunningFrechet(
            self.extract.width,
            dimensions=config.dimensions,
            basis_pictures=config.basis_pictures,
            moment_pictures=config.moment_pictures,
            memory=config.memory,
        )

    def training_losses(self, sample: Sample) -> dict[str, Float[Tensor, ""]]:
        """Compute the weighted loss terms of the prediction and of the moments."""
        predicted = self.predict(sample.condition)
        features = self._compute_features(sample, predicted)
        with torch.autocast(self.device.type, enabled=False):  # moments need float32
            distance = self.frechet(*features)
        return {"frechet": self.config.lambda_frechet * distance, **self.losses(predicted, sample)}

    def optimize(self, sample: Sample) -> dict[str, Tensor]:
        """Take one step of the network, or collect moments as long as too few are
        known."""
        if not self.frechet.is_ready:
            return self._collect(sample)
        return super().optimize(sample)

    @torch.no_grad()
    def _collect(self, sample: Sample) -> dict[str, Tensor]:
        self.train_network(False)
        predicted = self.predict(sample.condition)
        self.train_network()
        features = self._compute_features(sample, predicted)
        with torch.autocast(self.device.type, enabled=False):
            self.frechet.collect(*features)
        zero = predicted.new_zeros(())
        terms = {"frechet": zero, **self.losses(predicted, sample)}
        return {"loss": sum_losses(terms), **terms, "gradient_norm": zero}

    def _compute_features(self, sample: Sample, predicted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features of the predicted, the true and the gray pictures."""
        with torch.no_grad():
            known = torch.cat([sample.ab, torch.zeros_like(sample.ab)])
            real, gray = self.extract(to_pixels(sample.lightness.repeat(2, 1, 1, 1), known)).chunk(
                2
            )
        return self.extract(to_pixels(sample.lightness, predicted)), real, gray

    def configure_optimizers(self) -> Any:
        """AdamW, whose schedule starts with the first step of the network."""
        optimizer = build_optimizer(self.network, self.optim)
        start = self.config.basis_pictures + self.config.moment_pictures
        return [optimizer], build_schedulers(
            optimizer, self.optim, pictures=self.pictures, start=start
        )

    def on_fit_start(self) -> None:
        """Report missing weights, and a run too short, before the first step."""
        super().on_fit_start()
        collected = self.config.basis_pictures + self.config.moment_pictures
        if self.pictures <= collected:
            raise ConfigError(
                f"pictures is {self.pictures}, and the first {collected} only collect statistics; "
                "give more pictures, or a smaller task.basis-pictures and task.moment-pictures"
            )
        self.extract.load_weights()
        if self.trainer.world_size > 1:
            self.frechet.gather = self._gather

    def _gather(self, vectors: Tensor) -> Tensor:
        """The vectors of all processes, which count their pictures together."""
        gathered: Any = self.all_gather(vectors)
        return gathered.flatten(0, 1)
