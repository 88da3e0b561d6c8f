"""Write the README's table of the models inside the package.

    python scripts/model_table.py PHOTOS    evaluate, then write the table
    python scripts/model_table.py           write the table from the stored measurements

PHOTOS is what `colorizenet evaluate` takes. The measurements are stored in
docs/models/measured.json.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import page_table
from colorizenet.modelfile import shipped_models

ROOT = Path(__file__).parents[1]
MEASURED = ROOT / "docs" / "models" / "measured.json"
README = ROOT / "README.md"
BEGIN, END = (
    "<!-- The table below is written by `make model-table`. -->\n",
    "<!-- End of the table. -->",
)
COLUMNS = {
    "ciede2000": "CIEDE2000 ↓",
    "psnr": "PSNR [dB] ↑",
    "ssim": "SSIM ↑",
    "bleeding": "bleeding ↓",
}


def measure(photos: str) -> dict[str, Any]:
    """Evaluate the models of the package. The values of single photos are left out."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        models = [word for name in shipped_models() for word in ("--model", name)]
        command = [
            sys.executable,
            "-m",
            "colorizenet",
            "evaluate",
            photos,
            *models,
            "--report-json",
            report,
        ]
        subprocess.run(command, check=True)
        found = json.loads(report.read_text())
    kept = ("protocol", "colorizenet", "pictures", "rows", "mean", "interval", "photographs")
    return {"set": Path(photos).name} | {name: found[name] for name in kept}


def render_rows(measured: dict[str, Any]) -> str:
    """A Markdown table of means, each with half the width of its 95 % interval."""
    titles = [
        "",
        *COLUMNS.values(),
        f"colorfulness (photos: {measured['photographs']['colorfulness']:.1f})",
    ]
    lines = [titles]
    for row, mean in measured["mean"].items():
        cells = [f"`{row}`"]
        for name in (*COLUMNS, "colorfulness"):
            value, interval = mean[name], measured["interval"][row][name]
            if isinstance(value, str):
                cells.append("∞" if value == "inf" else value)
                continue
            digits = 3 if name == "ssim" else 2
            half = (float(interval[1]) - float(interval[0])) / 2
            cells.append(f"{value:.{digits}f} ± {half:.{digits}f}")
        lines.append(cells)
    return page_table.render_table(lines)


def update_page(readme: str, measured: dict[str, Any]) -> str:
    """The text of the README with the table of these measurements."""
    return page_table.replace_between(readme, BEGIN, END, render_rows(measured))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", nargs="?")
    options = parser.parse_args()
    if options.photos:
        MEASURED.write_text(json.dumps(measure(options.photos), indent=1) + "\n")
    README.write_text(
        update_page(README.read_text(encoding="utf-8"), json.loads(MEASURED.read_text())),
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
