"""The metrics of pairs against independent libraries, by hand, and their own laws."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import peak_signal_noise_ratio

from colorizenet import color
from colorizenet.evaluation import metrics
from colorizenet.upsample import EdgeUpsampler

law = settings(deadline=None, max_examples=60)
shapes = st.tuples(st.integers(1, 5), st.integers(1, 5))
pictures = shapes.flatmap(lambda shape: arrays(np.uint8, (*shape, 3)))
pairs = shapes.flatmap(lambda shape: st.tuples(*[arrays(np.uint8, (*shape, 3))] * 2))


def random_pictures(spread):
    """Two pictures, the second at most ``spread`` levels from the first."""
    random = np.random.default_rng(0)
    picture = random.integers(0, 256, (60, 80, 3), dtype=np.uint8)
    other = np.clip(picture + random.integers(-spread, spread + 1, picture.shape), 0, 255)
    return picture, other.astype(np.uint8)


@law
@given(pair=pairs)
def test_ciede2000_of_pictures_is_symmetric_and_zero_for_equals(pair):
    picture, other = pair
    # Pictures go through single precision, which counts most from blue to yellow: 4e-5
    # of 103.
    assert metrics.ciede2000(picture, other) == pytest.approx(
        metrics.ciede2000(other, picture), abs=1e-4
    )
    assert metrics.ciede2000(picture, picture) == 0


@pytest.mark.parametrize("spread", [3, 30, 255])
def test_ciede2000_of_pictures_is_the_mean_over_pixels(spread):
    picture, other = random_pictures(spread)
    in_double = color.delta_e_2000(color.rgb_to_lab(picture / 255), color.rgb_to_lab(other / 255))
    assert metrics.ciede2000(picture, other) == pytest.approx(in_double.mean(), abs=1e-5)
    # Its Lab is off by up to 0.015 (see test_spaces), alike in both pictures.
    assert metrics.ciede2000(picture, other) == pytest.approx(
        deltaE_ciede2000(rgb2lab(picture), rgb2lab(other)).mean(), abs=2e-3
    )


def test_ciede2000_of_two_grays_depends_on_their_lightness_alone():
    # The lightness term with S_L at the mean L of 50 is 1: black to white would be 100.
    black, white = np.zeros((1, 1, 3), np.uint8), np.full((1, 1, 3), 255, np.uint8)
    assert metrics.ciede2000(black, white) == pytest.approx(100, abs=1e-4)


# Peak signal to noise ratio


@law
@given(pair=pairs)
def test_psnr_equals_that_of_scikit_image(pair):
    picture, truth = pair
    if (picture == truth).all():
        assert metrics.psnr(picture, truth) == float("inf")
    else:
        assert metrics.psnr(picture, truth) == pytest.approx(
            peak_signal_noise_ratio(truth, picture), abs=1e-9
        )
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


# Chroma


def test_rmse_of_ab_is_a_distance_in_the_plane():
    gray, tinted = np.full((4, 4, 3), 128, np.uint8), np.full((4, 4, 3), (140, 124, 120), np.uint8)
    _, a, b = color.rgb_to_lab(tinted[0, 0] / 255)
    assert metrics.rmse_ab(tinted, gray) == pytest.approx(np.hypot(a, b), rel=1e-4)
    half = np.concatenate([tinted[:1], gray[1:]])  # a quarter of the pixels
    assert metrics.rmse_ab(half, gray) == pytest.approx(np.hypot(a, b) / 2, rel=1e-4)


def compose(l_star, ab):
    return color.compose(np.float32(l_star), np.float32(ab), np.dtype(np.uint8))


def blur(ab, sigma):
    return cv2.GaussianBlur(np.float32(ab), (0, 0), sigma)


@pytest.fixture(scope="module")
def outline():
    """Two flat regions, dark red and light green, that meet in the middle."""
    right = np.broadcast_to(np.arange(96) >= 48, (96, 96))
    return np.where(right, 70.0, 45.0), np.where(right[..., None], (-25.0, 20.0), (25.0, 15.0))


def test_bleeding_measures_color_that_crosses_its_outline(outline):
    l_star, ab = outline
    truth = compose(l_star, ab)

    def score(ab):
        return metrics.bleeding(compose(l_star, ab), truth)

    assert score(ab) == 0
    small = cv2.resize(
        np.float32(ab[:, 4:92]), (11, 12), interpolation=cv2.INTER_AREA
    )  # 8 x 8 over the outline
    nearest, bilinear = (
        np.dstack(
            [cv2.copyMakeBorder(c, 0, 0, 4, 4, cv2.BORDER_REPLICATE) for c in cv2.split(grown)]
        )
        for grown in (
            cv2.resize(small, (88, 96), interpolation=way)
            for way in (cv2.INTER_NEAREST, cv2.INTER_LINEAR)
        )
    )
    harmless = max(
        score(ab * 0), score(ab * 0.5), score(ab * 1.3)
    )  # the colors change where the lightness does
    assert harmless < 0.05
    for leak in (np.roll(ab, 6, axis=1), nearest, bilinear, blur(ab, 4), blur(ab, 8)):
        assert score(leak) > 8 * harmless
    assert score(blur(ab, 1)) < score(blur(ab, 2)) < score(blur(ab, 4))


def test_bleeding_counts_missing_and_additional_changes_alike():
    # With constant lightness every change of chroma counts: a ramp of 0.5 a* per pixel
    # scores 0.5, whether the truth has it or the picture.
    l_star, across = np.full((64, 64), 60.0), np.arange(64) * 0.5 - 16
    ramp, flat = np.dstack([np.broadcast_to(across, (64, 64)), l_star * 0]), np.zeros((64, 64, 2))
    for one, other in ((ramp, flat), (flat, ramp)):
        assert metrics.bleeding(compose(l_star, one), compose(l_star, other)) == pytest.approx(
            0.5, rel=0.1
        )
    assert metrics.bleeding(compose(l_star, flat + 9), compose(l_star, flat)) == pytest.approx(
        0, abs=1e-6
    )  # a cast


def test_glow_is_the_percentage_of_pixels_more_vivid_than_the_truth():
    l_star, skin = np.full((60, 60), 55.0), np.full((60, 60, 2), (15.0, 18.0))
    truth = compose(l_star, skin)
    patch = skin.copy()
    patch[:30, :12] = 62.0, 45.0  # red, a tenth of the picture
    assert metrics.glow(compose(l_star, patch), truth) == pytest.approx(10)
    for harmless in (
        skin * 0,
        skin * 1.5,
        skin[..., ::-1] * (-1, 1),
    ):  # gray, livelier, of another hue
        assert metrics.glow(compose(l_star, harmless), truth) == 0
    assert (
        metrics.glow(compose(l_star, patch), compose(l_star, patch * 0.9)) == 0
    )  # as vivid as the truth


def test_bleeding_of_a_photograph(photographs):
    truth = photographs["coffee"]
    lab = color.rgb_to_lab(truth.astype(np.float32) / 255)
    l_star, ab = lab[..., 0].copy(), lab[..., 1:].copy()
    gray = metrics.bleeding(compose(l_star, ab * 0), truth)
    assert 0.2 < gray < 3
    for share in (0.7, 1.2):
        assert metrics.bleeding(compose(l_star, ab * share), truth) == pytest.approx(
            abs(share - 1) * gray, rel=0.5
        )
    small = cv2.resize(lab, None, fx=1 / 8, fy=1 / 8, interpolation=cv2.INTER_AREA)
    l_small, ab_small = small[..., 0].copy(), small[..., 1:].copy()
    scores = [
        metrics.bleeding(compose(l_star, up), truth)
        for up in (
            EdgeUpsampler(ab_small, l_small, l_star.shape).rows(l_star, 0),
            cv2.resize(ab_small, l_star.shape[::-1], interpolation=cv2.INTER_LINEAR),
            cv2.resize(ab_small, l_star.shape[::-1], interpolation=cv2.INTER_NEAREST),
        )
    ]
    assert 0 < scores[0] < scores[1] < scores[2]


# All of them


@pytest.mark.parametrize(
    "metric",
    [
        metrics.ciede2000,
        metrics.psnr,
        metrics.ssim,
        metrics.rmse_ab,
        metrics.bleeding,
        metrics.glow,
    ],
    ids=lambda metric: metric.__name__,
)
def test_metrics_take_views_and_return_plain_floats(metric):
    picture, other = random_pictures(30)
    for view in (np.s_[::-1], np.s_[:, ::-1], np.s_[..., ::-1], np.s_[::2, ::3]):
        straight = metric(np.ascontiguousarray(picture[view]), np.ascontiguousarray(other[view]))
        assert metric(picture[view], other[view]) == straight
        assert type(straight) is float
    assert type(metrics.colorfulness(picture)) is float
    assert metrics.colorfulness_absolute(picture[::-1, ::-1]) == metrics.colorfulness_absolute(
        picture
    )


def test_metrics_refuse_anything_but_a_pair_of_pictures():
    picture = np.zeros((12, 16, 3), np.uint8)
    with pytest.raises(ValueError, match=r"\(12, 16, 3\) and its truth \(16, 12, 3\)"):
        metrics.measure(picture, picture.reshape(16, 12, 3))
    for other in (picture / 255, picture[..., 0], picture[..., :2]):
        with pytest.raises(ValueError, match="of uint8, and this one"):
            metrics.psnr(picture, other)
        with pytest.raises(ValueError, match="of uint8, and this one"):
            metrics.colorfulness(other)


def test_every_public_metric_is_tested_here():
    assert set(metrics.__all__) == {
        "METRICS",
        "SMALLEST",
        "Metric",
        "measure",
        *metrics.METRICS,
    }
