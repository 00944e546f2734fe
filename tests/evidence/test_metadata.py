"""Only what stands where the format puts it counts, and hostile files cost little."""

import struct
import time
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from fakeprint.data.decode import Unreadable
from fakeprint.evidence.exif import read_tags, texts_of
from fakeprint.evidence.inspection import Inspection
from fakeprint.evidence.metadata import MAX_BYTES, MAX_TEXT, MAX_TEXTS, jpeg_segments, read_metadata
from fakeprint.evidence.xmp import read_properties
from tests.evidence import files

PACKET = files.xmp(f"Iptc4xmpExt:DigitalSourceType='{files.AI}'")
MIB = 2**20


def kinds(content: bytes) -> list[str]:
    found = Inspection().of_content(content).findings
    return [finding.kind for finding in found if finding.kind != "jpeg_tables"]


@pytest.mark.parametrize(
    "content",
    [
        files.saved("JPEG")
        + files.xmp_segment(PACKET)
        + files.segment(0xE1, b"Exif\0\0" + files.exif(Software=b"NovelAI")),
        files.saved("JPEG") + files.jpeg(files.xmp_segment(PACKET)),
        files.saved("PNG") + files.text("parameters", files.WEBUI) + files.xmp_text(PACKET),
        files.saved("WEBP") + b"XMP " + struct.pack("<I", len(PACKET)) + PACKET,
        files.saved("GIF") + PACKET,
        files.saved("BMP") + PACKET,
        files.saved("TIFF") + PACKET,
    ],
    ids=["JPEG", "JPEG in JPEG", "PNG", "WebP", "GIF", "BMP", "TIFF"],
)
def test_what_follows_the_end_of_an_image_proves_nothing(content: bytes) -> None:
    assert kinds(content) == []


def test_words_in_the_pixels_prove_nothing() -> None:
    words = files.text("parameters", files.WEBUI) + files.xmp_text(PACKET) + files.xmp_segment(PACKET)
    row = words.ljust(3 * 500, b"\0")
    image = Image.fromarray(np.frombuffer(row, np.uint8).reshape(1, 500, 3))
    head = struct.pack(">IIBBBBB", 500, 1, 8, 2, 0, 0, 0)
    pixels = (
        files.chunk(b"IHDR", head) + files.chunk(b"IDAT", zlib.compress(b"\0" + row, 0)) + files.chunk(b"IEND", b"")
    )
    for content in (b"\x89PNG\r\n\x1a\n" + pixels, files.saved("TIFF", image), files.saved("BMP", image)):
        assert kinds(content) == []
    assert all(files.WEBUI.encode() in content for content in (pixels, files.saved("TIFF", image)))


def test_a_chunk_with_a_wrong_checksum_is_left_out() -> None:
    chunk = files.text("parameters", files.WEBUI)
    assert kinds(files.png(chunk)) == ["generation_parameters"]
    assert read_metadata(files.png(chunk[:-1] + bytes([chunk[-1] ^ 1]))).texts == []


def test_texts_behind_the_pixels_count() -> None:
    plain = files.saved("PNG")
    assert kinds(plain[:-12] + files.text("parameters", files.WEBUI) + plain[-12:]) == ["generation_parameters"]


def test_every_cut_of_a_file_is_read_without_an_error() -> None:
    exif = files.exif(Software=b"x", UserComment=files.comment("y"))
    whole = (
        files.jpeg(files.xmp_segment(PACKET), files.segment(0xE1, b"Exif\0\0" + exif)),
        files.png(files.packed_text("a", b"b" * 50), files.xmp_text(PACKET), files.chunk(b"eXIf", exif)),
        files.webp((b"XMP ", PACKET), (b"EXIF", exif)),
        files.saved("TIFF", tiffinfo={700: PACKET, 305: "x"}),
    )
    for content in whole:
        for length in range(0, min(len(content), 1500)):
            read_metadata(content[:length])
        assert read_metadata(content).xmp == [PACKET]


@pytest.mark.parametrize("seed", range(3))
def test_random_changes_are_read_without_an_error(seed: int) -> None:
    random = np.random.default_rng(seed)
    exif = files.exif(Software=b"x", UserComment=files.comment("y"))
    head = files.jpeg(files.xmp_segment(PACKET), files.segment(0xE1, b"Exif\0\0" + exif))
    for content in (head, files.png(files.xmp_text(PACKET)), exif, files.webp((b"EXIF", exif))):
        for _ in range(300):
            changed = bytearray(content)
            for place in random.integers(0, min(len(content), 1500), 4):
                changed[place] = random.integers(0, 256)
            metadata = read_metadata(bytes(changed))
            read_properties(metadata)
            texts_of(bytes(changed), MAX_TEXT)


def peak(content: bytes) -> int:
    """Bytes that reading the metadata takes at most beside the file itself."""
    tracemalloc.start()
    try:
        read_properties(read_metadata(content))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_texts_that_unpack_to_gigabytes() -> None:
    zeros = zlib.compressobj(9)
    packed = b"".join([*(zeros.compress(bytes(MIB)) for _ in range(64)), zeros.flush()])
    content = files.png(*[files.chunk(b"zTXt", b"parameters\0\0" + packed)] * 40)
    assert peak(content) < 4 * MAX_BYTES
    metadata = read_metadata(content)
    assert sum(len(text) for _, text in metadata.texts) <= MAX_BYTES + MAX_TEXT
    assert metadata.not_checked == [
        f"a text beyond its first {MAX_TEXT} bytes",
        f"texts after the first {MAX_TEXTS}, or {MAX_BYTES} bytes",
    ]


