"""Colorize odd, damaged and hostile files, and check that nothing breaks.

    python scripts/fuzz.py [--cases 20000] [--first 0] [--seed 0] [--out FOLDER]

Small files of each format are altered at random: the structures of their metadata
(directories of EXIF and TIFF, XMP, PNG chunks, JPEG segments, boxes, Photoshop's
resources) and their bytes. Each is opened, decoded, colorized without a network and
encoded again, whole or in strips, in a process of its own. It must end in a result or
in one ImageError within 5 s of processor time and 1 GiB of memory, and no decoder may
have reported an error about a file that gives a result.

Case number N is the same in every run with the same seed, so a run can be continued
with --first. Files that violate one of these invariants are written to FOLDER. The exit
status is 1 if there was one.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from colorizenet.imaging.reading import read_image
from fuzzing.containers import draw_case
from fuzzing.seeds import make_seed_files
from fuzzing.supervision import Outcome, Supervisor

SAMPLE = Path(__file__).parents[1] / "samples" / "cat.jpg"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("build/fuzz"), help="for the findings")
    options = parser.parse_args()
    files = make_seed_files(read_image(SAMPLE).pixels[:192:4, :256:4].copy())
    counts, slowest, largest = Counter[str](), (0.0, ""), (0, "")
    started = time.monotonic()

    def summarize() -> str:
        minutes, total = (time.monotonic() - started) / 60, sum(counts.values())
        return (
            f"{total} cases of {len(files)} files in {minutes:.1f} min: {dict(counts)}; "
            f"slowest {slowest[0]:.2f} s ({slowest[1]}), most memory {largest[0] >> 20} MiB "
            f"({largest[1]})"
        )

    with tempfile.TemporaryDirectory() as folder, Supervisor(Path(folder)) as supervisor:
        for number in range(options.first, options.first + options.cases):
            rng = random.Random(f"{options.seed} {number}")
            name, content = draw_case(files, rng)
            label = f"case-{number}-{name}"
            outcome: Outcome = supervisor.colorize(label, content, rng)
            counts[outcome.kind] += 1
            slowest = max(slowest, (outcome.seconds, label))
            largest = max(largest, (outcome.memory, label))
            if outcome.kind == "finding":
                options.out.mkdir(parents=True, exist_ok=True)
                (options.out / label).write_bytes(content)
                print(f"{options.out / label}: {outcome.reason}", flush=True)
            if sum(counts.values()) % 500 == 0:
                print(summarize(), flush=True)
    print(summarize())
    sys.exit(counts["finding"] > 0)


if __name__ == "__main__":
    main()
