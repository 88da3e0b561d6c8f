"""One photo into one file, or through standard input and output."""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from colorizenet.cli import console
from colorizenet.cli.app import DASH
from colorizenet.errors import ConfigError, ImageError, explain_write_error, quote

if TYPE_CHECKING:
    from colorizenet.batch import Worker
    from colorizenet.planning import Job, SidecarMode

__all__ = ["colorize_stream", "detect_ending", "plan_file"]

_LONGEST_STDIN = 1 << 29
"""Bytes of a photo on standard input at most."""


def plan_file(
    sources: Sequence[Path],
    out: Path,
    worker: "Worker",
    suffix: str,
    sidecar: "SidecarMode | None" = None,
) -> "Job":
    """The job of ``--out FILE``, for one photo."""
    from colorizenet.planning import Job

    if len(sources) > 1 or sources[0].is_dir():
        raise ConfigError(
            f"--out {quote(out)} is a file and there may be several photos; "
            "name a folder for the results"
        )
    if suffix:
        raise ConfigError("--suffix is for a folder of results; leave it out, or name a folder")
    job = Job(sources[0], (out,), _choose_format(out, worker), sidecar=sidecar)
    for file in job.files:
        _check_file(file, worker, sources[0])
    return job


def _check_file(out: Path, worker: "Worker", source: Path | None = None) -> None:
    if source and out.exists() and source.exists() and out.samefile(source):
        raise ConfigError(f"--out {quote(out)} is the photo itself; name another file")
    if out.exists() and not worker.overwrite:
        raise ConfigError(
            f"{quote(out)} exists already; name another file with --out, or add --overwrite"
        )


def _choose_format(out: str | Path, worker: "Worker") -> str | None:
    """The format of ``--format`` and of the extension, which must not differ."""
    named, wanted = detect_ending(out), worker.output.format
    if named and wanted and named != wanted:
        raise ConfigError(
            f"--out {quote(out)} is a {named} file and --format is {wanted}; leave one of them out"
        )
    return named or wanted


def detect_ending(path: str | Path) -> str | None:
    """The format that the extension of a file names, a key of ``FORMATS``, or None."""
    from colorizenet.imaging.formats import find_format

    return find_format(Path(path).suffix)


def _read_stdin() -> bytes:
    """Read a photo from standard input, which may have no end."""
    from colorizenet.imaging.formats import FORMATS, detect_format

    if sys.stdin is None:
        raise ConfigError("standard input is closed; pipe a photo into it, or name a file")
    start = sys.stdin.buffer.read(64)
    if start and detect_format(start) is None:
        raise ImageError(
            "the picture on standard input is not in a supported picture format; "
            f"expected one of {', '.join(FORMATS)}; convert it first"
        )
    rest = sys.stdin.buffer.read(_LONGEST_STDIN - len(start) + 1)
    if len(start) + len(rest) > _LONGEST_STDIN:
        raise ImageError(
            f"the picture on standard input has more than {_LONGEST_STDIN >> 20} MiB, "
            "which is the limit; name a file instead"
        )
    return start + rest


def colorize_stream(path: Path, out: str | None, worker: "Worker", style: console.Style) -> None:
    """Colorize one photo from stdin, or to stdout."""
    from colorizenet.files import write_atomically
    from colorizenet.imaging.conversion import split_pages
    from colorizenet.imaging.reading import open_image
    from colorizenet.imaging.toning import is_colored
    from colorizenet.imaging.warnings import list_losses
    from colorizenet.imaging.writing import choose_format, encode_image
    from colorizenet.merging import describe_colors

    file = None if out in (None, DASH) else Path(out)
    if path != Path(DASH) and path.is_dir():
        raise ConfigError(f"{quote(path)} is a folder and --out - is for one photo; name a folder")
    if file is None and sys.stdout is None:
        raise ConfigError("standard output is closed; name a file with --out, or redirect it")
    if file is None and sys.stdout.isatty():
        raise ConfigError(
            "an image file cannot be printed to a terminal; "
            "name a file with --out, or redirect stdout"
        )
    if file and file.is_dir():
        raise ConfigError(
            f"{quote(file)} is a folder and a photo from stdin has no name; name a file with --out"
        )
    if file:
        _check_file(file, worker)
    format = _choose_format(file, worker) if file else worker.output.format
    if file and not format:
        raise ConfigError(
            f"--out {quote(file)} ends in no extension of a picture format; "
            "end it in .jpg or .png, or add --format"
        )
    worker = dataclasses.replace(worker, threads=0)
    colorizer = worker.colorizer
    source = _read_stdin() if path == Path(DASH) else path
    with open_image(source, max_pixels=worker.max_pixels) as opened:
        image = opened.read()
    fit = choose_format(image, format)
    if fit.reason and file and detect_ending(file):
        raise ImageError(
            f"{quote(file)} cannot hold the result: {fit.reason}; name a {fit.format} file"
        )
    warnings = list(image.warnings)
    if fit.reason:
        warnings.append(f"{fit.reason}: {fit.format} is written")
    note = describe_colors(worker.options, worker.output)
    colored = any(is_colored(page) for page in split_pages(image))
    warnings += list_losses(opened, fit.format, colored=colored, note=note)
    for line in () if style.quiet else warnings:
        console.print_message(line)
    colorized = colorizer(image, worker.options)
    encoded = encode_image(
        dataclasses.replace(colorized, note=note), fit.format, quality=worker.output.quality
    )
    if file is None:
        sys.stdout.buffer.write(encoded)
        return
    try:
        write_atomically(file, encoded)
    except OSError as error:
        raise ConfigError(explain_write_error(file, error)) from error
