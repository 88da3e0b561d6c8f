"""Work on many pictures at once: results in order, one thread per processor core, and
processes that leave interruptions to their parent."""

import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from threading import Lock, Thread
from typing import TypeVar

import cv2

__all__ = [
    "SharedLimit",
    "leave_interruptions_to_parent",
    "limit_opencv_threads",
    "map_ordered",
]

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_ordered(
    pool: ThreadPoolExecutor, work: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Iterator[Result]:
    """Yield ``work(item)`` of each item, in order, as ``pool.map`` does.

    At most ``ahead`` items are in work or finished and not yet yielded, however many
    there are, so that items can be large or endless.
    """
    submitted = (pool.submit(work, item) for item in items)
    waiting = deque(islice(submitted, ahead))
    while waiting:
        yield waiting.popleft().result()
        waiting.extend(islice(submitted, 1))


class SharedLimit:
    """Sets a value of the process while any of several overlapping blocks runs."""

    def __init__(self, get: Callable[[], int], set: Callable[[int], None], value: int) -> None:
        self._get, self._set, self._value = get, set, value
        self._lock, self._blocks, self._before = Lock(), 0, value

    @contextmanager
    def limit(self) -> Iterator[None]:
        """Set the value; the last block to end restores that from before the first."""
        with self._lock:
            if self._blocks == 0:
                self._before = self._get()
                self._set(self._value)
            self._blocks += 1
        try:
            yield
        finally:
            with self._lock:
                self._blocks -= 1
                if self._blocks == 0:
                    self._set(self._before)


_opencv_threads = SharedLimit(cv2.getNumThreads, cv2.setNumThreads, 1)


@contextmanager
def limit_opencv_threads() -> Iterator[None]:
    """Let OpenCV use one thread, so that N worker threads keep N cores busy.

    Results also become independent of the number of cores, because OpenCV rounds
    differently where it divides a picture among threads.
    """
    with _opencv_threads.limit():
        yield


def leave_interruptions_to_parent(_worker: int = 0) -> None:
    """Let only its parent process stop this one, where the system tells senders apart.

    A terminal sends Ctrl-C, and a service manager SIGTERM, to all processes at once. A
    process that ended before its parent asks it to would look like a crash.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not hasattr(signal, "sigwaitinfo"):  # Windows and macOS
        return
    terminations = {signal.SIGTERM}
    # Threads that are started later block it too.
    signal.pthread_sigmask(signal.SIG_BLOCK, terminations)

    def wait_for_parent() -> None:
        while signal.sigwaitinfo(terminations).si_pid != os.getppid():
            pass
        os._exit(0)

    Thread(target=wait_for_parent, daemon=True).start()
