"""Colorizes the photos of one visitor and writes the files that the page shows."""

import asyncio
import secrets
import zipfile
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

from anyio import CapacityLimiter

from colorizenet.imaging.formats import FORMATS
from colorizenet.serving.errors import RequestError
from colorizenet.serving.jobs import ColorizeRequest, JobQueue
from colorizenet.serving.page.results import Result, describe_photo

__all__ = ["colorize_files", "create_folder", "write_archive"]

_PREVIEW = 1600
"""Longest side, in pixels, of what the page shows. Downloads have the full size."""
_PER_VISITOR = 2
"""Photos of one visitor that are colorized at once."""


async def colorize_files(
    paths: Sequence[Path],
    folder: Path,
    request: ColorizeRequest,
    queue: JobQueue,
    stopping: asyncio.Event,
) -> AsyncGenerator[Result]:
    """Colorize files into a new folder, and yield their results in order.

    An overloaded queue is retried until ``stopping`` is set.
    """
    limiter = CapacityLimiter(_PER_VISITOR)

    async def colorize(path: Path, name: str) -> Result:
        async with limiter:
            try:
                return await _colorize_file(path, folder / name, request, queue, stopping)
            except RequestError as error:
                return Result(path.name, error=error.detail)
            except OSError:
                return Result(path.name, error="this photo has been deleted; choose it again")

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
    folder.mkdir()
    return folder


def write_archive(folder: Path, files: Sequence[Path]) -> Path:
    """A zip file of some files, in the same folder."""
    archive = folder / "colorized-photos.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        for path in files:
            file.write(path, path.name)
    return archive


async def _colorize_file(
    path: Path,
    target: Path,
    request: ColorizeRequest,
    queue: JobQueue,
    stopping: asyncio.Event,
) -> Result:
    with queue.count_bytes() as count:
        count(path.stat().st_size)
        encoded = await asyncio.to_thread(path.read_bytes)
        while True:
            try:
                photo = await queue.colorize(encoded, request, preview=_PREVIEW)
                break
            except RequestError as error:
                if error.retry_after is None or stopping.is_set():
                    raise
                await asyncio.sleep(error.retry_after)
    target = target.with_suffix(_choose_suffix(path, photo.format))
    suffix = "jpg" if photo.preview_before.startswith(b"\xff\xd8") else "webp"
    before = target.with_name(f"{target.stem}.before.{suffix}")
    after = target.with_name(f"{target.stem}.after.{suffix}")

    def write() -> None:
        target.write_bytes(photo.encoded)
        before.write_bytes(photo.preview_before)
        after.write_bytes(photo.preview_after)

    await asyncio.to_thread(write)
    description = describe_photo(
        photo.width, photo.height, photo.bits, photo.format, len(photo.encoded)
    )
    return Result(path.name, target, before, after, description, shape=(photo.width, photo.height))


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
