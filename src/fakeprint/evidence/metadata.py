"""The metadata of an image file, read by the structure of its container.

Only what stands where the format puts it counts: JPEG segments before the first scan, PNG chunks with a correct
checksum before IEND, WebP chunks inside the RIFF, tags of a TIFF. Bytes after the end of an image, or in its pixels,
are never looked at.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from fakeprint.evidence.exif import XMP_TAG, read_tags, texts_of

MAX_TEXT = 2**20  # bytes of one text, also after it is decompressed
MAX_XMP = 2**22
MAX_TEXTS = 200  # texts and XMP packets per file
MAX_BYTES = 2**24  # of all of them together

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
XMP_SEGMENT = b"http://ns.adobe.com/xap/1.0/\0"
MORE_XMP_SEGMENT = b"http://ns.adobe.com/xmp/extension/\0"
XMP_KEYWORD = "XML:com.adobe.xmp"
# Where a coefficient of a JPEG table stands in the 8×8 matrix (T.81, figure A.6).
ZIGZAG = sorted(range(64), key=lambda k: (k // 8 + k % 8, k // 8 if (k // 8 + k % 8) % 2 else k % 8))


@dataclass
class Metadata:
    """What the container holds.

    texts: (key, text) of PNG text chunks, in the order of the file. exif: EXIF tags by name, as text. xmp: the XMP
    packets. has_manifest: whether it holds a C2PA box; None where that was not looked for. tables: quantisation tables
    of a JPEG by number, 64 integers each, row by row. not_checked: what was left out, and why.
    """

    texts: list[tuple[str, str]] = field(default_factory=list)
    exif: dict[str, str] = field(default_factory=dict)
    xmp: list[bytes] = field(default_factory=list)
    has_manifest: bool | None = False
    tables: dict[int, tuple[int, ...]] = field(default_factory=dict)
    not_checked: list[str] = field(default_factory=list)
    # The number of texts and packets, and the length of all of them
    _count: int = field(default=0, init=False, repr=False, compare=False)
    _length: int = field(default=0, init=False, repr=False, compare=False)

    def add_text(self, key: str, text: str) -> None:
        """Add a text."""
        self.texts.append((key, text))
        self._add(len(text))

    def add_xmp(self, packet: bytes) -> None:
        """Add an XMP packet."""
        self.xmp.append(packet)
        self._add(len(packet))

    def _add(self, length: int) -> None:
        self._count += 1
        self._length += length

    def is_full(self) -> bool:
        """Whether it holds as many texts as one file may have, which is then noted.

        It is asked before each text, of which a file may have a hundred thousand: so what is held is not counted anew.
        """
        full = self._count >= MAX_TEXTS or self._length >= MAX_BYTES
        if full:
            self.skip(f"texts after the first {MAX_TEXTS}, or {MAX_BYTES} bytes")
        return full

    def skip(self, what: str) -> None:
        """Note what was left out, once."""
        if what not in self.not_checked:
            self.not_checked.append(what)


def read_metadata(content: bytes) -> Metadata:
    """Read the metadata of a JPEG, PNG, WebP or TIFF; of other formats it is empty. Damaged parts are left out."""
    found = Metadata()
    if content.startswith(b"\xff\xd8\xff"):
        _read_jpeg(content, found)
    elif content.startswith(PNG_SIGNATURE):
        _read_png(content, found)
    elif content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        _read_webp(content, found)
    elif content.startswith((b"II*\0", b"MM\0*")):
        _add_exif(content, found)
        _add_xmp(read_tags(content, {XMP_TAG}).get(XMP_TAG, b""), found)
        found.has_manifest = None
    else:
        found.has_manifest = None
    return found


def _read_jpeg(content: bytes, found: Metadata) -> None:
    for marker, data in jpeg_segments(content):
        if marker == 0xE1 and data.startswith(b"Exif\0\0"):
            _add_exif(data[6:], found)
        elif marker == 0xE1 and data.startswith(XMP_SEGMENT):
            _add_xmp(data[len(XMP_SEGMENT) :], found)
        elif marker == 0xE1 and data.startswith(MORE_XMP_SEGMENT):
            found.skip("XMP that is spread over several segments")
        elif marker == 0xEB and data[:2] == b"JP" and data[12:16] == b"jumb" and data[24:28] == b"c2pa":
            found.has_manifest = True
        elif marker == 0xDB:
            _add_tables(data, found)


def jpeg_segments(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and data of each segment up to the first scan. It ends at the first thing that is no segment."""
    at = 2
    while at + 4 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker == 0xFF:  # filling
            at += 1
            continue
        if marker in (0x00, 0xD8, 0xD9, 0xDA) or 0xD0 <= marker <= 0xD7:
            return
        (length,) = struct.unpack_from(">H", content, at + 2)
        if length < 2 or at + 2 + length > len(content):
            return
        yield marker, content[at + 4 : at + 2 + length]
        at += 2 + length


