import numpy as np
import pytest
import torch
from torch.nn import functional as F

from colorizenet.training.networks.guided_filter import upsample_along


def fit_windows(values, guide, radius, least):
    """The guided filter by its definition: one regularized fit for each window."""
    height, width = values.shape
    found = [[[] for _ in range(width)] for _ in values]
    for y in range(height):
        for x in range(width):
            rows = slice(max(0, y - radius), y + radius + 1)
            columns = slice(max(0, x - radius), x + radius + 1)
            i, p = guide[rows, columns].ravel(), values[rows, columns].ravel()
            slope = np.mean((i - i.mean()) * (p - p.mean())) / (i.var() + least)
            for row in range(height)[rows]:
                for column in range(width)[columns]:
                    found[row][column].append((slope, p.mean() - slope * i.mean()))
    slope, offset = np.moveaxis(
        np.array([[np.mean(each, axis=0) for each in row] for row in found]), -1, 0
    )
    return slope * guide + offset


def test_it_is_the_mean_of_the_fits_of_all_windows():
    random = torch.Generator().manual_seed(0)
    values = torch.randn(1, 2, 9, 7, generator=random, dtype=torch.float64)
    guide = torch.rand(1, 1, 9, 7, generator=random, dtype=torch.float64)
    [smoothed] = upsample_along(values, guide, 1, radius=2, least_variance=0.02)
    for plane, found in zip(values[0].numpy(), smoothed.numpy(), strict=True):
        np.testing.assert_allclose(found, fit_windows(plane, guide[0, 0].numpy(), 2, 0.02))


def step(side, column):
    """A picture that is dark up to a column, and light from there."""
    return (torch.arange(side) >= column).float().expand(1, 1, side, side)


def test_an_edge_of_the_guide_is_sharp_in_values_of_a_smaller_size():
    """The edge lies within a pixel of the values, and bilinear enlarging blurs it."""
    guide = step(32, 15)
    values = torch.cat([3 * F.avg_pool2d(guide, 2) - 1, 5 - F.avg_pool2d(guide, 2)], dim=1)
    sharp = torch.cat([3 * guide - 1, 5 - guide], dim=1)
    enlarged = upsample_along(values, guide, 2, radius=3, least_variance=1e-6)
    torch.testing.assert_close(enlarged, sharp, atol=0.01, rtol=0)
    blurred = F.interpolate(values, scale_factor=2.0, mode="bilinear")
    assert (blurred - sharp).abs().max() > 0.7


@pytest.mark.parametrize("shape", [(16, 16), (2, 24)], ids=["square", "lower than a window"])
def test_equal_values_stay_equal(shape):
    height, width = shape
    guide = torch.rand(1, 1, 2 * height, 2 * width, generator=torch.Generator().manual_seed(0))
    values = torch.full((3, 2, height, width), -7.5)
    enlarged = upsample_along(values, guide, 2, radius=4, least_variance=0.01)
    torch.testing.assert_close(enlarged, torch.full((3, 2, 2 * height, 2 * width), -7.5))


def test_where_the_guide_is_even_values_are_averaged():
    values = torch.zeros(1, 1, 15, 15)
    values[..., 7, 7] = 25.0
    enlarged = upsample_along(
        values, torch.full((1, 1, 15, 15), 0.5), 1, radius=2, least_variance=0.1
    )
    assert enlarged.max().item() == pytest.approx(1.0)
    assert enlarged.sum().item() == pytest.approx(25.0, rel=1e-5)
