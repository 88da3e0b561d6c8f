"""``ProjectedDiscriminator`` and the frozen features under it."""

import pytest
import torch
from safetensors.torch import save_file

from colorizenet.errors import ConfigError
from colorizenet.training.networks.frozen_features import (
    FeaturePyramid,
    FeaturesConfig,
    PooledFeatures,
)
from colorizenet.training.networks.projected_discriminator import (
    ProjectedDiscriminator,
    ProjectedDiscriminatorConfig,
)

SMALL = FeaturesConfig(encoder="test_efficientnet", pretrained="none")


def make_discriminator(**settings) -> ProjectedDiscriminator:
    torch.manual_seed(0)
    return ProjectedDiscriminator(ProjectedDiscriminatorConfig(**settings), SMALL)


def test_each_scale_has_a_map_of_logits():
    network = make_discriminator(scales=(8, 16, 32), width=8)
    projected = network.project(torch.rand(2, 3, 64, 96))
    assert [x.shape for x in projected] == [(2, 8, 8, 12), (2, 8, 4, 6), (2, 8, 2, 3)]
    assert [x.shape for x in network(projected, projected)] == [(2, 1, 2, 3)] * 3


def test_features_are_float32_under_autocast():
    network = make_discriminator(width=8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        projected = network.project(torch.rand(1, 3, 64, 64))
    assert {x.dtype for x in projected} == {torch.float32}


def test_the_gradient_reaches_the_picture_and_the_heads_alone():
    network = make_discriminator(width=8)
    rgb = torch.rand(1, 3, 64, 64, requires_grad=True)
    projected = network.project(rgb)
    sum(x.sum() for x in network(projected, projected)).backward()
    assert rgb.grad is not None and rgb.grad.abs().max() > 0
    trained = {name for name, each in network.named_parameters() if each.requires_grad}
    assert {name.split(".")[0] for name in trained} == {"heads"}
    assert all(each.grad is not None for each in network.heads.parameters())


def test_every_scale_depends_on_the_coarsest_features():
    network = make_discriminator(scales=(8, 32), width=8)
    rgb = torch.rand(1, 3, 64, 64)
    before = network.project(rgb)
    with torch.no_grad():
        network.mix[1].bias += 1
    assert not torch.equal(before[0], network.project(rgb)[0])


def test_scores_depend_on_the_gray_picture():
    network = make_discriminator(width=8)
    color, one, other = (network.project(torch.rand(1, 3, 64, 64)) for _ in range(3))
    for x, y in zip(network(color, one), network(color, other), strict=True):
        assert not torch.equal(x, y)


def test_no_checkpoint_contains_the_frozen_network_but_the_random_projection():
    network = make_discriminator(width=8)
    network.pyramid.load_weights()
    assert {name.split(".")[0] for name in network.state_dict()} == {"mix", "fuse", "heads"}


@pytest.mark.parametrize("scales", [(), (8, 12)])
def test_scales_out_of_range_are_an_error(scales):
    with pytest.raises(ConfigError, match=r"task\.discriminator\.scales"):
        ProjectedDiscriminatorConfig(scales=scales)


@torch.no_grad()
def test_the_default_features_are_those_of_imagenet_weights():
    """EfficientNet-Lite1 from its package: equal pictures, equal features, not zero."""
    extract = PooledFeatures(FeaturesConfig())
    features = extract(torch.rand(2, 3, 64, 64))
    assert features.shape == (2, extract.width) == (2, 1280)
    assert features.std() > 0.01 and not torch.equal(features[0], features[1])


@torch.no_grad()
def test_features_are_float32_under_autocast_and_in_evaluation_mode():
    extract = PooledFeatures(SMALL).train()
    rgb = torch.rand(2, 3, 64, 64)
    expected = extract(rgb)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(extract(rgb), expected)
    assert torch.equal(extract(rgb), expected)


def test_weights_that_do_not_fit_and_unknown_networks_are_errors(tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    wrong = FeaturesConfig(encoder="test_efficientnet", pretrained=str(tmp_path / "x.safetensors"))
    with pytest.raises(ConfigError, match="does not fit the network"):
        FeaturePyramid(wrong, (8, 16)).load_weights()
    with pytest.raises(ConfigError, match="name a timm model"):
        PooledFeatures(FeaturesConfig(encoder="no_such_network"))
    with pytest.raises(ConfigError, match="has no features at 1/64"):
        FeaturePyramid(SMALL, (64,))
