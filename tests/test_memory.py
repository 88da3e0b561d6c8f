"""Tests of ``colorizenet.memory``."""

import platform
import subprocess
import sys

import pytest

from colorizenet.memory import keep_freed_memory

COUNT_NEW_PAGES = """
import resource, sys
import numpy as np
from colorizenet.memory import keep_freed_memory

if sys.argv[1] == "keep":
    keep_freed_memory()
np.ones(40_000_000, np.uint8)  # the memory that is then used again
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    np.ones(40_000_000, np.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def count_new_pages(mode: str) -> int:
    """New pages of memory in a process that makes and frees large arrays. By default,
    glibc returns arrays of more than 32 MB at once."""
    command = [sys.executable, "-c", COUNT_NEW_PAGES, mode]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators")
def test_freed_memory_is_used_again() -> None:
    assert 5 * count_new_pages("keep") < count_new_pages("release")


def test_other_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    loaded: list[object] = []
    monkeypatch.setattr("ctypes.CDLL", loaded.append)
    keep_freed_memory()
    assert not loaded
