"""The metadata of written files: EXIF, XMP and the note about the colors."""

import re
import struct
from typing import Any

import numpy as np
import pyvips

from colorizenet.imaging import tiff
from colorizenet.imaging.image import Image
from colorizenet.imaging.imagefile import ImageFile
from colorizenet.imaging.libvips import from_array

__all__ = [
    "add_digital_source",
    "attach_metadata",
    "build_exif_tags",
    "make_blank",
    "make_tiff_header",
    "name_dropped_metadata",
]

_HOLDERS = {
    "iptc-data": ("jpeg", "tiff"),
    "xmp-data": ("jpeg", "png", "tiff", "webp", "avif", "heic"),
}
"""Which formats hold a kind of metadata, where not all do."""

_REPLACED_PREFIXES = (
    "exif-",
    "xmp-",
    "iptc-",
    "image-description",
    "n-pages",
    "resolution-unit",
)
"""Fields of an image that are removed before those of the source are attached."""

_SOFTWARE_FIELD = "exif-ifd0-Software"
_TEXT_FIELDS = {
    "exif-ifd0-ImageDescription": 270,
    "exif-ifd0-Make": 271,
    "exif-ifd0-Model": 272,
    _SOFTWARE_FIELD: 305,
    "exif-ifd0-DateTime": 306,
    "exif-ifd0-Artist": 315,
    "exif-ifd0-Copyright": 33432,
}
"""Tags of the main EXIF directory that hold text, by the field names of libvips."""

_DIGITAL_SOURCE = (
    "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
)


def attach_metadata(image: pyvips.Image, picture: Image | ImageFile, *, note: str) -> pyvips.Image:
    """Return an image with the metadata of a picture, and with a note unless it is
    empty.

    The note is added to the EXIF tag Software, and XMP says that the picture was
    composed with a trained algorithm.
    """
    xres, yres = picture.resolution or (1.0, 1.0)
    gray, deep = image.bands < 3, image.format == "ushort"
    image = image.copy(
        xres=xres,
        yres=yres,
        interpretation=("grey16" if deep else "b-w") if gray else ("rgb16" if deep else "srgb"),
    )
    for field in image.get_fields():
        if field.startswith(_REPLACED_PREFIXES):
            image.remove(field)
    for field, (kind, value) in picture.metadata.items():
        image.set_type(kind, field, value)
    if picture.metadata:
        # The EXIF block still holds the orientation of the file, and the pixels are
        # upright.
        image.set_type(pyvips.GValue.gint_type, "orientation", 1)
    if picture.pages > 1:
        image.set_type(pyvips.GValue.gint_type, "page-height", image.height // picture.pages)
    if note:
        software = _find_software(picture.metadata)
        if note not in software:
            software = f"{software}; {note}" if software else note
        # libvips drops what comes last in brackets: there it writes the type.
        image.set_type(pyvips.GValue.gstr_type, _SOFTWARE_FIELD, f"{software} (ASCII)")
        xmp: Any = image.get("xmp-data") if image.get_typeof("xmp-data") else b""
        blob: Any = add_digital_source(bytes(xmp))
        image.set_type(pyvips.GValue.blob_type, "xmp-data", blob)
    return image


def name_dropped_metadata(metadata: dict[str, tuple[int, Any]], format: str) -> str:
    """Name the metadata that a format cannot hold: "IPTC and XMP", or ""."""
    dropped = [
        field for field, holders in _HOLDERS.items() if field in metadata and format not in holders
    ]
    return " and ".join(field.removesuffix("-data").upper() for field in dropped)


def build_exif_tags(image: pyvips.Image) -> tiff.Directory:
    """Build the EXIF tags of an image: its block, changed by the text fields set on it.

    For the formats whose EXIF libvips does not write: TIFF, HEIC and JPEG XL.
    """
    block: Any = image.get("exif-data") if image.get_typeof("exif-data") else b""
    tags = tiff.read_exif_block(bytes(block))
    for field, tag in _TEXT_FIELDS.items():
        if image.get_typeof(field) and (tag not in tags or field == _SOFTWARE_FIELD):
            shown: Any = image.get(field)
            text = str(shown).rpartition(" (")[0] or str(shown)
            tags[tag] = (tiff.ASCII, text.encode() + b"\0")
    _, exif = tags.get(tiff.EXIF, (0, {}))
    if isinstance(exif, dict):
        for tag, side in ((tiff.PIXEL_WIDTH, image.width), (tiff.PIXEL_HEIGHT, image.height)):
            if tag in exif:
                exif[tag] = (tiff.LONG, struct.pack("<I", side))
    return tags


def add_digital_source(xmp: bytes) -> bytes:
    """Return XMP that also states, in the vocabulary of IPTC, that a trained algorithm
    was used.

    An earlier statement is replaced. Empty bytes give new XMP.
    """
    statement = (
        '<rdf:Description rdf:about="" xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
        'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        f'Iptc4xmpExt:DigitalSourceType="{_DIGITAL_SOURCE}"/>'
    ).encode()
    xmp = re.sub(rb'\s[\w-]+:DigitalSourceType\s*=\s*("[^"]*"|\'[^\']*\')', b"", xmp)
    xmp = re.sub(rb"<([\w-]+:DigitalSourceType)\b[^>]*(/>|>.*?</\1\s*>)", b"", xmp, flags=re.DOTALL)
    end = re.search(rb"</[\w-]+:RDF\s*>", xmp)
    if end:
        return xmp[: end.start()] + statement + xmp[end.start() :]
    return (
        b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        + statement
        + b'</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    )


def make_blank(width: int, height: int, bands: int, dtype: np.dtype) -> pyvips.Image:
    """Make a black image that takes no memory, to describe one that comes later."""
    return from_array(np.zeros((1, 1, bands), dtype)).replicate(width, height)


def make_tiff_header(image: pyvips.Image, rows: int, **options: Any) -> bytes:
    """Make what comes before the pixels of an uncompressed TIFF with strips of ``rows``
    rows.

    ``options`` are those of libvips' ``tiffsave``. The metadata of the image is
    included.
    """
    pixel = image.crop(0, 0, 1, 1).tiffsave_buffer(**options)
    tags = tiff.read_tags(
        lambda offset, length: pixel[offset : offset + length], longest=len(pixel)
    )
    shape = (image.height, image.width)
    return tiff.make_header(tags, shape, rows, big=options.get("bigtiff", False))


def _find_software(metadata: dict[str, tuple[int, Any]]) -> str:
    """Find the text of the EXIF tag Software; empty where there is none."""
    block = bytes(metadata.get("exif-data", (0, b""))[1])
    _, value = tiff.read_exif_block(block).get(_TEXT_FIELDS[_SOFTWARE_FIELD], (tiff.ASCII, b""))
    return (
        value.rstrip(b"\0").decode("utf-8", "replace").strip() if isinstance(value, bytes) else ""
    )
