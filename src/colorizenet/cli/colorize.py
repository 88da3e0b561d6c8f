"""``colorizenet colorize``: colorize photos, folders or standard input."""

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import cyclopts
from cyclopts import Parameter

from colorizenet import __version__
from colorizenet.cli import console
from colorizenet.cli.app import DASH, Flag, app
from colorizenet.errors import ConfigError, quote

if TYPE_CHECKING:
    from colorizenet.imaging.image import Image


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
    tta: Flag = False,
    provider: str = "cpu",
    jobs: Annotated[int | None, Parameter(validator=cyclopts.validators.Number(gte=1))] = None,
    max_pixels: Annotated[
        int | None, Parameter(validator=cyclopts.validators.Number(gte=1))
    ] = None,
    sheet: Path | None = None,
    overwrite: Flag = False,
    no_note: Flag = False,
    json: Flag = False,
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
    from colorizenet.imaging.formats import FORMATS
    from colorizenet.imaging.reading import MAX_PIXELS, read_image
    from colorizenet.imaging.writing import choose_format, encode_image, write_image
    from colorizenet.options import Options

    if len(paths) == 0:
        raise ConfigError("no photograph named; give files, folders, or - for stdin")
    chosen = None if format == "keep" else format
    to_stdout = out == DASH
    if quality is not None and chosen is not None and not FORMATS[chosen].quality:
        lossy = ", ".join(name for name, kind in FORMATS.items() if kind.quality)
        raise ConfigError(f"--quality is for {lossy}, and {chosen} keeps every pixel; leave it out")
    limit = max_pixels or MAX_PIXELS
    streamed = Path(DASH) in paths
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
    if out in (None, DASH):
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
