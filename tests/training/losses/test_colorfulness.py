"""The colorfulness loss: known values, its direction, and the limit of chroma."""

import numpy as np
import pytest
import torch

from colorizenet import color
from colorizenet.evaluation import metrics
from colorizenet.training.losses.colorfulness import colorfulness_loss, limit_chroma


def make_row(*ab: tuple[float, float]) -> torch.Tensor:
    """A picture of one row, in network units."""
    return torch.tensor(ab).T.reshape(1, 2, 1, -1) / color.AB_SCALE


def test_limited_chroma_keeps_hues_and_pale_colors_and_stays_below_the_limit():
    ab = make_row((3.0, 4.0), (-30.0, 40.0), (-60.0, 80.0)).requires_grad_()
    limited = limit_chroma(ab)
    pale, lively, vivid = limited.detach()[0, :, 0].T * color.AB_SCALE
    assert pale.tolist() == pytest.approx([3.0, 4.0], rel=0.01)
    assert (lively / lively.norm()).tolist() == pytest.approx([-0.6, 0.8], rel=1e-5)
    assert 30 < lively.norm() < 40 and lively.norm() < vivid.norm() < 40
    limited.square().sum().sqrt().backward()
    vivid_gradient, pale_gradient = (ab.grad[0, :, 0, n].norm() for n in (2, 0))
    assert vivid_gradient < 0.1 * pale_gradient * vivid.norm() / pale.norm()
    assert torch.isfinite(limit_chroma(make_row((0.0, 0.0)))).all()


def test_the_loss_is_one_minus_colorfulness_and_pulls_away_from_gray():
    rgb = torch.rand(2, 3, 8, 8, requires_grad=True)
    levels = (rgb.detach().movedim(1, -1).numpy() * 255).round().astype(np.uint8)
    expected = 1 - np.mean([metrics.colorfulness(picture) for picture in levels]) / 100
    loss = colorfulness_loss(rgb)
    assert loss.item() == pytest.approx(expected, abs=2e-3)
    loss.backward()
    with torch.no_grad():
        assert colorfulness_loss(rgb - 10 * rgb.grad) < loss
