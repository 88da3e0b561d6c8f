"""Measure training with two processes over gloo against one with as many threads.

    python benchmarks/distributed.py SHARDS [--pictures 1024] [--repeat 3]

Trains `encoder_unet` at 128 px with 32 pictures a step: in one process with two
threads, or in two under torchrun with one thread and 16 pictures each. Startup and the
validation at the end are subtracted: the figure is the extra time that twice as many
pictures take.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def measure_run(source: str, processes: int, pictures: int) -> float:
    """Seconds that a run of this many pictures takes, including its start."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            *(torchrun if processes > 1 else []),
            *(
                "-m",
                "colorizenet",
                "train",
                "encoder_unet",
                "--data.root",
                source,
                "--data.val",
                source,
            ),
            *(
                "--network.pretrained",
                "none",
                "--data.val-pictures",
                "2",
                "--out",
                str(Path(folder) / "run"),
            ),
            *("--batch-size", str(32 // processes), "--pictures", str(pictures)),
            *("--validate-every", str(pictures), "--checkpoint-every", str(2 * pictures)),
        ]
        environment = os.environ | {"OMP_NUM_THREADS": str(2 // processes)}
        started = time.perf_counter()
        subprocess.run(command, env=environment, check=True, capture_output=True)
        return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shards")
    parser.add_argument("--pictures", type=int, default=1024)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()

    rates: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(options.repeat):
        for processes, found in rates.items():
            short, long = (
                measure_run(options.shards, processes, n * options.pictures) for n in (1, 2)
            )
            found.append(options.pictures / (long - short))
    for processes, found in rates.items():
        print(
            f"{processes} process{'es' * (processes > 1)}: "
            f"{statistics.median(found):.1f} pictures/s ({found})"
        )
    ratios = [two / one for one, two in zip(*rates.values(), strict=True)]
    print(f"two processes are {statistics.median(ratios):.2f} times as fast as one")


if __name__ == "__main__":
    main()
