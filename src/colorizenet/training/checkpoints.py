"""Checkpoints, and the weights that a run starts from: another run's or a model's."""

import dataclasses
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from colorizenet import color
from colorizenet.errors import ConfigError, quote
from colorizenet.files import check_regular
from colorizenet.modelfile import load_model, model_path, shipped_models
from colorizenet.training.data.augment import augment_batch
from colorizenet.training.data.loader import Photographs
from colorizenet.training.networks.onnx_weights import measure_batch_norm, read_model_weights
from colorizenet.training.networks.pretrained import complete_weights
from colorizenet.training.tasks.base import Task

__all__ = [
    "describe_run",
    "load_initial_weights",
    "network_weights",
    "read_checkpoint",
    "read_json_file",
]

_MEASURED = 8
"""Training batches on which the statistics of BatchNorm are measured."""


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint without unpickling objects, which could run code."""
    try:
        check_regular(path)
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        _ = checkpoint["state_dict"].items(), checkpoint["pictures_seen"]
        return checkpoint
    except Exception as error:
        # Foreign border: a missing file, a truncated archive, a refused pickle and
        # another program's file have errors without a common base.
        raise ConfigError(
            f"{quote(path)} cannot be read as a checkpoint ({quote(error)}); "
            "give the folder of a run of `colorizenet train`"
        ) from error


def network_weights(checkpoint: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The weights of the exported network in a checkpoint, by name."""
    return {
        name.removeprefix("network."): value
        for name, value in checkpoint["state_dict"].items()
        if name.startswith("network.")
    }


def describe_run(folder: Path, checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """What to record about a run whose checkpoint is used elsewhere.

    Its provenance, its settings, and the number of pictures that the checkpoint has
    seen.
    """
    settings = read_json_file(folder / "config.json")
    return read_json_file(folder / "provenance.json") | {
        "settings": settings,
        "pictures_seen": checkpoint["pictures_seen"],
    }


def read_json_file(path: Path) -> dict[str, Any]:
    """Read a JSON file of a run folder. Raises ConfigError where it is damaged."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{quote(path)} cannot be read ({quote(error)}); give a complete run folder"
        ) from error


def load_initial_weights(source: str, task: Task, data: Photographs) -> dict[str, Any]:
    """Load the weights of a model, a run (its best) or a checkpoint; describe it.

    A model is named as for ``colorizenet colorize --model``: ``default``, or an .onnx
    file. The statistics of its BatchNorm, which a model file does not have, are
    measured on the first training pictures of ``data``, unless they are frozen with the
    weights. The initial network of ``task`` may have color queries and inputs that the
    source does not have; at first they change nothing.

    Raises ConfigError where the source cannot be read or has another network.
    """
    path = Path(source)
    is_model = source in shipped_models() or path.suffix == ".onnx"
    if is_model:
        weights, description = _read_model(source, task)
    elif not path.exists():
        raise ConfigError(
            f"init_from is {quote(source)}, and there is no such run; give a folder of a run, a "
            f"checkpoint, an .onnx file, or one of {', '.join(shipped_models())}"
        )
    else:
        is_file = path.suffix == ".ckpt"
        folder, file = (path.parent, path) if is_file else (path, path / "best.ckpt")
        checkpoint = read_checkpoint(file)
        weights, description = network_weights(checkpoint), describe_run(folder, checkpoint)
    template = task.initial_network.state_dict()
    weights = complete_weights(weights, template)
    names = {**template, **weights}
    differing = [
        name
        for name in names
        if name not in weights
        or name not in template
        or weights[name].shape != template[name].shape
    ]
    if differing:
        raise ConfigError(
            f"{quote(source)} has another network than this run: {len(differing)} of "
            f"{len(names)} weights differ, the first is {quote(differing[0])}; use the same "
            "network settings and inputs, or leave out init_from"
        )
    task.initial_network.load_state_dict(weights)
    if is_model and task.optim.freeze != "all-but-similarity":
        batches = itertools.islice(data.train_dataloader(), _MEASURED)
        samples = (
            augment_batch(
                batch, task.augmentation, seed, inputs=task.inputs, conditions=task.conditions
            )
            for seed, batch in enumerate(batches)
        )
        measure_batch_norm(task.initial_network, (sample.condition for sample in samples))
    return description


def _read_model(source: str, task: Task) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    model = load_model(source)
    card = model.card
    if (card.l_scale, card.ab_scale) != (color.L_SCALE, color.AB_SCALE):
        raise ConfigError(
            f"{quote(source)} has lightness divided by {card.l_scale:g} and ab by "
            f"{card.ab_scale:g}; expected {color.L_SCALE:g} and {color.AB_SCALE:g}: "
            "train from another model"
        )
    weights = read_model_weights(model_path(source), task.initial_network)
    return weights, {"sha256": model.sha256, "card": dataclasses.asdict(card)}
