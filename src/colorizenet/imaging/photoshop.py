"""Photoshop's image resources, which hold the IPTC of a JPEG.

References:
    Adobe Photoshop File Formats Specification (2019), Image Resources Section;
    IPTC-NAA Information Interchange Model 4.2.
"""

import struct

__all__ = ["IPTC", "JPEG_PREFIX", "make_resources", "read_resources", "trim_datasets"]

IPTC = 1028
JPEG_PREFIX = b"Photoshop 3.0\0"
_COPYRIGHT_FLAG, _ADDRESS = 1034, 1035
_CARRIED = (IPTC, _COPYRIGHT_FLAG, _ADDRESS)
"""The resources that a result holds. Thumbnail, layers, paths and profile describe the
file before it was colorized and turned."""
_MOST_RESOURCES = 1000


def read_resources(block: bytes) -> dict[int, bytes]:
    """Read the resources that stay true of a result; malformed ones are left out."""
    found: dict[int, bytes] = {}
    at = 0
    for _ in range(_MOST_RESOURCES):
        if block[at : at + 4] not in (b"8BIM", b"MeSa", b"PHUT", b"AgHg", b"DCSR"):
            break
        number = int.from_bytes(block[at + 4 : at + 6], "big")
        name_end = at + 7 + (block[at + 6] if at + 6 < len(block) else 0)
        size_at = name_end + (name_end - at) % 2
        size = int.from_bytes(block[size_at : size_at + 4], "big")
        content = block[size_at + 4 : size_at + 4 + size]
        if number in _CARRIED and number not in found and len(content) == size:
            found[number] = content
        at = size_at + 4 + size + size % 2
    return found


def make_resources(resources: dict[int, bytes]) -> bytes:
    """Serialize resources."""
    made = bytearray()
    for number, content in sorted(resources.items()):
        made += b"8BIM" + struct.pack(">HHI", number, 0, len(content))
        made += content + bytes(len(content) % 2)
    return bytes(made)


def trim_datasets(block: bytes) -> bytes:
    """Return IPTC-IIM without what follows its last complete dataset."""
    at = 0
    while block[at : at + 1] == b"\x1c" and at + 5 <= len(block):
        size, head = int.from_bytes(block[at + 3 : at + 5], "big"), 5
        if size & 0x8000:  # the size has so many bytes itself
            head += min(size & 0x7FFF, 4)
            size = int.from_bytes(block[at + 5 : at + head], "big")
        if at + head + size > len(block):
            break
        at += head + size
    return block[:at]
