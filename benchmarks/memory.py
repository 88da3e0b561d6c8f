"""Measure the peak memory of evaluating 5,000 and 50,000 photos, in a process each.

    python benchmarks/memory.py [--size 64] [--counts 5000 50000]

The rows are `gray` and `truth`, the source is a tar shard of small JPEGs, and a JSON
report is written. Per photo, memory holds a name, a position in the shard, and eight
bytes per value.
"""

import argparse
import io
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import cv2
import numpy as np

PROGRAM = """
import resource, sys
from pathlib import Path
from colorizenet.evaluation.protocol import evaluate_rows
from colorizenet.evaluation.rows import build_reference_rows
from colorizenet.photosets import list_photos

pictures = list_photos(sys.argv[1])[: int(sys.argv[3])]
listed = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
report = evaluate_rows(build_reference_rows()[:2], pictures, picture_size=int(sys.argv[4]))
measured = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
report.to_json(sys.argv[2])
written = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(*(round(kib / 1024) for kib in (listed, measured, written)))
"""


def write_shard(path: Path, count: int) -> None:
    generator = np.random.default_rng(0)
    encoded = []
    for _ in range(32):
        small = generator.integers(0, 256, (5, 5, 3), np.uint8)
        encoded.append(
            cv2.imencode(".jpg", cv2.resize(small, (96, 80), interpolation=cv2.INTER_CUBIC))[
                1
            ].tobytes()
        )
    with tarfile.open(path, "w") as tar:
        for number in range(count):
            member = tarfile.TarInfo(f"{number:06}.jpg")
            member.size = len(encoded[number % len(encoded)])
            tar.addfile(member, io.BytesIO(encoded[number % len(encoded)]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--counts", type=int, nargs="+", default=[5_000, 50_000])
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        source, report = Path(folder, "many.tar"), Path(folder, "report.json")
        write_shard(source, max(options.counts))
        print("peak MiB after  listing  measuring  writing")
        for count in options.counts:
            words = [sys.executable, "-c", PROGRAM, source, report, str(count), str(options.size)]
            result = subprocess.run(words, check=True, capture_output=True, text=True)
            listed, measured, written = result.stdout.split()
            print(f"{count:>12,}    {listed:>7}  {measured:>9}  {written:>7}", flush=True)


if __name__ == "__main__":
    main()
