"""The metadata of a result: that of the source, made true of the result."""

from typing import Any

import numpy as np
import pyvips

from colorizenet.imaging import exif, photoshop, tiff, xmp
from colorizenet.imaging.chunks import EXIF_PREFIX
from colorizenet.imaging.embedding import LONGEST_SEGMENT, PLACEHOLDER, Blocks
from colorizenet.imaging.image import Image, Metadata
from colorizenet.imaging.imagefile import ImageFile
from colorizenet.imaging.libvips import from_array

__all__ = [
    "build_blocks",
    "count_dropped_tags",
    "make_blank",
    "make_tiff_header",
    "name_dropped_metadata",
    "prepare_image",
]

_HOLDERS = {
    "IPTC": ("jpeg", "png", "tiff"),
    "XMP": ("jpeg", "png", "tiff", "webp", "avif", "heic", "jxl"),
    "text": ("png",),
    "comments": ("jpeg", "png"),
}
"""Which formats hold a kind of metadata, where not all do."""

_LONGEST_BLOCK = LONGEST_SEGMENT - len(EXIF_PREFIX)


def build_blocks(picture: Image | ImageFile, format: str, *, note: str) -> Blocks:
    """Build the metadata of a result in ``format`` from that of a picture.

    Sizes, orientation and color space become those of the result. The note is added to
    the EXIF tag Software, and XMP says that the picture was composed with a trained
    algorithm; an empty note adds nothing.
    """
    metadata, shape = picture.metadata, _measure(picture)
    resolution = picture.resolution
    in_exif = resolution if format not in ("jpeg", "png", "tiff") else None
    block = exif.update_block(metadata.exif, shape=shape, software=note, resolution=in_exif)
    resources = dict(metadata.photoshop)
    if metadata.iptc:
        resources[photoshop.IPTC] = metadata.iptc
    tags = None
    if format == "tiff":
        tags, block = exif.prepare_for_tiff(block), b""
        if resolution and not tags.keys() & {282, 283}:
            tags |= exif.make_resolution_tags(resolution)
    elif format in ("jpeg", "png") and not note and _states_only_resolution(block):
        block = b""
    elif format == "jpeg":
        block, _ = _shorten_block(block)
    texts = metadata.texts
    if format == "png":
        texts += tuple(_make_text(comment) for comment in metadata.comments)
    return Blocks(
        exif=block,
        tags=tags,
        xmp=xmp.update_packet(metadata.xmp, shape=shape, provenance=bool(note)),
        iptc=metadata.iptc,
        resources=photoshop.make_resources(resources),
        texts=texts,
        comments=tuple(comment[: LONGEST_SEGMENT - 8] for comment in metadata.comments),
        resolution=resolution,
        aspect=metadata.aspect,
    )


