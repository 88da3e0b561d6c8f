"""Many pictures at once: results in order, a bounded number under way, every core busy once."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import Any

import cv2

__all__ = ["limit_opencv_threads", "map_ordered"]


def map_ordered(
    pool: ThreadPoolExecutor, work: Callable[[Any], Any], items: Iterable[Any], ahead: int
) -> Iterator[Any]:
    """What ``pool.map`` gives, with at most ``ahead`` results waiting, however many items there are."""
    submitted = (pool.submit(work, item) for item in items)
    waiting = deque(islice(submitted, ahead))
    while waiting:
        yield waiting.popleft().result()
        waiting.extend(islice(submitted, 1))


@contextmanager
def limit_opencv_threads() -> Iterator[None]:
    """N threads of ours are N busy cores; and how OpenCV shares out a picture among its own shows in last digits."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
