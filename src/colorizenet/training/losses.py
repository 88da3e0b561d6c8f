"""What a network is punished for: pure functions, tensors in network units -> one scalar.

Every one pulls the prediction towards the target; they differ in how much a few large errors
count against many small ones.
"""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from colorizenet import color

Chroma = Float[Tensor, "b 2 h w"]
Scalar = Float[Tensor, ""]


def l1(predicted: Chroma, target: Chroma) -> Scalar:
    """Mean absolute error: settles on the median of the plausible colours, so often on grey."""
    return F.l1_loss(predicted, target)


def l2(predicted: Chroma, target: Chroma) -> Scalar:
    """Mean squared error: settles on the mean of the plausible colours, so often on brown."""
    return F.mse_loss(predicted, target)


def huber(predicted: Chroma, target: Chroma, *, corner: float = 10.0) -> Scalar:
    """Squared up to ``corner`` (in a*b* units) and linear beyond (Huber 1964), over the corner.

    Close colours are averaged as by ``l2``, and one impossible to guess does not spoil the rest.
    """
    corner = corner / color.AB_SCALE
    return F.huber_loss(predicted, target, delta=corner) / corner