def prepare_image(
    image: pyvips.Image, picture: Image | ImageFile, format: str, blocks: Blocks
) -> pyvips.Image:
    """Return an image for the writers of libvips, with the metadata that only they can
    put into ``format``."""
    xres, yres = picture.resolution or (1.0, 1.0)
    gray, deep = image.bands < 3, image.format == "ushort"
    image = image.copy(
        xres=xres,
        yres=yres,
        interpretation=("grey16" if deep else "b-w") if gray else ("rgb16" if deep else "srgb"),
    )
    if picture.pages > 1:
        image.set_type(pyvips.GValue.gint_type, "page-height", image.height // picture.pages)
    if format == "avif":
        exif_data: Any = PLACEHOLDER if blocks.exif else b""
        xmp_data: Any = blocks.xmp
        for field, block in (("exif-data", exif_data), ("xmp-data", xmp_data)):
            if block:
                image.set_type(pyvips.GValue.blob_type, field, block)
    return image


def name_dropped_metadata(metadata: Metadata, format: str, *, note: str = "") -> str:
    """Name the metadata that a format cannot hold: "IPTC and XMP", or "".

    ``note`` is that of the result. For EXIF see ``count_dropped_tags``.
    """
    held = {
        "IPTC": metadata.iptc,
        "XMP": metadata.xmp,
        "text": metadata.texts,
        "comments": metadata.comments,
    }
    dropped = [kind for kind, value in held.items() if value and format not in _HOLDERS[kind]]
    block = _preview_block(metadata, format, note)
    if exif.has_fixed_maker_note(metadata.exif) and (
        format == "tiff" or len(block) > _LONGEST_BLOCK
    ):
        dropped.append("a maker note")
    return " and ".join(dropped)


def count_dropped_tags(metadata: Metadata, format: str, *, note: str = "") -> int:
    """Count the EXIF tags, without maker note, for which a result in a format has no
    room.

    ``note`` is that of the result.
    """
    return _shorten_block(_preview_block(metadata, format, note))[1]


def make_blank(width: int, height: int, bands: int, dtype: np.dtype) -> pyvips.Image:
    """Make a black image that takes no memory, to describe one that comes later."""
    return from_array(np.zeros((1, 1, bands), dtype)).replicate(width, height)


def make_tiff_header(image: pyvips.Image, rows: int, **options: Any) -> bytes:
    """Make what comes before the pixels of an uncompressed TIFF with strips of ``rows``
    rows.

    ``options`` are those of libvips' ``tiffsave``.
    """
    pixel = image.crop(0, 0, 1, 1).tiffsave_buffer(**options)
    tags = tiff.read_tags(tiff.read_from(pixel))
    shape = (image.height, image.width)
    return tiff.make_header(tags, shape, rows, big=options.get("bigtiff", False))


def _measure(picture: Image | ImageFile) -> tuple[int, int]:
    """Return the height and width of a page."""
    if isinstance(picture, ImageFile):
        return picture.shape
    height, width = picture.pixels.shape[:2]
    return height // picture.pages, width


def _states_only_resolution(block: bytes) -> bool:
    """Return whether a block says no more than the header of a JPEG or PNG can."""
    budget = tiff.Budget()
    tags = tiff.read_exif_block(block, budget=budget)
    return bool(block) and not budget.left_out and tags.keys() <= set(tiff.RESOLUTION_TAGS)


def _preview_block(metadata: Metadata, format: str, note: str) -> bytes:
    """Return an EXIF block of the length that it has in a result, if it may be too long
    for the format, which only JPEG limits."""
    if format != "jpeg" or len(metadata.exif) < _LONGEST_BLOCK // 2:
        return b""
    return exif.update_block(metadata.exif, shape=(1, 1), software=note)


def _shorten_block(block: bytes) -> tuple[bytes, int]:
    """Return a block that a JPEG holds, and the number of tags that it has lost.

    A block that is too long loses unused bytes and a maker note, and then its longest
    values.
    """
    if len(block) <= _LONGEST_BLOCK:
        return block, 0
    budget = tiff.Budget(size=exif.LONGEST_BLOCK)
    tags = tiff.read_exif_block(block, budget=budget)
    exif.drop_maker_note(tags)
    lost = budget.left_out
    while len(shortened := tiff.make_exif_block(tags)) > _LONGEST_BLOCK:
        _remove_longest_value(tags)
        lost += 1
    return shortened, lost


def _remove_longest_value(tags: tiff.Directory) -> None:
    values: list[tuple[int, tiff.Directory, int]] = []

    def collect(directory: tiff.Directory) -> None:
        for tag, (_, value) in directory.items():
            if isinstance(value, dict):
                collect(value)
            else:
                values.append((len(value), directory, tag))

    collect(tags)
    _, directory, tag = max(values, key=lambda each: each[0])
    del directory[tag]


def _make_text(comment: bytes) -> tuple[bytes, bytes]:
    """Make the comment of a JPEG a text chunk of a PNG."""
    text = comment.rstrip(b"\0").replace(b"\0", b" ")
    try:
        if not text.isascii():
            return b"iTXt", b"Comment\0\0\0\0\0" + text.decode().encode()
    except UnicodeDecodeError:
        pass  # Latin-1, as in tEXt
    return b"tEXt", b"Comment\0" + text
