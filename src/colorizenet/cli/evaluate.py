"""``colorizenet evaluate``: measure models on color photographs."""

import dataclasses
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from colorizenet.cli import console
from colorizenet.cli.app import (
    Flag,
    app,
    check_target,
    expand_settings,
    explain_interruption,
    require_training,
)
from colorizenet.errors import ConfigError, quote
from colorizenet.options import MAX_HINTS, MAX_VARIANTS, Options, choices

Metric = Literal[
    "lpips_alex",
    "lpips_vgg",
    "frechet_inception",
    "frechet_efficientnet_lite0",
    "frechet_vgg16",
]


_NO_DEFAULT = Parameter(show_default=False)
"""For tuples, whose defaults would be written in Python."""


@app.command
@expand_settings
def evaluate(
    source: str,
    /,
    *,
    model: Annotated[tuple[str, ...], _NO_DEFAULT] = ("default",),
    predictions: Annotated[tuple[str, ...], _NO_DEFAULT] = (),
    metric: Annotated[tuple[Metric, ...], _NO_DEFAULT] = (),
    metric_weights: Annotated[tuple[str, ...], _NO_DEFAULT] = (),
    split: Literal["train", "val", "test"] | None = None,
    options: Options = Options(),
    match_colorfulness: Annotated[float | None, Parameter(validator=Number(gt=0))] = None,
    hints: str | None = None,
    variants: Annotated[int, Parameter(validator=Number(gte=1, lte=MAX_VARIANTS))] = 1,
    diversity: Annotated[float, Parameter(validator=Number(gte=0, lte=2))] = 1.0,
    seed: Annotated[int, Parameter(validator=Number(gte=0, lt=2**63))] = 0,
    picture_size: Annotated[int, Parameter(validator=Number(gte=32, lte=4096))] = 256,
    full: Flag = False,
    limit: Annotated[int | None, Parameter(validator=Number(gte=1))] = None,
    device: str = "cpu",
    jobs: Annotated[int | None, Parameter(validator=Number(gte=1))] = None,
    report_json: Path | None = None,
    report_html: Path | None = None,
) -> None:
    """Measure models, and pictures from other tools, on color photographs.

    The photographs are turned gray, colorized, and compared with the originals, as
    docs/protocol.md defines. Prints a table with a column for each model. Reference
    columns come first: gray (no color), truth (the true colors through the same
    pipeline), and oracle 4x and 8x (the true colors at low resolution).

    Parameters
    ----------
    source
        Folder of color photographs, searched recursively, or .tar shards: one, a folder
        of them, or a brace pattern.
    model
        Name of a model inside the package, or an ONNX file exported by ColorizeNet.
        Repeat it to compare models. By default the model named default.
    predictions
        NAME=DIR: pictures colorized by another tool, with the photographs' file names
        (the extension may differ). Repeat it to compare tools.
    metric
        A further metric: LPIPS of AlexNet or VGG16, or a Fréchet distance.
        frechet_inception is the standard FID. Needs the extra `train`. Repeat it for
        more.
    metric_weights
        NAME=FILE: weights of a network of these metrics (alexnet, vgg16, lpips_alex,
        lpips_vgg, inception, efficientnet_lite0). By default they are downloaded or
        come with the extra.
    split
        Use only this split of the photographs, split as for training.
    match_colorfulness
        Choose the strength of each model, up to 2, so that its pictures have this mean
        colorfulness. Replaces --strength. Comparisons are fairer this way, because
        stronger colors raise most errors.
    hints
        Numbers of hints, such as 0,1,2,5,10,20,50,100: give each model so many colors
        of the photograph, at random places, and print what it gains.
    variants
        Let every model draw so many colorings, and print the error of one, of the best
        and of the mean, and how much they differ. Needs models that draw (recipe
        diffusion).
    diversity
        How much the variants differ, from 0 to 2.
    seed
        Seed of the places of the hints, and of the variants.
    picture_size
        Side of the center squares that are compared, in pixels.
    full
        Compare whole photographs at their own size.
    limit
        Use only the first N photographs.
    device
        Where the networks run: cpu, cuda, or another device that ONNX Runtime offers.
    jobs
        Number of photographs measured at a time. By default one per core.
    report_json
        Write all values, confidence intervals and comparisons to this file.
    report_html
        Write a page with tables, charts and example pictures to this file.
    """
    folders = _parse_paths("--predictions", "NAME=DIR", predictions)
    files = _parse_paths("--metric-weights", "NAME=FILE", metric_weights)
    if picture_size % 2:
        raise ConfigError(
            f"--picture-size {picture_size} is odd; give an even number of pixels, such as 256"
        )
    if match_colorfulness is not None and options.strength != Options().strength:
        raise ConfigError("--match-colorfulness chooses the strength; leave out --strength")
    counts = _parse_counts(hints)
    if counts and match_colorfulness is not None:
        raise ConfigError("--hints and --match-colorfulness exclude each other; leave one out")
    if variants > 1 and (counts or match_colorfulness is not None):
        raise ConfigError(
            "--variants excludes --hints and --match-colorfulness; leave out one or the others"
        )
    if variants == 1 and diversity != 1:
        raise ConfigError("--diversity is for --variants; add --variants 8, or leave it out")
    options = dataclasses.replace(options, diversity=diversity)
    for path in (report_json, report_html):
        if path:
            check_target(path)

    from colorizenet.colorizer import Colorizer
    from colorizenet.evaluation.protocol import evaluate as run_evaluation

    colorizers = {
        Path(name).stem if name.endswith(".onnx") else name: Colorizer(
            name, device=device, threads=1
        )
        for name in model
    }
    if len(colorizers) < len(model) or colorizers.keys() & folders.keys():
        raise ConfigError(
            "two models or predictions have the same name; rename a file, or choose another "
            "NAME for --predictions"
        )
    further = _build_metrics(metric, files, device)
    settings = {
        "model": model,
        "predictions": predictions,
        "metric": metric,
        "metric_weights": metric_weights,
        "split": split,
        **{choice.name: getattr(options, choice.name) for choice in choices(Options)},
        "variants": None if variants == 1 else variants,
        "match_colorfulness": match_colorfulness,
        "hints": hints,
        "seed": seed,
        "picture_size": None if full else picture_size,
        "full": full,
        "limit": limit,
        "device": None if device == "cpu" else device,
    }

    with (
        console.progress("measuring") as progress,
        explain_interruption(lambda: "no report was written; run the same command again"),
    ):
        bar = progress.add_task("", total=None)
        report = run_evaluation(
            colorizers,
            source,
            options=options,
            split=split,
            predictions=folders,
            match_colorfulness=match_colorfulness,
            hints=counts,
            variants=variants,
            seed=seed,
            picture_size=picture_size,
            full=full,
            limit=limit,
            jobs=jobs,
            command=_format_command(source, settings),
            on_progress=lambda done, total: progress.update(bar, completed=done, total=total),
            **further,
        )
    for message in report.failed + report.skipped:
        console.print_message(message)
    for name in () if match_colorfulness is None else colorizers:
        if name in report.about:  # the others cannot be that colorful
            strength = report.about[name]["strength"]
            console.print_message(f"{name} has --strength {strength:.4g}")
    print(f"{len(report.pictures)} photographs, protocol {report.protocol}")
    if counts:
        from colorizenet.evaluation.hints import build_hint_table

        lines = _format_table(*build_hint_table(report))
    elif variants > 1:
        from colorizenet.evaluation.variants import build_variant_table, describe_diversity

        lines = (*_format_table(*build_variant_table(report)), *describe_diversity(report))
    else:
        lines = (*_format_table(*report.build_table()), *report.describe_comparisons())
    for line in lines:
        print(line)
    unwritten = _write_reports([(report_json, report.to_json), (report_html, report.to_html)])
    if report.failed or unwritten:
        sys.exit(1)


