"""All metrics at once: references in double precision, and the same digits on every
run."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
from skimage.color import deltaE_ciede2000
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from colorizenet import color
from colorizenet.evaluation import metrics


def compose(l_star, ab):
    return color.compose(np.float32(l_star), np.float32(ab), np.dtype(np.uint8))


def blur(ab, sigma):
    return cv2.GaussianBlur(np.float32(ab), (0, 0), sigma)


def ssim_of_scikit_image(picture, truth):
    gaussian = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return structural_similarity(picture, truth, data_range=255, channel_axis=-1, **gaussian)


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
        # Red alone: (1, 0, 1) and (0, 1, 0) are exact opposites, whose mean hue depends
        # on rounding.
        "one level": truth ^ np.array([1, 0, 0], np.uint8),
        "noise": np.clip(truth + random.normal(0, 12, truth.shape), 0, 255).astype(np.uint8),
        "jpeg": lossy,
        "blurred": compose(l_star, blur(ab, 5)),
        "nearest": compose(
            l_star, cv2.resize(small, l_star.shape[::-1], interpolation=cv2.INTER_NEAREST)
        ),
        "turned": compose(l_star, ab @ turn),
        "opposite": compose(l_star, -ab),
        "desaturated": compose(l_star, ab * 0.6),
        "gray": compose(l_star, ab * 0),
    }


@pytest.fixture(scope="module")
def real_pairs(photographs):
    return {
        f"{name}, {fault}": (picture, truth)
        for name, truth in photographs.items()
        for fault, picture in distortions(truth).items()
    }


def sobel(plane):
    """The 5 x 5 operator, from its two vectors: a slow convolution in double
    precision."""
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
    """Compute every metric with libraries, or from its definition in double
    precision."""
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


def test_every_metric_equals_its_reference_on_fifty_real_pairs(real_pairs):
    assert len(real_pairs) == 50
    for name, pair in real_pairs.items():
        measured, expected = metrics.measure(*pair), reference(*pair)
        pixel = 100 / pair[0][..., 0].size  # one that lies on the limit may fall to either side
        assert measured.pop("glow") == pytest.approx(expected.pop("glow"), abs=2 * pixel), name
        assert measured == pytest.approx(expected, rel=1e-4, abs=1e-9), name


def test_measure_equals_each_metric_alone(real_pairs):
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


def test_values_do_not_depend_on_memory_alignment():
    # Vector code may treat the ends of an array differently, and their position is
    # chance.
    random = np.random.default_rng(0)
    pair = random.integers(0, 256, (2, 37, 29, 3), dtype=np.uint8)
    values, allocated = set(), []
    for _ in range(200):
        allocated.append(np.empty(random.integers(1, 5000), np.uint8))
        shifted = np.empty(pair.nbytes + 64, np.uint8)[random.integers(64) :][
            : pair.nbytes
        ].reshape(pair.shape)
        shifted[...] = pair
        values.add(str(metrics.measure(*shifted)))
    assert len(values) == 1


def test_values_do_not_depend_on_the_number_of_threads():
    values = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM, threads],
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
        ).stdout
        for threads in ("1", "4", "4")
    }
    assert len(values) == 1
