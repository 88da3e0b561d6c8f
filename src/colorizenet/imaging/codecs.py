"""Formats that libvips does not read or write.

OpenCV decodes PNM, BMP and JPEG 2000. Pillow's plugins, from the extra ``formats``,
decode and encode HEIC and JPEG XL.
"""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np

from colorizenet.errors import DamagedImageError, ImageError, quote
from colorizenet.imaging.formats import require_extra
from colorizenet.imaging.sizes import find_jpeg2000, read_jpegxl_depth, read_size
from colorizenet.imaging.tiff import ReadAt, read_from

__all__ = [
    "CUT_SHORT",
    "CheckPixels",
    "Decoded",
    "decode",
    "encode",
    "make_error",
    "shorten_reason",
]

CheckPixels = Callable[[int, int], None]
"""Called with width and height before decoding; raises ``ImageError`` if too large."""

CUT_SHORT = " (the file ends before its pixels do)"
"""A reason for ``make_error``."""
_HEADER = 1 << 16
"""Bytes that the header of a PNM, BMP or JPEG 2000 file has at most."""
_LONGEST_JP2_HEADER = 1 << 20
_ASCII_SAMPLE = 16
"""Bytes of a sample of a PNM file in ASCII, with the blanks around it, at most."""


@dataclass(frozen=True)
class Decoded:
    """A decoded file, not yet upright and not yet in sRGB."""

    pixels: np.ndarray
    """``(H, W, 1 to 4)`` of uint8, uint16 or float32; pages are stacked vertically."""
    profile: bytes = b""
    """The ICC profile, or empty."""
    resolution: tuple[float, float] | None = None
    """Pixels per millimeter, across and down; None where the file states none."""
    frames: int = 1
    """The number of pictures in the file, of which this is one."""


def decode(read_at: ReadAt, name: str, format: str, check_pixels: CheckPixels) -> Decoded:
    """Decode a file of a format that libvips does not read. Raises ``ImageError``.

    The size is checked by the header, before more of the file is read.
    """
    if format == "pnm":
        return _decode_pnm(read_at, name, check_pixels)
    if format == "bmp":
        return _decode_bmp(read_at, name, check_pixels)
    if format == "jp2":
        return _decode_jpeg2000(read_at, name, check_pixels)
    return _decode_with_pillow(read_at(0, -1), name, format, check_pixels)


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
        if "exif" in metadata:  # the plugin adds no offset
            metadata = metadata | {"exif": bytes(4) + metadata["exif"].removeprefix(b"Exif\0\0")}
        PIL.Image.fromarray(pixels).save(file, "JXL", quality=quality, **metadata)
    return file.getvalue()


class _PnmHeader(NamedTuple):
    kind: bytes
    """The digit of the signature, 1 to 6."""
    width: int
    height: int
    top: int
    """The value of white."""
    length: int
    """The length of the header in bytes."""


def _read_pnm_header(start: bytes, name: str) -> _PnmHeader:
    """Read the numbers of a header, between which comments may stand."""
    kind = start[1:2]
    wanted = 2 if kind in b"14" else 3
    numbers: list[int] = []
    at = 2
    token = re.compile(rb"(?:\s|#[^\r\n]*[\r\n])*([0-9]{1,10})(?:#[^\r\n]*)?")
    while len(numbers) < wanted:
        found = token.match(start, at)
        if found is None:
            raise make_error(name)
        numbers.append(int(found[1]))
        at = found.end()
    return _PnmHeader(kind, numbers[0], numbers[1], 1 if wanted == 2 else numbers[2], at + 1)


