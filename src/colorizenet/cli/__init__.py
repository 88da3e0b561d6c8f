"""The command line: verbs. Whatever is heavy is imported when a verb runs.

Exit status: 0 done; 1 some pictures failed, each named on stderr, the others written; 2 the
command line or the configuration is wrong. Results go to stdout, talk to stderr.
"""

import dataclasses
import io
import json
import logging
import os
import shlex
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import cyclopts
from cyclopts import App, Parameter

from colorizenet import __version__
from colorizenet.cli import console
from colorizenet.errors import (
    ColorizeNetError,
    ConfigError,
    DataError,
    DeviceError,
    ModelFileError,
    quote,
)

if TYPE_CHECKING:
    from colorizenet.imaging.image import Image

_TRAINING = ("torch", "lightning", "timm")
"""What only the extra ``train`` installs."""
_SERVING = (
    "fastapi",
    "fastapi_offline",
    "uvicorn",
    "python_multipart",
    "prometheus_client",
    "gradio",
)
"""What only the extra ``serve`` installs; the last is for the page."""

_Flag = Annotated[bool, Parameter(show_default=False)]

_DASH = "//-"
"""A lone -, in a spelling that is neither an option nor a file anyone has."""

app = App(
    name="colorizenet",
    help="Turn gray photographs into color ones, and train the networks that do it.",
    version=f"colorizenet {__version__}",
    default_parameter=Parameter(negative=()),  # no --no-overwrite, no --empty-widths
)


