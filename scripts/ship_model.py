"""Put the network of a run into the package: export it, measure it, and list it.

    python scripts/ship_model.py RUN PHOTOS [--name default] [--checkpoint best|last]
        [--dtype fp16|int8] [--average-with RUN --alpha A]

PHOTOS is the set on which the metrics of the model card are measured, through the
command line. License, limitations, input size and strength come from
docs/models/NAME.json. Commit the result only when it ships, because every committed
model stays in the history.
"""

import argparse
import dataclasses
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from colorizenet.files import write_atomically
from colorizenet.training.export import export_run, replace_card

ROOT = Path(__file__).parents[1]
MODELS = ROOT / "src" / "colorizenet" / "models"


def measure(model: Path, photos: Path, file: Path) -> dict[str, float]:
    """Mean metrics of a model file, measured by benchmarks/quality.py."""
    command = [sys.executable, ROOT / "benchmarks" / "quality.py", photos]
    subprocess.run([*command, "--model", model, "--json", file], check=True)
    return json.loads(file.read_text())


def list_model(name: str, path: Path) -> None:
    """Add the model file and its SHA-256 to the index of the package."""
    index = MODELS / "index.json"
    listed = json.loads(index.read_text()) if index.exists() else {}
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    listed[name] = {"file": path.name, "sha256": sha256}
    write_atomically(index, (json.dumps(listed, indent=2) + "\n").encode())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--name", default="default")
    parser.add_argument("--checkpoint", choices=("best", "last"), default="best")
    parser.add_argument("--dtype", choices=("fp16", "int8"), default="fp16")
    parser.add_argument("--average-with", type=Path)
    parser.add_argument("--alpha", type=float, default=0.5)
    options = parser.parse_args()

    description = ROOT / "docs" / "models" / f"{options.name}.json"
    fields: dict[str, Any] = json.loads(description.read_text(encoding="utf-8"))
    fields["name"] = options.name
    settings: dict[str, Any] = {
        name: getattr(options, name) for name in ("checkpoint", "dtype", "average_with", "alpha")
    }
    path = MODELS / f"{options.name}.onnx"
    with tempfile.TemporaryDirectory() as folder:
        exported = Path(folder) / path.name
        card = export_run(options.run, exported, **settings, **fields)
        metrics = measure(exported, options.photos, Path(folder) / "metrics.json")
        replace_card(exported, dataclasses.replace(card, metrics=metrics))
        write_atomically(path, exported.read_bytes())
    list_model(options.name, path)
    print(f"{path} {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
