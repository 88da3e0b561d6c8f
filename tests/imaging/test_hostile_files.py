"""Sound, odd and hostile files of every format end in a result or one error, within
5 s and 1 GiB, and no result hides an error of a decoder."""

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from colorizenet.imaging.formats import FORMATS, detect_format
from colorizenet.imaging.image import Image
from colorizenet.imaging.writing import encode_image
from fuzzing.blocks import make_directory
from fuzzing.containers import alter_structure, draw_case
from fuzzing.seeds import make_seed_files
from fuzzing.supervision import Supervisor


@pytest.fixture(scope="module")
def supervisor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisor]:
    with Supervisor(tmp_path_factory.mktemp("files")) as supervisor:
        yield supervisor


@pytest.fixture(scope="module")
def files(gray) -> list[tuple[str, bytes]]:
    return make_seed_files(gray[:192:4, :256:4].copy())


def test_there_are_sound_files_of_every_format_and_all_are_colorized(supervisor, files):
    assert {detect_format(content) for _, content in files} == set(FORMATS)
    for name, content in files:
        outcome = supervisor.colorize(name, content, random.Random(name))
        cannot_hold = "cannot be written as" in outcome.reason
        assert outcome.kind == "colored" or cannot_hold, (name, outcome)


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(rng=st.randoms(use_true_random=False))
def test_altered_files_end_within_time_and_memory(supervisor, files, format, rng):
    chosen = [each for each in files if detect_format(each[1]) == format]
    name, content = draw_case(chosen, rng)
    outcome = supervisor.colorize(name, content, rng)
    assert outcome.kind != "finding", (name, outcome)


def test_the_same_seed_alters_a_file_in_the_same_way(files):
    for _, content in files:
        once, again = (alter_structure(content, random.Random(3)) for _ in range(2))
        assert once == again


def insert(format: str, at: int, content: bytes) -> bytes:
    """Insert bytes into a small file."""
    encoded = encode_image(Image(np.full((64, 64), 7, np.uint8)), format)
    return encoded[:at] + content + encoded[at:]


def make_chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def make_pages(
    block: bytes, *, pages: int = 190, tags: int = 0, **changed: tuple[int, int]
) -> bytes:
    """A TIFF of 8 x 8 pixels, with as many pages, that share one block of bytes.

    ``changed`` are the types and counts of tags that point to the block.
    """
    entries = {256: (4, 1, 8), 257: (4, 1, 8), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1)}
    entries |= {273: (4, 1, 8), 277: (3, 1, 1), 278: (4, 1, 8), 279: (4, 1, len(block))}
    entries |= {1000 + number: (7, 4, 0) for number in range(tags)}
    for name, (kind, count) in changed.items():
        number = int(name.removeprefix("tag"))
        entries[number] = (kind, count, 8 if count > 1 else entries[number][2])
    listed = [(tag, *entry) for tag, entry in sorted(entries.items())]
    first, length = 8 + len(block), 6 + 12 * len(listed)
    made = b"II*\0" + struct.pack("<I", first) + block
    for page in range(pages):
        following = first + length * (page + 1) if page < pages - 1 else 0
        made += make_directory("<", listed, following)
    return made


def make_tile(compression: str) -> bytes:
    """A TIFF whose only tile holds a picture that is much larger than the tile."""

    def encode(side: int) -> tuple[bytes, tifffile.TiffPage]:
        file = io.BytesIO()
        with tifffile.TiffWriter(file) as writer:
            pixels, tile = np.zeros((side, side), np.uint8), (side, side)
            writer.write(pixels, compression=compression, tile=tile, metadata=None)
        return file.getvalue(), tifffile.TiffFile(io.BytesIO(file.getvalue())).pages[0]

    (small, page), (large, source) = encode(64), encode(1024)
    made = bytearray(small)
    start, length = source.dataoffsets[0], source.databytecounts[0]
    for tag, number in ((324, len(made)), (325, length)):
        form = {3: "<H", 4: "<I"}[page.tags[tag].dtype]
        struct.pack_into(form, made, page.tags[tag].valueoffset, number)
    return bytes(made + large[start : start + length])


def make_large_jxl() -> bytes:
    """The header of a JPEG XL of 30,000 x 30,000 pixels."""
    bits = 3 << 1 | 29_999 << 3 | 1 << 33  # a height of 30 bits, and as wide as high
    return b"\xff\x0a" + bits.to_bytes(64, "little")


def make_deceptive_jp2() -> bytes:
    """A large JP2 with the header of a small codestream before its own."""
    encoded = cv2.imencode(".jp2", np.full((3_000, 3_000), 7, np.uint8))[1].tobytes()
    at = encoded.index(b"jp2c") - 4
    header = bytearray(encoded[at + 8 : at + 68])
    header[8:16] = struct.pack(">II", 64, 64)
    return encoded[:at] + struct.pack(">I", 68) + b"free" + header + encoded[at:]


HOSTILE: dict[str, Callable[[], bytes]] = {
    "empty chunks": lambda: insert("png", 33, make_chunk(b"tEXt", b"") * 300_000),
    "unknown chunks": lambda: insert("png", 33, make_chunk(b"abCd", b"") * 300_000),
    "many profiles": lambda: insert(
        "png", 33, make_chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(9_000_000))) * 500
    ),
    "fill bytes": lambda: insert("jpeg", 2, b"\xff" * 5_000_000),
    "empty segments": lambda: insert("jpeg", 2, b"\xff\xe5\0\2" * 1_000_000),
    "a large JPEG XL": make_large_jxl,
    "a large JPEG 2000": make_deceptive_jp2,
    "shared strips": lambda: make_pages(bytes(1_000_000), tag273=(4, 250_000), tag279=(4, 250_000)),
    "shared depths": lambda: make_pages(bytes(1_000_000), tag258=(3, 500_000)),
    "shared tables": lambda: make_pages(bytes(1_000_000), tag259=(3, 1), tag347=(7, 1_000_000)),
    "many tags": lambda: make_pages(bytes(64), tags=60),
    "many tags in a page": lambda: make_pages(bytes(64), pages=2, tags=4_000),
    "a strip that grows": lambda: make_pages(zlib.compress(bytes(200_000_000), 9)).replace(
        struct.pack("<HHI", 259, 3, 1) + b"\1", struct.pack("<HHI", 259, 3, 1) + b"\x08"
    ),
}


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE.keys())
def test_crafted_files_end_within_time_and_memory(supervisor, make):
    outcome = supervisor.colorize("crafted", make(), random.Random(1))
    assert outcome.kind != "finding", outcome


@pytest.mark.parametrize("compression", ["jpeg", "png", "jpegxl", "lerc", "jpeg2000"])
def test_a_picture_in_a_tile_is_not_decoded_if_it_is_much_larger(supervisor, compression):
    outcome = supervisor.colorize("tile.tif", make_tile(compression), random.Random(1))
    assert outcome.kind == "refused" and "holds 1024 x 1024 pixels" in outcome.reason
