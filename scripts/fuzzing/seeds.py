"""Small, sound files of each format and kind, which are then altered."""

import io
from typing import Any

import cv2
import numpy as np
import PIL.Image
import pyvips
import tifffile

from colorizenet.errors import ImageError
from colorizenet.imaging import tiff
from colorizenet.imaging.formats import FORMATS
from colorizenet.imaging.image import Image, Metadata
from colorizenet.imaging.writing import encode_image

__all__ = ["make_seed_files"]

_XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)
_LIBVIPS_FILES: dict[str, dict[str, Any]] = {
    "progressive.jpg": {"interlace": True, "profile": "p3"},
    "interlaced.png": {"interlace": True},
    "palette.png": {"palette": True},
    "lossless.webp": {"lossless": True},
    "frames.gif": {},
    **{f"{name}.tif": {"compression": name} for name in ("none", "lzw", "packbits", "jpeg")},
    "tiled.tif": {"compression": "deflate", "tile": True, "tile_width": 16, "tile_height": 16},
    "tiled-jpeg.tif": {"compression": "jpeg", "tile": True, "tile_width": 16, "tile_height": 16},
    "big.tif": {"compression": "deflate", "bigtiff": True, "profile": "p3"},
    "pyramid.tif": {"compression": "lzw", "tile": True, "pyramid": True, "subifd": True},
}
_SAVERS = {".jpg": "jpegsave", ".png": "pngsave", ".webp": "webpsave", ".tif": "tiffsave"} | {
    ".gif": "gifsave"
}
_COMPRESSIONS = ("zstd", "lzma", "lerc", "jpeg2000", "png", "jpegxl", "webp")
"""Compressions of TIFF that libvips does not decode, or that hold another format."""


def make_seed_files(gray: np.ndarray) -> list[tuple[str, bytes]]:
    """Make files of a gray picture, ``(H, W)`` uint8: their names and contents."""
    color = np.ascontiguousarray(np.dstack([gray, 255 - gray, gray // 2]))
    deep = gray.astype(np.uint16) * 257
    exif = tiff.make_exif_block(
        {315: (tiff.ASCII, b"Dorothea Lange\0"), 274: (tiff.SHORT, b"\6\0")}
    )
    metadata = Metadata(
        exif=exif, xmp=_XMP, iptc=b"\x1c\2\x78\0\3abc", texts=((b"tEXt", b"Author\0me"),)
    )
    images = {
        "gray": Image(gray, metadata=metadata),
        "color": Image(color, gray, metadata=metadata, note="note"),
        "deep": Image(deep),
        "pages": Image(np.tile(deep, (3, 1)), pages=3),
        "float": Image((gray / 255).astype(np.float32)),
    }
    found: list[tuple[str, bytes]] = []
    for format, kind in FORMATS.items():
        for name, image in images.items():
            if kind.written:
                try:
                    found.append((f"{name}{kind.suffixes[0]}", encode_image(image, format)))
                except ImageError:
                    continue  # the format does not hold such pictures
    vips = pyvips.Image.new_from_array(color)
    for name, options in _LIBVIPS_FILES.items():
        save = getattr(vips, f"{_SAVERS[name[name.index('.') :]]}_buffer")
        found.append((name, save(**options)))
    found += _make_tiff_files(gray, color, deep)
    found += _make_animations(gray)
    cmyk = np.ascontiguousarray(np.dstack([color, gray]))
    found.append(("cmyk.jpg", _save(PIL.Image.frombytes("CMYK", gray.shape[::-1], cmyk.tobytes()))))
    for ending, pixels in ((".bmp", color), (".jp2", color), (".jp2", deep), (".pgm", gray)):
        name = f"{pixels.dtype}-{pixels.ndim}{ending}"
        found.append((name, cv2.imencode(ending, pixels)[1].tobytes()))
    size = b"%d %d" % gray.shape[::-1]
    found.append(("gray.pgm", b"P5 " + size + b" 255\n" + gray.tobytes()))
    found.append(("deep.ppm", b"P6 " + size + b" 65535\n" + color.astype(">u2").tobytes()))
    numbers = b" ".join(b"%d" % number for number in gray.ravel())
    found.append(("numbers.pgm", b"P2\n# comment\n" + size + b" 255\n" + numbers))
    return found


def _make_tiff_files(
    gray: np.ndarray, color: np.ndarray, deep: np.ndarray
) -> list[tuple[str, bytes]]:
    """Make TIFF files that libvips does not read."""
    options: dict[str, dict[str, Any]] = {
        f"{name}.tif": {"data": color, "compression": name, "photometric": "rgb", "tile": (16, 16)}
        for name in _COMPRESSIONS
    }
    options["twelve.tif"] = {"data": deep >> 4, "bitspersample": 12}
    options["planes.tif"] = {
        "data": np.ascontiguousarray(color.transpose(2, 0, 1)),
        "planarconfig": "separate",
        "photometric": "rgb",
        "tile": (16, 16),
        "compression": "zlib",
    }
    options["lab.tif"] = {"data": color, "photometric": "cielab", "compression": "zlib"}
    options["doubles.tif"] = {"data": gray / 255}
    options["motorola.tif"] = {"data": deep, "byteorder": ">", "rowsperstrip": 5}
    found = []
    for name, each in options.items():
        byteorder = each.pop("byteorder", "<")
        file = io.BytesIO()
        with tifffile.TiffWriter(file, byteorder=byteorder) as writer:
            writer.write(each.pop("data"), metadata=None, **each)
        found.append((name, file.getvalue()))
    return found


def _make_animations(gray: np.ndarray) -> list[tuple[str, bytes]]:
    frames = [PIL.Image.fromarray(np.roll(gray, shift, axis=1)) for shift in (0, 5, 9)]
    found = []
    for format in ("GIF", "PNG", "WebP"):
        options: dict[str, Any] = {"append_images": frames[1:], "duration": 40}
        name = f"three.{format.lower()}"
        found.append((name, _save(frames[0], format, save_all=True, **options)))
    return found


def _save(image: PIL.Image.Image, format: str = "JPEG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()
