"""``ImageFile``: an open picture file, whose header is read once."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pyvips

from colorizenet.errors import ImageError
from colorizenet.imaging.extraction import Extracted, extract_metadata
from colorizenet.imaging.formats import FORMATS, detect_format
from colorizenet.imaging.hiding import hide_metadata
from colorizenet.imaging.image import Image, Metadata
from colorizenet.imaging.libvips import from_array, select_channels, set_field
from colorizenet.imaging.loading import Loader, read_at
from colorizenet.imaging.notices import Notice
from colorizenet.imaging.plain import check_pixels, choose_shrink
from colorizenet.imaging.profiles import find_profile, make_gray_table

__all__ = ["MAX_PIXELS", "ImageFile", "Strip"]

MAX_PIXELS = 2_000_000_000
"""Default limit: a header that claims more pixels is refused before decoding."""

_LANCZOS_ROOM = 4 / 3
"""How much larger than the result a shrunk JPEG must be before Lanczos resampling.

Compared with Lanczos alone, ten photographs reach 45 dB at 256 pixels and 48 dB at 200
with this room, and 44 dB and 35 dB without."""

_COPIED_PIXELS = 1 << 26
"""Pictures of up to so many pixels are copied to memory before they are rotated."""


class Strip(NamedTuple):
    """Some consecutive rows of one page of a picture."""

    page: int
    top: int
    """Number of the first row within its page."""
    pixels: np.ndarray
    """``(n, W)`` gray or ``(n, W, 3)`` sRGB."""
    alpha: np.ndarray | None
    """``(n, W)``, or None."""


class ImageFile:
    """A picture file of which only the header has been read.

    Made by ``reading.open_image``. Close it, or use it in a ``with`` statement. It is
    not thread-safe, and only one decoding at a time may be under way.
    """

    name: str
    """The name of the file in messages."""
    format: str
    """A key of ``FORMATS``."""
    shape: tuple[int, int]
    """Height and width of a page, upright."""
    pages: int
    """How many pages of equal shape a TIFF has; 1 for other formats."""
    dtype: np.dtype
    """uint8, uint16 or float32."""
    has_color: bool
    """Whether the pixels have three channels."""
    has_alpha: bool
    """Whether the pixels come with transparency."""
    resolution: tuple[float, float] | None
    """Pixels per millimeter, across and down; None where the file states none."""
    compression: str
    """How a TIFF is compressed, as libvips names it."""
    metadata: Metadata
    """EXIF, XMP, IPTC, texts and comments of the file."""
    warnings: list[Notice]
    """What could not be honored, each a sentence for a person."""
    streams: bool
    """Whether strips are decoded without the whole picture in memory."""
    bilevel: bool
    """Whether every pixel that was decoded so far is black or white."""

    def __init__(
        self, source: bytes | BinaryIO, name: str, max_pixels: int, *, first_page: bool = False
    ) -> None:
        self._source, self.name, self._max_pixels = source, name, max_pixels
        self.bilevel = True
        start = read_at(source, 0, 64)
        found = detect_format(start)
        if found is None:
            if not start:
                raise ImageError(f"{name} is empty; expected a picture; get a complete copy")
            raise ImageError(
                f"{name} is not in a supported picture format; "
                f"expected one of {', '.join(FORMATS)}; convert it first"
            )
        self.format = found
        # libvips reads from the same descriptor, so metadata is read before it opens
        # the file.
        extracted = extract_metadata(self._read_at, found, name)
        self._channels = extracted.channels
        hidden = hide_metadata(self._read_at, found, name)
        if hidden is not None:
            self.close()
            self._source = hidden
        self._loader = Loader(self._source, name, found, self._check_pixels, first_page=first_page)
        with self._loader.explain_errors():
            self._read_header(extracted)

    def _read_header(self, extracted: Extracted) -> None:
        self.compression = self._loader.compression
        header = self._unread = self._load()
        self._check_header(header)
        interlaced = header.get_typeof("interlaced") and header.get("interlaced")
        self.streams = self._loader.streams and not interlaced
        self._profile, warning = find_profile(header, self.name)
        self.warnings = [*([warning] if warning else []), *self._loader.warnings]
        self.warnings += extracted.warnings
        self.pages = self._loader.pages
        self._orientation = extracted.orientation
        turned = self._orientation in (5, 6, 7, 8)
        metadata, stated = extracted.metadata, extracted.resolution or self._loader.resolution
        if turned and metadata.aspect:
            metadata = replace(metadata, aspect=metadata.aspect[::-1])
        self.metadata = metadata
        self.resolution = (stated[1], stated[0]) if stated and turned else stated
        converted = self._to_srgb(header)
        self.has_alpha = converted.bands in (2, 4)
        self.has_color = converted.bands >= 3
        height = header.height // self.pages
        self.shape = (header.width, height) if turned else (height, header.width)
        self.dtype = np.dtype(
            {"uchar": "uint8", "ushort": "uint16"}.get(str(converted.format), "float32")
        )

    def __enter__(self) -> "ImageFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._unread = None
        if not isinstance(self._source, bytes):
            self._source.close()

    @property
    def pixel_count(self) -> int:
        """The number of pixels of all pages together."""
        return self.shape[0] * self.shape[1] * self.pages

    def read(self) -> Image:
        """Decode the whole file."""
        with self._loader.explain_errors():
            image = self._orient()
            array = image.numpy().reshape(image.height, image.width, image.bands)
        pixels = self._check_pixels_of(array)
        return Image(
            pixels=np.ascontiguousarray(pixels),
            alpha=np.ascontiguousarray(array[..., -1]) if self.has_alpha else None,
            format=self.format,
            metadata=self.metadata,
            resolution=self.resolution,
            pages=self.pages,
            compression=self.compression,
            warnings=tuple(self.warnings),
        )

    def read_strips(self, rows: int) -> Iterator[Strip]:
        """Decode from top to bottom, in strips of at most ``rows`` rows of one page."""
        with self._loader.explain_errors():
            image = self._orient()
            region = pyvips.Region.new(image)
            height, width = self.shape
            for page in range(self.pages):
                for top in range(0, height, rows):
                    count = min(rows, height - top)
                    fetched = region.fetch(0, page * height + top, width, count)
                    strip = np.frombuffer(fetched, self.dtype).reshape(count, width, image.bands)
                    pixels = self._check_pixels_of(strip)
                    alpha = strip[..., -1] if self.has_alpha else None
                    yield Strip(page, top, np.ascontiguousarray(pixels), alpha)

    def read_rgb8(self, *, min_side: int | None = None) -> np.ndarray:
        """Decode the first page to sRGB ``(H, W, 3)`` uint8; alpha is ignored.

        With ``min_side`` a JPEG is decoded at 1/2, 1/4 or 1/8 of its size, as small as
        its short side allows.
        """
        if self.dtype == np.float32:
            pixels = np.rint(self.read().pixels[: self.shape[0]] * 255).astype(np.uint8)
            return pixels if self.has_color else np.dstack([pixels] * 3)
        factor = choose_shrink(min(self.shape), min_side) if min_side is not None else 1
        with self._loader.explain_errors():
            image = self._to_rgb8(self._load_shrunk(factor))
            return np.ascontiguousarray(_turn(image, self._orientation).numpy())

    def reduce_rgb8(self, short_side: int) -> np.ndarray:
        """Decode the first page to sRGB ``(h, w, 3)`` uint8 with a given short side.

        A JPEG is shrunk while it is decoded, which saves most of the work on a large
        photograph; the rest is Lanczos resampling. A picture that is smaller keeps its
        size. Transparent pictures are placed on white. Integer pixels only.
        """
        if self.dtype == np.float32:
            raise ImageError(f"{self.name} has float pixels; convert it to 8 or 16 bits first")
        short = min(self.shape)
        turned = self._orientation in (5, 6, 7, 8)
        height, width = self.shape[::-1] if turned else self.shape  # as stored
        with self._loader.explain_errors():
            image = self._load_shrunk(choose_shrink(short, short_side * _LANCZOS_ROOM))
            if image.hasalpha():
                white = 65535.0 if image.format == "ushort" else 255.0
                image = image.flatten(background=[white])
            if short > short_side:
                across, down = (round(side * short_side / short) for side in (width, height))
                image = image.resize(
                    across / image.width, vscale=down / image.height, kernel="lanczos3"
                )
            # One thread of libvips: the caller has a thread for each picture.
            image = set_field(image, pyvips.GValue.gint_type, "concurrency", 1)
            small = self._to_rgb8(image.copy_memory())
            return np.ascontiguousarray(_turn(small, self._orientation).numpy())

    def _read_at(self, offset: int, length: int) -> bytes:
        return read_at(self._source, offset, length)

    def _load(self, access: str = "sequential", *, shrink: int = 1) -> pyvips.Image:
        """Open the file, before it is turned and converted to sRGB."""
        image = self._loader.open(access, shrink=shrink)
        return image if self._channels is None else select_channels(image, self._channels)

    def _take_unread(self) -> pyvips.Image:
        """Return the image that was opened for the header, once; later a new one."""
        self._loader.verify()
        image, self._unread = self._unread, None
        return image if image is not None else self._load()

    def _load_shrunk(self, factor: int) -> pyvips.Image:
        """Open the first page, a JPEG at ``1 / factor`` of its size."""
        if factor > 1 and self.format == "jpeg":
            return self._load(shrink=factor)
        image = self._take_unread()
        return (
            image if self.pages == 1 else image.crop(0, 0, image.width, image.height // self.pages)
        )

    def _check_header(self, header: pyvips.Image) -> None:
        """Refuse pictures whose pixels could only be misread."""
        self._check_pixels(header.width, header.height)
        if header.format not in ("uchar", "ushort", "float", "double"):
            raise ImageError(
                f"{self.name} holds {header.format} pixels; expected 8 or 16 bits or floating "
                "point; convert it to 16 bits first"
            )
        if header.interpretation != "cmyk" and header.bands - header.hasalpha() not in (1, 3):
            raise ImageError(
                f"{self.name} has {header.bands} channels that are not a known color space; "
                "convert it to sRGB first"
            )

    def _check_pixels(self, width: int, height: int) -> None:
        check_pixels(width, height, self.name, self._max_pixels)

    def _orient(self) -> pyvips.Image:
        """Open all pages, each turned upright, in sRGB."""
        if self._orientation <= 1:
            return self._to_srgb(self._take_unread())
        # Turning needs the rows in another order than the file has them.
        if self.pixel_count < _COPIED_PIXELS:
            image = self._take_unread().copy_memory()
        else:
            self._loader.verify()
            image = self._load("random")
        height = image.height // self.pages
        pages = [
            _turn(image.crop(0, page * height, image.width, height), self._orientation)
            for page in range(self.pages)
        ]
        return self._to_srgb(
            pages[0] if self.pages == 1 else pyvips.Image.arrayjoin(pages, across=1)
        )

    def _to_srgb(self, image: pyvips.Image) -> pyvips.Image:
        """Convert to sRGB with alpha last. Gray stays gray where it has no profile, or
        one with a curve."""
        alpha = None
        if image.hasalpha():
            alpha = image[image.bands - 1]
            image = image[0] if image.bands == 2 else image.extract_band(0, n=image.bands - 1)
        if image.format in ("float", "double"):
            image = image.cast("float")
        else:
            deep = image.format == "ushort"
            if image.interpretation == "cmyk" or self._profile:
                image = self._apply_profile(image, depth=16 if deep else 8)
            elif image.interpretation in ("lab", "labs"):
                image = image.colourspace("rgb16" if deep else "srgb")
        return image if alpha is None else image.bandjoin(alpha.cast(image.format))

    def _to_rgb8(self, image: pyvips.Image) -> pyvips.Image:
        """Convert to three channels of 8-bit sRGB. The alpha channel is dropped."""
        if image.hasalpha():
            image = image.extract_band(0, n=image.bands - 1)
        if image.interpretation == "cmyk" or self._profile:
            image = self._apply_profile(image, depth=8)
        return image.colourspace("srgb")

    def _apply_profile(self, image: pyvips.Image, *, depth: int) -> pyvips.Image:
        if self._profile and image.bands == 1:
            deep = image.format == "ushort"
            if (table := make_gray_table(self._profile, deep=deep, depth=depth)) is not None:
                return image.maplut(from_array(table[None, :, None]))
        chosen: dict[str, Any] = {"embedded": True} if self._profile else {"input_profile": "cmyk"}
        return image.icc_transform("srgb", intent="relative", depth=depth, **chosen)

    def _check_pixels_of(self, array: np.ndarray) -> np.ndarray:
        """Return the pixels of decoded samples, without alpha. Refuses floats outside
        0..1."""
        pixels = array[..., :3] if self.has_color else array[..., 0]
        if self.dtype == np.float32 and not (pixels.min() >= 0 and pixels.max() <= 1):
            raise ImageError(
                f"{self.name} has floating-point values outside 0..1 or not finite; scale it, "
                "or convert it to 16 bits"
            )
        self.bilevel = self.bilevel and _is_bilevel(pixels)
        return pixels


def _turn(image: pyvips.Image, orientation: int) -> pyvips.Image:
    """Apply an EXIF orientation, 1 to 8."""
    if orientation <= 1:
        return image
    return set_field(image, pyvips.GValue.gint_type, "orientation", orientation).autorot()


def _is_bilevel(pixels: np.ndarray) -> bool:
    """Return whether every pixel is black or white."""
    white = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1
    # Most pictures have other pixels among these few.
    return all(bool(((part == 0) | (part == white)).all()) for part in (pixels[::16, ::16], pixels))
