"""Colorize damaged photos and check that nothing crashes, hangs or is written in half.

    python scripts/fuzz.py [--cases 20000] [--seed 0] [--timeout 3600]

Small photos of each format (also with profiles, EXIF, alpha, pages and 16 bits) are
damaged at random: bits flipped, bytes overwritten, removed, repeated, spliced with
another file's, numbers in headers made large. Each is opened, decoded, colorized
without a network and encoded again, whole and in strips, in supervised processes. A
process that dies, raises anything other than an ImageError, or takes longer than a
minute is a finding, and its file is kept. The exit status is 1 if there was one.
"""

import argparse
import faulthandler
import multiprocessing
import random
import sys
import tempfile
import time
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pyvips

from colorizenet import batch
from colorizenet.colorizer import Reduced
from colorizenet.errors import ImageError
from colorizenet.imaging import tiff
from colorizenet.imaging.formats import FORMATS
from colorizenet.imaging.image import Image, Metadata
from colorizenet.imaging.reading import ImageFile, open_image, read_image
from colorizenet.imaging.writing import encode_image
from colorizenet.options import Options
from colorizenet.planning import plan_jobs

SAMPLE = Path(__file__).parents[1] / "samples" / "cat.jpg"
LIMIT = 4_000_000
"""Maximum number of pixels, as with --max-pixels."""


