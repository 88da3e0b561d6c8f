"""``ProjectedGAN``: adversarial fine-tuning on frozen features."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from colorizenet.errors import ConfigError, check_minimum
from colorizenet.training.data.augment import Sample, shift_and_cut, to_pixels
from colorizenet.training.losses import adversarial
from colorizenet.training.losses.combined import LossConfig
from colorizenet.training.networks.base import Network
from colorizenet.training.networks.frozen_features import FeaturesConfig
from colorizenet.training.networks.projected_discriminator import (
    ProjectedDiscriminator,
    ProjectedDiscriminatorConfig,
)
from colorizenet.training.tasks.base import sum_losses
from colorizenet.training.tasks.optim import (
    OptimConfig,
    PicturesLR,
    build_optimizer,
    build_schedulers,
    check_betas,
    freeze,
    scale_learning_rate,
)
from colorizenet.training.tasks.scored import ScoredTask

__all__ = ["ProjectedGAN", "ProjectedGANConfig"]

_log = logging.getLogger(__name__)

_ACCURACY_MEMORY = 128
"""Number of pictures over which the discriminator's accuracy is averaged."""
_MAX_RATIO = 1e4
"""Largest ratio of the two gradients (Esser et al. 2021)."""


@dataclass(frozen=True, kw_only=True)
class ProjectedGANConfig:
    """A discriminator on frozen features in addition to ``loss``."""

    kind: ClassVar = "projected_gan"
    lambda_gan: float = 0.5
    """Norm of the adversarial gradient at the network's last layer, relative to that of
    the losses of ``loss`` (Esser et al. 2021). Higher gives livelier and less accurate
    colors."""
    discriminator: ProjectedDiscriminatorConfig = field(
        default_factory=ProjectedDiscriminatorConfig
    )
    discriminator_lr: float = 2e-4
    """Peak learning rate of the discriminator."""
    discriminator_betas: tuple[float, float] = (0.0, 0.99)
    """Decay rates of the moments of the discriminator's Adam."""
    discriminator_accuracy: float = 0.75
    """Only the discriminator is trained until it gives the true picture the higher
    score in this share of pairs, which have the same gray picture."""
    discriminator_warmup: int = 4_000
    """Number of pictures after which the network is trained in any case."""
    gradient_penalty: float = 100.0
    """Weight of R1 and R2: half the squared slope of the scores at the features of true
    and of predicted pictures."""
    features: FeaturesConfig = field(default_factory=FeaturesConfig)

    def __post_init__(self) -> None:
        names = ("lambda_gan", "discriminator_lr", "discriminator_warmup", "gradient_penalty")
        check_minimum(0, "task", self, *names)
        check_betas("task.discriminator-betas", self.discriminator_betas)
        if not 0 <= self.discriminator_accuracy <= 1:
            raise ConfigError(
                f"task.discriminator-accuracy is {self.discriminator_accuracy}; "
                "give a share from 0 to 1, for example 0.75"
            )

    def build(
        self, network: Network, loss: LossConfig, optim: OptimConfig, **settings: Any
    ) -> "ProjectedGAN":
        """Build the task; ``settings`` are the keyword arguments of ``Task``."""
        return ProjectedGAN(network, self, loss, optim, **settings)


