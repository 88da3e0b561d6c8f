"""Upsampling of chroma: laws, and a smaller error than cubic interpolation on a real
photo."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colorizenet import color
from colorizenet.evaluation import metrics
from colorizenet.imaging.borders import Border, Side
from colorizenet.upsample import EdgeUpsampler, compute_slope, make_cubic_rows

sides = st.integers(1, 40)


def cubic_matrix(small: int, large: int, start: int, stop: int) -> np.ndarray:
    """The same weights for every small row, (stop - start, small)."""
    first, needed = make_cubic_rows(small, large, start, stop)
    return np.pad(needed, ((0, 0), (first, small - first - needed.shape[1])))


@given(small=sides, factor=st.floats(1, 9))
def test_rows_equal_those_of_opencv(small, factor):
    plane = np.random.default_rng(small).uniform(0, 100, (small, 3)).astype(np.float32)
    large = round(small * factor)
    expected = cv2.resize(plane, (3, large), interpolation=cv2.INTER_CUBIC)
    assert np.allclose(cubic_matrix(small, large, 0, large) @ plane, expected, atol=1e-3)


@given(small=sides, factor=st.floats(1, 9))
def test_weights_sum_to_one_and_strips_are_rows_of_the_whole(small, factor):
    large = round(small * factor)
    whole = cubic_matrix(small, large, 0, large)
    assert np.allclose(whole.sum(axis=1), 1, atol=1e-6)
    middle = large // 2
    assert np.array_equal(whole[middle:], cubic_matrix(small, large, middle, large))


@given(st.integers(0, 2**32 - 1), sides, sides)
def test_flat_chroma_stays_flat_at_any_lightness(seed, height, width):
    random = np.random.default_rng(seed)
    l_star = random.uniform(0, 100, (height * 3, width * 2)).astype(np.float32)
    ab = np.broadcast_to(np.float32([20, -30]), (height, width, 2))
    l_small = random.uniform(0, 100, (height, width)).astype(np.float32)
    up = EdgeUpsampler(ab, l_small, l_star.shape).rows(l_star, 0)
    assert up.shape == (*l_star.shape, 2)
    assert np.allclose(up, [20, -30], atol=0.02)


def test_without_lightness_detail_it_is_cubic_interpolation():
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
    at_once, in_strips = (
        EdgeUpsampler(ab, l_small, l_star.shape, whole_pixels=pixels) for pixels in (1 << 18, 0)
    )
    whole = at_once.rows(l_star, 0)
    for upsampler in (at_once, in_strips):
        tops = range(0, 83, 7)
        strips = [upsampler.rows(l_star[top : top + 7], top) for top in tops]
        assert np.allclose(np.concatenate(strips), whole, atol=1e-3)
        assert np.allclose(upsampler.rows(l_star, 0), whole, atol=1e-3)


def test_strips_of_a_photo_with_a_border_have_no_seams():
    random = np.random.default_rng(2)
    ab = random.normal(0, 20, (10, 14, 2)).astype(np.float32)
    l_small = random.uniform(0, 100, (10, 14)).astype(np.float32)
    l_star = random.uniform(0, 100, (83, 101)).astype(np.float32)
    border = Border(
        top=Side(0.2, 0.1, 0.01, 0.14, 0.26, 30.0), right=Side(0.1, 0.0, 0.02, 0.08, 0.12, 50.0)
    )
    at_once, in_strips = (
        EdgeUpsampler(ab, l_small, l_star.shape, border=border, whole_pixels=pixels)
        for pixels in (1 << 18, 0)
    )
    whole = at_once.rows(l_star, 0)
    for upsampler in (at_once, in_strips):
        tops = range(0, 83, 7)
        strips = [upsampler.rows(l_star[top : top + 7], top) for top in tops]
        assert np.allclose(np.concatenate(strips), whole, atol=2e-3)


def test_a_border_has_no_chroma_and_the_photo_inside_is_upsampled_as_if_alone():
    random = np.random.default_rng(4)
    ab = random.normal(0, 20, (10, 14, 2)).astype(np.float32)
    l_small = random.uniform(40, 60, (10, 14)).astype(np.float32)
    l_star = np.pad(random.uniform(40, 60, (60, 84)).astype(np.float32), 20)
    sides = [Side(20 / side, 0, 1 / side, 19 / side, 20 / side, 0.0) for side in l_star.shape]
    border = Border(sides[0], sides[0], sides[1], sides[1])
    up = EdgeUpsampler(ab, l_small, l_star.shape, border=border).rows(l_star, 0)
    alone = EdgeUpsampler(ab, l_small, (60, 84)).rows(l_star[20:-20, 20:-20], 0)
    assert np.allclose(up[20:-20, 20:-20], alone, atol=1e-4)
    up[20:-20, 20:-20] = 0
    assert not up.any()


def test_next_to_a_turned_edge_pixels_of_the_photo_keep_their_chroma():
    """The edge goes from column 10 at the top to column 30 at the bottom."""
    ab = np.full((8, 8, 2), 25, np.float32)
    down, across = np.mgrid[:100, :100] + 0.5
    photo = across > 10 + down / 5
    l_star = np.where(photo, 60, 90).astype(np.float32)
    border = Border(left=Side(0.2, 0.2, 0.01, 0.09, 0.31, 90.0))
    up = EdgeUpsampler(ab, np.full((8, 8), 60, np.float32), (100, 100), border=border)
    assert np.array_equal(up.rows(l_star, 0)[..., 0] > 20, photo)
    same = up.rows(np.full((100, 100), 90, np.float32), 0)[..., 0]
    assert not same[across < 9 + down / 5].any(), "border, whatever its lightness"
    assert (same[across > 12 + down / 5] > 20).all(), "photo, even of the lightness of the border"


def test_the_slope_of_chroma_proportional_to_lightness():
    l_small = np.random.default_rng(3).uniform(0, 100, (20, 20)).astype(np.float32)
    ab = np.stack([0.4 * l_small, -0.1 * l_small], axis=-1)
    assert np.allclose(compute_slope(ab, l_small, ridge=0.0), [0.4, -0.1], atol=1e-3)


@pytest.mark.parametrize(("factor", "gain"), [(4, 1.03), (8, 1.03)])
def test_the_error_is_smaller_than_that_of_cubic_interpolation(factor, gain, color_photograph):
    height, width = (side // 8 * 8 for side in color_photograph.shape[:2])
    truth = np.ascontiguousarray(color_photograph[:height, :width])
    lab = color.rgb_to_lab(truth.astype(np.float32) / 255)
    small = cv2.resize(lab, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
    l_star = np.ascontiguousarray(lab[..., 0])

    def error(ab: np.ndarray) -> float:
        return metrics.ciede2000(color.compose(l_star, ab, np.dtype(np.uint8)), truth)

    ab, l_small = np.ascontiguousarray(small[..., 1:]), np.ascontiguousarray(small[..., 0])
    along_edges = error(EdgeUpsampler(ab, l_small, l_star.shape).rows(l_star, 0))
    cubic = error(cv2.resize(ab, (width, height), interpolation=cv2.INTER_CUBIC))
    assert along_edges * gain < cubic
