"""ICC color profiles: whether a profile must be applied, or means sRGB anyway."""

from functools import lru_cache
from typing import Any

import numpy as np
import pyvips

import colorizenet.imaging.libvips  # noqa: F401 (switches off unsafe loaders)
from colorizenet.imaging.notices import Notice

__all__ = ["find_profile", "is_srgb", "read_srgb_profile"]


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
        if is_srgb(bytes(found), channels):
            return None, None
    except pyvips.Error:
        text = f"{name} has a damaged color profile; sRGB was assumed"
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


@lru_cache
def read_srgb_profile() -> bytes:
    """Return the sRGB profile that libvips embeds."""
    written = pyvips.Image.black(1, 1).jpegsave_buffer(profile="srgb")
    profile: Any = pyvips.Image.jpegload_buffer(written).get("icc-profile-data")
    return bytes(profile)
