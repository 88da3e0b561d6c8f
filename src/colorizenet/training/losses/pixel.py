"""Losses on single pixels of chroma: tensors in network units -> one scalar.

All of them pull the prediction towards the target. They differ in how much a few large
errors count against many small ones.
"""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from colorizenet import color

__all__ = ["chroma", "ciede2000", "huber", "l1", "l2"]

Chroma = Float[Tensor, "b 2 h w"]
Scalar = Float[Tensor, ""]

_SMOOTHING = 1e-2
"""Added to squared distances in a*b* units under a root, whose slope is infinite at 0.
Too small to be visible."""


def l1(predicted: Chroma, target: Chroma) -> Scalar:
    """Mean absolute error: converges to the median of plausible colors, often gray."""
    return F.l1_loss(predicted, target)


def l2(predicted: Chroma, target: Chroma) -> Scalar:
    """Mean squared error: converges to the mean of plausible colors, often brown."""
    return F.mse_loss(predicted, target)


def huber(predicted: Chroma, target: Chroma, *, delta: float = 10.0) -> Scalar:
    """Quadratic up to ``delta`` (in a*b* units), then linear (Huber 1964), over delta.

    Similar colors are averaged as by ``l2``; outliers count as by ``l1``.
    """
    delta = delta / color.AB_SCALE
    return F.huber_loss(predicted, target, delta=delta) / delta


def ciede2000(predicted: Chroma, target: Chroma, *, delta: float = 10.0) -> Scalar:
    """Mean pseudo-Huber of the CIEDE2000 difference at equal lightness, over 128.

    ``sqrt(d**2 + delta**2) - delta`` (Charbonnier et al. 1997) of the difference ``d``:
    quadratic well below ``delta`` and linear beyond. CIEDE2000 counts an error more
    where colors are pale than where both are vivid, so this converges to livelier
    colors than ``l1``. With a very small delta, neighboring regions settle on different
    colors, for example one half of a face gray and the other red.
    """
    one, other = (color.denormalize_ab(ab.float()).movedim(1, -1) for ab in (predicted, target))
    squared = color.delta_e_2000(one, other, smoothing=_SMOOTHING, squared=True)
    return ((squared + delta**2).clamp(min=_SMOOTHING).sqrt() - delta).mean() / color.AB_SCALE


def chroma(predicted: Chroma, target: Chroma, *, delta: float = 10.0) -> Scalar:
    """Mean pseudo-Huber of the difference in chroma ``hypot(a, b)``, over 128.

    Hues do not count. The mean of colors of several hues is pale, and the mean of their
    chroma is not: so this converges to colors as vivid as those of the photographs are
    on average, where a photograph is vivid, and to gray where it is gray.
    """
    one, other = (
        (color.denormalize_ab(ab.float()).square().sum(1) + _SMOOTHING).sqrt()
        for ab in (predicted, target)
    )
    return (((one - other).square() + delta**2).sqrt() - delta).mean() / color.AB_SCALE
