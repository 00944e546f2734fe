"""A few EXIF tags as text. Only these are read, each once, so that a hostile block cannot fill the memory."""

import struct
from collections.abc import Set

TEXT_TAGS = {
    0x010E: "ImageDescription",
    0x010F: "Make",
    0x0110: "Model",
    0x0131: "Software",
    0x013B: "Artist",
    0x9286: "UserComment",
    0x9C9C: "XPComment",
}
XMP_TAG = 0x02BC
EXIF_TAGS = 0x8769  # where the tags of the camera stand, UserComment among them
SIZES = {1: 1, 2: 1, 4: 4, 7: 1, 13: 4, 129: 1}  # bytes of one value, of the types that these tags may have
MOST_TAGS = 2000  # of one directory
LONGEST = 2**22 + 1  # bytes of one tag that are read


def texts_of(data: bytes, longest: int) -> dict[str, str]:
    """The text tags of an EXIF block or a TIFF, by name; those longer than `longest` bytes are left out."""
    tags = read_tags(data, set(TEXT_TAGS))
    little = data[:2] == b"II"
    return {TEXT_TAGS[tag]: _text(tag, value, little) for tag, value in tags.items() if len(value) <= longest}


def read_tags(data: bytes, wanted: Set[int]) -> dict[int, bytes]:
    """The bytes of the wanted tags of the first directory and of the camera's.

    What claims to lie outside of `data` is left out. Of a tag that occurs twice, the first counts; of one longer than
    LONGEST bytes, its beginning.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None or len(data) < 8:
        return {}
    found: dict[int, bytes] = {}
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    _read_directory(data, start, order, {*wanted, EXIF_TAGS}, found)
    pointer = found.pop(EXIF_TAGS, b"")
    if len(pointer) == 4:
        (start,) = struct.unpack(f"{order}I", pointer)
        _read_directory(data, start, order, wanted, found)
    return found


def _read_directory(data: bytes, start: int, order: str, wanted: Set[int], found: dict[int, bytes]) -> None:
    if start + 2 > len(data):
        return
    (count,) = struct.unpack_from(f"{order}H", data, start)
    for number in range(min(count, MOST_TAGS)):
        at = start + 2 + 12 * number
        if at + 12 > len(data):
            return
        tag, kind, values = struct.unpack_from(f"{order}HHI", data, at)
        size = SIZES.get(kind, 0) * values
        if tag not in wanted or tag in found or not size:
            continue
        place = at + 8 if size <= 4 else struct.unpack_from(f"{order}I", data, at + 8)[0]
        if place + size <= len(data):
            found[tag] = data[place : place + min(size, LONGEST)]


def _text(tag: int, value: bytes, little: bool) -> str:
    if TEXT_TAGS[tag] == "XPComment":
        return value.decode("utf-16-le", "replace").rstrip("\0")
    if TEXT_TAGS[tag] == "UserComment":
        code, value = value[:8], value[8:]
        if code == b"UNICODE\0":
            return _utf16(value, little).rstrip("\0")
    return value.decode("utf-8", "replace").strip("\0 ")


def _utf16(value: bytes, little: bool) -> str:
    """Writers do not agree on the order of bytes; where half of them are zero, these show it."""
    zeros_first, zeros_second = value[0::2].count(0), value[1::2].count(0)
    if zeros_first != zeros_second:
        little = zeros_second > zeros_first
    return value.decode("utf-16-le" if little else "utf-16-be", "replace")
