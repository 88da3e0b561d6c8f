"""``PatchGAN``: a discriminator that judges overlapping patches, not the picture (Isola et al. 2017)."""

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from colorizenet.errors import ConfigError

__all__ = ["PatchGAN", "PatchGANConfig"]


@dataclass(frozen=True, kw_only=True)
class PatchGANConfig:
    """The shape of a ``PatchGAN``."""

    widths: tuple[int, ...] = (64, 128, 256, 512)
    """Channels of each 4x4 convolution but the last; all of them halve the size except the last one. The
    default sees patches of 70 x 70, with one width less 34 x 34, with two less 16 x 16."""
    norm: Literal["batch", "instance", "none"] = "batch"
    """What normalizes between the first convolution and the last; with ``spectral`` choose none."""
    spectral: bool = False
    """Spectral normalization (Miyato et al. 2018): bounds how fast scores can change, so that the
    discriminator cannot run away. Helps nearly always; slows a step a little."""

    def __post_init__(self) -> None:
        if len(self.widths) < 2 or min(self.widths) < 1:
            raise ConfigError(
                f"task.discriminator.widths is {', '.join(map(str, self.widths)) or 'empty'}; give at least two, "
                "say 64 128 256 512"
            )

    @property
    def receptive_field(self) -> int:
        """Side of the square of pixels that decides one score."""
        side = 1
        for stride in (
            1,
            1,
            *(2 for _ in self.widths[1:]),
        ):  # from the last convolution to the first
            side = (side - 1) * stride + 4
        return side


class PatchGAN(nn.Module):
    """(L, ab) in network units -> a map of logits, each of one patch: positive for a photograph.

    Convolutions of 4 x 4 with padding 1 and LeakyReLU of 0.2, first weights normal with deviation
    0.02 (Isola et al. 2017, section 6.1.2).
    """

    def __init__(self, config: PatchGANConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for number, width in enumerate(config.widths):
            stride = 1 if number == len(config.widths) - 1 else 2
            normalized = number > 0 and config.norm != "none"
            layers.append(
                _convolution(channels, width, stride, config.spectral, bias=not normalized)
            )
            if normalized:
                layers.append(
                    nn.BatchNorm2d(width) if config.norm == "batch" else nn.InstanceNorm2d(width)
                )
            layers.append(nn.LeakyReLU(0.2))
            channels = width
        layers.append(_convolution(channels, 1, 1, config.spectral))
        self.layers = nn.Sequential(*layers)

    def forward(self, picture: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 h2 w2"]:
        return self.layers(picture)


def _convolution(
    given: int, width: int, stride: int, spectral: bool, *, bias: bool = True
) -> nn.Module:
    convolution = nn.Conv2d(given, width, 4, stride, padding=1, bias=bias)
    nn.init.normal_(convolution.weight, std=0.02)
    return spectral_norm(convolution) if spectral else convolution
