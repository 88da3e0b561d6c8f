"""Write the README's table of shipped models from an evaluation of them.

    python scripts/model_table.py PICTURES      measure, keep the figures in docs/models/measured.json, write the table
    python scripts/model_table.py               write the table from the figures that are kept

PICTURES is what `colorizenet evaluate` takes: the set that the figures are about.
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


def measure(pictures: str) -> dict[str, Any]:
    """What `colorizenet evaluate` says of every shipped model, without the single pictures."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        models = [word for name in shipped_models() for word in ("--model", name)]
        command = [
            sys.executable,
            "-m",
            "colorizenet",
            "evaluate",
            pictures,
            *models,
            "--report-json",
            report,
        ]
        subprocess.run(command, check=True)
        found = json.loads(report.read_text())
    kept = ("protocol", "colorizenet", "pictures", "rows", "mean", "interval", "photographs")
    return {"set": Path(pictures).name} | {name: found[name] for name in kept}


def table(measured: dict[str, Any]) -> str:
    """The figures as Markdown: a line a row, means with the half width of their 95 % intervals."""
    titles = [
        "",
        *COLUMNS.values(),
        f"colorfulness (the photographs: {measured['photographs']['colorfulness']:.1f})",
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
    return page_table.markdown(lines)


def with_table(readme: str, measured: dict[str, Any]) -> str:
    """A README whose table is that of these figures."""
    return page_table.between(readme, BEGIN, END, table(measured))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pictures", nargs="?")
    options = parser.parse_args()
    if options.pictures:
        MEASURED.write_text(json.dumps(measure(options.pictures), indent=1) + "\n")
    README.write_text(
        with_table(README.read_text(encoding="utf-8"), json.loads(MEASURED.read_text())),
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
