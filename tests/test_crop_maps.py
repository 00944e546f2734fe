"""Maps of what a model answers at each place of an image: which crops count where, and the files of the command."""

import argparse
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fakeprint.commands import predict
from fakeprint.crop_maps import CropMap, crop_map, map_writer
from fakeprint.data.arrays import Dataset
from fakeprint.data.crops import Cropping, Crops, averaged, overlapping
from fakeprint.errors import InputError
from fakeprint.predict import LoadedModel

NATIVE = Dataset(["0", "1"], ["real", "fake"], 4, "native", 10**6, "mirror")


def bright(crops: Crops) -> np.ndarray:
    """Class 1 as far as the crop is bright."""
    share = crops.pixels.mean((1, 2, 3)) / 255
    return averaged(np.stack([1 - share, share], axis=1), crops.counts)


MODEL = LoadedModel("bright", NATIVE, bright, Cropping(4, 2))


@pytest.mark.parametrize(
    ("sides", "most", "expected"),
    [
        ((4, 8), 100, [[0, 0], [0, 2], [0, 4]]),
        ((4, 4), 100, [[0, 0]]),
        ((3, 7), 100, [[0, 0], [0, 2], [0, 3]]),
        ((4, 8), 2, [[0, 0], [0, 4]]),  # three would be too many
    ],
)
def test_overlapping_crops(sides: tuple[int, int], most: int, expected: list[list[int]]) -> None:
    assert overlapping(*sides, 4, most).tolist() == expected


def test_a_place_has_the_mean_of_the_crops_that_it_is_in() -> None:
    image = np.zeros((4, 8, 3), dtype=np.uint8)
    image[:, 4:] = 204
    found = crop_map(MODEL, image)
    np.testing.assert_allclose(found.probabilities[:, 1], [1e-6, 0.4, 0.8], atol=1e-9)
    raster = found.raster(8)
    assert raster.shape == (4, 8, 2)
    both = averaged(found.probabilities, np.array([1, 2]))
    np.testing.assert_allclose(raster[0, :2, 1], 1e-6, atol=1e-9)
    np.testing.assert_allclose(raster[3, 2:4], np.repeat(averaged(found.probabilities[:2], np.array([2])), 2, axis=0))
    np.testing.assert_allclose(raster[0, 4:6], np.repeat(both[1:], 2, axis=0))
    np.testing.assert_allclose(raster[0, 6:, 1], 0.8)
    np.testing.assert_allclose(raster.sum(axis=2), 1)
    assert found.raster(2).shape == (1, 2, 2)


def test_every_place_of_a_larger_image_is_in_a_crop() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (37, 23, 3), dtype=np.uint8)
    found = crop_map(MODEL, image)
    assert isinstance(found, CropMap) and len(found.places) == 18 * 11
    assert np.isfinite(found.raster(37)).all()
    assert crop_map(MODEL, image[:2, :9]).image.shape == (4, 9, 3)


@pytest.mark.slow
def test_pictures_are_named_as_the_images(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    files = [tmp_path / "one.png", tmp_path / "deep/one.jpg", tmp_path / "two.png"]
    for number, file in enumerate(files):
        Image.new("RGB", (20 + 9 * number, 16), (200, 200, 200)).save(file)
    write = map_writer(MODEL, tmp_path / "maps")
    written = [write(file, np.array([0.2, 0.8])) for file in files]
    assert [file.name for file in written] == ["one.png", "one_2.png", "two.png"]
    pictures = [np.asarray(Image.open(file).convert("RGB")) for file in written]
    assert all(min(picture.shape[:2]) > 100 for picture in pictures)
    again = map_writer(MODEL, tmp_path / "again")(files[0], np.array([0.2, 0.8]))
    assert again.read_bytes() == written[0].read_bytes()


def test_what_cannot_be_drawn_is_one_line(tmp_path: Path) -> None:
    whole = LoadedModel("lda", Dataset(["0"], ["real"], 4, "squash", 10**6), bright)
    with pytest.raises(InputError) as raised:
        map_writer(whole, tmp_path)
    assert str(raised.value) == (
        "--map: lda takes images as a whole; a map needs a model that was trained with prepare.resize: native"
    )
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError) as raised:
        map_writer(MODEL, tmp_path / "file")
    assert str(raised.value) == f"--map: {tmp_path / 'file'} is a file; name a folder"


def test_the_command_says_where_the_map_is(tmp_path: Path) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    none = predict._maps(argparse.Namespace(map=None), MODEL)
    assert none(tmp_path / "a.png", np.array([1.0, 0.0])) == {}
    drawn = predict._maps(argparse.Namespace(map=tmp_path / "maps"), MODEL)
    assert drawn(tmp_path / "a.png", np.array([1.0, 0.0])) == {"map": str(tmp_path / "maps/a.png")}
    assert Image.open(tmp_path / "maps/a.png").width > 100
