"""IPTC's digital source type: in XMP, and inside C2PA manifests.

The terms are those of https://cv.iptc.org/newscodes/digitalsourcetype/.
"""

from fakeprint.evidence.findings import Finding, detail
from fakeprint.evidence.xmp import IPTC, Properties

TERMS = {
    "trainedAlgorithmicMedia": "made by generative AI",
    "compositeWithTrainedAlgorithmicMedia": "edited or composed with generative AI",
    "algorithmicallyEnhanced": "enhanced by an algorithm",
    "algorithmicMedia": "made by an algorithm that was not trained",
    "compositeSynthetic": "composed, some of it synthetic",
    "digitalCapture": "taken with a digital camera",
    "computationalCapture": "taken with a camera, from several exposures or with a model",
    "composite": "composed of several elements",
    "compositeCapture": "composed of several captures",
    "humanEdits": "edited by a person with tools that are not generative",
    "minorHumanEdits": "edited slightly by a person",
    "negativeFilm": "scanned from a negative",
    "positiveFilm": "scanned from a transparency",
    "print": "scanned from a print",
    "digitalCreation": "drawn by a person with digital tools",
    "digitalArt": "drawn by a person with digital tools",
    "dataDrivenMedia": "drawn from data",
    "softwareImage": "drawn by software",
    "screenCapture": "a screenshot",
    "virtualRecording": "a recording of a virtual event",
}
SYSTEM = {"AISystemUsed": "system", "AISystemVersionUsed": "version", "AIPromptInformation": "prompt"}


def meaning(address: str) -> str:
    """A source type in words: `made by generative AI (trainedAlgorithmicMedia)`; an unknown one as it is."""
    term = address.rstrip("/").rsplit("/", 1)[-1]
    return f"{TERMS[term]} ({term})" if term in TERMS else f"of the source type {address!r}"


def find(properties: Properties) -> list[Finding]:
    """IPTC's source type, and the fields that name an AI system (IPTC 2025.1)."""
    found = []
    address = properties.get(f"{IPTC}DigitalSourceType")
    if address:
        claim = f"XMP says that the image is {meaning(address)}"
        found.append(Finding("digital_source_type", claim, "declared", detail(value=address)))
    system = {word: properties.get(f"{IPTC}{name}") for name, word in SYSTEM.items()}
    if any(system.values()):
        found.append(Finding("ai_system", "XMP names the AI system that was used", "declared", detail(**system)))
    return found
