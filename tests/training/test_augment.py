"""Augmentation of training batches: what it changes and what it leaves."""

import cv2
import numpy as np
import pytest
import skimage.data
import torch

from colorizenet import color
from colorizenet.errors import ConfigError
from colorizenet.training.data.augment import (
    AugmentConfig,
    augment_batch,
    shift_and_cut,
    to_network,
    to_pixels,
    to_rgb,
)

DEGRADATIONS = ("film", "blur", "noise", "jpeg", "fade")


@pytest.fixture(scope="module")
def batch() -> torch.Tensor:
    """Eight real photos of 64 px, (8, 64, 64, 3) uint8."""
    cat, coffee = skimage.data.chelsea(), skimage.data.coffee()
    crops = [cat[:300, :300], cat[:300, 150:450], coffee[:400, :400], coffee[:400, 200:600]]
    small = [cv2.resize(crop, (64, 64), interpolation=cv2.INTER_AREA) for crop in crops]
    return torch.from_numpy(np.stack([*small, *(picture[:, ::-1] for picture in small)]))


def test_without_settings_nothing_is_changed(batch):
    sample = augment_batch(batch, AugmentConfig(), 0)
    lightness, ab = to_network(batch)
    assert torch.equal(sample.condition, lightness)
    assert torch.equal(sample.lightness, lightness)
    assert torch.equal(sample.ab, ab)


@pytest.mark.parametrize("change", DEGRADATIONS)
def test_degradations_change_the_network_input_alone(batch, change):
    sample = augment_batch(batch, AugmentConfig(**{change: 1.0}), 3)
    lightness, ab = to_network(batch)
    assert torch.equal(sample.lightness, lightness)
    assert torch.equal(sample.ab, ab)
    assert ((sample.condition - lightness).abs().amax((1, 2, 3)) > 0.01).all()
    assert sample.condition.min() >= 0
    assert sample.condition.max() <= 1


@pytest.mark.parametrize("change", [*DEGRADATIONS, "zoom", "rotate", "border"])
def test_equal_seeds_give_equal_batches_and_others_do_not(batch, change):
    config = AugmentConfig(**{change: 0.5})
    one, same, other = (augment_batch(batch, config, seed) for seed in (7, 7, 8))
    assert all(torch.equal(x, y) for x, y in zip(one, same, strict=True))
    assert not all(torch.equal(x, y) for x, y in zip(one, other, strict=True))


@pytest.mark.parametrize("change", DEGRADATIONS)
def test_each_picture_has_random_numbers_of_its_own(batch, change):
    same = batch[:1].expand(64, -1, -1, -1)
    sample = augment_batch(same, AugmentConfig(**{change: 0.5}), 1)
    changed = (sample.condition != sample.lightness).flatten(1).any(1)
    assert 16 < changed.sum() < 48
    different = torch.unique(sample.condition[changed].flatten(1), dim=0)
    assert len(different) > changed.sum() / 2  # some have the same JPEG quality


