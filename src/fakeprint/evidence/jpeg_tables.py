"""The likely encoder of a JPEG, by its quantisation tables.

The tables of ITU-T T.81, annex K, scaled to a quality as libjpeg does it, are those of libjpeg, libjpeg-turbo, Pillow,
OpenCV and of all that build on them. Cameras, phones and Adobe's programs have tables of their own, which are not
listed here. Neither says whether the picture is real.
"""

from functools import cache
from io import BytesIO

from PIL import Image

from fakeprint.evidence.findings import Finding, detail

Table = tuple[int, ...]  # 64 integers from 1 to 255, row by row


@cache
def standard_tables() -> dict[int, tuple[Table, Table]]:
    """The tables for brightness and for colour at each quality from 1 to 100, as Pillow writes them."""
    tables = {}
    for quality in range(1, 101):
        file = BytesIO()
        Image.new("RGB", (8, 8)).save(file, "JPEG", quality=quality)
        luma, chroma = Image.open(file).quantization.values()  # type: ignore[attr-defined]  # of JPEG files
        tables[quality] = (tuple(luma), tuple(chroma))
    return tables


def qualities(part: int, values: Table) -> list[int]:
    """The qualities at which the standard table for brightness (part 0) or colour (part 1) is this one."""
    return [quality for quality, tables in standard_tables().items() if tables[part] == values]


def find(tables: dict[int, tuple[int, ...]]) -> list[Finding]:
    """One finding for a JPEG, none where there are no tables."""
    if not tables:
        return []
    first, *more = (tables[number] for number in sorted(tables))
    others = list(dict.fromkeys(more))  # Cb and Cr may have a table each, with the same values
    luma = qualities(0, first)
    chroma = [qualities(1, table) for table in others]
    if not luma or not all(chroma) or len(others) > 1:
        claim, values = "unknown table: the encoder is not one that is listed here", detail(tables=len(tables))
    elif not chroma or set(luma) & set(chroma[0]):
        both = luma if not chroma else sorted(set(luma) & set(chroma[0]))
        claim, values = f"the standard tables at quality {both[-1]}, as libjpeg, Pillow and OpenCV write them", {}
    else:
        claim = f"the standard tables at quality {luma[-1]} for brightness and {chroma[0][-1]} for colour"
        values = {}
    return [Finding("jpeg_tables", claim, "declared", values)]
