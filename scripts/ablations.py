"""Write the table of ablations in docs/experiments.md: runs of one length, each with one thing changed.

    python scripts/ablations.py BASELINE RUN... --pictures PICTURES [--limit N] [--size 128]
    python scripts/ablations.py

The first measures the last weights of each run folder on PICTURES (what `colorizenet evaluate` takes), keeps the
figures in docs/ablations.json and writes the table; the second writes it from the figures that are kept.

What makes colors stronger makes most errors larger, so that runs are compared twice: as they are, and with the
chroma of each multiplied so that all are as colorful as the baseline.
"""

import argparse
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import page_table
from colorizenet import Colorizer
from colorizenet.errors import DataError
from colorizenet.evaluation.protocol import Row, evaluate_rows, row_of_model, strength_for
from colorizenet.evaluation.report import Report
from colorizenet.photosets import Photo, list_photos
from colorizenet.training.config import RunConfig, differences, from_json
from colorizenet.training.export import export_run
from colorizenet.training.losses.perceptual import set_metrics

ROOT = Path(__file__).parents[1]
MEASURED = ROOT / "docs" / "ablations.json"
PAGE = ROOT / "docs" / "experiments.md"
BEGIN, END = (
    "<!-- The table below is written by scripts/ablations.py. -->\n",
    "<!-- End of the table. -->",
)
DISTANCE = "frechet_efficientnet_lite0"


def measure(runs: list[Path], pictures: list[Photo], size: int) -> dict[str, Any]:
    """The figures of each run, the first of which is the baseline."""
    baseline = from_json(runs[0] / "config.json")
    with tempfile.TemporaryDirectory() as folder:
        models, lengths = {}, {}
        for run in runs:
            file = Path(folder) / f"{run.name}.onnx"
            card = export_run(
                run, file, checkpoint="last", weights="half", name=run.name, size=size
            )
            models[run.name], lengths[run.name] = Colorizer(file, threads=1), card.pictures_seen
        as_is = evaluate_rows(rows(models, {}), pictures, set_metrics=set_metrics([DISTANCE]))
        wanted = as_is.means[runs[0].name]["colorfulness"]
        strengths = {}
        for name, model in models.items():
            try:
                strengths[name] = strength_for(name, model, pictures, wanted)
            except DataError:  # too pale for it: as near as it gets
                strengths[name] = 2.0
        equal = evaluate_rows(rows(models, strengths), pictures)
    return {
        "pictures": len(as_is.pictures),
        "baseline": runs[0].name,
        "runs": {
            run.name: {
                "changed": changed(baseline, from_json(run / "config.json")),
                "seen": lengths[run.name],
                "as it is": figures(as_is, run.name, runs[0].name),
                "equally colorful": figures(equal, run.name, runs[0].name)
                | {"strength": strengths[run.name]},
            }
            for run in runs
        },
    }


def rows(models: Mapping[str, Colorizer], strengths: Mapping[str, float]) -> list[Row]:
    """A row for each model, with its chroma multiplied."""
    return [row_of_model(name, model, strengths.get(name, 1.0)) for name, model in models.items()]


def changed(baseline: RunConfig, run: RunConfig) -> dict[str, Any]:
    """The settings that a run does not share with the baseline, but for where things lie."""
    return {
        name: value
        for name, value in differences(baseline, run).items()
        if not name.startswith("data.")
        and name not in ("validate_every", "checkpoint_every", "task.vgg16")
    }


def figures(report: Report, run: str, baseline: str) -> dict[str, Any]:
    mean = report.means[run]
    kept = {
        name: mean[name] for name in ("ciede2000", "psnr", "colorfulness", DISTANCE) if name in mean
    }
    against = report.compare(run, baseline)
    return kept | {
        "difference": against.difference,
        "interval": list(against.difference_interval),
        "wins": against.wins,
    }


def table(measured: dict[str, Any]) -> str:
    """The figures as Markdown, a line a run."""
    titles = ["run", "changed", "pictures", "CIEDE2000", "colorfulness", "Fréchet"]
    titles += ["CIEDE2000 less the baseline's, equally colorful", "pictures won"]
    lines = [titles]
    for name, run in measured["runs"].items():
        is_baseline = name == measured["baseline"]
        settings = ", ".join(
            f"`{setting} {_short(value)}`" for setting, value in run["changed"].items()
        )
        own, equal = run["as it is"], run["equally colorful"]
        low, high = equal["interval"]
        lines.append(
            [
                f"`{name}`",
                "" if is_baseline else settings or "nothing",
                f"{run['seen']:,}",
                f"{own['ciede2000']:.2f}",
                f"{own['colorfulness']:.1f}",
                f"{own[DISTANCE]:.1f}",
                "" if is_baseline else f"{equal['difference']:+.2f} ({low:+.2f} to {high:+.2f})",
                "" if is_baseline else f"{equal['wins']:.0%}",
            ]
        )
    return page_table.markdown(lines)


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def with_table(page: str, measured: dict[str, Any]) -> str:
    """A page whose table is that of these figures."""
    return page_table.between(page, BEGIN, END, table(measured))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--pictures")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--size", type=int, default=128, help="short side of what the networks see")
    options = parser.parse_args()
    if bool(options.runs) != bool(options.pictures):
        parser.error("give run folders and --pictures, or neither")
    if options.runs:
        pictures = list_photos(options.pictures)[: options.limit]
        MEASURED.write_text(
            json.dumps(measure(options.runs, pictures, options.size), indent=1) + "\n"
        )
    PAGE.write_text(
        with_table(PAGE.read_text(encoding="utf-8"), json.loads(MEASURED.read_text())),
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
