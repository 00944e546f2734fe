"""Pictures: what they show, and their size."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from fakeprint.explain import pictures


def decoded(address: str) -> np.ndarray:
    head, _, content = address.partition(",")
    assert head == "data:image/webp;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


def noise(side: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (side, side)).astype(np.float32)


@pytest.mark.parametrize("side", [64, 100, 256])
def test_a_period_is_a_point_of_the_spectrum(side: int) -> None:
    """A pattern that repeats every 4 columns: a quarter of the picture's width from its middle, whatever the size."""
    planted = noise(side) + 2 * np.cos(np.arange(side) * np.pi / 2)[None].astype(np.float32)
    picture = decoded(pictures.spectrum_picture(planted)).astype(int).max(axis=2)
    width = min(side, pictures.TILE)
    assert picture.shape == (width, width)
    middle = width // 2
    around = picture[middle - 1 : middle + 2]
    for column in (middle - width // 4, middle + width // 4):
        assert around[:, column - 1 : column + 2].max() > 240
    assert np.median(picture) < 200


def test_a_residual_is_grey_where_nothing_is_left() -> None:
    flat = np.full((64, 64, 3), 120, np.uint8)
    assert np.abs(pictures.residual(flat)).max() < 0.01
    assert np.abs(decoded(pictures.residual_picture(pictures.residual(flat))).astype(int) - 127).max() <= 2
    wide = np.zeros((400, 300), np.float32)
    wide[200, 150] = 100  # the middle, which is not scaled
    shown = decoded(pictures.residual_picture(wide)).astype(int)[..., 0]
    assert shown.shape == (pictures.SIDE, pictures.SIDE)
    assert np.unravel_index(shown.argmax(), shown.shape) == (56, 56)


def test_a_map_is_transparent_where_it_is_cold() -> None:
    heat = np.zeros((96, 96), np.float32)
    heat[:48] = 1
    layer = decoded(pictures.map_picture(heat))
    assert layer.shape == (pictures.MAP_SIDE, pictures.MAP_SIDE, 4)
    assert layer[:10, :, 3].min() > 180 and layer[14:, :, 3].max() == 0


def test_large_images_are_shrunk_and_keep_their_shape() -> None:
    image = np.random.default_rng(0).integers(0, 256, (300, 600, 3), dtype=np.uint8)
    assert decoded(pictures.picture(image)).shape == (56, 112, 3)
    assert decoded(pictures.thumbnail(image)).shape == (24, 48, 3)
    assert decoded(pictures.picture(image[:50, :60])).shape == (50, 60, 3)


@pytest.mark.parametrize("side", [100, 256])
def test_1250_images_are_below_20_megabytes(side: int) -> None:
    """Of a grainy scene, with a map of noise and three train images each that no other image shares."""
    y, x = np.mgrid[0:side, 0:side]
    scene = 120 + 60 * np.stack([np.sin(x / (5 + c)) * np.cos(y / (9 - c)) for c in range(3)], axis=2)
    image = (scene + np.random.default_rng(0).normal(0, 6, scene.shape)).clip(0, 255).astype(np.uint8)
    rest = pictures.residual(image)
    per_image = [
        *(pictures.picture(image), pictures.residual_picture(rest), pictures.spectrum_picture(rest)),
        pictures.map_picture(np.abs(noise(side)) / 4),
        *[pictures.thumbnail(image)] * 3,
        "x" * 1000,  # numbers and names
    ]
    assert 1250 * sum(map(len, per_image)) < 20e6
