"""Network inputs rendered from training batches."""

import pytest
import torch

from colorizenet.errors import ConfigError
from colorizenet.training.data.augment import AugmentConfig, augment_batch, to_network
from colorizenet.training.data.conditions import (
    CONDITIONS,
    Condition,
    input_channels,
    render_condition,
)


def batch_of(pictures: int, size: int = 96) -> tuple[torch.Tensor, torch.Tensor]:
    """Lightness and ab of random smooth pictures."""
    generator = torch.Generator().manual_seed(0)
    small = torch.rand(pictures, 3, 6, 6, generator=generator)
    planes = torch.nn.functional.interpolate(small, size=(size, size), mode="bicubic")
    return planes[:, :1], planes[:, 1:] - 0.5


def render_hints(pictures: int = 150, seed: int = 0, size: int = 64) -> torch.Tensor:
    lightness, ab = batch_of(pictures, size)
    return render_condition(["hints"], lightness, ab, seed)


def test_the_channels_are_those_of_the_names():
    assert input_channels(["lightness"]) == 1
    assert input_channels(["lightness", "hints"]) == 4


@pytest.mark.parametrize("names", [["lightness", "sketch"], []])
def test_unknown_or_missing_names_are_rejected(names):
    lightness, ab = batch_of(1)
    with pytest.raises(ConfigError, match="choose one or more of lightness, hints"):
        input_channels(names)
    with pytest.raises(ConfigError, match="choose one or more of lightness, hints"):
        render_condition(names, lightness, ab, 0)


def test_the_condition_is_the_inputs_in_the_order_of_their_names():
    lightness, ab = batch_of(3)
    alone = render_condition(["hints"], lightness, ab, 5)
    both = render_condition(["lightness", "hints"], lightness, ab, 5)
    assert torch.equal(both[:, :1], lightness)
    assert torch.equal(both[:, 1:], alone)
    reverse = render_condition(["hints", "lightness"], lightness, ab, 5)
    assert torch.equal(reverse, both[:, [1, 2, 3, 0]])


def test_a_new_input_is_an_entry_of_a_mapping():
    dummy = Condition(3, lambda lightness, ab, generator: lightness.expand(-1, 3, -1, -1) * 2)
    conditions = {**CONDITIONS, "dummy": dummy}
    assert input_channels(["lightness", "dummy"], conditions=conditions) == 4
    rgb = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    sample = augment_batch(
        rgb, AugmentConfig(), 0, inputs=["lightness", "dummy"], conditions=conditions
    )
    lightness, _ = to_network(rgb)
    assert torch.equal(sample.condition, lightness * torch.tensor([1, 2, 2, 2])[:, None, None])


def test_equal_seeds_give_equal_hints_and_others_do_not():
    assert torch.equal(render_hints(20), render_hints(20))
    assert not torch.equal(render_hints(20), render_hints(20, seed=1))


def test_half_of_the_pictures_have_no_hints():
    without = (render_hints() == 0).flatten(1).all(1).float().mean()
    assert 0.4 < without < 0.6


def test_in_validation_there_are_no_hints():
    lightness, _ = batch_of(2)
    assert torch.equal(
        render_condition(["hints"], lightness, None, 0), torch.zeros(2, 3, *lightness.shape[2:])
    )


def test_hints_cover_small_squares_whose_number_is_geometric():
    hints = torch.cat([render_hints(size=192, seed=seed) for seed in (1, 2)])
    coverage = hints[:, 0]
    assert coverage.min() == 0 and coverage.max() == 1
    # A mean of 8 hints, less those that overlap, of a mean area of (1 + 4 + ... + 49) /
    # 7 = 20.
    covered = coverage.sum((1, 2))
    with_hints = covered[covered > 0]
    assert 110 < with_hints.mean() < 200
    assert with_hints.min() == pytest.approx(1)
    assert with_hints.max() > 500


def test_hints_have_the_mean_color_of_the_true_picture_below_them():
    lightness, _ = batch_of(200)
    flat = torch.rand(200, 2, 1, 1, generator=torch.Generator().manual_seed(3)) - 0.5
    hints = render_condition(["hints"], lightness, flat.expand(-1, -1, 96, 96), 0)
    torch.testing.assert_close(hints[:, 1:], hints[:, :1] * flat)

    _, ab = batch_of(200)
    hints = render_condition(["hints"], lightness, ab, 0)
    inside = hints[:, 0] == 1
    difference = (hints[:, 1:] - ab).abs().amax(1)[inside]
    assert difference.median() < 0.05  # the pictures are smooth and the squares are small
    assert difference.mean() < (ab - ab.mean((2, 3), keepdim=True)).abs().mean() / 2


def test_the_other_inputs_are_not_changed_by_hints():
    rgb = torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8)
    config = AugmentConfig(noise=1.0, zoom=0.2)
    alone = augment_batch(rgb, config, 3)
    both = augment_batch(rgb, config, 3, inputs=["lightness", "hints"])
    assert torch.equal(alone.condition, both.condition[:, :1])
    assert torch.equal(alone.lightness, both.lightness)
    assert torch.equal(alone.ab, both.ab)
