"""Simulated hints: their places, their colors, and how they are rendered."""

import cv2
import numpy as np
import pytest
import torch

from colorizenet import color
from colorizenet.options import Hint, Options, render_input
from colorizenet.training.data.hints import (
    Hints,
    draw_places,
    paint_hints,
    simulate_hints,
)


def make_pictures(batch: int = 4, size: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    """Lightness and ab of smooth pictures."""
    generator = torch.Generator().manual_seed(0)
    small = torch.rand(batch, 3, 4, 4, generator=generator)
    planes = torch.nn.functional.interpolate(small, size=(size, size), mode="bicubic").clamp(0, 1)
    return planes[:, :1], planes[:, 1:] - 0.5


def simulate(implausible: float, *, batch: int = 4, seed: int = 0):
    lightness, ab = make_pictures(batch)
    generator = torch.Generator().manual_seed(seed)
    automatic = torch.zeros(batch, 2, 32, 32)
    return ab, simulate_hints(lightness, ab, automatic, generator, implausible=implausible)


def test_a_hint_in_training_is_that_of_a_caller():
    rgb, radius, size = (200, 60, 40), 0.04, 160
    caller = render_input(
        "hints", Options(hints=(Hint(x=0.3, y=0.6, rgb=rgb, radius=radius),)), (size, size)
    )
    ab = color.normalize_ab(color.rgb_to_lab(np.array(rgb) / 255)[1:])
    flat = torch.tensor(ab, dtype=torch.float32)[None, :, None, None].expand(1, 2, size, size)
    side = torch.tensor([[radius * size * np.pi**0.5]])  # a square of the circle's area
    place = torch.tensor([[0.6]]), torch.tensor([[0.3]])
    [painted] = paint_hints(Hints(*place, side, torch.tensor([[True]])), flat).numpy()
    assert painted[0].max() == caller[0].max() == 1
    np.testing.assert_allclose(painted.sum((1, 2)), caller.sum((1, 2)), rtol=0.05)
    for planes in (painted, caller):
        covered = planes[0] == 1
        np.testing.assert_allclose(
            planes[1:, covered].T, ab[None].repeat(covered.sum(), 0), atol=1e-5
        )
    centers = [
        np.array([(plane.sum(axis) * np.arange(size)).sum() / plane.sum() for axis in (1, 0)])
        for plane in (painted[0], caller[0])
    ]
    assert np.abs(centers[0] - centers[1]).max() < 0.5


def test_half_of_the_places_are_where_the_error_is_large():
    error = torch.full((1, 8, 8), 0.01)
    error[0, 2, 5] = 10
    y, x = draw_places(error, 1000, torch.Generator().manual_seed(0))
    inside = (y * 8).floor().eq(2) & (x * 8).floor().eq(5)
    assert 0.45 < inside.float().mean() < 0.6
    assert y.min() >= 0 and max(y.max(), x.max()) <= 1


def test_places_are_inside_of_the_picture():
    error = torch.zeros(1, 160, 160)
    error[0, -1, -1] = 1
    places = torch.stack(draw_places(error, 1_000_000, torch.Generator().manual_seed(0)))
    assert places.max() < 1 and (places * 160).max() < 160


def test_a_picture_without_error_has_hints_everywhere():
    y, x = draw_places(torch.zeros(2, 8, 8), 500, torch.Generator().manual_seed(0))
    assert 0.4 < y.mean() < 0.6 and 0.4 < x.mean() < 0.6


def test_every_picture_has_a_hint_of_the_wanted_color():
    ab, found = simulate(0.0)
    assert torch.equal(found.ab, ab)
    assert found.hints.present[:, 0].all() and not found.region.any()
    grid = 2 * torch.stack([found.hints.x, found.hints.y], dim=-1)[:, :, None] - 1
    below = torch.nn.functional.grid_sample(ab, grid, align_corners=False)[..., 0]
    difference = (found.colors - below.transpose(1, 2)).abs().amax(-1)
    assert difference[found.hints.present].mean() < 0.02


def test_implausible_colors_fill_a_connected_region():
    ab, found = simulate(1.0, batch=8)
    changed = found.region.numpy()
    for region in changed:
        assert 0.004 < region.mean() < 1
        count, _ = cv2.connectedComponents(region.astype(np.uint8))
        assert count == 2  # the region and the rest
    assert torch.equal(
        found.ab[~torch.from_numpy(changed)[:, None].expand_as(ab)],
        ab[~torch.from_numpy(changed)[:, None].expand_as(ab)],
    )
    y, x = ((place[:, 0] * 64).long() for place in (found.hints.y, found.hints.x))
    assert changed[range(8), y, x].all(), "the first hint is in the region"


def test_half_of_the_implausible_colors_have_one_hint():
    _, found = simulate(1.0, batch=64)
    alone = (found.hints.present.sum(1) == 1).float().mean()
    assert 0.4 < alone < 0.75  # others have one hint by chance


@pytest.mark.parametrize("implausible", [0.0, 0.5])
def test_equal_seeds_give_equal_hints(implausible):
    _, one = simulate(implausible)
    _, same = simulate(implausible)
    _, other = simulate(implausible, seed=1)
    assert torch.equal(one.colors, same.colors) and torch.equal(one.ab, same.ab)
    assert not torch.equal(one.hints.x[:, 0], other.hints.x[:, 0])
