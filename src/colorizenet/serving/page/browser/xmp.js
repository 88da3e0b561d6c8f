/**
 * Edits of XMP, as `colorizenet.imaging.xmp`. Needs the XML parser of a page.
 *
 * References: XMP Specification Parts 1 and 3 (Adobe, 2012, 2020); IPTC's vocabulary of
 * digital source types.
 */

const RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#";
const TIFF = "http://ns.adobe.com/tiff/1.0/";
const EXIF = "http://ns.adobe.com/exif/1.0/";
const PHOTOSHOP = "http://ns.adobe.com/photoshop/1.0/";
const IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/";
const TRAINED =
  "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia";
/** Gain maps and the list of further pictures, which a result does not hold. */
const REMOVED_NAMESPACES = [
  "http://ns.adobe.com/hdr-gain-map/1.0/",
  "http://ns.apple.com/HDRGainMap/1.0/",
  "http://ns.google.com/photos/1.0/container/",
];
const REMOVED = [
  "http://ns.adobe.com/xap/1.0/ Thumbnails",
  "http://ns.adobe.com/xmp/note/ HasExtendedXMP",
  `${IPTC} DigitalSourceType`,
];
const STATEMENT =
  `<rdf:Description xmlns:rdf="${RDF}" rdf:about="" xmlns:Iptc4xmpExt="${IPTC}" ` +
  `Iptc4xmpExt:DigitalSourceType="${TRAINED}"/>`;
const EMPTY =
  `<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="${RDF}">${STATEMENT}</rdf:RDF>` +
  "</x:xmpmeta>";
const BEGIN = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>';
const END = '<?xpacket end="w"?>';

/**
 * A packet that is true of the result, and says that a trained algorithm was used.
 * @param {string} packet may be empty
 * @param {{ width: number, height: number }} result
 * @returns {string}
 */
export function updateXmp(packet, { width, height }) {
  const body = packet.replace(/<\?xpacket[^?]*\?>/g, "").replace(/\0+$/, "").trim();
  if (!body || body.includes("<!DOCTYPE")) return BEGIN + EMPTY + END;
  const document = new DOMParser().parseFromString(body, "application/xml");
  const rdf = document.getElementsByTagNameNS(RDF, "RDF")[0];
  if (!rdf || document.querySelector("parsererror")) return BEGIN + EMPTY + END;
  const values = new Map([
    [`${TIFF} Orientation`, "1"],
    [`${TIFF} ImageWidth`, `${width}`],
    [`${TIFF} ImageLength`, `${height}`],
    [`${EXIF} PixelXDimension`, `${width}`],
    [`${EXIF} PixelYDimension`, `${height}`],
    [`${EXIF} ColorSpace`, "1"],
    [`${PHOTOSHOP} ColorMode`, "3"],
    [`${PHOTOSHOP} ICCProfile`, "sRGB IEC61966-2.1"],
  ]);
  for (const element of [...rdf.querySelectorAll("*")]) {
    if (isRemoved(element)) {
      element.remove();
      continue;
    }
    const value = values.get(`${element.namespaceURI} ${element.localName}`);
    if (value !== undefined && !element.childElementCount) element.textContent = value;
    for (const attribute of [...element.attributes]) {
      const other = values.get(`${attribute.namespaceURI} ${attribute.localName}`);
      if (isRemoved(attribute)) element.removeAttributeNode(attribute);
      else if (other !== undefined) attribute.value = other;
    }
  }
  const about = rdf.querySelector("*")?.getAttributeNS(RDF, "about");
  const statement = new DOMParser().parseFromString(STATEMENT, "application/xml").documentElement;
  if (about) statement.setAttributeNS(RDF, "rdf:about", about);
  rdf.append(document.importNode(statement, true));
  return BEGIN + new XMLSerializer().serializeToString(document) + END;
}

/** @param {Element | Attr} node */
function isRemoved({ namespaceURI, localName }) {
  return (
    REMOVED_NAMESPACES.includes(namespaceURI ?? "") ||
    REMOVED.includes(`${namespaceURI} ${localName}`)
  );
}
