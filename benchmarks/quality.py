"""How good the colors are, through the command line as a user runs it.

    python benchmarks/quality.py PICTURES [--model NAME|FILE] [--size 256] [--limit N] [--json FILE] [--sheet FILE]

PICTURES is a folder or an uncompressed tar of color photographs. Each is cut to its center
square, brought to SIZE by area, turned gray by its own L*, written as 8-bit PNG, colored by
`colorizenet colorize`, and compared with the photograph as 8-bit sRGB.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from colorizenet.evaluation import metrics
from colorizenet.evaluation.protocol import truth_of
from colorizenet.photosets import list_photos


def scores(shown: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    return {
        "ciede2000": metrics.ciede2000(shown, truth),
        "psnr": metrics.psnr(shown, truth),
        "colorfulness": metrics.colorfulness(shown),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--model", default="default")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--json", type=Path, help="write the model's mean figures here")
    parser.add_argument(
        "--sheet", type=Path, help="write gray | colored | true of 24 pictures here"
    )
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        gray_folder, out = Path(folder) / "gray", Path(folder) / "out"
        gray_folder.mkdir()
        truths = {}
        for i, picture in enumerate(list_photos(options.pictures)[: options.limit]):
            truths[f"{i:06d}.png"] = truth = truth_of(picture, options.size)
            cv2.imwrite(str(gray_folder / f"{i:06d}.png"), truth.gray)
        command = [
            sys.executable,
            "-m",
            "colorizenet",
            "colorize",
            str(gray_folder),
            "--out",
            str(out),
        ]
        started = time.perf_counter()
        subprocess.run([*command, "--model", options.model], check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - started

        rows: dict[str, list[dict[str, float]]] = {"gray": [], "model": [], "truth": []}
        triples = []
        for name, truth in truths.items():
            bgr = cv2.imread(str(out / name))
            assert bgr is not None
            colored = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
            gray = cv2.cvtColor(truth.gray, cv2.COLOR_GRAY2RGB)
            for row, shown in (("gray", gray), ("model", colored), ("truth", truth.rgb)):
                rows[row].append(scores(shown, truth.rgb))
            triples.append(np.hstack([gray, colored, truth.rgb]))

    print(
        f"{len(truths)} pictures of {options.size} px, {1000 * seconds / len(truths):.0f} ms a picture"
    )
    print(f"{'':8}{'CIEDE2000':>12}{'PSNR dB':>12}{'colorfulness':>16}")
    mean = {
        row: {key: float(np.mean([s[key] for s in of])) for key in of[0]}
        for row, of in rows.items()
    }
    for row, figures in mean.items():
        print(
            f"{row:8}{figures['ciede2000']:12.3f}{figures['psnr']:12.2f}{figures['colorfulness']:16.2f}"
        )
    if options.json:
        options.json.write_text(
            json.dumps({key: round(value, 3) for key, value in mean["model"].items()})
        )
    if options.sheet:
        shown = triples[:: max(1, len(triples) // 24)][:24]
        columns = [np.vstack(shown[i::3]) for i in range(3)]
        shortest = min(len(column) for column in columns)
        cv2.imwrite(
            str(options.sheet), np.hstack([column[:shortest] for column in columns])[..., ::-1]
        )


if __name__ == "__main__":
    main()
