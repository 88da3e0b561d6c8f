"""The weights of a model file, under the names that its network has in PyTorch.

``export`` writes a network with its BatchNorm folded into the convolutions, the weights
of its linear layers transposed and partly without a name, and large weights in half
precision or 8 bits. Everything is recovered here but the statistics of BatchNorm: the
network computes the same as the model, with statistics of mean 0 and variance 1.
``measure_batch_norm`` measures them on pictures, which training needs.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from jaxtyping import Float
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from colorizenet.errors import ModelFileError, quote

__all__ = ["measure_batch_norm", "read_model_weights"]


def read_model_weights(path: Path, network: nn.Module) -> dict[str, Tensor]:
    """The weights in an ONNX file of ``export``, as a state dict of ``network``.

    Only the names and the order of the layers of ``network`` are used. Weights that the
    file does not have are left out, and those are added that ``network`` lacks. Raises
    ModelFileError where the file cannot be read.
    """
    try:
        graph = onnx.load(path).graph
        constants = _read_constants(graph)
        factors = _find_factors(graph, constants)
    except Exception as error:
        # Foreign border: protobuf's errors have no common base class with OSError.
        raise ModelFileError(
            f"{quote(path.name)} cannot be read as an ONNX model ({quote(error)}); "
            "name a model that `colorizenet export` wrote"
        ) from error
    template = network.state_dict()
    # The network may have been a part of the exported module, such as "network.".
    ending = next(iter(template))
    prefix = next((name.removesuffix(ending) for name in constants if name.endswith(ending)), "")
    constants, factors = (
        {name.removeprefix(prefix): each for name, each in found.items() if name.startswith(prefix)}
        for found in (constants, factors)
    )
    weights = {
        name: value
        for name, value in constants.items()
        if name in template or name.endswith((".weight", ".bias"))
    }
    for name in template.keys() - weights.keys():
        bias = _bias_of(name)
        if bias in factors:
            weights[name] = np.ascontiguousarray(factors[bias].T)
    for convolution, name, norm in _find_folded(network):
        bias = constants.get(f"{convolution}.weight_bias")
        if bias is not None:
            weights |= {
                f"{name}.weight": np.ones_like(bias),
                f"{name}.bias": bias,
                f"{name}.running_mean": np.zeros_like(bias),
                f"{name}.running_var": np.full_like(bias, 1 - norm.eps),
                f"{name}.num_batches_tracked": np.zeros((), np.int64),
            }
    return {name: torch.tensor(value) for name, value in weights.items()}


@torch.no_grad()
def measure_batch_norm(network: nn.Module, batches: Iterable[Float[Tensor, "b c h w"]]) -> None:
    """Replace the statistics of BatchNorm by those of ``batches``, at equal output.

    Scale and shift change with mean and variance, so that the network in evaluation
    mode computes what it did. In training mode, whose statistics are those of each
    batch, it then computes nearly the same.
    """
    norms: list[Any] = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    moments: dict[nn.Module, list[tuple[Tensor, Tensor]]] = {norm: [] for norm in norms}

    def measure(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        [values] = inputs
        axes = (0, *range(2, values.ndim))
        moments[norm].append((values.mean(axes), values.square().mean(axes)))

    hooks = [norm.register_forward_pre_hook(measure) for norm in norms]
    training = network.training
    network.eval()
    try:
        for batch in batches:
            network(batch)
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    for norm in norms:
        mean, square = (torch.stack(each).mean(0) for each in zip(*moments[norm], strict=True))
        variance = (square - mean.square()).clamp_min(0)
        slope = norm.weight / (norm.running_var + norm.eps).sqrt()
        norm.bias += slope * (mean - norm.running_mean)
        norm.weight.copy_(slope * (variance + norm.eps).sqrt())
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)


def _read_constants(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    """The initializers, and what is computed from initializers alone when loading."""
    constants = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    for node in graph.node:
        if node.op_type in ("Cast", "Mul") and all(name in constants for name in node.input):
            inputs = {name: constants[name] for name in node.input}
            [computed] = ReferenceEvaluator(node).run(None, inputs)
            constants[node.output[0]] = np.asarray(computed)
    return constants


def _find_factors(
    graph: onnx.GraphProto, constants: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The constant factor of the product that a constant is added to, by its name.

    A linear layer is exported as a product with its transposed weight and a sum with
    its bias, and only the bias has its name.
    """
    producers = {name: node for node in graph.node for name in node.output}
    factors: dict[str, np.ndarray] = {}
    for node in graph.node:
        if node.op_type != "Add":
            continue
        for bias, product in (node.input, reversed(node.input)):
            source = producers.get(product)
            if bias in constants and source is not None and source.op_type == "MatMul":
                factor = next((name for name in source.input if name in constants), None)
                if factor is not None:
                    factors[bias] = constants[factor]
    return factors


def _bias_of(weight: str) -> str:
    """The name of the bias that belongs to a weight: in_proj_bias to in_proj_weight."""
    return weight.removesuffix("weight") + "bias"


def _find_folded(network: nn.Module) -> Iterator[tuple[str, str, _BatchNorm]]:
    """Each convolution without a bias by name, and the BatchNorm after it."""
    convolution = ""
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            convolution = name if module.bias is None else ""
        elif isinstance(module, _BatchNorm) and convolution:
            yield convolution, name, module
            convolution = ""
