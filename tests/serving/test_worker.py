"""What a process of the server keeps, and what it says of a full disk."""

import errno
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from colorizenet.colorizer import Colorizer
from colorizenet.errors import ImageError
from colorizenet.imaging.image import Image
from colorizenet.imaging.writing import encode_image
from colorizenet.serving import worker as worker_module
from colorizenet.serving.errors import RequestError
from colorizenet.serving.messages import ColorizeMessage, ColorizeRequest, OpenMessage
from colorizenet.serving.worker import _Worker


@pytest.fixture
def worker(make_model) -> _Worker:
    return _Worker({"tiny": partial(Colorizer, make_model(), threads=1)})


@pytest.fixture
def photo(tmp_path, gray) -> Path:
    path = tmp_path / "photo"
    path.write_bytes(encode_image(Image(gray), "png"))
    return path


def open_files() -> list[str]:
    names = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # of the list itself
            names.append(str(link.readlink()))
    return names


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists the files of a process")
def test_a_process_without_work_forgets_a_photo_that_was_rejected(worker, photo):
    worker.answer(OpenMessage(photo, None, False))
    assert any(name.startswith(str(photo)) for name in open_files())
    worker.forget()
    assert not any(name.startswith(str(photo)) for name in open_files())


@pytest.mark.parametrize(
    ("error", "full", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), False, "busy"),
        (ImageError("it cannot be written (target: write error)"), True, "busy"),
        (ImageError("it cannot be written (target: write error)"), False, "unsupported-content"),
    ],
)
def test_a_full_disk_is_no_fault_of_the_photo(
    worker, photo, tmp_path, monkeypatch, error, full, code
):
    def fail(*_):
        raise error

    monkeypatch.setattr(worker_module, "_LEAST_ROOM", 1 << 60 if full else 0)
    monkeypatch.setattr(Path, "write_bytes", fail)
    worker.answer(OpenMessage(photo, None, False))
    message = ColorizeMessage(ColorizeRequest(), "tiny", None, tmp_path / "result", 0, 1 << 40)
    answer = worker.answer(message)
    assert isinstance(answer, RequestError) and answer.code == code
    assert (answer.retry_after is not None) == (code == "busy")
