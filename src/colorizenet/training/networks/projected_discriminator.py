"""``ProjectedDiscriminator``: scores from frozen features (Sauer et al. 2021).

Projected GANs Converge Faster, arXiv:2111.01007. Frozen features of several scales are
mixed by frozen random convolutions, across channels and from coarse to fine, so that no
part of the discriminator can rely on a few of them. A small trained head scores each
scale.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from colorizenet.errors import ConfigError, check_minimum
from colorizenet.training.networks.frozen_features import FeaturePyramid, FeaturesConfig

__all__ = ["ProjectedDiscriminator", "ProjectedDiscriminatorConfig"]

Maps = Sequence[Float[Tensor, "b _c _h _w"]]


@dataclass(frozen=True, kw_only=True)
class ProjectedDiscriminatorConfig:
    """A discriminator on frozen features."""

    scales: tuple[int, ...] = (8, 16, 32)
    """Scales of the features: 8 is 1/8 of the size of the picture. Finer ones than 8
    show fine chroma, which no network can predict from a gray picture."""
    width: int = 64
    """Channels of the mixed features and of the heads."""

    def __post_init__(self) -> None:
        if not self.scales or any(scale not in (2, 4, 8, 16, 32) for scale in self.scales):
            raise ConfigError(
                f"task.discriminator.scales is {', '.join(map(str, self.scales)) or 'empty'}; "
                "give some of 2 4 8 16 32"
            )
        check_minimum(1, "task.discriminator", self, "width")


class ProjectedDiscriminator(nn.Module):
    """Scores a colored picture, given the gray one: logits, positive for real."""

    def __init__(self, config: ProjectedDiscriminatorConfig, features: FeaturesConfig) -> None:
        super().__init__()
        scales, width = sorted(set(config.scales)), config.width
        self.pyramid = FeaturePyramid(features, scales)
        self.mix = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in self.pyramid.widths)
        self.fuse = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in scales[1:])
        for projection in (*self.mix, *self.fuse):
            assert isinstance(projection, nn.Conv2d) and projection.bias is not None
            nn.init.kaiming_normal_(projection.weight, nonlinearity="linear")
            nn.init.zeros_(projection.bias)
            projection.requires_grad_(False)
        self.heads = nn.ModuleList(
            _build_head(width, halvings=round(math.log2(scales[-1] / scale))) for scale in scales
        )

    def project(self, rgb: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _c _h _w"]]:
        """Compute the frozen mixed features, finest first. The gradient reaches rgb.

        Returns float32, under autocast as well: bfloat16 has no second derivatives.
        """
        with torch.autocast(rgb.device.type, enabled=False):
            mixed = [mix(x) for mix, x in zip(self.mix, self.pyramid(rgb), strict=True)]
            x, *finer = reversed(mixed)
            projected = [x]
            for fuse, skip in zip(reversed(self.fuse), finer, strict=True):
                enlarged = F.interpolate(
                    x, size=skip.shape[-2:], mode="bilinear", align_corners=False
                )
                x = fuse((enlarged + skip) / math.sqrt(2))  # keeps the variance
                projected.append(x)
            return projected[::-1]

    def forward(self, color: Maps, gray: Maps) -> list[Float[Tensor, "b 1 _h _w"]]:
        """Score projected pictures, given the projected gray ones: a map of each
        scale."""
        return [
            head(torch.cat([x, condition], dim=1))
            for head, x, condition in zip(self.heads, color, gray, strict=True)
        ]


def _build_head(width: int, *, halvings: int) -> nn.Sequential:
    """Convolutions from the features of the colored and the gray picture to logits."""
    layers: list[nn.Module] = [nn.Conv2d(2 * width, width, 3, padding=1), nn.LeakyReLU(0.2)]
    for _ in range(halvings):
        layers += [nn.Conv2d(width, width, 4, 2, padding=1), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(width, 1, 3, padding=1))
