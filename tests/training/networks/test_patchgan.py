"""``PatchGAN``: patch sizes, output, gradients, settings."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from colorizenet.errors import ConfigError
from colorizenet.training.networks.patchgan import PatchGAN, PatchGANConfig


@pytest.mark.parametrize(("widths", "side"), [((4, 4, 4, 4), 70), ((4, 4, 4), 34), ((4, 4), 16)])
def test_a_score_depends_on_a_patch_with_the_side_of_the_paper(widths, side):
    picture = torch.rand(1, 3, 160, 160, requires_grad=True)
    scores = PatchGAN(PatchGANConfig(widths=widths, norm="none"))(picture)
    scores[0, 0, scores.shape[2] // 2, scores.shape[3] // 2].backward()
    rows, columns = picture.grad.abs().sum((0, 1)).nonzero().unbind(1)
    assert rows.max() - rows.min() + 1 == columns.max() - columns.min() + 1 == side


@pytest.mark.parametrize("norm", ["batch", "none"])
@pytest.mark.parametrize("spectral", [False, True])
def test_returns_a_map_of_scores_and_every_parameter_has_a_gradient(norm, spectral):
    network = PatchGAN(PatchGANConfig(widths=(8, 8, 8), norm=norm, spectral=spectral))
    scores = network(torch.rand(2, 3, 64, 64))
    assert scores.shape == (2, 1, 14, 14)
    scores.square().mean().backward()
    assert all(
        parameter.grad is not None and parameter.grad.abs().sum() > 0
        for parameter in network.parameters()
    )


@given(st.floats(0.1, 100))
def test_spectral_norm_bounds_the_slope_of_the_scores(scale):
    torch.manual_seed(0)
    network = PatchGAN(PatchGANConfig(widths=(4, 4), norm="none", spectral=True))
    with torch.no_grad():
        for module in network.layers[::2]:
            module.parametrizations.weight.original.mul_(scale)
    network.eval()
    assert all(
        torch.linalg.matrix_norm(module.weight.flatten(1), 2) < 1.3
        for module in network.layers[::2]
    )


@pytest.mark.parametrize("widths", [(), (64,), (64, 0)])
def test_too_few_widths_are_an_error(widths):
    with pytest.raises(ConfigError, match=r"task\.discriminator\.widths"):
        PatchGANConfig(widths=widths)