def _add_tables(data: bytes, found: Metadata) -> None:
    while data:
        number, wide = data[0] & 15, data[0] >> 4
        size = 128 if wide else 64
        if len(data) < 1 + size:
            return
        values = struct.unpack_from(">64H" if wide else "64B", data, 1)
        table = [0] * 64
        for place, value in zip(ZIGZAG, values, strict=True):
            table[place] = value
        found.tables.setdefault(number, tuple(table))
        data = data[1 + size :]


def _read_png(content: bytes, found: Metadata) -> None:
    for name, data in png_chunks(content):
        if name in (b"tEXt", b"zTXt", b"iTXt"):
            _add_text(name, data, found)
        elif name == b"eXIf":
            _add_exif(data, found)
        elif name == b"caBX":
            found.has_manifest = True


def png_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and data of each chunk before IEND whose checksum is right."""
    at = len(PNG_SIGNATURE)
    while at + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        name, end = content[at + 4 : at + 8], at + 8 + length
        if name == b"IEND" or end + 4 > len(content):
            return
        if name != b"IDAT":
            data = content[at + 8 : end]
            if zlib.crc32(data, zlib.crc32(name)) == struct.unpack_from(">I", content, end)[0]:
                yield name, data
        at = end + 4


def _add_text(name: bytes, data: bytes, found: Metadata) -> None:
    if found.is_full():
        return
    keyword, _, rest = data.partition(b"\0")
    key, encoding, packed = keyword.decode("latin-1"), "latin-1", name == b"zTXt"
    if name == b"zTXt":
        rest = rest[1:]
    elif name == b"iTXt":
        packed, encoding = rest[:1] == b"\1", "utf-8"
        rest = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    most = MAX_XMP if key == XMP_KEYWORD else MAX_TEXT
    if packed:
        try:
            rest = zlib.decompressobj().decompress(rest, most + 1)
        except zlib.error:
            return
    if key == XMP_KEYWORD:
        _add_xmp(rest, found)
    else:
        if len(rest) > most:
            found.skip(f"a text beyond its first {most} bytes")
        found.add_text(key, rest[:most].decode(encoding, "replace"))


def _read_webp(content: bytes, found: Metadata) -> None:
    end = min(len(content), 8 + int.from_bytes(content[4:8], "little"))
    at = 12
    while at + 8 <= end:
        name, length = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8], "little")
        if at + 8 + length > end:
            return
        if name == b"EXIF":
            _add_exif(content[at + 8 : at + 8 + length].removeprefix(b"Exif\0\0"), found)
        elif name == b"XMP ":
            _add_xmp(content[at + 8 : at + 8 + length], found)
        elif name == b"C2PA":
            found.has_manifest = True
        at += 8 + length + length % 2


def _add_exif(data: bytes, found: Metadata) -> None:
    for name, text in texts_of(data, MAX_TEXT).items():
        found.exif.setdefault(name, text)


def _add_xmp(packet: bytes, found: Metadata) -> None:
    if len(packet) > MAX_XMP:
        found.skip(f"XMP longer than {MAX_XMP} bytes")
    elif packet and not found.is_full():
        found.add_xmp(packet)
