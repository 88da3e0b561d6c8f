"""``colorizenet evaluate``: measure models on color photographs."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import cyclopts
from cyclopts import Parameter

from colorizenet.cli import console
from colorizenet.cli.app import Flag, app, require_training
from colorizenet.errors import ConfigError, quote

if TYPE_CHECKING:
    pass


@app.command
def evaluate(
    source: str,
    /,
    *,
    model: tuple[str, ...] = ("default",),
    against: tuple[str, ...] = (),
    also: tuple[
        Literal["lpips_alex", "lpips_vgg", "frechet_inception", "frechet_efficientnet_lite0"], ...
    ] = (),
    weights: tuple[str, ...] = (),
    split: Literal["train", "val", "test"] | None = None,
    strength: Annotated[float, Parameter(validator=cyclopts.validators.Number(gte=0, lte=2))] = 1.0,
    colorfulness: Annotated[
        float | None, Parameter(validator=cyclopts.validators.Number(gt=0))
    ] = None,
    size: Annotated[int, Parameter(validator=cyclopts.validators.Number(gte=32, lte=4096))] = 256,
    full: Flag = False,
    limit: Annotated[int | None, Parameter(validator=cyclopts.validators.Number(gte=1))] = None,
    jobs: Annotated[int | None, Parameter(validator=cyclopts.validators.Number(gte=1))] = None,
    report_json: Path | None = None,
    report_html: Path | None = None,
) -> None:
    """Measure models, and rivals' pictures, on color photographs: by docs/protocol.md.

    The table goes to stdout. Rows that keep one honest come first: gray (doing nothing), truth (our own
    pipeline with the true colors), and true but small chroma.

    Parameters
    ----------
    source
        Folder of color photographs of any depth, or .tar shards: a folder of them, one, or a pattern.
    model
        A model inside the package or an .onnx file of ours; may be given several times.
    against
        NAME=DIR: a folder of pictures colored by somebody else, with the photographs' file stems.
    also
        A metric that needs the extra `train`: LPIPS of AlexNet or VGG16, or the Fréchet distance of named
        features. frechet_inception is the standard FID.
    weights
        NAME=FILE: weights of a network of these metrics (alexnet, vgg16, lpips_alex, lpips_vgg, inception,
        efficientnet_lite0), instead of those that are downloaded or installed.
    split
        Take only this split of the photographs, by the rules of training.
    strength
        How much color: 0 is gray, 1 what the model predicts, 2 twice as much.
    colorfulness
        Give each model the strength, up to 2, at which its pictures are in the mean so colorful, instead of
        --strength: a fair comparison, since strong colors cost errors. Rivals' pictures stay as they are.
    size
        Side of the center squares that are compared, in pixels.
    full
        Compare whole photographs, at their own size.
    limit
        At most so many pictures, from the first.
    jobs
        Pictures worked on at once (default: one a core).
    report_json
        Write every figure of every picture, intervals and comparisons to this file.
    report_html
        Write a page with tables, plots and pictures to this file.
    """
    from colorizenet.colorizer import Colorizer
    from colorizenet.evaluation.protocol import evaluate as measure

    rivals, files = (
        _named_paths("--against", "NAME=DIR", against),
        _named_paths("--weights", "NAME=FILE", weights),
    )
    if size % 2:
        raise ConfigError(f"--size {size} is odd; give an even number of pixels, such as 256")
    if colorfulness is not None and strength != 1:
        raise ConfigError("--colorfulness chooses the strength; leave out --strength")
    for path in (report_json, report_html):
        if path and not path.resolve().parent.is_dir():
            raise ConfigError(
                f"{quote(path.parent)} does not exist; make it, or write the report elsewhere"
            )
    colorizers = {
        Path(name).stem if name.endswith(".onnx") else name: Colorizer(name, threads=1)
        for name in model
    }
    if len(colorizers) < len(model) or colorizers.keys() & rivals.keys():
        raise ConfigError(
            "two rows would have the same name; rename a file, or choose another NAME for --against"
        )

    of_pairs, of_sets = {}, {}
    if also:
        require_training()
        from colorizenet.training.losses.perceptual import pair_metrics, set_metrics

        of_pairs = pair_metrics([name for name in also if name.startswith("lpips")], weights=files)
        of_sets = set_metrics([name for name in also if name.startswith("frechet")], weights=files)

    repeated = ["colorizenet", "evaluate", source]
    repeated += [word for name in model for word in ("--model", name)]
    repeated += [word for each in against for word in ("--against", each)]
    repeated += [word for name in also for word in ("--also", name)]
    repeated += [word for each in weights for word in ("--weights", each)]
    repeated += ["--split", split] * bool(split) + ["--strength", f"{strength:g}"] * (strength != 1)
    repeated += [] if colorfulness is None else ["--colorfulness", f"{colorfulness:g}"]
    repeated += ["--full"] if full else ["--size", str(size)]
    repeated += ["--limit", str(limit)] * bool(limit)

    with console.progress("measuring") as progress:
        bar = progress.add_task("", total=None)
        report = measure(
            colorizers,
            source,
            split=split,
            against=rivals,
            strength=strength,
            colorfulness=colorfulness,
            size=size,
            full=full,
            limit=limit,
            command=shlex.join(repeated),
            pair_metrics=of_pairs,
            set_metrics=of_sets,
            workers=jobs,
            told=lambda done, total: progress.update(bar, completed=done, total=total),
        )
    for failed in report.failed:
        print(f"colorizenet: {failed}", file=sys.stderr)
    heads, lines = report.table()
    widths = [max(len(line[i]) for line in (heads, *lines)) for i in range(len(heads))]
    for name in () if colorfulness is None else colorizers:
        print(
            f"colorizenet: {name} with --strength {report.about[name]['strength']:.4g}",
            file=sys.stderr,
        )
    print(f"{len(report.pictures)} photographs, protocol {report.protocol}")
    for line in (heads, *lines):
        print(
            "  ".join(
                [
                    line[0].ljust(widths[0]),
                    *(w.rjust(n) for w, n in zip(line[1:], widths[1:], strict=True)),
                ]
            )
        )
    for line in report.verdicts():
        print(line)
    if report_json:
        report.to_json(report_json)
    if report_html:
        report.to_html(report_html)
    if report.failed:
        sys.exit(1)


def _named_paths(flag: str, form: str, given: tuple[str, ...]) -> dict[str, Path]:
    """``NAME=PATH``, each with a name of its own."""
    named: dict[str, Path] = {}
    for each in given:
        name, _, path = each.partition("=")
        if not (name and path) or name in named:
            raise ConfigError(f"{flag} {quote(each)} is not {form} with a name of its own")
        named[name] = Path(path)
    return named
