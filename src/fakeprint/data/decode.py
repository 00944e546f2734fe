"""Bytes to RGB, by one rule for every kind of image file; the only place that decodes images.

The rules (docs/data.md gives the reasons):

- first frame or page of GIF, animated WebP and PNG, and TIFF;
- grey and 1-bit: the grey value in all three channels; palette: its colours;
- alpha: composited over white, as a viewer on a page shows it; opaque pixels keep their exact values;
- 16 bits a sample: the upper 8 bits (x >> 8), no stretching;
- CMYK and YCCK: (255 − C)(255 − K) / 255 and so on; YCbCr: ITU-R BT.601, as JPEG has it; no colour profile is applied;
- EXIF orientation: applied. What cannot be read of the metadata is left out, and the pixels are read without it.
"""

import contextlib
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BytesIO

import numpy as np
from PIL import ExifTags, Image

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
EXTENSIONS = frozenset(
    {".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif"}
)
SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"BM", b"II*\0", b"MM\0*", b"GIF8")
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # what each EXIF orientation asks for
SUBSAMPLINGS = {
    "1x1": "grey",
    "1x1 1x1 1x1": "4:4:4",
    "2x1 1x1 1x1": "4:2:2",
    "2x2 1x1 1x1": "4:2:0",
    "1x2 1x1 1x1": "4:4:0",
    "4x1 1x1 1x1": "4:1:1",
}


