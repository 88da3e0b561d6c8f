"""``Pix2Pix``: adversarial training with a pixel loss (Isola et al. 2017)."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from colorizenet.errors import ConfigError, check_minimum
from colorizenet.training.data.augment import Sample
from colorizenet.training.losses import adversarial
from colorizenet.training.losses.combined import LossConfig, reduce_to
from colorizenet.training.networks.base import Network
from colorizenet.training.networks.patchgan import PatchGAN, PatchGANConfig
from colorizenet.training.tasks.base import sum_losses
from colorizenet.training.tasks.optim import (
    OptimConfig,
    build_optimizer,
    build_schedulers,
    check_betas,
    freeze,
)
from colorizenet.training.tasks.scored import ScoredTask

__all__ = ["Pix2Pix", "Pix2PixConfig"]


@dataclass(frozen=True, kw_only=True)
class Pix2PixConfig:
    """Adversarial training: a patch discriminator in addition to ``loss``."""

    kind: ClassVar = "pix2pix"
    lambda_pixel: float = 100.0
    """Weight of the losses of ``loss`` against the adversarial loss. Higher gives safer
    and duller colors."""
    gan_loss: Literal["bce", "hinge"] = "bce"
    """Adversarial loss: binary cross-entropy as in pix2pix, or hinge, which goes well
    with spectral normalization."""
    discriminator: PatchGANConfig = field(default_factory=PatchGANConfig)
    discriminator_lr: float = 2e-4
    """Peak learning rate of the discriminator. Two to four times the network's
    stabilizes training (TTUR, Heusel et al. 2017)."""
    discriminator_betas: tuple[float, float] = (0.5, 0.999)
    """Decay rates of the moments of the discriminator's Adam."""
    discriminator_warmup: int = 0
    """Number of pictures for which only the discriminator is trained. Use it with a
    network that is trained already, which the first steps of an untrained discriminator
    would harm."""
    r1: float = 0.0
    """Weight of the R1 gradient penalty on the discriminator; 0.1 to 10 stabilizes
    training and makes steps slower."""

    def __post_init__(self) -> None:
        names = ("lambda_pixel", "discriminator_lr", "discriminator_warmup", "r1")
        check_minimum(0, "task", self, *names)
        check_betas("task.discriminator-betas", self.discriminator_betas)

    def build(
        self, network: Network, loss: LossConfig, optim: OptimConfig, **settings: Any
    ) -> "Pix2Pix":
        """Build the task; ``settings`` are the keyword arguments of ``Task``."""
        return Pix2Pix(network, self, loss, optim, **settings)


class Pix2Pix(ScoredTask):
    """Losses on pixels and a patch discriminator on Lab (Isola et al. 2017).

    Each batch trains the discriminator on real and predicted chroma, then the network
    with the discriminator frozen. Both see chroma at the size of the prediction.
    """

    trains_all_parameters: ClassVar[bool] = False

    def __init__(
        self,
        network: Network,
        config: Pix2PixConfig,
        loss: LossConfig,
        optim: OptimConfig,
        **settings: Any,
    ) -> None:
        super().__init__(network, loss, optim, **settings)
        self.config = config
        self.discriminator = PatchGAN(config.discriminator)

    def training_losses(self, sample: Sample) -> dict[str, Float[Tensor, ""]]:
        """Compute the adversarial loss of the network and its weighted loss terms."""
        return self._generator_losses(sample, self.predict(sample.condition))

    def optimize(self, sample: Sample) -> dict[str, Tensor]:
        """Take one step of the discriminator, then one of the network."""
        network_optimizer, discriminator_optimizer = self.list_optimizers()
        warmup = self.pictures_seen < self.config.discriminator_warmup
        self.train_network(not warmup)
        with torch.set_grad_enabled(not warmup):
            predicted = self.predict(sample.condition)

        logged = self._discriminator_losses(sample, predicted.detach())
        discriminator_norm = self.update(
            discriminator_optimizer, logged["d_loss"] + logged["r1"], self.discriminator
        )

        with torch.set_grad_enabled(not warmup):
            terms = self._generator_losses(sample, predicted)
        loss = sum_losses(terms)
        norm = torch.zeros_like(loss)
        if not warmup:
            norm = self.update(network_optimizer, loss, self.network)
        norms = {"gradient_norm": norm, "discriminator_norm": discriminator_norm}
        return {"loss": loss, **terms, **logged, **norms}

    def _generator_losses(self, sample: Sample, predicted: Tensor) -> dict[str, Tensor]:
        """The loss by a frozen discriminator, and lambda times the other terms."""
        with freeze(self.discriminator):
            scores = self.discriminator(_join(sample, predicted)).float()
        g_loss = adversarial.GENERATOR_LOSSES[self.config.gan_loss](scores)
        terms = self.losses(predicted, sample)
        return {"g_loss": g_loss} | {
            name: self.config.lambda_pixel * term for name, term in terms.items()
        }

    def _discriminator_losses(self, sample: Sample, predicted: Tensor) -> dict[str, Tensor]:
        """The discriminator's loss and penalty, and the mean real and fake scores."""
        real = _join(sample, reduce_to(predicted, sample.ab))
        real_scores = self.discriminator(real).float()
        fake_scores = self.discriminator(_join(sample, predicted)).float()
        d_loss = adversarial.DISCRIMINATOR_LOSSES[self.config.gan_loss](real_scores, fake_scores)
        activate = torch.sigmoid if self.config.gan_loss == "bce" else torch.as_tensor
        return {
            "d_loss": d_loss,
            "r1": self._penalize_slope(real) if self.config.r1 else torch.zeros_like(d_loss),
            "real_score": activate(real_scores).mean(),
            "fake_score": activate(fake_scores).mean(),
        }

    def _penalize_slope(self, real: Tensor) -> Tensor:
        """The weighted R1 penalty, in float32: bfloat16 has no second derivatives."""
        with torch.autocast(real.device.type, enabled=False):
            real = real.detach().float().requires_grad_()
            return self.config.r1 * adversarial.r1_penalty(self.discriminator(real), real)

    def on_fit_start(self) -> None:
        """Report missing weights, and a run too short, before the first step."""
        super().on_fit_start()
        warmup = self.config.discriminator_warmup
        if self.pictures <= warmup:
            raise ConfigError(
                f"pictures is {self.pictures}, and the first {warmup} train the discriminator "
                "only; give more pictures, or a smaller task.discriminator-warmup"
            )

    def configure_optimizers(self) -> Any:
        """AdamW for the network, Adam for the discriminator, each with its schedule."""
        config = self.config
        network = build_optimizer(self.network, self.optim)
        discriminator = torch.optim.Adam(
            self.discriminator.parameters(),
            lr=config.discriminator_lr,
            betas=config.discriminator_betas,
        )
        schedulers = [
            *build_schedulers(
                network, self.optim, pictures=self.pictures, start=config.discriminator_warmup
            ),
            *build_schedulers(discriminator, self.optim, pictures=self.pictures),
        ]
        return [network, discriminator], schedulers


def _join(sample: Sample, ab: Tensor) -> Float[Tensor, "b 3 h w"]:
    """The discriminator's input: true lightness and chroma, at the chroma's size."""
    return torch.cat([reduce_to(ab, sample.lightness), ab], dim=1)
