"""Keep freed memory in the process, for the next picture."""

import ctypes
import platform

__all__ = ["keep_freed_memory"]

# Parameters of mallopt(3), from malloc.h of glibc, and their sizes in bytes.
_SETTINGS = {
    -3: 1 << 30,  # M_MMAP_THRESHOLD: smaller blocks come from the heap
    -1: 1 << 28,  # M_TRIM_THRESHOLD: so much at the end of the heap is kept
    -2: 1 << 26,  # M_TOP_PAD: the heap grows in steps of so much
}


def keep_freed_memory() -> None:
    """Let the allocator of the C library keep what is freed, up to 256 MB per thread.

    By default, glibc returns large blocks to the system at once. Each array then
    consists of new pages, which the system fills with zeros first: a tenth to a quarter
    of the processor time of colorizing and training. This changes the whole process, so
    that only commands and worker processes call it, never the library.

    Does nothing on other C libraries.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    library = ctypes.CDLL(None)
    for parameter, size in _SETTINGS.items():
        library.mallopt(parameter, size)
