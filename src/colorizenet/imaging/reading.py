"""Pictures in and out of files, with what they carry: depth, alpha, EXIF, XMP, IPTC, resolution.

Formats are recognized by content, and only those of ``FORMATS`` are ever decoded: by libvips, of
which everything that its authors call unsafe for strangers' files is switched off, by OpenCV (PNM),
or by Pillow's plugins of the extra ``formats`` (HEIC, JPEG XL). A picture comes out upright and in
sRGB; what cannot be kept is said, in ``Image.warnings`` or by an error.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property, lru_cache
from typing import Any, BinaryIO

import numpy as np
import pyvips

from colorizenet.errors import ImageError, quote
from colorizenet.files import open_for_reading
from colorizenet.imaging import codecs, metadata, tiff
from colorizenet.imaging.formats import FORMATS, detect_format
from colorizenet.imaging.image import Image

__all__ = ["MAX_PIXELS", "ImageFile", "open_image", "read_image", "shorten_error"]

pyvips.block_untrusted_set(True)
# libvips warns from threads of its own. Python's logging, should it collect garbage there, would let go of pictures
# in the midst of libvips' work, which aborts the process; what matters comes as an error anyway.
pyvips._remove_log_handler()  # pyright: ignore[reportAttributeAccessIssue]

MAX_PIXELS = 2_000_000_000
"""A header that claims more is refused before anything is decoded."""

_CARRIED = ("exif-data", "xmp-data", "iptc-data", "image-description")
"""What we carry over, as libvips names it, beside the single tags of EXIF and comments."""


class ImageFile:
    """A picture file of which only the header is read: its shape, and its pixels when they are asked for.

    ``shape``: (H, W) of a page, upright; ``pages``; ``dtype``; ``color``: whether it has three
    channels; ``alpha``. Made by ``open_image``; close it, or use it in a ``with``.
    """

    def __init__(self, source: bytes | BinaryIO, name: str, max_pixels: int) -> None:
        self._source, self.name, self._max_pixels = source, name, max_pixels
        found = detect_format(_read_at(source, 0, 64))
        if found is None:
            what = "is not a picture we read" if _read_at(source, 0, 1) else "is empty"
            raise ImageError(
                f"{name} {what}; expected one of {', '.join(FORMATS)}; convert it first"
            )
        self.format = found
        with self._explained():
            self._open()

    def _open(self) -> None:
        loaded = self._loaded("sequential")
        self._check(loaded)
        self.warnings: list[str] = []
        self._profile: bytes | None = _profile_of(loaded, self.warnings, self.name)
        self.pages = _number(loaded, "n-pages") if self.format == "tiff" else 1
        self._orientation = _number(loaded, "orientation")
        self.compression, exif = self._told_by_tiff()
        self.carried: dict[str, tuple[int, Any]] = {
            key: (loaded.get_typeof(key), loaded.get(key))
            for key in loaded.get_fields()
            if key in _CARRIED or key.startswith(("exif-ifd", "jpeg-comment", "png-comment"))
        }
        if exif:
            self.carried["exif-data"] = (pyvips.GValue.blob_type, exif)
        # libvips says 1 pixel a millimeter where a file is silent
        stated = (loaded.xres, loaded.yres) != (1.0, 1.0)
        turned = self._orientation in (5, 6, 7, 8)
        across, down = (loaded.yres, loaded.xres) if turned else (loaded.xres, loaded.yres)
        self.resolution = (across, down) if stated else None
        prepared = self._prepared(loaded)
        self.alpha = prepared.bands in (2, 4)
        self.color = prepared.bands >= 3
        height = loaded.height // self.pages
        self.shape = (loaded.width, height) if turned else (height, loaded.width)
        self.dtype = np.dtype(
            {"uchar": "uint8", "ushort": "uint16"}.get(str(prepared.format), "float32")
        )

    def __enter__(self) -> "ImageFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        if not isinstance(self._source, bytes):
            self._source.close()

    @property
    def pixels(self) -> int:
        """How many pixels all pages have together."""
        return self.shape[0] * self.shape[1] * self.pages

    def whole(self) -> Image:
        """Decode all of it."""
        with self._explained():
            image = self._upright()
            array = image.numpy().reshape(image.height, image.width, image.bands)
        pixels = self._checked(array[..., :3] if self.color else array[..., 0])
        return Image(
            pixels=np.ascontiguousarray(pixels),
            alpha=np.ascontiguousarray(array[..., -1]) if self.alpha else None,
            format=self.format,
            carried=self.carried,
            resolution=self.resolution,
            pages=self.pages,
            compression=self.compression,
            warnings=tuple(self.warnings),
        )

    def strips(self, rows: int) -> Iterator[tuple[int, np.ndarray, np.ndarray | None]]:
        """Decode it from top to bottom: the number of the page, some rows of it, and their alpha.

        A strip has at most ``rows`` rows, as (n, W) or (n, W, 3), of one page.
        """
        with self._explained():
            image = self._upright()
            region = pyvips.Region.new(image)
            height, width = self.shape
            for page in range(self.pages):
                for top in range(0, height, rows):
                    count = min(rows, height - top)
                    fetched = region.fetch(0, page * height + top, width, count)
                    strip = np.frombuffer(fetched, self.dtype).reshape(count, width, image.bands)
                    pixels = self._checked(strip[..., :3] if self.color else strip[..., 0])
                    yield page, np.ascontiguousarray(pixels), strip[..., -1] if self.alpha else None

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (pyvips.Error, UnicodeDecodeError) as error:
            # Names of metadata come from the file, and may be no text
            reason = (
                shorten_error(error)
                if isinstance(error, pyvips.Error)
                else "its metadata is no text"
            )
            raise ImageError(
                f"{self.name} is damaged or cut short and cannot be decoded ({reason}); get a whole copy of it"
            ) from error

    def _loaded(self, access: str) -> pyvips.Image:
        """What libvips makes of the file before it is turned and brought to sRGB."""
        kind = FORMATS[self.format]
        if not kind.loader:
            array, profile, carried = self._decoded_elsewhere
            made = metadata.to_vips(array)
            blobs: dict[str, Any] = carried | ({"icc-profile-data": profile} if profile else {})
            for key, value in blobs.items():
                made.set_type(pyvips.GValue.blob_type, key, value)
            return made
        # libjpeg only warns of data that is damaged in the middle
        options: dict[str, Any] = {
            "fail_on": "warning" if self.format == "jpeg" else "error",
            "access": access,
        }
        if self.format == "tiff":
            options["n"] = -1
        if isinstance(self._source, bytes):
            return getattr(pyvips.Image, f"{kind.loader}_buffer")(self._source, **options)
        os.lseek(self._source.fileno(), 0, os.SEEK_SET)
        source = pyvips.Source.new_from_descriptor(self._source.fileno())
        return getattr(pyvips.Image, f"{kind.loader}_source")(source, **options)

    @cached_property
    def _decoded_elsewhere(self) -> tuple[np.ndarray, bytes, dict[str, bytes]]:
        """Pixels, profile and metadata of a format that libvips does not read."""
        encoded = self._source if isinstance(self._source, bytes) else _read_at(self._source, 0, -1)
        return codecs.decoded(encoded, self.name, self.format, self._refused_if_more)

    def _check(self, loaded: pyvips.Image) -> None:
        """Refuse by the header alone what we could only get wrong."""
        self._refused_if_more(loaded.width, loaded.height)
        if loaded.format not in ("uchar", "ushort", "float", "double"):
            raise ImageError(
                f"{self.name} holds {loaded.format} pixels and we read 8 and 16 bits and floating point; "
                "convert it to 16 bits first"
            )
        if loaded.interpretation != "cmyk" and loaded.bands - loaded.hasalpha() not in (1, 3):
            raise ImageError(
                f"{self.name} has {loaded.bands} channels that are no colors we know; convert it to sRGB first"
            )

    def _refused_if_more(self, width: int, height: int) -> None:
        if width * height > self._max_pixels:
            raise ImageError(
                f"{self.name} has {width} x {height} pixels and the limit is {self._max_pixels:,}; "
                "raise the limit if you trust the file, or reduce the picture"
            )

    def _told_by_tiff(self) -> tuple[str, bytes]:
        if self.format != "tiff":
            return "deflate", b""
        tags = tiff.first_directory(lambda offset, length: _read_at(self._source, offset, length))
        (code,) = tags.get(tiff.COMPRESSION, (3, b"\1\0"))[1:]
        known = {1: "none", 5: "lzw", 7: "jpeg", 32773: "packbits"}
        number = int.from_bytes(code, "little") if isinstance(code, bytes) else 0
        return known.get(number, "deflate"), tiff.exif_block(tags)

    def _upright(self) -> pyvips.Image:
        if self._orientation <= 1:
            return self._prepared(self._loaded("sequential"))
        # Turning needs its rows in another order than the file has them
        loaded = self._loaded("random")
        height = loaded.height // self.pages
        pages = [loaded.crop(0, page * height, loaded.width, height) for page in range(self.pages)]
        turned = [
            page.copy_memory() if self.pixels < metadata.IN_MEMORY else page for page in pages
        ]
        turned = [
            _with(page, pyvips.GValue.gint_type, "orientation", self._orientation).autorot()
            for page in turned
        ]
        return self._prepared(
            turned[0] if self.pages == 1 else pyvips.Image.arrayjoin(turned, across=1)
        )

    def _prepared(self, image: pyvips.Image) -> pyvips.Image:
        """In sRGB, alpha last. Gray stays gray unless a profile says what its gray means."""
        alpha = None
        if image.hasalpha():
            alpha = image[image.bands - 1]
            image = image[0] if image.bands == 2 else image.extract_band(0, n=image.bands - 1)
        if image.format in ("float", "double"):
            image = image.cast("float")
        else:
            deep = image.format == "ushort"
            if image.interpretation == "cmyk" or self._profile:
                given: dict[str, Any] = (
                    {"embedded": True} if self._profile else {"input_profile": "cmyk"}
                )
                image = image.icc_transform(
                    "srgb", intent="relative", depth=16 if deep else 8, **given
                )
            elif image.interpretation in ("lab", "labs"):
                image = image.colourspace("rgb16" if deep else "srgb")
        return image if alpha is None else image.bandjoin(alpha.cast(image.format))

    def _checked(self, pixels: np.ndarray) -> np.ndarray:
        if self.dtype == np.float32 and not (pixels.min() >= 0 and pixels.max() <= 1):
            raise ImageError(
                f"{self.name} has floating-point values outside 0..1 or not finite; scale it, or convert it to 16 bits"
            )
        return pixels


def open_image(
    source: str | os.PathLike[str] | bytes, *, max_pixels: int = MAX_PIXELS
) -> ImageFile:
    """Read the header of a file, or of the bytes of one; ``ImageError`` says what is wrong with it and whose it is."""
    if isinstance(source, bytes):
        return ImageFile(source, "the picture", max_pixels)
    name = quote(os.fspath(source))
    try:
        file = open_for_reading(source)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ImageError(f"{name} cannot be read: {reason}; give a picture file") from error
    try:
        return ImageFile(file, name, max_pixels)
    except OSError as error:
        file.close()
        raise ImageError(f"{name} cannot be read: {error.strerror}; give a picture file") from error
    except BaseException:
        file.close()
        raise


def read_image(source: str | os.PathLike[str] | bytes, *, max_pixels: int = MAX_PIXELS) -> Image:
    """Decode a file, or the bytes of one; ``ImageError`` says what is wrong with it and whose it is."""
    with open_image(source, max_pixels=max_pixels) as picture:
        return picture.whole()


def _read_at(source: bytes | BinaryIO, offset: int, length: int) -> bytes:
    if isinstance(source, bytes):
        return source[offset : offset + length]
    if source.seekable():
        source.seek(min(offset, 1 << 62))
    return source.read(length) or b""  # None from a pipe that has nothing yet


def _number(image: pyvips.Image, name: str) -> int:
    """A number of the header, 1 where there is none."""
    found: Any = image.get(name) if image.get_typeof(name) else 1
    return int(found)


def _with(image: pyvips.Image, kind: int, name: str, value: Any) -> pyvips.Image:
    copied = image.copy()
    copied.set_type(kind, name, value)
    return copied


def _profile_of(image: pyvips.Image, warnings: list[str], name: str) -> bytes | None:
    """The profile that must be applied: None where there is none, where it means sRGB, or where it is damaged."""
    found: Any = image.get("icc-profile-data") if image.get_typeof("icc-profile-data") else b""
    if not found:
        return None
    try:
        channels = 4 if image.interpretation == "cmyk" else image.bands - image.hasalpha()
        if means_srgb(bytes(found), channels):
            return None
    except pyvips.Error as error:
        warnings.append(
            f"{name} has a damaged color profile ({shorten_error(error)}); sRGB was assumed"
        )
        return None
    if image.format in ("float", "double"):
        warnings.append(
            f"{name} has a color profile, which is not applied to floating point; sRGB was assumed"
        )
        return None
    return bytes(found)


@lru_cache(maxsize=64)
def means_srgb(profile: bytes, channels: int) -> bool:
    """Whether a profile of 1, 3 or 4 channels changes no color by more than a level, whatever it calls itself.

    ``pyvips.Error`` where it is damaged or for other channels.
    """
    # libvips falls back on a profile of its own without a word, so that one must be told from it
    tags = np.frombuffer(profile[132 : len(profile) // 4 * 4], ">u4")[
        : 3 * int.from_bytes(profile[128:132], "big")
    ]
    inside = len(tags) % 3 == 0 and (tags[1::3].astype(int) + tags[2::3] <= len(profile)).all()
    if (
        profile[36:40] != b"acsp"
        or profile[16:20] != {1: b"GRAY", 3: b"RGB ", 4: b"CMYK"}[channels]
        or not inside
    ):
        raise pyvips.Error("it is cut short, or not for such pixels")
    ramp = np.arange(256, dtype=np.uint8)
    gray = np.ones((1, channels), np.uint8)
    masks = (
        np.array([[1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.uint8) if channels == 3 else gray
    )
    test = masks[:, None] * ramp[None, :, None]
    tried = pyvips.Image.new_from_array(test).copy(
        interpretation={1: "b-w", 3: "srgb", 4: "cmyk"}[channels]
    )
    blob: Any = profile
    tried.set_type(pyvips.GValue.blob_type, "icc-profile-data", blob)
    # And which one it would fall back on must not matter
    shown, otherwise = [
        tried.icc_transform(
            "srgb", input_profile=fallback, embedded=True, intent="relative", depth=8
        ).numpy()
        for fallback in ("srgb", "p3")
    ]
    if not np.array_equal(shown, otherwise):
        raise pyvips.Error("it cannot be used")
    return channels != 4 and bool(np.abs(shown.astype(int) - test).max() <= 1)


def shorten_error(error: pyvips.Error) -> str:
    """libvips' own words, of one line; some errors come with the same line many times."""
    lines = [line.strip() for line in (error.detail or error.message).splitlines() if line.strip()]
    return quote(lines[0]) if lines else "no reason given"
