import io
import struct
import subprocess
import sys
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from fakeprint.data.decode import Unreadable, decode

RGB = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def rgb_of(image: Image.Image, form: str, **options: Any) -> np.ndarray:
    return decode(encoded(image, form, **options), 10_000).rgb


@pytest.mark.parametrize(
    ("form", "options"),
    [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("WEBP", {"lossless": True})],
)
def test_lossless_forms_keep_every_pixel(form: str, options: dict[str, Any]) -> None:
    found = decode(encoded(Image.fromarray(RGB), form, **options), 54)
    assert found.rgb.dtype == np.uint8
    assert (found.rgb == RGB).all()
    assert (found.facts.format, found.facts.width, found.facts.height, found.facts.mode) == (form, 9, 6, "RGB")


def test_jpeg_facts() -> None:
    content = encoded(Image.fromarray(RGB), "JPEG", quality=100)
    facts = decode(content, 54).facts
    assert (facts.format, facts.bytes, facts.quantisation) == ("JPEG", len(content), (64, 64))
    assert decode(encoded(Image.fromarray(RGB), "JPEG", quality=50), 54).facts.quantisation[0] > 640
    assert "exif" not in facts.metadata
    exif = Image.Exif()
    exif[271] = "camera"
    assert "exif" in decode(encoded(Image.fromarray(RGB), "JPEG", exif=exif), 54).facts.metadata


def test_grey_and_one_bit() -> None:
    grey = RGB[:, :, 0]
    assert (rgb_of(Image.fromarray(grey), "PNG") == grey[:, :, None]).all()
    bits = Image.fromarray(np.where(grey > 127, 255, 0).astype(np.uint8)).convert("1")
    assert (rgb_of(bits, "PNG")[:, :, 1] == np.where(grey > 127, 255, 0)).all()


def test_palette_and_gif_first_frame() -> None:
    frames = [Image.new("RGB", (4, 3), colour) for colour in ("red", "blue")]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    found = decode(content, 100)
    assert (found.rgb == (255, 0, 0)).all()
    assert found.facts.format == "GIF"
    palette = Image.fromarray(RGB).quantize(8)
    assert (rgb_of(palette, "PNG") == np.asarray(palette.convert("RGB"))).all()


def test_alpha_is_composited_over_white_and_opaque_pixels_stay_exact() -> None:
    alpha = np.full((6, 9, 1), 255, dtype=np.uint8)
    alpha[0, 0], alpha[0, 1] = 0, 51
    found = rgb_of(Image.fromarray(np.concatenate([RGB, alpha], axis=2)), "PNG")
    assert (found[0, 0] == 255).all()
    assert np.abs(found[0, 1].astype(float) - (0.2 * RGB[0, 1] + 0.8 * 255)).max() <= 1
    assert (found[1:] == RGB[1:]).all()
    half = Image.fromarray(np.dstack([RGB[:, :, 0], alpha[:, :, 0]]), "LA")
    assert (rgb_of(half, "PNG")[0, 0] == 255).all()


def test_sixteen_bit_takes_the_upper_byte() -> None:
    deep = np.array([[0, 255, 256, 513, 65535]], dtype=np.uint16)
    for form in ("PNG", "TIFF"):
        assert rgb_of(Image.fromarray(deep), form)[0, :, 2].tolist() == [0, 0, 1, 2, 255]


def test_cmyk() -> None:
    inks = np.array([[[255, 0, 0, 0], [0, 0, 0, 255], [0, 0, 0, 0], [0, 255, 255, 128]]], dtype=np.uint8)
    found = rgb_of(Image.fromarray(inks, "CMYK"), "TIFF")
    assert found[0].tolist() == [[0, 255, 255], [0, 0, 0], [255, 255, 255], [127, 0, 0]]


