"""Pictures in and out of files, with what they carry: depth, alpha, EXIF, XMP, IPTC, resolution.

JPEG, PNG, TIFF and WebP, recognised by their content and decoded by libvips: turned upright,
brought to sRGB when they have a profile, of 8 or 16 bits. What we cannot keep we refuse, in
words: floating-point TIFF, several pages, transparency into JPEG.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyvips

from colorizenet.errors import ImageError, quoted

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "Format",
    "Image",
    "encode_image",
    "read_image",
    "recognised",
    "write_atomically",
    "write_image",
]

MAX_PIXELS = 200_000_000
"""A header that claims more is refused before anything is decoded."""


_CARRIED = ("exif-data", "xmp-data", "iptc-data", "image-description")
"""What we carry over, as libvips names it, beside the single tags of EXIF and comments."""


@dataclass(frozen=True)
class Format:
    """A file format: how it is recognised, and what libvips is told when writing it."""

    suffixes: tuple[str, ...]
    """Its endings; the first is the one we give."""
    loader: str
    saver: str
    options: dict[str, Any]
    deep: bool
    """Whether it holds 16 bits a channel."""
    alpha: bool
    """Whether it holds transparency."""
    quality: bool
    """Whether it takes a quality of 1 to 100."""


FORMATS: dict[str, Format] = {
    "jpeg": Format(
        (".jpg", ".jpeg", ".jpe", ".jfif"),
        "jpegload_buffer",
        "jpegsave_buffer",
        {"Q": 92, "optimize_coding": True},
        deep=False,
        alpha=False,
        quality=True,
    ),
    "png": Format((".png",), "pngload_buffer", "pngsave_buffer", {}, deep=True, alpha=True, quality=False),
    "tiff": Format(
        (".tif", ".tiff"),
        "tiffload_buffer",
        "tiffsave_buffer",
        {"compression": "deflate", "predictor": "horizontal"},
        deep=True,
        alpha=True,
        quality=False,
    ),
    "webp": Format((".webp",), "webpload_buffer", "webpsave_buffer", {"Q": 90}, deep=False, alpha=True, quality=True),
}


@dataclass(frozen=True)
class Image:
    """A decoded picture: upright, sRGB, and the rest of what its file carried."""

    pixels: np.ndarray
    """(H, W) grey or (H, W, 3) sRGB, uint8 or uint16."""
    alpha: np.ndarray | None = None
    """(H, W) of the same dtype, 0 is transparent; or None."""
    format: str = "png"
    """The format it came in, a key of ``FORMATS``."""
    carried: dict[str, tuple[int, Any]] = field(default_factory=dict, repr=False)
    """EXIF, XMP and IPTC as libvips names and types them."""
    resolution: tuple[float, float] | None = None
    """Pixels a millimetre, across and down; None where the file states none."""

    def with_pixels(self, pixels: np.ndarray) -> "Image":
        """The same picture with other pixels of the same height and width."""
        if pixels.shape[:2] != self.pixels.shape[:2]:
            raise ValueError(f"pixels of {pixels.shape[:2]} cannot replace those of {self.pixels.shape[:2]}")
        return replace(self, pixels=pixels)


def read_image(source: str | os.PathLike[str] | bytes, *, max_pixels: int = MAX_PIXELS) -> Image:
    """Decode a file, or the bytes of one; ``ImageError`` says what is wrong with it and whose it is."""
    name = "the picture" if isinstance(source, bytes) else quoted(os.fspath(source))
    try:
        encoded = source if isinstance(source, bytes) else Path(source).read_bytes()
    except OSError as error:
        raise ImageError(f"{name} cannot be read: {error.strerror}; give a picture file") from error
    found = recognised(encoded)
    if found is None:
        what = "is empty" if not encoded else "is not a picture we read"
        raise ImageError(f"{name} {what}; expected JPEG, PNG, TIFF or WebP; convert it first")
    try:
        # libjpeg only warns of data that is damaged in the middle
        fail_on = "warning" if found == "jpeg" else "error"
        loaded = getattr(pyvips.Image, FORMATS[found].loader)(encoded, fail_on=fail_on)
        _check(loaded, name, max_pixels)
        return _decoded(loaded, found)
    except pyvips.Error as error:
        raise ImageError(
            f"{name} is damaged or cut short and cannot be decoded ({_reason(error)}); get a whole copy of it"
        ) from error


def encode_image(image: Image, format: str | None = None, *, quality: int | None = None) -> bytes:
    """The bytes of a file of ``format`` (a key of ``FORMATS``), by default the one it came in.

    ``quality``, 1 to 100, is for jpeg and webp; the others keep every pixel.
    """
    chosen = format or image.format
    kind = FORMATS[chosen]
    if image.alpha is not None and not kind.alpha:
        raise ImageError(f"{chosen} holds no transparency and the picture has some; choose png, tiff or webp")
    if image.pixels.dtype == np.uint16 and not kind.deep:
        raise ImageError(f"{chosen} holds 8 bits and the picture has 16; choose png or tiff")
    options = dict(kind.options)
    if quality is not None and kind.quality:
        options["Q"] = quality
    try:
        return getattr(_vips_of(image), kind.saver)(profile="srgb", **options)
    except pyvips.Error as error:
        height, width = image.pixels.shape[:2]
        raise ImageError(
            f"the picture of {width} x {height} cannot be written as {chosen} ({_reason(error)}); choose png or tiff"
        ) from error


def write_image(path: str | os.PathLike[str], image: Image, *, quality: int | None = None) -> None:
    """Write a file whose ending says its format; it appears whole or not at all."""
    path = Path(path)
    chosen = next((name for name, kind in FORMATS.items() if path.suffix.lower() in kind.suffixes), None)
    if chosen is None:
        endings = ", ".join(kind.suffixes[0] for kind in FORMATS.values())
        raise ImageError(f"{quoted(path)} names no format we write; end it in one of {endings}")
    encoded = encode_image(image, chosen, quality=quality)
    try:
        write_atomically(path, encoded)
    except OSError as error:
        raise ImageError(f"{quoted(path)} cannot be written: {error.strerror}; choose another place") from error


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside, then rename, so that a killed program leaves no half a file under this name."""
    with _beside(path) as temporary:
        temporary.write_bytes(content)
        temporary.replace(path)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    temporary = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def recognised(encoded: bytes) -> str | None:
    """The format that the first 16 bytes of a file belong to, a key of ``FORMATS``, or None."""
    if encoded.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if encoded.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if encoded[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):  # and BigTIFF
        return "tiff"
    if encoded[:4] == b"RIFF" and encoded[8:12] == b"WEBP":
        return "webp"
    return None


