"""Open a picture file with the library that reads it, as a libvips image.

libvips reads most files. What it reads wrongly, or not at all, is recognized by the
header: a TIFF goes to tifffile, and a JPEG with harmless faults is repaired.
"""

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, BinaryIO

import pyvips

from colorizenet.errors import ImageError
from colorizenet.imaging import codecs, jpegmarkers
from colorizenet.imaging.chunks import MAX_CHUNKS, inspect_png
from colorizenet.imaging.codecs import Decoded
from colorizenet.imaging.formats import FORMATS
from colorizenet.imaging.libvips import from_array, get_number, is_out_of_memory, set_field
from colorizenet.imaging.notices import Notice
from colorizenet.imaging.tiffcodec import check_segment, decode_tiff, find_damaged_segment
from colorizenet.imaging.tifflayout import Page, read_layout

__all__ = ["Loader", "read_at"]

_TIFF_COMPRESSIONS = {1: "none", 5: "lzw", 7: "jpeg", 32773: "packbits"}
"""Values of the TIFF tag Compression; others become deflate."""
_JPEG = 7
_DEFLATE = (8, 32946)
_TAIL = 1 << 12
_HEADER = 1 << 16
_LARGEST_PIECE = 1 << 20


class Loader:
    """Opens a file of a known format, as often as it is needed.

    The image is as the file has it: not turned, not converted to sRGB.
    """

    pages: int
    """How many pages of equal size and kind a TIFF has; 1 for other formats."""
    frames: int = 1
    """The number of pictures in a file of which only one is read."""
    compression: str = "deflate"
    """How a TIFF is compressed, as libvips names it."""
    resolution: tuple[float, float] | None = None
    """Pixels per millimeter of a file that libvips does not read; None if unstated."""

    def __init__(
        self,
        source: bytes | BinaryIO,
        name: str,
        format: str,
        check_pixels: codecs.CheckPixels,
        *,
        first_page: bool,
    ) -> None:
        self._source, self._name, self._format = source, name, format
        self._check_pixels, self._first_page = check_pixels, first_page
        self._layout = read_layout(self._read_at) if format == "tiff" else None
        self._verified = False
        self.pages = 1
        if format == "tiff":
            self._check_pages()
        elif format == "jpeg":
            self._source = self._repair_jpeg()
            self.frames = jpegmarkers.count_pictures(self._read_at)
        elif format == "png":
            self.frames, crowded = inspect_png(self._read_at)
            if crowded:
                raise ImageError(
                    f"{name} has more than {MAX_CHUNKS:,} PNG chunks, which is the limit; "
                    "convert it first"
                )
        elif format in ("avif", "heic"):
            self.frames = _count_samples(self._read_at(0, _HEADER))

    @property
    def warnings(self) -> list[Notice]:
        """What of the file is not read, each a sentence for a person."""
        layout = self._layout
        notices = []
        if layout is not None and layout.has_further_texts and not self._first_page:
            text = f"{self._name} describes several pages, and only the texts of the first are kept"
            notices.append(Notice(text, "page-texts-left-out"))
        if layout is not None and layout.total > layout.count and not self._first_page:
            chosen = "the first" if layout.first == 0 else f"number {layout.first + 1}"
            if layout.count > 1:
                chosen = f"{layout.count} from {chosen} on"
            text = (
                f"{self._name} has {layout.total} pages of different sizes or kinds, "
                f"and only {chosen} is colorized"
            )
            notices.append(Notice(text, "pages-left-out", pages=layout.total))
        if self.frames > 1:
            kind = "frames" if self._format != "jpeg" else "pictures"
            reason = " (such as a gain map or a second view)" if self._format == "jpeg" else ""
            text = (
                f"{self._name} has {self.frames} {kind}{reason}, and only the first of them "
                "is colorized"
            )
            notices.append(Notice(text, "pictures-left-out", pictures=self.frames))
        return notices

    @property
    def streams(self) -> bool:
        """Whether the file can be decoded row by row, and never is whole in memory."""
        decoded = "_decoded" in self.__dict__  # a TIFF that libvips has refused
        return self._format in ("jpeg", "png", "tiff") and self._is_for_libvips and not decoded

    def open(self, access: str = "sequential", *, shrink: int = 1) -> pyvips.Image:
        """Open the chosen pages, a JPEG at ``1 / shrink`` of its size."""
        if not self._is_for_libvips:
            return self._wrap(self._decoded)
        try:
            image = self._open_with_libvips(access, shrink)
        except pyvips.Error as error:
            if self._format == "tiff" and not is_out_of_memory(error):
                return self._wrap(self._decode_unusual_tiff(error))
            raise
        if self._format in ("gif", "webp", "avif"):
            self.frames = max(self.frames, get_number(image, "n-pages"))
        return image

    def verify(self) -> None:
        """Raise ``pyvips.Error`` or ``ImageError`` for damage that libvips does not
        report.

        For the strips and tiles of a TIFF it ignores the warnings of libjpeg and the
        checksums of deflate.
        """
        if self._verified or self._layout is None or not self._is_for_libvips:
            return
        self._verified = True
        verified: set[tuple[object, ...]] = set()  # pages can share strips and tiles
        for page in self._layout.pages[self._layout.first :][: self.pages]:
            if page.compression != _JPEG and page.compression not in _DEFLATE:
                continue
            for offset, length in page.segments.tolist():
                key = (offset, length, page.segment_size, page.jpeg_tables)
                if key not in verified:
                    verified.add(key)
                    self._verify_segment(page, self._read_at(offset, length))

    @contextmanager
    def explain_errors(self) -> Iterator[None]:
        """Raise errors of libvips as ``ImageError`` or ``MemoryError``.

        The text of libvips is left out: all threads share one buffer of errors, so it
        may be about another file.
        """
        try:
            yield
        except pyvips.Error as error:
            if is_out_of_memory(error):
                raise MemoryError from error
            reason = codecs.CUT_SHORT if self._is_cut_short() else ""
            raise codecs.make_error(self._name, reason) from error
        except UnicodeDecodeError as error:
            # Names of metadata come from the file, and may not be valid text.
            raise codecs.make_error(self._name, " (its metadata is not valid text)") from error

    @property
    def _is_for_libvips(self) -> bool:
        if not FORMATS[self._format].loader:
            return False
        return self._layout is None or not self._layout.page.obstacle

    @cached_property
    def _decoded(self) -> Decoded:
        """The pixels of a file that libvips does not read."""
        if self._layout is not None:
            page = self._layout.page
            self._check_pixels(page.width, page.height * self.pages)
            return decode_tiff(self._source, self._name, self._layout, self._size, self.pages)
        decoded = codecs.decode(self._read_at, self._name, self._format, self._check_pixels)
        self.frames = max(self.frames, decoded.frames)
        return decoded

    def _verify_segment(self, page: Page, segment: bytes) -> None:
        """Raise ``pyvips.Error`` or ``ImageError`` for a damaged strip or tile."""
        if page.compression != _JPEG:
            if not _has_right_checksum(segment, page.segment_size):
                raise codecs.make_error(self._name)
            return
        tables = page.jpeg_tables.removesuffix(b"\xff\xd9")
        whole = tables + segment[2:] if tables else segment
        image = pyvips.Image.jpegload_buffer(whole, fail_on="warning")
        check_segment(page, image.width, image.height, self._name)
        image.avg()

    @cached_property
    def _size(self) -> int:
        """The length of the file in bytes."""
        return _length_of(self._source)

    def _read_at(self, offset: int, length: int) -> bytes:
        return read_at(self._source, offset, length)

    def _check_pages(self) -> None:
        layout = self._layout
        if layout is None:
            return
        if layout.excess:
            raise ImageError(
                f"{self._name} has more than {layout.excess}, which is the limit; "
                "split it into several files, or convert it"
            )
        if layout.page.raw:
            raise ImageError(
                f"{self._name} is a raw photo of a camera, which is not read; "
                "develop it to TIFF or JPEG first"
            )
        self.pages = 1 if self._first_page else layout.count
        self.compression = _TIFF_COMPRESSIONS.get(layout.page.compression, "deflate")

    def _repair_jpeg(self) -> bytes | BinaryIO:
        """Return the file, or the bytes of one without harmless faults."""
        repaired = jpegmarkers.repair_jpeg(self._read_at)
        source = self._source if repaired is None else repaired
        # Zeros before the end may be pixels, so they are removed only where that helps.
        tail = read_at(source, max(0, _length_of(source) - _TAIL), _TAIL)
        if jpegmarkers.split_end(tail) is None:
            return source
        encoded = read_at(source, 0, -1)
        shorter = jpegmarkers.split_end(encoded)
        if shorter is None or _is_sound(encoded) or not _is_sound(shorter):
            return source
        return shorter

    def _open_with_libvips(self, access: str, shrink: int) -> pyvips.Image:
        # Only for a warning does libvips refuse tiles of a TIFF that cannot be decoded,
        # and pixels of a JPEG that are damaged in the middle.
        tiled = self._layout is not None and self._layout.page.tiled
        strict = self._format in ("jpeg", "gif") or tiled
        options: dict[str, Any] = {"fail_on": "warning" if strict else "error", "access": access}
        if shrink > 1:
            options["shrink"] = shrink
        if self._layout is not None:
            options |= {"page": self._layout.first, "n": self.pages}
        loader = FORMATS[self._format].loader
        if isinstance(self._source, bytes):
            return getattr(pyvips.Image, f"{loader}_buffer")(self._source, **options)
        os.lseek(self._source.fileno(), 0, os.SEEK_SET)
        source = pyvips.Source.new_from_descriptor(self._source.fileno())
        return getattr(pyvips.Image, f"{loader}_source")(source, **options)

    def _decode_unusual_tiff(self, error: pyvips.Error) -> Decoded:
        """Decode a TIFF that libvips refuses although its tags are usual."""
        layout = self._layout
        if layout is None or find_damaged_segment(layout, self._size, self.pages) is not None:
            raise error
        return self._decoded

    def _wrap(self, decoded: Decoded) -> pyvips.Image:
        """Make a libvips image of decoded pixels."""
        image = from_array(decoded.pixels)
        if decoded.profile:
            profile: Any = decoded.profile
            image = set_field(image, pyvips.GValue.blob_type, "icc-profile-data", profile)
        self.resolution = decoded.resolution
        return image

    def _is_cut_short(self) -> bool:
        """Whether the file certainly ends before its pixels do."""
        if self._layout is not None:
            offsets, lengths = self._layout.page.segments.T
            return bool((offsets > self._size - lengths).any())
        return self._format == "jpeg" and not jpegmarkers.has_end(self._read_at(0, -1))


