"""Export the network of a run as an ONNX file, and prove that the two agree.

The file has one input for each of ``ModelCard.inputs``, ``(N, channels, H, W)``, and
the output ``ab``, ``(N, 2, h, w)``. N, H and W are free. Network and file are compared
at sizes that the exporter did not trace; where they differ, no file is written.
"""

import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from colorizenet import color
from colorizenet.errors import ConfigError, ModelFileError, quote
from colorizenet.files import write_atomically
from colorizenet.modelfile import METADATA_KEY, NOISE, SIMILARITY, Input, ModelCard
from colorizenet.training.checkpoints import describe_run, network_weights, read_checkpoint
from colorizenet.training.config import RunConfig, differences, read_json
from colorizenet.training.data.conditions import input_channels
from colorizenet.training.fit import build_task
from colorizenet.training.networks.pretrained import complete_weights
from colorizenet.training.recipes import RECIPES
from colorizenet.training.tasks.base import Task

__all__ = [
    "Checkpoint",
    "Dtype",
    "average_weights",
    "export_network",
    "export_run",
    "replace_card",
]

Checkpoint = Literal["best", "last"]
Dtype = Literal["fp32", "fp16", "int8"]
"""How large weights are stored. The network computes in float32 in any case."""

_TRACED = (2, 2, 3)
"""N, and H and W in multiples of the network's ``size_multiple``, that are traced."""
_COMPARED = ((1, 4, 4), (3, 1, 7), (1, 6, 2))
"""The same, of the sizes at which the file is compared with the network."""
_TOLERANCES: Mapping[Dtype, float] = {"fp32": 2e-3, "fp16": 0.5, "int8": 8.0}
"""Largest allowed difference in a*b* units, over pixels of random noise.

That of fp16 is less than 8 bits can show. int8 differs less for photos than for noise.
"""
_SMALLEST = 256
"""Tensors of fewer numbers stay float32: biases and normalization."""


def export_run(
    run: Path,
    out: Path,
    *,
    checkpoint: Checkpoint = "best",
    dtype: Dtype = "fp16",
    average_with: Path | None = None,
    alpha: float = 0.5,
    **fields: Any,
) -> ModelCard:
    """Export a checkpoint of a run folder. Returns the card that is in the file.

    ``average_with``: another run of the same network, whose weights get the weight
    ``alpha`` and this run's ``1 - alpha``. Between a run and the one that it started
    from there is often a better network than either (Wortsman et al. 2022,
    arXiv:2109.01903). ``fields``: of the card, that no run knows: name, license,
    metrics, limitations, ...

    Raises ConfigError where the runs cannot be used, and ModelFileError where the file
    would differ from the network.
    """
    config = read_json(run / "config.json")
    state = read_checkpoint(run / f"{checkpoint}.ckpt")
    weights = network_weights(state)
    if average_with:
        other = read_checkpoint(average_with / f"{checkpoint}.ckpt")
        weights = average_weights(weights, network_weights(other), average_with, alpha)
        averaged = _summarize_run(describe_run(average_with, other))
        fields["average_with"] = {"alpha": alpha, "run": averaged}
    task = build_task(config, pretrained=False)
    task.network.load_state_dict(weights)
    card = _make_card(run, config, task, describe_run(run, state), fields)
    export_network(task.exported(), card, out, dtype=dtype)
    return card


def replace_card(file: Path, card: ModelCard) -> None:
    """Write another card into an exported file. The network stays as it is."""
    model = onnx.load(file)
    helper.set_model_props(model, {METADATA_KEY: card.to_json()})
    write_atomically(file, model.SerializeToString())


def average_weights(
    own: Mapping[str, Tensor], other: Mapping[str, Tensor], run: Path, alpha: float
) -> dict[str, Tensor]:
    """``(1 - alpha) * own + alpha * other``; ``other`` is from the folder ``run``."""
    if not 0 < alpha < 1:
        raise ConfigError(f"alpha is {alpha}; give a number between 0 and 1")
    other = complete_weights(other, own)
    shapes, other_shapes = (
        {name: value.shape for name, value in weights.items()} for weights in (own, other)
    )
    if shapes != other_shapes:
        raise ConfigError(
            f"{quote(run)} has another network; average with a run of the same network settings"
        )
    return {
        name: torch.lerp(value, other[name], alpha) if value.is_floating_point() else value
        for name, value in own.items()
    }


