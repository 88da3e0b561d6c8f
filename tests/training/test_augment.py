"""What may be changed in photographs on the way to a network, and what never is."""

import cv2
import numpy as np
import pytest
import skimage.data
import torch

from colorizenet import color
from colorizenet.errors import ConfigError
from colorizenet.training.data.augment import (
    AugmentConfig,
    augmented,
    to_network,
    to_pixels,
    to_rgb,
)

SEEN_ALONE = ("film", "blur", "noise", "jpeg", "fade")


@pytest.fixture(scope="module")
def batch() -> torch.Tensor:
    """Eight real photographs of 64 px, (8, 64, 64, 3) uint8."""
    cat, coffee = skimage.data.chelsea(), skimage.data.coffee()
    cuts = [cat[:300, :300], cat[:300, 150:450], coffee[:400, :400], coffee[:400, 200:600]]
    small = [cv2.resize(cut, (64, 64), interpolation=cv2.INTER_AREA) for cut in cuts]
    return torch.from_numpy(np.stack([*small, *(picture[:, ::-1] for picture in small)]))


def test_nothing_is_changed_unless_it_is_asked_for(batch):
    sample = augmented(batch, AugmentConfig(), 0)
    lightness, ab = to_network(batch)
    assert torch.equal(sample.seen, lightness)
    assert torch.equal(sample.lightness, lightness)
    assert torch.equal(sample.ab, ab)


@pytest.mark.parametrize("change", SEEN_ALONE)
def test_what_time_does_to_a_photograph_is_done_to_what_the_network_sees_alone(batch, change):
    sample = augmented(batch, AugmentConfig(**{change: 1.0}), 3)
    lightness, ab = to_network(batch)
    assert torch.equal(sample.lightness, lightness)
    assert torch.equal(sample.ab, ab)
    assert ((sample.seen - lightness).abs().amax((1, 2, 3)) > 0.01).all()
    assert sample.seen.min() >= 0
    assert sample.seen.max() <= 1


@pytest.mark.parametrize("change", [*SEEN_ALONE, "zoom", "stretch", "saturation"])
def test_equal_seeds_draw_equal_changes_and_others_others(batch, change):
    config = AugmentConfig(**{change: 0.5})
    one, same, other = (augmented(batch, config, seed) for seed in (7, 7, 8))
    assert all(torch.equal(x, y) for x, y in zip(one, same, strict=True))
    assert not all(torch.equal(x, y) for x, y in zip(one, other, strict=True))


@pytest.mark.parametrize("change", SEEN_ALONE)
def test_each_picture_draws_for_itself(batch, change):
    same = batch[:1].expand(64, -1, -1, -1)
    sample = augmented(same, AugmentConfig(**{change: 0.5}), 1)
    changed = (sample.seen != sample.lightness).flatten(1).any(1)
    assert 16 < changed.sum() < 48
    assert (
        len(torch.unique(sample.seen[changed].flatten(1), dim=0)) > changed.sum() / 2
    )  # of JPEG's qualities some meet


def test_more_vivid_colors_keep_their_lightness_and_can_be_shown(batch):
    lightness, ab = to_network(batch)
    sample = augmented(batch, AugmentConfig(saturation=0.3), 2)
    assert (sample.lightness - lightness).abs().max() < 1e-4
    times = sample.ab.norm(dim=1).mean((1, 2)) / ab.norm(dim=1).mean((1, 2))
    assert times.min() >= 1
    assert 1.05 < times.max() < 1.35
    lab = torch.cat(
        [color.denormalize_l(sample.lightness), color.denormalize_ab(sample.ab)], 1
    ).movedim(1, -1)
    linear = color.lab_to_linear(lab)
    assert linear.min() > -1e-3
    assert linear.max() < 1 + 1e-3


def test_another_cut_moves_lightness_and_color_together(batch):
    sample = augmented(batch, AugmentConfig(zoom=0.3, stretch=0.2), 5)
    shown = to_rgb(sample.lightness, sample.ab).float()
    assert ((shown - batch.float()).abs().mean((1, 2, 3)) > 1).all()
    # The same colors, elsewhere: each cut has about the mean of what it was cut from.
    assert ((shown.mean((1, 2)) - batch.float().mean((1, 2))).abs() < 40).all()


def test_a_stretch_alone_is_within_its_bounds():
    # A vertical edge in the middle stays vertical; how much of the picture is shown says how far it was cut.
    ramp = torch.arange(64).float()[None, None, :, None].expand(32, 64, 64, 3) * 4
    sample = augmented(ramp.to(torch.uint8), AugmentConfig(stretch=0.2), 0)
    shown = to_rgb(sample.lightness, sample.ab)[..., 0].float()
    across = shown[:, 32, -1] - shown[:, 32, 0]
    assert across.max() <= 252
    assert across.min() > 252 / 1.25
    assert across.std() > 1


def test_each_batch_has_one_of_the_sizes_and_the_colors_it_had(batch):
    config = AugmentConfig(sizes=(32, 64, 96))
    samples = [augmented(batch, config, seed) for seed in range(12)]
    assert {sample.seen.shape[-1] for sample in samples} == {32, 64, 96}
    for sample in samples:
        assert sample.seen.shape == (8, 1, *sample.ab.shape[-2:])
        shown = to_rgb(sample.lightness, sample.ab).float()
        assert (
            (shown.mean((1, 2)) - batch.float().mean((1, 2))).abs() < 16
        ).all()  # levels; light is averaged, not levels


@pytest.mark.parametrize("side", [0, 100, -32])
def test_a_size_that_networks_cannot_halve_is_refused(side):
    with pytest.raises(ConfigError, match=r"augment\.sizes"):
        AugmentConfig(sizes=(128, side))


def test_film_sees_blue_and_red_otherwise():
    red, blue = (
        torch.zeros(16, 8, 8, 3, dtype=torch.uint8),
        torch.zeros(16, 8, 8, 3, dtype=torch.uint8),
    )
    red[..., 0], blue[..., 2] = 255, 255
    of_red, of_blue = (
        augmented(picture, AugmentConfig(film=1.0), 4).seen.mean((1, 2, 3))
        for picture in (red, blue)
    )
    assert (of_blue > of_red).any()  # a blue-sensitive plate; to the eye red is lighter
    assert (of_blue < of_red).any()


def test_pixels_have_a_gradient_and_survive_the_way_back(batch):
    lightness, ab = to_network(batch)
    ab.requires_grad_()
    pixels = to_pixels(lightness, ab)
    assert (pixels.detach().movedim(1, -1) * 255 - batch).abs().max() < 0.6
    pixels.sum().backward()
    assert ab.grad is not None
    assert torch.isfinite(ab.grad).all()


@pytest.mark.parametrize(
    "config", [{"film": 1.1}, {"zoom": 1.0}, {"stretch": -0.1}, {"noise": -1.0}]
)
def test_shares_out_of_range_are_refused(config):
    with pytest.raises(ConfigError, match=rf"augment\.{next(iter(config))}"):
        AugmentConfig(**config)
