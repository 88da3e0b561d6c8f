"""A checkpoint -> an ONNX file with its card, proven equal to the network or not left at all."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from colorizenet import color
from colorizenet.errors import ConfigError, ModelFileError, quote
from colorizenet.files import write_atomically
from colorizenet.modelfile import METADATA_KEY, ModelCard
from colorizenet.training.config import RunConfig, differences, from_json
from colorizenet.training.fit import network_weights, read_checkpoint, told_of
from colorizenet.training.networks.color_queries import silent
from colorizenet.training.recipes import RECIPES

__all__ = ["export_network", "export_run"]

_TRACED = (2, 1, 64, 96)
"""What the exporter sees, in batches and multiples of the network; the proof uses other shapes."""
_PROVEN = ((1, 128, 128), (3, 32, 224), (1, 192, 64))
_TOLERANCE = 2e-3
"""Largest difference allowed, in a*b* units, between the network and its ONNX file in float32."""
_HALF_TOLERANCE = 0.5
"""And with weights of half precision: below what 8 bits can show."""
_BYTE_TOLERANCE = 8.0
"""And with weights of 8 bits: the worst pixel of noise, which is further off than photographs are."""


def export_run(
    run: Path,
    out: Path,
    *,
    checkpoint: str = "best",
    weights: str = "half",
    blend: Path | None = None,
    share: float = 0.5,
    **described: Any,
) -> ModelCard:
    """Write ``out`` from a checkpoint (``best`` or ``last``) of a run folder; the card it got is returned.

    ``weights`` is how they are stored: ``half`` precision, or a ``byte`` each, for half the size again.
    ``blend`` is a run that this one started from, or that started where it did, and ``share`` how much of each weight
    is to be that run's: between two such there is often a better network than either (Wortsman et al. 2022).

    ``described`` are fields of the card that no run knows: name, license, figures, limits.
    """
    config = from_json(run / "config.json")
    state = read_checkpoint(run / f"{checkpoint}.ckpt")
    network = config.network.build(pretrained=False)
    own = network_weights(state)
    if blend:
        other = read_checkpoint(blend / f"{checkpoint}.ckpt")
        own = _blended(own, network_weights(other), blend, share)
        described["average_with"] = {"share": share, "with": _stage(told_of(blend, other))}
    network.load_state_dict(own)
    card = _card_of(run, config, network, told_of(run, state), described)
    export_network(network, card, out, weights=weights)
    return card


def _blended(
    own: dict[str, Tensor], other: dict[str, Tensor], run: Path, share: float
) -> dict[str, Tensor]:
    """Weights between a network's own and those of another ``run`` of it."""
    if not 0 < share < 1:
        raise ConfigError(
            f"the share of the other run's weights is {share}; give a number between 0 and 1"
        )
    other = silent(own) | other
    if {name: value.shape for name, value in own.items()} != {
        name: value.shape for name, value in other.items()
    }:
        raise ConfigError(f"{quote(run)} trained another network; blend runs of the same one")
    return {
        name: torch.lerp(value, other[name], share) if value.is_floating_point() else value
        for name, value in own.items()
    }


def export_network(
    network: nn.Module, card: ModelCard, out: Path, *, weights: str = "half"
) -> None:
    """Write a network as an ONNX file that anyone can run, after comparing the two."""
    network = network.eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    exact = _exported(network)
    _prove(network, exact, _TOLERANCE)
    if weights == "byte":
        proven = _with_weights(exact, _in_bytes)
        _prove(network, proven, _BYTE_TOLERANCE)
    else:
        proven = _with_weights(exact, _in_half)
        try:
            _prove(network, proven, _HALF_TOLERANCE)
        except ModelFileError:
            proven = exact  # twice as large, and right
    helper.set_model_props(proven, {METADATA_KEY: card.to_json()})
    write_atomically(out, proven.SerializeToString())


