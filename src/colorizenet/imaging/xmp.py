"""Edits of XMP: a packet is scanned once by expat, and only spans of it are replaced.

Packets are XML in UTF-8 here, without a document type, so no entity can expand. All
work is linear in the length of a packet, which is limited.

References:
    XMP Specification Parts 1 and 3 (Adobe, 2012, 2020); ISO 16684-1; Ultra HDR 1.1.
"""

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

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
_MOST_ELEMENTS = 50_000
_MOST_LEVELS = 100
_MOST_ATTRIBUTES = 2_000

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_TIFF, _EXIF = "http://ns.adobe.com/tiff/1.0/", "http://ns.adobe.com/exif/1.0/"
_PHOTOSHOP = "http://ns.adobe.com/photoshop/1.0/"
_NOTE = "http://ns.adobe.com/xmp/note/"
_CAMERA = "http://ns.google.com/photos/1.0/camera/"
_IPTC_EXTENSION = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_REMOVED_NAMESPACES = {
    "http://ns.adobe.com/hdr-gain-map/1.0/",
    "http://ns.apple.com/HDRGainMap/1.0/",
    "http://ns.google.com/photos/1.0/container/",
}
"""Gain maps and the list of further pictures, which a result does not hold."""
_STORAGE_NAMES = (
    "BitsPerSample",
    "Compression",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "PrimaryChromaticities",
    "SamplesPerPixel",
    "TransferFunction",
    "WhitePoint",
    "YCbCrSubSampling",
)
"""Properties that say how a file stores its pixels, which its header says too."""
_REMOVED_PROPERTIES = {
    ("http://ns.adobe.com/xap/1.0/", "Thumbnails"),
    (_NOTE, "HasExtendedXMP"),
    *((_TIFF, name) for name in _STORAGE_NAMES),
}
_REMOVED_CAMERA_PREFIXES = ("MicroVideo", "MotionPhoto")
_DIGITAL_SOURCE = (_IPTC_EXTENSION, "DigitalSourceType")
_TRAINED = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
_STATEMENT = f'xmlns:Iptc4xmpExt="{_IPTC_EXTENSION}" Iptc4xmpExt:DigitalSourceType="{_TRAINED}"'
_ATTRIBUTE = re.compile(rb"\s++([^\s=]++)\s*+=\s*+(\"[^\"]*+\"|'[^']*+')")
_SOURCE_TYPE = re.compile(
    rb"DigitalSourceType(?:\s*+=\s*+[\"']|>\s*+|\s[^>]{0,200}?resource\s*+=\s*+[\"'])([^\"'<>]{1,200})"
)
_TAG_NAME = re.compile(rb"<[^\s/>]++")
_INSTRUCTION = re.compile(rb"\s*+<\?[^?]*+\?>\s*+")

_Name = tuple[str, str]
"""Namespace and local name."""


class _MalformedError(Exception):
    """A packet is not XML, has a document type, or is too complex."""


@dataclass
class _Open:
    """An element whose end has not been reached."""

    name: _Name
    start: int
    content: int
    prefixes: list[str]
    is_empty: bool
    has_children: bool = False


@dataclass
class _Scan:
    """What a packet holds."""

    edits: list[tuple[int, int, bytes]] = field(default_factory=list)
    """Spans to replace, and what by; none lies in another."""
    rdf: tuple[int, int, int, bytes] | None = None
    """Start, start of the content and end of the content of RDF, and its name."""
    about: bytes = b'""'
    """What the descriptions are about, in quotes."""
    descriptions: list[tuple[int, set[bytes]]] = field(default_factory=list)
    """Where the names of the elements right below RDF end, and the namespace attributes
    that they have."""
    declarations: dict[bytes, bytes] = field(default_factory=dict)
    """The namespace attributes in force at RDF: names and quoted values."""
    extension: bytes = b""
    """The name of the extended part."""
    is_stated: bool = False
    """Whether it is stated already that a trained algorithm was used."""


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
        _scan(packet, {}, False)
    except (ValueError, _MalformedError):
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
        (_TIFF, "Orientation"): b"1",
        (_TIFF, "ImageWidth"): width,
        (_TIFF, "ImageLength"): height,
        (_EXIF, "PixelXDimension"): width,
        (_EXIF, "PixelYDimension"): height,
        (_EXIF, "ColorSpace"): b"1",
        (_PHOTOSHOP, "ColorMode"): b"3",
        (_PHOTOSHOP, "ICCProfile"): b"sRGB IEC61966-2.1",
    }
    scan = _scan(packet, values, provenance) if packet else _Scan()
    if provenance and not scan.is_stated:
        if scan.rdf is None:
            return _wrap(_make_statement(b'""'))
        _, content, end, name = scan.rdf
        statement = _make_statement(scan.about)
        if content == end:  # <rdf:RDF/>
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
    return _scan(packet, {}, False).extension


