"""Pretrained networks that compare pictures: ImageNet activations and LPIPS.

Pictures are rgb, ``(b, 3, h, w)`` float in 0..1; the gradient reaches them. All weights
are frozen. ``training.metrics`` builds metrics from these networks.

    weights                used by             without a file
    alexnet, vgg16         Activations, Lpips  downloaded from torchvision
    lpips_alex, lpips_vgg  Lpips               read from the installed torchmetrics

``weights`` maps these names to .safetensors or .pth files. Pickled code is never run.

References:
    LPIPS: Zhang, Isola, Efros, Shechtman, Wang, "The unreasonable effectiveness of deep
    features as a perceptual metric" (arXiv:1801.03924), version 0.1 of its weights.
"""

import contextlib
import importlib.util
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
import torchvision
from jaxtyping import Float
from torch import Tensor, nn

from colorizenet.errors import ConfigError, ImageError, quote
from colorizenet.training.networks.pretrained import match_weights, read_weights

__all__ = [
    "NO_FILES",
    "TRUNKS",
    "WEIGHT_NAMES",
    "Activations",
    "Lpips",
    "Weights",
    "check_names",
    "download_weights",
]

Weights = Mapping[str, str | Path]
NO_FILES: Weights = MappingProxyType({})
"""No files: the published weights of each network."""


@dataclass(frozen=True, kw_only=True)
class _Trunk:
    """The convolutions of a torchvision classifier."""

    build: Callable[[], Any]
    url: str
    layers: tuple[int, ...]
    """Positions in ``features`` of the activations that LPIPS compares, after ReLUs."""
    heads: str
    """Name of the LPIPS weights for these layers."""
    smallest: int
    """Smallest height and width in pixels that reach the last layer."""
    bytes_per_pixel: int
    """Measured memory of LPIPS: activations of the picture and the truth."""


TRUNKS = {
    "alexnet": _Trunk(
        build=torchvision.models.alexnet,
        url=torchvision.models.AlexNet_Weights.IMAGENET1K_V1.url,
        layers=(1, 4, 7, 9, 11),  # relu1 to relu5
        heads="lpips_alex",
        smallest=31,
        bytes_per_pixel=152,
    ),
    "vgg16": _Trunk(
        build=partial(torchvision.models.vgg16, init_weights=False),
        url=torchvision.models.VGG16_Weights.IMAGENET1K_V1.url,
        layers=(3, 8, 15, 22, 29),  # relu1_2, relu2_2, relu3_3, relu4_3, relu5_3
        heads="lpips_vgg",
        smallest=16,
        bytes_per_pixel=1600,
    ),
}
WEIGHT_NAMES = (
    *TRUNKS,
    *(trunk.heads for trunk in TRUNKS.values()),
    "inception",
    "efficientnet_lite0",
)
"""The networks for which a file of weights can be named."""


