"""Put the network of a run into the package: export, measure through the command line, describe, list.

    python scripts/ship_model.py RUN PICTURES [--name default] [--checkpoint best|last] [--weights half|byte]
                                            [--blend RUN --share S]

PICTURES is the validation set the card's figures are measured on. License, limits, size and
strength come from docs/models/NAME.json. Commit the result only when it ships: every model stays in the history.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from colorizenet.training.export import export_run

ROOT = Path(__file__).parents[1]
MODELS = ROOT / "src" / "colorizenet" / "models"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--name", default="default")
    parser.add_argument("--checkpoint", choices=("best", "last"), default="best")
    parser.add_argument("--weights", choices=("half", "byte"), default="half")
    parser.add_argument("--blend", type=Path)
    parser.add_argument("--share", type=float, default=0.5)
    options = parser.parse_args()

    described = json.loads(
        (ROOT / "docs" / "models" / f"{options.name}.json").read_text(encoding="utf-8")
    )
    described["name"] = options.name
    stored = {"checkpoint": options.checkpoint, "weights": options.weights}
    stored |= {"blend": options.blend, "share": options.share}
    with tempfile.TemporaryDirectory() as folder:
        plain, figures = Path(folder) / "plain.onnx", Path(folder) / "figures.json"
        export_run(options.run, plain, **stored, **described)
        command = [sys.executable, ROOT / "benchmarks" / "quality.py", options.pictures]
        subprocess.run([*command, "--model", plain, "--json", figures], check=True)
        described["figures"] = json.loads(figures.read_text())
    path = MODELS / f"{options.name}.onnx"
    export_run(options.run, path, **stored, **described)

    index = MODELS / "index.json"
    listed = json.loads(index.read_text()) if index.exists() else {}
    listed[options.name] = {
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    index.write_text(json.dumps(listed, indent=2) + "\n")
    print(f"{path} {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
