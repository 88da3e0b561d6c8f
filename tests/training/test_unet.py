"""``UNet``: any size that its levels halve, every parameter, and what it sees of the picture."""

import pytest
import torch
from torch import nn

from colorizenet.errors import ConfigError
from colorizenet.training.networks.unet import UNet, UNetConfig


def build(*widths: int, norm="batch", seed: int = 0) -> UNet:
    torch.manual_seed(seed)
    network = UNet(UNetConfig(widths=widths, norm=norm))
    nn.init.normal_(network.head.weight, std=0.1)  # a head of zeros would hide the rest
    return network


@pytest.mark.parametrize("widths", [(8, 12), (4, 8, 12), (4, 6, 8, 10, 12)])
@pytest.mark.parametrize(("batch", "across", "down"), [(1, 1, 1), (3, 2, 1), (2, 3, 5)])
@torch.no_grad()
def test_chroma_has_the_size_of_the_lightness(widths, batch, across, down):
    network = build(*widths).eval()
    assert network.size_multiple == 2 ** (len(widths) - 1)
    height, width = down * network.size_multiple, across * network.size_multiple
    assert network(torch.rand(batch, 1, height, width)).shape == (batch, 2, height, width)


@torch.no_grad()
def test_the_first_guess_is_gray():
    assert UNet(UNetConfig(widths=(4, 8, 8)))(torch.rand(2, 1, 16, 16)).abs().max() == 0


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_every_parameter_learns(norm):
    network = build(4, 8, 12, 16, norm=norm)
    network(torch.rand(2, 1, 32, 32)).square().mean().backward()
    still = [
        name
        for name, it in network.named_parameters()
        if it.grad is None or not it.grad.abs().sum() > 0
    ]
    assert still == []


def test_each_level_has_its_width_and_sees_its_neighbor():
    network = build(4, 6, 8, 10)
    assert [level[-3].out_channels for level in network.down] == [4, 6, 8, 10]
    assert [(level[0].in_channels, level[-3].out_channels) for level in network.up] == [
        (18, 8),
        (14, 6),
        (10, 4),
    ]


@pytest.mark.parametrize("level", range(3))
@torch.no_grad()
def test_each_skip_comes_from_its_own_level(level):
    """What a level on the way down says reaches the one of the same size on the way up, untouched."""
    network = build(4, 6, 8, 10).eval()
    said, heard = [], []
    network.down[level].register_forward_hook(lambda _module, _given, out: said.append(out))
    network.up[2 - level].register_forward_pre_hook(lambda _module, given: heard.append(given[0]))
    network(torch.rand(1, 1, 32, 32))
    assert torch.equal(heard[0][:, -said[0].shape[1] :], said[0])


@torch.no_grad()
def test_the_whole_picture_counts():
    """A change in one corner is felt in the opposite one, through the coarsest level."""
    network = build(4, 8, 16, 16, seed=1).eval()
    picture = torch.rand(1, 1, 32, 32)
    other = picture.clone()
    other[..., :4, :4] = 0
    felt = (network(picture) - network(other)).abs().amax(dim=1)[0]
    assert felt[-4:, -4:].max() > 0
    assert felt[:4, :4].max() > 10 * felt[-4:, -4:].max()


@torch.no_grad()
def test_group_norm_does_not_care_about_the_rest_of_the_batch():
    pictures = torch.rand(4, 1, 32, 32)
    group, batch = build(8, 16, 16, norm="group").train(), build(8, 16, 16, norm="batch").train()
    assert torch.allclose(group(pictures)[:2], group(pictures[:2]), atol=1e-5)
    assert not torch.allclose(batch(pictures)[:2], batch(pictures[:2]), atol=1e-3)


@pytest.mark.parametrize("widths", [(), (8,), (8, 0)])
def test_fewer_than_two_levels_are_no_u(widths):
    with pytest.raises(ConfigError, match=r"network\.widths"):
        UNetConfig(widths=widths)
