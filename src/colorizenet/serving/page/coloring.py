"""Colorizes the photos of one visitor and writes the files that the page shows."""

import asyncio
import contextlib
import secrets
import zipfile
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

from anyio import CapacityLimiter

from colorizenet.imaging.formats import FORMATS
from colorizenet.serving.errors import RequestError
from colorizenet.serving.jobs import ColorizedPhoto, ColorizeRequest, JobQueue
from colorizenet.serving.page.results import Result, describe_photo
from colorizenet.serving.page.storage import Storage

__all__ = ["colorize_files", "create_folder", "write_archive"]

_PREVIEW = 1600
"""Longest side, in pixels, of what the page shows. Downloads have the full size."""
_PER_VISITOR = 2
"""Photos of one visitor that are colorized at once."""
_ENTRY_BYTES = 1000
"""What a zip file takes for a file, besides its content."""


async def colorize_files(
    paths: Sequence[Path],
    folder: Path,
    request: ColorizeRequest,
    queue: JobQueue,
    storage: Storage,
    stopping: asyncio.Event,
) -> AsyncGenerator[Result]:
    """Colorize files into a new folder, and yield their results in order.

    Where the queue is overloaded, each file waits for at most ``Limits.timeout``, and
    not after ``stopping`` is set.
    """
    limiter = CapacityLimiter(_PER_VISITOR)

    async def colorize(path: Path, name: str) -> Result:
        async with limiter:
            try:
                photo = await _colorize_file(path, request, queue, stopping)
                size = len(photo.encoded) + len(photo.preview_before) + len(photo.preview_after)
                async with storage.reserve(size):
                    return await asyncio.to_thread(_write_result, path, folder / name, photo)
            except RequestError as error:
                return Result(path.name, error=error.detail)

    names = _choose_names(paths)
    tasks: list[asyncio.Task[Any]] = [
        asyncio.create_task(colorize(path, name)) for path, name in zip(paths, names, strict=True)
    ]
    try:
        for task in tasks:
            yield await task
    finally:
        for task in tasks:
            task.cancel()


def create_folder(parent: Path) -> Path:
    """A new folder with a name that nobody can guess."""
    folder = parent / secrets.token_urlsafe(16)
    folder.mkdir(parents=True)
    return folder


async def write_archive(folder: Path, files: Sequence[Path], storage: Storage) -> Path | None:
    """A zip file of some files, in the same folder; None where there is no space for
    it on the disk."""
    archive = folder / "colorized-photos.zip"

    def write() -> None:
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
            for path in files:
                file.write(path, path.name)

    try:
        size = sum(path.stat().st_size + _ENTRY_BYTES for path in files)
        async with storage.reserve(size):
            await asyncio.to_thread(write)
    except (RequestError, OSError):
        archive.unlink(missing_ok=True)
        return None
    return archive


async def _colorize_file(
    path: Path, request: ColorizeRequest, queue: JobQueue, stopping: asyncio.Event
) -> ColorizedPhoto:
    """Colorize one photo, and wait for some time while the queue is overloaded."""
    with queue.count_bytes() as count:
        try:
            count(path.stat().st_size)
            encoded = await asyncio.to_thread(path.read_bytes)
        except OSError:
            raise RequestError(404, "this photo has been deleted; choose it again") from None
        end = asyncio.get_running_loop().time() + queue.limits.timeout
        while True:
            try:
                return await queue.colorize(encoded, request, preview=_PREVIEW)
            except RequestError as error:
                left = end - asyncio.get_running_loop().time()
                hopeless = error.begun or stopping.is_set()
                if hopeless or error.retry_after is None or left < error.retry_after:
                    raise
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stopping.wait(), error.retry_after)


def _write_result(path: Path, target: Path, photo: ColorizedPhoto) -> Result:
    """Write the result of the file ``path`` to ``target``, whose suffix may change, and
    the previews next to it. Raises ``RequestError``."""
    target = target.with_suffix(_choose_suffix(path, photo.format))
    suffix = "jpg" if photo.preview_before.startswith(b"\xff\xd8") else "webp"
    before = target.with_name(f"{target.stem}.before.{suffix}")
    after = target.with_name(f"{target.stem}.after.{suffix}")
    try:
        target.write_bytes(photo.encoded)
        before.write_bytes(photo.preview_before)
        after.write_bytes(photo.preview_after)
    except OSError as error:
        for written in (target, before, after):
            written.unlink(missing_ok=True)
        raise RequestError(
            503, f"the server cannot store the result: {error.strerror}; try again later"
        ) from error
    return Result(
        path.name,
        target,
        before,
        after,
        description=describe_photo(
            photo.width, photo.height, photo.bits, photo.format, len(photo.encoded)
        ),
        warnings=photo.warnings,
        shape=(photo.width, photo.height),
    )


def _choose_names(paths: Sequence[Path]) -> list[str]:
    """A file name for each result, different from all others whatever the case of
    letters."""
    taken: set[str] = set()
    names = []
    for path in paths:
        candidates = [
            f"{path.stem}-color",
            *(f"{path.stem}-color-{number}" for number in range(2, len(paths) + 2)),
        ]
        name = next(each for each in candidates if each.casefold() not in taken)
        taken.add(name.casefold())
        names.append(f"{name}{path.suffix}")
    return names


def _choose_suffix(path: Path, format: str) -> str:
    known = FORMATS[format].suffixes
    return path.suffix if path.suffix.lower() in known else known[0]
