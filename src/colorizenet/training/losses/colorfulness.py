"""A loss that asks for color, whatever the truth."""

import torch
from jaxtyping import Float
from torch import Tensor

from colorizenet import color

__all__ = ["colorfulness_loss", "limit_chroma"]

_LEVELS2 = 1e-4
"""Squared levels added under roots, so that the slope is finite where a picture is
gray."""


def colorfulness_loss(rgb: Float[Tensor, "b 3 h w"]) -> Float[Tensor, ""]:
    """``1 - colorfulness / 100`` (Hasler and Süsstrunk 2003): pulls towards more color.

    ``rgb`` is sRGB in 0..1. DDColor weighs it by 0.5, at which small networks answer
    with saturated spots: the standard deviation grows fastest where colors are already
    vivid. Apply ``limit_chroma`` to the colors first.
    """
    red, green, blue = (255 * rgb).unbind(1)
    opponents = torch.stack([red - green, (red + green) / 2 - blue], dim=1).flatten(2)
    variance, mean = opponents.var(-1, correction=0).sum(1), opponents.mean(-1).square().sum(1)
    return 1 - ((variance + _LEVELS2).sqrt() + 0.3 * (mean + _LEVELS2).sqrt()).mean() / 100


def limit_chroma(ab: Float[Tensor, "b 2 h w"], *, limit: float = 40.0) -> Float[Tensor, "b 2 h w"]:
    """Compress chroma smoothly to below ``limit`` (in a*b* units); hues are kept.

    Pale colors stay nearly as they are; vivid ones get almost no gradient.
    """
    limit = limit / color.AB_SCALE
    chroma = (ab.square().sum(1, keepdim=True) + 1e-8).sqrt()
    return ab * (limit * (chroma / limit).tanh() / chroma)
