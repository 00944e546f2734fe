"""All checks of one file."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fakeprint.data.decode import Decoded, decode, longest_file
from fakeprint.data.regular import read_regular
from fakeprint.evidence import (
    aigc,
    content_credentials,
    jpeg_tables,
    parameters,
    software,
    source_type,
    watermark,
)
from fakeprint.evidence.findings import Report
from fakeprint.evidence.metadata import read_metadata
from fakeprint.evidence.xmp import read_properties

MAX_PIXELS = 50_000_000  # as data.max_pixels has it


@dataclass(frozen=True)
class Inspection:
    """How files are inspected. trusted: root certificates, PEM, or None."""

    trusted: str | None = None

    def of_file(self, path: Path) -> Report:
        """What a file declares. Raises Unreadable if it is no regular file, no image, damaged or too large."""
        return self.of_content(read_regular(path, longest_file(MAX_PIXELS)))

    def of_content(self, content: bytes) -> Report:
        """The same from the content of a file."""
        decoded = decode(content, MAX_PIXELS)
        metadata = read_metadata(content)
        properties = read_properties(metadata)
        media_type = f"image/{decoded.facts.format.lower()}"
        findings = [
            *content_credentials.find(content, media_type, metadata, properties, self.trusted),
            *source_type.find(properties),
            *aigc.find(metadata, properties),
            *parameters.find(metadata),
            *watermark.find(decoded.rgb),
            *software.find(metadata, properties),
            *jpeg_tables.find(metadata.tables),
        ]
        return Report(findings, [*metadata.not_checked, *_not_checked(decoded)])


def _not_checked(decoded: Decoded) -> list[str]:
    if watermark.is_large_enough(decoded.rgb):
        return []
    return ["Stable Diffusion's watermark (its writer marks no picture this small)"]


def missing_packages() -> list[str]:
    """What the extra `evidence` would install and is not there."""
    return [name for name, is_available in PACKAGE_CHECKS.items() if not is_available()]


def _has_defusedxml() -> bool:
    try:
        import defusedxml  # noqa: F401
    except ImportError:
        return False
    return True


PACKAGE_CHECKS: dict[str, Callable[[], bool]] = {
    "c2pa-python": content_credentials.is_available,
    "defusedxml": _has_defusedxml,
}
