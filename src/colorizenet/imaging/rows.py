"""Rows that are still being computed, as an image that libvips can write.

A thread encodes the rows as an uncompressed PNG into a pipe, and libvips decodes that
PNG from the other end. PNG, because libvips decodes it from a pipe without holding it
in memory; a pipe, because a source with Python callbacks runs Python (and its garbage
collector, which may free pictures) inside the threads of libvips.

The PNG is gray with 8 bits, one sample per byte of the pixels: it carries any number of
channels and any dtype, floats included. ``open_rows`` folds the bytes back into pixels.

References:
    W3C PNG, third edition; RFC 1950 (zlib) and RFC 1951 (stored blocks).
"""

import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import BinaryIO

import numpy as np
import pyvips

__all__ = ["open_rows"]

_BLOCK_BYTES = 65_535
"""The longest stored block of RFC 1951."""
_PIPE_BYTES = 1 << 20
_FORMATS = {"uint8": "uchar", "uint16": "ushort", "float32": "float"}


@contextmanager
def open_rows(
    strips: Iterator[np.ndarray], shape: tuple[int, int], channels: int, dtype: np.dtype
) -> Iterator[pyvips.Image]:
    """Open strips ``(n, W, channels)``, from top to bottom, as one image of (H, W)
    ``shape``.

    The image must be read once, from top to bottom, within the context. What the
    iterator raises is raised on leaving the context.
    """
    reader, writer = os.pipe()
    stop = Event()
    errors: list[BaseException] = []

    def feed() -> None:
        try:
            with os.fdopen(writer, "wb") as pipe:
                _enlarge_pipe(pipe)
                _write_png(pipe, strips, shape, channels * dtype.itemsize, stop)
        except BaseException as error:  # raised again in the thread of the caller
            errors.append(error)

    def end() -> None:
        """End the thread, which may be waiting for room in the pipe."""
        stop.set()
        while os.read(reader, _PIPE_BYTES):
            pass
        thread.join()

    thread = Thread(target=feed, name="rows", daemon=True)
    thread.start()
    try:
        # The checksums need no check: the bytes never leave this process.
        source = pyvips.Source.new_from_descriptor(reader)
        image = pyvips.Image.pngload_source(source, access="sequential", fail_on="truncated")
        pixels = image.bandfold(factor=channels * dtype.itemsize)
        yield pixels.copy(bands=channels, format=_FORMATS[dtype.name])
    except pyvips.Error as error:
        end()
        if errors:  # the cause, of which libvips only noticed that rows are missing
            raise errors[0] from error
        raise
    finally:
        end()
        os.close(reader)
    if errors:
        raise errors[0]


def _write_png(
    pipe: BinaryIO, strips: Iterator[np.ndarray], shape: tuple[int, int], samples: int, stop: Event
) -> None:
    """Write strips as a PNG, ``samples`` bytes per pixel, until ``stop`` is set."""
    height, width = shape
    row_bytes = width * samples
    pipe.write(b"\x89PNG\r\n\x1a\n")
    _write_chunk(pipe, b"IHDR", struct.pack(">IIBBBBB", row_bytes, height, 8, 0, 0, 0, 0))
    _write_chunk(pipe, b"IDAT", b"\x78\x01")  # the header of the zlib stream
    template, spans = _lay_out_row(row_bytes)
    framed = np.empty((0, template.size), np.uint8)
    checksum = zlib.adler32(b"")
    for strip in strips:
        if stop.is_set():
            return
        rows = np.ascontiguousarray(strip).reshape(len(strip), -1).view(np.uint8)
        if len(framed) < len(rows):
            framed = np.repeat(template[None], len(rows), axis=0)
        for start, first, last in spans:
            framed[: len(rows), start : start + last - first] = rows[:, first:last]
        for row in rows:
            checksum = zlib.adler32(row.data, zlib.adler32(b"\0", checksum))
        _write_chunk(pipe, b"IDAT", framed[: len(rows)].reshape(-1).data)
    end = struct.pack("<BHH", 1, 0, 0xFFFF)  # an empty last block
    _write_chunk(pipe, b"IDAT", end + struct.pack(">I", checksum))
    _write_chunk(pipe, b"IEND", b"")


def _lay_out_row(row_bytes: int) -> tuple[np.ndarray, list[tuple[int, int, int]]]:
    """Lay out one row of PNG in stored blocks.

    Returns the bytes of the row with pixels of 0, and where pixels go: the position in
    it and the first and last byte of the row that go there.
    """
    content = 1 + row_bytes  # the number of the filter, which is 0, comes first
    parts: list[bytes] = []
    spans: list[tuple[int, int, int]] = []
    position = 0
    for start in range(0, content, _BLOCK_BYTES):
        length = min(_BLOCK_BYTES, content - start)
        parts += [struct.pack("<BHH", 0, length, length ^ 0xFFFF), bytes(length)]
        skipped = 1 if start == 0 else 0
        spans.append((position + 5 + skipped, start + skipped - 1, start + length - 1))
        position += 5 + length
    return np.frombuffer(b"".join(parts), np.uint8), spans


def _write_chunk(pipe: BinaryIO, kind: bytes, content: bytes | memoryview) -> None:
    pipe.write(struct.pack(">I", len(content)) + kind)
    pipe.write(content)
    pipe.write(struct.pack(">I", zlib.crc32(content, zlib.crc32(kind))))


def _enlarge_pipe(pipe: BinaryIO) -> None:
    """Enlarge the pipe where the system allows it: threads wait less often."""
    try:
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    except (ImportError, AttributeError, OSError):
        pass
