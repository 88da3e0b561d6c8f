"""Small chroma brought to full size: laws, then better than cubic on a real photograph."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colorizenet import color, metrics
from colorizenet.upsample import EdgeUpsampler, chroma_slope, cubic_taps

sides = st.integers(1, 40)


def cubic_matrix(small: int, large: int, start: int, stop: int) -> np.ndarray:
    """The same weights as a whole matrix, (stop - start, small)."""
    used, weights = cubic_taps(small, large, start, stop)
    matrix = np.zeros((stop - start, small), np.float32)
    np.add.at(matrix, (np.arange(stop - start)[:, None], used), weights)
    return matrix


@given(small=sides, factor=st.floats(1, 9))
def test_weights_sum_to_one_and_strips_are_rows_of_the_whole(small, factor):
    large = round(small * factor)
    whole = cubic_matrix(small, large, 0, large)
    assert np.allclose(whole.sum(axis=1), 1, atol=1e-6)
    middle = large // 2
    assert np.array_equal(whole[middle:], cubic_matrix(small, large, middle, large))


def test_a_straight_line_stays_straight():
    line = cubic_matrix(16, 80, 0, 80) @ np.arange(16, dtype=np.float32)
    assert np.allclose(np.diff(line[12:-12]), 1 / 5, atol=1e-5)


@given(st.integers(0, 2**32 - 1), sides, sides)
def test_flat_chroma_stays_flat_whatever_the_lightness(seed, height, width):
    random = np.random.default_rng(seed)
    l_star = random.uniform(0, 100, (height * 3, width * 2)).astype(np.float32)
    ab = np.broadcast_to(np.float32([20, -30]), (height, width, 2))
    l_small = random.uniform(0, 100, (height, width)).astype(np.float32)
    up = EdgeUpsampler(ab, l_small, l_star.shape).rows(l_star, 0)
    assert up.shape == (*l_star.shape, 2)
    assert np.allclose(up, [20, -30], atol=0.02)


def test_without_detail_it_is_cubic():
    random = np.random.default_rng(1)
    ab = random.normal(0, 20, (12, 9, 2)).astype(np.float32)
    flat = np.full((12, 9), 50, np.float32)
    up = EdgeUpsampler(ab, flat, (48, 36)).rows(np.full((48, 36), 50, np.float32), 0)
    plain = np.einsum("yh,hwc,xw->yxc", cubic_matrix(12, 48, 0, 48), ab, cubic_matrix(9, 36, 0, 36))
    assert np.allclose(up, plain, atol=1e-3)


def test_strips_have_no_seams():
    random = np.random.default_rng(2)
    ab = random.normal(0, 20, (10, 14, 2)).astype(np.float32)
    l_small = random.uniform(0, 100, (10, 14)).astype(np.float32)
    l_star = random.uniform(0, 100, (83, 101)).astype(np.float32)
    upsampler = EdgeUpsampler(ab, l_small, l_star.shape)
    whole = upsampler.rows(l_star, 0)
    strips = np.concatenate([upsampler.rows(l_star[top : top + 7], top) for top in range(0, 83, 7)])
    assert np.allclose(whole, strips, atol=1e-3)


def test_slope_is_that_of_a_chroma_that_follows_lightness():
    l_small = np.random.default_rng(3).uniform(0, 100, (20, 20)).astype(np.float32)
    ab = np.stack([0.4 * l_small, -0.1 * l_small], axis=-1)
    assert np.allclose(chroma_slope(ab, l_small, ridge=0.0), [0.4, -0.1], atol=1e-3)


@pytest.mark.parametrize(("factor", "gain"), [(4, 1.03), (8, 1.03)])
def test_better_than_cubic_on_true_chroma(factor, gain, colour_photograph):
    height, width = (side // 8 * 8 for side in colour_photograph.shape[:2])
    truth = np.ascontiguousarray(colour_photograph[:height, :width])
    lab = color.rgb_to_lab(truth.astype(np.float32) / 255)
    small = cv2.resize(lab, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
    l_star = np.ascontiguousarray(lab[..., 0])

    def error(ab: np.ndarray) -> float:
        return metrics.ciede2000(color.compose(l_star, ab, np.dtype(np.uint8)), truth)

    ab, l_small = np.ascontiguousarray(small[..., 1:]), np.ascontiguousarray(small[..., 0])
    ours = error(EdgeUpsampler(ab, l_small, l_star.shape).rows(l_star, 0))
    cubic = error(cv2.resize(ab, (width, height), interpolation=cv2.INTER_CUBIC))
    assert ours * gain < cubic
