"""Small chroma brought to full size: laws, then better than cubic on a real photograph."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colorizenet import color, upsample
from colorizenet.evaluation import metrics
from colorizenet.upsample import EdgeUpsampler, chroma_slope, cubic_rows

sides = st.integers(1, 40)


def cubic_matrix(small: int, large: int, start: int, stop: int) -> np.ndarray:
    """The same weights with the rows that they do not take, (stop - start, small)."""
    first, taken = cubic_rows(small, large, start, stop)
    return np.pad(taken, ((0, 0), (first, small - first - taken.shape[1])))


@given(small=sides, factor=st.floats(1, 9))
def test_rows_are_those_of_opencv(small, factor):
    plane = np.random.default_rng(small).uniform(0, 100, (small, 3)).astype(np.float32)
    large = round(small * factor)
    wanted = cv2.resize(plane, (3, large), interpolation=cv2.INTER_CUBIC)
    assert np.allclose(cubic_matrix(small, large, 0, large) @ plane, wanted, atol=1e-3)


@given(small=sides, factor=st.floats(1, 9))
def test_weights_sum_to_one_and_strips_are_rows_of_the_whole(small, factor):
    large = round(small * factor)
    whole = cubic_matrix(small, large, 0, large)
    assert np.allclose(whole.sum(axis=1), 1, atol=1e-6)
    middle = large // 2
    assert np.array_equal(whole[middle:], cubic_matrix(small, large, middle, large))


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


@pytest.mark.parametrize("at_once", [0, 1 << 18])
def test_strips_have_no_seams(at_once, monkeypatch):
    monkeypatch.setattr(upsample, "_AT_ONCE", at_once)
    random = np.random.default_rng(2)
    ab = random.normal(0, 20, (10, 14, 2)).astype(np.float32)
    l_small = random.uniform(0, 100, (10, 14)).astype(np.float32)
    l_star = random.uniform(0, 100, (83, 101)).astype(np.float32)
    upsampler = EdgeUpsampler(ab, l_small, l_star.shape)
    whole = upsampler.rows(l_star, 0)
    strips = np.concatenate([upsampler.rows(l_star[top : top + 7], top) for top in range(0, 83, 7)])
    assert np.allclose(whole, strips, atol=1e-3)
    monkeypatch.setattr(upsample, "_AT_ONCE", (1 << 18) - at_once)
    assert np.allclose(EdgeUpsampler(ab, l_small, l_star.shape).rows(l_star, 0), whole, atol=1e-3)


def test_slope_is_that_of_a_chroma_that_follows_lightness():
    l_small = np.random.default_rng(3).uniform(0, 100, (20, 20)).astype(np.float32)
    ab = np.stack([0.4 * l_small, -0.1 * l_small], axis=-1)
    assert np.allclose(chroma_slope(ab, l_small, ridge=0.0), [0.4, -0.1], atol=1e-3)


@pytest.mark.parametrize(("factor", "gain"), [(4, 1.03), (8, 1.03)])
def test_better_than_cubic_on_true_chroma(factor, gain, color_photograph):
    height, width = (side // 8 * 8 for side in color_photograph.shape[:2])
    truth = np.ascontiguousarray(color_photograph[:height, :width])
    lab = color.rgb_to_lab(truth.astype(np.float32) / 255)
    small = cv2.resize(lab, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
    l_star = np.ascontiguousarray(lab[..., 0])

    def error(ab: np.ndarray) -> float:
        return metrics.ciede2000(color.compose(l_star, ab, np.dtype(np.uint8)), truth)

    ab, l_small = np.ascontiguousarray(small[..., 1:]), np.ascontiguousarray(small[..., 0])
    ours = error(EdgeUpsampler(ab, l_small, l_star.shape).rows(l_star, 0))
    cubic = error(cv2.resize(ab, (width, height), interpolation=cv2.INTER_CUBIC))
    assert ours * gain < cubic