class ProjectedGAN(ScoredTask):
    """Losses on pixels, and a discriminator on frozen features (Sauer et al. 2021).

    The discriminator compares the true and the predicted colors of the same gray
    picture, whose features are its condition: the loss is relativistic, with R1 and R2
    (Huang et al. 2024, arXiv:2501.05441). Both pictures and the gray one are shifted
    and cut alike, and their colors are never changed (Zhao et al. 2020,
    arXiv:2006.10738). The adversarial gradient gets its weight from the norms of the
    gradients at the last layer (Esser et al. 2021, arXiv:2012.09841).
    """

    trains_all_parameters: ClassVar[bool] = False
    accuracy: Tensor
    started_at: Tensor

    def __init__(
        self,
        network: Network,
        config: ProjectedGANConfig,
        loss: LossConfig,
        optim: OptimConfig,
        **settings: Any,
    ) -> None:
        super().__init__(network, loss, optim, **settings)
        self.config = config
        self.discriminator = ProjectedDiscriminator(config.discriminator, config.features)
        self.register_buffer("accuracy", torch.tensor(0.5))
        # Pictures seen when the network's training started; -1 before.
        self.register_buffer("started_at", torch.tensor(-1))

    def training_losses(self, sample: Sample) -> dict[str, Float[Tensor, ""]]:
        """Compute the adversarial loss, without its adaptive weight, and the weighted
        loss terms."""
        predicted = self.predict(sample.condition)
        real, gray, fake = self._project(sample, predicted)
        return {"g_loss": self._generator_loss(real, gray, fake), **self.losses(predicted, sample)}

    def optimize(self, sample: Sample) -> dict[str, Tensor]:
        """Take one step of the discriminator, then one of the network."""
        network_optimizer, discriminator_optimizer = self.list_optimizers()
        warmup = int(self.started_at) < 0
        self.train_network(not warmup)
        with torch.set_grad_enabled(not warmup):
            predicted = self.predict(sample.condition)
            real, gray, fake = self._project(sample, predicted)

        logged = self._discriminator_losses(real, gray, [x.detach() for x in fake])
        discriminator_norm = self.update(
            discriminator_optimizer, logged["d_loss"] + logged["penalty"], self.discriminator
        )
        with torch.set_grad_enabled(not warmup):
            g_loss = self._generator_loss(real, gray, fake)
            terms = self.losses(predicted, sample)
        pixel_loss = sum_losses(terms)
        ratio = norm = torch.zeros_like(pixel_loss)
        if warmup:
            self._end_warmup_when_due(len(predicted))
        else:
            surrogate, ratio = self._balance(predicted, pixel_loss, g_loss)
            norm = self.update(network_optimizer, surrogate, self.network)
        loss = pixel_loss + self.config.lambda_gan * ratio * g_loss
        norms = {"gradient_norm": norm, "discriminator_norm": discriminator_norm}
        return {"loss": loss, "g_loss": g_loss, **terms, **logged, "gan_weight": ratio, **norms}

    def _project(
        self, sample: Sample, predicted: Tensor
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Frozen features of the true, the gray and the predicted pictures."""
        generator = torch.Generator().manual_seed(self.seed_batch("positions"))
        pictures = [
            to_pixels(sample.lightness, ab)
            for ab in (sample.ab, torch.zeros_like(sample.ab), predicted)
        ]
        *known, fake = shift_and_cut(pictures, generator)
        with torch.no_grad():
            projected = self.discriminator.project(torch.cat(known))
        real, gray = zip(*(x.chunk(2) for x in projected), strict=True)
        return list(real), list(gray), self.discriminator.project(fake)

    def _discriminator_losses(
        self, real: Sequence[Tensor], gray: Sequence[Tensor], fake: Sequence[Tensor]
    ) -> dict[str, Tensor]:
        """The discriminator's loss and penalty, and its running accuracy."""
        # bfloat16 has no second derivatives.
        with torch.autocast(self.device.type, enabled=False):
            inputs = [torch.cat(pair).requires_grad_() for pair in zip(real, fake, strict=True)]
            maps = self.discriminator(inputs, [x.repeat(2, 1, 1, 1) for x in gray])
            scores = adversarial.average_scores(maps)
            penalty = adversarial.zero_centered_penalty(scores, inputs)
            pairs = [map.chunk(2) for map in maps]
            d_loss = adversarial.relativistic_discriminator_loss(pairs)
        true, predicted = scores.detach().chunk(2)
        shares: Any = self.all_gather((true > predicted).float().mean())  # of each process
        share = shares.mean()
        self.accuracy.lerp_(share, min(1.0, len(true) / _ACCURACY_MEMORY))
        # The penalty is over both halves: twice their mean is R1 plus R2.
        return {
            "d_loss": d_loss,
            "penalty": self.config.gradient_penalty * 2 * penalty,
            "accuracy": self.accuracy.clone(),
        }

    def _generator_loss(
        self, real: Sequence[Tensor], gray: Sequence[Tensor], fake: Sequence[Tensor]
    ) -> Tensor:
        """The relativistic loss of the predicted pictures by the discriminator."""
        with freeze(self.discriminator), torch.autocast(self.device.type, enabled=False):
            maps = self.discriminator(fake, gray)
            truths = self.discriminator(real, gray)
        return adversarial.relativistic_generator_loss(list(zip(truths, maps, strict=True)))

    def _balance(
        self, predicted: Tensor, pixel_loss: Tensor, g_loss: Tensor
    ) -> tuple[Tensor, Tensor]:
        """A loss with the gradient of both losses, and the adaptive weight.

        The weight is the ratio of the norms of their gradients at the weights of the
        network's last layer (Esser et al. 2021, equation 7). Each loss is
        differentiated once, with respect to the prediction.
        """
        pixel, gan = (
            torch.autograd.grad(loss, predicted, retain_graph=True)[0]
            for loss in (pixel_loss, g_loss)
        )
        last: Any = self.network.head
        pixel_norm, gan_norm = (
            torch.autograd.grad(predicted, last.weight, gradient, retain_graph=True)[0].norm()
            for gradient in (pixel, gan)
        )
        ratio = (pixel_norm / (gan_norm + 1e-4)).clamp(max=_MAX_RATIO)
        return (predicted * (pixel + self.config.lambda_gan * ratio * gan)).sum(), ratio

    def _end_warmup_when_due(self, pictures: int) -> None:
        """Note the start of the network's training once the discriminator is ready."""
        seen = self.pictures_seen + pictures * self.trainer.world_size
        ready = float(self.accuracy) >= self.config.discriminator_accuracy
        if ready or seen >= self.config.discriminator_warmup:
            self.started_at.fill_(seen)

    def configure_optimizers(self) -> Any:
        """AdamW for the network, from its start on, and Adam for the discriminator."""
        config = self.config
        network = build_optimizer(self.network, self.optim)
        discriminator = torch.optim.Adam(
            [each for each in self.discriminator.parameters() if each.requires_grad],
            lr=config.discriminator_lr,
            betas=config.discriminator_betas,
        )

        def scale(seen: int) -> float:
            start = max(0, int(self.started_at))
            return scale_learning_rate(
                seen - start, warmup=self.optim.warmup, total=self.pictures - start
            )

        schedulers = [
            PicturesLR(network, scale),
            *build_schedulers(discriminator, self.optim, pictures=self.pictures),
        ]
        return [network, discriminator], schedulers

    def on_fit_start(self) -> None:
        """Report missing weights before the first step."""
        super().on_fit_start()
        self.discriminator.pyramid.load_weights()

    def on_train_end(self) -> None:
        """Warn of a run that ended before the network was trained."""
        if self.trainer.is_global_zero and not 0 <= int(self.started_at) < self.pictures_seen:
            _log.warning(
                "the network was not trained: in %d pictures only the discriminator was, whose "
                "accuracy is %.2f; give more pictures, or a smaller task.discriminator-warmup or "
                "task.discriminator-accuracy",
                self.pictures_seen,
                float(self.accuracy),
            )
