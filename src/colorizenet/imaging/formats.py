"""The file formats of photos: how each is recognized, and what it can hold."""

import re
from dataclasses import dataclass
from importlib.util import find_spec

from colorizenet.errors import ImageError

__all__ = ["FORMATS", "Format", "detect_format", "find_format", "is_installed", "require_extra"]


@dataclass(frozen=True)
class Format:
    """What a file format can hold, and the operations of libvips for it."""

    suffixes: tuple[str, ...]
    """File name suffixes; the first is the one that new files get."""
    loader: str
    """The libvips operation that reads it; empty where another library does."""
    saver: str
    """The libvips operation that writes it; empty where another library does."""
    deep: bool = False
    """Whether it holds 16 bits per channel."""
    alpha: bool = True
    """Whether it holds transparency."""
    quality: int = 0
    """The default quality, 1 to 100; 0 for lossless formats."""
    longest: int = 1_000_000_000
    """The longest side it holds, in pixels."""
    written: bool = True
    """Whether a colorized photo can be written in it."""
    exceeded: bool = False
    """Whether some files in it hold more than can be written in it."""
    extra: str = ""
    """The package from the extra ``formats`` that reads and writes it; may be empty."""


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
    "avif": Format(
        (".avif",), "heifload", "heifsave", deep=True, quality=75, longest=16_384, exceeded=True
    ),
    "heic": Format(
        (".heic", ".heif"),
        "",
        "",
        deep=True,
        quality=85,
        longest=16_384,
        exceeded=True,
        extra="pillow_heif",
    ),
    "jxl": Format((".jxl",), "", "", quality=92, exceeded=True, extra="pillow_jxl"),
    "gif": Format((".gif",), "gifload", "", written=False),
    "pnm": Format((".pgm", ".ppm", ".pnm", ".pbm"), "", "", deep=True, alpha=False, written=False),
    "bmp": Format((".bmp", ".dib"), "", "", alpha=False, written=False),
    "jp2": Format(
        (".jp2", ".j2k", ".j2c", ".jpc", ".jpx", ".jpf"), "", "", deep=True, written=False
    ),
}


def find_format(suffix: str) -> str | None:
    """The format, a key of ``FORMATS``, whose files have a suffix; None where none
    does."""
    return next((name for name, kind in FORMATS.items() if suffix.lower() in kind.suffixes), None)


_SIGNATURES = {
    b"\xff\xd8\xff": "jpeg",
    b"\x89PNG\r\n\x1a\n": "png",
    b"GIF87a": "gif",
    b"GIF89a": "gif",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
    b"II+\0": "tiff",  # BigTIFF
    b"MM\0+": "tiff",
    b"\xff\x0a": "jxl",  # a bare codestream
    b"\0\0\0\x0cJXL \r\n\x87\n": "jxl",  # in a container
    b"\xff\x4f\xff\x51": "jp2",  # a bare codestream
    b"\0\0\0\x0cjP  \r\n\x87\n": "jp2",  # in a container
}
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


def detect_format(encoded: bytes) -> str | None:
    """Return the format of a file from its first 32 bytes, or None."""
    for signature, format in _SIGNATURES.items():
        if encoded.startswith(signature):
            return format
    if encoded[:4] == b"RIFF" and encoded[8:12] == b"WEBP":
        return "webp"
    if encoded[4:8] == b"ftyp":
        length = min(int.from_bytes(encoded[:4], "big"), len(encoded))
        brands = {encoded[8:12]} | {encoded[at : at + 4] for at in range(16, length - 3, 4)}
        if brands & _AVIF_BRANDS:
            return "avif"
        return "heic" if brands & _HEIC_BRANDS else None
    if encoded[:2] == b"BM" and int.from_bytes(encoded[14:18], "little") in range(12, 125):
        return "bmp"
    return "pnm" if re.match(rb"P[1-6][\s#]", encoded) else None


def is_installed(format: str) -> bool:
    """Whether the package that a format may need is installed."""
    extra = FORMATS[format].extra
    return not extra or find_spec(extra) is not None


def require_extra(format: str, name: str) -> None:
    """Raise ``ImageError`` if a format needs a package that is not installed."""
    if not is_installed(format):
        raise ImageError(
            f"{name} is {format}, which needs the extra `formats`; "
            "pip install 'colorizenet[formats]'"
        )
