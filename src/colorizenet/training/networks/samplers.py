"""Samplers: from noise to data along the velocity of a flow, as pure functions.

Time t runs from 0, where the state is noise, to 1, where it is data. On the straight
path ``x_t = (1 - t) * noise + t * data``, the velocity at ``(x, t)`` is the expectation
of ``data - noise``. All samplers have one signature,
``sample(velocity, noise, times) -> data``, and none of them draws random numbers: the
same noise gives the same data.

References:
    Rectified flow: Liu, Gong, Liu (arXiv:2209.03003).
    Heun's method, with an Euler step at the end: Karras, Aittala, Aila, Laine
    (arXiv:2206.00364), algorithm 1.
    Classifier-free guidance: Ho, Salimans (arXiv:2207.12598).
"""

import itertools
from collections.abc import Callable, Sequence

from torch import Tensor

__all__ = ["SAMPLERS", "Sampler", "Velocity", "guide", "sample_euler", "sample_heun", "space_times"]

Velocity = Callable[[Tensor, float], Tensor]
"""The velocity at a state and a time from 0 to 1; of the shape of the state."""
Sampler = Callable[[Velocity, Tensor, Sequence[float]], Tensor]


def space_times(steps: int) -> list[float]:
    """``steps`` + 1 equally spaced times from 0 to 1."""
    return [number / steps for number in range(steps + 1)]


def sample_euler(velocity: Velocity, noise: Tensor, times: Sequence[float]) -> Tensor:
    """Follow the velocity from the first to the last of ``times`` by Euler's method.

    Each step takes one velocity, and halving the steps' length halves the error.
    """
    x = noise
    for t, following in itertools.pairwise(times):
        x = x + (following - t) * velocity(x, t)
    return x


def sample_heun(velocity: Velocity, noise: Tensor, times: Sequence[float]) -> Tensor:
    """Follow the velocity from the first to the last of ``times`` by Heun's method.

    Each step but the last, which is Euler's, takes two velocities, and halving their
    length quarters the error. So the velocity is never evaluated at the last time,
    where that of a network that predicts the data is undefined.
    """
    x = noise
    for t, following in itertools.pairwise(times):
        slope = velocity(x, t)
        ahead = x + (following - t) * slope
        if following < times[-1]:
            slope = (slope + velocity(ahead, following)) / 2
        x = x + (following - t) * slope
    return x


def guide(conditional: Velocity, unconditional: Velocity, scale: float) -> Velocity:
    """The velocity of classifier-free guidance.

    ``scale`` 0 ignores the condition, 1 is the conditional velocity, and more
    exaggerates what the condition changes.
    """
    if scale == 1:
        return conditional

    def velocity(x: Tensor, t: float) -> Tensor:
        without = unconditional(x, t)
        return without + scale * (conditional(x, t) - without)

    return velocity


SAMPLERS: dict[str, Sampler] = {"euler": sample_euler, "heun": sample_heun}
"""The samplers by name."""
