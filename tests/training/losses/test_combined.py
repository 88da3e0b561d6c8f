"""``Losses``: terms with a weight, how they count, and their gradients."""

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import vgg16

from colorizenet.errors import ConfigError
from colorizenet.training.data.augment import Sample
from colorizenet.training.losses import LossConfig, Losses, pixel
from colorizenet.training.networks.unet import UNet, UNetConfig

WEIGHTED = ("chroma", "colorfulness", "lpips")


@pytest.fixture(scope="module")
def vgg(tmp_path_factory) -> str:
    """A file of random weights in the shapes of VGG16."""
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
    network = UNetConfig(widths=(4, 8, 8)).build()
    torch.nn.init.normal_(network.head.weight, std=0.05)
    return network.eval()


@pytest.fixture
def sample() -> Sample:
    torch.manual_seed(1)
    lightness = 0.3 + 0.4 * torch.rand(2, 1, 32, 32)
    return Sample(lightness, lightness, 0.2 * torch.randn(2, 2, 32, 32))


def compute(config: LossConfig, network: UNet, sample: Sample) -> dict[str, torch.Tensor]:
    return Losses(config)(network(sample.condition), sample)


def test_without_weights_there_is_the_pixel_loss_only(network, sample):
    assert set(compute(LossConfig(), network, sample)) == {"pixel"}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (LossConfig(pixel="l1"), pixel.l1),
        (LossConfig(pixel="l2"), pixel.l2),
        (LossConfig(pixel="huber", delta=3.0), lambda *pair: pixel.huber(*pair, delta=3.0)),
        (LossConfig(pixel="ciede2000", delta=3.0), lambda *pair: pixel.ciede2000(*pair, delta=3.0)),
    ],
)
def test_a_smaller_prediction_is_compared_at_its_size(sample, config, expected):
    predicted = 0.1 * torch.randn(2, 2, 16, 16)
    small = torch.nn.functional.avg_pool2d(sample.ab, 2)
    found = Losses(config)(predicted, sample)["pixel"]
    assert found.item() == pytest.approx(expected(predicted, small).item(), rel=1e-5)


@pytest.mark.parametrize("name", WEIGHTED)
def test_each_term_counts_by_its_weight_and_has_a_gradient(network, sample, vgg, name):
    once, thrice = (
        compute(LossConfig(**{name: weight}, vgg16=vgg), network, sample) for weight in (1.0, 3.0)
    )
    assert set(once) == {"pixel", name}
    assert once[name].item() > 0
    assert thrice[name].item() == pytest.approx(3 * once[name].item(), rel=1e-5)
    once[name].backward()
    assert next(network.parameters()).grad.abs().sum() > 0


def test_lpips_of_the_truth_is_zero(sample, vgg):
    losses = Losses(LossConfig(lpips=1.0, vgg16=vgg))
    assert losses(sample.ab, sample)["lpips"].item() == pytest.approx(0, abs=1e-6)


def test_lpips_takes_a_fraction_of_the_batch(network, sample, vgg):
    half = LossConfig(lpips=1.0, vgg16=vgg, perceptual_batch_fraction=0.5)
    some = compute(half, network, sample)
    whole = LossConfig(lpips=1.0, vgg16=vgg)
    first = compute(whole, network, Sample(*(planes[:1] for planes in sample)))
    both = compute(whole, network, sample)
    assert some["lpips"].item() == pytest.approx(first["lpips"].item(), rel=1e-5)
    assert some["lpips"].item() != pytest.approx(both["lpips"].item(), rel=1e-5)
    assert some["pixel"] == both["pixel"]


def test_missing_weights_are_an_error_when_they_are_loaded(tmp_path):
    losses = Losses(LossConfig(lpips=1.0, vgg16=str(tmp_path / "missing.pth")))
    with pytest.raises(ConfigError, match=r"missing\.pth"):
        losses.load_weights()
    Losses(LossConfig(vgg16=str(tmp_path / "missing.pth"))).load_weights()  # not needed


def test_losses_add_nothing_to_a_checkpoint(sample, vgg):
    losses = Losses(LossConfig(lpips=1.0, colorfulness=1.0, vgg16=vgg))
    losses(sample.ab, sample)
    assert losses.state_dict() == {} and list(losses.parameters()) == []


@pytest.mark.parametrize("fraction", [0.0, 1.5])
def test_a_fraction_out_of_range_is_an_error(fraction):
    with pytest.raises(ConfigError, match=r"loss\.perceptual-batch-fraction"):
        LossConfig(perceptual_batch_fraction=fraction)


@pytest.mark.parametrize(
    "settings", [{"delta": 0.0}, {"lpips": -1.0}, {"colorfulness": -1.0}, {"chroma": -1.0}]
)
def test_settings_out_of_range_are_an_error(settings):
    with pytest.raises(ConfigError, match=rf"loss\.{next(iter(settings))}"):
        LossConfig(**settings)
