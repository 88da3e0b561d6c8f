"""The flags ``--hint`` and ``--hints`` of ``colorizenet colorize``."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from colorizenet.cli import console
from colorizenet.errors import ConfigError, quote

if TYPE_CHECKING:
    from colorizenet.batch import Worker
    from colorizenet.options import Hint
    from colorizenet.planning import Job

__all__ = ["add_hints", "add_planned_hints"]


def add_hints(worker: "Worker", texts: Sequence[str], path: Path | None) -> "Worker":
    """A worker for one photo, with the hints of ``--hint`` and of a file."""
    from colorizenet.hintfiles import parse_hint, read_hints

    if path and path.is_dir():
        raise ConfigError(f"--hints {quote(path)} is a folder; name the file of this photo")
    hints = tuple(map(parse_hint, texts)) + (read_hints(path) if path else ())
    return dataclasses.replace(worker, options=dataclasses.replace(worker.options, hints=hints))


def add_planned_hints(
    worker: "Worker",
    texts: Sequence[str],
    path: Path | None,
    planned: "Sequence[Job]",
    out: Path | None,
    *,
    quiet: bool,
) -> "Worker":
    """A worker with the hints of planned photos, whose results go into the folder
    ``out``. Files of no photo are named, unless ``quiet``."""
    if texts and len(planned) > 1:
        raise ConfigError(
            f"--hint is for one photo and there are {len(planned)}; give a folder of hint files "
            "with --hints"
        )
    if path is None or (len(planned) == 1 and not path.is_dir()):
        return add_hints(worker, texts, path)
    hints = _find_hints(path, planned, out, quiet=quiet)
    return dataclasses.replace(add_hints(worker, texts, None), hints=hints)


def _find_hints(
    folder: Path, planned: "Sequence[Job]", out: Path | None, *, quiet: bool
) -> "dict[Path, tuple[Hint, ...]]":
    """The hints of photos, from files in the subfolders of their results.

    Raises ``ConfigError`` if a file is wrong or none belongs to a photo.
    """
    from colorizenet.hintfiles import HINTS_SUFFIX, read_hints

    if not folder.is_dir():
        raise ConfigError(
            f"--hints {quote(folder)} is not a folder and there are {len(planned)} photos; "
            "give a folder of hint files"
        )
    files = {
        job.source: folder
        / (job.target.parent.relative_to(out) if out else "")
        / f"{job.source.stem}{HINTS_SUFFIX}"
        for job in planned
    }
    found = {source: read_hints(file) for source, file in files.items() if file.exists()}
    if not found:
        raise ConfigError(
            f"--hints {quote(folder)} has no file for any photo; "
            f"the first would be {quote(files[planned[0].source])}"
        )
    unused = [] if quiet else sorted({*folder.rglob(f"*{HINTS_SUFFIX}")} - {*files.values()})
    if unused:
        more = f" and {len(unused) - 1} more" if len(unused) > 1 else ""
        console.print_message(f"--hints of no photo: {quote(unused[0])}{more}")
    return found