def test_a_file_of_texts_alone() -> None:
    metadata = read_metadata(files.png(files.text("a", "b") * 5000))
    assert len(metadata.texts) == MAX_TEXTS
    assert metadata.not_checked == [f"texts after the first {MAX_TEXTS}, or {MAX_BYTES} bytes"]


def test_texts_beyond_the_limit_cost_no_more_than_other_chunks() -> None:
    def seconds(one: bytes) -> float:
        content, begun = files.png(one * 50_000), time.process_time()
        read_metadata(content)
        return time.process_time() - begun

    assert seconds(files.text("", "")) < 4 * seconds(files.chunk(b"abCd", b"\0"))


@pytest.mark.parametrize("texts", [MAX_TEXTS - 1, MAX_TEXTS])
def test_texts_and_packets_count_together(texts: int) -> None:
    metadata = read_metadata(files.png(files.text("a", "b") * texts + files.xmp_text(PACKET)))
    assert (len(metadata.texts), len(metadata.xmp)) == (texts, MAX_TEXTS - texts)
    full = [f"texts after the first {MAX_TEXTS}, or {MAX_BYTES} bytes"]
    assert metadata.not_checked == (full if texts == MAX_TEXTS else [])


def test_xmp_that_is_too_long() -> None:
    metadata = read_metadata(files.png(files.xmp_text(PACKET + b" " * 2**22)))
    assert (metadata.xmp, metadata.not_checked) == ([], [f"XMP longer than {2**22} bytes"])


def test_a_packet_in_parts_is_named() -> None:
    part = files.segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + b"A" * 32 + bytes(8) + b"<x/>")
    report = Inspection().of_content(files.jpeg(part))
    assert "XMP that is spread over several segments" in report.not_checked


LAUGHS = b"<!DOCTYPE l [<!ENTITY a 'ha'>" + b"".join(
    b"<!ENTITY %c '%s'>" % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9)
)


@pytest.mark.parametrize(
    ("packet", "line"),
    [
        (
            LAUGHS + b"]>" + files.xmp(elements="<xmp:Label>&j;</xmp:Label>"),
            "XMP with a document type, which it must not have",
        ),
        (b"<!DOCTYPE l SYSTEM 'file:///etc/passwd'>" + PACKET, "XMP with a document type, which it must not have"),
        (PACKET[:-40], "XMP that is damaged"),
        (b"<?xml version='1.0' encoding='klingon'?><a/>", "XMP that is damaged"),
        (b"\xff\xfe\0\xd8", "XMP that is damaged"),
    ],
    ids=["billion laughs", "external entity", "cut", "encoding", "no text"],
)
def test_hostile_xmp_is_named_and_not_followed(packet: bytes, line: str) -> None:
    content = files.jpeg(files.xmp_segment(packet))
    report = Inspection().of_content(content)
    assert line in report.not_checked
    assert report.nothing_found
    assert peak(content) < 4 * MIB


@pytest.mark.slow
def test_xmp_of_a_hundred_thousand_levels() -> None:
    content = files.png(files.xmp_text(b"<a>" * 100_000 + b"</a>" * 100_000))
    assert read_properties(read_metadata(content)) == {}
    assert peak(content) < 200 * MIB


def test_exif_that_claims_more_than_there_is() -> None:
    claim = b"MM\0*" + struct.pack(">IHHHII", 8, 1, 0x0131, 2, 100 * MIB, 8)
    content = files.jpeg(files.segment(0xE1, b"Exif\0\0" + claim))
    assert read_metadata(content).exif == {}
    assert kinds(content) == []
    assert peak(content) < MIB


def test_exif_whose_tags_all_name_the_same_bytes() -> None:
    entries = [0x010E, 0x010F, 0x0110, 0x0131, 0x013B, 0x9286] * 300
    start = 8 + 2 + 12 * len(entries)
    directory = b"".join(struct.pack(">HHII", tag, 2, MIB, start) for tag in entries)
    block = b"MM\0*" + struct.pack(">IH", 8, len(entries)) + directory + b"a" * MIB
    content = files.png(files.chunk(b"eXIf", block))
    assert peak(content) < 30 * MIB
    assert sorted(read_metadata(content).exif) == [
        "Artist",
        "ImageDescription",
        "Make",
        "Model",
        "Software",
        "UserComment",
    ]


def test_exif_that_points_to_itself() -> None:
    block = b"MM\0*" + struct.pack(">IHHHII", 8, 1, 0x8769, 4, 1, 8)
    assert read_tags(block, {0x0131}) == {}


def test_exif_in_both_orders_of_bytes() -> None:
    little = b"II*\0" + struct.pack("<IHHHII", 8, 1, 0x0131, 2, 8, 26) + b"\0\0\0\0" + b"Program\0"
    assert texts_of(little, MAX_TEXT) == {"Software": "Program"}
    assert texts_of(files.exif(Software=b"Program"), MAX_TEXT) == {"Software": "Program"}
    assert texts_of(b"MM\0+" + bytes(20), MAX_TEXT) == {}


def test_segments_end_where_the_scan_starts() -> None:
    markers = [marker for marker, _ in jpeg_segments(files.jpeg(files.segment(0xE1, b"x")))]
    assert markers[0] == 0xE1
    assert 0xDA not in markers
    assert {0xDB, 0xC0, 0xC4} <= set(markers)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"words", "not an image"),
        (files.saved("PNG")[:200], "truncated"),
        (files.saved("PNG", Image.new("1", (9000, 9000))), "too large"),
    ],
)
def test_what_is_no_image_is_refused_as_predict_does(content: bytes, reason: str) -> None:
    with pytest.raises(Unreadable) as refused:
        Inspection().of_content(content)
    assert refused.value.reason == reason
