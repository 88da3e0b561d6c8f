"""What libvips is told when it writes a photograph: its metadata, what we say about it, how to encode it."""

import gc
import os
import re
from collections.abc import Iterator
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import pyvips

from colorizenet.imaging import tiff
from colorizenet.imaging.formats import FORMATS

if TYPE_CHECKING:
    from colorizenet.imaging.image import Image
    from colorizenet.imaging.reading import ImageFile

__all__ = [
    "IN_MEMORY",
    "Rows",
    "to_vips",
    "make_blank",
    "attach_metadata",
    "read_exif_tags",
    "name_dropped_metadata",
    "options",
    "read_srgb_profile",
    "make_tiff_header",
    "add_digital_source",
]

IN_MEMORY = 1 << 26
"""Up to so many pixels an encoder may hold the whole picture to make a smaller file."""

_THUMBNAIL = 1 << 17
"""Up to so many pixels, writing quickly counts for more than a smaller file."""

_HOLDING = {
    "iptc-data": ("jpeg", "tiff"),
    "xmp-data": ("jpeg", "png", "tiff", "webp", "avif", "heic"),
}
"""Which formats hold what, where not all do."""

_SOFTWARE, _SOFTWARE_TAG = "exif-ifd0-Software", 305

_DIGITAL_SOURCE = (
    "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
)


def to_vips(array: np.ndarray) -> pyvips.Image:
    """An array (H, W, 1 to 4) as libvips' own, uncopied, with what its channels mean."""
    made = pyvips.Image.new_from_array(np.ascontiguousarray(array))
    deep = array.dtype == np.uint16
    gray = array.shape[2] < 3
    return made.copy(
        interpretation=("grey16" if deep else "b-w") if gray else ("rgb16" if deep else "srgb")
    )


def make_blank(width: int, height: int, bands: int, dtype: np.dtype) -> pyvips.Image:
    """A black picture that takes no memory, which says what the rows of another will mean."""
    return to_vips(np.zeros((1, 1, bands), dtype)).replicate(width, height)


def make_tiff_header(image: pyvips.Image, rows: int, **options: Any) -> bytes:
    """What comes before the pixels of an image in an uncompressed TIFF file, in strips of ``rows`` rows.

    ``options`` are libvips'; what it has to say of the pixels and what the image carries are in it.
    """
    one = image.crop(0, 0, 1, 1).tiffsave_buffer(**options)
    tags = tiff.first_directory(lambda offset, length: one[offset : offset + length], most=len(one))
    return tiff.head(tags, (image.height, image.width), rows, big=options.get("bigtiff", False))


