"""``Similarity``: says what is alike in a picture, so that hints follow it."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from colorizenet import color
from colorizenet.hints import NEAR, NOISE, PLAUSIBLE, SCALES

__all__ = ["Similarity", "spread_residuals"]

_HIDDEN = 48
"""Channels of the layer that joins the levels."""
_SMALLEST = 1e-8
"""Smallest square whose root is taken, because its slope is infinite at 0."""


class Similarity(nn.Module):
    """Coordinates of each pixel, whose distances say what gets the same color.

    They are those of ``hints.describe_similarity`` with learned scales, and more that
    are computed from the features of the decoder. The first channel is the chroma up to
    which a residual is plausible, which depends on the features too. At first the
    output is that of ``hints.describe_similarity``, but for small random numbers.
    """

    def __init__(self, widths: Sequence[int], channels: int, *, reduction: int) -> None:
        """``widths``: channels of the decoder's levels, coarsest first. ``channels``:
        number of learned coordinates. ``reduction``: pixels of the network input for
        each pixel of the last level."""
        super().__init__()
        self.reduction = reduction
        self.levels = nn.ModuleList(nn.Conv2d(width, _HIDDEN, 1) for width in widths)
        self.head = nn.Conv2d(_HIDDEN, 1 + channels, 1)
        nn.init.normal_(self.head.weight, std=0.02)
        assert self.head.bias is not None
        nn.init.zeros_(self.head.bias)
        self.factors = nn.Parameter(torch.ones(len(SCALES), 1, 1))

    def forward(
        self,
        lightness: Float[Tensor, "b 1 h w"],
        levels: Sequence[Float[Tensor, "b _c _h _w"]],
        ab: Float[Tensor, "b 2 h2 w2"],
    ) -> Float[Tensor, "b _n h2 w2"]:
        """The plausible chroma in a*b* units, then the coordinates, float32.

        ``levels`` are the features of the decoder, coarsest first, and ``ab`` the
        chroma predicted from them, of the size of the last.
        """
        hidden = self.levels[-1](levels[-1])
        for index, level in enumerate(levels[:-1]):
            factor = 2.0 ** (len(levels) - 1 - index)
            reduced = self.levels[index](level)
            hidden = hidden + F.interpolate(reduced, scale_factor=factor, mode="bilinear")
        found = self.head(F.relu(hidden)).float()
        known = torch.cat(
            [
                color.denormalize_l(F.avg_pool2d(lightness.float(), self.reduction)),
                color.denormalize_ab(ab.float()),
                _locate_pixels(found).expand(ab.shape[0], -1, -1, -1),
            ],
            dim=1,
        )
        scaled = known / torch.tensor(SCALES, device=ab.device)[:, None, None] * self.factors
        return torch.cat([PLAUSIBLE * found[:, :1].exp(), scaled, found[:, 1:]], dim=1)


def spread_residuals(
    ab: Float[Tensor, "b 2 h w"],
    similarity: Float[Tensor, "b c h w"],
    places: Float[Tensor, "b k 2"],
    wanted: Float[Tensor, "b k 2"],
    present: Bool[Tensor, "b k"],
) -> Float[Tensor, "b 2 h w"]:
    """As ``hints.spread_residuals``, for a batch: the change of ``ab``.

    All chroma is in network units. ``places`` are x and y as fractions of width and
    height, ``wanted`` the chroma there, and ``present`` says which of them there are.
    """
    residual = color.denormalize_ab(wanted - _sample(ab, places)) * present[..., None]
    known = _sample(similarity, places)
    plausible, known = known[..., :1], known[..., 1:]
    length = (residual.square().sum(-1, keepdim=True) + _SMALLEST).sqrt()
    value = residual / (1 + (length / plausible) ** 4)
    coordinates = similarity[:, 1:].flatten(2).transpose(1, 2)
    both = present[:, :, None] & present[:, None]
    change = torch.zeros_like(ab).flatten(2).transpose(1, 2)
    for scale in (1.0, NEAR):
        inner = _compute_kernel(known, known, scale) * both
        noise = torch.diag_embed(torch.where(present, NOISE, 1.0))
        weights = torch.linalg.solve(inner + noise, value)
        kernel = _compute_kernel(coordinates, known, scale) * present[:, None]
        change = change + color.normalize_ab(kernel @ weights)
        value = residual - inner @ weights
    return change.transpose(1, 2).unflatten(2, ab.shape[2:])


def _compute_kernel(
    one: Float[Tensor, "b m c"], other: Float[Tensor, "b k c"], scale: float
) -> Float[Tensor, "b m k"]:
    squares = one.square().sum(-1, keepdim=True) + other.square().sum(-1)[:, None]
    squared = (squares - 2 * one @ other.transpose(1, 2)).clamp(min=_SMALLEST)
    return (-scale * squared.sqrt()).exp()


def _sample(
    planes: Float[Tensor, "b c h w"], places: Float[Tensor, "b k 2"]
) -> Float[Tensor, "b k c"]:
    grid = 2 * places[:, :, None] - 1
    sampled = F.grid_sample(planes, grid, padding_mode="border", align_corners=False)
    return sampled[..., 0].transpose(1, 2)


def _locate_pixels(planes: Float[Tensor, "b c h w"]) -> Float[Tensor, "2 h w"]:
    """x and y of the center of each pixel, in short sides of the picture."""
    height, width = planes.shape[2:]
    short: Any = torch.sym_min(height, width)
    rows, columns = (
        (torch.arange(length, device=planes.device) + 0.5) / short for length in (height, width)
    )
    return torch.stack([columns.expand(height, -1), rows[:, None].expand(-1, width)])
