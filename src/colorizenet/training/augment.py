"""The seam between pixels and network units: batches of uint8 RGB <-> (L, ab), on the device."""

import functools

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from colorizenet import color

__all__ = ["to_network", "to_rgb"]


@torch.no_grad()
def to_network(rgb: UInt8[Tensor, "b h w 3"]) -> tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b 2 h w"]]:
    """(L, ab) of sRGB photographs in network units, channels second."""
    planes = _linear_levels(rgb.device).take(rgb.movedim(-1, 1).long())  # a plane a channel: quicker to go through
    lab = color.linear_to_lab(planes.movedim(1, -1)).movedim(-1, 1)
    return color.normalize_l(lab[:, :1]), color.normalize_ab(lab[:, 1:])


@functools.cache
def _linear_levels(device: torch.device) -> Float[Tensor, "256"]:
    """Linear light of the 256 levels that there are: looking them up halves the way to Lab."""
    return color.rgb_to_linear(torch.arange(256, device=device) / 255)


@torch.no_grad()
def to_rgb(lightness: Float[Tensor, "b 1 h w"], ab: Float[Tensor, "b 2 h2 w2"]) -> UInt8[Tensor, "b h w 3"]:
    """sRGB photographs of (L, ab) in network units; smaller chroma is brought up bilinearly."""
    ab = F.interpolate(ab.float(), size=lightness.shape[-2:], mode="bilinear", antialias=False)
    lab = torch.cat([color.denormalize_l(lightness.float()), color.denormalize_ab(ab)], dim=1).movedim(1, -1)
    rgb = color.linear_to_rgb(color.fade_linear(color.lab_to_linear(lab)))
    return (rgb * 255).round().to(torch.uint8)
