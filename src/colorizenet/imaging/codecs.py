"""Formats that libvips does not read or write.

OpenCV decodes PNM and BMP. Pillow's plugins, from the extra ``formats``, decode and
encode HEIC and JPEG XL.
"""

import io
import re
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from colorizenet.errors import ImageError, quote
from colorizenet.imaging.formats import require_extra

__all__ = ["CheckPixels", "decode", "decode_bmp", "encode"]

CheckPixels = Callable[[int, int], None]
"""Called with width and height before decoding; raises ``ImageError`` if too large."""


def decode(
    encoded: bytes, name: str, format: str, check_pixels: CheckPixels
) -> tuple[np.ndarray, bytes, dict[str, bytes]]:
    """Decode a file: pixels, color profile, and metadata by the field names of libvips.

    The pixels are ``(H, W, 1 to 4)`` of uint8 or uint16. Raises ``ImageError``.
    """
    if format == "pnm":
        return _decode_pnm(encoded, name, check_pixels), b"", {}
    return _decode_with_pillow(encoded, name, format, check_pixels)


def decode_bmp(encoded: bytes, name: str, check_pixels: CheckPixels) -> np.ndarray:
    """Decode a BMP to ``(H, W, 3)`` uint8. Raises ``ImageError``."""
    width, height = (int.from_bytes(encoded[at : at + 4], "little") for at in (18, 22))
    if encoded[14] != 12:  # an old header has 16-bit sides, which are always few pixels
        check_pixels(width, min(height, (1 << 32) - height))  # rows may run downwards
    return cv2.cvtColor(_decode_with_opencv(encoded, name, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def encode(array: np.ndarray, format: str, quality: int, metadata: dict[str, bytes]) -> bytes:
    """Encode pixels ``(H, W, 1 to 4)`` as HEIC or JPEG XL.

    ``metadata`` holds ``icc_profile``, ``exif`` and ``xmp`` where the picture has them.
    """
    require_extra(format, "the picture")
    file = io.BytesIO()
    if format == "heic":
        import pillow_heif

        mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[array.shape[2]]
        mode += ";16" if array.dtype == np.uint16 else ""
        pillow_heif.encode(
            mode, array.shape[1::-1], array.tobytes(), file, quality=quality, **metadata
        )
    else:
        import PIL.Image
        import pillow_jxl  # noqa: F401 (the import registers the plugin)

        pixels = array.squeeze(2) if array.shape[2] == 1 else array
        PIL.Image.fromarray(pixels).save(file, "JXL", quality=quality, **metadata)
    return file.getvalue()


def _decode_pnm(encoded: bytes, name: str, check_pixels: CheckPixels) -> np.ndarray:
    header = re.match(
        rb"P([1-6])\s+(\d+)\s+(\d+)(?:\s+(\d+))?", re.sub(rb"#[^\n]*\n", b"", encoded[:4096])
    )
    if header is None:
        raise _damaged(name)
    width, height = int(header[2]), int(header[3])
    check_pixels(width, height)
    top = 1 if header[1] in b"14" else int(header[4] or 0)
    samples = width * height * (3 if header[1] in b"36" else 1)
    needed = {b"4": -(-width // 8) * height, b"5": samples, b"6": samples}.get(header[1], 0)
    needed *= 2 if top > 255 else 1
    if not 0 < top < 65536 or needed > len(encoded):  # OpenCV would invent missing pixels
        raise _damaged(name)
    array = _decode_with_opencv(encoded, name, cv2.IMREAD_UNCHANGED)
    if array.shape[:2] != (height, width):
        raise _damaged(name)
    full = 65535 if array.dtype == np.uint16 else 255
    if top not in (1, 255, 65535):
        array = np.minimum(np.round(array * (full / top)), full).astype(array.dtype)
    return cv2.cvtColor(array, cv2.COLOR_BGR2RGB) if array.ndim == 3 else array[..., None]


def _decode_with_opencv(encoded: bytes, name: str, flags: int) -> np.ndarray:
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # the error says enough
    try:
        array = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags)
    except cv2.error as error:
        raise _damaged(name) from error
    if array is None:
        raise _damaged(name)
    return array


def _decode_with_pillow(
    encoded: bytes, name: str, format: str, check_pixels: CheckPixels
) -> tuple[np.ndarray, bytes, dict[str, bytes]]:
    require_extra(format, name)
    try:
        if format == "heic":
            import pillow_heif

            opened: Any = pillow_heif.open_heif(io.BytesIO(encoded), convert_hdr_to_8bit=False)
        else:
            import PIL.Image
            import pillow_jxl  # noqa: F401 (the import registers the plugin)

            opened = PIL.Image.open(io.BytesIO(encoded))
        check_pixels(*opened.size)
        array = np.asarray(opened)
        info = opened.info
    except ImageError:
        raise
    except Exception as error:
        # The one broad except: the errors of the plugins have no common base class.
        raise _damaged(name, f" ({quote(error)})") from error
    blobs = {"exif-data": info.get("exif"), "xmp-data": info.get("xmp")}
    array = array[..., None] if array.ndim == 2 else array
    return (
        array,
        info.get("icc_profile") or b"",
        {key: bytes(value) for key, value in blobs.items() if value},
    )


def _damaged(name: str, reason: str = "") -> ImageError:
    return ImageError(
        f"{name} is damaged or cut short and cannot be decoded{reason}; get a complete copy of it"
    )
