"""``ResidualDiffusion``: a frozen network, and a denoiser of what its answer lacks."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from colorizenet import color
from colorizenet.errors import ConfigError
from colorizenet.training.networks.base import LayeredNetwork, Network
from colorizenet.training.networks.colored_noise import color_noise
from colorizenet.training.networks.denoiser import Denoiser, DenoiserConfig, Levels
from colorizenet.training.networks.guided_filter import upsample_along
from colorizenet.training.networks.samplers import Sampler, Velocity, guide, space_times

__all__ = ["Described", "ExportedSampler", "ResidualDiffusion"]

_REDUCTION = 4
"""Height and width of the picture divided by those of the state."""
_TYPICAL_SPREAD = 8.0
"""Predicted spread at first, in a*b* units."""
_SPREAD_RANGE = 5.0
"""The predicted spread is at most this factor larger or smaller."""
_SMOOTHING_RADIUS = 4
"""Radius of the windows in which changes are smoothed, in pixels of the state."""
_EDGE = 0.03
"""Standard deviation of lightness (0..1) in a window from which its edges are kept."""


class Described(NamedTuple):
    """What is computed once for each picture, whatever the number of draws."""

    answer: Float[Tensor, "b 2 h w"]
    """Chroma of the frozen network at its own size, in network units."""
    small_answer: Float[Tensor, "b 2 h2 w2"]
    """The same at the size of the state."""
    lightness: Float[Tensor, "b 1 h w"]
    """Lightness (0..1) at the size of ``answer``."""
    spread: Float[Tensor, "b 2 h2 w2"]
    """Predicted standard deviation of the truth around the answer, in network units."""
    levels: Levels
    """The condition of each level of the denoiser."""


class ResidualDiffusion(nn.Module):
    """Draws chroma around the answer of a frozen network.

    The state is the residual to the answer in units of its predicted spread, at 1/4 of
    the height and width of the picture. So the source of the flow, noise of variance 1,
    is a Gaussian around the answer.
    """

    def __init__(
        self,
        network: Network,
        config: DenoiserConfig,
        bands: Sequence[float],
        *,
        in_channels: int,
    ) -> None:
        """``bands``: of the noise, see ``color_noise``. ``in_channels``: of the
        condition of ``network``. Raises ConfigError for a network that
        cannot be drawn around."""
        super().__init__()
        assert isinstance(network, nn.Module)
        self.frozen = network.requires_grad_(False)
        self.bands = tuple(bands)
        # Sizes are symbols while the network is exported, so they are measured here.
        channels, self.reductions, self.answer_reduction = _measure_reductions(
            self.frozen, in_channels
        )
        self.denoiser = Denoiser(config, channels, planes=3, reduction=_REDUCTION)
        self.spread = nn.Sequential(
            nn.Conv2d(config.fine_width, config.fine_width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(config.fine_width, 2, 3, padding=1),
        )
        self.size_multiple = math.lcm(network.size_multiple, self.denoiser.size_multiple)

    def train(self, mode: bool = True) -> "ResidualDiffusion":
        """Switch to training or evaluation. The frozen network stays in evaluation."""
        super().train(mode)
        self.frozen.eval()
        return self

    def describe(self, condition: Float[Tensor, "b c h w"]) -> Described:
        """Run the frozen network, and prepare what all draws share."""
        with torch.no_grad():
            features, answer = _run_frozen(self.frozen, condition)
        factor = _REDUCTION // self.answer_reduction
        small_answer = F.avg_pool2d(answer, factor) if factor > 1 else answer
        lightness = F.avg_pool2d(condition[:, :1], self.answer_reduction)
        small_lightness = F.avg_pool2d(condition[:, :1], _REDUCTION)
        # Chroma in network units is several times smaller than lightness.
        planes = torch.cat([small_lightness, 4 * small_answer], dim=1)
        levels = self.denoiser.prepare(_join(features, self.reductions), planes)
        exponent = math.log(_SPREAD_RANGE) * torch.tanh(self.spread(levels[0]).float())
        spread = _TYPICAL_SPREAD / color.AB_SCALE * torch.exp(exponent)
        return Described(answer, small_answer, lightness, spread, levels)

    def denoise(
        self, state: Float[Tensor, "b 2 h w"], t: Float[Tensor, " b2"], levels: Levels
    ) -> Float[Tensor, "b 2 h w"]:
        """Predict the data of a state at time t; a batch of one time serves all states.

        Returns float32, under autocast as well.
        """
        deviation = (t.square() + (1 - t).square()).sqrt()
        return self.denoiser(state / deviation[:, None, None, None], t, levels).float()

    def make_noise(
        self, white: Float[Tensor, "b 2 h w"], temperatures: Sequence[float] = (1.0,)
    ) -> Float[Tensor, "b 2 h w"]:
        """Color white noise of the size of the state. ``temperatures``: see
        ``color_noise``."""
        return color_noise(white, self.bands, temperatures)

    def make_velocity(self, levels: Levels, *, guidance: float = 1.0) -> Velocity:
        """The velocity of the state, for samplers. ``guidance``: see ``guide``."""

        def velocity(levels: Levels) -> Velocity:
            def at(state: Tensor, t: float) -> Tensor:
                return (self.denoise(state, state.new_full((1,), t), levels) - state) / (1 - t)

            return at

        without = [torch.zeros_like(level) for level in levels]
        return guide(velocity(levels), velocity(without), guidance)

    def add_change(
        self, described: Described, change: Float[Tensor, "b 2 h w"]
    ) -> Float[Tensor, "b 2 h2 w2"]:
        """The answer, changed by the difference of two states: chroma at its size.

        A draw is the answer plus what its noise changes: the end of the flow less
        that of the flow from noise of 0. The mean of the data, which the latter is
        close to, is paler than an answer that was trained to be colorful. The change
        is smoothed within the edges of lightness, which it blurs and crosses otherwise.
        """
        residual = upsample_along(
            described.spread * change,
            described.lightness,
            _REDUCTION // self.answer_reduction,
            radius=_SMOOTHING_RADIUS,
            least_variance=_EDGE**2,
        )
        return described.answer + residual


class ExportedSampler(nn.Module):
    """The module that is exported: lightness and white noise to as many draws.

    The encoder runs once. Noise of 0 everywhere gives the answer of the frozen network.
    Noise times a factor below 1, the temperature, gives draws that differ less.
    """

    def __init__(
        self,
        network: ResidualDiffusion,
        sampler: Sampler,
        *,
        steps: int,
        guidance: float,
        temperatures: Sequence[float],
    ) -> None:
        super().__init__()
        self.network, self.sampler = network, sampler
        self.steps, self.guidance, self.temperatures = steps, guidance, tuple(temperatures)

    def forward(
        self, lightness: Float[Tensor, "b c h w"], noise: Float[Tensor, "n 2 h w"]
    ) -> Float[Tensor, "n 2 h2 w2"]:
        """Draw chroma for each noise. There is one picture, or one for each noise."""
        network = self.network
        described = network.describe(lightness)
        # The mean of 4x4 white numbers has 1/4 of their deviation.
        white = _REDUCTION * F.avg_pool2d(noise, _REDUCTION)
        # The flow from noise of 0 is one more draw of each picture.
        colored = network.make_noise(white, self.temperatures)
        start = torch.cat([torch.zeros_like(described.spread), colored])
        for_each = noise.new_zeros(noise.shape[0], 1, 1, 1)
        levels = [torch.cat([level, level + for_each]) for level in described.levels]
        velocity = network.make_velocity(levels, guidance=self.guidance)
        states = self.sampler(velocity, start, space_times(self.steps))
        center, state = states.split([described.spread.shape[0], noise.shape[0]])
        drawn = (noise.abs().amax((1, 2, 3), keepdim=True) > 0).to(state.dtype)
        return network.add_change(described, drawn * (state - center))


def _run_frozen(network: nn.Module, condition: Tensor) -> tuple[list[Tensor], Tensor]:
    """The features of all levels of encoder and decoder, and the chroma."""
    assert isinstance(network, LayeredNetwork)
    encoded = network.encode(condition)
    decoded = network.expand(encoded)
    return [*encoded, *decoded], network.decode(decoded).float()


def _join(features: Sequence[Tensor], reductions: Sequence[int]) -> dict[int, Tensor]:
    """Concatenate the features of each reduction of size."""
    found: dict[int, list[Tensor]] = {}
    for feature, reduction in zip(features, reductions, strict=True):
        found.setdefault(reduction, []).append(feature)
    return {reduction: torch.cat(each, dim=1) for reduction, each in found.items()}


@torch.no_grad()
def _measure_reductions(
    network: nn.Module, in_channels: int
) -> tuple[dict[int, int], tuple[int, ...], int]:
    """Channels at each reduction of size, and the reductions of features and chroma."""
    if not isinstance(network, LayeredNetwork):
        raise ConfigError(
            f"the network {type(network).__name__} lacks encode, expand or decode, whose features "
            "diffusion reads; add them as LayeredNetwork describes, or use another network"
        )
    training = network.training
    side = 2 * network.size_multiple
    features, answer = _run_frozen(network.eval(), torch.zeros(1, in_channels, side, side))
    network.train(training)
    reduction = side // answer.shape[-1]
    if reduction > _REDUCTION:
        raise ConfigError(
            f"the network predicts chroma at 1/{reduction} of the size of its input and diffusion "
            f"needs at least 1/{_REDUCTION}; use a network of more levels"
        )
    reductions = tuple(side // feature.shape[-1] for feature in features)
    joined = _join(features, reductions)
    return {each: feature.shape[1] for each, feature in joined.items()}, reductions, reduction
