"""``ColorQueries``: no effect at first, then long-range dependence; export."""

import onnxruntime
import pytest
import torch
from torch import nn

from colorizenet.errors import ConfigError
from colorizenet.training.networks.color_queries import ColorQueries
from colorizenet.training.networks.encoder_unet import EncoderUNet, EncoderUNetConfig

WIDTHS = (12, 8, 8, 4)


def make_levels(batch: int, height: int, width: int) -> list[torch.Tensor]:
    """Features like those of a decoder, the coarsest of ``height`` x ``width``."""
    generator = torch.Generator().manual_seed(1)
    return [
        torch.randn((batch, channels, height << n, width << n), generator=generator)
        for n, channels in enumerate(WIDTHS)
    ]


def build_queries(queries: int = 5) -> ColorQueries:
    """Queries whose last convolution is not zero."""
    torch.manual_seed(0)
    built = ColorQueries(WIDTHS, queries, dimensions=16)
    nn.init.normal_(built.mix.weight)
    return built.eval()


def build_network(queries: int) -> EncoderUNet:
    torch.manual_seed(0)
    return EncoderUNetConfig(pretrained="none", widths=WIDTHS, queries=queries).build()


@pytest.mark.parametrize(("batch", "height", "width"), [(1, 1, 1), (2, 3, 5)])
@torch.no_grad()
def test_chroma_has_the_size_of_the_finest_level(batch, height, width):
    levels = make_levels(batch, height, width)
    assert build_queries()(levels).shape == (batch, 2, 8 * height, 8 * width)


@torch.no_grad()
def test_queries_add_nothing_at_first():
    assert ColorQueries(WIDTHS, 5)(make_levels(2, 2, 2)).abs().max() == 0
    without, added = build_network(0).eval(), build_network(5).eval()
    nn.init.normal_(without.head.weight)
    missing = added.load_state_dict(without.state_dict(), strict=False).missing_keys
    assert missing and all(name.startswith("queries.") for name in missing)
    lightness = torch.rand(1, 1, 64, 96)
    assert torch.equal(without(lightness), added(lightness))


@pytest.mark.parametrize("level", range(len(WIDTHS) - 1))
@torch.no_grad()
def test_a_distant_pixel_of_any_level_has_an_effect(level):
    queries, levels = build_queries(), make_levels(1, 4, 4)
    before = queries(levels)
    levels[level][..., -1, -1] += 3
    assert (queries(levels) - before)[..., 0, 0].abs().max() > 1e-4


@torch.no_grad()
def test_a_pixel_of_the_finest_level_changes_its_own_chroma_only():
    queries, levels = build_queries(), make_levels(1, 2, 2)
    before = queries(levels)
    levels[-1][..., 0, 0] += 3
    after = queries(levels)
    assert (after - before)[..., 0, 0].abs().max() > 1e-4
    assert torch.allclose(after[..., 1:, :], before[..., 1:, :], atol=1e-6)


def test_every_parameter_has_a_gradient():
    queries = build_queries().train()
    queries(make_levels(2, 2, 3)).square().mean().backward()
    without = [
        name
        for name, it in queries.named_parameters()
        if it.grad is None or not it.grad.abs().sum() > 0
    ]
    assert without == []


@torch.no_grad()
def test_a_network_with_queries_exports_to_onnx_for_any_size(tmp_path):
    network = build_network(3).eval()
    nn.init.normal_(network.head.weight, std=0.01)
    assert network.queries is not None
    nn.init.normal_(network.queries.mix.weight, std=0.01)
    dynamic = torch.export.Dim.DYNAMIC
    with torch.enable_grad():  # without gradients, attention has a path for one size only
        torch.onnx.export(
            network,
            (torch.rand(2, 1, 64, 96),),
            tmp_path / "out.onnx",
            input_names=["lightness"],
            dynamic_shapes=({0: dynamic, 2: dynamic, 3: dynamic},),
            dynamo=True,
            verbose=False,
        )
    session = onnxruntime.InferenceSession(
        tmp_path / "out.onnx", providers=["CPUExecutionProvider"]
    )
    for shape in ((1, 1, 32, 32), (2, 1, 96, 160)):
        lightness = torch.rand(shape)
        (exported,) = session.run(None, {"lightness": lightness.numpy()})
        assert torch.allclose(torch.from_numpy(exported), network(lightness), atol=1e-4)


def test_a_negative_number_of_queries_is_an_error():
    with pytest.raises(ConfigError, match=r"network\.queries"):
        EncoderUNetConfig(queries=-1)
