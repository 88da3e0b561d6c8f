"""Make the table and the figure of a paper from a report of ``colorizenet evaluate``.

    python examples/paper.py report.json paper --photos PLACES --model MODEL.onnx ...

The folder ``paper`` gets

    table.tex      means with half the width of their 95 % intervals, for booktabs
    table.csv      the same means, and the ends of the intervals
    pictures.csv   every value of every photo, for statistics of your own
    figure.png     photos in rows: gray, each model, the photo itself
    figure.tex     the figure with its caption

The photos of the figure are a random sample of those in the report; another ``--seed``
takes others. They are colorized with the strength, size and tta of the report. Without
``--photos`` there is no figure.
"""

import argparse
import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from colorizenet import Colorizer, Image, Options, write_image
from colorizenet.errors import ColorizeNetError, ConfigError, quote
from colorizenet.evaluation.protocol import evaluate_rows
from colorizenet.evaluation.results import format_title, format_value
from colorizenet.evaluation.rows import (
    BASELINE,
    MODEL,
    ModelRow,
    build_reference_rows,
    describe_options,
)
from colorizenet.files import write_atomically
from colorizenet.photosets import find_photos, list_photos

GAP = 4
"""White pixels between two pictures of the figure."""


def main(arguments: list[str] | None = None) -> None:
    """Write all files. Exits with status 2 for an error."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("report", type=Path, help="file of evaluate --report-json")
    parser.add_argument("folder", type=Path, help="folder for what is written")
    parser.add_argument("--photos", help="what was evaluated, for the figure")
    parser.add_argument("--model", action="append", default=[], help="a model of the figure")
    parser.add_argument("--rows", type=int, default=6, help="photos in the figure")
    parser.add_argument("--seed", type=int, default=0, help="choice of these photos")
    given = parser.parse_args(arguments)
    try:
        report = read_report(given.report)
        given.folder.mkdir(parents=True, exist_ok=True)
        files = {"table.tex": render_latex(report), "table.csv": render_csv(report)}
        files["pictures.csv"] = render_values(report)
        if given.photos:
            names, lines = draw_figure(
                report, given.photos, given.model, rows=given.rows, seed=given.seed
            )
            write_image(given.folder / "figure.png", Image(np.vstack(lines)[:-GAP, :-GAP]))
            files["figure.tex"] = render_figure(names, len(lines), given.seed)
        for name, text in files.items():
            write_atomically(given.folder / name, text.encode())
    except ColorizeNetError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    print(given.folder)


def read_report(path: Path) -> dict[str, Any]:
    """The content of a report. Raises ConfigError."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        if {"rows", "mean", "interval", "per_picture", "settings"} <= report.keys():
            return report
        reason = "it has other keys"
    except (OSError, ValueError, AttributeError) as error:
        reason = quote(error)
    raise ConfigError(
        f"{quote(path)} is no report ({reason}); make one with evaluate --report-json"
    )


def list_rows(report: dict[str, Any]) -> list[str]:
    """The rows of the table: the gray input, models, and other software."""
    kinds = {row: about.get("kind") for row, about in report["rows"].items()}
    return [row for row, kind in kinds.items() if row == "gray" or kind in (MODEL, BASELINE)]


def list_metrics(report: dict[str, Any]) -> list[str]:
    """The metrics of the table, without variants of the colorfulness."""
    means = report["mean"]["gray"]
    return [name for name in means if not name.startswith(("delta_", "colorfulness_"))]


