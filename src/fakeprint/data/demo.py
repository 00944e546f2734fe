"""The demo data, a simulation: scenes drawn by one procedure, each passed through one of five simulated decoders.

The decoders leave what the upsampling of real generators leaves (see docs/demo.md); the images come from no generator.
Run from the folder whose params.yaml holds `seed` and `draw`: `python -m fakeprint.data.demo` writes `images/` there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

import cv2
import numpy as np
from joblib import Parallel, delayed
from PIL import Image
from pydantic import Field, model_validator
from ruamel.yaml import YAML

from fakeprint import seeds
from fakeprint.errors import InputError, one_line_errors
from fakeprint.files import written_folder
from fakeprint.params import Block, validated
from fakeprint.progress import track

IMAGES = Path("images")


class Draw(Block):
    """The block `draw` of data/demo/params.yaml."""

    size: Annotated[int, Field(ge=32, le=512, multiple_of=8)]
    train: Annotated[int, Field(ge=5)]
    validation: Annotated[int, Field(ge=5)]
    test: Annotated[int, Field(ge=1)]
    strength: tuple[Annotated[float, Field(ge=0, le=1)], Annotated[float, Field(ge=0, le=1)]]
    habits: Annotated[float, Field(ge=0, le=4)]
    noise: tuple[Annotated[float, Field(ge=0, le=64)], Annotated[float, Field(ge=0, le=64)]]

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        for name, (low, high) in {"strength": self.strength, "noise": self.noise}.items():
            if low > high:
                raise ValueError(f"the lower bound of {name}, {low}, is above its upper bound, {high}")
        return self


class Settings(Block):
    """The whole of data/demo/params.yaml."""

    seed: Annotated[int, Field(ge=0, lt=2**32)]
    draw: Draw


# --- Scenes: float32 (H, W, 3) RGB in [0, 1]. No function here knows of classes.


def scene(size: int, rng: np.random.Generator) -> np.ndarray:
    """One scene, float32 (size, size, 3) RGB in [0, 1]: a landscape, a still life or a town by night.

    Drawn at twice the size and averaged down, so that edges are smooth and no scale has a pattern of its own.
    """
    compose = (_landscape, _landscape, _still_life, _town)[rng.integers(4)]
    canvas = compose(2 * size, rng)
    canvas = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.4, 1.0))
    return np.clip(cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA), 0, 1)


def _colour(rng: np.random.Generator, hue: tuple[float, float], saturation: float, value: float) -> np.ndarray:
    """One RGB colour; hue from a range in degrees, saturation and value jittered around theirs."""
    degrees = rng.uniform(*hue) % 360
    jittered = [
        degrees,
        np.clip(saturation + rng.uniform(-0.15, 0.15), 0, 1),
        np.clip(value + rng.uniform(-0.1, 0.1), 0, 1),
    ]
    return cv2.cvtColor(np.array([[jittered]], np.float32), cv2.COLOR_HSV2RGB)[0, 0]


def _clouds(size: int, rng: np.random.Generator, coarsest: int, stretch: float = 1.0) -> np.ndarray:
    """Fractal noise, float32 (size, size) about 0 with standard deviation near 1: octaves of smooth random grids."""
    total = np.zeros((size, size), np.float32)
    cells, weight = coarsest, 1.0
    while cells < size:
        grid = rng.standard_normal((cells + 2, max(2, round(cells * stretch)) + 2)).astype(np.float32)
        total += weight * cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC)
        cells, weight = 2 * cells, 0.55 * weight
    return total


def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows y and columns x of a unit square, float32 (size, 1) and (1, size)."""
    line = (np.arange(size, dtype=np.float32) + 0.5) / size
    return line[:, None], line[None, :]


