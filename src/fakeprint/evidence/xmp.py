"""XMP: the properties of an image, parsed without entities. https://www.w3.org/TR/rdf-syntax-grammar/ is the syntax.

Only properties of the image itself count, those of an rdf:Description right below rdf:RDF: deeper ones may speak of
another image, such as one that was placed in this one.
"""

from collections.abc import Iterable
from xml.etree.ElementTree import Element, ParseError

from fakeprint.evidence.metadata import Metadata

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
TC260 = "{http://www.tc260.org.cn/ns/AIGC/1.0/}"
BASIC = "{http://ns.adobe.com/xap/1.0/}"
PHOTOSHOP = "{http://ns.adobe.com/photoshop/1.0/}"
DUBLIN_TERMS = "{http://purl.org/dc/terms/}"

Properties = dict[str, str]  # "{namespace}name" → the text; the first where it occurs twice


def read_properties(metadata: Metadata) -> Properties:
    """The properties of all XMP packets; what cannot be parsed is added to `metadata.not_checked`."""
    if not metadata.xmp:
        return {}
    try:
        from defusedxml.common import DefusedXmlException
        from defusedxml.ElementTree import fromstring
    except ImportError:
        metadata.skip("XMP (needs the package defusedxml)")
        return {}
    found: Properties = {}
    for packet in metadata.xmp:
        try:
            root = fromstring(packet.strip(b"\0 \t\r\n"), forbid_dtd=True)
        except DefusedXmlException:
            metadata.skip("XMP with a document type, which it must not have")
        except (ParseError, ValueError, LookupError):  # LookupError: an encoding that nobody knows
            metadata.skip("XMP that is damaged")
        else:
            for name, text in _properties(root):
                found.setdefault(name, text)
    return found


def _properties(root: Element) -> Iterable[tuple[str, str]]:
    rdf = root if root.tag == f"{RDF}RDF" else root.find(f"{RDF}RDF")
    for description in [] if rdf is None else rdf.findall(f"{RDF}Description"):
        yield from description.attrib.items()
        for element in description:
            yield element.tag, _value(element)


def _value(element: Element) -> str:
    """The text of a simple property, the address of a resource, or the items of a list."""
    resource = element.get(f"{RDF}resource")
    if resource is not None:
        return resource
    items = [item.text or "" for kind in ("Bag", "Seq", "Alt") for item in element.findall(f"{RDF}{kind}/{RDF}li")]
    return ", ".join(items) if items else (element.text or "").strip()
