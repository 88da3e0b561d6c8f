"""Write the README's table of the models inside the package, and docs/models.md.

    python scripts/model_table.py PHOTOS    evaluate, then write both
    python scripts/model_table.py           write both from the stored measurements

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
from colorizenet.modelfile import load_model, model_path, shipped_models

ROOT = Path(__file__).parents[1]
MEASURED = ROOT / "docs" / "models" / "measured.json"
README = ROOT / "README.md"
PAGE = ROOT / "docs" / "models.md"
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
SETS = {"val-coco.tar": "COCO val2017"}
"""What sets of photos hold; others are called by the names of their files."""


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


def render_models(measured: dict[str, Any]) -> str:
    """The text of docs/models.md: a section for each model inside the package."""
    described = SETS.get(measured["set"], f"`{measured['set']}`")
    return (
        "<!-- Written by `make model-table`. -->\n\n# Models\n\n"
        "These models are inside the package, and `--model NAME` chooses one.\n"
        "`small` is `default` at half the file size, and `diverse` draws [variants](variants.md).\n"
        f"Measured on {measured['pictures']} photos of {described} by version "
        f"{measured['protocol']} of [the protocol](protocol.md), with 95 % intervals:\n\n"
        f"{render_rows(measured)}"
    ) + "".join(map(_render_model, shipped_models()))


def list_recipes(run: dict[str, Any]) -> list[str]:
    """The recipes of a run and of those that it started from, the first one first.

    Runs of the same recipe one after the other count once. ``run`` is a card, or what
    it says of another run.
    """
    first = run.get("init_from") or {}
    before = list_recipes(first.get("card", first)) if first else []
    recipe = run.get("recipe", "")
    return before if not recipe or before[-1:] == [recipe] else [*before, recipe]


def _render_model(name: str) -> str:
    loaded, file = load_model(name), model_path(name)
    card = loaded.card
    about = {"license": card.license, "limitations": card.limitations}
    if (described := MEASURED.with_name(f"{name}.json")).exists():  # newer than the file
        about |= json.loads(described.read_text())
    inputs = ", ".join(each.name for each in card.inputs)
    return f"""
## {name}

| | |
|---|---|
| recipes | {", then ".join(f"`{recipe}`" for recipe in list_recipes(vars(card)))} |
| size | {card.parameters / 1e6:.1f} million parameters, {file.stat().st_size / 1e6:.1f} MB |
| network input | {inputs}; short side of {card.size} px |
| last run | {card.pictures_seen:,} pictures; `colorizenet info {name}` prints those before it |
| SHA-256 | `{loaded.sha256}` |

**Terms.** {about["license"]}

**What it gets wrong.** {about["limitations"]}
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", nargs="?")
    options = parser.parse_args()
    if options.photos:
        MEASURED.write_text(json.dumps(measure(options.photos), indent=1) + "\n")
    measured = json.loads(MEASURED.read_text())
    README.write_text(update_page(README.read_text(encoding="utf-8"), measured), encoding="utf-8")
    PAGE.write_text(render_models(measured), encoding="utf-8")


if __name__ == "__main__":
    main()
