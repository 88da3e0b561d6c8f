"""Networks' answers for many photographs, in bounded memory."""

import math
import os
import tempfile
import threading
from collections.abc import Hashable
from typing import NamedTuple

import numpy as np

from colorizenet.colorizer import Chroma
from colorizenet.errors import ConfigError
from colorizenet.imaging.borders import Border

__all__ = ["ChromaCache"]


class _Place(NamedTuple):
    """Where an answer is in the file, and what is not in the file."""

    offset: int
    ab_shape: tuple[int, ...]
    l_shape: tuple[int, ...]
    similarity_shape: tuple[int, ...]
    """(0,) where there is none."""
    borders: tuple[Border | None, ...]


class ChromaCache:
    """Answers by key, in memory up to a limit, then in a temporary file; thread-safe.

    They are stored as float32, so that pictures made of them equal those of
    ``Colorizer.__call__``: 77 kB for an answer of 80 x 80, and some 500 kB with what is
    similar, which only hints need. Use it in a ``with``; once closed, it is empty and
    takes no more answers.
    """

    def __init__(self, in_memory: int = 256 << 20) -> None:
        """``in_memory``: bytes that are held in memory."""
        self._file = tempfile.SpooledTemporaryFile(max_size=in_memory)  # noqa: SIM115
        self._lock = threading.Lock()
        self._places: dict[Hashable, _Place] = {}

    def __enter__(self) -> "ChromaCache":
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._places.clear()
            self._file.close()

    def put(self, key: Hashable, chroma: Chroma) -> None:
        """Store an answer. ``ConfigError`` where the disk is full."""
        with self._lock:
            if self._file.closed:
                return
            similarity = np.empty(0) if chroma.similarity is None else chroma.similarity
            try:
                offset = self._file.seek(0, os.SEEK_END)
                for plane in (chroma.ab, chroma.l_star, similarity):
                    self._file.write(np.ascontiguousarray(plane, np.float32).tobytes())
            except OSError as error:
                raise ConfigError(
                    f"the networks' answers do not fit into {tempfile.gettempdir()} "
                    f"({error.strerror}); set TMPDIR to a folder with more space, or use --limit"
                ) from error
            self._places[key] = _Place(
                offset, chroma.ab.shape, chroma.l_star.shape, similarity.shape, chroma.borders
            )

    def get(self, key: Hashable) -> Chroma | None:
        """The answer that was put under this key, None where there is none."""
        with self._lock:
            if key not in self._places:
                return None
            offset, *shapes, borders = self._places[key]
            counts = [math.prod(shape) for shape in shapes]
            self._file.seek(offset)
            planes = np.frombuffer(self._file.read(4 * sum(counts)), np.float32)
        parts = np.split(planes, np.cumsum(counts)[:-1])
        ab, l_star, similarity = (
            part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)
        )
        return Chroma(ab, l_star, borders, similarity if similarity.size else None)
