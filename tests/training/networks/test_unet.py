"""``UNet``: sizes, gradients, skip connections, receptive field, settings."""

import pytest
import torch
from torch import nn

from colorizenet.errors import ConfigError
from colorizenet.training.networks import LayeredNetwork
from colorizenet.training.networks.unet import UNet, UNetConfig


def build(*widths: int, norm="batch", seed: int = 0, in_channels: int = 1) -> UNet:
    torch.manual_seed(seed)
    network = UNetConfig(widths=widths, norm=norm).build(in_channels=in_channels)
    nn.init.normal_(network.head.weight, std=0.1)  # a head of zeros would hide the rest
    return network


@pytest.mark.parametrize("in_channels", [1, 4])
@pytest.mark.parametrize("widths", [(8, 12), (4, 8, 12), (4, 6, 8, 10, 12)])
@pytest.mark.parametrize(("batch", "across", "down"), [(1, 1, 1), (3, 2, 1), (2, 3, 5)])
@torch.no_grad()
def test_chroma_has_the_size_of_the_input(widths, batch, across, down, in_channels):
    network = build(*widths, in_channels=in_channels).eval()
    assert isinstance(network, LayeredNetwork)
    assert network.size_multiple == 2 ** (len(widths) - 1)
    height, width = down * network.size_multiple, across * network.size_multiple
    condition = torch.rand(batch, in_channels, height, width)
    assert network(condition).shape == (batch, 2, height, width)


@torch.no_grad()
def test_decode_of_features_is_forward():
    network, condition = build(4, 6, 8, 10).eval(), torch.rand(2, 1, 32, 16)
    features = network.features(condition)
    assert [level.shape[1] for level in features] == [8, 6, 4]
    assert [level.shape[2:] for level in features] == [(8, 4), (16, 8), (32, 16)]
    assert torch.equal(network.decode(features), network(condition))


@torch.no_grad()
def test_the_first_prediction_is_gray():
    network = UNetConfig(widths=(4, 8, 8)).build()
    assert network(torch.rand(2, 1, 16, 16)).abs().max() == 0


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_every_parameter_has_a_gradient(norm):
    network = build(4, 8, 12, 16, norm=norm, in_channels=4)
    network(torch.rand(2, 4, 32, 32)).square().mean().backward()
    without = [
        name
        for name, it in network.named_parameters()
        if it.grad is None or not it.grad.abs().sum() > 0
    ]
    assert without == []


def test_each_level_has_its_width_and_takes_the_skip_of_its_size():
    network = build(4, 6, 8, 10)
    assert [level[-3].out_channels for level in network.down] == [4, 6, 8, 10]
    assert [(level[0].in_channels, level[-3].out_channels) for level in network.up] == [
        (18, 8),
        (14, 6),
        (10, 4),
    ]


@pytest.mark.parametrize("level", range(3))
@torch.no_grad()
def test_each_skip_connects_two_levels_of_one_size(level):
    """Features on the way down reach the level of their size on the way up."""
    network = build(4, 6, 8, 10).eval()
    sent, received = [], []
    network.down[level].register_forward_hook(lambda _module, _given, out: sent.append(out))
    network.up[2 - level].register_forward_pre_hook(
        lambda _module, given: received.append(given[0])
    )
    network(torch.rand(1, 1, 32, 32))
    assert torch.equal(received[0][:, -sent[0].shape[1] :], sent[0])


@torch.no_grad()
def test_the_receptive_field_is_the_whole_picture():
    """A change in one corner changes the opposite one, through the coarsest level."""
    network = build(4, 8, 16, 16, seed=1).eval()
    picture = torch.rand(1, 1, 32, 32)
    other = picture.clone()
    other[..., :4, :4] = 0
    change = (network(picture) - network(other)).abs().amax(dim=1)[0]
    assert change[-4:, -4:].max() > 0
    assert change[:4, :4].max() > 10 * change[-4:, -4:].max()


@torch.no_grad()
def test_group_norm_does_not_depend_on_the_rest_of_the_batch():
    pictures = torch.rand(4, 1, 32, 32)
    group, batch = build(8, 16, 16, norm="group").train(), build(8, 16, 16, norm="batch").train()
    assert torch.allclose(group(pictures)[:2], group(pictures[:2]), atol=1e-5)
    assert not torch.allclose(batch(pictures)[:2], batch(pictures[:2]), atol=1e-3)


@pytest.mark.parametrize("widths", [(), (8,), (8, 0)])
def test_fewer_than_two_levels_are_an_error(widths):
    with pytest.raises(ConfigError, match=r"network\.widths"):
        UNetConfig(widths=widths)
