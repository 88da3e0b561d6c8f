"""Chroma as a choice among bins of ab: an auxiliary task that rewards being vivid over being average.

The bins are the cells of 10 x 10 that sRGB can show at some lightness. Each true color is
spread over its five nearest bins, and rare colors count more than common ones (Zhang, Isola and
Efros 2016, sections 2.1 and 2.2, on which this is modelled).
"""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from colorizenet import color

__all__ = ["Bins", "bin_centers"]

_CELL = 10.0
_NEIGHBORS = 5
_SPREAD = 5.0  # deviation of the Gaussian over the neighbors, in a*b* units
_UNIFORM = 0.5  # the share of an even distribution in what the weights even out
_MEMORY = 0.99  # of the running share of each bin, a batch


def bin_centers() -> Float[np.ndarray, "bins 2"]:
    """Centers, in a*b* units, of the cells that hold a color of sRGB."""
    levels = np.linspace(0, 1, 65)
    cube = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    cells = np.unique(np.round(color.rgb_to_lab(cube)[:, 1:] / _CELL), axis=0)
    return (cells * _CELL).astype(np.float32)


class Bins(nn.Module):
    """Features of a network -> logits of the bins, and how wrong they are. It is not exported."""

    centers: Tensor
    shares: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        centers = torch.from_numpy(bin_centers())
        self.register_buffer("centers", centers, persistent=False)
        self.register_buffer("shares", torch.full((len(centers),), 1 / len(centers)))
        self.head = nn.Conv2d(channels, len(centers), 1)

    def forward(
        self, features: Float[Tensor, "b c h w"], ab: Float[Tensor, "b 2 h2 w2"]
    ) -> Float[Tensor, ""]:
        """Cross-entropy against the true chroma, in network units, each pixel weighted by how rare its color is."""
        logits = self.head(features).float()
        true = color.denormalize_ab(F.interpolate(ab, size=logits.shape[-2:], mode="area"))
        bins, weights = self.encode(true.movedim(1, -1).reshape(-1, 2))
        if self.training:
            self._note(bins, weights)
        rarity = 1 / ((1 - _UNIFORM) * self.shares + _UNIFORM / len(self.shares))
        rarity = rarity / (self.shares * rarity).sum()
        chosen = F.log_softmax(logits, dim=1).movedim(1, -1).flatten(0, 2).gather(1, bins)
        return -((weights * chosen).sum(1) * rarity[bins[:, 0]]).mean()

    def encode(self, ab: Float[Tensor, "n 2"]) -> tuple[Int64[Tensor, "n 5"], Float[Tensor, "n 5"]]:
        """The nearest bins of colors in a*b* units, nearest first, and their weights, which sum to 1."""
        distances, bins = torch.cdist(ab, self.centers).topk(_NEIGHBORS, largest=False)
        return bins, torch.softmax(-distances.square() / (2 * _SPREAD**2), dim=1)

    @torch.no_grad()
    def _note(self, bins: Tensor, weights: Tensor) -> None:
        seen = torch.zeros_like(self.shares).index_add_(0, bins.flatten(), weights.flatten()) / len(
            bins
        )
        self.shares.lerp_(seen, 1 - _MEMORY)
