"""Quality of the command `colorizenet colorize`, measured on its output files.

    python benchmarks/quality.py PICTURES [--model NAME|FILE] [--picture-size 256]
                                 [--limit N] [--json FILE] [--contact-sheet FILE]

PICTURES is a source of color photographs as of `colorizenet evaluate`. Each is prepared
as docs/protocol.md says, written as a gray 8-bit PNG, colorized by the command, and
compared with the photograph.
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

from colorizenet.errors import DataError
from colorizenet.evaluation import metrics
from colorizenet.evaluation.truth import PICTURE_SIZE, read_truth
from colorizenet.photosets import list_photos


def measure(picture: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    return {
        "ciede2000": metrics.ciede2000(picture, truth),
        "psnr": metrics.psnr(picture, truth),
        "colorfulness": metrics.colorfulness(picture),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--model", default="default")
    parser.add_argument("--picture-size", type=int, default=PICTURE_SIZE)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--json", type=Path, help="write the means of the model to this file")
    parser.add_argument(
        "--contact-sheet",
        type=Path,
        help="write gray | colorized | photograph of 24 pictures to this file",
    )
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        gray_folder, out = Path(folder) / "gray", Path(folder) / "out"
        gray_folder.mkdir()
        truths = {}
        for i, photo in enumerate(list_photos(options.pictures)[: options.limit]):
            try:
                truth = read_truth(photo, options.picture_size)
            except DataError as error:
                print(error, file=sys.stderr)
                continue
            if truth.is_gray:  # as `colorizenet evaluate` leaves them out
                continue
            truths[f"{i:06d}.png"] = truth
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
            colorized = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
            gray = cv2.cvtColor(truth.gray, cv2.COLOR_GRAY2RGB)
            for row, picture in (("gray", gray), ("model", colorized), ("truth", truth.rgb)):
                rows[row].append(measure(picture, truth.rgb))
            triples.append(np.hstack([gray, colorized, truth.rgb]))

    print(
        f"{len(truths)} pictures of {options.picture_size} px, "
        f"{1000 * seconds / len(truths):.0f} ms per picture"
    )
    print(f"{'':8}{'CIEDE2000':>12}{'PSNR dB':>12}{'colorfulness':>16}")
    means = {
        row: {name: float(np.mean([each[name] for each in values])) for name in values[0]}
        for row, values in rows.items()
    }
    for row, mean in means.items():
        print(f"{row:8}{mean['ciede2000']:12.3f}{mean['psnr']:12.2f}{mean['colorfulness']:16.2f}")
    if options.json:
        rounded = {name: round(value, 3) for name, value in means["model"].items()}
        options.json.write_text(json.dumps(rounded))
    if options.contact_sheet:
        some = triples[:: max(1, len(triples) // 24)][:24]
        columns = [np.vstack(some[i::3]) for i in range(min(3, len(some)))]
        shortest = min(len(column) for column in columns)
        sheet = np.hstack([column[:shortest] for column in columns])
        cv2.imwrite(str(options.contact_sheet), sheet[..., ::-1])


if __name__ == "__main__":
    main()
