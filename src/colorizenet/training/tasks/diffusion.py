"""``Diffusion``: draw plausible colorings around the answer of a frozen network."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from colorizenet.errors import ConfigError, check_minimum
from colorizenet.modelfile import NOISE, Input
from colorizenet.training.data.augment import Sample, to_network
from colorizenet.training.data.conditions import input_channels
from colorizenet.training.losses.combined import LossConfig, reduce_to
from colorizenet.training.networks.base import Network
from colorizenet.training.networks.denoiser import DenoiserConfig
from colorizenet.training.networks.residual_diffusion import (
    Described,
    ExportedSampler,
    ResidualDiffusion,
)
from colorizenet.training.networks.samplers import SAMPLERS, space_times
from colorizenet.training.tasks.base import Task, sum_losses
from colorizenet.training.tasks.optim import OptimConfig, build_optimizer, build_schedulers
from colorizenet.training.tasks.validation import color_pictures, measure_draws, measure_pictures

__all__ = ["Diffusion", "DiffusionConfig"]

_LEAST_NOISE = 0.05
"""1 - t is at least this in the weight of the loss (Li and He 2025)."""


@dataclass(frozen=True, kw_only=True)
class DiffusionConfig:
    """Draw plausible colorings around the answer of a frozen network."""

    kind: ClassVar = "diffusion"
    denoiser: DenoiserConfig = field(default_factory=DenoiserConfig)
    bands: tuple[float, ...] = (0.43, 0.22, 0.23, 0.20, 0.17, 0.19)
    """Relative spread of the noise in each octave of frequency, coarsest first: the
    mean of the picture, then details of 1/2, 1/4, ... of its short side."""
    temperatures: tuple[float, ...] = (1.3, 1.1, 0.85, 0.62, 0.4, 0.2)
    """Factor of the noise in each of these octaves when colorings are drawn. Low ones
    for details make them differ in the colors of large parts, without patches."""
    draws: int = 8
    """Draws of time and noise for each picture of a batch, which share one pass of the
    frozen network."""
    t_mean: float = 0.6
    """Mean of logit(t), where t is 0 for noise and 1 for data."""
    t_std: float = 1.0
    """Standard deviation of logit(t)."""
    t_uniform: float = 0.1
    """Share of draws whose t is uniform instead."""
    condition_dropout: float = 0.1
    """Share of draws that are trained without the condition, for ``guidance``."""
    sampler: Literal["euler", "heun"] = "heun"
    """Method that follows the flow. Heun's takes two passes of the denoiser for each
    step but the last, and is more accurate."""
    steps: int = 2
    """Steps of the sampler, in validation and in the exported model."""
    guidance: float = 2.4
    """Scale of classifier-free guidance: how much draws heed the photo. 1 is none
    and takes half the time."""
    val_draws: int = 4
    """Draws for each picture in validation."""

    def __post_init__(self) -> None:
        check_minimum(1, "task", self, "draws", "steps", "val_draws")
        for name in ("t_uniform", "condition_dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(
                    f"task.{name.replace('_', '-')} is {getattr(self, name)}; "
                    "give a share from 0 to 1"
                )
        if not self.bands or min(self.bands) < 0 or max(self.bands) == 0:
            raise ConfigError(
                f"task.bands is {', '.join(map(str, self.bands)) or 'empty'}; "
                "give numbers of at least 0, not all of them 0"
            )
        if not self.temperatures or min(self.temperatures) < 0:
            raise ConfigError(
                f"task.temperatures is {', '.join(map(str, self.temperatures)) or 'empty'}; "
                "give numbers of at least 0"
            )
        if not self.t_std > 0:
            raise ConfigError(f"task.t-std is {self.t_std}; give a number over 0, for example 1")

    def build(
        self, network: Network, loss: LossConfig, optim: OptimConfig, **settings: Any
    ) -> "Diffusion":
        """Build the task; ``settings`` are the keyword arguments of ``Task``."""
        return Diffusion(network, self, loss, optim, **settings)


class Diffusion(Task):
    """Rectified flow from noise to the residual of a frozen network.

    The denoiser predicts the data, and its loss is that of the velocity (Liu et al.
    2022, arXiv:2209.03003; Li and He 2025, arXiv:2511.13720). The best weights have the
    lowest CIEDE2000 of the best of ``val_draws`` draws.
    """

    monitor = "val/best_ciede2000"
    random_inputs: ClassVar[tuple[Input, ...]] = (NOISE,)
    network: ResidualDiffusion  # type: ignore[assignment]

    def __init__(
        self,
        network: Network,
        config: DiffusionConfig,
        loss: LossConfig,
        optim: OptimConfig,
        **settings: Any,
    ) -> None:
        channels = input_channels(settings.get("inputs", ("lightness",)))
        whole = ResidualDiffusion(network, config.denoiser, config.bands, in_channels=channels)
        super().__init__(whole, loss, optim, **settings)
        self.config = config

    @property
    def initial_network(self) -> nn.Module:
        """The frozen network."""
        return self.network.frozen

    def training_losses(self, sample: Sample) -> dict[str, Float[Tensor, ""]]:
        """Compute the loss of the velocity, and that of the predicted spread."""
        return self._losses(sample, torch.Generator().manual_seed(self.seed_batch("draws")))

    def _losses(self, sample: Sample, random: torch.Generator) -> dict[str, Float[Tensor, ""]]:
        network, n = self.network, self.config.draws
        described = network.describe(sample.condition)
        z = (reduce_to(described.spread, sample.ab) - described.small_answer) / described.spread
        # Negative log-likelihood of a Gaussian, whose deviation is the spread.
        spread_loss = (z.square() / 2 + described.spread.log()).mean()

        x1 = z.detach().repeat_interleave(n, dim=0)
        x0 = network.make_noise(torch.randn(x1.shape, generator=random).to(x1))
        t = self._draw_times(len(x1), random).to(x1)
        conditioned = (torch.rand(len(x1), generator=random) >= self.config.condition_dropout).to(
            x1
        )
        c = [
            level.repeat_interleave(n, dim=0) * _as_planes(conditioned)
            for level in described.levels
        ]

        x_t = (1 - _as_planes(t)) * x0 + _as_planes(t) * x1
        # The velocity is (x1 - x_t) / (1 - t), also that of the predicted x1.
        error = (network.denoise(x_t, t, c) - x1) / (1 - _as_planes(t)).clamp(min=_LEAST_NOISE)
        return {"velocity": error.square().mean(), "spread": spread_loss}

    def _draw_times(self, count: int, random: torch.Generator) -> Float[Tensor, " b"]:
        """Times in 0..1: a logit-normal distribution mixed with a uniform one."""
        logits = self.config.t_mean + self.config.t_std * torch.randn(count, generator=random)
        uniform = torch.rand(count, generator=random)
        chosen = torch.rand(count, generator=random) < self.config.t_uniform
        return torch.where(chosen, uniform, logits.sigmoid())

    def draw(
        self, described: Described, count: int, generator: torch.Generator
    ) -> list[Float[Tensor, "b 2 h w"]]:
        """Draw ``count`` colorings of each picture, at the size of the answer.

        They come in pairs of opposite noise, as ``colorizenet.variants`` draws them.
        """
        network, config = self.network, self.config
        velocity = network.make_velocity(described.levels, guidance=config.guidance)
        sampler, times = SAMPLERS[config.sampler], space_times(config.steps)
        center = sampler(velocity, torch.zeros_like(described.spread), times)
        noises: list[Tensor] = []
        while len(noises) < count:
            white = torch.randn(described.spread.shape, generator=generator)
            noise = network.make_noise(white.to(described.spread), config.temperatures)
            noises += [noise, -noise]
        drawn = []
        for noise in noises[:count]:
            change = sampler(velocity, noise, times) - center
            drawn.append(network.add_change(described, change))
        return drawn

    def sample(
        self, condition: Float[Tensor, "b c h w"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "b 2 h2 w2"]:
        """Draw one coloring of each picture."""
        generator = generator or torch.Generator().manual_seed(self.seed)
        [drawn] = self.draw(self.network.describe(condition), 1, generator)
        return drawn

    def exported(self) -> nn.Module:
        """The sampler with all of its steps: lightness and noise to ab."""
        config = self.config
        return ExportedSampler(
            self.network,
            SAMPLERS[config.sampler],
            steps=config.steps,
            guidance=config.guidance,
            temperatures=config.temperatures,
        )

    def configure_optimizers(self) -> Any:
        """AdamW for all but the frozen network, with the schedule of ``optim``."""
        trained = nn.ModuleList([self.network.denoiser, self.network.spread])
        optimizer = build_optimizer(trained, self.optim)
        return [optimizer], build_schedulers(optimizer, self.optim, pictures=self.pictures)

    # Validation

    def validate(
        self,
        batch: UInt8[Tensor, "b h w 3"],
        grays: UInt8[np.ndarray, "b h w"],
        condition: Float[Tensor, "b c h w"],
        index: int,
    ) -> UInt8[Tensor, "b h _width 3"]:
        """Draw colorings, log their metrics, and return strips: the answer, the draws.

        ``measure_draws`` describes the metrics.
        """
        photos = batch.cpu().numpy()
        generator = torch.Generator().manual_seed(index)
        described = self.network.describe(condition)
        draws = self.draw(described, self.config.val_draws, generator)
        answer, *drawn = (color_pictures(grays, ab) for ab in (described.answer, *draws))
        losses = self._losses(Sample(condition, *to_network(batch)), generator)
        measured = {
            **measure_draws(drawn, draws, photos),
            "answer_ciede2000": measure_pictures(answer, photos)["ciede2000"],
            "loss": float(sum_losses(losses)),
        }
        self.log_validation(measured, len(batch))
        return torch.from_numpy(np.concatenate([answer, *drawn], axis=2))


def _as_planes(values: Float[Tensor, " b"]) -> Float[Tensor, "b 1 1 1"]:
    return values[:, None, None, None]
