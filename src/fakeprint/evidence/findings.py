"""What a check returns: findings, and what it could not check."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Strength = Literal["signed_trusted", "signed_untrusted", "declared", "watermark"]

LONGEST = 400  # characters of one value that a finding repeats
# Kinds that say which program wrote the file, and nothing about how the picture was made.
ABOUT_THE_FILE = frozenset({"jpeg_tables", "software"})
NEVER_CHECKED = (
    "whether a certificate was revoked (needs a connection)",
    "manifests that are stored elsewhere (need a connection)",
    "SynthID and other watermarks without a public detector",
    "metadata that was removed",
)


@dataclass(frozen=True)
class Finding:
    """One piece of evidence.

    kind: which check found it. claim: what is declared, in one sentence. strength: a signature by a trusted signer, a
    valid signature by anybody, a plain statement that anyone can write or copy, or a watermark in the pixels.
    detail: what the claim rests on, values of at most LONGEST characters.
    """

    kind: str
    claim: str
    strength: Strength
    detail: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Report:
    """What was found in one file, and what could not be checked in it."""

    findings: list[Finding] = field(default_factory=list)
    not_checked: list[str] = field(default_factory=list)

    @property
    def nothing_found(self) -> bool:
        """Whether there are no findings but those about the program that wrote the file."""
        return all(finding.kind in ABOUT_THE_FILE for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """The report as json.dumps takes it."""
        return {
            "nothing_found": self.nothing_found,
            "findings": [asdict(finding) for finding in self.findings],
            "not_checked": list(self.not_checked),
        }


def detail(**values: object) -> dict[str, str]:
    """The values that are there, as text, cut to LONGEST characters."""
    return {key: shortened(str(value)) for key, value in values.items() if value not in (None, "")}


def shortened(text: str) -> str:
    """The text without space around it, cut to LONGEST characters."""
    text = text.strip()
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
