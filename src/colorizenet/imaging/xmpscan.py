"""One pass of expat over a packet of XMP, which finds the spans to replace.

Packets are XML in UTF-8 here, without a document type, so no entity can expand. All
work is linear in the length of a packet, which ``xmp`` limits.
"""

import re
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

__all__ = [
    "IPTC_EXTENSION",
    "NOTE",
    "RDF",
    "TIFF",
    "TRAINED",
    "MalformedError",
    "Scan",
    "scan_packet",
]

_MOST_ELEMENTS = 50_000
_MOST_LEVELS = 100
_MOST_ATTRIBUTES = 2_000

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
TIFF = "http://ns.adobe.com/tiff/1.0/"
NOTE = "http://ns.adobe.com/xmp/note/"
IPTC_EXTENSION = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
TRAINED = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""The digital source type of results."""
_CAMERA = "http://ns.google.com/photos/1.0/camera/"
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
    (NOTE, "HasExtendedXMP"),
    *((TIFF, name) for name in _STORAGE_NAMES),
}
_REMOVED_CAMERA_PREFIXES = ("MicroVideo", "MotionPhoto")
_DIGITAL_SOURCE = (IPTC_EXTENSION, "DigitalSourceType")
_ATTRIBUTE = re.compile(rb"\s++([^\s=]++)\s*+=\s*+(\"[^\"]*+\"|'[^']*+')")
_TAG_NAME = re.compile(rb"<[^\s/>]++")

_Name = tuple[str, str]
"""Namespace and local name."""


class MalformedError(Exception):
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
class Scan:
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


def scan_packet(packet: bytes, values: dict[_Name, bytes], provenance: bool) -> Scan:
    """Scan a packet. ``values`` are properties to overwrite.

    Raises ``MalformedError``.
    """
    # expat needs quadratic time for the attributes of one element.
    if any(part.count(b"=") > _MOST_ATTRIBUTES for part in packet.split(b"<")):
        raise MalformedError
    scanner = _Scanner(packet, values, provenance)
    parser = expat.ParserCreate("UTF-8")
    parser.ordered_attributes = True
    parser.buffer_text = True

    def refuse(*_: object) -> None:
        raise MalformedError

    parser.StartDoctypeDeclHandler = refuse

    def start(name: str, attributes: Any) -> None:  # a list, as they are ordered
        scanner.start(parser.CurrentByteIndex, name, attributes)

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: scanner.end(parser.CurrentByteIndex)
    try:
        parser.Parse(packet, True)
    except expat.ExpatError as error:
        raise MalformedError from error
    return scanner.found


def _is_removed(name: _Name, provenance: bool) -> bool:
    namespace, local = name
    return (
        namespace in _REMOVED_NAMESPACES
        or name in _REMOVED_PROPERTIES
        or (provenance and name == _DIGITAL_SOURCE)
        or (namespace == _CAMERA and local.startswith(_REMOVED_CAMERA_PREFIXES))
    )


class _Scanner:
    """The handlers of one scan."""

    def __init__(self, packet: bytes, values: dict[_Name, bytes], provenance: bool) -> None:
        self.packet, self.values, self.provenance = packet, values, provenance
        self.found = Scan()
        self._open: list[_Open] = []
        self._namespaces: dict[str, list[str]] = {}
        self._count = 0
        self._removed_depth = 0

    def start(self, position: int, name: str, attributes: list[str]) -> None:
        self._count += 1 + len(attributes) // 2
        if self._count > _MOST_ELEMENTS or len(self._open) >= _MOST_LEVELS:
            raise MalformedError
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
        if resolved == (RDF, "RDF") and self.found.rdf is None:
            raw_name = self.packet[position + 1 : name_end]
            self.found.rdf = (position, content, content, raw_name)
            self.found.declarations = self._list_declarations(spans)
        elif parent is not None and parent.name == (RDF, "RDF"):
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
                if opened.name == (NOTE, "HasExtendedXMP"):
                    self.found.extension = self.packet[opened.content : inner_end].strip()
                self.found.edits.append((opened.start, end, b""))
            return
        if opened.name == (RDF, "RDF") and self.found.rdf is not None:
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
            if name == (RDF, "about") and self.found.about == b'""':
                self.found.about = quoted
            elif name == (NOTE, "HasExtendedXMP"):
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
        in_place = len(self._open) > 1 and self._open[-2].name == (RDF, "RDF")
        return in_place and quoted[1:-1] == TRAINED.encode() and not self.found.is_stated

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
            raise MalformedError
        return match


def _quote(value: str) -> bytes:
    escaped = value.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return b'"' + escaped.encode() + b'"'
