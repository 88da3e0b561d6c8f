"""The folder of one server for temporary files, such as the photos of the page.

Next to each folder lies a file of the same name that its server keeps locked. The
system gives up the lock when the server ends, however it ends. So a server that starts
deletes the folders whose locks are free: their servers were killed.
"""

import asyncio
import os
import secrets
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from colorizenet.errors import ConfigError, quote

__all__ = ["ServerFolder"]

_PREFIX = "colorizenet-"
_LOCK_SUFFIX = ".lock"
_TOUCH_SECONDS = 3600.0
"""Many systems delete what has not been used for days from the folder for temporary
files, so the lock and the folder get a new time so often."""


class ServerFolder:
    """A new folder that only this user can read, deleted with the server.

    ``parent`` holds it, by default the system's folder for temporary files. The folders
    of servers that were killed are deleted from ``parent`` first. Raises
    ``ConfigError`` where ``parent`` cannot be written.
    """

    path: Path

    def __init__(self, parent: Path | None = None) -> None:
        try:
            parent = (parent or Path(tempfile.gettempdir())).resolve()
            _delete_abandoned_folders(parent)
            self.path = parent / f"{_PREFIX}{secrets.token_hex(8)}"
            # Any thread may release the lock. It is held before the folder exists, so
            # a folder whose lock is free has lost its server.
            self._lock = FileLock(_lock_path(self.path), mode=0o600, thread_local=False)
            self._lock.acquire(blocking=False)
            self.path.mkdir(mode=0o700)
        except OSError as error:
            reason = error.strerror or str(error)
            raise ConfigError(
                f"the folder for temporary files {quote(parent or '')} cannot be written: "
                f"{quote(reason)}; set TMPDIR to a folder that can"
            ) from error

    async def touch_regularly(self) -> None:
        """Keep the folder from being taken for an old one, until cancelled."""
        while True:
            await asyncio.sleep(_TOUCH_SECONDS)
            for path in (self.path, _lock_path(self.path)):
                with suppress(OSError):
                    os.utime(path)

    def delete(self) -> None:
        """Delete the folder with all files, and give up its lock."""
        _delete_folder(self.path)
        self._lock.release()


def _lock_path(folder: Path) -> Path:
    return folder.with_name(folder.name + _LOCK_SUFFIX)


def _delete_abandoned_folders(parent: Path) -> None:
    """Delete the folders of this user whose servers have ended."""
    for lock_path in parent.glob(f"{_PREFIX}*{_LOCK_SUFFIX}"):
        folder = lock_path.with_name(lock_path.name.removesuffix(_LOCK_SUFFIX))
        if not _is_own_folder(folder):
            continue
        lock = FileLock(lock_path, mode=0o600)
        # A lock that is not free belongs to a server that is running.
        with suppress(Timeout, OSError), lock.acquire(blocking=False):
            _delete_folder(folder)


def _delete_folder(folder: Path) -> None:
    """Delete a folder and then its lock file, whose lock must be held.

    A process that has not noticed yet that its server was killed may write one more
    file. Then the lock file stays, and the next server deletes both.
    """
    shutil.rmtree(folder, ignore_errors=True)
    if not folder.exists():
        with suppress(OSError):  # Windows does not delete a file that is open
            _lock_path(folder).unlink(missing_ok=True)


def _is_own_folder(path: Path) -> bool:
    """Whether a path is a folder of this user, and not a link to one."""
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and (
        not hasattr(os, "getuid") or status.st_uid == os.getuid()
    )
