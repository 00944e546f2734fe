"""Stable Diffusion's watermark: how often it is found where it is not, and where it is.

Photographs of a folder and generated noise, as they are and with the mark; marked ones after JPEG too, with full colour
(4:4:4) and with halved colour (4:2:0). Photographs smaller than the mark's least size are left out. A mosaic is a
picture of 4 × 4 photographs: as large as what Stable Diffusion XL makes, where the folder's have 256×256 pixels.

`python -m benchmarks.watermark FOLDER [--noise 1000] [--json FILE]`
"""

import argparse
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from rich.table import Table
from scipy.ndimage import gaussian_filter
from scipy.stats import binomtest

from benchmarks.table import console
from fakeprint.evidence.watermark import ENOUGH, is_large_enough, matching_bits
from tests.evidence.marking import marked  # the only writer of the mark, kept out of the package

SEED = 7
SUBSAMPLING = {"4:4:4": 0, "4:2:0": 2}


@dataclass(frozen=True)
class Row:
    """Matching bits of one kind of picture, and how many of them count as found, with a 95 % interval of the share."""

    pictures: str
    treatment: str
    number: int
    least: int
    mean: float
    deviation: float
    most: int
    found: int
    interval: tuple[float, float]


def compressed(rgb: np.ndarray, quality: int, colour: str) -> np.ndarray:
    """The picture, uint8 (H, W, 3), after Pillow's JPEG."""
    buffer = BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=quality, subsampling=SUBSAMPLING[colour])
    return np.asarray(Image.open(buffer))


def photographs(folder: Path) -> list[np.ndarray]:
    """Those that are large enough, uint8 (H, W, 3)."""
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp"))
    pictures = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    return [picture for picture in pictures if is_large_enough(picture)]


def mosaics(pictures: list[np.ndarray]) -> Iterator[np.ndarray]:
    """16 pictures of one size each, side by side."""
    same = [picture for picture in pictures if picture.shape == pictures[0].shape]
    for start in range(0, len(same) - 15, 16):
        rows = (np.hstack(same[start + 4 * row : start + 4 * row + 4]) for row in range(4))
        yield np.vstack(list(rows))


def noise(number: int) -> Iterator[np.ndarray]:
    """Half of it white, half of it smoothed, with a standard deviation of 50 grey levels around 128; 256×256."""
    random = np.random.default_rng(SEED)
    for count in range(number):
        values = random.normal(size=(256, 256, 3))
        if count % 2:
            values = gaussian_filter(values, (2, 2, 0))
        yield (128 + 50 * values / values.std()).clip(0, 255).astype(np.uint8)


def rows_of(name: str, pictures: Iterable[np.ndarray], with_mark: bool) -> list[Row]:
    """The pictures as they are; `with_mark`, with the mark and after JPEG too."""
    bits: dict[str, list[int]] = {}
    for picture in pictures:
        bits.setdefault("as it is", []).append(matching_bits(picture))
        if with_mark:
            with_it = marked(picture)
            bits.setdefault("marked", []).append(matching_bits(with_it))
            for quality, colour in ((90, "4:4:4"), (75, "4:4:4"), (95, "4:2:0"), (90, "4:2:0")):
                matching = matching_bits(compressed(with_it, quality, colour))
                bits.setdefault(f"marked, JPEG {quality} {colour}", []).append(matching)
    return [_row(name, treatment, np.array(values)) for treatment, values in bits.items()]


def _row(name: str, treatment: str, bits: np.ndarray) -> Row:
    found = int((bits >= ENOUGH).sum())
    low, high = binomtest(found, len(bits)).proportion_ci(method="exact")
    return Row(
        pictures=name,
        treatment=treatment,
        number=len(bits),
        least=int(bits.min()),
        mean=float(bits.mean()),
        deviation=float(bits.std(ddof=1)),
        most=int(bits.max()),
        found=found,
        interval=(float(low), float(high)),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="photographs, with folders below")
    parser.add_argument("--noise", type=int, default=1000, metavar="N", help="number of noise pictures (default: 1000)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows to FILE")
    options = parser.parse_args()
    pictures = photographs(options.folder)
    if len(pictures) < 32:
        raise SystemExit(f"{options.folder} holds {len(pictures)} photographs that are large enough; 32 are needed")
    rows = [
        *rows_of("photographs", pictures, with_mark=True),
        *rows_of("mosaics", mosaics(pictures), with_mark=True),
        *rows_of("noise", noise(options.noise), with_mark=False),
    ]
    table = Table(
        "pictures", "treatment", "number", "matching bits: least", "mean", "sd", "most", "found", "95 % interval"
    )
    for row in rows:
        low, high = (f"{100 * share:.1f}" for share in row.interval)
        figures = (row.number, row.least, f"{row.mean:.1f}", f"{row.deviation:.1f}", row.most, row.found)
        table.add_row(row.pictures, row.treatment, *map(str, figures), f"{low}–{high} %")
    console().print(table)
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")


if __name__ == "__main__":
    main()