def _decode_pnm(read_at: ReadAt, name: str, check_pixels: CheckPixels) -> Decoded:
    kind, width, height, top, length = _read_pnm_header(read_at(0, _HEADER), name)
    check_pixels(width, height)
    channels = 3 if kind in b"36" else 1
    samples = width * height * channels
    if not 0 < top < 65536 or not samples:
        raise make_error(name)
    if kind in b"123":
        # OpenCV reads numbers; the header is written again without comments.
        body = read_at(length, samples * _ASCII_SAMPLE + _HEADER)
        numbers = b"" if kind == b"1" else b" %d" % top
        header = b"P%b %d %d%b\n" % (kind, width, height, numbers)
        body = re.sub(rb"#[^\r\n]*", b"", body)
        if _count_numbers(body, digits=kind == b"1") < samples:
            raise make_error(name)  # OpenCV would invent the missing ones
        # OpenCV needs a blank behind the last number.
        array = _decode_with_opencv(header + body + b"\n", name, cv2.IMREAD_UNCHANGED)
        array = array[..., ::-1] if array.ndim == 3 else array[..., None]
    elif kind == b"4":
        row = -(-width // 8)
        bits = np.frombuffer(_read_exactly(read_at, length, row * height, name), np.uint8)
        ones = np.unpackbits(bits.reshape(height, row), axis=1)[:, :width, None]
        return Decoded((1 - ones) * np.uint8(255))
    else:
        dtype = np.dtype(">u2" if top > 255 else "u1")
        content = _read_exactly(read_at, length, samples * dtype.itemsize, name)
        array = np.frombuffer(content, dtype).reshape(height, width, channels)
        array = array.astype(dtype.newbyteorder("="), copy=False)
    if array.shape[:2] != (height, width):
        raise make_error(name)
    full = 65535 if array.dtype == np.uint16 else 255
    if top not in (1, 255, 65535):
        scaled = np.round(array * np.float32(full / top))
        array = np.minimum(scaled, full).astype(array.dtype)
    elif kind in b"56" and top == 1:
        array = np.minimum(array, 1) * np.uint8(255)
    return Decoded(np.ascontiguousarray(array))


def _count_numbers(text: bytes, *, digits: bool) -> int:
    """Count the numbers in a text, or its digits 0 and 1."""
    codes = np.frombuffer(text, np.uint8)
    if digits:
        return int(np.count_nonzero((codes == ord("0")) | (codes == ord("1"))))
    inside = (codes >= ord("0")) & (codes <= ord("9"))
    return int(np.count_nonzero(inside[1:] & ~inside[:-1])) + bool(inside[:1].any())


def _read_exactly(read_at: ReadAt, offset: int, length: int, name: str) -> bytes:
    content = read_at(offset, length)
    if len(content) < length:
        raise make_error(name, CUT_SHORT)
    return content


def _decode_bmp(read_at: ReadAt, name: str, check_pixels: CheckPixels) -> Decoded:
    start = read_at(0, 64)
    old = start[14] == 12  # an old header has sides of 16 bits
    size = 2 if old else 4
    width, height = (
        int.from_bytes(start[at : at + size], "little") for at in ((18, 20) if old else (18, 22))
    )
    if not old:
        height = min(height, (1 << 32) - height)  # rows may run downwards
    check_pixels(width, height)
    encoded = read_at(0, -1)
    pixels = cv2.cvtColor(_decode_with_opencv(encoded, name, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    if pixels.shape[:2] != (height, width):
        raise make_error(name)
    per_meter = [0, 0] if old else [int.from_bytes(start[at : at + 4], "little") for at in (38, 42)]
    stated = all(0 < number < 1 << 24 for number in per_meter)
    return Decoded(
        pixels, resolution=(per_meter[0] / 1000, per_meter[1] / 1000) if stated else None
    )


def _decode_jpeg2000(read_at: ReadAt, name: str, check_pixels: CheckPixels) -> Decoded:
    """Decode a codestream or a JP2 file of up to 16 bits."""
    at, size = find_jpeg2000(read_at), read_size(read_at)
    if at is None or size is None:
        raise make_error(name)
    depth = (read_at(at + 42, 1) or b"\7")[0] % 128 + 1
    check_pixels(*size)
    array = _decode_with_opencv(read_at(0, -1), name, cv2.IMREAD_UNCHANGED)
    array = array[..., None] if array.ndim == 2 else array
    if array.shape[1::-1] != size:
        raise make_error(name)
    if array.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"{name} has {depth} bits per channel; convert it to 16 bits first")
    full = 65535 if array.dtype == np.uint16 else 255
    if depth not in (8, 16):
        scaled = np.round(array * np.float32(full / ((1 << depth) - 1)))
        array = np.minimum(scaled, full).astype(array.dtype)
    if array.shape[2] > 2:
        order = [2, 1, 0, 3][: array.shape[2]]  # OpenCV has blue first
        array = np.ascontiguousarray(array[..., order])
    return Decoded(
        array, profile=_find_jp2_profile(read_at(0, min(at, _LONGEST_JP2_HEADER)), array.shape[2])
    )


def _find_jp2_profile(header: bytes, channels: int) -> bytes:
    """Find the ICC profile of a JP2 file; empty where it has none for such pixels."""
    at = header.find(b"colr\2")
    if at < 4:
        return b""
    length = int.from_bytes(header[at - 4 : at], "big")
    profile = header[at + 7 : at - 4 + length]
    expected = b"GRAY" if channels < 3 else b"RGB "
    return profile if profile[16:20] == expected else b""


def _decode_with_opencv(encoded: bytes, name: str, flags: int) -> np.ndarray:
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # the error says enough
    try:
        array = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags)
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError from error
        raise make_error(name) from error
    if array is None:
        raise make_error(name)
    return array


def _decode_with_pillow(
    encoded: bytes, name: str, format: str, check_pixels: CheckPixels
) -> Decoded:
    require_extra(format, name)
    try:
        if format == "heic":
            import pillow_heif

            opened: Any = pillow_heif.open_heif(io.BytesIO(encoded), convert_hdr_to_8bit=False)
            frames = len(opened)
        else:
            import PIL.Image
            import pillow_jxl  # noqa: F401 (the import registers the plugin)

            size = read_size(read_from(encoded))
            if size is None:
                raise ValueError("its size cannot be found")
            check_pixels(*size)  # the plugin decodes while it opens the file
            opened = PIL.Image.open(io.BytesIO(encoded), formats=["JXL"])
            frames = getattr(opened, "n_frames", 1)
        check_pixels(*opened.size)
        profile = opened.info.get("icc_profile") or b""
        if getattr(opened, "jpeg", False):  # the JPEG in a JPEG XL, which is not upright
            from PIL.ImageOps import exif_transpose

            opened = exif_transpose(opened)
        array = np.asarray(opened)
        if format == "jxl" and array.ndim == 3 and array.dtype == np.uint8 and frames == 1:
            array = _decode_deep_jpegxl(encoded, array)
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        # The one broad except: the errors of the plugins have no common base class.
        raise make_error(name, f" ({shorten_reason(error)})") from error
    return Decoded(array[..., None] if array.ndim == 2 else array, profile=profile, frames=frames)


def _decode_deep_jpegxl(encoded: bytes, array: np.ndarray) -> np.ndarray:
    """Decode a JPEG XL of more than 8 bits, which the plugin cuts to 8 where there are
    several channels. ``array``: what the plugin returned."""
    depth = read_jpegxl_depth(read_from(encoded))
    if not 8 < depth <= 16:
        return array
    from imagecodecs import jpegxl_decode

    deep = np.asarray(jpegxl_decode(encoded))
    if deep.shape != array.shape or deep.dtype != np.uint16:
        return array
    return np.rint(deep * np.float32(65535 / (2**depth - 1))).astype(np.uint16)


def make_error(name: str, reason: str = "") -> DamagedImageError:
    """Make the error of a file that cannot be decoded; ``reason`` is in brackets, or
    empty."""
    return DamagedImageError(
        f"{name} is damaged or cut short and cannot be decoded{reason}; get a complete copy of it"
    )


def shorten_reason(error: Exception) -> str:
    """Return the first line of the error of a library, at most 120 characters."""
    lines = str(error).splitlines() or [type(error).__name__]
    return quote(lines[0] if len(lines[0]) <= 120 else f"{lines[0][:117]}...")