def make_seed_files() -> list[tuple[str, bytes]]:
    """Make a small valid file of each kind."""
    gray = np.ascontiguousarray(read_image(SAMPLE).pixels[:96:2, :128:2])
    color = np.dstack([gray, 255 - gray, gray // 2])
    deep = gray.astype(np.uint16) * 257
    exif = Metadata(exif=tiff.make_exif_block({315: (tiff.ASCII, b"Dorothea Lange\0")}))
    images = {
        "gray": Image(gray, metadata=exif),
        "color": Image(color, gray, metadata=exif, note="note"),
    }
    images |= {"deep": Image(deep), "pages": Image(np.tile(deep, (3, 1)), pages=3)}
    images["float"] = Image((gray / 255).astype(np.float32))
    found: list[tuple[str, bytes]] = []
    for format, kind in FORMATS.items():
        for name, image in images.items():
            if kind.written:
                try:
                    found.append((f"{name}{kind.suffixes[0]}", encode_image(image, format)))
                except ImageError:
                    continue
    for compression in ("none", "lzw", "packbits", "jpeg"):
        pixels = pyvips.Image.new_from_array(color)
        found.append(
            (f"{compression}.tif", pixels.tiffsave_buffer(compression=compression, profile="p3"))
        )
    vips = pyvips.Image.new_from_array(color)
    found.append(("frames.gif", vips.gifsave_buffer()))
    found.append(("palette.png", vips.pngsave_buffer(palette=True)))
    found.append(("p3.jpg", vips.jpegsave_buffer(profile="p3", interlace=True)))
    found.append(("gray.pgm", b"P5 64 48 255\n" + gray[:48, :64].tobytes()))
    found.append(("deep.ppm", b"P6 64 48 65535\n" + color[:48, :64].astype(">u2").tobytes()))
    return found


def mutate(content: bytes, other: bytes, rng: random.Random) -> bytes:
    """Damage a copy in a few places, in the header as often as anywhere."""
    damaged = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        reach = rng.choice((64, 512, len(damaged)))
        at = rng.randrange(max(1, min(reach, len(damaged))))
        kind = rng.randrange(7)
        if kind == 0 and damaged:
            damaged[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            damaged[at : at + rng.choice((1, 2, 4))] = rng.randbytes(rng.choice((1, 2, 4)))
        elif kind == 2:
            damaged[at : at + 4] = rng.choice(
                (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\0\1\x86\xa0")
            )
        elif kind == 3:
            del damaged[at:]
        elif kind == 4:
            del damaged[at : at + rng.randrange(1, 64)]
        elif kind == 5:
            damaged[at:at] = damaged[at : at + rng.randrange(1, 256)]
        else:
            start = rng.randrange(max(1, len(other)))
            damaged[at : at + 64] = other[start : start + 64]
    return bytes(damaged)


class RedColorizer:
    """Stands for a ``Colorizer`` without a network."""

    provenance_note = "note"

    def reduce(self, picture: Image | ImageFile, options: Options) -> Reduced:
        return Reduced(())

    def predict(self, picture: Reduced, options: Options, *, count: int) -> list[None]:
        return [None] * count

    def apply(self, image: Image, chroma: None, options: Options) -> Image:
        pixels = image.pixels if image.pixels.ndim == 2 else image.pixels[..., 0]
        half = pixels // 2 if pixels.dtype.kind == "u" else pixels
        return image.with_pixels(np.dstack([pixels, half, half]))

    def apply_strips(self, file: ImageFile, chroma: None, options: Options, *, rows: int):
        for _, _, pixels, alpha in file.read_strips(rows):
            gray = pixels if pixels.ndim == 2 else pixels[..., 0]
            yield np.dstack([gray] * 3 if alpha is None else [gray, gray, gray, alpha])


class RedWorker(batch.Worker):
    @property
    def colorizer(self) -> Any:
        return RedColorizer()


def run_cases(pipe: Connection, folder: Path) -> None:
    """Colorize each file named on the pipe and send back the outcome."""
    faulthandler.enable()
    batch.configure_libvips(1)
    while True:
        name, streamed = pipe.recv()
        source, target = folder / name, folder / "out" / name
        try:
            (job,) = plan_jobs([source], folder / "out", max_pixels=LIMIT)
            done = RedWorker(max_pixels=LIMIT, stream_above=0 if streamed else LIMIT)(job)
            outcome = "refused" if done.error else "colored"
            if not done.error:
                with open_image(job.target) as picture:  # raises if the result is incomplete
                    picture.read()
                job.target.unlink()
            if any((folder / "out").iterdir()):
                outcome = f"left {[path.name for path in (folder / 'out').iterdir()]}"
        except BaseException as error:
            outcome = f"raised {error!r} for {target.name}"
        pipe.send(outcome)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--timeout", type=float, default=3600, help="stop after this many seconds")
    options = parser.parse_args()
    rng, started = random.Random(options.seed), time.monotonic()
    files, outcomes, findings, tried = make_seed_files(), Counter[str](), 0, 0
    folder = Path(tempfile.mkdtemp(prefix="colorizenet-fuzz-"))
    (folder / "out").mkdir()
    context = multiprocessing.get_context("spawn")

    def start() -> tuple[multiprocessing.Process, Connection]:
        parent, child = context.Pipe()
        process = context.Process(target=run_cases, args=(child, folder), daemon=True)
        process.start()
        child.close()
        return process, parent  # type: ignore[return-value]

    process, pipe = start()
    while tried < options.cases and time.monotonic() - started < options.timeout:
        (name, content), (_, other) = rng.choice(files), rng.choice(files)
        path = folder / f"case-{tried}-{name}"
        path.write_bytes(mutate(content, other, rng))
        tried += 1
        try:
            pipe.send((path.name, rng.random() < 0.3))
            outcome = pipe.recv() if pipe.poll(60) else "hung"
        except (EOFError, BrokenPipeError, ConnectionError):
            process.join()
            outcome = f"died with status {process.exitcode}"
        outcomes[outcome if outcome in ("colored", "refused") else "FINDING"] += 1
        if outcome in ("colored", "refused"):
            path.unlink()
            continue
        findings += 1
        print(f"{path}: {outcome}", flush=True)
        for leftover in (folder / "out").iterdir():
            leftover.unlink()
        if not outcome.startswith(("raised", "left")):
            process.kill()
            process, pipe = start()
    process.kill()
    seconds = time.monotonic() - started
    print(f"{tried} cases of {len(files)} files in {seconds:.0f} s: {dict(outcomes)}")
    sys.exit(findings > 0)


if __name__ == "__main__":
    main()