def attach_metadata(made: pyvips.Image, image: "Image | ImageFile", *, note: str) -> pyvips.Image:
    """With what the file carried, and what we say about it."""
    xres, yres = image.resolution or (1.0, 1.0)
    gray = made.bands < 3
    deep = made.format == "ushort"
    interpretation = ("grey16" if deep else "b-w") if gray else ("rgb16" if deep else "srgb")
    made = made.copy(xres=xres, yres=yres, interpretation=interpretation)
    for name in made.get_fields():
        if name.startswith(
            ("exif-", "xmp-", "iptc-", "image-description", "n-pages", "resolution-unit")
        ):
            made.remove(name)
    for name, (kind, value) in image.carried.items():
        made.set_type(kind, name, value)
    if image.carried:
        # The EXIF block still says how the picture was turned, and it is upright now.
        made.set_type(pyvips.GValue.gint_type, "orientation", 1)
    if image.pages > 1:
        made.set_type(pyvips.GValue.gint_type, "page-height", made.height // image.pages)
    if note:
        before = _software(image.carried)
        told = before if note in before else "; ".join(filter(None, [before, note]))
        # libvips drops what comes last in brackets: it shows a type there
        made.set_type(pyvips.GValue.gstr_type, _SOFTWARE, f"{told} (ASCII)")
        found: Any = made.get("xmp-data") if made.get_typeof("xmp-data") else b""
        xmp: Any = add_digital_source(bytes(found))
        made.set_type(pyvips.GValue.blob_type, "xmp-data", xmp)
    return made


def name_dropped_metadata(carried: dict[str, tuple[int, Any]], format: str) -> str:
    """What a file of a format cannot carry of what another did, in a word; empty where it carries all."""
    lost = [name for name, holding in _HOLDING.items() if name in carried and format not in holding]
    return " and ".join(name.removesuffix("-data").upper() for name in lost)


def _software(carried: dict[str, tuple[int, Any]]) -> str:
    """What EXIF says made the file, so far."""
    block = bytes(carried.get("exif-data", (0, b""))[1])
    value = tiff.exif_tags(block).get(_SOFTWARE_TAG, (2, b""))[1]
    return (
        value.rstrip(b"\0").decode("utf-8", "replace").strip() if isinstance(value, bytes) else ""
    )


def add_digital_source(xmp: bytes) -> bytes:
    """XMP that also says, in IPTC's words, that trained software made a part of the picture."""
    statement = (
        '<rdf:Description rdf:about="" xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
        'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        f'Iptc4xmpExt:DigitalSourceType="{_DIGITAL_SOURCE}"/>'
    ).encode()
    # What it said before would contradict it
    xmp = re.sub(rb'\s[\w-]+:DigitalSourceType\s*=\s*("[^"]*"|\'[^\']*\')', b"", xmp)
    xmp = re.sub(rb"<([\w-]+:DigitalSourceType)\b[^>]*(/>|>.*?</\1\s*>)", b"", xmp, flags=re.DOTALL)
    end = re.search(rb"</[\w-]+:RDF\s*>", xmp)
    if end:
        return xmp[: end.start()] + statement + xmp[end.start() :]
    return (
        b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        + statement
        + b"</rdf:RDF></x:xmpmeta>"
        b'<?xpacket end="w"?>'
    )


def options(
    made: pyvips.Image, compression: str, format: str, quality: int | None
) -> dict[str, Any]:
    """What libvips is told when it writes a photograph."""
    pixels = made.width * made.height
    options: dict[str, Any] = {"profile": "srgb"} if made.bands >= 3 else {}
    if FORMATS[format].quality:
        options["Q"] = quality or FORMATS[format].quality
    if format == "jpeg":
        # Chroma that a network gave at a few hundred pixels loses nothing at half of a large photograph's
        options["subsample_mode"] = "on" if pixels >= 1_000_000 else "off"
        # Tables of its own make a file 3 % smaller, and take as long as the rest of writing a thumbnail
        options["optimize_coding"] = _THUMBNAIL < pixels <= IN_MEMORY
    elif format == "avif":
        options |= {"compression": "av1", "bitdepth": 12 if made.format == "ushort" else 8}
    elif format == "tiff":
        if made.format != "uchar" and compression == "jpeg":
            compression = "deflate"
        options["compression"] = compression
        if compression in ("lzw", "deflate"):
            options["predictor"] = "float" if made.format == "float" else "horizontal"
        elif compression == "jpeg":
            options |= {"Q": quality or 92, "rgbjpeg": False}
        size = pixels * made.bands * {"uchar": 1, "ushort": 2}.get(str(made.format), 4)
        options["bigtiff"] = size > 4_000_000_000
    return options


def read_exif_tags(attach_metadata: pyvips.Image) -> tiff.Directory:
    """The EXIF tags as libvips would write them, single ones that were changed included."""
    if not any(name.startswith("exif-") for name in attach_metadata.get_fields()):
        return {}
    tiny = pyvips.Image.black(1, 1).copy()
    for name in attach_metadata.get_fields():
        if name.startswith("exif-"):
            tiny.set_type(attach_metadata.get_typeof(name), name, attach_metadata.get(name))
    written: Any = pyvips.Image.jpegload_buffer(tiny.jpegsave_buffer()).get("exif-data")
    return tiff.exif_tags(bytes(written))


@lru_cache
def read_srgb_profile() -> bytes:
    written = pyvips.Image.black(1, 1).jpegsave_buffer(profile="srgb")
    profile: Any = pyvips.Image.jpegload_buffer(written).get("icc-profile-data")
    return bytes(profile)


class Rows:
    """Rows that are made while libvips reads them, as a file that it takes to be an uncompressed TIFF.

    A context that gives libvips' source. Within it Python collects no garbage: it might do so while it
    runs for a thread of libvips, and let go of pictures in the midst of that thread's work.
    """

    _within, _collects, _lock = 0, True, Lock()

    def __init__(self, head: bytes, strips: Iterator[np.ndarray]) -> None:
        self._error: Exception | None = None
        self._strips, self._head = strips, memoryview(head)
        self._current, self._start, self._position = self._head, 0, 0

    def __enter__(self) -> pyvips.SourceCustom:
        with Rows._lock:
            if Rows._within == 0:
                Rows._collects = gc.isenabled()
                gc.disable()
            Rows._within += 1
        source = pyvips.SourceCustom()
        source.on_read(self._read)
        source.on_seek(self._seek)
        return source

    def __exit__(self, _kind: object, failure: BaseException | None, _traceback: object) -> None:
        with Rows._lock:
            Rows._within -= 1
            if Rows._within == 0 and Rows._collects:
                gc.enable()
        if self._error:  # and not what libvips made of it
            raise self._error from failure

    def _read(self, length: int) -> bytes:
        try:
            if self._position < len(self._head):
                current, start = self._head, 0
            else:
                while self._position >= self._start + len(self._current):
                    self._start += len(self._current)
                    strip = next(self._strips, None)
                    if strip is None:
                        return b""
                    self._current = np.ascontiguousarray(strip).data.cast("B")
                current, start = self._current, self._start
            found = current[self._position - start : self._position - start + length]
        except Exception as error:
            # A foreign border: libvips calls this, and hands on no exception.
            self._error = error
            return b""
        self._position += len(found)
        return bytes(found)

    def _seek(self, offset: int, whence: int) -> int:
        if whence == os.SEEK_END:
            return -1
        self._position = offset if whence == os.SEEK_SET else self._position + offset
        return self._position
