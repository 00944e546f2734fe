"""C2PA manifests that the tests sign themselves: trusted, untrusted, changed, elsewhere."""

import datetime
import shutil
import socket
import sys
from pathlib import Path

import numpy as np
import pytest

from fakeprint.errors import InputError
from fakeprint.evidence import content_credentials
from fakeprint.evidence.content_credentials import read_trust_list
from fakeprint.evidence.findings import Finding
from fakeprint.evidence.inspection import Inspection, missing_packages
from fakeprint.evidence.metadata import png_chunks, read_metadata
from tests.evidence import files
from tests.evidence.signing import Signatory, signatory, signed
from tests.evidence.time_stamps import authority

SAYS = "a C2PA manifest says that the image is made by generative AI (trainedAlgorithmicMedia); "
FORMATS = ["JPEG", "PNG", "WEBP", "TIFF", "GIF"]
CAMERA = "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"


@pytest.fixture(scope="module")
def studio() -> Signatory:
    return signatory("Studio")


def sign(form: str, by: Signatory, **options: str) -> bytes:
    return signed(files.saved(form), f"image/{form.lower()}", by, **options)


def finding(content: bytes, trusted: str | None = None) -> Finding:
    (found,) = [each for each in Inspection(trusted).of_content(content).findings if each.kind == "c2pa"]
    return found


@pytest.mark.parametrize("form", FORMATS)
def test_a_signature_nobody_vouches_for(form: str, studio: Signatory) -> None:
    found = finding(sign(form, studio))
    assert found.strength == "signed_untrusted"
    assert found.claim == SAYS + "signed in the name of Studio, which nothing vouches for without --trust"
    assert found.detail["state"] == "Valid"
    assert found.detail["failures"] == "signingCredential.untrusted"
    assert (found.detail["issuer"], found.detail["common_name"]) == ("Studio", "Studio Signer")
    assert found.detail["written_by"] == "Test Generator"


@pytest.mark.parametrize("form", FORMATS)
def test_a_signature_that_the_trust_list_vouches_for(form: str, studio: Signatory) -> None:
    found = finding(sign(form, studio), trusted=studio.root)
    assert found.strength == "signed_trusted"
    assert found.claim == SAYS + "signed by Studio, for whom the trust list vouches"
    assert found.detail["state"] == "Trusted"
    assert "failures" not in found.detail


def test_a_trust_list_of_others(studio: Signatory) -> None:
    """Of a root with the same name even: names prove nothing."""
    found = finding(sign("JPEG", studio), trusted=signatory("Studio").root)
    assert found.strength == "signed_untrusted"
    assert found.claim == SAYS + "signed in the name of Studio, for whom the trust list does not vouch"


def test_trust_of_one_file_does_not_reach_the_next(studio: Signatory) -> None:
    content = sign("JPEG", studio)
    strengths = [finding(content, trusted).strength for trusted in (studio.root, None, studio.root)]
    assert strengths == ["signed_trusted", "signed_untrusted", "signed_trusted"]


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF"])
def test_a_changed_image(form: str, studio: Signatory) -> None:
    content = bytearray(sign(form, studio))
    if form == "PNG":  # a text more, so that the checksums stay right
        content[-12:-12] = files.text("Title", "changed")
    else:
        content[-40] ^= 1
    found = finding(bytes(content), trusted=studio.root)
    assert found.strength == "declared"
    assert found.claim == SAYS + "but it does not verify (assertion.dataHash.mismatch)"
    assert found.detail["state"] == "Invalid"


def test_a_manifest_moved_to_another_image(studio: Signatory) -> None:
    (manifest,) = [data for name, data in png_chunks(sign("PNG", studio)) if name == b"caBX"]
    other = files.saved("PNG", files.picture(seed=9))
    found = finding(other[:33] + files.chunk(b"caBX", manifest) + other[33:], trusted=studio.root)
    assert found.strength == "declared"
    assert "does not verify" in found.claim