@app.command
def colorize(
    *paths: Path,
    out: str | None = None,
    model: str = "default",
    format: Literal["keep", "png", "jpeg", "tiff", "webp", "avif", "heic", "jxl"] = "keep",
    quality: Annotated[
        int | None, Parameter(validator=cyclopts.validators.Number(gte=1, lte=100))
    ] = None,
    strength: Annotated[float, Parameter(validator=cyclopts.validators.Number(gte=0, lte=2))] = 1.0,
    size: Annotated[
        int | None, Parameter(validator=cyclopts.validators.Number(gte=32, lte=2048))
    ] = None,
    tta: _Flag = False,
    provider: str = "cpu",
    jobs: Annotated[int | None, Parameter(validator=cyclopts.validators.Number(gte=1))] = None,
    max_pixels: Annotated[
        int | None, Parameter(validator=cyclopts.validators.Number(gte=1))
    ] = None,
    sheet: Path | None = None,
    overwrite: _Flag = False,
    no_note: _Flag = False,
    json: _Flag = False,
) -> None:
    """Color photographs: files, folders of any depth, or - for stdin.

    Results keep the size, the lightness, the depth and the format of the photograph. Folders
    are mirrored. Results that are there already are left alone, but made again when the model, a
    setting or the photograph has changed since; a run that was stopped goes on where it was.

    Parameters
    ----------
    paths
        Photographs (JPEG, PNG, TIFF, WebP, AVIF, GIF, PGM, PPM; with the extra `formats` HEIC and
        JPEG XL), folders of them, or - for one on stdin.
    out
        Folder for the results (default: colorized), or - for stdout; for stdin, a file.
    model
        A model inside the package (see `colorizenet models`) or an .onnx file of ours.
    format
        Format of the results; keep is that of each photograph. PNG or TIFF is written where a
        format cannot hold one.
    quality
        Quality of the lossy formats, 1 to 100 (default: JPEG 92, WebP 90, AVIF 75, HEIC 85, JPEG XL 92).
    strength
        How much color: 0 is gray, 1 what the model predicts, 2 twice as much.
    size
        Short side, in pixels, of what the network sees (default: what the model prefers).
    tta
        Ask the network four times, mirrored and at another size, and take the mean: slower, and steadier.
    provider
        Where the network runs: cpu, or what your onnxruntime offers, such as cuda.
    jobs
        Pictures worked on at once (default: one more than there are cores, at most 8).
    max_pixels
        Refuse larger pictures before decoding them (default: 2 billion).
    sheet
        Also write a contact sheet, gray | color, of up to 24 pictures to this file; it is replaced.
    overwrite
        Redo results that are there already, also those that somebody else put there.
    no_note
        Leave out the note, in EXIF and XMP, that the colors are reconstructed.
    json
        Print one JSON object a picture instead of its path.
    """
    # Before NumPy is imported: our threads are as many as there are cores, and BLAS needs none of its own.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from colorizenet import batch
    from colorizenet.colorizer import Colorizer
    from colorizenet.options import Options
    from colorizenet.imaging.formats import FORMATS
    from colorizenet.imaging.reading import MAX_PIXELS, read_image
    from colorizenet.imaging.writing import choose_format, encode_image, write_image

    if len(paths) == 0:
        raise ConfigError("no photograph named; give files, folders, or - for stdin")
    chosen = None if format == "keep" else format
    to_stdout = out == _DASH
    if quality is not None and chosen is not None and not FORMATS[chosen].quality:
        lossy = ", ".join(name for name, kind in FORMATS.items() if kind.quality)
        raise ConfigError(f"--quality is for {lossy}, and {chosen} keeps every pixel; leave it out")
    limit = max_pixels or MAX_PIXELS
    streamed = Path(_DASH) in paths
    if (streamed or to_stdout) and (len(paths) > 1 or json or sheet):
        raise ConfigError(
            "- is for one picture, without --json and --sheet; name files to color several"
        )
    if to_stdout and not streamed and paths[0].is_dir():
        raise ConfigError(
            f"{quote(paths[0])} is a folder and --out - takes one picture; name a folder for the results"
        )

    if out and not (streamed or to_stdout) and _format_of(out) and not Path(out).is_dir():
        raise ConfigError(f"--out {quote(out)} reads like a picture; name a folder for the results")
    if streamed and out and not to_stdout:
        chosen = chosen or _format_of(out)
        if Path(out).exists() and not overwrite:
            raise ConfigError(
                f"{quote(out)} is there already; name another file with --out, or add --overwrite"
            )
    # Arguments that are wrong are found before the model is loaded, and that before any picture.
    folder = Path(out or "colorized")
    planned = (
        [] if streamed or to_stdout else batch.plan(paths, folder, format=chosen, max_pixels=limit)
    )
    if not (planned or streamed or to_stdout):
        raise ConfigError(f"no photograph in {quote(paths[0])}; expected {', '.join(FORMATS)}")
    if sheet and not _format_of(sheet):
        raise ConfigError(
            f"--sheet {quote(sheet)} names no format we write; end it in .png or .jpg"
        )
    if sheet and any(
        sheet.resolve() in (job.source.resolve(), job.target.resolve()) for job in planned
    ):
        raise ConfigError(
            f"--sheet {quote(sheet)} is one of the photographs or results; name another file"
        )
    cores = os.cpu_count() or 1
    # Many pictures: each on one thread, and one more at once than there are cores, for one may wait for the disk.
    # One picture: on all of them.
    workers = jobs or max(1, min(8, cores + 1, len(planned)))
    threads = max(1, cores // workers)
    colorizer = Colorizer(model, device=provider, threads=threads)
    choices: dict[str, Any] = {"strength": strength, "size": size, "tta": tta}
    options = Options(**choices)
    note = "" if no_note else colorizer.provenance_note

    def in_color(image: "Image") -> "Image":
        return colorizer(image, **choices)

    if streamed or to_stdout:
        source = sys.stdin.buffer.read() if streamed else paths[0]
        image = read_image(source, max_pixels=limit)
        fit = choose_format(image, chosen)
        for line in (
            *image.warnings,
            *([f"{fit.reason}: {fit.format} is written"] if fit.reason else []),
        ):
            print(f"colorizenet: {line}", file=sys.stderr)
        colored = dataclasses.replace(in_color(image), note=note)
        _put(encode_image(colored, fit.format, quality=quality), out)
        return

    console.told_reasons(planned)
    # What the pixels depend on, beside the photograph
    way = {
        "version": __version__,
        "model": colorizer.sha256,
        "quality": quality,
        "note": note,
    } | choices
    with batch.open_journal(folder, _json(way), planned) as journal:
        batch.configure_libvips(threads)
        done = batch.colorize_all(
            planned,
            in_color,
            stream=lambda file, rows: colorizer.apply_strips(
                file, colorizer.predict(file, options)[0], options, rows=rows
            ),
            journal=journal,
            max_pixels=limit,
            quality=quality,
            note=note,
            overwrite=overwrite,
            workers=workers,
        )
        results = console.told(done, len(planned), as_json=json)
    pairs = [(result.job.source, result.job.target) for result in results if not result.error]
    if sheet and pairs:
        write_image(sheet, batch.contact_sheet(pairs[:24]))
    if any(result.error for result in results):
        sys.exit(1)


def _json(value: object) -> str:
    return json.dumps(value)


def _format_of(path: str | Path) -> str | None:
    """The format that the ending of a file names, a key of ``FORMATS``, or None."""
    from colorizenet.imaging.formats import FORMATS

    suffix = Path(path).suffix.lower()
    return next((name for name, kind in FORMATS.items() if suffix in kind.suffixes), None)


def _put(encoded: bytes, out: str | None) -> None:
    """One picture to stdout, or to the file that ``out`` names."""
    if out in (None, _DASH):
        if sys.stdout.isatty():
            raise ConfigError(
                "a picture is not for a terminal; name a file with --out, or redirect stdout"
            )
        sys.stdout.buffer.write(encoded)
        return
    from colorizenet.files import write_atomically

    assert out is not None
    if Path(out).is_dir():
        raise ConfigError(
            f"{quote(out)} is a folder and a picture from stdin has no name; name a file with --out"
        )
    try:
        write_atomically(Path(out), encoded)
    except OSError as error:
        raise ConfigError(
            f"{quote(out)} cannot be written: {error.strerror}; choose another --out"
        ) from error


@app.command
def serve(
    *,
    host: str = "127.0.0.1",
    port: Annotated[int, Parameter(validator=cyclopts.validators.Number(gte=0, lte=65535))] = 8000,
    model: tuple[str, ...] = ("default",),
    provider: str = "cpu",
    ui: Annotated[bool, Parameter(negative="--no-ui", show_default=False)] = True,
    token: Annotated[str | None, Parameter(env_var="COLORIZENET_TOKEN", show_default=False)] = None,
    insecure: _Flag = False,
    origin: tuple[str, ...] = (),
    max_bytes: Annotated[int, Parameter(validator=cyclopts.validators.Number(gte=1))] = 100_000_000,
    max_pixels: Annotated[
        int, Parameter(validator=cyclopts.validators.Number(gte=1))
    ] = 100_000_000,
    concurrency: Annotated[
        int | None, Parameter(validator=cyclopts.validators.Number(gte=2))
    ] = None,
    queue: Annotated[int, Parameter(validator=cyclopts.validators.Number(gte=0))] = 32,
    seconds: Annotated[float, Parameter(validator=cyclopts.validators.Number(gt=0))] = 120.0,
) -> None:
    """Serve people a page and programs an API, until it is stopped; what was accepted is finished.

    On this machine only, unless there is a token. See docs/serving.md.

    Parameters
    ----------
    host
        Address to listen on; one that other machines reach needs --token or --insecure.
    port
        Port to listen on; 0 takes a free one.
    model
        A model inside the package or an .onnx file of ours; may be given several times, and the first is
        what clients get who name none.
    provider
        Where the networks run: cpu, or what your onnxruntime offers, such as cuda.
    ui
        The page; without it there is the API only, and Gradio is not needed.
    token
        What clients must send, as `Authorization: Bearer TOKEN` or as a password of any user. Better given in the
        environment as COLORIZENET_TOKEN, because a command line can be seen by others.
    insecure
        Listen where other machines reach it although there is no token.
    origin
        An origin such as https://photos.example whose pages may use the API (CORS); may be given several times.
    max_bytes
        Largest file taken.
    max_pixels
        Largest picture decoded.
    concurrency
        Pictures worked on at once, each by one thread (default: one more than there are cores).
    queue
        Pictures that may wait, and as many of over 8 million pixels; past it clients are told to try again.
    seconds
        How long a picture may take to arrive, and then to be colored.
    """
    _require("serve", "serving", _SERVING if ui else _SERVING[:-1])
    from colorizenet.colorizer import Colorizer
    from colorizenet.serving import http as server
    from colorizenet.serving.jobs import Limits

    if not (server.is_loopback(host) or token or insecure):
        raise ConfigError(
            f"{quote(host)} is reached by other machines and there is no token; give one in COLORIZENET_TOKEN, "
            "or say --insecure"
        )
    names = [Path(name).stem if name.endswith(".onnx") else name for name in model]
    if len(set(names)) < len(names):
        raise ConfigError("two models would have the same name; rename a file")
    limits = Limits(max_bytes=max_bytes, max_pixels=max_pixels, queue=queue, seconds=seconds)
    if concurrency:
        limits = dataclasses.replace(limits, concurrency=concurrency)
    hosts = None if token or insecure else frozenset({"localhost", "127.0.0.1", "::1", host})
    logging.basicConfig(level=logging.WARNING, format="colorizenet: %(message)s", stream=sys.stderr)
    server.serve(
        {
            name: Colorizer(each, device=provider, threads=1)
            for name, each in zip(names, model, strict=True)
        },
        limits=limits,
        access=server.Access(token=token, hosts=hosts, origins=frozenset(origin)),
        host=host,
        port=port,
        with_page=ui,
        told=lambda url: print(
            f"{'the page and the API' if ui else 'the API'}: {url}", file=sys.stderr, flush=True
        ),
    )


@app.command
def models() -> None:
    """List the models inside the package, with size, license and measured quality."""
    from colorizenet.modelfile import load_model, model_path, shipped_models

    for name in shipped_models():
        card = load_model(name).card
        figures = ", ".join(f"{key} {value:g}" for key, value in card.metrics.items())
        print(
            f"{name}  {model_path(name).stat().st_size / 1e6:.1f} MB, {card.parameters / 1e6:.1f}M parameters"
        )
        print(f"    {card.license}\n    {figures}")


@app.command
def info(model: str, /) -> None:
    """Print what a model file says about itself: its card, as JSON, with the file's SHA-256.

    Parameters
    ----------
    model
        A model inside the package (see `colorizenet models`) or an .onnx file of ours.
    """
    from colorizenet.modelfile import load_model

    loaded = load_model(model)
    print(
        json.dumps(
            {"sha256": loaded.sha256} | dataclasses.asdict(loaded.card),
            ensure_ascii=False,
            indent=2,
        )
    )


@app.command
def export(
    run: Path,
    /,
    *,
    out: Path,
    checkpoint: Literal["best", "last"] = "best",
    weights: Literal["half", "byte"] = "half",
    blend: Path | None = None,
    share: float = 0.5,
    name: str | None = None,
    license: str = "",
    limits: str = "",
    figures: Path | None = None,
) -> None:
    """Write the network of a training run as an ONNX file, proven equal to it.

    Parameters
    ----------
    run
        Folder of the run.
    out
        The .onnx file to write.
    checkpoint
        Of the lowest validation loss (of a game: the best choice), or the last.
    weights
        How they are stored: in half precision, or in a byte each for a file of half the size and colors a little off.
    blend
        Folder of a run that this one started from, or that started where it did: its weights are mixed with this one's.
    share
        How much of each weight is to be that run's, between 0 and 1.
    name
        What the model is called on its card (default: the name of the run's folder).
    license
        Terms of use, for the card.
    limits
        What the model is known to get wrong, for the card.
    figures
        A JSON file of measured figures, for the card.
    """
    _require_training()
    from colorizenet.training.export import export_run

    described = {"name": name or run.resolve().name, "license": license, "limitations": limits}
    try:
        measured = json.loads(figures.read_text()) if figures else {}
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{quote(figures)} cannot be read as JSON ({quote(error)}); give an object of numbers"
        ) from error
    export_run(
        run,
        out,
        checkpoint=checkpoint,
        weights=weights,
        blend=blend,
        share=share,
        metrics=measured,
        **described,
    )
    print(quote(out))


