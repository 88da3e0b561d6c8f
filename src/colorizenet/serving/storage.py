"""Photos that arrive and results that leave: in memory, or on the disk if they are
large."""

import asyncio
import io
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from colorizenet.serving.errors import RequestError, make_disk_error
from colorizenet.serving.limits import Limits
from colorizenet.serving.messages import Content

__all__ = ["Incoming", "Storage", "measure_content"]

_FACTOR = 4
"""Photos and results in memory may have this many times ``Limits.max_bytes`` together,
and those on the disk as many."""
_MEMORY_BYTES = 100_000_000
"""For memory, ``Limits.max_bytes`` counts up to this many."""
_WRITTEN_BYTES = 1 << 20
"""Bytes that are written to the disk at once."""


class Storage:
    """What the server holds of photos and results. Files are in ``folder``.

    ``make_overloaded`` makes the error for a request that may succeed later.
    """

    memory_bytes: int
    """Bytes of photos and results in memory."""
    disk_bytes: int
    """Bytes of photos and results on the disk."""

    def __init__(
        self, folder: Path, limits: Limits, make_overloaded: Callable[[str], RequestError]
    ) -> None:
        self.limits, self._folder = limits, folder
        self._make_overloaded = make_overloaded
        self.memory_bytes = self.disk_bytes = 0

    def new_path(self) -> Path:
        """A path for a file that does not exist."""
        return self._folder / f"photo-{secrets.token_hex(8)}"

    @contextmanager
    def receive(self) -> Iterator["Incoming"]:
        """A photo that arrives. It is deleted at the end of the context."""
        incoming = Incoming(self)
        try:
            yield incoming
        finally:
            incoming.delete()

    @contextmanager
    def hold(self, result: Content) -> Iterator[None]:
        """Count a result until the client has received it, and then delete it.

        Results count together with the photos that arrive, so clients that do not read
        their results cannot fill the memory.
        """
        size = measure_content(result)
        on_disk = isinstance(result, Path)
        self.count(size, on_disk=on_disk)
        try:
            yield
        finally:
            self.count(-size, on_disk=on_disk)
            if on_disk:
                delete_file(result)

    def count(self, number: int, *, on_disk: bool) -> None:
        """Add a number of bytes, which may be negative, to what is held."""
        if on_disk:
            self.disk_bytes += number
        else:
            self.memory_bytes += number

    def check(self) -> None:
        """Raise ``RequestError`` if more is held than may be."""
        largest = self.limits.max_bytes
        if (
            self.memory_bytes > _FACTOR * min(largest, _MEMORY_BYTES)
            or self.disk_bytes > _FACTOR * largest
        ):
            raise self._make_overloaded("the server is receiving too many bytes at once")


class Incoming:
    """A photo that arrives in parts. Made by ``Storage.receive``."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._received = self._size = 0
        self._parts: list[bytes] = []
        self._pending = 0
        self._file: io.FileIO | None = None
        self._path: Path | None = None

    def count(self, number: int) -> None:
        """Count bytes of the request; ``RequestError`` if there are too many."""
        self._received += number
        if self._received > self._storage.limits.max_bytes:
            raise self._storage.limits.make_size_error()

    async def write(self, data: bytes) -> None:
        """Add bytes of the photo. ``RequestError`` if there is no room for them."""
        storage = self._storage
        self._size += len(data)
        self._parts.append(data)
        self._pending += len(data)
        storage.count(len(data), on_disk=self._path is not None)
        if self._path is None and self._size > storage.limits.spool_bytes:
            storage.count(-self._size, on_disk=False)
            self._path = storage.new_path()
            storage.count(self._size, on_disk=True)
        storage.check()
        if self._path is not None and self._pending >= _WRITTEN_BYTES:
            await self._flush()

    async def finish(self) -> Content:
        """The photo, when all of it has arrived."""
        if self._path is None:
            whole = b"".join(self._parts)
            self._parts = [whole]
            return whole
        await self._flush()
        assert self._file is not None
        self._file.close()
        return self._path

    def delete(self) -> None:
        """Forget the photo, and delete its file."""
        self._parts.clear()
        self._storage.count(-self._size, on_disk=self._path is not None)
        self._size = 0
        if self._file is not None:
            self._file.close()
        if self._path is not None:
            delete_file(self._path)

    async def _flush(self) -> None:
        """Write what has arrived to the file."""
        data = b"".join(self._parts)
        self._parts.clear()
        self._pending = 0
        try:
            await asyncio.to_thread(self._append, data)
        except OSError as error:
            raise make_disk_error() from error

    def _append(self, data: bytes) -> None:
        assert self._path is not None
        if self._file is None:
            self._file = io.FileIO(self._path, "x")
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) or 0 :]


def measure_content(content: Content) -> int:
    """The number of bytes of a file."""
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def delete_file(path: Path) -> None:
    """Delete a file, if it exists."""
    with suppress(OSError):  # Windows does not delete a file that is open
        path.unlink(missing_ok=True)
