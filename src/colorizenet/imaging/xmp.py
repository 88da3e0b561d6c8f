"""Edits of XMP: a packet is scanned once by expat, and only spans of it are replaced.

Packets are XML in UTF-8 here, without a document type, so no entity can expand. All
work is linear in the length of a packet, which is limited.

References:
    XMP Specification Parts 1 and 3 (Adobe, 2012, 2020); ISO 16684-1; Ultra HDR 1.1.
"""

import hashlib
import re

from colorizenet.imaging.xmpscan import (
    IPTC_EXTENSION,
    NOTE,
    RDF,
    TIFF,
    TRAINED,
    MalformedError,
    Scan,
    scan_packet,
)

__all__ = [
    "MAX_SIZE",
    "decode_packet",
    "merge_packets",
    "read_extension_name",
    "read_source_type",
    "split_packet",
    "update_packet",
]

MAX_SIZE = 4 << 20
"""Longer packets, in bytes, are left out."""
_EXIF = "http://ns.adobe.com/exif/1.0/"
_PHOTOSHOP = "http://ns.adobe.com/photoshop/1.0/"
_STATEMENT = f'xmlns:Iptc4xmpExt="{IPTC_EXTENSION}" Iptc4xmpExt:DigitalSourceType="{TRAINED}"'
_SOURCE_TYPE = re.compile(
    rb"DigitalSourceType(?:\s*+=\s*+[\"']|>\s*+|\s[^>]{0,200}?resource\s*+=\s*+[\"'])"
    rb"([^\"'<>]{1,200})"
)
_INSTRUCTION = re.compile(rb"\s*+<\?[^?]*+\?>\s*+")


def decode_packet(raw: bytes) -> bytes | None:
    """Return a packet in UTF-8; None where it is malformed, too long or too complex."""
    if len(raw) > MAX_SIZE:
        return None
    start = raw[:4]
    encoding = "utf-8-sig"
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16"
    elif start[1:2] == b"\0" and start[:1] == b"<":
        encoding = "utf-16-le"
    elif start[:2] == b"\0<":
        encoding = "utf-16-be"
    try:
        text = raw.decode(encoding).rstrip("\0").strip()
        if text.startswith("<?xml "):  # it may name another encoding
            text = text[text.index("?>") + 2 :].lstrip()
        packet = text.encode()
        scan_packet(packet, {}, False)
    except (ValueError, MalformedError):
        return None
    return packet


def update_packet(packet: bytes, *, shape: tuple[int, int], provenance: bool) -> bytes:
    """Return a packet that is true of a colorized result of (H, W) ``shape``.

    Orientation, size and color space are updated, thumbnails, gain maps and further
    pictures are removed. ``provenance`` adds, in the vocabulary of IPTC, that a trained
    algorithm was used, in place of an earlier statement. Empty stays empty without it.
    """
    height, width = (str(side).encode() for side in shape)
    values = {
        (TIFF, "Orientation"): b"1",
        (TIFF, "ImageWidth"): width,
        (TIFF, "ImageLength"): height,
        (_EXIF, "PixelXDimension"): width,
        (_EXIF, "PixelYDimension"): height,
        (_EXIF, "ColorSpace"): b"1",
        (_PHOTOSHOP, "ColorMode"): b"3",
        (_PHOTOSHOP, "ICCProfile"): b"sRGB IEC61966-2.1",
    }
    scan = scan_packet(packet, values, provenance) if packet else Scan()
    if provenance and not scan.is_stated:
        if scan.rdf is None:
            return _wrap(_make_statement(b'""'))
        _, content, end, name = scan.rdf
        statement = _make_statement(scan.about)
        if content == end and packet[end - 2 : end] == b"/>":  # <rdf:RDF/>
            scan.edits.append((end - 2, end, b">" + statement + b"</" + name + b">"))
        else:
            scan.edits.append((end, end, statement))
    return _apply(packet, scan.edits)


def read_source_type(packet: bytes) -> str | None:
    """Read the digital source type of the IPTC, a URL; None where none is stated."""
    found = _SOURCE_TYPE.search(packet[:MAX_SIZE])
    return found[1].decode("utf-8", "replace").strip() if found else None


def read_extension_name(packet: bytes) -> bytes:
    """Read the GUID of the extended part; empty where there is none."""
    return scan_packet(packet, {}, False).extension


def merge_packets(packet: bytes, extension: bytes) -> bytes:
    """Return a packet with the descriptions of its extended part."""
    scan, other = scan_packet(packet, {}, False), scan_packet(extension, {}, False)
    if scan.rdf is None or other.rdf is None or scan.rdf[1] == scan.rdf[2]:
        return packet
    edits = []
    for at, declared in other.descriptions:
        missing = [
            b" " + name + b"=" + value
            for name, value in other.declarations.items()
            if name not in declared
        ]
        edits.append((at, at, b"".join(missing)))
    _, content, end, _ = other.rdf
    inside = [(start - content, stop - content, new) for start, stop, new in edits]
    scan.edits.append((scan.rdf[2], scan.rdf[2], _apply(extension[content:end], inside)))
    return _apply(packet, scan.edits)


def split_packet(packet: bytes, longest: int) -> tuple[bytes, bytes, bytes]:
    """Split a packet for a JPEG: standard part, extended part and its GUID.

    The extended part is empty where the packet fits into ``longest`` bytes, without its
    padding if need be.
    """
    end = packet.rfind(b"<?xpacket end")
    if len(packet) > longest and end > 0:
        packet = packet[:end].rstrip() + packet[end:]
    if len(packet) <= longest:
        return packet, b"", b""
    start = _INSTRUCTION.match(packet)
    extension = packet[
        start.end() if start else 0 : packet.rfind(b"<?xpacket end")
        if b"<?xpacket end" in packet[-200:]
        else len(packet)
    ]
    name = hashlib.md5(extension, usedforsecurity=False).hexdigest().upper().encode()
    statement = (
        f'<rdf:Description rdf:about="" xmlns:rdf="{RDF}" xmlns:xmpNote="{NOTE}" '
        f'xmpNote:HasExtendedXMP="{name.decode()}"/>'
    )
    return _wrap(statement.encode()), extension, name


def _make_statement(about: bytes) -> bytes:
    opening = f'<rdf:Description xmlns:rdf="{RDF}" rdf:about='.encode()
    return opening + about + f" {_STATEMENT}/>".encode()


def _wrap(content: bytes) -> bytes:
    return (
        b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        b'<rdf:RDF xmlns:rdf="' + RDF.encode() + b'">' + content + b"</rdf:RDF></x:xmpmeta>"
        b'<?xpacket end="w"?>'
    )


def _apply(packet: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    parts, at = [], 0
    for start, end, new in sorted(edits, key=lambda edit: edit[:2]):
        if start >= at:
            parts += [packet[at:start], new]
            at = end
    return b"".join([*parts, packet[at:]])