def render_latex(report: dict[str, Any]) -> str:
    """The table as LaTeX: a line for each row, for the package booktabs."""
    metrics = list_metrics(report)
    titles = [escape(format_title(name).replace("\N{NO-BREAK SPACE}", " ")) for name in metrics]
    lines = [
        f"% {report['pictures']} photographs, protocol {report['protocol']}, "
        f"ColorizeNet {report['colorizenet']}",
        f"% {report['settings'].get('command', '')}",
        rf"\begin{{tabular}}{{l{'r' * len(metrics)}}}",
        r"\toprule",
        " & ".join(["", *titles]) + r" \\",
        r"\midrule",
    ]
    for row in list_rows(report):
        cells = [format_cell(report, row, name) for name in metrics]
        lines.append(" & ".join([escape(row), *cells]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def format_cell(report: dict[str, Any], row: str, metric: str) -> str:
    """A mean, with half the width of its interval where there is one."""
    mean = report["mean"][row].get(metric)
    if mean is None:
        return ""
    interval = report["interval"][row].get(metric)
    value = format_value(float(mean)).replace("∞", r"$\infty$")
    if interval is None or not np.isfinite(float(mean)):
        return value
    decimals = len(value.partition(".")[2])
    return rf"{value} $\pm$ {(float(interval[1]) - float(interval[0])) / 2:.{decimals}f}"


def escape(text: str) -> str:
    """Text in LaTeX."""
    special = {each: f"\\{each}" for each in "&%$#_{}"} | {"\\": r"\textbackslash{}"}
    special |= {"↓": r"$\downarrow$", "↑": r"$\uparrow$", "Δ": r"$\Delta$", "*": r"$^*$"}
    return "".join(special.get(each, each) for each in text)


def render_csv(report: dict[str, Any]) -> str:
    """The table as CSV: a line for each row and metric."""

    def iterate_lines() -> Iterator[Sequence[object]]:
        yield "row", "metric", "mean", "low", "high", "pictures"
        for row in list_rows(report):
            for metric in list_metrics(report):
                if metric in report["mean"][row]:
                    interval = report["interval"][row].get(metric, ("", ""))
                    yield row, metric, report["mean"][row][metric], *interval, report["pictures"]

    return format_csv(iterate_lines())


def render_values(report: dict[str, Any]) -> str:
    """Every value of every photo as CSV."""

    def iterate_lines() -> Iterator[Sequence[object]]:
        yield "photo", "row", "metric", "value"
        for values in report["per_picture"]:
            for row in list_rows(report):
                for metric, value in values[row].items():
                    yield values["name"], row, metric, value

    return format_csv(iterate_lines())


def format_csv(lines: Iterator[Sequence[object]]) -> str:
    """Lines of CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()


def draw_figure(
    report: dict[str, Any], photos: str, models: list[str], *, rows: int, seed: int
) -> tuple[list[str], list[np.ndarray]]:
    """The columns of the figure, and the pixels of each photo's row of pictures.

    Raises ``ConfigError`` if none of the photos of the report is there.
    """
    split, side = report["settings"]["split"], report["settings"]["picture_size"]
    named = {
        photo.name: photo
        for photo in (find_photos(photos, split) if split else list_photos(photos))
    }
    measured = [values["name"] for values in report["per_picture"] if values["name"] in named]
    if not measured:
        raise ConfigError(f"{quote(photos)} has no photo of the report; name what was evaluated")
    order = np.random.default_rng(seed).permutation(len(measured))[:rows]
    chosen = [named[measured[index]] for index in sorted(order)]
    columns = [row for row in build_reference_rows() if row.name == "gray"]
    for model in models:
        name = Path(model).stem
        columns.append(ModelRow(name, Colorizer(model), read_options(report, name)))
    found = evaluate_rows(columns, chosen, picture_size=side or 256, jobs=1)
    names = [*(row.name for row in columns), "photograph"]
    lines = []
    for name in found.pictures:
        pictures = found.render(name)
        lines.append(np.hstack([add_gap(pictures[column]) for column in names]))
    return names, lines


def read_options(report: dict[str, Any], model: str) -> Options:
    """The options that a model was evaluated with.

    They are those of the model's row, where the strength can be one of its own, or else
    those of the whole evaluation.
    """
    about = report["settings"] | report["rows"].get(model, {})
    names = describe_options(Options())
    return Options(**{name: about[name] for name in names if name in about})


def add_gap(picture: np.ndarray) -> np.ndarray:
    """A picture with white pixels on its right and below."""
    return np.pad(picture, ((0, GAP), (0, GAP), (0, 0)), constant_values=255)


def render_figure(names: list[str], count: int, seed: int) -> str:
    """The figure of ``count`` photos as LaTeX."""
    columns = ", ".join(escape(name) for name in names)
    return "\n".join(
        [
            r"\begin{figure}",
            r"\includegraphics[width=\linewidth]{figure.png}",
            rf"\caption{{From left to right: {columns}. "
            rf"The {count} photos are a random sample (seed {seed}) of the test photos.}}",
            r"\end{figure}",
            "",
        ]
    )


if __name__ == "__main__":
    main()
