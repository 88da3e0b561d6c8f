"""Color hints for training: where a user would click, and which color they would want.

A hint is a square of one color, the mean of the wanted colors under it. Its planes are
those of ``options.render_input``: coverage in 0..1, and coverage times a* and b*, in
network units.
"""

import math
from typing import NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from colorizenet import color

__all__ = [
    "MOST_HINTS",
    "Hints",
    "SimulatedHints",
    "average_colors",
    "draw_hints",
    "draw_places",
    "drop_absent",
    "paint_hints",
    "simulate_hints",
]

_PROBABILITY = 1 / 8
"""Parameter of the geometric distribution of the number of hints."""
MOST_HINTS = 128
"""Largest number of hints."""
_SIDES = (1, 7)
"""Smallest and largest side of a hint, in pixels of a picture with a short side of
192."""
_SHORT_SIDE = 192
_TOLERANCES = ((15.0, 40.0), (10.0, 25.0))
"""Ranges from which the largest difference of a region from its first pixel is drawn:
in L*, and in a* and b*."""
_SMALLEST_REGION = 0.005
"""Share of the picture below which a region is grown again with twice the tolerance."""
_NEUTRAL = 0.2
"""Share of implausible colors that are gray."""
_LARGEST_SHIFT = 40.0
"""Largest shift of an implausible color in a*b* units, by which gray regions get a
color."""


class Hints(NamedTuple):
    """Squares in the pictures of a batch."""

    y: Float[Tensor, "b k"]
    """Vertical position of the center, as a fraction of the height."""
    x: Float[Tensor, "b k"]
    """Horizontal position of the center, as a fraction of the width."""
    side: Float[Tensor, "b k"]
    """Length of a side in pixels."""
    present: Bool[Tensor, "b k"]
    """Whether there is such a hint."""


class SimulatedHints(NamedTuple):
    """Hints of a batch and the colors that their user wants."""

    hints: Hints
    colors: Float[Tensor, "b k 2"]
    """The color of each hint: the mean of the wanted chroma under it."""
    ab: Float[Tensor, "b 2 h w"]
    """The wanted chroma: the true one, or in a region another one."""
    region: Bool[Tensor, "b h w"]
    """Where the wanted chroma is another one."""


def draw_hints(
    y: Float[Tensor, "b k"], x: Float[Tensor, "b k"], short: int, generator: torch.Generator
) -> Hints:
    """Hints at these places, with random sides, of which the first few are present.

    The numbers follow Zhang et al. 2017 (arXiv:1705.02999), section 3.1. Each picture
    has at least one. ``short``: short side of the pictures in pixels.
    """
    batch, most = y.shape
    count = torch.empty(batch).geometric_(_PROBABILITY, generator=generator)
    side = torch.randint(_SIDES[0], _SIDES[1] + 1, y.shape, generator=generator)
    present = torch.arange(most) < count[:, None]
    return Hints(y, x, side * (short / _SHORT_SIDE), present)


def draw_places(
    error: Float[Tensor, "b h w"], count: int, generator: torch.Generator
) -> tuple[Float[Tensor, "b count"], Float[Tensor, "b count"]]:
    """Draw positions as fractions of height and width, below 1, on the CPU.

    Half of them are uniform, half as frequent as the squared error there is large.
    """
    batch, height, width = error.shape
    squared = error.cpu().double().square().flatten(1)
    squared = squared + squared.mean(1, keepdim=True) * 1e-3 + 1e-12
    cell = torch.multinomial(squared, count, replacement=True, generator=generator)
    inside = torch.rand(2, batch, count, generator=generator)
    y = (torch.div(cell, width, rounding_mode="floor") + inside[0]) / height
    x = (cell % width + inside[1]) / width
    anywhere = torch.rand(2, batch, count, generator=generator)
    uniform = torch.rand(batch, count, generator=generator) < 0.5
    # Rounding may give 1, which is outside of the picture.
    largest = 1 - torch.finfo(torch.float32).eps
    y, x = y.clamp(max=largest), x.clamp(max=largest)
    return torch.where(uniform, anywhere[0], y), torch.where(uniform, anywhere[1], x)


def paint_hints(hints: Hints, ab: Float[Tensor, "b 2 h w"]) -> Float[Tensor, "b 3 h w"]:
    """Render hints that have the mean color of ``ab`` under them.

    A pixel that a square covers in part counts with the covered area.
    """
    hints = drop_absent(hints)  # fewer hints, less to multiply
    rows, columns = _cover(hints, ab)
    mean = _average(hints, ab, rows, columns)
    weight = torch.einsum("bkh,bkw->bhw", rows, columns)[:, None]
    total = torch.einsum("bkh,bkc,bkw->bchw", rows, mean, columns)
    return torch.cat([weight.clamp(max=1), total / weight.clamp(min=1)], dim=1)


def drop_absent(hints: Hints) -> Hints:
    """The hints up to the last number that some picture has, at least one."""
    most = max(1, int(hints.present.sum(1).max()))
    return Hints(*(each[:, :most] for each in hints))


def average_colors(hints: Hints, ab: Float[Tensor, "b 2 h w"]) -> Float[Tensor, "b k 2"]:
    """The mean of ``ab`` under each hint; 0 for hints that are not present."""
    return _average(hints, ab, *_cover(hints, ab))


def _average(
    hints: Hints,
    ab: Float[Tensor, "b 2 h w"],
    rows: Float[Tensor, "b k h"],
    columns: Float[Tensor, "b k w"],
) -> Float[Tensor, "b k 2"]:
    area = hints.side.square()[..., None].to(ab)
    return torch.einsum("bkh,bchw,bkw->bkc", rows, ab, columns) / area


