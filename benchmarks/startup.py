"""Measure the time to the first output: `colorizenet --help` against importing NumPy.

    python benchmarks/startup.py [--rounds 10]

Whole processes in alternation, so that other load on the machine affects all alike.
"""

import argparse
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python -c 'import numpy'": ["-c", "import numpy"],
    "colorizenet --help": ["-m", "colorizenet", "--help"],
    "colorizenet --version": ["-m", "colorizenet", "--version"],
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds + 1):  # the first warms the disk
        for name, command in COMMANDS.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, *command], stdout=subprocess.DEVNULL, check=True)
            seconds[name].append(time.perf_counter() - started)
    median = {name: statistics.median(of[1:]) for name, of in seconds.items()}
    baseline = next(iter(median.values()))
    for name, value in median.items():
        print(f"{name:28} {1000 * value:6.0f} ms  {value / baseline:5.2f}x")


if __name__ == "__main__":
    main()
