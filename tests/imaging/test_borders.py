"""Borders of scans are found to within a few pixels, and backgrounds are not
borders."""

import cv2
import numpy as np
import pytest

from colorizenet.imaging.borders import Border, Side, find_border, locate_photo, place_photo

SIDES = ("top", "bottom", "left", "right")


@pytest.fixture(scope="module")
def photo(gray) -> np.ndarray:
    """A gray photo of network size, (160, 240) uint8."""
    return cv2.resize(gray, (240, 160), interpolation=cv2.INTER_AREA)


def add_noise(picture: np.ndarray, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, sigma, picture.shape)
    return np.rint(picture + noise).clip(0, 255).astype(np.uint8)


def widths(border: Border | None, shape: tuple[int, int]) -> list[tuple[float, float]]:
    """The outer and the inner end of each side, in pixels."""
    assert border is not None
    return [
        (side.outer * length, side.inner * length)
        for side, length in zip(
            border.sides,
            np.repeat(shape, 2),
            strict=True,
        )
    ]


@pytest.mark.parametrize("level", [0, 5, 60, 230, 255])
@pytest.mark.parametrize("noise", [0.0, 3.0])
@pytest.mark.parametrize(
    "borders", [(10, 10, 10, 10), (4, 60, 30, 8), (25, 0, 40, 0), (0, 0, 9, 9)]
)
def test_a_border_is_found_on_each_side_of_its_own_width(photo, level, noise, borders):
    top, bottom, left, right = borders
    picture = np.pad(photo, ((top, bottom), (left, right)), constant_values=level)
    found = find_border(add_noise(picture, noise), picture.shape)
    for (outer, inner), width in zip(widths(found, picture.shape), borders, strict=True):
        assert outer <= width and abs(inner - width) < 0.6 and width - outer < 2


def test_a_photo_without_a_border_has_none(photo):
    assert find_border(photo, photo.shape) is None
    assert find_border(np.dstack([photo] * 3), photo.shape) is None


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_uniform_picture_has_no_border(level):
    picture = np.full((160, 160), level, np.uint8)
    assert find_border(picture, picture.shape) is None
    assert find_border(add_noise(picture, 3), picture.shape) is None


def test_colors_and_depths_have_the_same_border(photo):
    picture = np.pad(photo, 20, constant_values=240)
    expected = widths(find_border(picture, picture.shape), picture.shape)
    for same in (
        np.dstack([picture] * 3),
        picture.astype(np.uint16) * 257,
        picture / np.float32(255),
    ):
        found = widths(find_border(same, same.shape[:2]), same.shape[:2])
        assert np.allclose(found, expected, atol=0.01)


def test_a_white_border_around_a_black_one_is_found_as_a_whole(photo):
    picture = np.pad(np.pad(photo, 8, constant_values=10), 12, constant_values=245)
    found = find_border(add_noise(picture, 1.5), picture.shape)
    for outer, inner in widths(found, picture.shape):
        assert 18 <= outer <= 20 and abs(inner - 20) < 0.6
    assert found is not None and found.left.l_star < 10, "the level at the edge of the photo"


@pytest.mark.parametrize("degrees", [-1.2, 0.8])
def test_a_border_that_is_slightly_turned_is_found(photo, degrees):
    picture = np.pad(photo, 30, constant_values=250)
    height, width = picture.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    picture = cv2.warpAffine(picture, matrix, (width, height), borderValue=250)
    turn = np.tan(np.radians(abs(degrees))) * np.array([width, width, height, height]) / 2
    found = widths(find_border(picture, picture.shape), picture.shape)
    for (outer, inner), wedge in zip(found, turn, strict=True):
        assert outer < 30 < inner < 30 + wedge + 5 and outer > 30 - wedge - 5


