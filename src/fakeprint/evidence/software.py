"""Which program wrote the file, by its own word: EXIF, PNG and XMP tags."""

from fakeprint.evidence.findings import Finding, detail
from fakeprint.evidence.metadata import Metadata
from fakeprint.evidence.xmp import BASIC, PHOTOSHOP, Properties

# Parts of names, in lower case, of programs and services that make images.
GENERATORS = (
    "stable diffusion",
    "novelai",
    "midjourney",
    "dall-e",
    "dall·e",
    "openai",
    "chatgpt",
    "adobe firefly",
    "made with google ai",
    "comfyui",
    "invokeai",
    "fooocus",
    "swarmui",
    "draw things",
    "automatic1111",
    "leonardo.ai",
    "ideogram",
    "bing image creator",
    "black forest labs",
)


def find(metadata: Metadata, properties: Properties) -> list[Finding]:
    """A finding per program that is named; `ai_software` where the name is that of a known image generator."""
    named = [
        ("EXIF Software", metadata.exif.get("Software", "")),
        ("XMP CreatorTool", properties.get(f"{BASIC}CreatorTool", "")),
        ("XMP Credit", properties.get(f"{PHOTOSHOP}Credit", "")),
        *(("PNG Software", text) for key, text in metadata.texts if key == "Software"),
    ]
    found: dict[str, Finding] = {}
    for place, name in named:
        if not name.strip():
            continue
        values = detail(place=place, name=name)
        if any(part in name.lower() for part in GENERATORS):
            claim = f"the file names an image generator: {values['name']}"
            found.setdefault(name, Finding("ai_software", claim, "declared", values))
        elif place != "XMP Credit":
            found.setdefault(name, Finding("software", f"written by {values['name']}", "declared", values))
    return list(found.values())