@app.command
def prepare(
    source: str,
    target: Path,
    /,
    *,
    size: int = 256,
    quality: int = 92,
    per_shard: int = 5000,
    min_side: int = 64,
    min_colorfulness: float = 12.0,
    max_tone: float = 0.99,
    duplicate_bits: int = 2,
    downloads: Path = Path("downloads"),
    jobs: Annotated[int | None, Parameter(validator=cyclopts.validators.Number(gte=1))] = None,
) -> None:
    """Make training shards of photographs: small, without gray, toned, damaged and duplicate ones.

    The folder it makes is for `train --data.root`. The splits of the photographs are kept, or made
    80/10/10 by a hash of each name. The same command goes on where it was stopped, and makes the
    same files, byte for byte. What became of each photograph is in manifest.tsv.

    Parameters
    ----------
    source
        Folder of photographs of any depth, or .tar shards: a folder of them, one, a pattern such as
        train-{000..006}.tar, or http(s) addresses.
    target
        Folder for the shards: a new one, an empty one, or one that this command began.
    size
        Short side of the pictures, in pixels; smaller ones are left as they are.
    quality
        Quality of the JPEGs, 1 to 100; their chroma is never reduced.
    per_shard
        Pictures in a shard.
    min_side
        Leave out photographs with a side shorter than this, in pixels.
    min_colorfulness
        Leave out grayer pictures (0 gray, 15 slightly, 45 quite, 80 very colorful).
    max_tone
        Leave out pictures whose chroma has more than this share in one hue: sepia has 1.
    duplicate_bits
        Pictures whose difference hashes differ in up to so many of 64 bits are the same, and one
        to validate or test on is kept before one to train on; -1 keeps all.
    downloads
        Folder where shards from http(s) addresses are kept.
    jobs
        Pictures worked on at once (default: one a core).
    """
    _require_training()
    from colorizenet.training.data import prepare as preparing
    from colorizenet.training.data.screen import Screen

    settings = preparing.Preparation(
        size=size,
        quality=quality,
        per_shard=per_shard,
        duplicate_bits=duplicate_bits,
        screen=Screen(min_side=min_side, min_colorfulness=min_colorfulness, max_tone=max_tone),
    )
    started = time.perf_counter()
    with console.progress("preparing") as progress:
        bar = progress.add_task("", total=None)

        def told(row: "preparing.Examined", examined: int, total: int) -> None:
            progress.update(bar, completed=examined, total=total)
            if row.kind == "unreadable":
                # rich would read [names in brackets] as colors and wrap long lines
                progress.console.out(
                    f"colorizenet: {row.name} is left out: {row.outcome}", highlight=False
                )

        prepared = preparing.prepare(
            source, target, settings, downloads=downloads, workers=jobs, told=told
        )
    if prepared.already:
        print(f"{quote(target)} is finished already: {prepared}", file=sys.stderr)
    else:
        print(f"{prepared} in {time.perf_counter() - started:.1f} s", file=sys.stderr)
    print(quote(target))


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
    full: _Flag = False,
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
        _require_training()
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


