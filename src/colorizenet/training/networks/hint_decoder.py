"""``HintDecoder``: changes predicted chroma so that it follows color hints.

It reads what a network computed without hints: its features, its chroma, the lightness.
So the network itself never depends on hints, and its part can be computed once for each
photo.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

__all__ = ["HintDecoder"]

_TOKENS = 128
"""Number of places with hints that the attention reads."""
_HEADS = 8
_DIMENSIONS = 8
"""Channels of the keys of each head."""
_VALUES = 5
"""Channels of what the attention returns for each head: 1, color, difference."""
_KNOWN = 3
"""Channels of lightness and predicted chroma."""
_FACTOR = 4
"""Side of a place that attends, in pixels of the finest level."""
_CHROMA = 4.0
"""Factor of chroma, so that it has the same range as other features."""
_LEAST = 1e-4
"""Covered pixels that are added to a divisor, which is 0 where there is no hint."""
_PIXELS = 160.0
"""Unit of distances between places, in pixels of the network input."""


class HintDecoder(nn.Module):
    """A second decoder, whose output is added to the chroma of the first one.

    Hints reach each level as averages over the level's cells. From there, convolutions
    spread them nearby. Far places follow by attention: each place attends to the cells
    that have hints, by the features at the hints and by distance (Lee et al. 2023,
    iColoriT, arXiv:2207.06831). The output is exactly 0 for pictures without hints, and
    for all pictures at first.
    """

    def __init__(self, widths: Sequence[int], *, reduction: int) -> None:
        """``widths``: channels of the network's levels, coarsest first. ``reduction``:
        pixels of the network input for each pixel of the finest level."""
        super().__init__()
        self.reduction = reduction
        self.attention = HintAttention(
            widths[-2] + _KNOWN, sum(widths[-3:-2]), cell=_FACTOR * reduction
        )
        own = [max(8, 3 * width // 4) for width in widths]
        self.levels = nn.ModuleList()
        for index, (coarser, width, mine) in enumerate(zip((0, *own), widths, own, strict=False)):
            attended = HintAttention.channels if index < len(widths) - 1 else 0
            self.levels.append(_Level(coarser + width + attended + _VALUES + _KNOWN, mine))
        self.head = nn.Conv2d(own[-1], 2, 3, padding=1)
        self.near = nn.Conv2d(_VALUES, 2, 1, bias=False)
        self.far = nn.Conv2d(HintAttention.channels, 2, 1, bias=False)
        for layer in (self.head, self.near, self.far):
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)

    def forward(
        self,
        hints: Float[Tensor, "b 3 h w"],
        lightness: Float[Tensor, "b 1 h w"],
        levels: Sequence[Float[Tensor, "b _c _h _w"]],
        ab: Float[Tensor, "b 2 h2 w2"],
    ) -> Float[Tensor, "b 2 h2 w2"]:
        """Compute the change of ``ab``, which was predicted from ``levels`` without
        hints."""
        ab, side = ab.float(), self.reduction
        covered = _sum_cells(hints.float(), side)
        sums = torch.cat([covered, covered[:, :1] * ab], dim=1)
        known = torch.cat([F.avg_pool2d(lightness.float(), side), ab * _CHROMA], dim=1)
        fine = torch.cat([levels[-2], F.avg_pool2d(known, 2)], dim=1)
        context = self.attention(_sum_cells(sums, 2), fine, levels[-3:-2])
        x = local = sums
        for index, (own, level) in enumerate(zip(self.levels, levels, strict=True)):
            factor = 2 ** (len(levels) - 1 - index)
            local = _describe_cells(_sum_cells(sums, factor))
            parts = [level, local, _average_cells(known, factor)]
            if index:
                parts.append(F.interpolate(x, scale_factor=2.0, mode="nearest"))
            if factor > 1:
                parts.append(
                    _average_cells(context, factor // _FACTOR)
                    if factor >= _FACTOR
                    else F.interpolate(context, scale_factor=2.0, mode="nearest")
                )
            x = own(torch.cat(parts, dim=1))
        far = F.interpolate(self.far(context), scale_factor=float(_FACTOR), mode="bilinear")
        any_hint = hints[:, :1].float().sum((1, 2, 3), keepdim=True).clamp(max=1)
        return any_hint * (self.head(x) + self.near(local) + far).float()


class HintAttention(nn.Module):
    """Each place attends to the places that have hints.

    For each head it returns the sum of the weights, and the weighted sums of the hints'
    colors and of their differences from the predicted colors. Of more places with hints
    than ``_TOKENS``, some of those are left out that a large hint covers in full.
    """

    channels = _HEADS * _VALUES
    """Channels of the output."""

    def __init__(self, fine: int, coarse: int, *, cell: int) -> None:
        """``fine`` and ``coarse``: channels of the features. ``cell``: pixels of the
        network input for each place."""
        super().__init__()
        self.cell = cell
        self.query = nn.Conv2d(fine + coarse, _HEADS * _DIMENSIONS, 1)
        self.key = nn.Conv2d(fine + coarse, _HEADS * _DIMENSIONS, 1)
        # The logit of attending to no hint.
        self.none = nn.Conv2d(fine + coarse, _HEADS, 1)
        # Heads of all ranges, from the whole picture to a tenth of it.
        self.log_decay = nn.Parameter(torch.linspace(-1.0, 4.5, _HEADS))

    def forward(
        self,
        sums: Float[Tensor, "b 5 h w"],
        fine: Float[Tensor, "b _c h w"],
        coarse: Sequence[Float[Tensor, "b _c2 h2 w2"]],
    ) -> Float[Tensor, "b {self.channels} h2 w2"]:
        """``sums``: covered pixels, and the sums of the hints' and of the predicted a*
        and b* over them, at the size of ``fine``. The places are those of ``coarse``,
        which may be empty, at half of this size."""
        count = _sum_cells(sums[:, :1], 2)
        at_hints = _sum_cells(sums[:, :1] * fine, 2) / (count + _LEAST)
        keys = self.key(torch.cat([at_hints, *coarse], dim=1))
        features = torch.cat([F.avg_pool2d(fine, 2), *coarse], dim=1)
        height, width = features.shape[2:]
        rows, columns = (
            (torch.arange(length, device=sums.device) + 0.5) * (self.cell / _PIXELS)
            for length in (height, width)
        )
        places = torch.stack([rows[:, None].expand(-1, width), columns.expand(height, -1)])
        described = torch.cat([places.expand(sums.shape[0], -1, -1, -1), keys], dim=1)
        tokens = self._choose(torch.cat([_sum_cells(sums, 2), (count > 0) * described], dim=1))

        count, there, keys = tokens[:, :1], tokens[:, 5:7], tokens[:, 7:]
        values = torch.cat([(count > 0).float(), _mean_colors(tokens[:, :5])], dim=1)
        queries, keys = (
            each.flatten(2).unflatten(1, (_HEADS, _DIMENSIONS))
            for each in (self.query(features), keys)
        )
        logits = (queries.transpose(2, 3) @ keys).float() / _DIMENSIONS**0.5
        here = places.flatten(1)[None, :, :, None]
        distance = (here - there[:, :, None]).square().sum(1)[:, None]  # (b, 1, places, tokens)
        presence = (count / (count + 1)).clamp(min=1e-6).log()[:, None]
        logits = logits - self.log_decay.exp()[:, None, None] * distance + presence
        none = self.none(features).flatten(2)[..., None].float()
        weights = torch.cat([none, logits], dim=-1).softmax(-1)[..., 1:]
        attended = weights @ values.transpose(1, 2)[:, None]  # (b, heads, places, values)
        return attended.transpose(2, 3).flatten(1, 2).unflatten(2, (height, width))

    def _choose(self, cells: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c tokens"]:
        """The places with hints, filled up with empty ones to a fixed number."""
        cells = cells.flatten(2)
        cells = torch.cat([cells, cells.new_zeros(*cells.shape[:2], _TOKENS)], dim=2)
        count = cells[:, 0]
        partly = (count < 0.99 * self.cell**2).float()
        # An order without ties, spread over the picture.
        spread = torch.arange(cells.shape[2], device=cells.device) * 40503 % 65536 / 65536
        rank = (count > 0) * (count.clamp(max=4) / 4 + partly + 0.1 * spread)
        chosen: Int[Tensor, "b tokens"] = rank.topk(_TOKENS, dim=1).indices
        return cells.gather(2, chosen[:, None].expand(-1, cells.shape[1], -1))


class _Level(nn.Module):
    """A 1x1 convolution, then a 3x3 convolution around a skip."""

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(in_channels, width, 1)
        self.spread = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h w"]:
        x = F.relu(self.reduce(x))
        return x + F.relu(self.spread(x))


def _average_cells(planes: Float[Tensor, "b c h w"], side: int) -> Float[Tensor, "b c h2 w2"]:
    """Means over cells of ``side`` x ``side`` pixels."""
    return planes if side == 1 else F.avg_pool2d(planes, side)


def _sum_cells(planes: Float[Tensor, "b c h w"], side: int) -> Float[Tensor, "b c h2 w2"]:
    """Sums over cells of ``side`` x ``side`` pixels."""
    return _average_cells(planes, side) * side**2


def _mean_colors(sums: Float[Tensor, "b 5 *size"]) -> Float[Tensor, "b 4 *size"]:
    """Mean a* and b* of the hints in each cell, and their differences from the
    predicted ones; 0 without hints."""
    count, hinted, predicted = sums.split((1, 2, 2), dim=1)
    colors = torch.cat([hinted, hinted - predicted], dim=1)
    return colors * _CHROMA / (count + _LEAST)


def _describe_cells(sums: Float[Tensor, "b 5 h w"]) -> Float[Tensor, "b 5 h w"]:
    """How much of a hint there is in each cell, 0..1, and that times its colors."""
    presence = sums[:, :1] / (sums[:, :1] + 1)
    return torch.cat([presence, presence * _mean_colors(sums)], dim=1)
