"""``Denoiser``: predicts the data or the noise in a noisy state, from its time and a
condition."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from colorizenet.errors import ConfigError, check_minimum

__all__ = ["Denoiser", "DenoiserConfig", "Levels", "NoisePredictorConfig", "embed_time"]

Levels = list[Tensor]
"""The condition of each level, finest (of the size of the state) first."""

_FREQUENCIES = 32
_TIME_WIDTH = 128


@dataclass(frozen=True, kw_only=True)
class DenoiserConfig:
    """The network that removes noise."""

    section: ClassVar = "task.denoiser"
    """The first part of the names of its settings."""
    widths: tuple[int, ...] = (64, 160)
    """Channels of each level, finest first. The finest has half the size of the chroma
    that is drawn, and the coarsest has attention."""
    fine_width: int = 24
    """Channels of the layers that have the size of the chroma that is drawn."""
    blocks: int = 2
    """Residual blocks of each level, on the way down and on the way up."""
    heads: int = 4
    """Heads of the attention."""

    def __post_init__(self) -> None:
        if len(self.widths) < 2 or min(self.widths) < 8 or any(w % 8 for w in self.widths):
            raise ConfigError(
                f"{self.section}.widths is {', '.join(map(str, self.widths)) or 'empty'}; "
                "give at least two multiples of 8, for example 64 160"
            )
        check_minimum(1, self.section, self, "fine_width", "blocks", "heads")
        if self.widths[-1] % self.heads:
            raise ConfigError(
                f"{self.section}.heads is {self.heads} and the coarsest width "
                f"{self.widths[-1]}; give a divisor of it"
            )


@dataclass(frozen=True, kw_only=True)
class NoisePredictorConfig(DenoiserConfig):
    """A denoiser of the size of the picture, from scratch."""

    kind: ClassVar = "noise_predictor"
    section: ClassVar = "network"
    widths: tuple[int, ...] = (32, 64, 128)
    fine_width: int = 16
    blocks: int = 1

    def build(self, *, in_channels: int = 1, pretrained: bool = True) -> "Denoiser":
        """Build the network with random weights; it has no pretrained ones."""
        return Denoiser(self, {}, planes=in_channels, reduction=1)


class Denoiser(nn.Module):
    """A small U-Net over a state: chroma, or what is added to it.

    Its levels have 1/2, 1/4, ... of the size of the state. The condition is computed
    once for each picture (``prepare``) and added at the entry of each level.
    Convolutions and an attention that depends on distances only allow any size. The
    first prediction is 0.
    """

    def __init__(
        self, config: DenoiserConfig, features: Mapping[int, int], *, planes: int, reduction: int
    ) -> None:
        """``features``: channels of the frozen features at each reduction of size.
        ``planes``: channels of the condition that have the size of the state.
        ``reduction``: height of the picture divided by that of the state."""
        super().__init__()
        widths, fine = config.widths, config.fine_width
        self.size_multiple = reduction * 2 ** len(widths)
        self.condition = Condition((fine, *widths), features, planes=planes, reduction=reduction)
        self.time = nn.Sequential(
            nn.Linear(2 * _FREQUENCIES, _TIME_WIDTH), nn.SiLU(), nn.Linear(_TIME_WIDTH, _TIME_WIDTH)
        )
        self.entry = nn.Conv2d(8, widths[0], 3, padding=1)
        self.shrink = nn.ModuleList(
            nn.Conv2d(before, width, 3, stride=2, padding=1)
            for before, width in itertools.pairwise(widths)
        )
        self.down = nn.ModuleList(
            _make_blocks(width, config, attention=width_number == len(widths) - 1)
            for width_number, width in enumerate(widths)
        )
        self.merge = nn.ModuleList(
            nn.Conv2d(below + width, width, 1) for width, below in itertools.pairwise(widths)
        )
        self.up = nn.ModuleList(_make_blocks(width, config) for width in widths[:-1])
        self.enlarge = nn.Conv2d(widths[0], 4 * fine, 1)
        self.fine = nn.Conv2d(2 * fine + 2, fine, 3, padding=1)
        self.head = nn.Conv2d(fine, 2, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def prepare(self, features: Mapping[int, Tensor], planes: Float[Tensor, "b c h w"]) -> Levels:
        """Compute the condition of each level.

        ``features``: of the frozen network, by their reduction. ``planes``: lightness
        and further inputs, of the size of the state.
        """
        return self.condition(features, planes)

    def forward(
        self,
        state: Float[Tensor, "b 2 h w"],
        t: Float[Tensor, " b2"],
        levels: Levels,
    ) -> Float[Tensor, "b 2 h w"]:
        """Predict the data, or the noise. One time, or one picture's condition, serves
        all states."""
        fine, *coarser = levels
        embedding = self.time(embed_time(t))
        x = self.entry(F.pixel_unshuffle(state, 2))
        skips = []
        for number, blocks in enumerate(self.down):
            x = x if number == 0 else self.shrink[number - 1](x)
            x = x + coarser[number]
            for block in blocks:  # type: ignore[attr-defined]
                x = block(x, embedding)
            skips.append(x)
        skips.pop()
        for number in reversed(range(len(self.up))):
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = self.merge[number](torch.cat([x, skips.pop()], dim=1))
            for block in self.up[number]:  # type: ignore[attr-defined]
                x = block(x, embedding)
        x = F.pixel_shuffle(self.enlarge(x), 2)
        x = torch.cat([x, fine.expand(x.shape[0], -1, -1, -1), state], dim=1)
        return self.head(F.silu(self.fine(F.silu(x))))


class Condition(nn.Module):
    """Frozen features and planes to the condition of each level.

    Each level has its own features and those of the finer level, halved. Features that
    are coarser than all levels are enlarged to the coarsest.
    """

    def __init__(
        self, widths: tuple[int, ...], features: Mapping[int, int], *, planes: int, reduction: int
    ) -> None:
        super().__init__()
        self.reductions = tuple(reduction * 2**number for number in range(len(widths)))
        self.sources = {
            reduction: tuple(
                each
                for each in sorted(features)
                if each == reduction or (each > reduction == self.reductions[-1])
            )
            for reduction in self.reductions
        }
        self.entry = nn.Conv2d(planes, widths[0], 3, padding=1)
        self.project = nn.ModuleDict(
            {
                str(source): nn.Sequential(
                    nn.BatchNorm2d(features[source], affine=False),
                    nn.Conv2d(features[source], width, 1),
                )
                for reduction, width in zip(self.reductions, widths, strict=True)
                for source in self.sources[reduction]
            }
        )
        self.shrink = nn.ModuleList(
            nn.Conv2d(before, width, 3, stride=2, padding=1)
            for before, width in itertools.pairwise(widths)
        )
        self.mix = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for width in widths)

    def forward(self, features: Mapping[int, Tensor], planes: Float[Tensor, "b c h w"]) -> Levels:
        levels: Levels = []
        for number, reduction in enumerate(self.reductions):
            x = self.shrink[number - 1](levels[-1]) if levels else self.entry(planes)
            for source in self.sources[reduction]:
                projected = self.project[str(source)](features[source])
                if source > reduction:
                    projected = F.interpolate(
                        projected, scale_factor=float(source // reduction), mode="nearest"
                    )
                x = x + projected
            levels.append(self.mix[number](F.silu(x)))
        return levels


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a skip, scaled and shifted by the time; the identity
    at first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(8, width)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.film = nn.Linear(_TIME_WIDTH, 2 * width)
        self.norm2 = nn.GroupNorm(8, width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)

    def forward(
        self, x: Float[Tensor, "b c h w"], embedding: Float[Tensor, "b2 e"]
    ) -> Float[Tensor, "b c h w"]:
        scale, shift = self.film(F.silu(embedding))[..., None, None].chunk(2, dim=1)
        h = self.norm2(self.conv1(F.silu(self.norm1(x)))) * (1 + scale) + shift
        return x + self.conv2(F.silu(h))


class DistanceAttention(nn.Module):
    """Attention over all places, whose weights fall with a power of the distance.

    ``softmax(q k / sqrt(d) - s log(1 + distance))`` with a learned s for each head, so
    any height and width is possible. The identity at first.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(8, width)
        self.qkv = nn.Conv2d(width, 3 * width, 1)
        self.power = nn.Parameter(torch.linspace(0.0, 2.0, heads))
        self.out = nn.Conv2d(width, width, 1)
        nn.init.zeros_(self.out.weight)

    def forward(
        self, x: Float[Tensor, "b c h w"], _embedding: Float[Tensor, "b2 e"]
    ) -> Float[Tensor, "b c h w"]:
        height, width = x.shape[-2:]
        flat = self.qkv(self.norm(x)).flatten(2).unflatten(1, (3 * self.heads, -1))
        query, key, value = flat.chunk(3, dim=1)
        logits = query.transpose(2, 3) @ key / math.sqrt(query.shape[2])
        weights = (logits - self.power[:, None, None] * _log_distances(height, width, x)).softmax(3)
        mixed = (value @ weights.transpose(2, 3)).flatten(1, 2).unflatten(2, (height, width))
        return x + self.out(mixed)