def _write_reports(reports: Sequence[tuple[Path | None, Callable[[Path], None]]]) -> int:
    """Write the reports that have a path. Returns the number of those that failed."""
    failed = 0
    for path, write in reports:
        try:
            if path:
                write(path)
        except OSError as error:
            failed += 1
            reason = quote(error.strerror or error)
            console.print_message(
                f"{quote(path)} cannot be written ({reason}); free space, or name another file"
            )
    return failed


def _build_metrics(
    names: tuple[Metric, ...], weights: dict[str, Path], device: str
) -> dict[str, Any]:
    """The metrics that need the extra ``train``, as arguments of the evaluation."""
    if not names:
        return {}
    require_training()
    from colorizenet.training.metrics import build_pair_metrics, build_set_metrics

    pairs = [name for name in names if name.startswith("lpips")]
    sets = [name for name in names if name.startswith("frechet")]
    torch_device = "cuda" if device == "cuda" else "cpu"  # other names are ONNX Runtime's
    return {
        "pair_metrics": build_pair_metrics(pairs, weights=weights, device=torch_device),
        "set_metrics": build_set_metrics(sets, weights=weights, device=torch_device),
    }


def _parse_paths(flag: str, form: str, given: tuple[str, ...]) -> dict[str, Path]:
    """``NAME=PATH`` arguments by name. Names must differ."""
    paths: dict[str, Path] = {}
    for argument in given:
        name, _, path = argument.partition("=")
        if not (name and path):
            raise ConfigError(f"{flag} {quote(argument)} has no name or no path; give {form}")
        if name in paths:
            raise ConfigError(f"{flag} gives the name {quote(name)} twice; choose another")
        paths[name] = Path(path)
    return paths


def _parse_counts(text: str | None) -> list[int]:
    """The numbers of ``--hints``, without repetitions, in order."""
    parts = [] if text is None else text.split(",")
    try:
        counts = sorted({int(part) for part in parts})
    except ValueError as error:
        raise ConfigError(
            f"--hints {quote(text)} are no numbers; give some such as 0,1,2,5,10"
        ) from error
    if counts and not 0 <= counts[0] <= counts[-1] <= MAX_HINTS:
        raise ConfigError(f"--hints {quote(text)} are not all from 0 to {MAX_HINTS}")
    return counts


def _format_command(source: str, settings: dict[str, Any]) -> str:
    """The command that repeats an evaluation; defaults are left out."""
    words = ["colorizenet", "evaluate", source]
    defaults: dict[str, Any] = {choice.name: choice.default for choice in choices(Options)}
    for name, value in settings.items():
        if value != defaults.get(name):
            words += _format_flag(f"--{name.replace('_', '-')}", value)
    return shlex.join(words)


def _format_flag(flag: str, value: Any) -> Iterator[str]:
    for each in value if isinstance(value, tuple) else (value,):
        if each is True:
            yield flag
        elif each is not None and each is not False:
            yield from (flag, str(each))


def _format_table(headings: list[str], lines: list[list[str]]) -> Iterator[str]:
    """Lines of text, with the first column aligned left and the others right."""
    rows = [headings, *lines]
    widths = [max(len(row[i]) for row in rows) for i in range(len(headings))]
    for first, *others in rows:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        yield "  ".join([first.ljust(widths[0]), *cells])