def mount_recipes() -> None:
    """Make each recipe a sub-command of `train`, whose defaults are its own, or those of the run resumed.

    Done only when they are asked for: finding them takes the seconds that torch takes.
    """
    _require_training()
    from colorizenet.training.config import RunConfig, as_dict, from_json, offered, plain
    from colorizenet.training.recipes import RECIPES

    def command(name: str, recipe: Callable[[], RunConfig]) -> App:
        def train(
            *,
            config: Annotated[offered(recipe()) | None, Parameter(name="*")] = None,  # type: ignore[valid-type]
            out: Path | None = None,
            resume: Path | None = None,
        ) -> None:
            """
            Parameters
            ----------
            out
                Folder of the run (default: runs/RECIPE-TIME).
            resume
                Folder of a run that was stopped, to go on with; its settings are the defaults.
            """
            from colorizenet.training.fit import fit

            folder = resume or out or Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
            logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
            fit(
                plain(config or recipe()),
                folder,
                recipe=name,
                resume=resume is not None,
                progress=sys.stderr.isatty(),
                # What torchrun tells the processes that it starts.
                devices=int(os.environ.get("LOCAL_WORLD_SIZE", "1")),
                nodes=int(os.environ.get("GROUP_WORLD_SIZE", "1")),
            )
            if os.environ.get("RANK", "0") == "0":
                print(quote(folder))

        def resumed(app: App, commands: tuple[str, ...], arguments: Any) -> None:
            """Where a run is resumed, its settings stand as if the user had typed them."""
            folder = next(
                (str(a.tokens[0].value) for a in arguments if a.name == "--resume" and a.tokens),
                None,
            )
            if folder is None:
                return
            config = from_json(Path(folder) / "config.json")
            for part in ("network", "task"):
                kind = getattr(config, part).kind
                if kind != getattr(recipe(), part).kind:
                    raise ConfigError(
                        f"{quote(folder)} is a run of the {part} {kind}, which the recipe {name} "
                        "does not train; resume it with the recipe it was started with"
                    )
            values = cyclopts.config.Dict(
                _without_kinds(as_dict(config)), use_commands_as_keys=False, source=folder
            )
            values(app, commands, arguments)

        return App(
            name=name,
            help=recipe.__doc__ or "",
            config=[resumed],
            default_parameter=Parameter(
                negative=(), consume_multiple=True
            ),  # --network.widths 32 64 128
            default_command=train,
        )

    for name, recipe in RECIPES.items():
        if name not in app["train"]:
            app["train"].command(command(name, recipe))


