"""Models for tests that misbehave. The processes of a server import this module."""

import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import pyvips

from colorizenet.colorizer import Colorizer


class GatedColorizer(Colorizer):
    """A model whose calls wait until a file named gate exists in a folder. Each call
    leaves a file there before and after."""

    def __init__(self, path: Path, folder: Path) -> None:
        super().__init__(path, threads=1)
        self._folder = folder

    def __call__(self, *arguments: Any, **more: Any) -> Any:
        self._leave("started")
        end = time.monotonic() + 60
        while not (self._folder / "gate").exists():
            assert time.monotonic() < end
            time.sleep(0.01)
        self._leave("finished")
        return super().__call__(*arguments, **more)

    def _leave(self, what: str) -> None:
        (self._folder / f"{what}-{os.getpid()}-{time.monotonic_ns()}").touch()


class FailingColorizer(Colorizer):
    """A model with a defect in its code."""

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("a secret")


class CrashingColorizer(Colorizer):
    """A model that crashes the process, as a decoder with a defect does."""

    def __call__(self, *_: Any, **__: Any) -> Any:
        os.kill(os.getpid(), signal.SIGSEGV)


class GreedyColorizer(Colorizer):
    """A model that takes memory without end."""

    def __call__(self, *_: Any, **__: Any) -> Any:
        taken = []
        while True:
            taken.append(bytearray(50_000_000))


class ScribblingColorizer(Colorizer):
    """A model that leaves a temporary file of Python and one of libvips."""

    def __call__(self, *arguments: Any, **more: Any) -> Any:
        with tempfile.NamedTemporaryFile(suffix=".tmp", delete=False):
            pass
        self._unfinished = pyvips.Image.new_temp_file("%s.v")  # deleted with the object
        Path(self._unfinished.filename).touch()
        return super().__call__(*arguments, **more)
