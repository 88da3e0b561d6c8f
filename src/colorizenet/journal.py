"""A record, inside a folder of results, of how each result was made.

A line is written before the result gets its final name. It holds the size and the
modification time that the file will have, which a rename does not change. So a file
that no line describes was written or changed by somebody else, and a run that was
killed at any moment is completed by the next one. A file that lost its end when the
machine stopped is made again.

The record lies among files that may come from somebody else, so symbolic links in place
of it are not followed.
"""

import errno
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from colorizenet.errors import ConfigError, DamagedImageError, ImageError, quote
from colorizenet.files import RUN, TEMPORARY_PATTERN, open_for_reading
from colorizenet.imaging.formats import detect_format
from colorizenet.imaging.reading import read_image

__all__ = [
    "FOLDER",
    "Journal",
    "append_record",
    "find_results",
    "is_torn",
    "lock_results",
    "read_fingerprint",
    "read_records",
]

FOLDER = ".colorizenet"
"""Name of the folder, among the results, of the journal and the lock."""
_RUNS = "run"
"""Name of the file, in that folder, with the number of the run under way."""
_RESULTS = "results.jsonl"
_FILES = ("lock", _RUNS, _RESULTS)
_WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL)
"""What file systems without locks answer, as some SMB and NFS shares do."""


class Journal:
    """Reads and appends to the journal of one folder of results, from any thread.

    ``key`` names everything but the source that the pixels depend on: the model, the
    options and the version. Results of another key are made again.
    """

    def __init__(self, folder: Path, key: str = "") -> None:
        self._folder, self._key, self._lock = folder, key, Lock()
        self._records: dict[str, dict[str, Any]] = {}
        self._earlier: dict[str, list[Any]] = {}
        for record in read_records(folder):
            self._keep(record)

    def is_finished(self, source: Path, target: Path, own: str = "") -> bool:
        """Whether the result exists and need not be made again.

        ``own`` names settings of this photo alone, as ``key`` does those of all photos.
        True also for files that this tool did not write and for results that were
        changed since: those are never replaced.
        """
        if self.is_foreign(target):
            return True
        record = self._records.get(self._name(target))
        try:
            if record is None or record.get("stamp") != read_fingerprint(target):
                return False
        except OSError:
            return False
        try:
            found = read_fingerprint(source)
        except OSError:
            return True  # the source is gone, so the result cannot be made again
        return record.get("key") == self._key + own and record.get("source") == found

    def is_foreign(self, target: Path) -> bool:
        """Whether a file exists that this tool did not write, or that was changed
        since."""
        try:
            present = read_fingerprint(target)
        except OSError:
            return False
        name = self._name(target)
        record = self._records.get(name)
        if record is None:
            return True
        stamp = record.get("stamp")
        # A run that was killed before the rename left the file of an earlier line.
        if present == stamp or present in self._earlier.get(name, ()):
            return False
        return not is_torn(target, stamp, present)

    def find_other_source(self, source: Path, target: Path) -> Path | None:
        """The photo that a result was made of, where it is another one than ``source``
        and still exists."""
        record = self._records.get(self._name(target), {})
        photo = record.get("photo")
        try:
            if not isinstance(photo, str) or record.get("stamp") != read_fingerprint(target):
                return None
            other = Path(os.path.normpath(self._folder / photo))
            return None if other.samefile(source) else other
        except (OSError, ValueError):
            return None

    def record(
        self,
        source: Path,
        target: Path,
        temporary: Path,
        own: str = "",
        *,
        fingerprint: list[int] | None = None,
    ) -> None:
        """Describe ``temporary`` before its rename to ``target``. Raises OSError.

        ``own`` is as in ``is_finished``. ``fingerprint``: that of the source before it
        was read; None where it could not be found.
        """
        record: dict[str, Any] = {
            "result": self._name(target),
            "stamp": read_fingerprint(temporary),
            "key": self._key + own,
            "photo": self._name(source),
        }
        if fingerprint is not None:
            record["source"] = fingerprint
        with self._lock:
            append_record(self._folder, record)
            self._keep(record)

    def _keep(self, record: dict[str, Any]) -> None:
        name = record["result"]
        if before := self._records.get(name):
            self._earlier.setdefault(name, []).append(before.get("stamp"))
        self._records[name] = record

    def _name(self, path: Path) -> str:
        try:
            return os.path.relpath(path, self._folder)
        except ValueError:  # on another drive of Windows
            return os.path.abspath(path)  # noqa: PTH100 (a link stays a link)


def read_records(folder: Path) -> Iterator[dict[str, Any]]:
    """The lines of the journal of a folder, of which the last about a result holds."""
    with suppress(OSError), _open_own(folder / FOLDER / _RESULTS, os.O_RDONLY) as lines:
        for line in lines:
            # The last line of a killed run may be cut short, and others damaged.
            with suppress(ValueError, TypeError, KeyError, RecursionError):
                record = json.loads(line)
                hash(record["result"])
                yield record