@torch.enable_grad()  # without, attention takes a shortcut that knows one shape only
def _exported(network: nn.Module) -> onnx.ModelProto:
    dynamic = torch.export.Dim.DYNAMIC
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        torch.onnx.export(
            network,
            (torch.rand(_TRACED),),
            path,
            input_names=["lightness"],
            output_names=["ab"],
            dynamic_shapes=({0: dynamic, 2: dynamic, 3: dynamic},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        return _without_traces(onnx.load(path))


def _without_traces(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model without the exporter's notes, which name files of this machine."""
    for part in (
        model.graph,
        *model.graph.node,
        *model.graph.value_info,
        *model.graph.input,
        *model.graph.output,
    ):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
    return model


Stored = tuple[list[TensorProto], list[onnx.NodeProto]]
"""What is stored of a weight, and the operations that make it float32 again under its own name."""


def _in_half(name: str, values: np.ndarray) -> Stored:
    """Half precision: half the size. It computes in float32 as before: half arithmetic is slow on a CPU."""
    with np.errstate(over="ignore"):  # the proof tells what was too large
        half = values.astype(np.float16)
    stored = f"{name}.half"
    return [numpy_helper.from_array(half, stored)], [
        helper.make_node("Cast", [stored], [name], to=TensorProto.FLOAT)
    ]


def _in_bytes(name: str, values: np.ndarray) -> Stored:
    """8 bits, a scale for each output channel: half the size again."""
    largest = np.abs(values).max(axis=tuple(range(1, values.ndim)), keepdims=True)
    scale = np.where(largest > 0, largest / 127, 1).astype(np.float32)
    levels = np.round(values / scale).astype(np.int8)
    tensors = [
        numpy_helper.from_array(levels, f"{name}.byte"),
        numpy_helper.from_array(scale, f"{name}.scale"),
    ]
    return tensors, [
        # Not DequantizeLinear, which onnxruntime would do again for every picture.
        helper.make_node("Cast", [f"{name}.byte"], [f"{name}.levels"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{name}.levels", f"{name}.scale"], [name]),
    ]


def _with_weights(
    model: onnx.ModelProto, store: Callable[[str, np.ndarray], Stored]
) -> onnx.ModelProto:
    """The same model with its large weights stored otherwise, and restored when it is loaded."""
    smaller = onnx.ModelProto()
    smaller.CopyFrom(model)
    graph = smaller.graph
    restored: list[onnx.NodeProto] = []
    for weight in list(graph.initializer):
        if weight.data_type != TensorProto.FLOAT or np.prod(weight.dims) < 256:
            continue
        (first, *more), nodes = store(weight.name, numpy_helper.to_array(weight))
        weight.CopyFrom(first)
        graph.initializer.extend(more)
        restored += nodes
    for node in reversed(restored):
        graph.node.insert(0, node)
    return smaller


@torch.no_grad()
def _prove(network: nn.Module, model: onnx.ModelProto, tolerance: float) -> None:
    """Raise where the file and the network differ, at shapes that the exporter never saw."""
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    generator = torch.Generator().manual_seed(0)
    for batch, height, width in _PROVEN:
        lightness = torch.rand((batch, 1, height, width), generator=generator)
        ours: Tensor = network(lightness)
        (theirs,) = session.run(None, {"lightness": lightness.numpy()})
        difference = float(np.abs(color.denormalize_ab(np.asarray(theirs) - ours.numpy())).max())
        if not difference <= tolerance:
            raise ModelFileError(
                f"the ONNX file differs from the network by {difference:.3g} a*b* units at {width} x {height}, "
                f"and {tolerance:.3g} is allowed; the network has a part that does not export"
            )


def _card_of(
    run: Path,
    config: RunConfig,
    network: nn.Module,
    told: dict[str, Any],
    described: dict[str, Any],
) -> ModelCard:
    recipe = told["recipe"]
    return ModelCard(
        **{
            "name": run.name,
            "task": type(config.task).__name__.removesuffix("Config").lower(),
            "recipe": recipe,
            "overrides": _overrides(RECIPES[recipe](), config) if recipe in RECIPES else {},
            "size": config.data.val_size,
            "size_multiple": network.size_multiple,
            "parameters": sum(p.numel() for p in network.parameters()),
            "pictures_seen": told["pictures_seen"],
            "seed": config.seed,
            "data": told["data"],
            "commit": told["commit"],
            "versions": told["versions"],
            "init_from": _stage(told["start"]) if "start" in told else {},
        }
        | described
    )


def _stage(told: dict[str, Any]) -> dict[str, Any]:
    """A run that this one started from, as a card tells of it: as little as ``_overrides`` says where files lay."""
    settings = told["settings"]
    kept = {name: told[name] for name in ("recipe", "pictures_seen", "data", "commit", "versions")}
    kept["settings"] = {
        name: settings[name] for name in ("task", "optim", "pictures", "batch_size", "ema", "seed")
    }
    kept["settings"]["task"] = settings["task"] | {
        "vgg16": Path(settings["task"].get("vgg16", "")).name
    }
    return kept | ({"start": _stage(told["start"])} if "start" in told else {})


def _overrides(recipe: RunConfig, config: RunConfig) -> dict[str, Any]:
    """What differs from the recipe; where data and weights lay is nobody's business."""
    changed = differences(recipe, config)
    places = ("data.root", "data.val", "data.downloads", "start")
    kept = {name: value for name, value in changed.items() if name not in places}
    files = ("network.pretrained", "task.vgg16")
    return {name: Path(value).name if name in files else value for name, value in kept.items()}