def test_rounded_corners_and_an_uneven_edge_do_not_hide_a_border(photo):
    height, width = photo.shape
    mask = np.zeros((height, width), np.uint8)
    cv2.rectangle(mask, (12, 0), (width - 13, height), 255, -1)
    cv2.rectangle(mask, (0, 12), (width, height - 13), 255, -1)
    for x in (12, width - 13):
        for y in (12, height - 13):
            cv2.circle(mask, (x, y), 12, 255, -1)
    uneven = np.where(mask > 0, photo, 0)
    uneven[:, 0] = np.where(np.arange(height) % 7 < 3, 0, uneven[:, 0])
    picture = np.pad(uneven, 15)
    for outer, inner in widths(find_border(picture, picture.shape), picture.shape):
        assert 13 < outer <= 15 and 14.5 < inner < 17


def test_a_sky_of_the_lightness_of_the_border_does_not_hide_the_other_sides(photo):
    cloudy = photo.copy()
    down, across = np.mgrid[:160, :240]
    cloudy[down < 50 + 20 * np.sin(across / 20)] = 236
    picture = np.pad(cloudy, 12, constant_values=236)
    found = widths(find_border(picture, picture.shape), picture.shape)
    for outer, inner in found[1:]:
        assert outer <= 12 and abs(inner - 12) < 0.6
    assert found[0][1] <= 20, "at most half as much again as the other sides"


def test_a_background_that_does_not_end_in_a_straight_edge_is_no_border():
    """A ball before a black, a gray and a white backdrop, and a hill under the sky."""
    for level in (0, 128, 255):
        backdrop = np.full((160, 200), level, np.uint8)
        cv2.circle(backdrop, (100, 80), 60, 180 if level != 128 else 30, -1)
        assert find_border(add_noise(backdrop, 1), backdrop.shape) is None
    sky = np.full((160, 200), 240, np.uint8)
    down, across = np.mgrid[:160, :200]
    sky[down > 60 + 20 * np.sin(across / 30)] = 90
    assert find_border(add_noise(sky, 1), sky.shape) is None


def test_a_gray_stripe_along_one_side_is_no_border(photo):
    """It may be a wall, a floor or a sky; only black and white are taken."""
    picture = np.pad(photo, ((20, 0), (0, 0)), constant_values=150)
    assert find_border(picture, picture.shape) is None


def test_a_gradient_is_no_border(photo):
    ramp = np.linspace(255, 130, 30).astype(np.uint8)[:, None].repeat(photo.shape[1], axis=1)
    picture = np.vstack([ramp, photo])
    assert find_border(picture, picture.shape) is None


def test_most_of_a_picture_is_never_taken_for_a_border(photo):
    picture = np.pad(photo, ((0, 0), (500, 0)))
    assert find_border(picture, picture.shape) is None
    assert find_border(np.pad(photo, 8), (31, 400)) is None, "too small a picture"


@pytest.mark.parametrize("shape", [(100, 100), (37, 411), (5000, 3000)])
def test_boxes_contain_each_other_at_any_resolution(shape):
    border = Border(
        top=Side(outer=0.1, inner=0.12),
        left=Side(outer=0.2, inner=0.25),
        right=Side(outer=0.01, inner=0.02),
    )
    inner, outer = border.inner_box(shape), border.outer_box(shape)
    assert outer.top <= inner.top < inner.bottom <= outer.bottom == shape[0]
    assert outer.left <= inner.left < inner.right <= outer.right <= shape[1]
    assert locate_photo(border, shape) == inner
    assert locate_photo(None, shape) == (0, shape[0], 0, shape[1])
    assert inner.shape == (inner.bottom - inner.top, inner.right - inner.left)


def test_the_place_of_a_photo_in_the_whole_picture():
    border = Border(left=Side(inner=0.5), top=Side(inner=0.25))
    assert place_photo(border, (60, 40)) == ((80, 80), (20, 80, 40, 80))
    assert place_photo(None, (60, 40)) == ((60, 40), (0, 60, 0, 40))
