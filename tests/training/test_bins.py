"""Chroma as bins: which there are, how colors are spread over them, and that rare ones count more."""

import numpy as np
import pytest
import torch

from colorizenet import color
from colorizenet.training.networks.bins import Bins, bin_centers


def test_the_bins_are_what_srgb_can_show():
    centers = bin_centers()
    assert len(centers) > 250
    assert (centers % 10 == 0).all()
    assert len(np.unique(centers, axis=0)) == len(centers)
    for shown, wanted in ([(80, 70), True], [(0, 0), True], [(-100, -80), False]):
        assert ((centers == shown).all(1).any()) == wanted


def test_a_color_is_spread_over_its_nearest_bins_around_itself():
    bins = Bins(4)
    ab = torch.tensor([[3.0, -2.0], [40.0, 40.0], [-31.0, 47.0]])
    chosen, weights = bins.encode(ab)
    assert torch.allclose(weights.sum(1), torch.ones(3))
    mean = (bins.centers[chosen] * weights[..., None]).sum(1)
    assert (mean - ab).abs().max() < 2.5
    assert torch.equal(bins.centers[chosen[1, 0]], ab[1])


def picture(ab: tuple[float, float]) -> torch.Tensor:
    return torch.tensor(ab).reshape(1, 2, 1, 1).expand(1, 2, 8, 8) / color.AB_SCALE


def test_a_step_makes_the_true_bin_likelier():
    torch.manual_seed(0)
    bins = Bins(4)
    features, true = torch.rand(1, 4, 4, 4), picture((40.0, 40.0))
    before = bins(features, true)
    before.backward()
    with torch.no_grad():
        for parameter in bins.parameters():
            parameter -= 0.5 * parameter.grad
    assert bins.eval()(features, true) < before


def test_what_is_rare_counts_more():
    bins = Bins(4)
    for _ in range(200):  # nearly all that is ever seen is gray
        bins(torch.rand(1, 4, 4, 4), picture((0.0, 0.0)))
    bins.eval()
    torch.nn.init.zeros_(bins.head.weight)
    torch.nn.init.zeros_(bins.head.bias)
    features = torch.rand(1, 4, 4, 4)
    common, rare = bins(features, picture((0.0, 0.0))), bins(features, picture((60.0, 40.0)))
    assert rare > 10 * common
    assert bins.shares.sum().item() == pytest.approx(1, abs=1e-4)


def test_weights_are_one_on_the_mean_over_what_is_seen():
    bins = Bins(4).eval()
    torch.nn.init.zeros_(bins.head.weight)
    torch.nn.init.zeros_(bins.head.bias)
    # No bin is rarer than another yet, and all are as likely: the entropy of not knowing.
    assert bins(torch.rand(1, 4, 4, 4), picture((20.0, 20.0))).item() == pytest.approx(
        np.log(len(bins.centers)), rel=1e-5
    )