def test_a_camera_s_manifest(studio: Signatory) -> None:
    found = finding(sign("JPEG", studio, source_type=CAMERA), trusted=studio.root)
    assert found.claim.startswith(
        "a C2PA manifest says that the image is taken with a digital camera (digitalCapture);"
    )
    assert found.detail["source_type"] == CAMERA


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("openssl") is None, reason="the time-stamping authority is openssl's")
def test_a_time_stamp_counts_only_if_its_authority_is_vouched_for(studio: Signatory, tmp_path: Path) -> None:
    with authority(tmp_path) as (address, root):
        content = sign("JPEG", studio, clock=address)
    for trusted, strength, words in (
        (None, "signed_untrusted", "(by a clock that nothing vouches for)"),
        (studio.root, "signed_trusted", "(by a clock that nothing vouches for)"),
        (studio.root + root, "signed_trusted", "(time stamp by a trusted authority)"),
    ):
        found = finding(content, trusted)
        assert found.strength == strength
        assert found.detail["time"].startswith(str(datetime.datetime.now(datetime.UTC).year))
        assert found.detail["time"].endswith(words)
    assert "time" not in finding(sign("JPEG", studio)).detail


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_a_manifest_elsewhere_is_named_and_no_connection_made(form: str, studio: Signatory) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.settimeout(0)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/manifest.c2pa"
        found = finding(sign(form, studio, remote=address))
        with pytest.raises(BlockingIOError):  # nobody has called
            server.accept()
    claim = "the file names a C2PA manifest that is stored elsewhere; it was not fetched"
    assert (found.claim, found.strength, found.detail) == (claim, "declared", {"address": address})


def test_a_manifest_behind_the_end_of_the_image(studio: Signatory) -> None:
    for form in ("JPEG", "PNG"):
        report = Inspection(studio.root).of_content(files.saved(form) + sign(form, studio)[2:])
        assert report.nothing_found


def test_a_box_that_is_no_manifest() -> None:
    box = b"JP\0\1\0\0\0\1\0\0\0\x28jumb\0\0\0\x20jumdc2pa\0\x11\0\x10\x80\0\0\xaa\0\x38\x9b\x71\3c2pa\0"
    for content in (files.jpeg(files.segment(0xEB, box)), files.png(files.chunk(b"caBX", b"\0" * 50))):
        found = finding(content)
        assert (found.claim, found.strength) == ("the file holds a C2PA manifest that cannot be read", "declared")
        assert found.detail["error"]


def test_bytes_changed_at_random_raise_nothing(studio: Signatory) -> None:
    random = np.random.default_rng(5)
    for form in ("JPEG", "PNG", "WEBP"):
        content = sign(form, studio)
        for _ in range(40):
            changed = bytearray(content)
            for place in random.integers(20, len(content), 4):
                changed[place] = random.integers(0, 256)
            metadata = read_metadata(bytes(changed))
            found = content_credentials.find(bytes(changed), f"image/{form.lower()}", metadata, {}, studio.root)
            assert [each.kind for each in found] == ["c2pa"] * bool(metadata.has_manifest)


def test_without_the_library_the_manifest_is_still_seen(studio: Signatory, monkeypatch: pytest.MonkeyPatch) -> None:
    content = sign("PNG", studio)
    monkeypatch.setitem(sys.modules, "c2pa", None)
    monkeypatch.setitem(sys.modules, "defusedxml", None)
    monkeypatch.setitem(sys.modules, "defusedxml.common", None)
    monkeypatch.setitem(sys.modules, "defusedxml.ElementTree", None)
    assert missing_packages() == ["c2pa-python", "defusedxml"]
    report = Inspection().of_content(files.jpeg(files.xmp_segment(files.xmp())))
    assert "XMP (needs the package defusedxml)" in report.not_checked
    report = Inspection().of_content(content)
    (found,) = [each for each in report.findings if each.kind == "c2pa"]
    assert (found.claim, found.strength) == (
        "the file holds a C2PA manifest; its signature was not checked",
        "declared",
    )
    assert "C2PA signature (needs the package c2pa-python)" in report.not_checked
    report = Inspection().of_content(files.saved("GIF"))
    assert "C2PA manifest (needs the package c2pa-python)" in report.not_checked


def test_a_trust_list_is_checked_before_anything_is_read(tmp_path: Path, studio: Signatory) -> None:
    (tmp_path / "words.pem").write_text("words")
    (tmp_path / "bytes.pem").write_bytes(b"\xff\xfe")
    (tmp_path / "damaged.pem").write_text(studio.root.replace("MII", "xxx"))
    (tmp_path / "root.pem").write_text(studio.root)
    (tmp_path / "long.pem").write_bytes(b"")
    with (tmp_path / "long.pem").open("r+b") as file:
        file.truncate(2**24 + 1)
    no_certificate = "holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)"
    for name, line in (
        ("gone.pem", "is not a regular file"),
        ("", "is not a regular file"),
        ("words.pem", no_certificate),
        ("bytes.pem", no_certificate),
        ("damaged.pem", "holds a certificate that cannot be read"),
        ("long.pem", "is longer than 16777216 bytes"),
    ):
        with pytest.raises(InputError) as refused:
            read_trust_list(tmp_path / name)
        assert str(refused.value) == f"--trust: {tmp_path / name} {line}"
    assert read_trust_list(tmp_path / "root.pem") == studio.root