@pytest.mark.parametrize("change", DEGRADATIONS)
def test_autocast_does_not_change_the_numbers(batch, change):
    config = AugmentConfig(**{change: 1.0})
    expected = augment_batch(batch, config, 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        sample = augment_batch(batch, config, 1)
    assert all(torch.equal(x, y) for x, y in zip(sample, expected, strict=True))


def test_a_crop_moves_lightness_and_color_together(batch):
    sample = augment_batch(batch, AugmentConfig(zoom=0.3), 5)
    result = to_rgb(sample.lightness, sample.ab).float()
    assert ((result - batch.float()).abs().mean((1, 2, 3)) > 1).all()
    # The same colors, elsewhere: each crop has about the mean of its picture.
    assert ((result.mean((1, 2)) - batch.float().mean((1, 2))).abs() < 40).all()


def test_a_crop_keeps_the_aspect_and_the_share_of_each_side():
    steps = torch.arange(64, dtype=torch.uint8) * 4
    position = torch.stack([*torch.meshgrid(steps, steps, indexing="ij"), 0 * steps.expand(64, -1)])
    pictures = position.movedim(0, -1).expand(32, 64, 64, 3)
    sample = augment_batch(pictures, AugmentConfig(zoom=0.25), 0)
    # Linear light is interpolated, so positions are exact to about a pixel.
    rgb = to_rgb(sample.lightness, sample.ab).float()
    down = rgb[:, -1, 32, 0] - rgb[:, 0, 32, 0]
    across = rgb[:, 32, -1, 1] - rgb[:, 32, 0, 1]
    assert (down - across).abs().max() < 12
    assert down.min() > 0.73 * 252 and down.max() <= 252
    assert down.std() > 5


@pytest.mark.parametrize("shape", [(64, 64), (48, 80), (80, 48)])
def test_a_rotation_turns_lightness_and_color_by_at_most_5_degrees(shape):
    """Red grows downward and green to the right, by 2 levels for each pixel."""
    steps = (40 + 2 * torch.arange(side) for side in shape)
    down, across = torch.meshgrid(*steps, indexing="ij")
    picture = torch.stack([down, across, 0 * down], dim=-1).to(torch.uint8)
    sample = augment_batch(picture.expand(32, *picture.shape), AugmentConfig(rotate=1.0), 0)
    rgb = to_rgb(sample.lightness, sample.ab).float()
    along = rgb[:, shape[0] // 2, -5] - rgb[:, shape[0] // 2, 4]
    angle = torch.rad2deg(torch.atan2(along[:, 0], along[:, 1]))
    assert angle.abs().max() < 6 and angle.std() > 1.5
    # No corner is empty: beyond the picture its edge would be repeated.
    for part in (rgb, rgb.flip(1), rgb.flip(2), rgb.flip(1, 2)):
        assert (part[:, 4, 0, 0] - part[:, 0, 0, 0]).abs().min() > 4
        assert (part[:, 0, 4, 1] - part[:, 0, 0, 1]).abs().min() > 4


def test_borders_are_uniform_gray_and_at_most_a_sixth_wide(batch):
    sample = augment_batch(batch.repeat(16, 1, 1, 1), AugmentConfig(border=1.0), 2)
    before = torch.cat(to_network(batch.repeat(16, 1, 1, 1)), dim=1)
    changed = (torch.cat([sample.lightness, sample.ab], dim=1) != before).any(1)
    assert not changed[:, 11:-11, 11:-11].any()  # 64 / 6 = 10.7
    assert torch.equal(sample.condition, sample.lightness)
    levels = []
    for picture in range(len(changed)):
        if (border := changed[picture]).any():
            assert sample.ab[picture, :, border].abs().max() < 1e-5
            assert sample.lightness[picture, 0, border].std(correction=0) < 1e-5
            levels.append(float(sample.lightness[picture, 0, border].mean()))
    levels = torch.tensor(levels)
    assert 0.15 < (levels < 1e-3).float().mean() < 0.35  # black
    assert 0.15 < (levels > 0.999).float().mean() < 0.35  # white
    sides = torch.stack([changed[:, 0], changed[:, -1], changed[:, :, 0], changed[:, :, -1]])
    assert 0.5 < sides.float().mean(-1).gt(0.7).float().mean() < 0.85  # some sides have none


def test_film_can_be_more_sensitive_to_blue_or_to_red():
    red, blue = torch.zeros(2, 16, 8, 8, 3, dtype=torch.uint8)
    red[..., 0], blue[..., 2] = 255, 255
    of_red, of_blue = (
        augment_batch(picture, AugmentConfig(film=1.0), 4).condition.mean((1, 2, 3))
        for picture in (red, blue)
    )
    assert (of_blue > of_red).any()  # a blue-sensitive plate; to the eye red is lighter
    assert (of_blue < of_red).any()


def test_pixels_have_a_gradient_and_convert_back(batch):
    lightness, ab = to_network(batch)
    ab.requires_grad_()
    pixels = to_pixels(lightness, ab)
    assert (pixels.detach().movedim(1, -1) * 255 - batch).abs().max() < 0.6
    pixels.sum().backward()
    assert ab.grad is not None
    assert torch.isfinite(ab.grad).all()


def test_gray_has_no_chroma():
    gray = torch.arange(256, dtype=torch.uint8)[None, :, None, None].expand(1, 256, 2, 3)
    lightness, ab = to_network(gray)
    assert ab.abs().max() * color.AB_SCALE < 1e-3
    assert (lightness[0, 0, 1:, 0] > lightness[0, 0, :-1, 0]).all()


@pytest.mark.parametrize(
    "config", [{"film": 1.1}, {"zoom": 1.0}, {"border": -0.1}, {"rotate": 5.0}, {"noise": -1.0}]
)
def test_shares_out_of_range_are_rejected(config):
    with pytest.raises(ConfigError, match=rf"augment\.{next(iter(config))}"):
        AugmentConfig(**config)


def test_shifting_and_cutting_changes_batches_alike_and_no_color():
    batches = [torch.rand(6, 3, 32, 48) + 1 for _ in range(2)]
    both = [*batches, batches[0] + 1]
    one, other, brighter = shift_and_cut(both, torch.Generator().manual_seed(0))
    assert one.shape == batches[0].shape
    cut = (one == 0.5).all(1)
    assert torch.equal(cut, (other == 0.5).all(1)) and 0.05 < cut.float().mean() < 0.4
    torch.testing.assert_close(
        torch.where(cut[:, None], 0, brighter), torch.where(cut[:, None], 0, one + 1)
    )
    for before, after, hidden in zip(batches[0], one, cut, strict=True):
        colors = {tuple(color) for color in before.flatten(1).T.tolist()}
        assert {tuple(color) for color in after[:, ~hidden].T.tolist()} <= colors
    again, *_ = shift_and_cut(both, torch.Generator().manual_seed(0))
    different, *_ = shift_and_cut(both, torch.Generator().manual_seed(1))
    assert torch.equal(one, again) and not torch.equal(one, different)


def test_the_gradient_passes_shifting_and_cutting():
    picture = torch.rand(2, 3, 32, 32, requires_grad=True)
    [moved] = shift_and_cut([picture], torch.Generator().manual_seed(0))
    moved.sum().backward()
    assert picture.grad is not None and picture.grad.sum() > 0
