"""Colors at half size: lightness stays exact, and grays stay gray."""

import numpy as np
import pytest

from colorizenet import color


def compose(levels: np.ndarray, ab: np.ndarray) -> np.ndarray:
    result = np.empty((*levels.shape, 3), np.uint8)
    halved = color.halve_levels(levels)
    color.compose_subsampled(levels, halved, ab[..., 0], ab[..., 1], result)
    return result


def draw_chroma(shape: tuple[int, ...], chroma: float) -> np.ndarray:
    """a* and b* at half size, with a standard deviation of ``chroma``."""
    random = np.random.default_rng(1)
    return random.normal(0, chroma, (shape[0] // 2, shape[1] // 2, 2)).astype(np.float32)


@pytest.mark.parametrize("chroma", [5, 20, 60])
def test_blocks_of_one_level_get_the_full_conversion_and_keep_their_lightness(chroma):
    levels = np.arange(256, dtype=np.uint8).repeat(2)[:, None].repeat(128, axis=1)
    ab = draw_chroma(levels.shape, chroma)
    result = compose(levels, ab)
    assert np.abs(color.lightness(result) - color.lightness(levels)).max() < 0.6
    expected = color.compose(color.lightness(levels[::2, ::2]), ab, np.dtype(np.uint8))
    assert np.abs(result[::2, ::2].astype(int) - expected).max() <= 1
    assert all(np.array_equal(result[::2, ::2], result[y::2, x::2]) for y, x in [(0, 1), (1, 1)])


def test_every_pixel_of_a_block_keeps_its_lightness():
    random = np.random.default_rng(2)
    levels = np.rint(random.normal(0, 8, (256, 256)) + np.linspace(60, 190, 256)).astype(np.uint8)
    error = np.abs(
        color.lightness(compose(levels, draw_chroma(levels.shape, 10))) - color.lightness(levels)
    )
    assert error.max() < 0.6 and error.mean() < 0.1


def test_the_chroma_that_an_encoder_finds_in_a_block_is_constant():
    levels = np.random.default_rng(3).integers(110, 150, (64, 64), np.uint8)
    result = compose(levels, draw_chroma(levels.shape, 5)).astype(int)
    difference = result[..., [0, 2]] - result[..., [1]]
    blocks = difference.reshape(32, 2, 32, 2, 2)
    # Each channel is rounded, so differences vary by one level.
    assert (blocks.max(axis=(1, 3)) - blocks.min(axis=(1, 3))).max() <= 1


def test_without_chroma_the_levels_are_unchanged():
    levels = np.random.default_rng(4).integers(0, 256, (64, 64), np.uint8)
    result = compose(levels, np.zeros((32, 32, 2), np.float32))
    assert np.array_equal(result, np.dstack([levels] * 3))


def test_gray_levels_of_colors_have_equal_lightness():
    levels = np.arange(256, dtype=np.uint8)[None]
    assert color.gray_levels(levels) is levels
    assert np.array_equal(color.gray_levels(np.dstack([levels] * 3)), levels)
    rgb = np.random.default_rng(5).integers(0, 256, (64, 64, 3), np.uint8)
    error = np.abs(color.lightness(color.gray_levels(rgb)) - color.lightness(rgb))
    assert error.max() < 0.3, "half a level"
