"""Measure upsampling of true chroma: CIEDE2000 by method and factor.

    python benchmarks/upsampling.py FOLDER [--sweep]

The true chroma of each photograph is reduced by area to 1/2, 1/4 and 1/8, upsampled
with the full-size lightness, and compared with the photograph. Lower is better. Every
method gets the same small chroma.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from colorizenet import color
from colorizenet.evaluation import metrics
from colorizenet.upsample import EdgeUpsampler

Method = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def interpolate(interpolation: int) -> Method:
    return lambda ab, l_small, l_star: cv2.resize(
        ab, l_star.shape[::-1], interpolation=interpolation
    )


def upsample_with(gain: float, ridge: float) -> Method:
    def upsample(ab: np.ndarray, l_small: np.ndarray, l_star: np.ndarray) -> np.ndarray:
        return EdgeUpsampler(ab, l_small, l_star.shape, gain=gain, ridge=ridge).rows(l_star, 0)

    return upsample


def follow_edges(ab: np.ndarray, l_small: np.ndarray, l_star: np.ndarray) -> np.ndarray:
    return EdgeUpsampler(ab, l_small, l_star.shape).rows(l_star, 0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sweep", action="store_true", help="try gains and ridges instead")
    options = parser.parse_args()

    methods: dict[str, Method] = {
        "nearest": interpolate(cv2.INTER_NEAREST_EXACT),
        "bilinear": interpolate(cv2.INTER_LINEAR),
        "cubic": interpolate(cv2.INTER_CUBIC),
        "edges": follow_edges,
    }
    if options.sweep:
        methods |= {
            f"{g} {r}": upsample_with(g, r)
            for g in (0.5, 0.6, 0.7, 0.8, 0.9)
            for r in (10.0, 20.0, 30.0, 50.0)
        }
    paths = sorted(
        p for p in options.folder.iterdir() if p.suffix.lower() in (".jpg", ".png", ".webp", ".tif")
    )
    if not paths:
        sys.exit(
            f"{options.folder} holds no photograph; "
            "give a folder of .jpg, .png, .webp or .tif files"
        )
    scores: dict[tuple[str, int], list[float]] = {}
    for path in paths:
        bgr = cv2.imread(str(path))
        if bgr is None:
            sys.exit(f"{path} cannot be decoded; take it out of the folder")
        truth = bgr[..., ::-1]
        truth = np.ascontiguousarray(truth[: truth.shape[0] // 8 * 8, : truth.shape[1] // 8 * 8])
        lab = color.rgb_to_lab(truth.astype(np.float32) / 255)
        l_star = lab[..., 0].copy()
        for factor in (2, 4, 8):
            small = cv2.resize(
                lab, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA
            )
            for name, method in methods.items():
                ab = method(small[..., 1:].copy(), small[..., 0].copy(), l_star)
                result = color.compose(l_star, ab, np.dtype(np.uint8))
                scores.setdefault((name, factor), []).append(metrics.ciede2000(result, truth))
    print(
        f"mean CIEDE2000 over {len(paths)} photographs\n{'':12}"
        + "".join(f"{f'{f}x':>8}" for f in (2, 4, 8))
    )
    for name in methods:
        print(f"{name:12}" + "".join(f"{np.mean(scores[name, f]):8.3f}" for f in (2, 4, 8)))


if __name__ == "__main__":
    main()
