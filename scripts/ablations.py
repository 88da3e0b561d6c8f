"""Write the table of ablations in docs/experiments.md.

    python scripts/ablations.py BASELINE RUN... --photos PHOTOS [--limit N] [--size 128]
    python scripts/ablations.py

An ablation is a run that differs from the baseline in one thing. The first form
measures the last weights of each run folder on PHOTOS (what `colorizenet evaluate`
takes), stores the measurements in docs/ablations.json and writes the table. The second
form writes the table from the stored measurements.

Stronger colors increase most errors. So runs are compared twice: as they are, and with
the chroma of each run scaled to the colorfulness of the baseline.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import page_table

if TYPE_CHECKING:  # only measuring needs PyTorch
    from colorizenet.evaluation.results import Results
    from colorizenet.photosets import Photo

ROOT = Path(__file__).parents[1]
MEASURED = ROOT / "docs" / "ablations.json"
PAGE = ROOT / "docs" / "experiments.md"
BEGIN, END = (
    "<!-- The table below is written by scripts/ablations.py. -->\n",
    "<!-- End of the table. -->",
)
DISTANCE = "frechet_efficientnet_lite0"


def measure(runs: list[Path], photos: "list[Photo]", size: int) -> dict[str, Any]:
    """Metrics of each run. The first run is the baseline."""
    from colorizenet import Colorizer
    from colorizenet.errors import DataError
    from colorizenet.evaluation.matching import find_strength
    from colorizenet.evaluation.protocol import evaluate_rows
    from colorizenet.evaluation.rows import ModelRow
    from colorizenet.options import Options
    from colorizenet.training.export import export_run
    from colorizenet.training.metrics import build_set_metrics

    baseline = runs[0].name
    with tempfile.TemporaryDirectory() as folder:
        models, pictures_seen = {}, {}
        for run in runs:
            file = Path(folder) / f"{run.name}.onnx"
            card = export_run(run, file, checkpoint="last", name=run.name, size=size)
            models[run.name] = Colorizer(file, threads=1)
            pictures_seen[run.name] = card.pictures_seen
        unscaled = evaluate_rows(
            [ModelRow(name, model) for name, model in models.items()],
            photos,
            set_metrics=build_set_metrics([DISTANCE]),
        )
        target = unscaled.means[baseline]["colorfulness"]
        strengths = {}
        for name, model in models.items():
            try:
                strengths[name] = find_strength(name, model, photos, target)
            except DataError:  # the colorfulness is out of reach: use the largest strength
                strengths[name] = 2.0
        equal = evaluate_rows(
            [
                ModelRow(name, model, Options(strength=strengths[name]))
                for name, model in models.items()
            ],
            photos,
        )
    return {
        "pictures": len(unscaled.pictures),
        "baseline": baseline,
        "runs": {
            run.name: {
                "changed": list_changes(runs[0], run),
                "pictures_seen": pictures_seen[run.name],
                "unscaled": summarize(unscaled, run.name, baseline),
                "equal colorfulness": summarize(equal, run.name, baseline)
                | {"strength": strengths[run.name]},
            }
            for run in runs
        },
    }


def list_changes(baseline: Path, run: Path) -> dict[str, Any]:
    """Settings of a run that differ from the baseline's, except paths and intervals."""
    from colorizenet.training.config import differences, read_json

    changes = differences(read_json(baseline / "config.json"), read_json(run / "config.json"))
    left_out = ("validate_every", "checkpoint_every", "loss.vgg16")
    return {
        name: value
        for name, value in changes.items()
        if not name.startswith("data.") and name not in left_out
    }


def summarize(report: "Results", run: str, baseline: str) -> dict[str, Any]:
    """Mean metrics of a run and its comparison with the baseline."""
    mean = report.means[run]
    kept = {
        name: mean[name] for name in ("ciede2000", "psnr", "colorfulness", DISTANCE) if name in mean
    }
    comparison = report.compare(run, baseline)
    return kept | {
        "difference": comparison.difference,
        "interval": list(comparison.difference_interval),
        "share_better": comparison.wins,
    }


def render_runs(measured: dict[str, Any]) -> str:
    """A Markdown table with one line per run."""
    titles = ["run", "changed", "pictures", "CIEDE2000", "colorfulness", "Fréchet"]
    titles += ["CIEDE2000 minus the baseline's, at equal colorfulness", "photos better"]
    lines = [titles]
    for name, run in measured["runs"].items():
        is_baseline = name == measured["baseline"]
        settings = ", ".join(
            f"`{setting.replace('_', '-')} {_format_value(value)}`"
            for setting, value in run["changed"].items()
        )
        own, equal = run["unscaled"], run["equal colorfulness"]
        low, high = equal["interval"]
        lines.append(
            [
                f"`{name}`",
                "" if is_baseline else settings or "nothing",
                f"{run['pictures_seen']:,}",
                f"{own['ciede2000']:.2f}",
                f"{own['colorfulness']:.1f}",
                f"{own[DISTANCE]:.1f}",
                "" if is_baseline else f"{equal['difference']:+.2f} ({low:+.2f} to {high:+.2f})",
                "" if is_baseline else f"{equal['share_better']:.0%}",
            ]
        )
    return page_table.render_table(lines)


def _format_value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def update_page(page: str, measured: dict[str, Any]) -> str:
    """The text of the page with the table of these measurements."""
    return page_table.replace_between(page, BEGIN, END, render_runs(measured))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--photos")
    parser.add_argument("--limit", type=int)
    parser.add_argument(
        "--size", type=int, default=128, help="short side of the network input in pixels"
    )
    options = parser.parse_args()
    if bool(options.runs) != bool(options.photos):
        parser.error("give run folders and --photos, or neither")
    if options.runs:
        from colorizenet.photosets import list_photos

        photos = list_photos(options.photos)[: options.limit]
        MEASURED.write_text(
            json.dumps(measure(options.runs, photos, options.size), indent=1) + "\n"
        )
    PAGE.write_text(
        update_page(PAGE.read_text(encoding="utf-8"), json.loads(MEASURED.read_text())),
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
