"""Measure the metrics on a pair of 256 px pictures, against scikit-image and plain
NumPy.

    python benchmarks/metrics.py [--rounds N]

Milliseconds of CPU time of one thread, the minimum over all rounds. The ratio is the
time of the reference over that of this package. `measure` computes every metric at
once; its reference is the sum of those above.
"""

import argparse
import time
from collections.abc import Callable

import cv2
import numpy as np
import skimage.data
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from colorizenet.evaluation import metrics

SIDE = 256


def make_pair() -> tuple[np.ndarray, np.ndarray]:
    """A photograph with chroma upsampled from 1/8 of its size, and the photograph."""
    truth = cv2.resize(skimage.data.astronaut(), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    luma, *chroma = cv2.split(cv2.cvtColor(truth, cv2.COLOR_RGB2YCrCb))
    small = cv2.resize(np.dstack(chroma), None, fx=1 / 8, fy=1 / 8, interpolation=cv2.INTER_AREA)
    grown = cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    return cv2.cvtColor(np.dstack([luma, grown]), cv2.COLOR_YCrCb2RGB), truth


def plain_ssim(picture: np.ndarray, truth: np.ndarray) -> object:
    gaussian = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return structural_similarity(picture, truth, data_range=255, channel_axis=-1, **gaussian)


def plain_ciede2000(picture: np.ndarray, truth: np.ndarray) -> object:
    return deltaE_ciede2000(rgb2lab(truth), rgb2lab(picture)).mean()


def plain_rmse_ab(picture: np.ndarray, truth: np.ndarray) -> object:
    error = rgb2lab(picture)[..., 1:] - rgb2lab(truth)[..., 1:]
    return np.sqrt((error**2).sum(axis=-1).mean())


def plain_colorfulness(
    picture: np.ndarray, axes: Callable[[np.ndarray], np.ndarray] = np.positive
) -> object:
    r, g, b = np.moveaxis(picture.astype(np.float64), -1, 0)
    rg, yb = axes(r - g), axes((r + g) / 2 - b)
    return np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())


def plain_bleeding(picture: np.ndarray, truth: np.ndarray) -> object:
    def gradient(plane: np.ndarray) -> list[np.ndarray]:
        smooth, slope = np.array([1, 4, 6, 4, 1]) / 16, np.array([-1, -2, 0, 2, 1]) / 8
        rows, columns = plane.shape

        def along(axis: int, taps: np.ndarray, plane: np.ndarray) -> np.ndarray:
            padded = np.pad(
                plane, [(2, 2) if i == axis else (0, 0) for i in range(2)], mode="symmetric"
            )
            lengths = (rows, columns)
            return sum(
                (
                    tap * np.take(padded, range(i, i + lengths[axis]), axis)
                    for i, tap in enumerate(taps)
                ),
                np.zeros(lengths),
            )

        return [along(0, smooth, along(1, slope, plane)), along(0, slope, along(1, smooth, plane))]

    lab, true_lab = rgb2lab(picture), rgb2lab(truth)
    weight = np.exp(-np.hypot(*gradient(true_lab[..., 0])) / 2)
    change = np.sqrt(
        sum(part**2 for i in (1, 2) for part in gradient(lab[..., i] - true_lab[..., i]))
    )
    return np.average(change, weights=weight)


def plain_glow(picture: np.ndarray, truth: np.ndarray) -> object:
    chroma, true_chroma = (
        np.hypot(*np.moveaxis(rgb2lab(each)[..., 1:], -1, 0)) for each in (picture, truth)
    )
    return 100 * np.mean((chroma > 60) & (chroma > true_chroma + 25))


def measure_milliseconds(rounds: int, run: Callable[[], object]) -> float:
    least = float("inf")
    for _ in range(rounds):
        start = time.thread_time()
        run()
        least = min(least, time.thread_time() - start)
    return least * 1000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=50)
    rounds = parser.parse_args().rounds
    cv2.setNumThreads(1)  # thread_time() counts one thread
    picture, truth = make_pair()

    ways: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "psnr": (
            lambda: metrics.psnr(picture, truth),
            lambda: peak_signal_noise_ratio(truth, picture),
        ),
        "ssim": (lambda: metrics.ssim(picture, truth), lambda: plain_ssim(picture, truth)),
        "ciede2000": (
            lambda: metrics.ciede2000(picture, truth),
            lambda: plain_ciede2000(picture, truth),
        ),
        "rmse_ab": (lambda: metrics.rmse_ab(picture, truth), lambda: plain_rmse_ab(picture, truth)),
        "colorfulness": (
            lambda: metrics.colorfulness(picture),
            lambda: plain_colorfulness(picture),
        ),
        "colorfulness_absolute": (
            lambda: metrics.colorfulness_absolute(picture),
            lambda: plain_colorfulness(picture, np.abs),
        ),
        "bleeding": (
            lambda: metrics.bleeding(picture, truth),
            lambda: plain_bleeding(picture, truth),
        ),
        "glow": (lambda: metrics.glow(picture, truth), lambda: plain_glow(picture, truth)),
    }
    print(f"ms per pair of {SIDE} x {SIDE}, one thread")
    print(f"{'':24}{'this':>8}{'plain':>9}{'ratio':>8}")
    total = 0.0
    for name, (ours, plain) in ways.items():
        quick, slow = (
            measure_milliseconds(rounds, ours),
            measure_milliseconds(max(1, rounds // 5), plain),
        )
        total += slow
        print(f"{name:24}{quick:8.2f}{slow:9.2f}{slow / quick:7.1f}x")
    quick = measure_milliseconds(rounds, lambda: metrics.measure(picture, truth))
    print(f"{'measure':24}{quick:8.2f}{total:9.2f}{total / quick:7.1f}x")


if __name__ == "__main__":
    main()
