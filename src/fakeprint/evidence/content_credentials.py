"""C2PA manifests ("Content Credentials"), read and verified with c2pa-python, without a connection."""

import json
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

from fakeprint.errors import InputError
from fakeprint.evidence.findings import Finding, Strength, detail, shortened
from fakeprint.evidence.metadata import Metadata
from fakeprint.evidence.source_type import meaning
from fakeprint.evidence.xmp import DUBLIN_TERMS, Properties

KIND = "c2pa"
LONGEST_TRUST_LIST = 2**24  # bytes
STORED_ELSEWHERE = "the file names a C2PA manifest that is stored elsewhere; it was not fetched"
# The library fetches manifests and certificate states by itself unless it is told not to.
OFFLINE = {
    "core": {
        "allowed_network_hosts": [],
        "max_decompressed_manifest_size_in_mb": 32,
        "decode_identity_assertions": False,
    },
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_trust": True},
}


def is_available() -> bool:
    """Whether c2pa-python is installed and loads."""
    try:
        import c2pa  # noqa: F401
    except (ImportError, OSError):  # OSError: its native library is not for this machine
        return False
    return True


def read_trust_list(file: Path, named: str = "--trust") -> str:
    """Certificates that are trusted as roots, PEM. named: the option or variable that gives the file, for messages.

    Raises:
        InputError: the file cannot be read or holds no certificate.
    """
    try:
        if not file.is_file():
            raise InputError(f"{named}: {file} is not a regular file")
        if file.stat().st_size > LONGEST_TRUST_LIST:
            raise InputError(f"{named}: {file} is longer than {LONGEST_TRUST_LIST} bytes")
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{named}: {file} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        text = ""
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise InputError(f"{named}: {file} holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)")
    from cryptography.x509 import load_pem_x509_certificates  # c2pa-python needs it too

    try:
        load_pem_x509_certificates(text.encode())
    except ValueError:
        raise InputError(f"{named}: {file} holds a certificate that cannot be read") from None
    return text


def find(
    content: bytes, media_type: str, metadata: Metadata, properties: Properties, trusted: str | None
) -> list[Finding]:
    """The manifest of a file and whether its signature holds.

    Args:
        content: the whole file.
        media_type: such as image/jpeg.
        metadata: of the file; what could not be checked is added to its `not_checked`.
        properties: of its XMP, which may name a manifest elsewhere.
        trusted: roots that are trusted, PEM; with None, no signer is.
    """
    elsewhere = properties.get(f"{DUBLIN_TERMS}provenance")
    found = []
    if metadata.has_manifest is not False:
        found = _read(content, media_type, metadata, trusted)
    if elsewhere and not found:
        found = [Finding(KIND, STORED_ELSEWHERE, "declared", detail(address=elsewhere))]
    return found


def _read(content: bytes, media_type: str, metadata: Metadata, trusted: str | None) -> list[Finding]:
    present = Finding(KIND, "the file holds a C2PA manifest; its signature was not checked", "declared")
    if not is_available():
        if metadata.has_manifest is None:
            metadata.skip("C2PA manifest (needs the package c2pa-python)")
            return []
        metadata.skip("C2PA signature (needs the package c2pa-python)")
        return [present]
    import c2pa

    settings = OFFLINE if trusted is None else {**OFFLINE, "trust": {"user_anchors": trusted}}
    try:
        with c2pa.Context.from_dict(settings) as context:
            reader = c2pa.Reader.try_create(media_type, BytesIO(content), context=context)
            if reader is None:
                raise ValueError("no manifest where its box is")
            with reader:
                store = json.loads(reader.json())
    except (c2pa.C2paError, ValueError, RecursionError) as error:
        if metadata.has_manifest is None:
            return []
        reason = detail(error=str(error).splitlines()[0] if str(error) else type(error).__name__)
        return [Finding(KIND, "the file holds a C2PA manifest that cannot be read", "declared", reason)]
    return [_finding(store, trusted is not None)]


def _finding(store: dict[str, Any], has_trust_list: bool) -> Finding:
    manifests = store.get("manifests") or {}
    active = manifests.get(store.get("active_manifest")) or {}
    signature = active.get("signature_info") or {}
    issuer = shortened(str(signature.get("issuer") or "an unnamed signer"))
    strength, verdict = _verdict(store, issuer, has_trust_list)
    types = list(dict.fromkeys(_source_types(active)))
    before = [value for manifest in manifests.values() if manifest is not active for value in _source_types(manifest)]
    says = f" says that the image is {', then '.join(map(meaning, types))};" if types else ","
    return Finding(
        KIND,
        f"a C2PA manifest{says} {verdict}",
        strength,
        detail(
            state=store.get("validation_state"),
            failures=", ".join(_codes(store, "failure")),
            issuer=signature.get("issuer"),
            common_name=signature.get("common_name"),
            time=_time(store, signature.get("time")),
            written_by=", ".join(_names(active)),
            source_type=", ".join(types),
            source_type_of_ingredients=", ".join(dict.fromkeys(before)),
        ),
    )


def _verdict(store: dict[str, Any], issuer: str, has_trust_list: bool) -> tuple[Strength, str]:
    state = store.get("validation_state")
    if state == "Trusted":
        return "signed_trusted", f"signed by {issuer}, for whom the trust list vouches"
    if state == "Valid":
        why = (
            "for whom the trust list does not vouch" if has_trust_list else "which nothing vouches for without --trust"
        )
        return "signed_untrusted", f"signed in the name of {issuer}, {why}"
    return "declared", f"but it does not verify ({', '.join(_codes(store, 'failure')) or 'no reason given'})"


def _codes(store: dict[str, Any], outcome: str) -> list[str]:
    """The codes of what was verified of the active manifest. outcome: success, informational or failure."""
    results = (store.get("validation_results") or {}).get("activeManifest") or {}
    return [str(result.get("code")) for result in results.get(outcome) or []]


def _time(store: dict[str, Any], time: str | None) -> str | None:
    """When it was signed, by a time-stamping authority's word, and whether the trust list vouches for that."""
    if time is None:
        return None
    is_trusted = "timeStamp.trusted" in _codes(store, "success")
    return f"{time} ({'time stamp by a trusted authority' if is_trusted else 'by a clock that nothing vouches for'})"


def _source_types(manifest: dict[str, Any]) -> Iterable[str]:
    """Those of its actions: how the image was created and changed."""
    for assertion in manifest.get("assertions") or []:
        if str(assertion.get("label", "")).startswith("c2pa.actions"):
            for action in (assertion.get("data") or {}).get("actions") or []:
                if isinstance(action.get("digitalSourceType"), str):
                    yield action["digitalSourceType"]


def _names(manifest: dict[str, Any]) -> Iterable[str]:
    infos = manifest.get("claim_generator_info") or [{"name": manifest.get("claim_generator")}]
    return [str(info["name"]) for info in infos if info.get("name")]
