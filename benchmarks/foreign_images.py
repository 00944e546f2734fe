"""What a model says about images that it was never meant for: photographs, other generators, pictures drawn here.

`fakeprint predict` answers all of them, as a user would get them. For each source the table shows the largest
probability (quantiles, and the share of images above four levels) and the most frequent class; for a model that may
decline, also how many images were answered label, unsure or unknown. A detector that was right to be sure of nothing
here would have a low largest probability, or few answers.

The drawn sources: noise (half of it white, half smoothed), flat colours, gradients, words on a plain background, and
the scenes of the demo before any decoder.

`python -m benchmarks.foreign_images MODEL [NAME=FOLDER …] [--drawn 100] [--side 256] [--json FILE]`
MODEL: a folder laid out as models/champion, or the name of a model that comes with Fakeprint. A NAME may be given with
several folders.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from rich.table import Table
from scipy.ndimage import gaussian_filter

from benchmarks.table import console
from fakeprint.data.demo import scene
from fakeprint.named_models import SHIPPED

SEED = 7
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
LEVELS = (0.5, 0.8, 0.9, 0.95)
WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "while", "seven", "wizards", "box"]

Picture = np.ndarray  # uint8 (side, side, 3)


@dataclass(frozen=True)
class Row:
    """The answers for one source.

    quantiles: of the largest probability, by `QUANTILES`. above: share of images whose largest probability is above
    each of `LEVELS`. top: the most frequent class, and top_share its share of the images. answers: number of images by
    answer, None where predict gives no answers.
    """

    source: str
    images: int
    quantiles: dict[str, float]
    above: dict[str, float]
    top: str
    top_share: float
    answers: dict[str, int] | None


def noise(random: np.random.Generator, side: int) -> Picture:
    """White or smoothed noise with a standard deviation of 50 grey levels."""
    values = random.normal(size=(side, side, 3))
    if random.random() < 0.5:
        values = gaussian_filter(values, (2, 2, 0))
    return (128 + 50 * values / values.std()).clip(0, 255).astype(np.uint8)


def flat(random: np.random.Generator, side: int) -> Picture:
    """One colour."""
    return np.full((side, side, 3), random.integers(0, 256, 3), np.uint8)


def gradient(random: np.random.Generator, side: int) -> Picture:
    """From one colour to another, in any direction."""
    first, second = random.uniform(0, 255, (2, 3))
    angle = random.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0:side, 0:side] / (side - 1)
    along = np.cos(angle) * x + np.sin(angle) * y
    along = (along - along.min()) / np.ptp(along)
    return (first + along[..., None] * (second - first)).astype(np.uint8)


def text(random: np.random.Generator, side: int) -> Picture:
    """Lines of words in a dark colour on a light background."""
    light, dark = random.integers(180, 256, 3), random.integers(0, 80, 3)
    picture = Image.new("RGB", (side, side), tuple(light.tolist()))
    draw, size = ImageDraw.Draw(picture), int(random.integers(side // 20, side // 8))
    for top in range(size // 2, side, size + size // 3):
        line = " ".join(random.choice(WORDS, 12))
        draw.text((size // 2, top), line, fill=tuple(dark.tolist()), font=ImageFont.load_default(size))
    return np.asarray(picture)


def demo_scene(random: np.random.Generator, side: int) -> Picture:
    """A scene of the demo as it is drawn, which no decoder has seen."""
    return np.round(255 * scene(side, random)).clip(0, 255).astype(np.uint8)


DRAWN: dict[str, Callable[[np.random.Generator, int], Picture]] = {
    "noise": noise,
    "flat colours": flat,
    "gradients": gradient,
    "text": text,
    "demo scenes": demo_scene,
}


def draw_all(root: Path, count: int, side: int) -> dict[Path, str]:
    """Folders of `count` PNG files each, with the names of the drawn sources."""
    folders: dict[Path, str] = {}
    for name, draw in DRAWN.items():
        folder = root / name.replace(" ", "_")
        folder.mkdir()
        random = np.random.default_rng([SEED, len(folders)])
        for number in range(count):
            Image.fromarray(draw(random, side)).save(folder / f"{number:04}.png")
        folders[folder] = name
    return folders


def predictions(model: Path, folders: list[Path], work: Path) -> list[dict[str, Any]]:
    """What `fakeprint predict --json` prints for each readable image; names of unreadable ones go to stderr."""
    (work / "models").mkdir()
    (work / "models/champion").symlink_to(model.resolve())
    command = [sys.executable, "-m", "fakeprint", "predict", *map(str, folders), "--json"]
    done = subprocess.run(
        [*command, "--models-folder", str(work / "models")], stdout=subprocess.PIPE, text=True, check=False
    )
    if not done.stdout:
        raise SystemExit(done.returncode)
    found: list[dict[str, Any]] = json.loads(done.stdout)["images"]
    return found


def row_of(source: str, found: list[dict[str, Any]]) -> Row:
    """The row of one source, of at least one image."""
    largest = np.array([max(each["probabilities"].values()) for each in found])
    (top, count), *_ = Counter(each["name"] for each in found).most_common()
    answers = Counter(each["answer"] for each in found) if "answer" in found[0] else None
    return Row(
        source=source,
        images=len(found),
        quantiles={f"{level:g}": float(np.quantile(largest, level)) for level in QUANTILES},
        above={f"{level:g}": float((largest > level).mean()) for level in LEVELS},
        top=top,
        top_share=count / len(found),
        answers=None if answers is None else dict(answers),
    )


def print_table(rows: list[Row], model: str) -> None:
    """Print the rows: quantiles as they are, shares in percent."""
    declines = any(row.answers for row in rows)
    table = Table("source", title=f"{model}: largest probability on foreign images", title_justify="left")
    headings = ["images", *(f"{100 * level:g} %" for level in QUANTILES), *(f"> {level:g}" for level in LEVELS)]
    for heading in [*headings, "most frequent", *(["label", "unsure", "unknown"] if declines else [])]:
        table.add_column(heading, justify="right")
    for row in rows:
        quantiles = [f"{value:.2f}" for value in row.quantiles.values()]
        shares = [f"{100 * value:.0f} %" for value in row.above.values()]
        answers = [str((row.answers or {}).get(kind, 0)) for kind in ("label", "unsure", "unknown")] if declines else []
        table.add_row(
            row.source, str(row.images), *quantiles, *shares, f"{row.top} ({100 * row.top_share:.0f} %)", *answers
        )
    console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL", help="a folder with champion.json, or a shipped model's name")
    parser.add_argument("sources", nargs="*", metavar="NAME=FOLDER", help="images, with folders below")
    parser.add_argument("--drawn", type=int, default=100, metavar="N", help="pictures per drawn source; 0 = none")
    parser.add_argument("--side", type=int, default=256, metavar="PIXELS", help="of the drawn pictures (default: 256)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows to FILE")
    options = parser.parse_args()
    model = Path(options.model) if Path(options.model).exists() else SHIPPED / options.model
    if not (model / "champion.json").exists():
        raise SystemExit(f"{options.model} is neither a folder with champion.json nor the name of a shipped model")
    folders: dict[Path, str] = {}
    for given in options.sources:
        name, _, folder = given.rpartition("=")
        folders[Path(folder)] = name or Path(folder).name
    with tempfile.TemporaryDirectory() as work:
        if options.drawn:
            folders |= draw_all(Path(work), options.drawn, options.side)
        found = predictions(model, list(folders), Path(work))
    by_source: dict[str, list[dict[str, Any]]] = {name: [] for name in folders.values()}
    for each in found:
        by_source[next(folders[folder] for folder in Path(each["image"]).parents if folder in folders)].append(each)
    rows = [row_of(name, each) for name, each in by_source.items() if each]
    print_table(rows, options.model)
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")


if __name__ == "__main__":
    main()
