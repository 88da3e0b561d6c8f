"""``UNet``: the classical U-Net from scratch, and the block that all U-Nets share."""

import itertools
import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from colorizenet.errors import ConfigError

__all__ = ["TwoConvolutions", "UNet", "UNetConfig", "build_head"]

Norm = Literal["batch", "group"]


@dataclass(frozen=True, kw_only=True)
class UNetConfig:
    """A U-Net from scratch."""

    kind: ClassVar = "unet"
    widths: tuple[int, ...] = (32, 64, 128, 256, 256)
    """Channels of each level, finest first. Each level has half the size of the one
    before."""
    norm: Norm = "batch"
    """Normalization: ``batch`` learns faster; ``group`` does not depend on the batch
    size."""

    def __post_init__(self) -> None:
        if len(self.widths) < 2 or min(self.widths) < 1:
            raise ConfigError(
                f"network.widths is {', '.join(map(str, self.widths)) or 'empty'}; "
                "give at least two widths, for example 32 64 128 256 256"
            )

    def build(self, *, in_channels: int = 1, pretrained: bool = True) -> "UNet":
        """Build the network with random weights; it has no pretrained ones."""
        return UNet(self, in_channels=in_channels)


class UNet(nn.Module):
    """U-Net whose chroma has the size of its input (Ronneberger et al. 2015).

    Max pooling on the way down; on the way up nearest x2, concatenated with the
    features of the same size from the way down. Unlike the paper's, convolutions are
    padded and normalized. The first prediction is gray.
    """

    def __init__(self, config: UNetConfig, *, in_channels: int = 1) -> None:
        super().__init__()
        widths = config.widths
        self.size_multiple = 2 ** (len(widths) - 1)
        self.down = nn.ModuleList(
            TwoConvolutions(before, width, config.norm)
            for before, width in zip((in_channels, *widths), widths, strict=False)
        )
        self.up = nn.ModuleList(
            TwoConvolutions(coarse + fine, fine, config.norm)
            for coarse, fine in itertools.pairwise(widths[::-1])
        )
        self.head = build_head(widths[0])

    def forward(self, condition: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 2 h w"]:
        """Predict chroma from the condition, whose first channel is lightness."""
        return self.decode(self.features(condition))

    def features(self, condition: Float[Tensor, "b c h w"]) -> list[Float[Tensor, "b _c _h _w"]]:
        """Compute the features of each level on the way up, coarsest first."""
        return self.expand(self.encode(condition))

    def encode(self, condition: Float[Tensor, "b c h w"]) -> list[Float[Tensor, "b _c _h _w"]]:
        """Compute the features of each level on the way down, finest first."""
        skips: list[Tensor] = []
        x = condition
        for level in self.down:
            x = level(F.max_pool2d(x, 2) if skips else x)
            skips.append(x)
        return skips

    def expand(
        self, encoded: list[Float[Tensor, "b _c _h _w"]]
    ) -> list[Float[Tensor, "b _c2 _h2 _w2"]]:
        """Compute ``features`` from the result of ``encode``."""
        *skips, x = encoded
        found = []
        for level in self.up:
            enlarged = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = level(torch.cat([enlarged, skips.pop()], dim=1))
            found.append(x)
        return found

    def decode(self, features: list[Float[Tensor, "b _c _h _w"]]) -> Float[Tensor, "b 2 h w"]:
        """Compute chroma from ``features``."""
        return self.head(features[-1])


class TwoConvolutions(nn.Sequential):
    """Two 3x3 convolutions, each followed by normalization and ReLU."""

    def __init__(self, in_channels: int, width: int, norm: Norm = "batch") -> None:
        layers: list[nn.Module] = []
        for channels in (in_channels, width):
            normalization = (
                nn.BatchNorm2d(width)
                if norm == "batch"
                else nn.GroupNorm(math.gcd(8, width), width)
            )
            convolution = nn.Conv2d(channels, width, 3, padding=1, bias=False)
            layers += [convolution, normalization, nn.ReLU()]
        super().__init__(*layers)


def build_head(in_channels: int) -> nn.Conv2d:
    """Build the 3x3 convolution from features to chroma; it predicts gray at first."""
    head = nn.Conv2d(in_channels, 2, 3, padding=1)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)  # type: ignore[arg-type]
    return head
