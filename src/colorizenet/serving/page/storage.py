"""The folder that holds the page's uploads and results, with limits on space and
age."""

import asyncio
import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from colorizenet.serving.errors import RequestError
from colorizenet.serving.jobs import Limits

__all__ = ["Storage"]


class Storage:
    """A temporary folder: Gradio's uploads in random subfolders, our results in
    ``results``."""

    folder: Path
    results: Path

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.folder = Path(tempfile.mkdtemp(prefix="colorizenet-")).resolve()
        self.results = self.folder / "results"
        self.results.mkdir()

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

    async def check_space(self) -> None:
        """Raise ``RequestError`` where the folder is full."""

        def used() -> int:
            return sum(status.st_size for _, status in _list_below(self.folder))

        if await asyncio.to_thread(used) > self.max_bytes:
            raise RequestError(
                503, "the server's disk space for photos is full; try again later", retry_after=60
            )

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

    def delete(self) -> None:
        """Delete the folder with all files."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _list_below(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Everything in a folder, files before their folders; without what is deleted
    meanwhile."""
    for path in sorted(folder.rglob("*"), reverse=True):
        with contextlib.suppress(OSError):
            yield path, path.stat()
