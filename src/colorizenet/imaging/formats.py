"""The file formats of photographs: how each is recognized, what it holds, who reads and writes it."""

import re
from dataclasses import dataclass
from importlib.util import find_spec

from colorizenet.errors import ImageError

__all__ = ["FORMATS", "Format", "detect_format", "require"]


@dataclass(frozen=True)
class Format:
    """A file format: how it is recognized, and what it holds."""

    suffixes: tuple[str, ...]
    """Its endings; the first is the one we give."""
    loader: str
    """What libvips calls the operation that reads it; empty where another library does."""
    saver: str
    """What libvips calls the operation that writes it; empty where another library does."""
    deep: bool = False
    """Whether it holds 16 bits a channel."""
    alpha: bool = True
    """Whether it holds transparency."""
    quality: int = 0
    """The quality of 1 to 100 that we give it; 0 where every pixel is kept."""
    longest: int = 1_000_000_000
    """The longest side it holds, in pixels."""
    written: bool = True
    """Whether a colored photograph can be put into it."""
    extra: str = ""
    """The package of the extra ``formats`` that reads and writes it."""


FORMATS: dict[str, Format] = {
    "jpeg": Format(
        (".jpg", ".jpeg", ".jpe", ".jfif"),
        "jpegload",
        "jpegsave",
        alpha=False,
        quality=92,
        longest=65_500,
    ),
    "png": Format((".png",), "pngload", "pngsave", deep=True),
    "tiff": Format((".tif", ".tiff"), "tiffload", "tiffsave", deep=True),
    "webp": Format((".webp",), "webpload", "webpsave", quality=90, longest=16_383),
    "avif": Format((".avif",), "heifload", "heifsave", deep=True, quality=75, longest=16_384),
    "heic": Format(
        (".heic", ".heif"), "", "", deep=True, quality=85, longest=16_384, extra="pillow_heif"
    ),
    "jxl": Format((".jxl",), "", "", quality=92, extra="pillow_jxl"),
    "gif": Format((".gif",), "gifload", "", written=False),
    "pnm": Format((".pgm", ".ppm", ".pnm", ".pbm"), "", "", deep=True, alpha=False, written=False),
}


def detect_format(encoded: bytes) -> str | None:
    """The format that the first 32 bytes of a file belong to, a key of ``FORMATS``, or None."""
    signatures = {
        b"\xff\xd8\xff": "jpeg",
        b"\x89PNG\r\n\x1a\n": "png",
        b"GIF87a": "gif",
        b"GIF89a": "gif",
    }
    # And BigTIFF; a codestream of JPEG XL, and one in a container
    signatures |= dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "tiff")
    signatures |= dict.fromkeys((b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"), "jxl")
    for signature, format in signatures.items():
        if encoded.startswith(signature):
            return format
    if encoded[:4] == b"RIFF" and encoded[8:12] == b"WEBP":
        return "webp"
    if encoded[4:8] == b"ftyp":
        length = min(int.from_bytes(encoded[:4], "big"), len(encoded))
        brands = {encoded[8:12]} | {encoded[at : at + 4] for at in range(16, length - 3, 4)}
        if brands & {b"avif", b"avis"}:
            return "avif"
        return (
            "heic"
            if brands & {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
            else None
        )
    return "pnm" if re.match(rb"P[1-6][\s#]", encoded) else None


def require(format: str, name: str) -> None:
    if find_spec(FORMATS[format].extra) is None:
        raise ImageError(
            f"{name} is {format}, and this installation has no extra `formats`; pip install 'colorizenet[formats]'"
        )
