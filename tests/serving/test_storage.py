"""The page's files: the limit on their space, and photos that are not retried
forever."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from colorizenet.colorizer import Colorizer
from colorizenet.imaging.image import Image
from colorizenet.imaging.writing import encode_image
from colorizenet.serving.errors import RequestError
from colorizenet.serving.jobs import ColorizeRequest, JobQueue, Limits
from colorizenet.serving.page.coloring import colorize_files, create_folder, write_archive
from colorizenet.serving.page.results import Result
from colorizenet.serving.page.storage import Storage


def run(models: dict[str, Any], limits: Limits, use: Callable[..., Awaitable[None]]) -> None:
    """Call ``use`` with a queue and the storage of its page."""

    async def open_queue() -> None:
        queue = JobQueue(models, limits)
        try:
            await use(queue, Storage(queue.folder.path / "page", limits))
        finally:
            queue.close()

    asyncio.run(open_queue())


async def colorize(
    queue: JobQueue, storage: Storage, *photos: Path, model: str | None = None
) -> list[Result]:
    folder = create_folder(storage.results)
    request = ColorizeRequest(model=model)
    results = colorize_files(photos, folder, request, queue, storage, asyncio.Event())
    return [result async for result in results]


def test_space_is_reserved_until_the_files_are_written(tmp_path):
    async def use() -> None:
        storage = Storage(tmp_path / "page", Limits(max_bytes=100, page_files=3))
        async with storage.reserve(200):
            with pytest.raises(RequestError, match="disk space for photos is full"):
                async with storage.reserve(101):
                    pass
            async with storage.reserve(100):
                pass
        (storage.results / "photo").write_bytes(bytes(250))
        async with storage.reserve(50):
            pass
        with pytest.raises(RequestError) as error:
            async with storage.reserve(51):
                pass
        assert error.value.status == 503 and error.value.retry_after

    asyncio.run(use())


def test_results_and_archives_without_space_are_refused(make_model, tmp_path, gray):
    photo = tmp_path / "a.png"
    photo.write_bytes(encode_image(Image(gray), "png"))
    size = photo.stat().st_size

    async def use(queue: JobQueue, storage: Storage) -> None:
        (first,) = await colorize(queue, storage, photo)
        assert first.file is not None and first.file.stat().st_size > size / 2
        assert await write_archive(first.file.parent, [first.file] * 2, storage) is None
        assert len(list(first.file.parent.iterdir())) == 3
        (second,) = await colorize(queue, storage, photo)
        assert "disk space for photos is full" in second.error
        assert list(storage.results.rglob("*.png")) == [first.file]

    limits = Limits(concurrency=2, max_bytes=round(size * 1.2), page_files=4)
    run({"quick": partial(Colorizer, make_model(), threads=1)}, limits, use)


def test_an_overloaded_queue_is_not_retried_forever(gate, tmp_path, gray):
    photos = [tmp_path / f"{number}.png" for number in range(2)]
    for path in photos:
        path.write_bytes(encode_image(Image(gray), "png"))

    async def use(queue: JobQueue, storage: Storage) -> None:
        started = time.monotonic()
        visitors = await asyncio.gather(*(colorize(queue, storage, *photos) for _ in range(3)))
        assert time.monotonic() - started < 30
        assert all(result.error for results in visitors for result in results)

    run({"gated": gate.load}, Limits(concurrency=2, queue=0, timeout=2), use)


def test_a_photo_that_takes_far_too_long_is_not_tried_again(gate, tmp_path, gray):
    photo = tmp_path / "a.png"
    photo.write_bytes(encode_image(Image(gray), "png"))

    async def use(queue: JobQueue, storage: Storage) -> None:
        gate.open()
        for _ in range(3):
            (result,) = await colorize(queue, storage, photo)
            assert not result.error
        gate.close()
        started = time.monotonic()
        (result,) = await colorize(queue, storage, photo)
        assert "many times what photos of its size take" in result.error
        assert time.monotonic() - started < 60 and gate.started == 4

    run({"gated": gate.load}, Limits(concurrency=2), use)
