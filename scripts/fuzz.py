"""Color mutated photographs, and see that nothing crashes, hangs or is half-written.

    python scripts/fuzz.py [--cases 20000] [--seed 0] [--seconds 3600]

Small real photographs of each format (and with profiles, EXIF, alpha, pages and 16
bits) are damaged at random: bits flipped, bytes overwritten, cut, doubled, spliced with
another's, numbers of headers made large. Each is opened, decoded, colored without a
network and encoded again, whole and in strips, in processes that are watched: one that
dies, says something other than an ImageError, or takes longer than a minute is a
finding, and its case is kept beside. Exit status 1 where there was one.
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

import numpy as np
import pyvips

from colorizenet import batch
from colorizenet.errors import ImageError
from colorizenet.imaging.formats import FORMATS
from colorizenet.imaging.image import Image
from colorizenet.imaging.reading import ImageFile, open_image, read_image
from colorizenet.imaging.writing import encode_image

SAMPLE = Path(__file__).parents[1] / "samples" / "cat.jpg"
LIMIT = 4_000_000
"""Pixels: a header that claims more is refused, as --max-pixels has it."""


def seeds() -> list[tuple[str, bytes]]:
    """A small sound file of each kind."""
    gray = np.ascontiguousarray(read_image(SAMPLE).pixels[:96:2, :128:2])
    color = np.dstack([gray, 255 - gray, gray // 2])
    deep = gray.astype(np.uint16) * 257
    exif = {"exif-ifd0-Artist": (pyvips.GValue.gstr_type, "Lange (ASCII)")}
    images = {
        "gray": Image(gray, carried=exif),
        "color": Image(color, gray, carried=exif, note="noted"),
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


def mutated(content: bytes, other: bytes, rng: random.Random) -> bytes:
    """A damaged copy; mostly a little, in the header as often as anywhere."""
    damaged = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        reach = rng.choice((64, 512, len(damaged)))
        at = rng.randrange(max(1, min(reach, len(damaged))))
        way = rng.randrange(7)
        if way == 0 and damaged:
            damaged[at] ^= 1 << rng.randrange(8)
        elif way == 1:
            damaged[at : at + rng.choice((1, 2, 4))] = rng.randbytes(rng.choice((1, 2, 4)))
        elif way == 2:
            damaged[at : at + 4] = rng.choice(
                (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\0\1\x86\xa0")
            )
        elif way == 3:
            del damaged[at:]
        elif way == 4:
            del damaged[at : at + rng.randrange(1, 64)]
        elif way == 5:
            damaged[at:at] = damaged[at : at + rng.randrange(1, 256)]
        else:
            start = rng.randrange(max(1, len(other)))
            damaged[at : at + 64] = other[start : start + 64]
    return bytes(damaged)


def in_red(image: Image) -> Image:
    pixels = image.pixels if image.pixels.ndim == 2 else image.pixels[..., 0]
    return image.with_pixels(
        np.dstack([pixels, pixels // 2, pixels // 2] if pixels.dtype.kind == "u" else [pixels] * 3)
    )


def strips_in_red(picture: ImageFile, rows: int):
    for _, pixels, alpha in picture.strips(rows):
        gray = pixels if pixels.ndim == 2 else pixels[..., 0]
        yield np.dstack([gray] * 3 if alpha is None else [gray, gray, gray, alpha])


def worker(pipe: Connection, folder: Path) -> None:
    """Color the file at each path that comes, and say what became of it."""
    faulthandler.enable()
    batch.configure_libvips(1)
    while True:
        name, streamed = pipe.recv()
        source, target = folder / name, folder / "out" / name
        batch.STREAMED = 0 if streamed else LIMIT
        try:
            (job,) = batch.plan([source], folder / "out", max_pixels=LIMIT)
            (done,) = batch.colorize_all(
                [job], in_red, stream=strips_in_red, max_pixels=LIMIT, note="noted"
            )
            said = "refused" if done.error else "colored"
            if not done.error:
                with open_image(job.target) as picture:  # what was written is whole
                    picture.whole()
                job.target.unlink()
            if any((folder / "out").iterdir()):
                said = f"left {[path.name for path in (folder / 'out').iterdir()]}"
        except BaseException as error:
            said = f"raised {error!r} for {target.name}"
        pipe.send(said)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--seconds", type=float, default=3600, help="stop after so long, whatever is left"
    )
    options = parser.parse_args()
    rng, started = random.Random(options.seed), time.monotonic()
    files, told, findings, tried = seeds(), Counter[str](), 0, 0
    kept = Path(tempfile.mkdtemp(prefix="colorizenet-fuzz-"))
    (kept / "out").mkdir()
    context = multiprocessing.get_context("spawn")

    def start() -> tuple[multiprocessing.Process, Connection]:
        ours, theirs = context.Pipe()
        process = context.Process(target=worker, args=(theirs, kept), daemon=True)
        process.start()
        theirs.close()
        return process, ours  # type: ignore[return-value]

    process, pipe = start()
    while tried < options.cases and time.monotonic() - started < options.seconds:
        (name, content), (_, other) = rng.choice(files), rng.choice(files)
        path = kept / f"case-{tried}-{name}"
        path.write_bytes(mutated(content, other, rng))
        tried += 1
        try:
            pipe.send((path.name, rng.random() < 0.3))
            said = pipe.recv() if pipe.poll(60) else "hung"
        except (EOFError, BrokenPipeError, ConnectionError):
            process.join()
            said = f"died with status {process.exitcode}"
        told[said if said in ("colored", "refused") else "FINDING"] += 1
        if said in ("colored", "refused"):
            path.unlink()
            continue
        findings += 1
        print(f"{path}: {said}", flush=True)
        for left in (kept / "out").iterdir():
            left.unlink()
        if not said.startswith(("raised", "left")):
            process.kill()
            process, pipe = start()
    process.kill()
    print(
        f"{tried} cases of {len(files)} files in {time.monotonic() - started:.0f} s: {dict(told)}"
    )
    sys.exit(findings > 0)


if __name__ == "__main__":
    main()
