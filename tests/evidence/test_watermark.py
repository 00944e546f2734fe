"""Stable Diffusion's watermark: written by an implementation of its own, read by ours."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter
from sklearn.datasets import load_sample_images

from fakeprint.evidence import watermark
from tests.evidence.marking import MESSAGE, marked

PHOTOGRAPHS = {"temple": 0, "flower": 1}


@pytest.fixture(params=PHOTOGRAPHS)
def photograph(request: pytest.FixtureRequest) -> np.ndarray:
    """uint8 (427, 640, 3), which scikit-learn brings along."""
    return load_sample_images().images[PHOTOGRAPHS[request.param]]


def test_a_marked_photograph_is_found(photograph: np.ndarray) -> None:
    (found,) = watermark.find(marked(photograph))
    assert (found.kind, found.strength, found.detail) == ("sd_watermark", "watermark", {"bits": "48 of 48"})


def test_it_is_found_after_jpeg_90_with_full_colour(photograph: np.ndarray) -> None:
    buffer = BytesIO()
    Image.fromarray(marked(photograph)).save(buffer, "JPEG", quality=90, subsampling="4:4:4")
    assert len(watermark.find(np.asarray(Image.open(buffer)))) == 1


def test_any_message_is_read_as_it_was_written(photograph: np.ndarray) -> None:
    message = np.random.default_rng(3).integers(0, 2, 48).tolist()
    assert watermark.decoded_bits(marked(photograph, message)).tolist() == message
    assert watermark.find(marked(photograph, message)) == []


@pytest.mark.parametrize(("wrong", "number"), [(4, 1), (5, 0)])
def test_44_bits_are_enough(photograph: np.ndarray, wrong: int, number: int) -> None:
    message = [bit ^ (place < wrong) for place, bit in enumerate(MESSAGE)]
    assert len(watermark.find(marked(photograph, message))) == number


@pytest.mark.slow
def test_nothing_is_found_in_what_has_no_mark(photograph: np.ndarray) -> None:
    random = np.random.default_rng(1)
    white = [random.integers(0, 256, (256, 256, 3), dtype=np.uint8) for _ in range(20)]
    smooth = [
        (128 + 900 * gaussian_filter(random.normal(size=(256, 256, 3)), (3, 3, 0))).clip(0, 255).astype(np.uint8)
        for _ in range(20)
    ]
    ramp = np.linspace(0, 255, 256).astype(np.uint8)
    flat = [np.full((256, 300, 3), value, np.uint8) for value in (0, 90, 255)]
    ramps = [np.stack([*np.meshgrid(ramp, ramp), np.full((256, 256), 9, np.uint8)], axis=-1)]
    for picture in (photograph, *white, *smooth, *flat, *ramps):
        assert watermark.find(picture) == []


@pytest.mark.parametrize(("height", "width"), [(255, 256), (1, 70_000), (7, 20_000), (16, 16)])
def test_a_picture_that_its_writer_would_not_mark(height: int, width: int) -> None:
    picture = np.zeros((height, width, 3), np.uint8)
    assert not watermark.is_large_enough(picture)
    assert watermark.find(picture) == []


def test_a_side_that_is_no_multiple_of_eight(photograph: np.ndarray) -> None:
    assert len(watermark.find(marked(photograph[:421, :637]))) == 1
