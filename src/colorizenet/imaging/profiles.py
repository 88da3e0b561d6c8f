"""ICC color profiles: whether a profile must be applied, or means sRGB anyway."""

from functools import lru_cache
from typing import Any

import numpy as np
import pyvips

import colorizenet.imaging.libvips  # noqa: F401 (switches off unsafe loaders)
from colorizenet import color
from colorizenet.imaging.notices import Notice

__all__ = ["find_profile", "is_srgb", "make_gray_table", "read_srgb_profile"]


def find_profile(image: pyvips.Image, name: str) -> tuple[bytes | None, Notice | None]:
    """Return the profile that must be applied to an image, and a warning.

    The profile is None where the image has none, where it means sRGB, and where it
    cannot be applied. The last case comes with a warning.
    """
    found: Any = image.get("icc-profile-data") if image.get_typeof("icc-profile-data") else b""
    if not found:
        return None, None
    try:
        channels = 4 if image.interpretation == "cmyk" else image.bands - image.hasalpha()
        # Programs that make a photo gray often leave its profile of RGB as it was.
        is_for_rgb = channels == 1 and bytes(found)[16:20] == b"RGB "
        if is_srgb(bytes(found), 3 if is_for_rgb else channels):
            return None, None
    except pyvips.Error:
        text = f"{name} has a damaged color profile; sRGB was assumed"
        return None, Notice(text, "profile-ignored")
    if is_for_rgb:
        text = f"{name} is gray and has a color profile of RGB; sRGB was assumed"
        return None, Notice(text, "profile-ignored")
    if image.format in ("float", "double"):
        text = (
            f"{name} has a color profile, which is not applied to floating point; sRGB was assumed"
        )
        return None, Notice(text, "profile-ignored")
    return bytes(found), None


@lru_cache(maxsize=64)
def is_srgb(profile: bytes, channels: int) -> bool:
    """Return whether applying a profile changes no 8-bit value by more than 1.

    ``channels`` is 1, 3 or 4. The name of the profile is ignored; the profile is
    applied to ramps of gray and of each primary. Raises ``pyvips.Error`` if it is
    damaged or made for another number of channels.
    """
    # libvips silently falls back on a built-in profile, so damage must be found here.
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
    ramps = masks[:, None] * ramp[None, :, None]
    image = pyvips.Image.new_from_array(ramps).copy(
        interpretation={1: "b-w", 3: "srgb", 4: "cmyk"}[channels]
    )
    blob: Any = profile
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", blob)
    # If the result depends on the fallback profile, the embedded one was not used.
    converted, with_other_fallback = [
        image.icc_transform(
            "srgb", input_profile=fallback, embedded=True, intent="relative", depth=8
        ).numpy()
        for fallback in ("srgb", "p3")
    ]
    if not np.array_equal(converted, with_other_fallback):
        raise pyvips.Error("it cannot be used")
    return channels != 4 and bool(np.abs(converted.astype(int) - ramps).max() <= 1)


@lru_cache(maxsize=64)
def make_gray_table(profile: bytes, *, deep: bool, depth: int) -> np.ndarray | None:
    """Return the sRGB value of each gray value, ``(n,)``, by the curve of a profile.

    n is 65,536 for ``deep`` pixels and otherwise 256; values have ``depth`` bits, 8 or
    16. None where the profile has no curve. Little CMS takes only 33 steps from gray to
    sRGB, in which the shadows of a linear scan are lost.
    """
    at = _find_tag(profile, b"kTRC")
    if at is None:
        return None
    values = _evaluate_curve(profile[at:], np.linspace(0, 1, 65536 if deep else 256))
    is_lightness = profile[20:24] == b"Lab "
    luminance = color.invert_cie_f((100 * values + 16) / 116) if is_lightness else values
    return np.rint(color.linear_to_rgb(luminance) * (2**depth - 1)).astype(f"uint{depth}")


def _find_tag(profile: bytes, name: bytes) -> int | None:
    """The offset of a tag of a profile; None where it has no such tag."""
    entries = profile[132:][: 12 * int.from_bytes(profile[128:132], "big")]
    for at in range(0, len(entries), 12):
        if entries[at : at + 4] == name:
            return int.from_bytes(entries[at + 4 : at + 8], "big")
    return None


def _evaluate_curve(curve: bytes, x: np.ndarray) -> np.ndarray:
    """Apply a curve of ICC.1:2022, 10.6 and 10.18, to numbers from 0 to 1."""
    if curve[:4] == b"curv":
        count = int.from_bytes(curve[8:12], "big")
        if count == 0:
            return x
        table = np.frombuffer(curve, ">u2", count, 12)
        if count == 1:
            return x ** (table[0] / 256)
        return np.interp(x, np.linspace(0, 1, count), table / 65535)
    kind = int.from_bytes(curve[8:10], "big")
    g, *rest = np.frombuffer(curve, ">i4", (1, 3, 4, 5, 7)[kind], 12) / 65536
    a, b, c, d, e, f = [*rest, *(1, 0, 0, 0, 0, 0)[len(rest) :]]
    with np.errstate(all="ignore"):  # a file can hold any numbers
        if kind in (1, 2):
            c, d, e, f = 0, -b / a, c, c
        powers = np.maximum(a * x + b, 0) ** g + e
        return np.nan_to_num(np.where(x >= d, powers, c * x + f)).clip(0, 1)


@lru_cache
def read_srgb_profile() -> bytes:
    """Return the sRGB profile that libvips embeds."""
    written = pyvips.Image.black(1, 1).jpegsave_buffer(profile="srgb")
    profile: Any = pyvips.Image.jpegload_buffer(written).get("icc-profile-data")
    return bytes(profile)
