"""The page's uploads and results on the disk, with limits on space and age."""

import asyncio
import contextlib
import os
import stat
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from colorizenet.serving.errors import RequestError
from colorizenet.serving.jobs import Limits

__all__ = ["Storage"]


class Storage:
    """The files of the page in a new folder: Gradio's uploads in random subfolders, our
    results in ``results``."""

    folder: Path
    results: Path

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._limits = limits
        self.folder = folder
        self.results = folder / "results"
        self.results.mkdir(parents=True)
        self._reserved_bytes = 0
        self._counting = asyncio.Lock()

    @property
    def max_bytes(self) -> int:
        """Space for all files together."""
        return self._limits.page_files * self._limits.max_bytes

    def contains(self, path: object) -> bool:
        """Whether a path is the canonical path of a file inside the folder."""
        if not isinstance(path, str) or "\0" in path:
            return False
        return (
            Path(path).resolve() == Path(path)
            and Path(path).is_relative_to(self.folder)
            and Path(path).is_file()
        )

    @contextlib.asynccontextmanager
    async def reserve(self, number: int) -> AsyncIterator[None]:
        """Reserve space for files of so many bytes while they are being written.

        Raises ``RequestError`` where the folder has no room for them. Files that are
        being written count twice, so there is always as much room as was reserved.
        """

        def used() -> int:
            sizes = (
                status.st_size
                for _, status in _list_below(self.folder)
                if stat.S_ISREG(status.st_mode)
            )
            return sum(sizes)

        async with self._counting:
            # By the end of the count, some of these have become files that it missed.
            reserved = self._reserved_bytes
            if await asyncio.to_thread(used) + reserved + number > self.max_bytes:
                raise RequestError(
                    503,
                    "the server's disk space for photos is full; try again later",
                    retry_after=60,
                )
            self._reserved_bytes += number
        try:
            yield
        finally:
            self._reserved_bytes -= number

    async def delete_old_files(self) -> None:
        """Delete files that are older than ``Limits.page_seconds``, until cancelled."""
        age = self._limits.page_seconds

        def delete() -> None:
            for path, status in _list_below(self.folder):
                if status.st_mtime < time.time() - age and path != self.results:
                    with contextlib.suppress(OSError):  # a folder that is not empty
                        path.rmdir() if path.is_dir() else path.unlink()

        while True:
            await asyncio.sleep(age / 10)
            await asyncio.to_thread(delete)


def _list_below(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Everything in a folder, files before their folders; without what is deleted
    meanwhile."""
    for path in sorted(folder.rglob("*"), reverse=True):
        with contextlib.suppress(OSError):
            yield path, path.stat()
