"""Measure `prepare` against Pillow in as many processes: photographs per second.

    python benchmarks/prepare.py FOLDER [--size 256] [--jobs 2] [--rounds 5]

Both read, rotate, shrink, encode as JPEG 4:4:4 of quality 92, and write. `prepare` also
computes the figures it screens by, with limits that let every picture pass. Pillow's
processes are started beforehand. The rounds alternate, so that other load affects all
alike; each ratio is the median over the rounds. Photographs are repeated until there
are enough to time.
"""

import argparse
import itertools
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from PIL import Image, ImageOps

from colorizenet.photosets import list_photos
from colorizenet.training.data.prepare import PrepareConfig, prepare
from colorizenet.training.data.screen import Screen

EVERYTHING = Screen(min_side=0, min_colorfulness=0, max_hue_concentration=1)
FILTERS = {"Pillow, box": Image.Resampling.BOX, "Pillow, Lanczos": Image.Resampling.LANCZOS}


def convert_with_pillow(path: Path, *, target: Path, size: int, resample: Image.Resampling) -> None:
    image = ImageOps.exif_transpose(Image.open(path).convert("RGB"))
    scale = min(1, size / min(image.size))
    small = image.resize((round(image.width * scale), round(image.height * scale)), resample)
    small.save(target / f"{path.name}.jpg", quality=92, subsampling=0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pictures", type=int, default=200)
    options = parser.parse_args()

    found = [picture.path for picture in list_photos(options.folder) if picture.length < 0]
    if not found:
        sys.exit(f"{options.folder} holds no photographs outside of shards; give a folder of them")
    seconds: dict[str, list[float]] = {}
    with (
        tempfile.TemporaryDirectory() as temporary,
        multiprocessing.get_context("spawn").Pool(options.jobs) as pool,
    ):
        source = Path(temporary) / "source"
        source.mkdir()
        copies = max(len(found), options.pictures)
        for number, path in enumerate(itertools.islice(itertools.cycle(found), copies)):
            (source / f"{number:06}{path.suffix}").symlink_to(path.resolve())
        paths = sorted(source.iterdir())
        settings = PrepareConfig(size=options.size, duplicate_bits=-1, screen=EVERYTHING)

        def run_prepare(target: Path) -> None:
            kept = prepare(source, target, settings, workers=options.jobs).kept.total()
            assert kept == len(paths), f"{kept} of {len(paths)} could be read"

        def run_pillow(resample: Image.Resampling, target: Path) -> None:
            target.mkdir()
            work = partial(convert_with_pillow, target=target, size=options.size, resample=resample)
            for _ in pool.imap_unordered(work, paths, chunksize=4):
                pass

        ways = {"prepare": run_prepare} | {
            name: partial(run_pillow, resample) for name, resample in FILTERS.items()
        }
        for turn in range(options.rounds + 1):  # the first warms the disk and the processes
            for name, way in ways.items():
                started = time.perf_counter()
                way(Path(temporary) / f"{name} {turn}")
                seconds.setdefault(name, []).append(time.perf_counter() - started)

    print(
        f"{len(paths)} photographs ({len(found)} different) to {options.size} px, "
        f"{options.jobs} at once"
    )
    for name, times in seconds.items():
        ratio = statistics.median(
            other / own for other, own in zip(times[1:], seconds["prepare"][1:], strict=True)
        )
        rate = len(paths) / statistics.median(times[1:])
        print(
            f"{name:16} {rate:7.1f} pictures/s"
            + (f"  prepare is {ratio:.2f}x" if name != "prepare" else "")
        )


if __name__ == "__main__":
    main()