def _without_kinds(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as flags have them: the kind of a network is the recipe's to say."""
    return {
        name: _without_kinds(value) if isinstance(value, dict) else value
        for name, value in settings.items()
        if name != "kind"
    }


def _require_training() -> None:
    _require("train", "training", _TRAINING)


def _require(extra: str, doing: str, modules: tuple[str, ...]) -> None:
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"{doing} needs {', '.join(missing)}, and this installation has no extra `{extra}`; "
            f"pip install 'colorizenet[{extra}]'"
        )


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit with its status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        if arguments[:1] == ["train"]:
            mount_recipes()
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # a name may not fit its encoding
        dashed = {"-": _DASH, "--out=-": f"--out={_DASH}"}
        app(
            [dashed.get(argument, argument) for argument in arguments],
            exit_on_error=False,
            print_error=False,
        )
    except cyclopts.CycloptsError as error:
        verb = f"{arguments[0]} " if arguments and arguments[0] in app else ""
        _fail(f"{quote(' '.join(str(error).split()))} See `colorizenet {verb}--help`.", 2)
    except (ConfigError, DataError, ModelFileError, DeviceError) as error:
        _fail(error, 2)
    except ColorizeNetError as error:
        _fail(error, 1)
    except BrokenPipeError:
        # Whoever read our stdout has gone; point it elsewhere, or the interpreter complains at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        _fail("interrupted; what was finished is kept", 130)
    sys.exit(0)


def _fail(message: object, status: int) -> NoReturn:
    print(f"colorizenet: {message}", file=sys.stderr)
    sys.exit(status)


app.command(App(name="train", help="Train a network by a recipe; every setting can be overridden."))
