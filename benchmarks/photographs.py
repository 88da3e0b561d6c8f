"""Measure colorizing photographs against the work that cannot be avoided.

    python benchmarks/photographs.py [--folder] [--cold] [--large 300] [--rounds 3]

    folder   20 gray JPEGs of 8 MP with natural grain, folder to folder,
             against libvips decoding and re-encoding them as color JPEGs, one thread
             per core
    cold     one JPEG of 1 MP, a whole process,
             against a process that imports NumPy and ONNX Runtime and loads the same
             model
    large    a 16-bit gray TIFF of so many megapixels, and the peak of resident memory,
             against libvips copying it to a TIFF of three channels

Whole processes run in alternation and the best of each counts, so that other load on
the machine affects both alike. Seconds of processor time are in brackets; on a busy
machine their ratio, the last column, says more than that of the time. The photograph is
a sample of this repository, enlarged, with added grain.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyvips

# The modules of an installed package are compiled, so those of a checkout may be, too.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
SAMPLE = Path(__file__).parents[1] / "samples" / "black-canyon-1871.jpg"

REENCODE = """
import os, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import pyvips
pyvips.concurrency_set(1)
pyvips.cache_set_max(0)
out = Path(sys.argv[2])
out.mkdir(exist_ok=True)

def one(path):
    gray = pyvips.Image.jpegload(str(path), access="sequential")
    color = gray.bandjoin([gray, gray]).copy(interpretation="srgb")
    color.jpegsave(str(out / path.name), Q=92, subsample_mode="on", optimize_coding=True)

with ThreadPoolExecutor(os.cpu_count()) as pool:
    list(pool.map(one, sorted(Path(sys.argv[1]).iterdir())))
"""

LOAD = """
import sys, numpy, onnxruntime
options = onnxruntime.SessionOptions()
onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
"""

COPY = """
import sys, pyvips
gray = pyvips.Image.tiffload(sys.argv[1], access="sequential")
gray.bandjoin([gray, gray]).copy(interpretation="rgb16").tiffsave(sys.argv[2])
"""


def make_photograph(width: int, height: int, *, top: int, grain: float) -> pyvips.Image:
    """An enlarged sample with grain, 0 to ``top``."""
    sample = pyvips.Image.new_from_file(str(SAMPLE)).extract_band(0)
    large = sample.resize(width / sample.width, vscale=height / sample.height, kernel="cubic")
    noisy = large * (top / 255) + pyvips.Image.gaussnoise(
        width, height, mean=0, sigma=grain * top / 255, seed=1
    )
    return noisy.cast("ushort" if top > 255 else "uchar").copy(
        interpretation="grey16" if top > 255 else "b-w"
    )


def run(*command: object) -> tuple[float, float, int]:
    """Seconds that a process took, seconds of processor time, and its peak of resident
    memory in MB."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *map(str, command)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=ENVIRONMENT,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = status
    if status:
        sys.exit(f"{command} failed")
    processor = usage.ru_utime + usage.ru_stime
    return time.perf_counter() - started, processor, usage.ru_maxrss // 1024


def compare(
    name: str, baseline: tuple[object, ...], colorize: tuple[object, ...], rounds: int
) -> None:
    turns = [(run(*baseline), run(*colorize)) for _ in range(rounds)]
    (base, base_cpu), (took, took_cpu) = (
        (min(turn[side][0] for turn in turns), min(turn[side][1] for turn in turns))
        for side in (0, 1)
    )
    memory = max(turn[1][2] for turn in turns)
    print(
        f"{name:36} {base:7.2f} ({base_cpu:5.2f}) s  {took:7.2f} ({took_cpu:5.2f}) s  "
        f"{took / base:5.2f}x  {memory:5} MB  {took_cpu / base_cpu:5.2f}x",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", action="store_true")
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--large", type=int, metavar="MEGAPIXELS")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--scratch", type=Path, help="folder for the test pictures (default: the system's)"
    )
    options = parser.parse_args()
    print(f"{'':36}  baseline           colorize                   peak     processor")
    with tempfile.TemporaryDirectory(dir=options.scratch) as name:
        scratch = Path(name)
        colorize = ("-m", "colorizenet", "colorize")
        if options.folder:
            folder = scratch / "in"
            folder.mkdir()
            large = make_photograph(3264, 2448, top=255, grain=8)
            for i in range(20):
                large.jpegsave(str(folder / f"{i:02}.jpg"), Q=88)
            size = sum(path.stat().st_size for path in folder.iterdir()) / 20e6
            compare(
                f"20 gray JPEGs of 8 MP, {size:.1f} MB each",
                ("-c", REENCODE, folder, scratch / "baseline"),
                (*colorize, folder, "--out", scratch / "out", "--overwrite"),
                options.rounds,
            )
        if options.cold:
            one = scratch / "one.jpg"
            make_photograph(1152, 864, top=255, grain=5.5).jpegsave(str(one), Q=85)
            from colorizenet.modelfile import model_path

            compare(
                "one JPEG of 1 MP, cold",
                ("-c", LOAD, model_path("default")),
                (*colorize, one, "--out", scratch / "cold", "--overwrite"),
                3 * options.rounds,
            )
        if options.large:
            height = round((options.large * 1e6 * 3 / 4) ** 0.5)
            source = scratch / "large.tif"
            make_photograph(height * 4 // 3, height, top=65535, grain=2).tiffsave(str(source))
            compare(
                f"16-bit TIFF of {options.large} MP",
                ("-c", COPY, source, scratch / "copy.tif"),
                (*colorize, source, "--out", scratch / "large", "--overwrite"),
                options.rounds,
            )


if __name__ == "__main__":
    main()