def merge_packets(packet: bytes, extension: bytes) -> bytes:
    """Return a packet with the descriptions of its extended part."""
    scan, other = _scan(packet, {}, False), _scan(extension, {}, False)
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
        f'<rdf:Description rdf:about="" xmlns:rdf="{_RDF}" xmlns:xmpNote="{_NOTE}" '
        f'xmpNote:HasExtendedXMP="{name.decode()}"/>'
    )
    return _wrap(statement.encode()), extension, name


def _make_statement(about: bytes) -> bytes:
    opening = f'<rdf:Description xmlns:rdf="{_RDF}" rdf:about='.encode()
    return opening + about + f" {_STATEMENT}/>".encode()


def _wrap(content: bytes) -> bytes:
    return (
        b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        b'<rdf:RDF xmlns:rdf="' + _RDF.encode() + b'">' + content + b"</rdf:RDF></x:xmpmeta>"
        b'<?xpacket end="w"?>'
    )


def _apply(packet: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    parts, at = [], 0
    for start, end, new in sorted(edits, key=lambda edit: edit[:2]):
        if start >= at:
            parts += [packet[at:start], new]
            at = end
    return b"".join([*parts, packet[at:]])


def _is_removed(name: _Name, provenance: bool) -> bool:
    namespace, local = name
    return (
        namespace in _REMOVED_NAMESPACES
        or name in _REMOVED_PROPERTIES
        or (provenance and name == _DIGITAL_SOURCE)
        or (namespace == _CAMERA and local.startswith(_REMOVED_CAMERA_PREFIXES))
    )


def _scan(packet: bytes, values: dict[_Name, bytes], provenance: bool) -> _Scan:
    """Scan a packet. ``values`` are properties to overwrite.

    Raises ``_MalformedError``.
    """
    # expat needs quadratic time for the attributes of one element.
    if any(part.count(b"=") > _MOST_ATTRIBUTES for part in packet.split(b"<")):
        raise _MalformedError
    scanner = _Scanner(packet, values, provenance)
    parser = expat.ParserCreate("UTF-8")
    parser.ordered_attributes = True
    parser.buffer_text = True

    def refuse(*_: object) -> None:
        raise _MalformedError

    parser.StartDoctypeDeclHandler = refuse

    def start(name: str, attributes: Any) -> None:  # a list, as they are ordered
        scanner.start(parser.CurrentByteIndex, name, attributes)

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: scanner.end(parser.CurrentByteIndex)
    try:
        parser.Parse(packet, True)
    except expat.ExpatError as error:
        raise _MalformedError from error
    return scanner.found


class _Scanner:
    """The handlers of one scan."""

    def __init__(self, packet: bytes, values: dict[_Name, bytes], provenance: bool) -> None:
        self.packet, self.values, self.provenance = packet, values, provenance
        self.found = _Scan()
        self._open: list[_Open] = []
        self._namespaces: dict[str, list[str]] = {}
        self._count = 0
        self._removed_depth = 0

    def start(self, position: int, name: str, attributes: list[str]) -> None:
        self._count += 1 + len(attributes) // 2
        if self._count > _MOST_ELEMENTS or len(self._open) >= _MOST_LEVELS:
            raise _MalformedError
        prefixes = []
        for key, value in zip(attributes[::2], attributes[1::2], strict=True):
            if key == "xmlns" or key.startswith("xmlns:"):
                prefixes.append(key[6:])
                self._namespaces.setdefault(key[6:], []).append(value)
        name_end = self._match(_TAG_NAME, position).end()
        spans = []
        at = name_end
        for _ in attributes[::2]:
            match = self._match(_ATTRIBUTE, at)
            spans.append(match)
            at = match.end()
        content = self.packet.index(b">", at) + 1
        is_empty = self.packet[content - 2 : content - 1] == b"/"
        resolved = self._resolve(name)
        parent = self._open[-1] if self._open else None
        if parent is not None:
            parent.has_children = True
        opened = _Open(resolved, position, content, prefixes, is_empty)
        self._open.append(opened)
        if self._removed_depth:
            return
        if parent is not None and _is_removed(resolved, self.provenance):
            self._removed_depth = len(self._open)
            return
        if resolved == (_RDF, "RDF") and self.found.rdf is None:
            raw_name = self.packet[position + 1 : name_end]
            self.found.rdf = (position, content, content, raw_name)
            self.found.declarations = self._list_declarations(spans)
        elif parent is not None and parent.name == (_RDF, "RDF"):
            declared = {match[1] for match in spans if match[1].startswith(b"xmlns")}
            self.found.descriptions.append((name_end, declared))
        self._edit_attributes(attributes, spans)

    def end(self, position: int) -> None:
        opened = self._open.pop()
        for prefix in opened.prefixes:
            self._namespaces[prefix].pop()
        if opened.is_empty:
            inner_end = end = opened.content
        else:
            inner_end, end = position, self.packet.index(b">", position) + 1
        if self._removed_depth:
            if len(self._open) < self._removed_depth:
                self._removed_depth = 0
                if opened.name == (_NOTE, "HasExtendedXMP"):
                    self.found.extension = self.packet[opened.content : inner_end].strip()
                self.found.edits.append((opened.start, end, b""))
            return
        if opened.name == (_RDF, "RDF") and self.found.rdf is not None:
            start, content, _, name = self.found.rdf
            if start == opened.start:
                self.found.rdf = (start, content, inner_end, name)
        value = self.values.get(opened.name)
        if value is not None and not opened.is_empty and not opened.has_children:
            self.found.edits.append((opened.content, inner_end, value))

    def _edit_attributes(self, attributes: list[str], spans: list[re.Match[bytes]]) -> None:
        for key, match in zip(attributes[::2], spans, strict=True):
            name = self._resolve(key, attribute=True)
            quoted = match[2]
            if name == (_RDF, "about") and self.found.about == b'""':
                self.found.about = quoted
            elif name == (_NOTE, "HasExtendedXMP"):
                self.found.extension = quoted[1:-1]
            if name == _DIGITAL_SOURCE and self._states_provenance(quoted):
                self.found.is_stated = True
            elif _is_removed(name, self.provenance):
                self.found.edits.append((*match.span(), b""))
            elif name in self.values:
                start, end = match.span(2)
                self.found.edits.append((start + 1, end - 1, self.values[name]))

    def _states_provenance(self, quoted: bytes) -> bool:
        """Whether an attribute of the current element is the statement to be made, for
        the first time and in its place."""
        in_place = len(self._open) > 1 and self._open[-2].name == (_RDF, "RDF")
        return in_place and quoted[1:-1] == _TRAINED.encode() and not self.found.is_stated

    def _list_declarations(self, spans: list[re.Match[bytes]]) -> dict[bytes, bytes]:
        """List the namespaces in force, with the values in quotes."""
        declarations = {
            (f"xmlns:{prefix}" if prefix else "xmlns").encode(): _quote(values[-1])
            for prefix, values in self._namespaces.items()
            if values
        }
        return declarations | {match[1]: match[2] for match in spans if match[1][:5] == b"xmlns"}

    def _resolve(self, name: str, *, attribute: bool = False) -> _Name:
        prefix, colon, local = name.partition(":")
        if not colon:
            prefix, local = "", name
        if attribute and not colon:
            return "", local
        values = self._namespaces.get(prefix)
        return (values[-1] if values else ""), local

    def _match(self, pattern: re.Pattern[bytes], position: int) -> re.Match[bytes]:
        match = pattern.match(self.packet, position)
        if match is None:
            raise _MalformedError
        return match


def _quote(value: str) -> bytes:
    escaped = value.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return b'"' + escaped.encode() + b'"'
