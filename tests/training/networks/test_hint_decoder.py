"""``HintDecoder``: nothing without hints, an effect near and far with them, export."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from colorizenet.colorizer import Colorizer
from colorizenet.errors import ConfigError
from colorizenet.modelfile import LIGHTNESS, Input, ModelCard
from colorizenet.options import Hint, Options
from colorizenet.training.export import export_network
from colorizenet.training.networks.encoder_unet import EncoderUNet, EncoderUNetConfig
from colorizenet.training.networks.pretrained import complete_weights
from colorizenet.training.tasks import ExportedNetwork


def build(*, in_channels: int = 4, widths=(16, 8, 8, 8), queries: int = 3) -> EncoderUNet:
    """A small network whose head is not zero."""
    torch.manual_seed(0)
    network = EncoderUNetConfig(
        encoder="test_efficientnet", pretrained="none", widths=widths, queries=queries
    ).build(in_channels=in_channels)
    nn.init.normal_(network.head.weight, std=0.1)
    return network.eval()


def randomize(network: EncoderUNet) -> EncoderUNet:
    """Give the last layers of the part that follows hints weights that are not zero."""
    for layer in (network.hints.head, network.hints.near, network.hints.far):
        nn.init.normal_(layer.weight, std=0.1)
    return network


def make_condition(height: int = 96, width: int = 128, *, batch: int = 2) -> torch.Tensor:
    """Lightness without hints."""
    lightness = torch.rand((batch, 1, height, width), generator=torch.Generator().manual_seed(1))
    return torch.cat([lightness, torch.zeros(batch, 3, height, width)], dim=1)


def add_hint(condition: torch.Tensor, *, top: int, left: int, side: int = 4) -> torch.Tensor:
    """The condition with a red hint."""
    hinted = condition.clone()
    red = torch.tensor([1.0, 0.5, 0.3])[:, None, None]
    hinted[:, 1:, top : top + side, left : left + side] = red
    return hinted


@pytest.mark.parametrize("widths", [(16, 8, 8, 8), (16, 8, 8), (16, 8)])
@torch.no_grad()
def test_without_hints_the_output_is_bit_identical_to_that_of_the_network_without(widths):
    plain, network = build(in_channels=1, widths=widths), randomize(build(widths=widths))
    network.load_state_dict(plain.state_dict(), strict=False)
    condition = make_condition()
    assert torch.equal(network(condition), plain(condition[:, :1]))
    assert not torch.equal(network(add_hint(condition, top=8, left=8)), network(condition))


@torch.no_grad()
def test_completed_weights_change_nothing_at_first_with_hints_either():
    plain, network = build(in_channels=1, queries=0), randomize(build())
    nn.init.normal_(network.queries.mix.weight)
    network.load_state_dict(complete_weights(plain.state_dict(), network.state_dict()))
    hinted = add_hint(make_condition(), top=8, left=8)
    assert torch.equal(network(hinted), plain(hinted[:, :1]))


@torch.no_grad()
def test_a_hint_changes_near_and_far_places():
    network, condition = randomize(build()), make_condition(160, 160)
    change = network(add_hint(condition, top=4, left=4)) - network(condition)
    assert change[..., 2:4, 2:4].abs().max() > 1e-3
    assert change[..., -8:, -8:].abs().max() > 1e-5


@torch.no_grad()
def test_a_small_hint_counts_beside_a_large_one():
    attention = build().hints.attention
    cell = attention.cell
    side = 24
    cells = torch.zeros(1, 5, side, side)
    cells[:, 0, 4:, :] = cell**2  # a large hint, of more places than the attention reads
    cells[:, 0, 0, 0] = 4  # a small one
    cells[:, 1, 0, 0] = 1
    tokens = attention._choose(cells)
    assert (tokens[:, 1] == 1).sum() == 1
    assert (tokens[:, 0] > 0).all()


@torch.no_grad()
def test_features_and_chroma_without_hints_do_not_depend_on_hints():
    network, condition = build(), make_condition()
    hinted = add_hint(condition, top=40, left=40)
    pairs = zip(network.features(condition), network.features(hinted), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)
    features = network.features(hinted)
    kept = network.follow_hints(hinted, features, network.decode(features))
    assert torch.equal(kept, network(hinted))


def test_every_parameter_has_a_gradient():
    network = randomize(build())
    hinted = add_hint(make_condition(), top=40, left=40)
    network(hinted).square().mean().backward()
    without = [
        name
        for name, it in network.hints.named_parameters()
        if it.grad is None or not it.grad.abs().sum() > 0
    ]
    assert without == []


def export(network: EncoderUNet, path: Path, *inputs: Input) -> Colorizer:
    card = ModelCard(
        name="x", task="hints", inputs=inputs, size=64, size_multiple=network.size_multiple
    )
    # It compares file and network at sizes that it did not trace.
    export_network(ExportedNetwork(network, [each.name for each in inputs]), card, path)
    return Colorizer(path, threads=1)


def test_an_exported_model_with_hints_is_bit_identical_without_them(tmp_path, gray):
    plain, network = build(in_channels=1), randomize(build())
    network.load_state_dict(plain.state_dict(), strict=False)
    first = export(plain, tmp_path / "plain.onnx", LIGHTNESS)
    hinted = export(network, tmp_path / "hinted.onnx", LIGHTNESS, Input("hints", 3))
    for size in (64, 160):
        assert np.array_equal(hinted(gray, size=size), first(gray, size=size))
    hint = Hint(x=0.5, y=0.5, rgb=(200, 30, 30))
    [before], [after] = (hinted.predict(gray, Options(hints=each)) for each in ((), (hint,)))
    assert not np.array_equal(before.ab, after.ab)


def test_other_further_inputs_are_an_error():
    with pytest.raises(ConfigError, match="inputs have 3 channels"):
        build(in_channels=3)
