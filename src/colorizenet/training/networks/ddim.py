"""The cosine schedule and the DDIM sampler, as pure functions.

Time t runs from 1, where the state is noise, to 0, where it is data: t / T in the
papers. The state is ``sqrt(alpha_bar) * data + sqrt(1 - alpha_bar) * noise``.

References:
    Denoising diffusion (DDPM): Ho, Jain, Abbeel (arXiv:2006.11239).
    Cosine schedule: Nichol, Dhariwal (arXiv:2102.09672).
    DDIM: Song, Meng, Ermon (arXiv:2010.02502).
"""

import itertools
import math
from collections.abc import Callable, Sequence

from torch import Tensor

__all__ = ["PredictNoise", "compute_alpha_bar", "sample_ddim", "space_ddim_times"]

PredictNoise = Callable[[Tensor, float], Tensor]
"""The noise in a state at a time from 0 to 1; of the shape of the state."""


def compute_alpha_bar(t: float) -> float:
    """The share of the data in the variance of the state at time t.

    Equation 17 of Nichol and Dhariwal.
    """
    s = 0.008
    f, f_0 = (math.cos((time + s) / (1 + s) * math.pi / 2) ** 2 for time in (t, 0.0))
    return f / f_0


def space_ddim_times(steps: int) -> list[float]:
    """``steps`` + 1 equally spaced times, from one step after the noise down to 0.

    At time 1 there is no data in the state, so nothing could be predicted from it.
    """
    return [number / (steps + 1) for number in range(steps, -1, -1)]


def sample_ddim(predict_noise: PredictNoise, noise: Tensor, times: Sequence[float]) -> Tensor:
    """Remove the predicted noise from the first to the last of ``times``, without
    adding any.

    Equation 12 of Song et al. with sigma 0: the same noise gives the same data.
    """
    x = noise
    for t, following in itertools.pairwise(times):
        alpha_bar, next_alpha_bar = compute_alpha_bar(t), compute_alpha_bar(following)
        epsilon = predict_noise(x, t)
        x_0 = (x - math.sqrt(1 - alpha_bar) * epsilon) / math.sqrt(alpha_bar)
        x = math.sqrt(next_alpha_bar) * x_0 + math.sqrt(1 - next_alpha_bar) * epsilon
    return x
