"""``Similarity``, and the regression that its output is trained by."""

import numpy as np
import pytest
import torch

from colorizenet import color, hints
from colorizenet.options import Hint
from colorizenet.training.networks.similarity import Similarity, spread_residuals

WIDTHS = (12, 8, 6)


def make_pictures(height: int = 24, width: int = 32, batch: int = 2):
    generator = torch.Generator().manual_seed(0)
    lightness = torch.rand(batch, 1, 2 * height, 2 * width, generator=generator)
    ab = 0.2 * torch.rand(batch, 2, height, width, generator=generator) - 0.1
    levels = [
        torch.randn(batch, channels, height // factor, width // factor, generator=generator)
        for channels, factor in zip(WIDTHS, (4, 2, 1), strict=True)
    ]
    return lightness, levels, ab


@torch.no_grad()
def test_it_starts_as_what_the_core_takes_for_similar():
    lightness, levels, ab = make_pictures()
    part = Similarity(WIDTHS, 4, reduction=2)
    torch.nn.init.zeros_(part.head.weight)
    found = part(lightness, levels, ab)
    assert found.shape == (2, 10, 24, 32)
    for number in range(2):
        l_star = color.denormalize_l(torch.nn.functional.avg_pool2d(lightness, 2))[number, 0]
        planes = color.denormalize_ab(ab[number]).movedim(0, -1)
        expected = hints.describe_similarity(planes.numpy(), l_star.numpy())
        np.testing.assert_allclose(found[number, :6].movedim(0, -1), expected, atol=1e-4)
        assert (found[number, 6:] == 0).all()


@torch.no_grad()
@pytest.mark.parametrize("count", [1, 5])
def test_the_regression_is_that_of_the_core(count):
    lightness, levels, ab = make_pictures()
    similarity = Similarity(WIDTHS, 4, reduction=2)(lightness, levels, ab)
    placed = [
        Hint(x=0.1 + 0.15 * number, y=0.8 - 0.1 * number, rgb=(200, 40 * number, 60))
        for number in range(count)
    ]
    wanted = color.rgb_to_lab(np.array([hint.rgb for hint in placed], np.float32) / 255)[:, 1:]
    # One more hint, which is not there.
    places = torch.tensor([[*((hint.x, hint.y) for hint in placed), (0.5, 0.5)]] * 2)
    colors = torch.tensor([[*color.normalize_ab(wanted).tolist(), (0.5, 0.5)]] * 2)
    present = torch.tensor([[True] * count + [False]] * 2)
    change = spread_residuals(ab, similarity, places, colors, present)
    for number in range(2):
        planes = color.denormalize_ab(ab[number]).movedim(0, -1).numpy()
        expected = hints.spread_residuals(
            planes, similarity[number].movedim(0, -1).numpy(), placed, (48, 64)
        )
        found = planes + color.denormalize_ab(change[number]).movedim(0, -1).numpy()
        np.testing.assert_allclose(found, expected, atol=0.1)


def test_every_parameter_has_a_gradient():
    lightness, levels, ab = make_pictures()
    part = Similarity(WIDTHS, 4, reduction=2)
    places, colors = torch.rand(2, 3, 2), torch.rand(2, 3, 2) - 0.5
    present = torch.ones(2, 3, dtype=torch.bool)
    change = spread_residuals(ab, part(lightness, levels, ab), places, colors, present)
    change.square().mean().backward()
    for name, parameter in part.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name