def _blend(canvas: np.ndarray, colour: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """`colour` (3,) or (H, W, 3) blended over the canvas by `cover` (H, W), 0–1."""
    return canvas + (colour - canvas) * cover[..., None]


def _span(covered: np.ndarray) -> slice:
    """From the first to the last place where `covered`, bool or float, is not 0."""
    places = np.flatnonzero(covered)
    return slice(places[0], places[-1] + 1) if len(places) else slice(0, 0)


def _landscape(size: int, rng: np.random.Generator) -> np.ndarray:
    y, x = _grid(size)
    top, bottom = _colour(rng, (190, 260), 0.5, 0.7), _colour(rng, (0, 60), 0.35, 0.9)
    canvas = top + (bottom - top) * np.broadcast_to(y, (size, size))[..., None]
    sun = np.exp(-(((x - rng.uniform(0.1, 0.9)) ** 2 + (y - rng.uniform(0.1, 0.45)) ** 2) / rng.uniform(0.001, 0.01)))
    canvas = _blend(canvas, _colour(rng, (30, 60), 0.2, 1.0), 0.9 * sun)
    clouds = np.clip(0.35 * _clouds(size, rng, 3, stretch=0.5) - rng.uniform(-0.1, 0.4), 0, 0.8)
    canvas = _blend(canvas, np.array([1, 0.98, 0.96], np.float32), clouds)
    haze = bottom
    land = _colour(rng, (60, 170), 0.45, 0.35)
    ridges = int(rng.integers(2, 5))
    horizon = rng.uniform(0.35, 0.6)
    for nearness in np.linspace(0.25, 1, ridges):
        crest = horizon + 0.35 * (nearness - 0.25) + 0.06 * _clouds(size, rng, 3)[0]
        cover = np.clip((y - crest[None, :]) * size / 2, 0, 1)
        rough = 1 + 0.16 * nearness * _clouds(size, rng, 8)
        shade = (haze + (land - haze) * nearness) * rough[..., None]
        canvas = _blend(canvas, shade, cover)
    if rng.random() < 0.5:
        canvas = _with_water(canvas, rng)
    return canvas.astype(np.float32)


def _with_water(canvas: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The lower part replaced by a rippled, darkened reflection of what is above it."""
    size = len(canvas)
    shore = int(size * rng.uniform(0.6, 0.8))
    depth = np.arange(size - shore)
    ripple = rng.normal(0, 1, (size - shore, 1)) + 0.6 * _clouds(size, rng, 8, stretch=0.3)[shore:]
    columns = np.clip(np.arange(size)[None, :] + (0.02 * size * ripple).round(), 0, size - 1).astype(int)
    rows = np.clip(shore - 1 - depth, 0, size - 1)[:, None]
    reflected = canvas[rows, columns] * 0.75 + 0.06 * ripple[..., None]
    water = _colour(rng, (180, 230), 0.4, 0.45)
    return np.concatenate([canvas[:shore], reflected + (water - reflected) * 0.35])


def _still_life(size: int, rng: np.random.Generator) -> np.ndarray:
    y, x = _grid(size)
    light = rng.uniform(-0.7, 0.7)
    wall = _colour(rng, (0, 360), 0.25, 0.65) * (1 + 0.05 * _clouds(size, rng, 4)[..., None])
    canvas = wall * (1 - 0.5 * np.abs(x - 0.5 - 0.4 * light) * np.ones_like(y))[..., None]
    edge = rng.uniform(0.5, 0.7)
    grain = _clouds(size, rng, 12, stretch=0.15)
    table = _colour(rng, (15, 45), 0.5, 0.5) * (1 + 0.12 * grain[..., None])
    canvas = _blend(canvas, table, np.broadcast_to(np.clip((y - edge) * size / 2, 0, 1), (size, size)))
    for foot in np.sort(rng.uniform(edge + 0.05, 0.95, rng.integers(2, 6))):
        canvas = _with_ball(canvas, x, y, foot, light, rng)
    return canvas.astype(np.float32)


def _with_ball(
    canvas: np.ndarray, x: np.ndarray, y: np.ndarray, foot: float, light: float, rng: np.random.Generator
) -> np.ndarray:
    """A lit, textured ball or egg standing at height `foot`, with its shadow on the table."""
    size = len(canvas)
    wide, tall = rng.uniform(0.08, 0.2), rng.uniform(0.9, 1.4)
    middle = rng.uniform(0.1, 0.9)
    u, v = (x - middle) / wide, (y - foot + tall * wide) / (tall * wide)
    shadow = np.exp(-2 * (((x - middle + light * wide) / wide) ** 2 + ((y - foot) / (0.3 * wide)) ** 2))
    canvas = canvas * (1 - 0.55 * shadow)[..., None]
    inside = u**2 + v**2
    cover = np.clip((1 - inside) * wide * size / 2, 0, 1)
    depth = np.sqrt(np.clip(1 - inside, 0, 1))
    lit = np.clip(0.6 * light * u - 0.5 * v + 0.65 * depth, 0, 1)
    skin = 1 + 0.1 * _clouds(size, rng, int(rng.integers(6, 20)))
    shade = _colour(rng, (-30, 140), 0.7, 0.85) * ((0.25 + 0.8 * lit) * skin)[..., None]
    shine = np.clip((lit - 0.9) * 6, 0, 0.7)
    return _blend(_blend(canvas, shade, cover), np.ones(3, np.float32), cover * shine)


def _town(size: int, rng: np.random.Generator) -> np.ndarray:
    y, x = _grid(size)
    top, bottom = _colour(rng, (210, 290), 0.55, 0.25), _colour(rng, (-40, 40), 0.5, 0.6)
    canvas = top + (bottom - top) * np.broadcast_to(y, (size, size))[..., None] ** 1.5
    canvas = _blend(canvas, bottom, np.clip(0.15 * _clouds(size, rng, 3, stretch=0.5), 0, 0.5))
    moon = np.clip((rng.uniform(0.03, 0.07) - np.hypot(x - rng.uniform(0.1, 0.9), y - 0.15)) * size, 0, 1)
    canvas = _blend(canvas, np.array([1, 0.97, 0.85], np.float32), moon)
    for nearness in (0.4, 0.7, 1.0):
        left = -0.05
        facade = _colour(rng, (200, 300), 0.3, 0.22)
        while left < 1:
            width, roof = rng.uniform(0.08, 0.22), rng.uniform(0.15, 0.5) + 0.25 * nearness
            across = np.clip((x - left) * size, 0, 1) * np.clip((left + width - x) * size, 0, 1)
            down = np.clip((y - roof) * size, 0, 1)
            rows, columns = _span(down), _span(across)  # the rest of the canvas stays as it is
            wall = (bottom + (facade - bottom) * nearness) * rng.uniform(0.7, 1.2)
            front = wall + _windows(x[:, columns] - left, y[rows] - roof, nearness, rng)
            canvas[rows, columns] = _blend(canvas[rows, columns], front, across[:, columns] * down[rows])
            left += width * rng.uniform(0.85, 1.3)
    return (canvas * (1 + 0.05 * _clouds(size, rng, 16)[..., None])).astype(np.float32)


def _windows(x: np.ndarray, y: np.ndarray, nearness: float, rng: np.random.Generator) -> np.ndarray:
    """Light, float (H, W, 3), of a façade's windows, some dark; x and y from its upper left corner."""
    pitch = rng.uniform(0.03, 0.05)
    column, row = np.floor(x / pitch).astype(int), np.floor(y / pitch).astype(int)
    pane = (np.abs(x / pitch - column - 0.5) < 0.28) * (np.abs(y / pitch - row - 0.5) < 0.3) * (y > 0.3 * pitch)
    burning = rng.random((64, 64)) < rng.uniform(0.2, 0.6)
    lamp = _colour(rng, (25, 55), 0.45, 0.9)
    return 0.8 * nearness * lamp * (pane * burning[row % 64, column % 64])[..., None]


# --- Decoders: scene in, scene with fingerprint out, float32 (H, W, 3).


@dataclass(frozen=True)
class Weights:
    """What a decoder has learned: fixed for all its images, drawn once from the seed.

    taps (3, 3, 3): a kernel a colour channel, near zero mean. phases (2, 2, 3): gains of the four upsampling phases.
    codebook (8, 8): a quantisation step a DCT coefficient.
    """

    taps: np.ndarray
    phases: np.ndarray
    codebook: np.ndarray


def weights(seed: int, decoder: str) -> Weights:
    """The weights of one simulated decoder."""
    rng = seeds.generator(seed, f"demo/weights/{decoder}")
    taps = rng.normal(0, 1, (3, 3, 3))
    phases = rng.normal(0, 1, (2, 2, 3))
    frequency = np.add.outer(np.arange(8), np.arange(8))
    codebook = (0.02 + 0.012 * frequency) * rng.uniform(0.8, 1.25, (8, 8))
    return Weights(taps - taps.mean((0, 1)), phases - phases.mean((0, 1)), codebook.astype(np.float32))


def _halved(image: np.ndarray) -> np.ndarray:
    return cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


def _zeros_between(image: np.ndarray) -> np.ndarray:
    """Twice the size, zeros between the pixels: the first half of every transposed convolution."""
    wide = np.zeros((2 * image.shape[0], 2 * image.shape[1], 3), np.float32)
    wide[::2, ::2] = image
    return wide


def _filtered(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    return cv2.filter2D(image, cv2.CV_32F, kernel, borderType=cv2.BORDER_REFLECT_101)


def _tiled(phases: np.ndarray, like: np.ndarray) -> np.ndarray:
    return np.tile(phases, (like.shape[0] // 2, like.shape[1] // 2, 1)).astype(np.float32)


def _transposed_conv(image: np.ndarray, learned: Weights, rng: np.random.Generator) -> np.ndarray:
    """Zeros between pixels, then 3×3 taps: overlaps are uneven, so the four phases get unequal gains (checkerboard)."""
    base = _halved(image)
    linear = np.outer([0.5, 1, 0.5], [0.5, 1, 0.5]).astype(np.float32)
    smooth = _filtered(_zeros_between(base), linear)
    detail = image - smooth
    gains = 1 + 0.035 * _tiled(learned.phases, image)
    return (smooth + 0.75 * detail) * gains


def _nearest_conv(image: np.ndarray, learned: Weights, rng: np.random.Generator) -> np.ndarray:
    """Each pixel repeated 2×2, then a 3×3 convolution: weak staircases, a dip of power at the Nyquist frequency."""
    base = _halved(image)
    repeated = np.repeat(np.repeat(base, 2, 0), 2, 1)
    kernel = np.outer([0.22, 0.56, 0.22], [0.22, 0.56, 0.22]).astype(np.float32)
    smooth = _filtered(repeated, kernel)
    detail = _filtered(image - repeated, np.outer([0.25, 0.5, 0.25], [0.25, 0.5, 0.25]).astype(np.float32))
    return smooth + 0.9 * detail


def _fir_upsampling(image: np.ndarray, learned: Weights, rng: np.random.Generator) -> np.ndarray:
    """Zeros between pixels, then the binomial [1, 3, 3, 1] filter; detail comes back in part as noise."""
    base = _halved(image)
    line = np.array([1, 3, 3, 1], np.float32) / 4
    smooth = _filtered(_zeros_between(base), np.outer(line, line))
    detail = image - smooth
    noise = rng.standard_normal(image.shape[:2]).astype(np.float32)[..., None] * np.abs(detail)
    return smooth + 0.7 * detail + 0.25 * noise


def _subpixel_shuffle(image: np.ndarray, learned: Weights, rng: np.random.Generator) -> np.ndarray:
    """Each of the four phases of a 2×2 cell comes from its own channel: own offset and own small filter a phase."""
    out = image + 0.012 * _tiled(learned.phases, image)
    mixed = np.stack([_filtered(image[..., c], 0.06 * learned.taps[..., c]) for c in range(3)], -1)
    mask = np.zeros((2, 2, 3))
    mask[0, 1] = mask[1, 0] = 1
    return out + mixed * _tiled(mask, image)


def _block_latent(image: np.ndarray, learned: Weights, rng: np.random.Generator) -> np.ndarray:
    """Each 8×8 block coded by a coarse codebook, then decoded with a smoothing over the blocks' borders."""
    out = np.empty_like(image)
    for row in range(0, image.shape[0], 8):
        for column in range(0, image.shape[1], 8):
            for channel in range(3):
                block = cv2.dct(np.ascontiguousarray(image[row : row + 8, column : column + 8, channel]))
                out[row : row + 8, column : column + 8, channel] = cv2.idct(
                    np.round(block / learned.codebook) * learned.codebook
                )
    return 0.5 * out + 0.5 * cv2.GaussianBlur(out, (0, 0), 0.8)


Decoder = Callable[[np.ndarray, Weights, np.random.Generator], np.ndarray]

DECODERS: dict[str, Decoder] = {
    "block_latent": _block_latent,
    "fir_upsampling": _fir_upsampling,
    "nearest_conv": _nearest_conv,
    "subpixel_shuffle": _subpixel_shuffle,
    "transposed_conv": _transposed_conv,
}

# Contrast about mid-grey, saturation, and gains of red, green, blue that a class's images tend to.
HABITS: dict[str, tuple[float, float, tuple[float, float, float]]] = {
    "block_latent": (0.90, 0.94, (1.03, 1.00, 0.96)),
    "fir_upsampling": (1.06, 1.06, (1.02, 0.99, 1.00)),
    "nearest_conv": (1.00, 1.00, (1.00, 1.00, 1.00)),
    "subpixel_shuffle": (1.10, 0.92, (0.97, 1.00, 1.04)),
    "transposed_conv": (0.96, 1.12, (0.99, 1.03, 0.98)),
}


def _with_habit(image: np.ndarray, decoder: str, amount: float) -> np.ndarray:
    contrast, saturation, gains = HABITS[decoder]
    grey = image.mean(-1, keepdims=True)
    image = grey + (image - grey) * (1 + amount * (saturation - 1))
    image = 0.5 + (image - 0.5) * (1 + amount * (contrast - 1))
    return image * (1 + amount * (np.array(gains, np.float32) - 1))


def decoded(image: np.ndarray, decoder: str, learned: Weights, draw: Draw, rng: np.random.Generator) -> np.ndarray:
    """Pass a scene, float32 (H, W, 3) in [0, 1], through a decoder. Returns uint8 (H, W, 3)."""
    strength = rng.uniform(*draw.strength)
    out = image + strength * (DECODERS[decoder](image, learned, rng) - image)
    out = _with_habit(out, decoder, draw.habits * rng.uniform(0.4, 1.6))
    out = out * 255 + rng.normal(0, rng.uniform(*draw.noise), image.shape)
    return np.clip(np.round(out), 0, 255).astype(np.uint8)


# --- The source: csv layout, as the competition's.


def labels(seed: int, split: str, count: int) -> list[str]:
    """The decoder of each image of a split: as evenly as `count` allows, in an order drawn from the seed."""
    names = np.resize(list(DECODERS), count)
    shuffled: list[str] = seeds.generator(seed, f"demo/labels/{split}").permutation(names).tolist()
    return shuffled


def image(seed: int, draw: Draw, number: int, decoder: str) -> np.ndarray:
    """Image `number` of the demo, uint8 (size, size, 3). The scene depends only on seed and number."""
    drawn = scene(draw.size, seeds.generator(seed, "demo/scene", number))
    return decoded(drawn, decoder, weights(seed, decoder), draw, seeds.generator(seed, "demo/decoder", number))


def _save(path: Path, seed: int, draw: Draw, number: int, decoder: str) -> None:
    # Stored, not deflated: otherwise the file length would separate smooth decoders from rough ones.
    Image.fromarray(image(seed, draw, number, decoder)).save(path, compress_level=0)


def write(settings: Settings, folder: Path) -> None:
    """Write train/, validation/ and test/ with their csv files, and sample_submission.csv, into `folder`."""
    import pandas as pd  # here: the processes that draw need none of it

    draw = settings.draw
    jobs: list[tuple[Path, int, str]] = []
    for split, count in {"train": draw.train, "validation": draw.validation, "test": draw.test}.items():
        (folder / split).mkdir()
        numbers = range(len(jobs), len(jobs) + count)
        table = pd.DataFrame({"image_id": [f"{n:05d}" for n in numbers], "label": labels(settings.seed, split, count)})
        jobs += [(folder / split / f"{n:05d}.png", n, label) for n, label in zip(numbers, table["label"], strict=True)]
        if split == "test":
            table = table[["image_id"]]
            table.assign(label=next(iter(DECODERS))).to_csv(folder / "sample_submission.csv", index=False)
        table.to_csv(folder / f"{split}.csv", index=False)
    saved = Parallel(n_jobs=-1, return_as="generator")(
        delayed(_save)(path, settings.seed, draw, number, label) for path, number, label in jobs
    )
    for _ in track(saved, "drawing the demo", total=len(jobs)):
        pass


@one_line_errors
def main() -> None:
    """Draw the demo that the params.yaml of this folder describes into images/."""
    path = Path("params.yaml")
    if not path.exists():
        raise InputError("params.yaml is missing: run this in data/demo")
    content = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    settings = validated(Settings, content, prefix="", name="data/demo/params.yaml")
    with written_folder(IMAGES) as folder:
        write(settings, folder)


if __name__ == "__main__":
    from fakeprint.data import demo  # under its own name, by which worker processes find its functions

    demo.main()
