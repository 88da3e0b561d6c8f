"""``colorizenet apply``: make a colored picture from a photo and a sidecar."""

import os
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from colorizenet.cli import console
from colorizenet.cli.app import Flag, app
from colorizenet.errors import ConfigError, ImageError, explain_write_error, quote


@app.command
def apply(
    photo: Path,
    sidecar: Path,
    /,
    *,
    out: Annotated[Path | None, Parameter(alias="-o")] = None,
    max_pixels: Annotated[int | None, Parameter(validator=Number(gte=1))] = None,
    overwrite: Flag = False,
) -> None:
    """Make a colored picture from a photo and the file of `colorize --sidecar`.

    The result is the same as that of `colorize`, bit for bit, with the same version of
    colorizenet. No model is needed. If the sidecar holds the SHA-256 of that result and
    this one differs, the exit status is 1.

    Parameters
    ----------
    photo
        The photo, unchanged.
    sidecar
        The sidecar of a result, such as 1921.jpg.colors.json.
    out
        File or folder for the picture (default: the folder colorized).
    max_pixels
        Refuse photos of more pixels before decoding them (default: 2 billion).
    overwrite
        Replace a file that exists.
    """
    from colorizenet import __version__
    from colorizenet.files import compute_sha256
    from colorizenet.imaging.formats import FORMATS
    from colorizenet.imaging.reading import MAX_PIXELS
    from colorizenet.planning import SIDECAR_SUFFIX
    from colorizenet.sidecar import read_sidecar

    colors = read_sidecar(sidecar)
    format = colors.output.format or ""
    endings = FORMATS[format].suffixes
    if out is None or out.is_dir() or not out.suffix:
        name = sidecar.name.removesuffix(SIDECAR_SUFFIX)
        if Path(name).suffix.lower() not in endings or name == sidecar.name:
            name = photo.stem + endings[0]
        target = (out or Path("colorized")) / name
    else:
        target = out
        if out.suffix.lower() not in endings:
            raise ConfigError(
                f"--out {quote(out)} does not end in {endings[0]} and the sidecar is for a "
                f"{format} file; choose another name"
            )
    if target.exists() and photo.exists() and target.samefile(photo):
        raise ConfigError(f"{quote(target)} is the photo itself; name another file with --out")
    if target.exists() and not overwrite:
        raise ConfigError(
            f"{quote(target)} exists already; name another file with --out, or add --overwrite"
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        colors.apply(
            photo, target, threads=os.cpu_count() or 1, max_pixels=max_pixels or MAX_PIXELS
        )
    except OSError as error:
        raise ImageError(explain_write_error(target, error)) from error
    print(quote(target))
    if colors.result_sha256 not in (None, compute_sha256(target)):
        console.print_message(
            f"{quote(target)} is not the same file as the result of colorizenet "
            f"{quote(colors.software)}; this is version {__version__}"
        )
        sys.exit(1)
