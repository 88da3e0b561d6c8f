"""``upsample_along``: enlarge chroma so that it follows the edges of lightness."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

__all__ = ["upsample_along"]


def upsample_along(
    values: Float[Tensor, "n c h w"],
    guide: Float[Tensor, "b 1 h2 w2"],
    factor: int,
    *,
    radius: int,
    least_variance: float,
) -> Float[Tensor, "n c h2 w2"]:
    """Smooth ``values`` within the edges of ``guide``, at the size of ``guide``.

    Args:
        values: Planes at ``1 / factor`` of the size of the guide.
        guide: One picture, or one for each of ``values``.
        factor: Given, because sizes are symbols while a network is exported.
        radius: Of the windows, in pixels of ``values``: a window has 2 radius + 1.
        least_variance: Where the guide varies less in a window, in its squared units,
            values are averaged; where it varies more, they keep its edges.

    In each window the values are a linear function of the guide, fitted by least
    squares, and the functions of all windows that a pixel is in are averaged. They are
    found at the small size and applied at the large one (He, Sun and Tang 2013,
    "Guided image filtering"; He and Sun 2015, arXiv:1505.00996).
    """
    small = F.avg_pool2d(guide, factor) if factor > 1 else guide
    mean = _average(small, radius)
    variance = _average(small.square(), radius) - mean.square()
    mean_values = _average(values, radius)
    covariance = _average(small * values, radius) - mean * mean_values
    slope = covariance / (variance + least_variance)
    fit = torch.cat([slope, mean_values - slope * mean], dim=1)
    fit = _average(fit, radius)
    if factor > 1:
        fit = F.interpolate(fit, scale_factor=float(factor), mode="bilinear")
    slope, offset = fit.chunk(2, dim=1)
    return slope * guide + offset


def _average(x: Tensor, radius: int) -> Tensor:
    """The mean of each window, of the part of it that is inside of the picture."""
    for kernel, padding in (((2 * radius + 1, 1), (radius, 0)), ((1, 2 * radius + 1), (0, radius))):
        x = F.avg_pool2d(x, kernel, 1, padding, count_include_pad=False)
    return x
