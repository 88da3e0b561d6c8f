"""Atomic file writes: write a temporary file in the same folder, sync it, rename it.

A process that is killed at any moment leaves either the old file or the new one under
the final name, never half of one.
"""

import errno
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

__all__ = [
    "RUN",
    "TEMPORARY_PATTERN",
    "check_regular",
    "compute_sha256",
    "is_url",
    "open_atomically",
    "open_for_reading",
    "sync_folder",
    "write_atomically",
]

TEMPORARY_PATTERN = ".colorizenet-*.part"
"""Glob pattern of the temporary files; the ``*`` is a hexadecimal number that begins
with that of the run."""

RUN = secrets.token_hex(8)
"""A number of this process, by which the next run finds what this one left behind."""


def is_url(text: str) -> bool:
    """Whether a text names a place in a store. One letter is a drive of Windows."""
    return re.match(r"[a-z][a-z0-9+.-]+://", text, re.IGNORECASE) is not None


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path``, all of it or nothing. Raises ``OSError``."""
    with open_atomically(path) as file:
        file.write(content)


@contextmanager
def open_atomically(
    path: Path,
    before_rename: Callable[[Path], object] = lambda _: None,
    *,
    durable: bool = True,
) -> Iterator[BinaryIO]:
    """Open a new file that becomes ``path`` on success and is removed on an exception.

    The file is open for reading and writing. ``before_rename`` is called with the path
    of the temporary file once it is complete and on the disk. Without ``durable`` the
    caller makes the rename durable, for many files at once, with ``sync_folder``.

    An ``OSError`` names ``path``, not the temporary file, which is gone by then.
    """
    temporary = path.with_name(TEMPORARY_PATTERN.replace("*", RUN + secrets.token_hex(8)))
    try:
        with temporary.open("x+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        before_rename(temporary)
        temporary.replace(path)
        if durable:
            sync_folder(path.parent)
    except OSError as error:
        if error.filename in (None, str(temporary)):  # None: the write itself failed
            error.filename = str(path)
            del error.filename2  # that of a failed rename
        raise
    finally:
        temporary.unlink(missing_ok=True)


def open_for_reading(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file for reading. A named pipe without a writer does not block the
    open."""
    return open(path, "rb", opener=_open_without_blocking)


def check_regular(path: str | os.PathLike[str]) -> None:
    """Raise ``OSError`` for a path that is no regular file. To read a named pipe or a
    device may never end."""
    if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116
        raise OSError(errno.EINVAL, "it is not a regular file", os.fspath(path))


def compute_sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file in hexadecimal. Raises ``OSError``."""
    with open_for_reading(path) as file:
        return hashlib.file_digest(cast(Any, file), "sha256").hexdigest()


def _open_without_blocking(name: str, flags: int) -> int:
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))


def sync_folder(folder: Path) -> None:
    """Make the renames in a folder durable.

    Does nothing where folders cannot be opened: on Windows and some network file
    systems.
    """
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
