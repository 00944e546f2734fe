"""The likely encoder of a JPEG, by its quantisation tables.

The tables of ITU-T T.81, annex K, scaled to a quality as libjpeg does it, are those of libjpeg, libjpeg-turbo, Pillow,
OpenCV and of all that build on them. Cameras, phones and Adobe's programs have tables of their own, which are not
listed here. Neither says whether the picture is real.
"""

import numpy as np

from fakeprint.evidence.findings import Finding, detail

LUMA = """
    16 11 10 16 24 40 51 61  12 12 14 19 26 58 60 55  14 13 16 24 40 57 69 56  14 17 22 29 51 87 80 62
    18 22 37 56 68 109 103 77  24 35 55 64 81 104 113 92  49 64 78 87 103 121 120 101  72 92 95 98 112 100 103 99
"""
CHROMA = """
    17 18 24 47 99 99 99 99  18 21 26 66 99 99 99 99  24 26 56 99 99 99 99 99  47 66 99 99 99 99 99 99
    99 99 99 99 99 99 99 99  99 99 99 99 99 99 99 99  99 99 99 99 99 99 99 99  99 99 99 99 99 99 99 99
"""


def scaled(table: str, quality: int) -> tuple[int, ...]:
    """A table of annex K at a quality of 1 to 100: 64 integers from 1 to 255, row by row."""
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    values = (np.array(table.split(), dtype=int) * percent + 50) // 100
    return tuple(int(value) for value in values.clip(1, 255))


def qualities(table: str, values: tuple[int, ...]) -> list[int]:
    """The qualities at which annex K's table is this one."""
    return [quality for quality in range(1, 101) if scaled(table, quality) == values]


def find(tables: dict[int, tuple[int, ...]]) -> list[Finding]:
    """One finding for a JPEG, none where there are no tables."""
    if not tables:
        return []
    first, *more = (tables[number] for number in sorted(tables))
    others = list(dict.fromkeys(more))  # Cb and Cr may have a table each, with the same values
    luma = qualities(LUMA, first)
    chroma = [qualities(CHROMA, table) for table in others]
    if not luma or not all(chroma) or len(others) > 1:
        claim, values = "unknown table: the encoder is not one that is listed here", detail(tables=len(tables))
    elif not chroma or set(luma) & set(chroma[0]):
        both = luma if not chroma else sorted(set(luma) & set(chroma[0]))
        claim, values = f"the standard tables at quality {both[-1]}, as libjpeg, Pillow and OpenCV write them", {}
    else:
        claim = f"the standard tables at quality {luma[-1]} for brightness and {chroma[0][-1]} for colour"
        values = {}
    return [Finding("jpeg_tables", claim, "declared", values)]