def find_results(folder: Path) -> set[Path]:
    """The results that the journal of a folder names, and that nobody changed since."""
    stamps = {record["result"]: record.get("stamp") for record in read_records(folder)}
    found = set()
    for name, stamp in stamps.items():
        with suppress(OSError, TypeError, ValueError):
            if read_fingerprint(folder / name) == stamp:
                found.add(folder / name)
    return found


def append_record(folder: Path, record: dict[str, Any]) -> None:
    """Add a line to the journal of a folder. Raises ``OSError``."""
    path = folder / FOLDER / _RESULTS
    line = json.dumps(record).encode() + b"\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    with _open_own(path, os.O_RDWR | os.O_CREAT | os.O_APPEND) as file:
        file.seek(0, os.SEEK_END)
        # A line that was cut short must not swallow this one.
        file.write(b"\n" + line if file.tell() else line)


@contextmanager
def lock_results(folder: Path, targets: Iterable[Path]) -> Iterator[str]:
    """Reserve a folder of results for one run at a time.

    Makes the folder, and removes the temporary files that killed runs of this folder
    left next to ``targets``. Yields a warning where the file system has no locks, or an
    empty text. Raises ``ConfigError`` if another run holds the folder.
    """
    own = folder / FOLDER
    try:
        own.mkdir(parents=True, exist_ok=True)
        if any(path.is_symlink() for path in (own, *(own / name for name in _FILES))):
            raise ConfigError(
                f"{quote(own)} is or holds a symbolic link, which is not followed; remove it"
            )
        lock = FileLock(own / "lock")
        locked = _has_locks(own / "lock")
        if locked:
            lock.acquire(blocking=False)
    except Timeout as error:
        raise ConfigError(
            f"another run is writing into {quote(folder)}; wait for it, or choose another --out"
        ) from error
    except OSError as error:
        raise ConfigError(
            f"{quote(folder)} cannot be written: {error.strerror}; choose another --out"
        ) from error
    try:
        if locked:  # or an earlier run may still be writing
            _remove_leftovers(own / _RUNS, {target.parent for target in targets})
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            with suppress(OSError), _open_own(own / _RUNS, flags) as file:
                file.write(RUN.encode())
        yield (
            ""
            if locked
            else f"the file system of {quote(folder)} has no locks; "
            "start no second run into this folder before the first has ended"
        )
        if locked:
            (own / _RUNS).unlink(missing_ok=True)
    finally:
        lock.release()


def _has_locks(path: Path) -> bool:
    """Whether the file system of a lock file has locks, found by taking a shared one.

    Found before ``FileLock`` is used, which would otherwise leave a file that says that
    the folder is in use, also after a run that was killed.
    """
    try:
        import fcntl
    except ImportError:  # Windows, whose file systems have locks
        return True
    with _open_own(path, os.O_RDWR | os.O_CREAT) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno not in _WITHOUT_LOCKS  # else another run holds it
    return True


def _remove_leftovers(runs: Path, folders: Iterable[Path]) -> None:
    """Remove the temporary files of the run that a file names, which was killed."""
    try:
        with _open_own(runs, os.O_RDONLY) as file:
            run = file.read(64).decode("ascii", "replace")
    except OSError:
        return
    if not re.fullmatch("[0-9a-f]{16}", run):
        return
    for folder in folders:
        pattern = TEMPORARY_PATTERN.replace("*", f"{run}*")
        for leftover in folder.glob(pattern) if folder.is_dir() else ():
            with suppress(OSError):
                leftover.unlink()


def _open_own(path: Path, flags: int) -> BinaryIO:
    """Open a file of the journal, which must not be a symbolic link."""
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    mode = "rb" if flags & 3 == os.O_RDONLY else "r+b" if flags & os.O_RDWR else "wb"
    return os.fdopen(os.open(path, flags | getattr(os, "O_BINARY", 0), 0o666), mode)


def is_torn(target: Path, stamp: Any, present: list[int]) -> bool:
    """Whether a result lost its end: it is shorter, and damaged.

    A file of another format, or a complete picture, is the work of somebody else, also
    if it cannot be read.
    """
    if not isinstance(stamp, list) or not stamp or present[0] >= stamp[0]:
        return False
    if present[0] == 0:
        return True
    try:
        with open_for_reading(target) as file:
            if detect_format(file.read(64)) is None:
                return False
        read_image(target)
    except DamagedImageError:
        return True
    except (ImageError, OSError, MemoryError):
        return False
    return False


def read_fingerprint(path: Path) -> list[int]:
    """Size and modification time, which differ when another file takes the place."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]
