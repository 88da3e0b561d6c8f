"""``UNet``: the classical one, from scratch, and the block that every U-Net here is made of."""

import itertools
import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from colorizenet.errors import ConfigError

__all__ = ["TwoConvolutions", "UNet", "UNetConfig"]

Norm = Literal["batch", "group"]


@dataclass(frozen=True, kw_only=True)
class UNetConfig:
    """The shape of a ``UNet``."""

    kind: ClassVar = "unet"
    widths: tuple[int, ...] = (32, 64, 128, 256, 256)
    """Channels of each level, finest first; each level has half the size of the one before."""
    norm: Norm = "batch"
    """What normalizes: ``batch`` learns faster; ``group`` does not care how many pictures a device sees at once."""

    def __post_init__(self) -> None:
        if len(self.widths) < 2 or min(self.widths) < 1:
            raise ConfigError(
                f"network.widths is {', '.join(map(str, self.widths)) or 'empty'}; give at least two levels, "
                "say 32 64 128 256 256"
            )

    def build(self, *, pretrained: bool = True) -> nn.Module:
        """A network with first weights; it starts from scratch, pretrained or not."""
        return UNet(self)


class UNet(nn.Module):
    """Lightness in, chroma of the same size out, both in network units (Ronneberger et al. 2015).

    Down by max pooling, up by nearest x2, joined with what was there on the way down. Unlike the
    paper's, convolutions are padded and normalized. Sides must be multiples of ``size_multiple``.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        widths = config.widths
        self.size_multiple = 2 ** (len(widths) - 1)
        self.down = nn.ModuleList(
            TwoConvolutions(given, width, config.norm)
            for given, width in zip((1, *widths), widths, strict=False)
        )
        below = widths[::-1]
        self.up = nn.ModuleList(
            TwoConvolutions(deep + beside, beside, config.norm)
            for deep, beside in itertools.pairwise(below)
        )
        self.feature_widths = below[1:]
        self.head = neutral_head(widths[0])

    def forward(self, lightness: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 2 h w"]:
        return self.chroma(self.features(lightness))

    def chroma(self, features: list[Float[Tensor, "b _c _h _w"]]) -> Float[Tensor, "b 2 h w"]:
        """The answer, from what ``features`` gave."""
        return self.head(features[-1])

    def features(self, lightness: Float[Tensor, "b 1 h w"]) -> list[Float[Tensor, "b _c _h _w"]]:
        """What the way up makes at each level, coarsest first; ``chroma`` makes the answer of it."""
        skips: list[Tensor] = []
        x = lightness
        for level in self.down:
            x = level(F.max_pool2d(x, 2) if skips else x)
            skips.append(x)
        skips.pop()
        found = []
        for level in self.up:
            x = level(
                torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), skips.pop()], dim=1)
            )
            found.append(x)
        return found


class TwoConvolutions(nn.Sequential):
    """Two 3x3 convolutions, each normalized and rectified."""

    def __init__(self, given: int, width: int, norm: Norm = "batch") -> None:
        layers: list[nn.Module] = []
        for channels in (given, width):
            normalized = (
                nn.BatchNorm2d(width)
                if norm == "batch"
                else nn.GroupNorm(math.gcd(8, width), width)
            )
            layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), normalized, nn.ReLU()]
        super().__init__(*layers)


def neutral_head(given: int) -> nn.Conv2d:
    """Features -> chroma, by a 3x3 convolution whose first guess is gray."""
    head = nn.Conv2d(given, 2, 3, padding=1)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)  # type: ignore[arg-type]
    return head
