"""Colored noise: Gaussian noise with a given spread in each octave of frequency."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["color_noise", "measure_bands"]


def color_noise(
    white: Float[Tensor, "b c h w"],
    bands: Sequence[float],
    temperatures: Sequence[float] = (1.0,),
) -> Float[Tensor, "b c h w"]:
    """Give white noise the relative spreads ``bands``, at a total variance of 1.

    ``temperatures`` then multiply the bands; the last one is also that of all further
    bands.

    Band 0 is the mean of the picture, band k the frequencies from 2^(k-1) up to 2^k
    half waves along the short side; lower ones of a longer side are in band 1. So a
    band has structures of the same size relative to the picture at each resolution.
    Frequencies beyond the last band have its spread.
    The filter is linear: noise of 0 stays 0.
    """
    height, width = white.shape[-2:]
    rows, columns = _cosines(height, white), _cosines(width, white)
    gain = _gains(height, width, bands, white) * _fill_bands(height, width, temperatures, white)
    spectrum = rows @ white @ columns.T
    return rows.T @ (gain * spectrum) @ columns


def measure_bands(planes: Float[Tensor, "b c h w"], count: int) -> Float[Tensor, "count"]:
    """The spread of square planes in each of the ``count`` first bands.

    The sum of their squares is the mean square of the planes, if ``count`` covers all.
    """
    height, width = planes.shape[-2:]
    rows, columns = _cosines(height, planes), _cosines(width, planes)
    power = (rows @ planes @ columns.T).square().mean((0, 1)) / (height * width)
    band = _find_bands(height, width, planes)
    return torch.stack([power[band == number].sum() for number in range(count)]).sqrt()


def _cosines(size: Any, like: Tensor) -> Float[Tensor, "n n"]:
    """The orthonormal discrete cosine transform (DCT-II), one frequency in each row.

    ``size`` is a whole number, or a symbolic one while the network is exported.
    """
    index = torch.arange(size, dtype=like.dtype, device=like.device)
    angle = math.pi / size * index[:, None] * (index + 0.5)
    first = (index == 0).to(like.dtype)[:, None]
    return torch.cos(angle) * ((2 - first) / size).sqrt()


def _find_bands(
    height: int | torch.SymInt, width: int | torch.SymInt, like: Tensor
) -> Float[Tensor, "h w"]:
    """The number of the band of each coefficient, a whole number."""
    short: Any = torch.sym_min(height, width)
    rows = torch.arange(height, dtype=like.dtype, device=like.device) * (short / height)
    columns = torch.arange(width, dtype=like.dtype, device=like.device) * (short / width)
    frequency = torch.maximum(rows[:, None], columns[None])
    # With the spread of the mean, they would tint one half of a long picture.
    frequency = torch.where(frequency > 0, frequency.clamp(min=1), 0.5)
    # A frequency of exactly 2^k must not fall into the lower band by rounding.
    return torch.floor(torch.log2(frequency) + 1 + 1e-4)


def _gains(
    height: int | torch.SymInt, width: int | torch.SymInt, bands: Sequence[float], like: Tensor
) -> Float[Tensor, "h w"]:
    """The factor of each coefficient that gives the bands their spreads."""
    # A square has 4^k coefficients below frequency 2^k.
    counts = [4.0**k - (4.0 ** (k - 1) if k else 0.0) for k in range(2 * len(bands))]
    spreads = [bands[min(k, len(bands) - 1)] / math.sqrt(n) for k, n in enumerate(counts)]
    gain = _fill_bands(height, width, spreads, like)
    return gain / gain.square().mean().sqrt()


def _fill_bands(
    height: int | torch.SymInt, width: int | torch.SymInt, values: Sequence[float], like: Tensor
) -> Float[Tensor, "h w"]:
    """The value of the band of each coefficient, the last one beyond the last band."""
    band = _find_bands(height, width, like).clamp(max=len(values) - 1)
    filled = torch.zeros_like(band)
    for number, value in enumerate(values):
        filled = filled + (band == number).to(like.dtype) * value
    return filled