def test_exif_rotation() -> None:
    exif = Image.Exif()
    exif[274] = 6  # to be turned a quarter clockwise
    found = decode(encoded(Image.fromarray(RGB), "PNG", exif=exif), 54)
    assert (found.rgb == np.rot90(RGB, -1)).all()
    assert (found.facts.width, found.facts.height) == (6, 9)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_applied_as_pillow_does(form: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    content = encoded(Image.fromarray(RGB), form, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    assert (decode(content, 54).rgb == np.asarray(upright)).all()


def exif_entries(*entries: tuple[int, int, int, bytes]) -> bytes:
    """EXIF data of these tags: number, type, count, four bytes."""
    packed = b"".join(struct.pack(">HHL4s", *entry) for entry in entries)
    return b"Exif\0\0MM\0*" + struct.pack(">LH", 8, len(entries)) + packed + bytes(4)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_exif_data_that_cannot_be_read_cost_no_pixels(form: str) -> None:
    turned = (274, 3, 1, b"\0\6\0\0")
    wrong_type = exif_entries(turned, (296, 2, 2, b"2\0\0\0"))  # a unit of resolution in letters
    plain, odd, damaged = (
        encoded(Image.fromarray(RGB), form, exif=exif)
        for exif in (exif_entries(turned), wrong_type, b"Exif\0\0MM\0*\0\0\0\x08\xff")
    )
    with pytest.raises((TypeError, struct.error)):
        ImageOps.exif_transpose(Image.open(io.BytesIO(odd)))
    assert decode(plain, 54).rgb.shape == (9, 6, 3)
    assert (decode(odd, 54).rgb == decode(plain, 54).rgb).all()
    assert (np.rot90(decode(damaged, 54).rgb, -1) == decode(plain, 54).rgb).all()
    assert decode(damaged, 54).facts.metadata == decode(plain, 54).facts.metadata


def with_chunk(png: bytes, name: bytes, data: bytes) -> bytes:
    """The PNG with one more chunk before its pixels."""
    chunk = struct.pack(">L", len(data)) + name + data + struct.pack(">L", zlib.crc32(name + data))
    return png[:33] + chunk + png[33:]


@pytest.mark.parametrize(
    ("name", "before"), [(b"iTXt", b"prompt\0\1\0\0\0"), (b"zTXt", b"prompt\0\0"), (b"iCCP", b"profile\0\0")]
)
def test_metadata_that_grow_beyond_pillow_s_limit_cost_no_pixels(name: bytes, before: bytes) -> None:
    exif = Image.Exif()
    exif[274] = 6
    plain = with_chunk(encoded(Image.fromarray(RGB), "PNG", exif=exif), b"tEXt", b"author\0somebody")
    grown = with_chunk(plain, name, before + zlib.compress(bytes(2**21)))
    with pytest.raises(ValueError, match="Decompressed data too large"):
        Image.open(io.BytesIO(grown))
    found, wanted = decode(grown, 54), decode(plain, 54)
    assert (found.rgb == wanted.rgb).all()
    assert found.facts == replace(wanted.facts, bytes=len(grown))
    assert found.facts.metadata == ("author", "exif")
    with pytest.raises(Unreadable, match="too large"):
        decode(grown, 53)
    with pytest.raises(Unreadable, match="truncated"):
        decode(grown[:-30], 54)


def test_what_cannot_be_read_says_why() -> None:
    png = encoded(Image.fromarray(RGB).resize((200, 200)), "PNG")
    jpeg = encoded(Image.fromarray(RGB).resize((200, 200)), "JPEG")
    webp = encoded(Image.fromarray(RGB).resize((200, 200)), "WEBP")
    broken = bytearray(png)
    broken[45:60] = bytes(15)
    cases = [
        (b"", "empty"),
        (b"hello, I am a text file of some length", "not an image"),
        (png[: len(png) // 2], "truncated"),
        (png[:20], "truncated"),
        (jpeg[: len(jpeg) // 2], "truncated"),
        (webp[: len(webp) // 2], "truncated"),
        (bytes(broken), "corrupt"),
        (encoded(Image.new("L", (201, 200)), "PNG"), "too large"),
        (encoded(Image.new("F", (4, 4)), "TIFF"), "unsupported pixel form F"),
    ]
    for content, reason in cases:
        with pytest.raises(Unreadable) as raised:
            decode(content, 40_000)
        assert raised.value.reason == reason


@pytest.mark.slow
def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    content = encoded(Image.new("1", (20_000, 20_000)), "PNG")
    with pytest.raises(Unreadable, match="too large"):
        decode(content, 50_000_000)


@pytest.mark.slow
def test_pillow_s_limit_stays_as_it_was_and_holds_too(monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "from PIL import Image; before = Image.MAX_IMAGE_PIXELS; import fakeprint.data.scan;"
        "print(before == Image.MAX_IMAGE_PIXELS)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
    content = encoded(Image.new("L", (200, 200)), "PNG")
    for limit in (None, 40_000, 25_000):  # Pillow warns above its limit and refuses above twice as many
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        assert decode(content, 40_000).rgb.shape == (200, 200, 3)
        with pytest.raises(Unreadable, match="too large"):
            decode(content, 39_999)
    for form in ("PNG", "WEBP", "TIFF"):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 19_999)
        with pytest.raises(Unreadable, match="too large"):
            decode(encoded(Image.new("L", (200, 200)), form), 10**6)


@pytest.mark.parametrize("compression", [1, 5])  # none: Pillow's own decoder; LZW: libtiff
def test_a_tiff_tile_larger_than_its_picture_counts(compression: int) -> None:
    def tiled(side: int) -> bytes:
        data = bytes(side * side) if side < 100 else bytes(64)
        tags = {
            256: 8,
            257: 8,
            258: 8,
            259: compression,
            262: 1,
            277: 1,
            322: side,
            323: side,
            324: 200,
            325: len(data),
        }
        entries = b"".join(struct.pack("<HHLL", tag, 4, 1, value) for tag, value in tags.items())
        return (struct.pack("<2sHLH", b"II", 42, 8, len(tags)) + entries + bytes(4)).ljust(200, b"\0") + data

    if compression == 1:
        assert decode(tiled(16), 256).rgb.shape == (8, 8, 3)
    for side, most in ((16, 255), (11_008, 10**6)):
        with pytest.raises(Unreadable, match="too large"):
            decode(tiled(side), most)
