"""``PatchGAN``: a discriminator with one score for each patch (Isola et al. 2017)."""

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from colorizenet.errors import ConfigError

__all__ = ["PatchGAN", "PatchGANConfig"]


@dataclass(frozen=True, kw_only=True)
class PatchGANConfig:
    """A patch discriminator."""

    widths: tuple[int, ...] = (64, 128, 256, 512)
    """Channels of each 4x4 convolution but the last. All but the last width halve the
    size. The default has patches of 70x70; one width less 34x34, two less 16x16."""
    norm: Literal["batch", "none"] = "batch"
    """Normalization between the first convolution and the last; with ``spectral`` use
    none."""
    spectral: bool = False
    """Spectral normalization (Miyato et al. 2018): bounds the slope of the scores,
    which stabilizes adversarial training."""

    def __post_init__(self) -> None:
        if len(self.widths) < 2 or min(self.widths) < 1:
            raise ConfigError(
                f"task.discriminator.widths is {', '.join(map(str, self.widths)) or 'empty'}; "
                "give at least two widths, for example 64 128 256 512"
            )


class PatchGAN(nn.Module):
    """Lightness and ab in network units -> a map of logits, positive for real.

    4x4 convolutions with padding 1 and LeakyReLU of slope 0.2, initialized with normal
    weights of standard deviation 0.02 (Isola et al. 2017, section 6.1.2).
    """

    def __init__(self, config: PatchGANConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for number, width in enumerate(config.widths):
            stride = 1 if number == len(config.widths) - 1 else 2
            normalized = number > 0 and config.norm == "batch"
            layers.append(
                _convolution(channels, width, stride, config.spectral, bias=not normalized)
            )
            if normalized:
                layers.append(nn.BatchNorm2d(width))
            layers.append(nn.LeakyReLU(0.2))
            channels = width
        layers.append(_convolution(channels, 1, 1, config.spectral))
        self.layers = nn.Sequential(*layers)

    def forward(self, picture: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 h2 w2"]:
        """Score each patch of lightness and ab."""
        return self.layers(picture)


def _convolution(
    in_channels: int, width: int, stride: int, spectral: bool, *, bias: bool = True
) -> nn.Module:
    convolution = nn.Conv2d(in_channels, width, 4, stride, padding=1, bias=bias)
    nn.init.normal_(convolution.weight, std=0.02)
    return spectral_norm(convolution) if spectral else convolution
