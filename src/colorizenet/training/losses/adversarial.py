"""Adversarial losses: logits of patches, positive for real -> one scalar.

The relativistic losses take pairs of maps, real and fake ones of the same gray picture,
one for each scale of a discriminator.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

__all__ = [
    "DISCRIMINATOR_LOSSES",
    "GENERATOR_LOSSES",
    "average_scores",
    "bce_discriminator_loss",
    "bce_generator_loss",
    "hinge_discriminator_loss",
    "hinge_generator_loss",
    "r1_penalty",
    "relativistic_discriminator_loss",
    "relativistic_generator_loss",
    "zero_centered_penalty",
]

Logits = Float[Tensor, "b 1 h2 w2"]
Scalar = Float[Tensor, ""]


def bce_discriminator_loss(real: Logits, fake: Logits) -> Scalar:
    """Cross-entropy: raise real scores, lower fake ones (Goodfellow et al. 2014).

    Halved, as in pix2pix, to slow the discriminator down (Isola et al. 2017, section
    3.3).
    """
    real_loss = F.binary_cross_entropy_with_logits(real, torch.ones_like(real))
    fake_loss = F.binary_cross_entropy_with_logits(fake, torch.zeros_like(fake))
    return (real_loss + fake_loss) / 2


def bce_generator_loss(fake: Logits) -> Scalar:
    """Raise fake scores: the loss that does not saturate (Goodfellow et al. 2014)."""
    return F.binary_cross_entropy_with_logits(fake, torch.ones_like(fake))


def hinge_discriminator_loss(real: Logits, fake: Logits) -> Scalar:
    """Push real scores above 1 and fake ones below -1, halved.

    Lim and Ye 2017, arXiv:1705.02894.
    """
    return (F.relu(1 - real).mean() + F.relu(1 + fake).mean()) / 2


def hinge_generator_loss(fake: Logits) -> Scalar:
    """Raise fake scores (Lim and Ye, arXiv:1705.02894)."""
    return -fake.mean()


def r1_penalty(scores: Logits, real: Float[Tensor, "b 3 h w"]) -> Scalar:
    """Half the squared gradient norm of the scores at real pictures, averaged.

    Mescheder et al. 2018, equation 9. ``scores`` are those of ``real``, which must
    require a gradient.
    """
    (slope,) = torch.autograd.grad(scores.sum(), real, create_graph=True)
    return slope.square().sum((1, 2, 3)).mean() / 2


Pairs = Sequence[tuple[Float[Tensor, "b 1 _h _w"], Float[Tensor, "b 1 _h _w"]]]


def relativistic_discriminator_loss(pairs: Pairs) -> Scalar:
    """Raise real scores above the fake ones of the same picture.

    Jolicoeur-Martineau 2019 (arXiv:1807.00734); Huang et al. 2024, arXiv:2501.05441,
    equation 2.
    """
    return torch.stack([F.softplus(fake - real).mean() for real, fake in pairs]).mean()


def relativistic_generator_loss(pairs: Pairs) -> Scalar:
    """Raise fake scores above the real ones of the same picture."""
    return torch.stack([F.softplus(real - fake).mean() for real, fake in pairs]).mean()


def average_scores(maps: Sequence[Float[Tensor, "b 1 _h _w"]]) -> Float[Tensor, "b"]:
    """The mean score of each picture over positions and scales."""
    return torch.stack([map.mean((1, 2, 3)) for map in maps]).mean(0)


def zero_centered_penalty(
    scores: Float[Tensor, "b"], inputs: Sequence[Float[Tensor, "b _c _h _w"]]
) -> Scalar:
    """Half the squared gradient norm of each picture's score, averaged over pictures.

    R1 at real pictures, R2 at fake ones (Mescheder et al. 2018, equation 9). ``inputs``
    are the tensors that ``scores`` were computed from.
    """
    slopes = torch.autograd.grad(scores.sum(), list(inputs), create_graph=True)
    return sum((slope.square().sum((1, 2, 3)) for slope in slopes), scores.new_zeros(())).mean() / 2


DISCRIMINATOR_LOSSES: Mapping[str, Callable[[Logits, Logits], Scalar]] = MappingProxyType(
    {"bce": bce_discriminator_loss, "hinge": hinge_discriminator_loss}
)
"""Losses of the discriminator, of real and fake scores, by the names of
``task.gan_loss``."""
GENERATOR_LOSSES: Mapping[str, Callable[[Logits], Scalar]] = MappingProxyType(
    {"bce": bce_generator_loss, "hinge": hinge_generator_loss}
)
"""Losses of the generator, of fake scores, by the names of ``task.gan_loss``."""
