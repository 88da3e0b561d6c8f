"""``DDPM``: draw plausible colorings by textbook diffusion, from scratch."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from colorizenet.errors import check_minimum
from colorizenet.modelfile import NOISE, Input
from colorizenet.training.data.augment import Sample, to_network
from colorizenet.training.losses.combined import LossConfig
from colorizenet.training.networks.ddim import compute_alpha_bar, sample_ddim, space_ddim_times
from colorizenet.training.networks.denoiser import Denoiser
from colorizenet.training.tasks.base import Task
from colorizenet.training.tasks.optim import OptimConfig
from colorizenet.training.tasks.validation import color_pictures, measure_draws

__all__ = ["DDPM", "DDPMConfig"]

_TIMES = 1000
"""Number of times in training, T in the papers."""
_SCALE = 4.0
"""The data are chroma in network units times this, with a deviation of about a half."""


@dataclass(frozen=True, kw_only=True)
class DDPMConfig:
    """Draw plausible colorings by textbook diffusion, from scratch."""

    kind: ClassVar = "ddpm"
    steps: int = 10
    """Steps of the DDIM sampler, in validation and in the exported model."""
    val_draws: int = 4
    """Draws for each picture in validation."""

    def __post_init__(self) -> None:
        check_minimum(1, "task", self, "steps", "val_draws")

    def build(
        self, network: nn.Module, loss: LossConfig, optim: OptimConfig, **settings: Any
    ) -> "DDPM":
        """Build the task; ``settings`` are the keyword arguments of ``Task``."""
        return DDPM(network, self, loss, optim, **settings)


class DDPM(Task):
    """Predict the noise in chroma (Ho et al. 2020, arXiv:2006.11239).

    The network has the noisy chroma, the time and the condition. The schedule is the
    cosine one of Nichol and Dhariwal (2021), and colorings are drawn by DDIM (Song et
    al. 2021).
    """

    random_inputs: ClassVar[tuple[Input, ...]] = (NOISE,)
    network: Denoiser  # type: ignore[assignment]
    alpha_bars: Tensor

    def __init__(
        self,
        network: nn.Module,
        config: DDPMConfig,
        loss: LossConfig,
        optim: OptimConfig,
        **settings: Any,
    ) -> None:
        assert isinstance(network, Denoiser)  # RunConfig allows no other
        super().__init__(network, loss, optim, **settings)
        self.config = config
        alpha_bars = [compute_alpha_bar(number / _TIMES) for number in range(_TIMES + 1)]
        self.register_buffer("alpha_bars", torch.tensor(alpha_bars), persistent=False)

    def training_losses(self, sample: Sample) -> dict[str, Float[Tensor, ""]]:
        """Compute the squared error of the predicted noise."""
        random = torch.Generator().manual_seed(self.seed_batch("noise"))
        return {"noise": self._noise_loss(sample, random)}

    def _noise_loss(self, sample: Sample, random: torch.Generator) -> Float[Tensor, ""]:
        """The simplified loss, equation 14 of Ho et al."""
        x_0 = _SCALE * sample.ab
        t = torch.randint(1, _TIMES + 1, (len(x_0),), generator=random).to(x_0.device)
        epsilon = torch.randn(x_0.shape, generator=random).to(x_0)
        alpha_bar = self.alpha_bars[t, None, None, None]
        x_t = alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * epsilon
        levels = self.network.prepare({}, sample.condition)
        predicted = self.network(x_t, t / _TIMES, levels).float()
        return (epsilon - predicted).square().mean()

    def sample(
        self, condition: Float[Tensor, "b c h w"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "b 2 h w"]:
        """Draw one coloring of each picture."""
        generator = generator or torch.Generator().manual_seed(self.seed)
        shape = (len(condition), NOISE.channels, *condition.shape[2:])
        noise = torch.randn(shape, generator=generator).to(condition)
        return self.exported()(condition, noise)

    def exported(self) -> nn.Module:
        """The sampler with all of its steps: lightness and noise to ab."""
        return ExportedDDIM(self.network, steps=self.config.steps)

    def validate(
        self,
        batch: UInt8[Tensor, "b h w 3"],
        grays: UInt8[np.ndarray, "b h w"],
        condition: Float[Tensor, "b c h w"],
        index: int,
    ) -> UInt8[Tensor, "b h _width 3"]:
        """Draw colorings, log their metrics, and return strips of the draws."""
        photos = batch.cpu().numpy()
        generator = torch.Generator().manual_seed(index)
        draws = [self.sample(condition, generator=generator) for _ in range(self.config.val_draws)]
        drawn = [color_pictures(grays, ab) for ab in draws]
        loss = self._noise_loss(Sample(condition, *to_network(batch)), generator)
        measured = measure_draws(drawn, draws, photos) | {"loss": float(loss)}
        self.log_validation(measured, len(batch))
        return torch.from_numpy(np.concatenate(drawn, axis=2))


class ExportedDDIM(nn.Module):
    """The module that is exported: lightness and white noise to as many draws."""

    def __init__(self, network: Denoiser, *, steps: int) -> None:
        super().__init__()
        self.network, self.steps = network, steps

    def forward(
        self, lightness: Float[Tensor, "b c h w"], noise: Float[Tensor, "n 2 h w"]
    ) -> Float[Tensor, "n 2 h w"]:
        """Draw chroma for each noise. There is one picture, or one for each noise."""
        levels = self.network.prepare({}, lightness)

        def predict_noise(x: Tensor, t: float) -> Tensor:
            return self.network(x, x.new_full((1,), t), levels).float()

        return sample_ddim(predict_noise, noise, space_ddim_times(self.steps)) / _SCALE
