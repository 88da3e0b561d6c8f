"""Measure the download that colorizing a photo needs: the wheels of this package and
of its extra `cpu`.

python benchmarks/install_size.py
"""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "pip",
            "wheel",  # download leaves out the package that a folder holds
            "--quiet",
            "--no-cache-dir",
            "--wheel-dir",
            folder,
            f"{ROOT}[cpu]",
        ]
        subprocess.run(command, check=True)
        sizes = {path.name: path.stat().st_size / 1e6 for path in Path(folder).iterdir()}
    for name, size in sorted(sizes.items(), key=lambda item: -item[1]):
        print(f"{size:8.1f} MB  {name}")
    print(f"{sum(sizes.values()):8.1f} MB  in total")


if __name__ == "__main__":
    main()
