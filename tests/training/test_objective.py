"""Errors of color: that each that is asked for is there, counts by its weight and teaches the network."""

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import vgg16

from colorizenet.errors import ConfigError
from colorizenet.training.losses.objective import Objective, ObjectiveConfig
from colorizenet.training.networks.unet import UNet, UNetConfig

WEIGHTED = ("gradient", "bins", "colorfulness", "perceptual", "lpips")


@pytest.fixture(scope="module")
def vgg(tmp_path_factory) -> str:
    """A file of VGG16's shape, with random weights."""
    torch.manual_seed(0)
    with torch.device("meta"):
        shapes = {
            name: value.shape
            for name, value in vgg16(init_weights=False).features.state_dict().items()
        }
    path = tmp_path_factory.mktemp("weights") / "vgg16.safetensors"
    save_file(
        {f"features.{name}": 0.05 * torch.randn(shape) for name, shape in shapes.items()}, path
    )
    return str(path)


@pytest.fixture
def network() -> UNet:
    torch.manual_seed(0)
    network = UNet(UNetConfig(widths=(4, 8, 8)))
    torch.nn.init.normal_(network.head.weight, std=0.05)
    return network


def errors_of(config: ObjectiveConfig, network: UNet, lightness, ab):
    features = network.features(lightness)
    predicted = network.head(features[-1])
    return Objective(config, network).eval()(lightness, ab, predicted, features)


@pytest.fixture
def sample() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return 0.3 + 0.4 * torch.rand(2, 1, 32, 32), 0.2 * torch.randn(2, 2, 32, 32)


def test_pixels_alone_unless_more_is_asked_for(network, sample):
    assert set(errors_of(ObjectiveConfig(), network, *sample)) == {"pixels"}


@pytest.mark.parametrize("name", WEIGHTED)
def test_each_error_counts_by_its_weight_and_teaches_the_network(network, sample, vgg, name):
    once, thrice = (
        (
            torch.manual_seed(2),
            errors_of(ObjectiveConfig(**{name: weight}, vgg16=vgg), network, *sample),
        )[1]
        for weight in (1.0, 3.0)
    )
    assert set(once) == {"pixels", name}
    assert once[name].item() > 0
    assert thrice[name].item() == pytest.approx(3 * once[name].item(), rel=1e-5)
    once[name].backward()
    # What is wrong with features or color reaches the first convolution of the network.
    assert next(network.parameters()).grad.abs().sum() > 0


@pytest.mark.parametrize("name", ["gradient", "perceptual", "lpips"])
def test_the_truth_costs_nothing(network, sample, vgg, name):
    lightness, ab = sample
    objective = Objective(ObjectiveConfig(**{name: 1.0}, vgg16=vgg), network)
    assert objective(lightness, ab, ab, [])[name].item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", ["perceptual", "lpips"])
def test_only_a_share_of_the_batch_is_looked_at(network, sample, vgg, name):
    network.eval()  # where a picture does not depend on those beside it
    lightness, ab = sample
    some = errors_of(
        ObjectiveConfig(**{name: 1.0}, vgg16=vgg, looked_at=0.5), network, lightness, ab
    )
    first = errors_of(ObjectiveConfig(**{name: 1.0}, vgg16=vgg), network, lightness[:1], ab[:1])
    assert some[name].item() == pytest.approx(first[name].item(), rel=1e-5)
    both = errors_of(ObjectiveConfig(**{name: 1.0}, vgg16=vgg), network, lightness, ab)
    assert some["pixels"] == both["pixels"]
    assert some[name].item() != pytest.approx(both[name].item(), rel=1e-5)


@pytest.mark.parametrize("share", [0.0, 1.5])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ConfigError, match=r"task\.looked-at"):
        ObjectiveConfig(looked_at=share)


def test_frozen_networks_are_not_part_of_a_checkpoint(network, vgg):
    objective = Objective(ObjectiveConfig(perceptual=1.0, lpips=1.0, bins=1.0, vgg16=vgg), network)
    assert {name.split(".")[0] for name in objective.state_dict()} == {"bins"}
    assert all(name.startswith("bins.") for name, _ in objective.named_parameters())


@pytest.mark.parametrize("name", WEIGHTED)
def test_negative_weights_are_refused(name):
    with pytest.raises(ConfigError, match=rf"task\.{name}"):
        ObjectiveConfig(**{name: -1.0})