def export_network(
    network: nn.Module, card: ModelCard, out: Path, *, dtype: Dtype = "fp16"
) -> None:
    """Export a module that takes the inputs of ``card`` in their order and returns ab,
    or ab and similarity.

    Weights that fp16 cannot hold are stored as fp32, all of them. Raises
    ModelFileError, and leaves what ``out`` was before, where the file would differ from
    the module.
    """
    network.eval()
    network = network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    model = _trace(network, card)
    _compare(network, model, card, "fp32")
    if dtype == "int8":
        model = _store_weights(model, _store_int8)
        _compare(network, model, card, "int8")
    elif dtype == "fp16":
        smaller = _store_weights(model, _store_fp16)
        try:
            _compare(network, smaller, card, "fp16")
            model = smaller
        except ModelFileError:
            pass  # twice the size, and right
    helper.set_model_props(model, {METADATA_KEY: card.to_json()})
    write_atomically(out, model.SerializeToString())


class _Positional(nn.Module):
    """Gives any module the signature that ``_trace`` names the dynamic shapes of."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        return self.network(*inputs)


@contextmanager
def _quiet_optimizer() -> Iterator[None]:
    """Silence the notes of onnxscript about nodes that it leaves as they are."""
    logger = logging.getLogger("onnxscript.optimizer")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


@torch.enable_grad()  # without gradients, attention is fused into code for one shape
def _trace(network: nn.Module, card: ModelCard) -> onnx.ModelProto:
    dynamic = torch.export.Dim.DYNAMIC
    examples = _random_inputs(card, _TRACED, torch.Generator().manual_seed(0))
    single = isinstance(network(*examples.values()), Tensor)
    with tempfile.TemporaryDirectory() as folder, _quiet_optimizer():
        path = Path(folder) / "model.onnx"
        torch.onnx.export(
            _Positional(network).eval(),
            tuple(examples.values()),
            path,
            input_names=list(examples),
            output_names=["ab"] if single else ["ab", SIMILARITY],
            dynamic_shapes=(
                tuple(
                    {2: dynamic, 3: dynamic} | ({0: dynamic} if len(each) > 1 else {})
                    for each in examples.values()
                ),
            ),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        return _remove_traces(onnx.load(path))


def _random_inputs(
    card: ModelCard, size: tuple[int, int, int], generator: torch.Generator
) -> dict[str, Tensor]:
    """Uniform noise for each input; ``size`` is like ``_TRACED``.

    A network with the input noise gets one picture and N times normal noise.
    """
    count, height, width = (size[0], *(side * card.size_multiple for side in size[1:]))
    pictures = 1 if card.takes(NOISE.name) else count
    inputs = {}
    for each in card.inputs:
        random, number = (torch.randn, count) if each == NOISE else (torch.rand, pictures)
        inputs[each.name] = random((number, each.channels, height, width), generator=generator)
    return inputs


def _remove_traces(model: onnx.ModelProto) -> onnx.ModelProto:
    """Remove the exporter's notes, which contain file names of this machine, and the
    shapes of values inside of the graph, which ONNX Runtime infers."""
    del model.graph.value_info[:]
    for part in (
        model.graph,
        *model.graph.node,
        *model.graph.input,
        *model.graph.output,
    ):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
    return model


Stored = tuple[list[TensorProto], list[onnx.NodeProto]]
"""The tensors stored for a weight, and the nodes that compute the weight."""


def _store_fp16(name: str, values: np.ndarray) -> Stored:
    """Store half precision, and cast it when the model is loaded."""
    with np.errstate(over="ignore"):  # an overflow shows in the comparison
        half = values.astype(np.float16)
    stored = f"{name}.fp16"
    return [numpy_helper.from_array(half, stored)], [
        helper.make_node("Cast", [stored], [name], to=TensorProto.FLOAT)
    ]


def _store_int8(name: str, values: np.ndarray) -> Stored:
    """Store 8 bits and a scale per output channel; multiply them on loading."""
    largest = np.abs(values).max(axis=tuple(range(1, values.ndim)), keepdims=True)
    scale = np.where(largest > 0, largest / 127, 1).astype(np.float32)
    levels = np.round(values / scale).astype(np.int8)
    tensors = [
        numpy_helper.from_array(levels, f"{name}.int8"),
        numpy_helper.from_array(scale, f"{name}.scale"),
    ]
    return tensors, [
        # onnxruntime folds Cast and Mul, but repeats DequantizeLinear for every
        # picture.
        helper.make_node("Cast", [f"{name}.int8"], [f"{name}.levels"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{name}.levels", f"{name}.scale"], [name]),
    ]


def _store_weights(
    model: onnx.ModelProto, store: Callable[[str, np.ndarray], Stored]
) -> onnx.ModelProto:
    """A copy of the model whose large weights are stored by ``store``."""
    smaller = onnx.ModelProto()
    smaller.CopyFrom(model)
    graph = smaller.graph
    computed: list[onnx.NodeProto] = []
    for weight in list(graph.initializer):
        if weight.data_type != TensorProto.FLOAT or np.prod(weight.dims) < _SMALLEST:
            continue
        (first, *more), nodes = store(weight.name, numpy_helper.to_array(weight))
        weight.CopyFrom(first)
        graph.initializer.extend(more)
        computed += nodes
    for node in reversed(computed):
        graph.node.insert(0, node)
    return smaller


@torch.no_grad()
def _compare(network: nn.Module, model: onnx.ModelProto, card: ModelCard, dtype: Dtype) -> None:
    """Raise ModelFileError where file and network differ at sizes not traced."""
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    generator = torch.Generator().manual_seed(0)
    for size in _COMPARED:
        inputs = _random_inputs(card, size, generator)
        expected = network(*inputs.values())
        expected = (expected,) if isinstance(expected, Tensor) else expected
        found = session.run(None, {name: plane.numpy() for name, plane in inputs.items()})
        differences = [
            np.abs(np.asarray(one) - other.numpy()).max(axis=(0, 2, 3))
            for one, other in zip(found, expected, strict=True)
        ]
        differences[0] *= color.AB_SCALE
        for similarity in differences[1:]:
            # The first channel is chroma in a*b* units. A distance of 0.1 between the
            # coordinates of the others changes by a tenth what a hint changes.
            similarity[1:] *= 50
        largest = float(np.max(np.concatenate(differences)))  # NaN if any of them is
        if not largest <= _TOLERANCES[dtype]:
            height, width = inputs["lightness"].shape[-2:]
            raise ModelFileError(
                f"the ONNX file in {dtype} differs from the network by {largest:.3g} a*b* units "
                f"at {width} x {height}, more than {_TOLERANCES[dtype]:.3g}; the network has a "
                "part that does not export, or weights that need another dtype"
            )


def _make_card(
    run: Path, config: RunConfig, task: Task, description: Mapping[str, Any], fields: dict[str, Any]
) -> ModelCard:
    """The card of a run; ``fields`` replace what the run says."""
    recipe = description["recipe"]
    first = description.get("init_from")
    return ModelCard(
        **{
            "name": run.resolve().name,
            "task": config.task.kind,
            "recipe": recipe,
            "overrides": _list_overrides(RECIPES[recipe](), config) if recipe in RECIPES else {},
            "inputs": (
                *(Input(name, input_channels([name])) for name in config.inputs),
                *task.random_inputs,
            ),
            "size": config.data.val_size,
            "size_multiple": task.network.size_multiple,
            "parameters": sum(p.numel() for p in task.network.parameters()),
            "pictures_seen": description["pictures_seen"],
            "seed": config.seed,
            "data": description["data"],
            "commit": description["commit"],
            "versions": description["versions"],
            "init_from": _summarize_run(first) if first else {},
        }
        | fields
    )


def _summarize_run(description: Mapping[str, Any]) -> dict[str, Any]:
    """What a card records of another run and those it started from, without paths.

    A run that started from a model file records that model's card.
    """
    if "card" in description:
        return dict(description)
    settings = description["settings"]
    names = ("recipe", "pictures_seen", "data", "commit", "versions")
    summary: dict[str, Any] = {name: description[name] for name in names}
    names = ("inputs", "loss", "task", "optim", "pictures", "batch_size", "ema", "seed")
    summary["settings"] = {name: settings[name] for name in names}
    summary["settings"]["loss"] = settings["loss"] | {"vgg16": Path(settings["loss"]["vgg16"]).name}
    if features := settings["task"].get("features"):
        name = Path(features["pretrained"]).name
        features = features | {"pretrained": name}
        summary["settings"]["task"] = settings["task"] | {"features": features}
    if "init_from" in description:
        summary["init_from"] = _summarize_run(description["init_from"])
    return summary


def _list_overrides(recipe: RunConfig, config: RunConfig) -> dict[str, Any]:
    """The settings that differ from the recipe, without folders of this machine."""
    folders = ("data.root", "data.val", "data.downloads", "init_from")
    files = ("network.pretrained", "loss.vgg16", "task.features.pretrained")
    return {
        name: Path(value).name if name in files else value
        for name, value in differences(recipe, config).items()
        if name not in folders
    }
