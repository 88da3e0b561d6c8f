"""Limits of the process that several blocks of work share."""

import cv2

from colorizenet.parallel import limit_opencv_threads


def test_overlapping_blocks_restore_the_threads_of_opencv():
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    try:
        first, second = limit_opencv_threads(), limit_opencv_threads()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert cv2.getNumThreads() == 1  # the second is still at work
        second.__exit__(None, None, None)
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(before)