def read_at(source: bytes | BinaryIO, offset: int, length: int) -> bytes:
    """Read from an offset; a negative length reads to the end of the file.

    There is nothing before the file. The position in it, which libvips moves too, is
    neither used nor changed.
    """
    if offset < 0:
        return b""
    if isinstance(source, bytes):
        return source[offset : offset + length] if length >= 0 else source[offset:]
    if not source.seekable():
        return source.read(length) or b""  # None from a pipe that holds nothing yet
    offset = min(offset, 1 << 62)
    if not hasattr(os, "pread"):  # Windows
        source.seek(offset)
        return source.read(length)
    end = os.fstat(source.fileno()).st_size if length < 0 else offset + length
    parts: list[bytes] = []
    while offset < end:
        part = os.pread(source.fileno(), min(end - offset, 1 << 30), offset)
        if not part:
            break
        parts.append(part)
        offset += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _length_of(source: bytes | BinaryIO) -> int:
    return len(source) if isinstance(source, bytes) else os.fstat(source.fileno()).st_size


def _count_samples(start: bytes) -> int:
    """Count the frames of an AVIF or HEIC sequence by its sample size box; or 1."""
    at = start.find(b"stsz\0\0\0\0")
    return max(1, int.from_bytes(start[at + 12 : at + 16], "big")) if at > 0 else 1


def _is_sound(encoded: bytes) -> bool:
    """Whether libjpeg decodes a file without a warning."""
    try:
        pyvips.Image.jpegload_buffer(encoded, fail_on="warning").avg()
    except pyvips.Error:
        return False
    return True


def _has_right_checksum(segment: bytes, size: int) -> bool:
    """Whether zlib decompresses a strip or tile of ``size`` bytes without an error.

    A missing end is not one: libtiff needs none. Nor are further bytes, which it does
    not read.
    """
    decoder = zlib.decompressobj()
    try:
        for start in range(0, len(segment), _TAIL):
            piece = segment[start : start + _TAIL]
            while piece and not decoder.eof:
                size -= len(decoder.decompress(piece, _LARGEST_PIECE))
                piece = decoder.unconsumed_tail
            if decoder.eof or size < 0:
                break
    except zlib.error:
        return False
    return True
