"""Small files that once took minutes, gigabytes or the whole server."""

import statistics
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator

import httpx
import pytest

from colorizenet.imaging.image import Image
from colorizenet.imaging.writing import encode_image
from colorizenet.serving.jobs import Limits


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def make_png(extra: bytes, side: int = 64) -> bytes:
    """A gray PNG with further chunks before its pixels."""
    rows = b"".join(bytes([0, *(4 * (x + y) % 256 for x in range(side))]) for y in range(side))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + extra + pixels


def make_directory(entries: list[tuple[int, int, int, int]], following: int = 0) -> bytes:
    """A TIFF directory of (tag, type, count, value)."""
    packed = b"".join(struct.pack("<HHII", *each) for each in entries)
    return struct.pack("<H", len(entries)) + packed + struct.pack("<I", following)


def make_tags(side: int) -> list[tuple[int, int, int, int]]:
    """The tags of a page whose pixels begin at byte 8."""
    return [
        (256, 4, 1, side),
        (257, 4, 1, side),
        (258, 3, 1, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (273, 4, 1, 8),
        (277, 3, 1, 1),
        (278, 4, 1, side),
        (279, 4, 1, side * side),
    ]


def make_pages(number: int, *, side: int = 8, cyclic: bool = False) -> bytes:
    """A TIFF of pages that share their pixels. ``cyclic``: the last is followed by the
    first."""
    first = 8 + side * side
    length = len(make_directory(make_tags(side)))
    ends = [first + length * (i + 1) for i in range(number - 1)] + [first if cyclic else 0]
    return (
        struct.pack("<2sHI", b"II", 42, first)
        + bytes(range(side)) * side
        + b"".join(make_directory(make_tags(side), end) for end in ends)
    )


def make_exif_loop(entries: int) -> bytes:
    """An EXIF block whose pointers lead to their own directory."""
    block = struct.pack("<2sHI", b"II", 42, 8) + make_directory([(34665, 4, 1, 8)] * entries)
    return make_png(chunk(b"eXIf", block))


def make_shared_values(entries: int, size: int = 1 << 20) -> bytes:
    """A TIFF whose EXIF tags are all the same megabyte of the file."""
    side = 64
    pixels = bytes(range(side)) * side
    exif_at = 8 + len(pixels)
    value_at = exif_at + 2 + 12 * entries + 4
    exif = make_directory([(1000 + i, 7, size, value_at) for i in range(entries)])
    return (
        struct.pack("<2sHI", b"II", 42, value_at + size)
        + pixels
        + exif
        + bytes(size)
        + make_directory([*make_tags(side), (34665, 4, 1, exif_at)])
    )


def make_xmp(repetitions: int) -> bytes:
    packet = zlib.compress(b"<a:DigitalSourceType>" * repetitions, 9)
    return make_png(chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + packet))


def make_texts(number: int, size: int) -> bytes:
    text = zlib.compress(b"A" * size, 9)
    return make_png(b"".join(chunk(b"zTXt", b"k%d\0\0" % i + text) for i in range(number)))


HOSTILE: dict[str, Callable[[], bytes]] = {
    "an EXIF loop of 200 entries": lambda: make_exif_loop(200),
    "an EXIF loop of 4096 entries": lambda: make_exif_loop(4096),
    "1500 EXIF values of the same megabyte": lambda: make_shared_values(1500),
    "400 kB of unfinished XMP": lambda: make_xmp(20_000),
    "1 MB of unfinished XMP": lambda: make_xmp(50_000),
    "700 MB of compressed text": lambda: make_texts(100, 7_000_000),
    "600 MB in one compressed text": lambda: make_texts(1, 600_000_000),
    "300 pages": lambda: make_pages(300),
    "100,000 pages": lambda: make_pages(100_000),
    "pages in a circle": lambda: make_pages(3, cyclic=True),
}


def read_memory(client: httpx.Client) -> float:
    """Bytes of memory of all processes that colorize."""
    lines = client.get("/metrics").text.splitlines()
    name = "colorizenet_workers_memory_bytes "
    return float(next(line for line in lines if line.startswith(name)).removeprefix(name))


@pytest.fixture(scope="module")
def client(run_server, load_default, gray) -> Iterator[httpx.Client]:
    """A client of a server that colorizes two photos at once."""
    with run_server({"default": load_default}, Limits(concurrency=2)) as client:
        good = encode_image(Image(gray), "jpeg")
        for _ in range(5):  # all processes have been started
            assert client.post("/v1/colorize", content=good).status_code == 200
        yield client


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_file_ends_soon_and_takes_little_memory(client, make):
    encoded = make()
    peak, done = [0.0], threading.Event()
    idle = read_memory(client)

    def watch() -> None:
        with httpx.Client(base_url=client.base_url) as watcher:
            while not done.wait(0.05):
                peak.append(read_memory(watcher))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        started = time.monotonic()
        response = client.post("/v1/colorize", content=encoded)
        assert time.monotonic() - started < 5
    finally:
        done.set()
        watching.join()
    assert response.status_code in (200, 413, 422, 500, 503), response.text
    assert response.status_code == 200 or response.json()["detail"]
    assert max(peak) - idle < 1e9


def test_hostile_files_leave_good_requests_almost_as_fast(client, gray):
    good = encode_image(Image(gray), "jpeg")

    def seconds() -> float:
        started = time.monotonic()
        assert client.post("/v1/colorize", content=good).status_code == 200
        return time.monotonic() - started

    usual = statistics.median(seconds() for _ in range(10))
    files = [make() for make in HOSTILE.values()]
    stopping = threading.Event()

    def attack(first: int) -> None:
        with httpx.Client(base_url=client.base_url, timeout=30) as attacker:
            number = first
            while not stopping.is_set():
                attacker.post("/v1/colorize", content=files[number % len(files)])
                number += 1

    attackers = [threading.Thread(target=attack, args=(first,)) for first in (0, 5)]
    for attacker in attackers:
        attacker.start()
    try:
        took = [seconds() for _ in range(20)]
    finally:
        stopping.set()
        for attacker in attackers:
            attacker.join()
    assert statistics.median(took) < 2 * usual + 0.1
    assert max(took) < 5