class Unreadable(ValueError):
    """The bytes cannot become an image. `reason` is short: empty, not an image, truncated, corrupt, too large, …"""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts about the file that are independent of the picture.

    format: PNG, JPEG, WEBP, BMP, TIFF or GIF. bytes: the file's length. width, height: pixels, after EXIF rotation.
    mode: Pillow's name of the stored pixel form (RGB, L, P, RGBA, I;16, CMYK, …).
    quantisation: sums of the first and second JPEG quantisation table, 0 where there is none.
    metadata: sorted names of other contents of the container (exif, icc_profile, dpi, text keys, …).
    chroma: of a JPEG, how its colours are subsampled (4:4:4, 4:2:0, …; other layers as HxV of each); '' elsewhere.
    """

    format: str
    bytes: int
    width: int
    height: int
    mode: str
    quantisation: tuple[int, int]
    metadata: tuple[str, ...]
    chroma: str


@dataclass(frozen=True)
class Decoded:
    """An image, uint8 (H, W, 3) RGB, and its container facts."""

    rgb: np.ndarray
    facts: Facts


_decoding, _filters = threading.Lock(), contextlib.ExitStack()
_threads_decoding = 0


@contextlib.contextmanager
def without_warnings() -> Iterator[None]:
    """Ignore warnings inside the context.

    Python's filters are the process's, and two threads that save and restore them in turn can leave the wrong ones
    behind. So the first thread that enters saves them, and the last one that leaves restores them.
    """
    global _threads_decoding
    with _decoding:
        if not _threads_decoding:
            _filters.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
        _threads_decoding += 1
    try:
        yield
    finally:
        with _decoding:
            _threads_decoding -= 1
            if not _threads_decoding:
                _filters.close()


def longest_file(max_pixels: int) -> int:
    """Bytes of the longest file worth reading: no image is longer than 8 bytes per pixel and a generous header."""
    return 8 * max_pixels + 2**24


def decode(content: bytes, max_pixels: int) -> Decoded:
    """Decode an image file.

    Args:
        content: the whole file.
        max_pixels: width × height above which the image is refused before its pixels are decoded. Pillow's own limit,
            twice `Image.MAX_IMAGE_PIXELS` (178,956,970 unless the process sets another), applies too.

    Raises:
        Unreadable: with the reason in a few words.
    """
    if not content:
        raise Unreadable("empty")
    try:
        return _decoded(content, max_pixels)
    except Unreadable:
        # Pillow refuses a PNG for compressed metadata that grow beyond its limits, though the pixels do not need them.
        bare = _without_compressed_metadata(content)
        if len(bare) == len(content):
            raise
    decoded = _decoded(bare, max_pixels)
    return replace(decoded, facts=replace(decoded.facts, bytes=len(content)))


def _decoded(content: bytes, max_pixels: int) -> Decoded:
    with without_warnings():  # Pillow's remarks on odd metadata
        image = _opened(content)
        mode = image.mode
        try:
            if max(image.width * image.height, _tile_pixels(image)) > max_pixels:
                raise Unreadable("too large")
            image.load()
            metadata = tuple(sorted(str(key) for key in image.info))
            rgb = _rgb(_upright(image))
        except Unreadable:
            raise
        except Image.DecompressionBombError:
            raise Unreadable("too large") from None
        except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, EOFError, …
            raise Unreadable(_damage(content, error)) from None
    tables = getattr(image, "quantization", None) or {}
    sums = [sum(tables[key]) for key in sorted(tables)[:2]]
    facts = Facts(
        format="JPEG" if image.format == "MPO" else str(image.format),
        bytes=len(content),
        width=rgb.shape[1],
        height=rgb.shape[0],
        mode=mode,
        quantisation=(*sums, *[0] * (2 - len(sums))),
        metadata=metadata,
        chroma=_chroma(image),
    )
    return Decoded(rgb, facts)


def _chroma(image: Image.Image) -> str:
    """From the layers that Pillow notes of a JPEG: component, horizontal and vertical sampling factor, table."""
    factors = [f"{layer[1]}x{layer[2]}" for layer in getattr(image, "layer", None) or ()]
    return SUBSAMPLINGS.get(" ".join(factors), " ".join(factors))


def _opened(content: bytes) -> Image.Image:
    try:
        return Image.open(BytesIO(content), formats=FORMATS)
    except Image.DecompressionBombError:
        raise Unreadable("too large") from None
    except Exception as error:
        known = content.startswith(SIGNATURES)
        raise Unreadable(_damage(content, error) if known else "not an image") from None


def _upright(image: Image.Image) -> Image.Image:
    """The image turned as its EXIF orientation says; as it is where that cannot be read.

    `ImageOps.exif_transpose` also writes the EXIF data anew, and fails where they have values of unexpected types.
    """
    try:
        turn = TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # struct.error, SyntaxError, TypeError, ValueError, … in damaged EXIF data
        turn = None
    return image if turn is None else image.transpose(turn)


def _without_compressed_metadata(content: bytes) -> bytes:
    """A PNG without its compressed texts and colour profile, the chunks zTXt, iTXt and iCCP; other content as it is."""
    if not content.startswith(PNG_SIGNATURE):
        return content
    kept, start = [PNG_SIGNATURE], len(PNG_SIGNATURE)
    while start < len(content):
        length = int.from_bytes(content[start : start + 4], "big")  # of its data, without itself, name and checksum
        end = start + 12 + length
        name, keyword_and_flag = content[start + 4 : start + 8], content[start + 8 : min(end, start + 8 + 81)]
        compressed = name == b"iTXt" and keyword_and_flag.partition(b"\0")[2][:1] == b"\1"
        if name not in (b"zTXt", b"iCCP") and not compressed:
            kept.append(content[start:end])
        start = end
    return b"".join(kept)


def _tile_pixels(image: Image.Image) -> int:
    """Pixels of one tile of a TIFF: it is decoded whole, and may be larger than the picture."""
    tags = getattr(image, "tag_v2", {})
    return int(tags.get(322, 0)) * int(tags.get(323, 0))


def _damage(content: bytes, error: Exception) -> str:
    """`truncated` where the decoder or the container's own length says so, `corrupt` elsewhere."""
    riff_short = content.startswith(b"RIFF") and len(content) < 8 + int.from_bytes(content[4:8], "little")
    cut_short = any(word in str(error).lower() for word in ("truncated", "end of", "not enough", "too short"))
    return "truncated" if riff_short or cut_short or len(content) < 32 else "corrupt"


def _rgb(image: Image.Image) -> np.ndarray:
    """Pixels as uint8 (H, W, 3) by the rules above. Raises Unreadable for 32-bit samples and LAB."""
    if image.mode.startswith("I;16"):
        grey = (np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode in ("I", "F", "LAB"):
        raise Unreadable(f"unsupported pixel form {image.mode}")
    if image.has_transparency_data:
        above = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", above.size, "white"), above)
    if image.mode != "RGB":
        image = image.convert("RGB")
    return np.asarray(image)