def _cover(
    hints: Hints, ab: Float[Tensor, "b 2 h w"]
) -> tuple[Float[Tensor, "b k h"], Float[Tensor, "b k w"]]:
    """The share of each row and of each column that the hints cover."""
    height, width = ab.shape[2:]
    y, x, side, present = hints
    top, left = (
        ((center * length) - side / 2).clamp(min=0).minimum(length - side)
        for center, length in ((y, height), (x, width))
    )
    rows = (_overlap(height, top, side) * present[..., None]).to(ab)
    return rows, _overlap(width, left, side).to(ab)


@torch.no_grad()
def simulate_hints(
    lightness: Float[Tensor, "b 1 h w"],
    ab: Float[Tensor, "b 2 h w"],
    automatic: Float[Tensor, "b 2 h2 w2"],
    generator: torch.Generator,
    *,
    implausible: float,
) -> SimulatedHints:
    """Hints of a user who sees the chroma ``automatic`` and wants ``ab``.

    For the share ``implausible`` of the pictures, the user wants another color in a
    region around the first hint, so that a network learns to obey whether a color is
    plausible or not. Half of these have this hint alone. ``lightness`` and ``ab`` are
    the true ones.
    """
    batch, _, height, width = ab.shape
    first = draw_places(_measure_error(automatic, ab), 1, generator)
    changed = torch.rand(batch, generator=generator) < implausible
    wanted, regions = ab.clone(), torch.zeros_like(ab[:, 0], dtype=torch.bool)
    for index in changed.nonzero().flatten().tolist():
        lab = torch.cat(
            [color.denormalize_l(lightness[index]), color.denormalize_ab(ab[index])]
        ).movedim(0, -1)
        seed = int(first[0][index] * height), int(first[1][index] * width)
        region = _grow_region(lab.float().cpu().numpy(), seed, generator).to(ab.device)
        regions[index] = region
        wanted[index] = torch.where(region, _change_color(ab[index], generator), ab[index])
    further = draw_places(_measure_error(automatic, wanted), MOST_HINTS - 1, generator)
    y, x = (torch.cat(pair, dim=1) for pair in zip(first, further, strict=True))
    hints = draw_hints(y, x, min(height, width), generator)
    alone = changed & (torch.rand(batch, generator=generator) < 0.5)
    hints.present[alone, 1:] = False
    hints = drop_absent(hints)
    return SimulatedHints(hints, average_colors(hints, wanted), wanted, regions)


def _measure_error(
    small: Float[Tensor, "b 2 h2 w2"], ab: Float[Tensor, "b 2 h w"]
) -> Float[Tensor, "b h2 w2"]:
    """Distance of the mean colors at the size of ``small``."""
    reduced = torch.nn.functional.interpolate(ab, size=small.shape[-2:], mode="area")
    return (small.float() - reduced).square().sum(1).sqrt()


def _grow_region(
    lab: Float[np.ndarray, "h w 3"], seed: tuple[int, int], generator: torch.Generator
) -> Bool[Tensor, "h w"]:
    """A connected region of similar color around a pixel, without small holes."""
    scale = np.array([255 / 100, 1, 1], np.float32)
    levels = np.clip(lab * scale + np.array([0, 128, 128], np.float32), 0, 255)
    image = cv2.medianBlur(np.ascontiguousarray(levels.round().astype(np.uint8)), 3)
    share = torch.rand(2, generator=generator).tolist()
    (low_l, high_l), (low_ab, high_ab) = _TOLERANCES
    tolerance = scale * np.array(
        [low_l + share[0] * (high_l - low_l), *[low_ab + share[1] * (high_ab - low_ab)] * 2]
    )
    height, width = lab.shape[:2]
    inside = np.zeros((height, width), np.uint8)
    for doubled in (1, 2, 4):
        mask = np.zeros((height + 2, width + 2), np.uint8)
        limits = tuple((doubled * tolerance).tolist())
        flags = 4 | cv2.FLOODFILL_FIXED_RANGE | cv2.FLOODFILL_MASK_ONLY | (1 << 8)
        cv2.floodFill(image, mask, (seed[1], seed[0]), (0, 0, 0), limits, limits, flags)
        inside = cv2.morphologyEx(
            np.ascontiguousarray(mask[1:-1, 1:-1]), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)
        )
        if inside.mean() >= _SMALLEST_REGION:
            break
    return torch.from_numpy(inside > 0)


def _change_color(ab: Float[Tensor, "2 h w"], generator: torch.Generator) -> Float[Tensor, "2 h w"]:
    """Turn the hue by 60 to 300 degrees and shift all colors, or make them gray."""
    neutral, turn, size, direction = torch.rand(4, generator=generator).tolist()
    if neutral < _NEUTRAL:
        return torch.zeros_like(ab)
    angle, towards = math.radians(60 + 240 * turn), 2 * math.pi * direction
    cosine, sine = math.cos(angle), math.sin(angle)
    rotation = ab.new_tensor([[cosine, -sine], [sine, cosine]])
    shift = ab.new_tensor([math.cos(towards), math.sin(towards)]) * size
    turned = torch.einsum("ij,jhw->ihw", rotation, ab)
    return turned + shift[:, None, None] * (_LARGEST_SHIFT / color.AB_SCALE)


def _overlap(
    length: int, start: Float[Tensor, "b k"], extent: Float[Tensor, "b k"]
) -> Float[Tensor, "b k {length}"]:
    """Share of each pixel of a line that an interval covers."""
    pixel = torch.arange(length, dtype=torch.float32)
    end = (start + extent)[..., None]
    return (torch.minimum(pixel + 1, end) - torch.maximum(pixel, start[..., None])).clamp(0, 1)
