"""The formats that libvips does not read: PNM by OpenCV, HEIC and JPEG XL by Pillow's plugins (extra ``formats``)."""

import io
import re
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from colorizenet.errors import ImageError, quote
from colorizenet.imaging.formats import require

__all__ = ["decoded", "encoded"]

Check = Callable[[int, int], None]
"""Called with width and height before anything is decoded; raises ImageError where they are too large."""


def decoded(
    content: bytes, name: str, format: str, check: Check
) -> tuple[np.ndarray, bytes, dict[str, bytes]]:
    """Pixels (H, W, 1 to 4) of uint8 or uint16, color profile, and metadata by libvips' names, of a file's bytes."""
    if format == "pnm":
        return _decoded_pnm(content, name, check), b"", {}
    return _decoded_by_pillow(content, name, format, check)


def _decoded_pnm(encoded: bytes, name: str, check: Check) -> np.ndarray:
    header = re.match(
        rb"P([1-6])\s+(\d+)\s+(\d+)(?:\s+(\d+))?", re.sub(rb"#[^\n]*\n", b"", encoded[:4096])
    )
    damaged = ImageError(
        f"{name} is damaged or cut short and cannot be decoded; get a whole copy of it"
    )
    if header is None:
        raise damaged
    width, height = int(header[2]), int(header[3])
    check(width, height)
    top = 1 if header[1] in b"14" else int(header[4] or 0)
    samples = width * height * (3 if header[1] in b"36" else 1)
    needed = {b"4": -(-width // 8) * height, b"5": samples, b"6": samples}.get(header[1], 0) * (
        2 if top > 255 else 1
    )
    if not 0 < top < 65536 or needed > len(encoded):  # OpenCV would fill up what is missing
        raise damaged
    cv2.utils.logging.setLogLevel(
        cv2.utils.logging.LOG_LEVEL_SILENT
    )  # what is wrong is ours to say
    try:
        array = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise damaged from error
    if array is None or array.shape[:2] != (height, width):
        raise damaged
    if top not in (1, 255, 65535):
        scale = (65535 if array.dtype == np.uint16 else 255) / top
        array = np.minimum(
            np.round(array * scale), 65535 if array.dtype == np.uint16 else 255
        ).astype(array.dtype)
    return cv2.cvtColor(array, cv2.COLOR_BGR2RGB) if array.ndim == 3 else array[..., None]


def _decoded_by_pillow(
    encoded: bytes, name: str, format: str, check: Check
) -> tuple[np.ndarray, bytes, dict[str, bytes]]:
    require(format, name)
    try:
        if format == "heic":
            import pillow_heif

            opened: Any = pillow_heif.open_heif(io.BytesIO(encoded), convert_hdr_to_8bit=False)
        else:
            import PIL.Image
            import pillow_jxl  # noqa: F401 (importing it registers it)

            opened = PIL.Image.open(io.BytesIO(encoded))
        check(*opened.size)
        array = np.asarray(opened)
        info = opened.info
    except ImageError:
        raise
    except Exception as error:
        # A foreign border: the plugins' errors have no common base.
        raise ImageError(
            f"{name} is damaged or cut short and cannot be decoded ({quote(error)}); get a whole copy of it"
        ) from error
    blobs = {"exif-data": info.get("exif"), "xmp-data": info.get("xmp")}
    array = array[..., None] if array.ndim == 2 else array
    return (
        array,
        info.get("icc_profile") or b"",
        {key: bytes(value) for key, value in blobs.items() if value},
    )


def encoded(array: np.ndarray, format: str, quality: int, carried: dict[str, bytes]) -> bytes:
    """The bytes of a HEIC or JPEG XL file of pixels (H, W, 1 to 4); ``carried``: icc_profile, exif, xmp."""
    require(format, "the picture")
    file = io.BytesIO()
    if format == "heic":
        import pillow_heif

        mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[array.shape[2]] + (
            ";16" if array.dtype == np.uint16 else ""
        )
        pillow_heif.encode(
            mode, array.shape[1::-1], array.tobytes(), file, quality=quality, **carried
        )
    else:
        import PIL.Image
        import pillow_jxl  # noqa: F401

        PIL.Image.fromarray(array.squeeze(2) if array.shape[2] == 1 else array).save(
            file, "JXL", quality=quality, **carried
        )
    return file.getvalue()
