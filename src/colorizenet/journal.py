"""A record, inside a folder of results, of how each result was made.

A line is written before the result gets its final name. It holds the size and the
modification time that the file will have, which a rename does not change. So a file
that its line does not describe was written or changed by somebody else, and a run that
was killed at any moment is completed by the next one.
"""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any

from filelock import FileLock, Timeout

from colorizenet.errors import ConfigError, quote
from colorizenet.files import TEMPORARY_PATTERN

__all__ = ["Journal", "lock_results"]

_FOLDER = ".colorizenet"
"""Name of the folder, among the results, of the journal and the lock."""


class Journal:
    """Reads and appends to the journal of one folder of results, from any thread.

    ``key`` names everything but the source that the pixels depend on: the model, the
    options and the version. Results of another key are made again.
    """

    def __init__(self, folder: Path, key: str = "") -> None:
        self._folder, self._key, self._lock = folder, key, Lock()
        self._file = folder / _FOLDER / "results.jsonl"
        self._records: dict[str, dict[str, Any]] = {}
        with suppress(OSError), self._file.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                # The last line of a killed run may be cut short.
                with suppress(ValueError, TypeError, KeyError):
                    record = json.loads(line)
                    self._records[record["result"]] = record

    def is_finished(self, source: Path, target: Path) -> bool:
        """Whether the result exists and need not be made again.

        True also for files that this tool did not write and for results that were
        changed since: those are never replaced.
        """
        try:
            present = _fingerprint(target)
        except OSError:
            return False
        record = self._records.get(self._name(target))
        if record is None or record.get("stamp") != present:
            return True
        try:
            found = _fingerprint(source)
        except OSError:
            return True  # the source is gone, so the result cannot be made again
        return record.get("key") == self._key and record.get("source") == found

    def record(self, source: Path, target: Path, temporary: Path) -> None:
        """Describe ``temporary`` before its rename to ``target``. Raises OSError."""
        record: dict[str, Any] = {
            "result": self._name(target),
            "stamp": _fingerprint(temporary),
            "key": self._key,
        }
        with suppress(OSError):  # the source may have been removed since it was read
            record["source"] = _fingerprint(source)
        line = json.dumps(record).encode() + b"\n"
        with self._lock:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("ab") as file:
                # A line that was cut short must not swallow this one.
                file.write(b"\n" + line if file.tell() else line)
            self._records[record["result"]] = record

    def _name(self, target: Path) -> str:
        return os.path.relpath(target, self._folder)


@contextmanager
def lock_results(folder: Path, targets: Iterable[Path]) -> Iterator[None]:
    """Reserve a folder of results for one run at a time.

    Makes the folder, and removes the temporary files that a killed run left next to
    ``targets``. Raises ``ConfigError`` if another run holds the folder.
    """
    try:
        (folder / _FOLDER).mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / _FOLDER / "lock")
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
        for parent in {target.parent for target in targets}:
            for leftover in parent.glob(TEMPORARY_PATTERN) if parent.is_dir() else ():
                with suppress(OSError):
                    leftover.unlink()
        yield
    finally:
        lock.release()


def _fingerprint(path: Path) -> list[int]:
    """Size and modification time, which differ when another file takes the place."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]