def _check(loaded: pyvips.Image, name: str, max_pixels: int) -> None:
    """Refuse by the header alone what we could only get wrong."""
    if loaded.width * loaded.height > max_pixels:
        raise ImageError(
            f"{name} has {loaded.width} x {loaded.height} pixels and the limit is {max_pixels:,}; "
            "raise the limit if you trust the file, or reduce the picture"
        )
    pages: Any = loaded.get("n-pages") if loaded.get_typeof("n-pages") else 1
    if pages > 1:
        raise ImageError(f"{name} holds {pages} pages or frames and we read files of one; split it first")
    if loaded.format not in ("uchar", "ushort"):
        raise ImageError(f"{name} holds {loaded.format} pixels and we read 8 and 16 bits; convert it to 16 bits first")


def _decoded(loaded: pyvips.Image, format: str) -> Image:
    upright = loaded.autorot()
    alpha = None
    if upright.hasalpha():
        alpha = upright[upright.bands - 1]
        upright = upright[0] if upright.bands == 2 else upright[0 : upright.bands - 1]
    deep = upright.format == "ushort"
    pixels = _to_srgb(upright, deep)
    if pixels.bands not in (1, 3):
        raise ImageError(
            f"the picture has {loaded.bands} channels that are no colours we know; convert it to sRGB first"
        )
    array = pixels.numpy()
    return Image(
        pixels=array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array,
        alpha=None if alpha is None else alpha.numpy(),
        format=format,
        carried={
            name: (upright.get_typeof(name), upright.get(name))
            for name in upright.get_fields()
            if name in _CARRIED or name.startswith(("exif-ifd", "jpeg-comment", "png-comment"))
        },
        # libvips says 1 pixel a millimetre where a file is silent
        resolution=(upright.xres, upright.yres) if (upright.xres, upright.yres) != (1.0, 1.0) else None,
    )


def _to_srgb(image: pyvips.Image, deep: bool) -> pyvips.Image:
    """Grey stays grey unless a profile says what its grey means; everything else becomes sRGB."""
    profile: Any = image.get("icc-profile-data") if image.get_typeof("icc-profile-data") else b""
    if image.interpretation == "cmyk" or (profile and not means_srgb(image, profile)):
        return image.icc_transform("srgb", embedded=True, intent="relative", depth=16 if deep else 8)
    return image.colourspace("rgb16" if deep else "srgb") if image.interpretation in ("lab", "labs") else image


def means_srgb(image: pyvips.Image, profile: Any) -> bool:
    """Whether a profile changes no colour by more than a level, whatever it calls itself."""
    ramp = np.arange(256, dtype=np.uint8)
    if image.bands == 3:
        masks = np.array([[1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.uint8)
        test = masks[:, None] * ramp[None, :, None]
    else:
        test = ramp[None, :, None]
    tried = pyvips.Image.new_from_array(test).copy(interpretation="srgb" if image.bands == 3 else "b-w")
    tried.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    shown = tried.icc_transform("srgb", embedded=True, intent="relative", depth=8).numpy()
    return bool(np.abs(shown.astype(int) - test).max() <= 1)


def _vips_of(image: Image) -> pyvips.Image:
    pixels = np.ascontiguousarray(image.pixels)
    made = pyvips.Image.new_from_array(pixels if pixels.ndim == 3 else pixels[..., None])
    deep = pixels.dtype == np.uint16
    grey = pixels.ndim == 2
    interpretation = ("grey16" if deep else "b-w") if grey else ("rgb16" if deep else "srgb")
    if image.alpha is not None:
        made = made.bandjoin(pyvips.Image.new_from_array(np.ascontiguousarray(image.alpha)[..., None]))
    xres, yres = image.resolution or (1.0, 1.0)
    made = made.copy(interpretation=interpretation, xres=xres, yres=yres)
    for name, (kind, value) in image.carried.items():
        made.set_type(kind, name, value)
    if image.carried:
        # The EXIF block still says how the picture was turned, and it is upright now.
        made.set_type(pyvips.GValue.gint_type, "orientation", 1)
    return made


def _reason(error: pyvips.Error) -> str:
    """libvips' own words, of one line; some errors come with the same line many times."""
    lines = [line.strip() for line in (error.detail or error.message).splitlines() if line.strip()]
    return quoted(lines[0]) if lines else "no reason given"