def _log_distances(
    height: int | torch.SymInt, width: int | torch.SymInt, like: Tensor
) -> Float[Tensor, "n n"]:
    """log(1 + distance) of each pair of places, in pixels, row by row."""
    # ONNX Runtime rounds some logarithms of a long array otherwise with each number of
    # threads, and draws must not depend on it. There are few different offsets.
    rows = torch.arange(height, device=like.device)
    columns = torch.arange(width, device=like.device)
    squared = rows[:, None].square() + columns.square()
    offsets = torch.log1p(squared.to(like.dtype).sqrt()).flatten()
    down = (rows[:, None] - rows).abs()[:, None, :, None]
    across = (columns[:, None] - columns).abs()[None, :, None, :]
    numbers = (down.mul(width) + across).flatten()
    return offsets[numbers].unflatten(0, (height * width, height * width))


def _make_blocks(width: int, config: DenoiserConfig, *, attention: bool = False) -> nn.ModuleList:
    blocks: list[nn.Module] = []
    for _ in range(config.blocks * (2 if attention else 1)):
        blocks.append(ResidualBlock(width))
        if attention:
            blocks.append(DistanceAttention(width, config.heads))
    return nn.ModuleList(blocks)


def embed_time(t: Float[Tensor, " b"]) -> Float[Tensor, "b e"]:
    """Sines and cosines of a time in 0..1, with wavelengths from 0.02 to 6."""
    powers = torch.linspace(0, 1, _FREQUENCIES, dtype=t.dtype, device=t.device)
    angle = t[:, None] * 300.0**powers
    return torch.cat([angle.sin(), angle.cos()], dim=1)
