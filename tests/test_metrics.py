"""The metrics against independent libraries, published numbers and their own laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import peak_signal_noise_ratio

from colorizenet import color, metrics

law = settings(deadline=None, max_examples=60)

shapes = st.tuples(st.integers(1, 5), st.integers(1, 5))
pictures = shapes.flatmap(lambda shape: arrays(np.uint8, (*shape, 3)))
pairs = shapes.flatmap(lambda shape: st.tuples(*[arrays(np.uint8, (*shape, 3))] * 2))
labs = st.tuples(st.floats(0, 100), st.floats(-110, 110), st.floats(-110, 110)).map(np.array)

# Sharma, Wu and Dalal, "The CIEDE2000 color-difference formula" (2005), table 1: two colours and
# their difference. Each row tries one branch: hues that meet at 0, that lie opposite, greys, blues.
PUBLISHED = np.array(
    [
        [50.0000, 2.6772, -79.7751, 50.0000, 0.0000, -82.7485, 2.0425],
        [50.0000, 3.1571, -77.2803, 50.0000, 0.0000, -82.7485, 2.8615],
        [50.0000, 2.8361, -74.0200, 50.0000, 0.0000, -82.7485, 3.4412],
        [50.0000, -1.3802, -84.2814, 50.0000, 0.0000, -82.7485, 1.0000],
        [50.0000, -1.1848, -84.8006, 50.0000, 0.0000, -82.7485, 1.0000],
        [50.0000, -0.9009, -85.5211, 50.0000, 0.0000, -82.7485, 1.0000],
        [50.0000, 0.0000, 0.0000, 50.0000, -1.0000, 2.0000, 2.3669],
        [50.0000, -1.0000, 2.0000, 50.0000, 0.0000, 0.0000, 2.3669],
        [50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0009, 7.1792],
        [50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0010, 7.1792],
        [50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0011, 7.2195],
        [50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0012, 7.2195],
        [50.0000, -0.0010, 2.4900, 50.0000, 0.0009, -2.4900, 4.8045],
        [50.0000, -0.0010, 2.4900, 50.0000, 0.0010, -2.4900, 4.8045],
        [50.0000, -0.0010, 2.4900, 50.0000, 0.0011, -2.4900, 4.7461],
        [50.0000, 2.5000, 0.0000, 50.0000, 0.0000, -2.5000, 4.3065],
        [50.0000, 2.5000, 0.0000, 73.0000, 25.0000, -18.0000, 27.1492],
        [50.0000, 2.5000, 0.0000, 61.0000, -5.0000, 29.0000, 22.8977],
        [50.0000, 2.5000, 0.0000, 56.0000, -27.0000, -3.0000, 31.9030],
        [50.0000, 2.5000, 0.0000, 58.0000, 24.0000, 15.0000, 19.4535],
        [50.0000, 2.5000, 0.0000, 50.0000, 3.1736, 0.5854, 1.0000],
        [50.0000, 2.5000, 0.0000, 50.0000, 3.2972, 0.0000, 1.0000],
        [50.0000, 2.5000, 0.0000, 50.0000, 1.8634, 0.5757, 1.0000],
        [50.0000, 2.5000, 0.0000, 50.0000, 3.2592, 0.3350, 1.0000],
        [60.2574, -34.0099, 36.2677, 60.4626, -34.1751, 39.4387, 1.2644],
        [63.0109, -31.0961, -5.8663, 62.8187, -29.7946, -4.0864, 1.2630],
        [61.2901, 3.7196, -5.3901, 61.4292, 2.2480, -4.9620, 1.8731],
        [35.0831, -44.1164, 3.7933, 35.0232, -40.0716, 1.5901, 1.8645],
        [22.7233, 20.0904, -46.6940, 23.0331, 14.9730, -42.5619, 2.0373],
        [36.4612, 47.8580, 18.3852, 36.2715, 50.5065, 21.2231, 1.4146],
        [90.8027, -2.0831, 1.4410, 91.1528, -1.6435, 0.0447, 1.4441],
        [90.9257, -0.5406, -0.9208, 88.6381, -0.8985, -0.7239, 1.5381],
        [6.7747, -0.2908, -2.4247, 5.8714, -0.0985, -2.2286, 0.6377],
        [2.0776, 0.0795, -1.1350, 0.9033, -0.0636, -0.5514, 0.9082],
    ]
)


def random_pictures(spread):
    """Two pictures, the second at most ``spread`` levels from the first."""
    random = np.random.default_rng(0)
    picture = random.integers(0, 256, (60, 80, 3), dtype=np.uint8)
    other = np.clip(picture + random.integers(-spread, spread + 1, picture.shape), 0, 255)
    return picture, other.astype(np.uint8)


# CIEDE2000


@pytest.mark.parametrize("row", PUBLISHED, ids=range(1, len(PUBLISHED) + 1))
def test_ciede2000_of_the_published_pairs(row):
    lab, other, published = row[:3], row[3:6], row[6]
    half_a_digit = 0.5e-4 + 1e-9
    assert abs(deltaE_ciede2000(lab, other) - published) < half_a_digit  # or the table is mistyped here
    assert abs(metrics.delta_e_2000(lab, other) - published) < half_a_digit
    assert abs(metrics.delta_e_2000(other, lab) - published) < half_a_digit


@pytest.mark.parametrize("nearness", [1, 0.05, 0.001])
def test_ciede2000_of_random_colours_is_that_of_scikit_image(nearness):
    # The two may differ only where hues lie exactly opposite, which no random pair does.
    random = np.random.default_rng(0)
    lab, far = random.uniform([0, -110, -110], [100, 110, 110], (2, 50_000, 3))
    other = lab + (far - lab) * nearness
    np.testing.assert_allclose(metrics.delta_e_2000(lab, other), deltaE_ciede2000(lab, other), rtol=0, atol=1e-10)


def test_ciede2000_in_single_precision_is_good_to_four_decimals():
    random = np.random.default_rng(0)
    single = random.uniform([0, -110, -110], [100, 110, 110], (2, 50_000, 3)).astype(np.float32)
    expected = deltaE_ciede2000(*single.astype(np.float64))
    np.testing.assert_allclose(metrics.delta_e_2000(*single), expected, rtol=0, atol=1e-4)


@law
@given(lab=labs, other=labs)
def test_ciede2000_of_colours_is_symmetric_and_zero_only_for_equals(lab, other):
    there, back = metrics.delta_e_2000(lab, other), metrics.delta_e_2000(other, lab)
    assert there == pytest.approx(back, abs=1e-9)
    assert metrics.delta_e_2000(lab, lab) == 0
    if abs(lab - other).max() > 1:
        assert there > 0.1


@law
@given(pair=pairs)
def test_ciede2000_of_pictures_is_symmetric_and_zero_for_equals(pair):
    picture, other = pair
    # Pictures go through single precision, which counts most from blue to yellow: 4e-5 of 103.
    assert metrics.ciede2000(picture, other) == pytest.approx(metrics.ciede2000(other, picture), abs=1e-4)
    assert metrics.ciede2000(picture, picture) == 0


@pytest.mark.parametrize("spread", [3, 30, 255])
def test_ciede2000_of_pictures_is_the_mean_over_pixels(spread):
    picture, other = random_pictures(spread)
    in_double = metrics.delta_e_2000(color.rgb_to_lab(picture / 255), color.rgb_to_lab(other / 255))
    assert metrics.ciede2000(picture, other) == pytest.approx(in_double.mean(), abs=1e-5)
    # Its Lab is off by up to 0.015 (see test_color), alike in both pictures.
    assert metrics.ciede2000(picture, other) == pytest.approx(
        deltaE_ciede2000(rgb2lab(picture), rgb2lab(other)).mean(), abs=2e-3
    )


def test_ciede2000_of_two_greys_is_their_lightness_alone():
    # The lightness term with S_L at the mean L of 50 is 1: black to white would be 100.
    black, white = np.zeros((1, 1, 3), np.uint8), np.full((1, 1, 3), 255, np.uint8)
    assert metrics.ciede2000(black, white) == pytest.approx(100, abs=1e-4)


# Peak signal to noise ratio


@law
@given(pair=pairs)
def test_psnr_is_that_of_scikit_image(pair):
    picture, truth = pair
    if (picture == truth).all():
        assert metrics.psnr(picture, truth) == float("inf")
    else:
        assert metrics.psnr(picture, truth) == pytest.approx(peak_signal_noise_ratio(truth, picture), abs=1e-9)
    assert metrics.psnr(picture, truth) == metrics.psnr(truth, picture)


@law
@given(picture=pictures)
def test_psnr_of_equals_is_infinite(picture):
    assert metrics.psnr(picture, picture.copy()) == float("inf")


def test_psnr_by_hand():
    black = np.zeros((2, 2, 3), np.uint8)
    assert metrics.psnr(black, black + 255) == 0
    assert metrics.psnr(black, black + 1) == pytest.approx(20 * np.log10(255))  # 48.13 dB
    one = black.copy()
    one[0, 0, 0] = 255  # a twelfth of the samples wholly wrong; unsigned bytes must not wrap
    assert metrics.psnr(black, one) == pytest.approx(10 * np.log10(12))


# Colourfulness


@law
@given(levels=shapes.flatmap(lambda shape: arrays(np.uint8, shape)))
def test_greys_are_not_colourful(levels):
    assert metrics.colorfulness(np.repeat(levels[..., None], 3, axis=-1)) == 0


@law
@given(picture=pictures)
def test_colorfulness_is_the_formula_of_its_paper(picture):
    r, g, b = (picture[..., i].astype(np.float64) for i in range(3))
    rg, yb = r - g, 0.5 * (r + g) - b
    expected = np.sqrt(rg.var() + yb.var()) + 0.3 * np.sqrt(rg.mean() ** 2 + yb.mean() ** 2)
    assert metrics.colorfulness(picture) == pytest.approx(expected, abs=1e-9)


def test_colorfulness_of_red_beside_green_by_hand():
    # rg = +255, -255: std 255, mean 0. yb = 127.5 twice: std 0, mean 127.5. With absolute axes, as in
    # some libraries, rg would not vary and its mean be 255: 85.5.
    picture = np.array([[[255, 0, 0], [0, 255, 0]]], np.uint8)
    assert metrics.colorfulness(picture) == pytest.approx(255 + 0.3 * 127.5)


@law
@given(picture=pictures)
def test_colorfulness_fades_with_colour_and_ignores_places(picture):
    grey = picture.mean(axis=-1, keepdims=True)
    faded = grey + (picture - grey) / 2  # opponent axes are linear, so is what they measure
    assert metrics.colorfulness(faded) == pytest.approx(metrics.colorfulness(picture) / 2, rel=1e-5, abs=1e-4)
    assert metrics.colorfulness(picture[::-1, ::-1]) == pytest.approx(metrics.colorfulness(picture), abs=1e-9)


# All of them


@pytest.mark.parametrize("metric", [metrics.ciede2000, metrics.psnr], ids=lambda metric: metric.__name__)
def test_metrics_take_views_and_return_plain_floats(metric):
    picture, other = random_pictures(30)
    for view in (np.s_[::-1], np.s_[:, ::-1], np.s_[..., ::-1], np.s_[::2, ::3]):
        straight = metric(np.ascontiguousarray(picture[view]), np.ascontiguousarray(other[view]))
        assert metric(picture[view], other[view]) == pytest.approx(straight, rel=1e-6)
        assert type(straight) is float
    assert type(metrics.colorfulness(picture)) is float


def test_every_public_metric_is_tested_here():
    assert set(metrics.__all__) == {"ciede2000", "colorfulness", "delta_e_2000", "psnr"}
