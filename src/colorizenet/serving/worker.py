"""What one process of the server does: it opens a photo, and then colorizes it.

The process loads each model once, and then answers the messages of its connection, one
at a time, until the connection is closed. Decoders of image files can crash, can take
all memory and cannot be interrupted. In a process of its own such a photo harms nobody
else: the server kills the process, or finds it dead, and starts another one.

Memory is limited by what the system counts as the data of the process, where the system
can do that (Linux). A photo that needs more gets an error, or ends its process.
"""

import errno
import hashlib
import os
import shutil
import signal
import tempfile
import traceback
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cv2
import pyvips

from colorizenet.errors import (
    ConfigError,
    DamagedImageError,
    ImageError,
    UnwritableImageError,
)
from colorizenet.imaging.reading import ImageFile
from colorizenet.serving.coloring import (
    PreviewCache,
    colorize_photo,
    describe_photo,
    open_photo,
    suggest_colors,
)
from colorizenet.serving.errors import ProblemCode, RequestError, make_disk_error
from colorizenet.serving.messages import (
    Answer,
    ColorizeMessage,
    Loader,
    OpenMessage,
    SuggestRequest,
    WorkerFailure,
)

try:
    import resource
except ModuleNotFoundError:  # Windows
    resource = None

__all__ = ["run_worker"]

_SMALL_BYTES = 4_000_000
"""A file of more bytes is not compared with the one before it."""
_IDLE_SECONDS = 30.0
"""A process that has had nothing to do for so long keeps nothing of the last photo: not
the file of one that was rejected, and no preview."""
_DISK_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
_LEAST_ROOM = 1 << 20
"""A disk with fewer free bytes is full."""
_KEPT_BYTES = 150_000_000
"""A process that keeps more memory than this after a photo is replaced."""


def run_worker(connection: Connection, loaders: Mapping[str, Loader], folder: Path) -> None:
    """Load the first model, and send an ``Answer`` to each message until the connection
    is closed. The first answer needs no message. Other models are loaded at first use.

    ``folder`` is for temporary files: libvips writes some for large photos.
    """
    # The server decides when a process ends: Ctrl-C, and the signals of a service
    # manager, reach all processes, and requests that have arrived are finished.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    pyvips.cache_set_max(0)  # libvips would keep clients' photos in memory
    cv2.setNumThreads(1)  # there is one process per photo
    with suppress(EOFError, OSError):  # the server has ended
        try:
            worker = _Worker(loaders)
        except Exception:
            return connection.send(Answer(WorkerFailure(traceback.format_exc()), True))
        connection.send(Answer(None, False))
        while True:
            if not connection.poll(_IDLE_SECONDS):
                worker.forget()
            answer = worker.answer(connection.recv())
            ends = worker.has_grown()
            connection.send(Answer(answer, ends))
            del answer
            if ends:
                return None


class _Worker:
    """The models, and the photo that is open."""

    def __init__(self, loaders: Mapping[str, Loader]) -> None:
        first = next(iter(loaders))
        self._loaders, self._models = loaders, {first: loaders[first]()}
        self._file: ImageFile | None = None
        self._encoded_bytes = 0
        self._digest = b""
        self._cache = PreviewCache()
        self._data_bytes = _read_data_bytes()

    def answer(self, message: Any) -> Any:
        """Answer one message; errors are answers, too."""
        try:
            if isinstance(message, OpenMessage):
                self._close()
                content = message.content
                self._encoded_bytes = len(content) if isinstance(content, bytes) else 0
                self._digest = b""
                if isinstance(content, bytes) and len(content) <= _SMALL_BYTES:
                    self._digest = hashlib.sha256(content).digest()
                self._limit_memory(message.memory)
                self._file = open_photo(content, first_page=message.first_page)
                return describe_photo(self._file)
            assert isinstance(message, ColorizeMessage) and self._file is not None
            model = self._find_model(message.model)
            self._limit_memory(message.memory)
            try:
                if isinstance(message.request, SuggestRequest):
                    above = message.stream_above
                    return suggest_colors(self._file, model, message.request, above)
                return colorize_photo(self._file, model, message, self._cache, self._digest)
            finally:
                self._close()
        except RequestError as error:
            return error
        except (ImageError, ConfigError) as error:
            if "out of memory" in str(error).lower():  # of libvips
                return _memory_error()
            if "write error" in str(error) and _is_disk_full():  # of libvips
                return make_disk_error()
            return RequestError(422, _find_code(error), str(error))
        except MemoryError:
            return _memory_error()
        except OSError as error:
            full = error.errno in _DISK_FULL
            return make_disk_error() if full else WorkerFailure(traceback.format_exc())
        except cv2.error as error:
            if error.code == cv2.Error.StsNoMem:
                return _memory_error()
            return WorkerFailure(traceback.format_exc())
        except Exception:
            return WorkerFailure(traceback.format_exc())
        finally:
            self._limit_memory(None)

    def _find_model(self, name: str) -> Any:
        """A model, which is loaded if it was not used before; it counts as memory of
        the process and not of the photo."""
        if name not in self._models:
            self._limit_memory(None)
            before = _read_data_bytes()
            self._models[name] = self._loaders[name]()
            after = _read_data_bytes()
            if self._data_bytes is not None and before is not None and after is not None:
                self._data_bytes += after - before
        return self._models[name]

    def _close(self) -> None:
        """Close the photo that is open, if any."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def forget(self) -> None:
        """Keep nothing of the last photo."""
        self._close()
        self._cache = PreviewCache()

    def has_grown(self) -> bool:
        """Whether the process has kept much memory of finished photos, which would be
        missing for the next ones."""
        if self._file is not None or self._data_bytes is None:
            return False
        return (_read_data_bytes() or 0) > self._data_bytes + _KEPT_BYTES

    def _limit_memory(self, number: int | None) -> None:
        """Limit the data of this process to what it had after its start, the file, and
        so many bytes."""
        if resource is None or self._data_bytes is None:
            return
        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        soft = most if number is None else self._data_bytes + self._encoded_bytes + number
        if most != resource.RLIM_INFINITY:
            soft = min(soft, most)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, most))


def _read_data_bytes() -> int | None:
    """What the system counts as the data of this process, or None where it does
    not."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    line = next((line for line in status.splitlines() if line.startswith("VmData:")), None)
    return 1024 * int(line.split()[1]) if line else None


def _is_disk_full() -> bool:
    """Whether there is hardly any room for temporary files."""
    return shutil.disk_usage(tempfile.gettempdir()).free < _LEAST_ROOM


def _memory_error() -> RequestError:
    return RequestError(
        413,
        "too-much-memory",
        "the photo needs more memory than one photo may take; use a smaller photo",
    )


def _find_code(error: ImageError | ConfigError) -> ProblemCode:
    if isinstance(error, ConfigError):
        return "invalid-setting"
    if isinstance(error, DamagedImageError):
        return "damaged"
    return "unwritable" if isinstance(error, UnwritableImageError) else "unsupported-content"
