"""Measure how much the colors of a photo depend on a border around it.

    python benchmarks/borders.py PICTURES [--model NAME|FILE] [--limit 100]
                                 [--contact-sheet FILE]

PICTURES is a source of photographs as of `colorizenet evaluate`. Each is prepared as
docs/protocol.md says, and colorized with and without a border on all four sides, of 5
and of 25 percent of its width, with the noise of a scanner. The shift is the mean
CIEDE2000 between the two results, within the photo. Columns: with borders in the
network input, and with borders left out of it. The last rows are the shift where there
is no border to leave out, and that of a photo that lies on its side, turned by 90
degrees.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from colorizenet.colorizer import Colorizer
from colorizenet.evaluation import metrics
from colorizenet.evaluation.truth import PICTURE_SIZE, read_truth
from colorizenet.imaging.borders import Border
from colorizenet.options import Options
from colorizenet.photosets import list_photos

LEVELS = {"black": 0, "white": 255, "gray": 128}
SHARES = (0.05, 0.25)
NOISE = 1.5
"""Standard deviation of the border, in levels of 8 bits."""


def add_border(gray: np.ndarray, level: int, share: float) -> tuple[np.ndarray, int]:
    """A gray picture with a border, and the width of the border in pixels."""
    width = round(share * gray.shape[1])
    bordered = np.pad(gray, width, constant_values=level).astype(np.float32)
    noise = np.random.default_rng(0).normal(0, NOISE, bordered.shape)
    noise[width:-width, width:-width] = 0
    return np.rint(bordered + noise).clip(0, 255).astype(np.uint8), width


def colorize(
    colorizer: Colorizer, gray: np.ndarray, *, crop_borders: bool
) -> tuple[np.ndarray, Border | None]:
    """The result, and the border that was left out of the network input."""
    reduced = colorizer.reduce(gray, crop_borders=crop_borders)
    [chroma] = colorizer.predict(reduced, Options())
    return colorizer.apply(gray, chroma), reduced.borders[0] if reduced.borders else None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--model", default="default")
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument(
        "--contact-sheet",
        type=Path,
        help="write, of 8 pictures with a border of 25 percent, the result with the border in "
        "the network input, with the border left out, and without a border to this file",
    )
    options = parser.parse_args()
    colorizer = Colorizer(options.model, threads=1)

    shifts: dict[str, dict[bool, list[float]]] = {}
    found: dict[str, int] = {}
    sheet = []
    photos = list_photos(options.pictures)[: options.limit]
    for number, photo in enumerate(photos):
        gray = read_truth(photo, PICTURE_SIZE).gray
        results = {crop: colorize(colorizer, gray, crop_borders=crop) for crop in (False, True)}

        def compare(row: str, crop: bool, picture: np.ndarray, results=results) -> None:
            shift = metrics.ciede2000(np.ascontiguousarray(picture), results[crop][0])
            shifts.setdefault(row, {False: [], True: []})[crop].append(shift)

        for share in SHARES:
            for name, level in LEVELS.items():
                row = f"{share:.0%} {name}"
                bordered, width = add_border(gray, level, share)
                strip = [gray]
                for crop in (False, True):
                    result, border = colorize(colorizer, bordered, crop_borders=crop)
                    compare(row, crop, result[width:-width, width:-width])
                    found[row] = found.get(row, 0) + (border is not None)
                    strip.append(result)
                if share == SHARES[-1] and number % len(LEVELS) == list(LEVELS).index(name):
                    whole = np.pad(results[True][0], ((width, width), (width, width), (0, 0)))
                    sheet.append(np.hstack([*strip[1:], whole]))
        compare("no border", False, results[True][0])
        compare("no border", True, results[True][0])
        found["no border"] = found.get("no border", 0) + (results[True][1] is not None)
        for crop in (False, True):
            turned, _ = colorize(colorizer, np.rot90(gray).copy(), crop_borders=crop)
            compare("turned by 90 degrees", crop, np.rot90(turned, -1))

    print(f"{len(photos)} pictures of {PICTURE_SIZE} px, model {colorizer.card.name}")
    print(f"{'mean CIEDE2000':24}{'in the input':>16}{'left out':>12}{'found':>12}")
    for row, of in shifts.items():
        before, after = (float(np.mean(of[crop])) for crop in (False, True))
        borders = f"{found[row]:12}" if row in found else ""
        print(f"{row:24}{before:16.2f}{after:12.2f}{borders}")
    if options.contact_sheet:
        rows = sheet[:: max(1, len(sheet) // 8)][:8]
        cv2.imwrite(str(options.contact_sheet), np.vstack(rows)[..., ::-1])


if __name__ == "__main__":
    main()
