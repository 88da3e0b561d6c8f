"""``ColorQueries``: silent at first, and then what one corner of a picture says reaches the other."""

import onnxruntime
import pytest
import torch
from torch import nn

from colorizenet.errors import ConfigError
from colorizenet.modelfile import ModelCard
from colorizenet.training.export import export_network
from colorizenet.training.networks.color_queries import ColorQueries
from colorizenet.training.networks.encoder_unet import EncoderUNet, EncoderUNetConfig

WIDTHS = (12, 8, 8, 4)


def levels(batch: int, height: int, width: int) -> list[torch.Tensor]:
    """What a decoder might give, the coarsest of ``height`` x ``width``."""
    generator = torch.Generator().manual_seed(1)
    return [
        torch.randn((batch, channels, height << n, width << n), generator=generator)
        for n, channels in enumerate(WIDTHS)
    ]


def heard(queries: int = 5) -> ColorQueries:
    """Queries whose answers count."""
    torch.manual_seed(0)
    built = ColorQueries(WIDTHS, queries, dimensions=16)
    nn.init.normal_(built.mix.weight)
    return built.eval()


def network(queries: int) -> EncoderUNet:
    torch.manual_seed(0)
    return EncoderUNet(EncoderUNetConfig(pretrained="none", widths=WIDTHS, queries=queries))


@pytest.mark.parametrize(("batch", "height", "width"), [(1, 1, 1), (2, 3, 5)])
@torch.no_grad()
def test_chroma_has_the_size_of_the_finest_level(batch, height, width):
    assert heard()(levels(batch, height, width)).shape == (batch, 2, 8 * height, 8 * width)


@torch.no_grad()
def test_they_say_nothing_at_first():
    assert ColorQueries(WIDTHS, 5)(levels(2, 2, 2)).abs().max() == 0
    without, added = network(0).eval(), network(5).eval()
    nn.init.normal_(without.head.weight)
    missing = added.load_state_dict(without.state_dict(), strict=False).missing_keys
    assert missing and all(name.startswith("queries.") for name in missing)
    lightness = torch.rand(1, 1, 64, 96)
    assert torch.equal(without(lightness), added(lightness))


@pytest.mark.parametrize("level", range(len(WIDTHS) - 1))
@torch.no_grad()
def test_what_is_far_away_is_heard(level):
    queries, seen = heard(), levels(1, 4, 4)
    before = queries(seen)
    seen[level][..., -1, -1] += 3
    assert (queries(seen) - before)[..., 0, 0].abs().max() > 1e-4


@torch.no_grad()
def test_each_pixel_chooses_for_itself():
    queries, seen = heard(), levels(1, 2, 2)
    before = queries(seen)
    seen[-1][..., 0, 0] += 3
    after = queries(seen)
    assert (after - before)[..., 0, 0].abs().max() > 1e-4
    assert torch.allclose(after[..., 1:, :], before[..., 1:, :], atol=1e-6)


def test_every_parameter_learns():
    queries = heard().train()
    queries(levels(2, 2, 3)).square().mean().backward()
    still = [
        name
        for name, it in queries.named_parameters()
        if it.grad is None or not it.grad.abs().sum() > 0
    ]
    assert still == []


@pytest.mark.parametrize("weights", ["half", "byte"])
@torch.no_grad()
def test_a_network_with_queries_is_exported_for_any_size(tmp_path, weights):
    built = network(3).eval()
    nn.init.normal_(built.head.weight, std=0.01)
    assert built.queries is not None
    nn.init.normal_(built.queries.mix.weight, std=0.01)
    export_network(
        built, ModelCard(name="queries", task="regression"), tmp_path / "out.onnx", weights=weights
    )
    session = onnxruntime.InferenceSession(
        tmp_path / "out.onnx", providers=["CPUExecutionProvider"]
    )
    for shape in ((1, 1, 32, 32), (2, 1, 96, 160)):
        lightness = torch.rand(shape)
        (exported,) = session.run(None, {"lightness": lightness.numpy()})
        assert torch.allclose(torch.from_numpy(exported), built(lightness), atol=0.02)


def test_a_number_below_zero_is_refused():
    with pytest.raises(ConfigError, match=r"network\.queries"):
        EncoderUNetConfig(queries=-1)
