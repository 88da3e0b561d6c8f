"""What a network is punished for: pure functions, tensors in network units -> one scalar.

Every one pulls the prediction towards the target; they differ in how much a few large errors
count against many small ones.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from colorizenet import color

Chroma = Float[Tensor, "b 2 h w"]
Logits = Float[Tensor, "b 1 h2 w2"]
Scalar = Float[Tensor, ""]


def l1(predicted: Chroma, target: Chroma) -> Scalar:
    """Mean absolute error: settles on the median of the plausible colors, so often on gray."""
    return F.l1_loss(predicted, target)


def l2(predicted: Chroma, target: Chroma) -> Scalar:
    """Mean squared error: settles on the mean of the plausible colors, so often on brown."""
    return F.mse_loss(predicted, target)


def huber(predicted: Chroma, target: Chroma, *, corner: float = 10.0) -> Scalar:
    """Squared up to ``corner`` (in a*b* units) and linear beyond (Huber 1964), over the corner.

    Close colors are averaged as by ``l2``, and one impossible to guess does not spoil the rest.
    """
    corner = corner / color.AB_SCALE
    return F.huber_loss(predicted, target, delta=corner) / corner


def ciede2000(predicted: Chroma, target: Chroma, *, corner: float = 10.0) -> Scalar:
    """Mean CIEDE2000 of colors of equal lightness (CIE 142-2001), over 128; squared well below ``corner``.

    As the eye has it, what is off by 10 matters much where the colors are pale and little where
    both are vivid. So of the plausible colors it settles on a livelier one than ``l1``. Around ``corner``,
    in units of the difference, it turns from squared over twice the corner to absolute less the corner (pseudo-Huber:
    Charbonnier et al. 1997): absolute throughout, it leaves half of a face gray and the other half red.
    """
    (a1, b1), (a2, b2) = (color.denormalize_ab(ab.float()).unbind(1) for ab in (predicted, target))
    tiny = 1e-2  # units of a*b* squared: below what is seen, and the roots have a slope
    mean7 = ((_length(a1, b1, tiny) + _length(a2, b2, tiny)) / 2) ** 7
    stretch = 1.5 - 0.5 * (mean7 / (mean7 + 25.0**7)).sqrt()
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = _length(a1, b1, tiny), _length(a2, b2, tiny)
    chroma = (c1 + c2) / 2
    with (
        torch.no_grad()
    ):  # how wide a hue is changes slowly, and has no slope where the mean hue jumps
        hue = torch.atan2(b1 / c1 + b2 / c2, a1 / c1 + a2 / c2)
        degrees = math.pi / 180
        t = (
            1
            - 0.17 * torch.cos(hue - 30 * degrees)
            + 0.24 * torch.cos(2 * hue)
            + 0.32 * torch.cos(3 * hue + 6 * degrees)
            - 0.20 * torch.cos(4 * hue - 63 * degrees)
        )
        blue = 30 * degrees * torch.exp(-(((hue % math.tau - 275 * degrees) / (25 * degrees)) ** 2))
        rotation = -2 * (chroma**7 / (chroma**7 + 25.0**7)).sqrt() * torch.sin(2 * blue)
    by_chroma = (c1 - c2) / (1 + 0.045 * chroma)
    along = (2 * (c1 * c2 - a1 * a2 - b1 * b2)).clamp(min=0)
    turn = torch.where(a2 * b1 < a1 * b2, -1.0, 1.0)
    by_hue = turn * ((along + tiny).sqrt() - tiny**0.5) / (1 + 0.015 * chroma * t)
    squared = by_chroma**2 + by_hue**2 + rotation * by_chroma * by_hue
    return ((squared + corner**2).clamp(min=tiny).sqrt() - corner).mean() / color.AB_SCALE


def _length(a: Tensor, b: Tensor, tiny: float) -> Tensor:
    return (a * a + b * b + tiny).sqrt()


def gradient(predicted: Chroma, target: Chroma) -> Scalar:
    """Mean absolute error of the change from each pixel to the next, across and down: against bleeding and blotches."""
    return sum(
        (F.l1_loss(predicted.diff(dim=axis), target.diff(dim=axis)) for axis in (-2, -1)),
        start=predicted.new_zeros(()),
    )


def enough(ab: Chroma, *, most: float = 40.0) -> Chroma:
    """The same hues with a chroma of less than ``most``, in a*b* units: what is muted as it is, what glows no more."""
    most = most / color.AB_SCALE
    chroma = (ab.square().sum(1, keepdim=True) + 1e-8).sqrt()
    return ab * (most * (chroma / most).tanh() / chroma)


def colorfulness_loss(rgb: Float[Tensor, "b 3 h w"]) -> Scalar:
    """One less colorfulness / 100 (Hasler and Süsstrunk 2003): pulls towards more color, whatever the truth.

    ``rgb`` is 0..1. DDColor gives it a weight of 0.5; small models answer with red blobs, for the deviation that it
    rewards grows fastest where colors are vivid already. Show it ``enough`` of each color.
    """
    red, green, blue = (255 * rgb).unbind(1)
    opponents = torch.stack([red - green, (red + green) / 2 - blue], dim=1).flatten(2)
    variance, mean = opponents.var(-1, correction=0).sum(1), opponents.mean(-1).square().sum(1)
    tiny = 1e-4  # levels squared: the root has a slope where a picture is gray
    return 1 - ((variance + tiny).sqrt() + 0.3 * (mean + tiny).sqrt()).mean() / 100


# Adversarial losses: logits of patches, positive for a photograph -> one scalar.


def judge_bce(real: Logits, fake: Logits, *, smooth: float = 1.0) -> Scalar:
    """Binary cross-entropy, real -> ``smooth``, fake -> 0 (Goodfellow et al. 2014), halved as pix2pix does.

    ``smooth`` under 1 keeps the discriminator from being too sure (Salimans et al. 2016, section 3.4).
    """
    wanted = torch.full_like(real, smooth)
    return (
        F.binary_cross_entropy_with_logits(real, wanted)
        + F.binary_cross_entropy_with_logits(fake, torch.zeros_like(fake))
    ) / 2


def fool_bce(fake: Logits) -> Scalar:
    """Raise the scores of fakes: the loss that does not saturate (Goodfellow et al. 2014)."""
    return F.binary_cross_entropy_with_logits(fake, torch.ones_like(fake))


def judge_least_squares(real: Logits, fake: Logits, *, smooth: float = 1.0) -> Scalar:
    """Scores of real patches to ``smooth``, of fake ones to 0 (Mao et al. 2017)."""
    return ((real - smooth).square().mean() + fake.square().mean()) / 2


def fool_least_squares(fake: Logits) -> Scalar:
    """Scores of fakes to 1, from below and from above (Mao et al. 2017)."""
    return (fake - 1).square().mean()


def judge_hinge(real: Logits, fake: Logits, *, smooth: float = 1.0) -> Scalar:
    """Push real scores above ``smooth`` and fake ones below -1, and no further (Lim and Ye, arXiv:1705.02894)."""
    return (F.relu(smooth - real).mean() + F.relu(1 + fake).mean()) / 2


def fool_hinge(fake: Logits) -> Scalar:
    """Raise the scores of fakes (Lim and Ye, arXiv:1705.02894)."""
    return -fake.mean()


def r1(scores: Logits, real: Float[Tensor, "b 3 h w"]) -> Scalar:
    """Half the squared slope of the scores at real pictures (Mescheder et al. 2018, eq. 9), a mean over pictures.

    ``scores`` are those of ``real``, which must have required its gradient.
    """
    (slope,) = torch.autograd.grad(scores.sum(), real, create_graph=True)
    return slope.square().sum((1, 2, 3)).mean() / 2
