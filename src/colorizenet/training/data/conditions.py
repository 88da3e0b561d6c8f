"""Network inputs while training: rendered from a batch, by the names of
``ModelCard.inputs``.

A network gets one tensor, the condition: its inputs, concatenated along the channels in
the order of their names. ``options.render_input`` makes the same planes from a caller's
options.

    name        channels   content, in network units
    lightness   1          L, degraded by the augmentations
    hints       3          coverage in 0..1; coverage times mean a* and b*
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor

from colorizenet.errors import ConfigError, quote
from colorizenet.training.data.hints import MOST_HINTS, draw_hints, paint_hints

__all__ = ["CONDITIONS", "Condition", "input_channels", "render_condition"]

Render = Callable[
    [Float[Tensor, "b 1 h w"], Float[Tensor, "b 2 h w"] | None, torch.Generator],
    Float[Tensor, "b _c h w"],
]


@dataclass(frozen=True)
class Condition:
    """A network input and how a training batch provides it."""

    channels: int
    """Number of channels."""
    render: Render
    """Function of the degraded lightness, the true ab and a CPU random generator
    that returns the channels. In validation ab is None, because only the lightness
    is known."""


def _render_lightness(
    lightness: Float[Tensor, "b 1 h w"], _ab: Tensor | None, _generator: torch.Generator
) -> Float[Tensor, "b 1 h w"]:
    return lightness


def _render_hints(
    lightness: Float[Tensor, "b 1 h w"],
    ab: Float[Tensor, "b 2 h w"] | None,
    generator: torch.Generator,
) -> Float[Tensor, "b 3 h w"]:
    """Color hints at random places, with the true colors.

    Half of the pictures have none, so that the network also learns to work without.
    """
    batch, _, height, width = lightness.shape
    if ab is None:
        return lightness.new_zeros(batch, 3, height, width)
    y, x = torch.rand(2, batch, MOST_HINTS, generator=generator)
    hints = draw_hints(y, x, min(height, width), generator)
    some = torch.rand(batch, 1, generator=generator) < 0.5
    return paint_hints(hints._replace(present=hints.present & some), ab)


CONDITIONS: Mapping[str, Condition] = MappingProxyType(
    {"lightness": Condition(1, _render_lightness), "hints": Condition(3, _render_hints)}
)
"""The known network inputs by name."""


def input_channels(
    names: Sequence[str], *, conditions: Mapping[str, Condition] = CONDITIONS
) -> int:
    """Number of channels of the condition. Raises ConfigError for an unknown input."""
    return sum(condition.channels for condition in _find(names, conditions))


def render_condition(
    names: Sequence[str],
    lightness: Float[Tensor, "b 1 h w"],
    ab: Float[Tensor, "b 2 h w"] | None,
    seed: int,
    *,
    conditions: Mapping[str, Condition] = CONDITIONS,
) -> Float[Tensor, "b _c h w"]:
    """The condition of a batch; equal seeds give equal results, on any device.

    ``ab`` is None in validation. Each input has a random generator of its own, so that
    it does not depend on which others there are.
    """
    planes = []
    for name, condition in zip(names, _find(names, conditions), strict=True):
        generator = torch.Generator().manual_seed(zlib.crc32(f"{seed} {name}".encode()))
        plane = condition.render(lightness, ab, generator)
        assert plane.shape[1] == condition.channels, f"{name} rendered {plane.shape[1]} channels"
        planes.append(plane)
    return torch.cat(planes, dim=1)


def _find(names: Sequence[str], conditions: Mapping[str, Condition]) -> list[Condition]:
    unknown = [name for name in names if name not in conditions]
    if unknown or not names:
        found = f"has {quote(unknown[0])}" if unknown else "is empty"
        raise ConfigError(f"inputs {found}; choose one or more of {', '.join(conditions)}")
    return [conditions[name] for name in names]
