"""Rows that are still being computed reach libvips unchanged, in bounded memory."""

import gc
import threading
import time

import numpy as np
import pytest
import pyvips

from colorizenet.imaging.rows import open_rows


def split_rows(pixels: np.ndarray, rows: int):
    return (pixels[top : top + rows] for top in range(0, len(pixels), rows))


def make_noise(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    random = np.random.default_rng(0)
    if dtype == "float32":
        return random.random(shape, np.float32)
    return random.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("shape", [(1, 1), (300, 7), (5, 40_000)])
def test_every_pixel_arrives(dtype, channels, shape):
    pixels = make_noise((*shape, channels), dtype)
    with open_rows(split_rows(pixels, 64), shape, channels, np.dtype(dtype)) as image:
        read = image.numpy()
    assert read.dtype == dtype and np.array_equal(read.reshape(pixels.shape), pixels)


@pytest.mark.parametrize("columns", [65_533, 65_534, 65_535, 65_536, 131_069, 131_070])
def test_rows_of_any_length_fit_into_stored_blocks(columns):
    pixels = make_noise((3, columns, 1), "uint8")
    with open_rows(iter([pixels]), (3, columns), 1, np.dtype("uint8")) as image:
        assert np.array_equal(image.numpy().reshape(pixels.shape), pixels)


def test_an_error_while_rows_are_computed_is_the_error_that_is_raised():
    def fail():
        yield np.zeros((16, 500, 3), np.uint8)
        raise LookupError("no more rows")

    with (
        pytest.raises(LookupError, match="no more rows"),
        open_rows(fail(), (5000, 500), 3, np.dtype("uint8")) as image,
    ):
        image.jpegsave_buffer()


def test_an_error_before_the_first_row_is_raised_too():
    def fail():
        raise LookupError("no rows")
        yield

    with (
        pytest.raises(LookupError, match="no rows"),
        open_rows(fail(), (5000, 500), 3, np.dtype("uint8")) as image,
    ):
        image.jpegsave_buffer()


@pytest.mark.parametrize("error", [KeyboardInterrupt, pyvips.Error])
def test_a_writer_that_fails_stops_the_rows(error):
    computed = []

    def compute():
        for number in range(10_000):
            computed.append(number)
            yield np.zeros((16, 5000, 3), np.uint8)

    before = threading.active_count()
    started = time.monotonic()
    with pytest.raises(error), open_rows(compute(), (160_000, 5000), 3, np.dtype("uint8")):
        raise error("disk full")
    assert time.monotonic() - started < 5 and len(computed) < 100
    assert threading.active_count() <= before


def test_the_garbage_collector_stays_on():
    with open_rows(split_rows(np.zeros((9, 9, 3), np.uint8), 3), (9, 9), 3, np.dtype("uint8")) as _:
        assert gc.isenabled()
        assert _.avg() == 0
