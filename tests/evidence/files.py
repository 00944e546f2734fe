"""Image files with chosen metadata, put together byte by byte."""

import struct
import zlib
from io import BytesIO

import numpy as np
from PIL import Image

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
TC260 = "http://www.tc260.org.cn/ns/AIGC/1.0/"
XAP = "http://ns.adobe.com/xap/1.0/"
AI = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
WEBUI = "a cat\nNegative prompt: a dog\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512, Model: x"


def picture(side: int = 40, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))


def saved(form: str, image: Image.Image | None = None, **options: object) -> bytes:
    buffer = BytesIO()
    (image or picture()).save(buffer, form, **options)
    return buffer.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(*chunks: bytes) -> bytes:
    """A PNG with these chunks before its pixels."""
    plain = saved("PNG")
    return plain[:33] + b"".join(chunks) + plain[33:]


def text(key: str, value: str) -> bytes:
    return chunk(b"tEXt", key.encode("latin-1") + b"\0" + value.encode("latin-1"))


def packed_text(key: str, value: bytes) -> bytes:
    return chunk(b"zTXt", key.encode() + b"\0\0" + zlib.compress(value))


def xmp_text(packet: bytes) -> bytes:
    return chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet)


def segment(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def jpeg(*segments: bytes) -> bytes:
    """A JPEG with these segments behind its first marker."""
    plain = saved("JPEG", quality=90)
    return plain[:2] + b"".join(segments) + plain[2:]


def xmp_segment(packet: bytes) -> bytes:
    return segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet)


def webp(*chunks: tuple[bytes, bytes]) -> bytes:
    """A WebP with these chunks behind its own."""
    body = saved("WEBP")[8:]
    for name, data in chunks:
        body += name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def xmp(attributes: str = "", elements: str = "", outside: str = "") -> bytes:
    """An XMP packet whose description has these attributes and elements."""
    names = f"xmlns:Iptc4xmpExt='{IPTC}' xmlns:TC260='{TC260}' xmlns:xmp='{XAP}'"
    names += " xmlns:photoshop='http://ns.adobe.com/photoshop/1.0/' xmlns:dcterms='http://purl.org/dc/terms/'"
    return (
        "<?xpacket begin='' id='W5M0MpCehiHzreSzNTczkc9d'?><x:xmpmeta xmlns:x='adobe:ns:meta/'>"
        f"<rdf:RDF xmlns:rdf='{RDF}'><rdf:Description rdf:about='' {names} {attributes}>{elements}</rdf:Description>"
        f"</rdf:RDF>{outside}</x:xmpmeta><?xpacket end='w'?>"
    ).encode()


def exif(**tags: bytes) -> bytes:
    """An EXIF block, big-endian, with UserComment in the camera's directory and the other tags in the first."""
    numbers = {"ImageDescription": 0x010E, "Make": 0x010F, "Model": 0x0110, "Software": 0x0131, "Artist": 0x013B}
    first = [(numbers[name], 2, value) for name, value in tags.items() if name in numbers]
    camera = [(0x9286, 7, tags["UserComment"])] if "UserComment" in tags else []
    start = 8 + 2 + 12 * (len(first) + bool(camera)) + 4
    block, values = b"MM\0*" + struct.pack(">I", 8), b""
    directory = b""
    for number, kind, value in first:
        directory += struct.pack(">HHII", number, kind, len(value) + 8, start + len(values))
        values += value + b"\0" * 8
    if camera:
        (number, kind, value) = camera[0]
        where = start + len(values)
        directory += struct.pack(">HHII", 0x8769, 4, 1, where)
        values += struct.pack(">HHHII", 1, number, kind, len(value), where + 18) + b"\0\0\0\0" + value
    return block + struct.pack(">H", len(directory) // 12) + directory + b"\0\0\0\0" + values


def comment(value: str) -> bytes:
    """A UserComment in UTF-16, as piexif and the web UIs write it."""
    return b"UNICODE\0" + value.encode("utf-16-be")


def with_exif(form: str, **tags: bytes) -> bytes:
    """An image with these EXIF tags, saved by Pillow."""
    block = exif(**tags)
    return saved(form, exif=b"Exif\0\0" + block if form == "JPEG" else block)
