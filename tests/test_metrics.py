"""The metrics against independent libraries, published numbers and their own laws."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from colorizenet import color
from colorizenet.evaluation import metrics
from colorizenet.upsample import EdgeUpsampler

law = settings(deadline=None, max_examples=60)

shapes = st.tuples(st.integers(1, 5), st.integers(1, 5))
pictures = shapes.flatmap(lambda shape: arrays(np.uint8, (*shape, 3)))
pairs = shapes.flatmap(lambda shape: st.tuples(*[arrays(np.uint8, (*shape, 3))] * 2))
labs = st.tuples(st.floats(0, 100), st.floats(-110, 110), st.floats(-110, 110)).map(np.array)

# Sharma, Wu and Dalal, "The CIEDE2000 color-difference formula" (2005), table 1: two colors and
# their difference. Each row tries one branch: hues that meet at 0, that lie opposite, grays, blues.
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
    assert (
        abs(deltaE_ciede2000(lab, other) - published) < half_a_digit
    )  # or the table is mistyped here
    assert abs(metrics.delta_e_2000(lab, other) - published) < half_a_digit
    assert abs(metrics.delta_e_2000(other, lab) - published) < half_a_digit


@pytest.mark.parametrize("nearness", [1, 0.05, 0.001])
def test_ciede2000_of_random_colors_is_that_of_scikit_image(nearness):
    # The two may differ only where hues lie exactly opposite, which no random pair does.
    random = np.random.default_rng(0)
    lab, far = random.uniform([0, -110, -110], [100, 110, 110], (2, 50_000, 3))
    other = lab + (far - lab) * nearness
    np.testing.assert_allclose(
        metrics.delta_e_2000(lab, other), deltaE_ciede2000(lab, other), rtol=0, atol=1e-10
    )


def test_ciede2000_in_single_precision_is_good_to_four_decimals():
    random = np.random.default_rng(0)
    single = random.uniform([0, -110, -110], [100, 110, 110], (2, 50_000, 3)).astype(np.float32)
    expected = deltaE_ciede2000(*single.astype(np.float64))
    np.testing.assert_allclose(metrics.delta_e_2000(*single), expected, rtol=0, atol=1e-4)


@law
@given(lab=labs, other=labs)
def test_ciede2000_of_colors_is_symmetric_and_zero_only_for_equals(lab, other):
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
    assert metrics.ciede2000(picture, other) == pytest.approx(
        metrics.ciede2000(other, picture), abs=1e-4
    )
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


def test_ciede2000_of_two_grays_is_their_lightness_alone():
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


# Colorfulness


@law
@given(levels=shapes.flatmap(lambda shape: arrays(np.uint8, shape)))
def test_grays_are_not_colorful(levels):
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
def test_colorfulness_fades_with_color_and_ignores_places(picture):
    faded, vivid = (
        picture // 2,
        picture // 2 * 2,
    )  # opponent axes are linear, so is what they measure
    assert metrics.colorfulness(faded) == pytest.approx(metrics.colorfulness(vivid) / 2)
    assert metrics.colorfulness(picture[::-1, ::-1]) == pytest.approx(
        metrics.colorfulness(picture), abs=1e-9
    )


def test_absolute_colorfulness_of_red_beside_green_by_hand():
    picture = np.array([[[255, 0, 0], [0, 255, 0]]], np.uint8)
    assert metrics.colorfulness_absolute(picture) == pytest.approx(0.3 * np.hypot(255, 127.5))


@law
@given(levels=arrays(np.uint8, (4, 5)), signs=arrays(np.bool_, (4, 5)))
def test_absolute_colorfulness_is_that_of_the_paper_where_signs_are_alike(levels, signs):
    zeros = np.zeros_like(levels)
    warm, cold = np.dstack([levels, zeros, zeros]), np.dstack([zeros, zeros, levels])
    assert metrics.colorfulness_absolute(warm) == metrics.colorfulness(warm)  # rg, yb >= 0
    mixed = np.where(signs[..., None], warm, cold)
    assert (
        metrics.colorfulness_absolute(mixed) <= metrics.colorfulness(mixed) + 1e-9
        or not signs.all()
    )


# Structural similarity


def ssim_of_scikit_image(picture, truth):
    gaussian = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return structural_similarity(picture, truth, data_range=255, channel_axis=-1, **gaussian)


@pytest.mark.parametrize("shape", [(11, 11), (11, 40), (40, 11), (13, 12), (300, 12), (12, 300)])
def test_ssim_of_any_shape_is_that_of_scikit_image(shape):
    picture, other = np.random.default_rng(0).integers(0, 256, (2, *shape, 3), dtype=np.uint8)
    assert metrics.ssim(picture, other) == pytest.approx(
        ssim_of_scikit_image(picture, other), rel=1e-4, abs=1e-6
    )
    assert metrics.ssim(picture, other) == pytest.approx(metrics.ssim(other, picture), rel=1e-6)
    assert metrics.ssim(picture, picture) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("levels", [(0, 0), (255, 255), (0, 255), (255, 254), (3, 90)])
def test_ssim_of_flat_pictures_by_hand(levels):
    x, y = levels
    c1 = (0.01 * 255) ** 2
    picture, other = (np.full((20, 20, 3), level, np.uint8) for level in levels)
    assert metrics.ssim(picture, other) == pytest.approx(
        (2 * x * y + c1) / (x * x + y * y + c1), rel=1e-4, abs=1e-6
    )


def test_ssim_says_when_a_picture_is_too_small():
    with pytest.raises(ValueError, match="11 x 11 pixels and this picture is 20 x 10"):
        metrics.ssim(*np.zeros((2, 10, 20, 3), np.uint8))


# Chroma


def test_rmse_of_ab_is_a_distance_in_the_plane():
    gray, tinted = np.full((4, 4, 3), 128, np.uint8), np.full((4, 4, 3), (140, 124, 120), np.uint8)
    _, a, b = color.rgb_to_lab(tinted[0, 0] / 255)
    assert metrics.rmse_ab(tinted, gray) == pytest.approx(np.hypot(a, b), rel=1e-4)
    half = np.concatenate([tinted[:1], gray[1:]])  # a quarter of the pixels
    assert metrics.rmse_ab(half, gray) == pytest.approx(np.hypot(a, b) / 2, rel=1e-4)


def shown(l_star, ab):
    return color.compose(np.float32(l_star), np.float32(ab), np.dtype(np.uint8))


def blurred(ab, sigma):
    return cv2.GaussianBlur(np.float32(ab), (0, 0), sigma)


@pytest.fixture(scope="module")
def outline():
    """Two flat regions, dark red and light green, that meet in the middle."""
    right = np.broadcast_to(np.arange(96) >= 48, (96, 96))
    return np.where(right, 70.0, 45.0), np.where(right[..., None], (-25.0, 20.0), (25.0, 15.0))


def test_bleeding_is_color_that_leaves_its_outline(outline):
    l_star, ab = outline
    truth = shown(l_star, ab)

    def score(ab):
        return metrics.bleeding(shown(l_star, ab), truth)

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
    for leak in (np.roll(ab, 6, axis=1), nearest, bilinear, blurred(ab, 4), blurred(ab, 8)):
        assert score(leak) > 8 * harmless
    assert score(blurred(ab, 1)) < score(blurred(ab, 2)) < score(blurred(ab, 4))


def test_bleeding_counts_what_the_truth_lacks_and_what_it_has():
    # One lightness: nothing excuses a change of chroma. A ramp of 0.5 a* per pixel scores 0.5, seen or unseen.
    l_star, across = np.full((64, 64), 60.0), np.arange(64) * 0.5 - 16
    ramp, flat = np.dstack([np.broadcast_to(across, (64, 64)), l_star * 0]), np.zeros((64, 64, 2))
    for one, other in ((ramp, flat), (flat, ramp)):
        assert metrics.bleeding(shown(l_star, one), shown(l_star, other)) == pytest.approx(
            0.5, rel=0.1
        )
    assert metrics.bleeding(shown(l_star, flat + 9), shown(l_star, flat)) == pytest.approx(
        0, abs=1e-6
    )  # a cast


def test_glow_is_the_share_of_pixels_that_are_vivid_without_reason():
    l_star, skin = np.full((60, 60), 55.0), np.full((60, 60, 2), (15.0, 18.0))
    truth = shown(l_star, skin)
    patch = skin.copy()
    patch[:30, :12] = 62.0, 45.0  # red, a tenth of the picture
    assert metrics.glow(shown(l_star, patch), truth) == pytest.approx(10)
    for harmless in (
        skin * 0,
        skin * 1.5,
        skin[..., ::-1] * (-1, 1),
    ):  # gray, livelier, of another hue
        assert metrics.glow(shown(l_star, harmless), truth) == 0
    assert (
        metrics.glow(shown(l_star, patch), shown(l_star, patch * 0.9)) == 0
    )  # as vivid as the truth


def test_bleeding_of_a_photograph(photographs):
    truth = photographs["coffee"]
    lab = color.rgb_to_lab(truth.astype(np.float32) / 255)
    l_star, ab = lab[..., 0].copy(), lab[..., 1:].copy()
    gray = metrics.bleeding(shown(l_star, ab * 0), truth)
    assert 0.2 < gray < 3
    for share in (0.7, 1.2):
        assert metrics.bleeding(shown(l_star, ab * share), truth) == pytest.approx(
            abs(share - 1) * gray, rel=0.5
        )
    small = cv2.resize(lab, None, fx=1 / 8, fy=1 / 8, interpolation=cv2.INTER_AREA)
    l_small, ab_small = small[..., 0].copy(), small[..., 1:].copy()
    scores = [
        metrics.bleeding(shown(l_star, up), truth)
        for up in (
            EdgeUpsampler(ab_small, l_small, l_star.shape).rows(l_star, 0),
            cv2.resize(ab_small, l_star.shape[::-1], interpolation=cv2.INTER_LINEAR),
            cv2.resize(ab_small, l_star.shape[::-1], interpolation=cv2.INTER_NEAREST),
        )
    ]
    assert 0 < scores[0] < scores[1] < scores[2]


# Real pairs against plain references in double precision


@pytest.fixture(scope="module")
def photographs():
    """Five real color photographs, 192 x 192 uint8."""
    found = {}
    for name in ("astronaut", "chelsea", "coffee", "rocket", "retina"):
        picture = getattr(skimage.data, name)()
        side = min(picture.shape[:2])
        top, left = ((length - side) // 2 for length in picture.shape[:2])
        square = np.ascontiguousarray(picture[top : top + side, left : left + side])
        found[name] = cv2.resize(square, (192, 192), interpolation=cv2.INTER_AREA)
    return found


def distortions(truth):
    """Ten ways to be wrong, from the almost invisible to the other color."""
    random = np.random.default_rng(0)
    lab = color.rgb_to_lab(truth.astype(np.float32) / 255)
    l_star, ab = lab[..., 0].copy(), lab[..., 1:].copy()
    turn = np.array([[0.8, 0.6], [-0.6, 0.8]], np.float32)
    small = cv2.resize(ab, None, fx=1 / 8, fy=1 / 8, interpolation=cv2.INTER_AREA)
    lossy = cv2.imdecode(
        cv2.imencode(".jpg", truth, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], cv2.IMREAD_COLOR
    )
    one = truth.copy()
    one[0, 0] ^= 8
    return {
        "one pixel": one,
        # Of red alone: (1, 0, 1) and (0, 1, 0) are exact opposites, whose mean hue is the rounding's to choose.
        "one level": truth ^ np.array([1, 0, 0], np.uint8),
        "noise": np.clip(truth + random.normal(0, 12, truth.shape), 0, 255).astype(np.uint8),
        "jpeg": lossy,
        "blurred": shown(l_star, blurred(ab, 5)),
        "nearest": shown(
            l_star, cv2.resize(small, l_star.shape[::-1], interpolation=cv2.INTER_NEAREST)
        ),
        "turned": shown(l_star, ab @ turn),
        "opposite": shown(l_star, -ab),
        "desaturated": shown(l_star, ab * 0.6),
        "gray": shown(l_star, ab * 0),
    }


@pytest.fixture(scope="module")
def real_pairs(photographs):
    return {
        f"{name}, {fault}": (picture, truth)
        for name, truth in photographs.items()
        for fault, picture in distortions(truth).items()
    }


def sobel(plane):
    """The 5 x 5 operator, from its two vectors: a slow convolution in double precision."""
    smooth, slope = np.array([1, 4, 6, 4, 1]) / 16, np.array([-1, -2, 0, 2, 1]) / 8
    padded = np.pad(plane, 2, mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5))
    return np.einsum("hwij,i,j->hw", windows, smooth, slope), np.einsum(
        "hwij,i,j->hw", windows, slope, smooth
    )


def colorfulness_in_double(picture, axes):
    r, g, b = np.moveaxis(picture.astype(np.float64), -1, 0)
    rg, yb = axes(r - g), axes((r + g) / 2 - b)
    return np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())


def reference(picture, truth):
    """Every metric, by libraries and by definitions written out in double precision."""
    lab, true_lab = color.rgb_to_lab(picture / 255), color.rgb_to_lab(truth / 255)
    da, db = np.moveaxis(lab - true_lab, -1, 0)[1:]
    weight = np.exp(-np.hypot(*sobel(true_lab[..., 0])) / 2)
    change = np.sqrt(sum(part**2 for plane in (da, db) for part in sobel(plane)))
    chroma, true_chroma = (np.hypot(each[..., 1], each[..., 2]) for each in (lab, true_lab))
    glowing = (chroma > 60) & (chroma > true_chroma + 25)
    return {
        "psnr": peak_signal_noise_ratio(truth, picture),
        "ssim": ssim_of_scikit_image(picture, truth),
        "ciede2000": deltaE_ciede2000(true_lab, lab).mean(),
        "rmse_ab": np.sqrt(np.mean(da**2 + db**2)),
        "colorfulness": colorfulness_in_double(picture, np.positive),
        "colorfulness_absolute": colorfulness_in_double(picture, np.abs),
        "bleeding": np.average(change, weights=weight),
        "glow": 100 * np.mean(glowing),
    }


def test_every_metric_is_its_reference_on_fifty_real_pairs(real_pairs):
    assert len(real_pairs) == 50
    for name, pair in real_pairs.items():
        measured, expected = metrics.measure(*pair), reference(*pair)
        pixel = 100 / pair[0][..., 0].size  # one that lies on the limit may fall to either side
        assert measured.pop("glow") == pytest.approx(expected.pop("glow"), abs=2 * pixel), name
        assert measured == pytest.approx(expected, rel=1e-4, abs=1e-9), name


def test_measure_is_each_metric_by_itself(real_pairs):
    for picture, truth in list(real_pairs.values())[::7]:
        for name, value in metrics.measure(picture, truth).items():
            alone = getattr(metrics, name)
            one = name.startswith("colorfulness")
            assert (alone(picture) if one else alone(picture, truth)) == value


def test_measure_of_the_truth(photographs):
    for truth in photographs.values():
        measured = metrics.measure(truth, truth)
        assert measured["psnr"] == float("inf")
        assert measured["ssim"] == pytest.approx(1, abs=1e-7)
        assert (
            measured["ciede2000"]
            == measured["rmse_ab"]
            == measured["bleeding"]
            == measured["glow"]
            == 0
        )


def test_the_table_names_what_is_measured(photographs):
    truth = photographs["coffee"]
    assert list(metrics.METRICS) == list(metrics.measure(truth, truth))
    neither = {name for name, metric in metrics.METRICS.items() if metric.better == "neither"}
    assert neither == {"colorfulness", "colorfulness_absolute"}
    for name, metric in metrics.METRICS.items():
        if name in neither:
            continue
        good, bad = (metrics.measure(picture, truth)[name] for picture in (truth, truth[:, ::-1]))
        assert (good > bad) == (metric.better == "higher")


PROGRAM = """
import sys, cv2, numpy as np
from colorizenet.evaluation import metrics
cv2.setNumThreads(int(sys.argv[1]))
picture, truth = np.random.default_rng(0).integers(0, 256, (2, 301, 403, 3), dtype=np.uint8)
print(metrics.measure(picture, truth))
"""


def test_numbers_are_the_same_wherever_memory_lies():
    # Vector code may treat the ends of an array in another way, and where they lie is chance.
    random = np.random.default_rng(0)
    pair = random.integers(0, 256, (2, 37, 29, 3), dtype=np.uint8)
    told, kept = set(), []
    for _ in range(200):
        kept.append(np.empty(random.integers(1, 5000), np.uint8))
        shifted = np.empty(pair.nbytes + 64, np.uint8)[random.integers(64) :][
            : pair.nbytes
        ].reshape(pair.shape)
        shifted[...] = pair
        told.add(str(metrics.measure(*shifted)))
    assert len(told) == 1


def test_numbers_are_the_same_for_any_number_of_threads():
    told = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM, threads],
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
        ).stdout
        for threads in ("1", "4", "4")
    }
    assert len(told) == 1


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


def test_metrics_refuse_what_is_no_pair_of_pictures():
    picture = np.zeros((12, 16, 3), np.uint8)
    with pytest.raises(ValueError, match=r"\(12, 16, 3\) and its truth \(16, 12, 3\)"):
        metrics.measure(picture, picture.reshape(16, 12, 3))
    for other in (picture / 255, picture[..., 0], picture[..., :2]):
        with pytest.raises(ValueError, match="of uint8 and this one"):
            metrics.psnr(picture, other)
        with pytest.raises(ValueError, match="of uint8 and this one"):
            metrics.colorfulness(other)


def test_every_public_metric_is_tested_here():
    assert set(metrics.__all__) == {
        "METRICS",
        "SMALLEST",
        "Metric",
        "measure",
        "delta_e_2000",
        *metrics.METRICS,
    }