class Activations(nn.Module):
    """Activations of chosen layers of a frozen ImageNet network."""

    mean: Tensor
    std: Tensor

    def __init__(
        self, network: str, layers: Sequence[int] = (), *, weights: Weights = NO_FILES
    ) -> None:
        """Load a network.

        ``layers``: positions in torchvision's ``features``, by default those of LPIPS.
        """
        super().__init__()
        check_names([network], TRUNKS, "network")
        check_names(weights, WEIGHT_NAMES, "file of weights")
        self.network, trunk = network, TRUNKS[network]
        self.layers = tuple(sorted(layers or trunk.layers))
        with torch.device("meta"):  # takes no memory
            features = trunk.build().features
        if not 0 <= self.layers[0] <= self.layers[-1] < len(features):
            raise ConfigError(
                f"{network} has no layers {', '.join(map(str, self.layers))}; "
                f"give positions from 0 to {len(features) - 1}"
            )
        file = weights.get(network)
        given = read_weights(Path(file)) if file else download_weights(trunk.url, network)
        wanted = features.state_dict(prefix="features.")
        tensors = _select_by_name(given, wanted, Path(file or trunk.url))
        features.load_state_dict(
            {key.removeprefix("features."): value.float() for key, value in tensors.items()},
            assign=True,
        )
        self.features = features[: self.layers[-1] + 1].requires_grad_(False)
        # A fifth faster in bfloat16 on a CPU.
        self.features.to(memory_format=torch.channels_last)
        for layer in self.features:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False  # keeps the activation before it
        # The mean and deviation of ImageNet. LPIPS has the same, for the range -1..1.
        self.register_buffer(
            "mean", torch.tensor([0.485, 0.456, 0.406])[:, None, None], persistent=False
        )
        self.register_buffer(
            "std", torch.tensor([0.229, 0.224, 0.225])[:, None, None], persistent=False
        )

    def forward(self, rgb: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _c _h _w"]]:
        """Compute one tensor for each layer, shallowest first. ``rgb`` is in 0..1."""
        height, width = rgb.shape[2:]
        smallest = TRUNKS[self.network].smallest
        if min(height, width) < smallest:
            raise ImageError(
                f"a picture of {width}x{height} is too small for {self.network}, "
                f"which needs at least {smallest}x{smallest}; enlarge it"
            )
        x, found = (rgb - self.mean) / self.std, []
        for position, layer in enumerate(self.features):
            x = layer(x)
            if position in self.layers:
                found.append(x)
        return found


class Lpips(nn.Module):
    """LPIPS v0.1: the perceptual difference of two pictures. 0 means equal.

    Zhang et al. 2018, eq. 1: the squared difference of unit-length activations,
    weighted by channel, averaged over each layer and summed over the layers. Use
    ``alexnet`` as a metric and ``vgg16`` as a loss, as the authors do.
    """

    def __init__(self, network: str, *, weights: Weights = NO_FILES) -> None:
        super().__init__()
        self.trunk = Activations(network, weights=weights)
        name, layers = TRUNKS[network].heads, self.trunk.layers
        file = Path(weights.get(name) or _find_torchmetrics_heads(name))
        channels = [self.trunk.features[layer - 1].out_channels for layer in layers]
        wanted = {
            f"lin{i}.model.1.weight": torch.empty(1, c, 1, 1, device="meta")
            for i, c in enumerate(channels)
        }
        tensors = _select_by_name(read_weights(file), wanted, file)
        self.heads = nn.ParameterList(value.float() for value in tensors.values()).requires_grad_(
            False
        )

    def forward(
        self, rgb: Float[Tensor, "b 3 h w"], truth: Float[Tensor, "b 3 h w"]
    ) -> Float[Tensor, "b"]:
        """Compute one distance for each pair. Both are in 0..1."""
        return self.between(self.embed(rgb), self.embed(truth))

    def embed(self, rgb: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _c _h _w"]]:
        """Compute unit-length activations, to compare one picture with several
        others."""
        # The epsilon is inside the root: the gradient is finite without active
        # channels.
        return [x * torch.rsqrt(x.square().sum(1, keepdim=True) + 1e-8) for x in self.trunk(rgb)]

    def between(self, one: Sequence[Tensor], other: Sequence[Tensor]) -> Float[Tensor, "b"]:
        """Compute the distances of two batches of embeddings."""
        layers = zip(one, other, self.heads, strict=True)
        return torch.stack(
            [F.conv2d((x - y).square(), head).mean((1, 2, 3)) for x, y, head in layers]
        ).sum(0)


def check_names(names: Iterable[str], known: Collection[str], kind: str) -> None:
    """Raise ConfigError for a name that is not known."""
    for name in names:
        if name not in known:
            raise ConfigError(
                f"there is no {kind} named {quote(name)}; choose one of {', '.join(known)}"
            )


def download_weights(url: str, name: str) -> Mapping[str, Tensor]:
    """Download a published state dict to torch's cache.

    The name of the file contains its hash, which is checked. Raises ConfigError.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):  # stdout is for results
            return torch.hub.load_state_dict_from_url(
                url,
                map_location="cpu",
                weights_only=True,
                check_hash=True,
                progress=sys.stderr.isatty(),
            )
    except Exception as error:
        # Errors of the network, the server, the hash and the cache have no common base.
        raise ConfigError(
            f"the weights of {name} cannot be downloaded from {url} ({quote(error)}); "
            f"connect to the network, or name a file with the weights {name} "
            f"({'train: --loss.vgg16 FILE; ' if name == 'vgg16' else ''}"
            f"evaluate: --metric-weights {name}=FILE)"
        ) from error


def _select_by_name(
    given: Mapping[str, Tensor], wanted: Mapping[str, Tensor], file: Path
) -> dict[str, Tensor]:
    """Select tensors by name and check their shapes.

    Unlike ``match_weights`` alone it never matches by order, where equal shapes could
    be swapped.
    """
    missing = [key for key in wanted if key not in given]
    if missing:
        raise ConfigError(
            f"{quote(file.name)} has no tensor {missing[0]}; "
            "name a state dict with torchvision's names"
        )
    return match_weights(given, wanted, file)


def _find_torchmetrics_heads(name: str) -> Path:
    found = importlib.util.find_spec("torchmetrics")
    if found is None or found.origin is None:
        raise ConfigError(
            f"the weights {name} are part of torchmetrics, which is missing; "
            "install it, or name a file"
        )
    return (
        Path(found.origin).parent
        / "functional"
        / "image"
        / "lpips_models"
        / f"{name.removeprefix('lpips_')}.pth"
    )
