"""Crops of whole images: where they are, what is in them, and how their probabilities become those of the image."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fakeprint.data.arrays import Dataset, WholeImages, images_per_batch, load_split, save_index
from fakeprint.data.crops import (
    Cropping,
    Crops,
    EvenCrops,
    RandomCrops,
    averaged,
    cells,
    covering,
    crop_rows,
    cropping_of,
    cut,
    detail,
    even_crops,
    grid,
    mirrored,
    random_crops,
)
from fakeprint.params import Predict

SHAPES = [(5, 7), (4, 4), (3, 9), (8, 4)]


def whole(folder: Path) -> tuple[WholeImages, list[np.ndarray]]:
    """Images of the sizes above, mapped from a file, and the same in memory."""
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in SHAPES]
    np.save(folder / "train.npy", np.concatenate([image.ravel() for image in images]))
    sides = np.array(SHAPES)
    return WholeImages.of(np.load(folder / "train.npy", mmap_mode="r"), sides[:, 0], sides[:, 1]), images


@pytest.mark.parametrize(
    ("sides", "most", "expected"),
    [
        ((256, 256), 9, (2, 2)),  # no more than cover the image
        ((256, 300), 9, (2, 3)),
        ((1024, 1024), 9, (3, 3)),
        ((1024, 1024), 5, (2, 2)),  # five in a row would leave more of the image out
        ((1024, 1024), 7, (2, 3)),
        ((1024, 512), 7, (3, 2)),
        ((128, 1024), 3, (1, 3)),
        ((1024, 1024), 1, (1, 1)),
        ((100, 100), 4, (1, 1)),
    ],
)
def test_cells(sides: tuple[int, int], most: int, expected: tuple[int, int]) -> None:
    assert cells(*sides, 128, most) == expected


@pytest.mark.parametrize(
    ("sides", "most", "expected"),
    [
        ((256, 256), 4, [[0, 0], [0, 128], [128, 0], [128, 128]]),
        ((256, 256), 1, [[64, 64]]),
        ((200, 128), 4, [[0, 0], [72, 0]]),  # they overlap, and reach the borders
        ((1024, 1024), 4, [[192, 192], [192, 704], [704, 192], [704, 704]]),  # in the middle of each quarter
        ((128, 128), 9, [[0, 0]]),
        ((100, 300), 9, [[0, 0], [0, 86], [0, 172]]),  # of the image mirrored to 128 rows
    ],
)
def test_grid(sides: tuple[int, int], most: int, expected: list[list[int]]) -> None:
    assert grid(*sides, 128, most).tolist() == expected


@pytest.mark.parametrize("sides", [(130, 700), (999, 1001), (64, 64), (10, 200)])
def test_a_covering_grid_leaves_no_pixel_out(sides: tuple[int, int]) -> None:
    seen = np.zeros([max(64, side) for side in sides], dtype=bool)
    for top, left in covering(*sides, 64):
        assert top >= 0 and left >= 0
        seen[top : top + 64, left : left + 64] = True
    assert seen.all()


def test_small_images_are_mirrored_around_their_middle() -> None:
    row = np.arange(3, dtype=np.uint8)
    image = np.stack([np.tile(row, (4, 1))] * 3, axis=2)
    assert mirrored(image, 6)[0, :, 0].tolist() == [1, 0, 1, 2, 1, 0]
    assert mirrored(image, 6).shape == (6, 6, 3)
    assert mirrored(image[:1, :1], 5).shape == (5, 5, 3)  # one pixel
    assert mirrored(image, 3) is image
    assert mirrored(image, 4).shape == (4, 4, 3)
    assert (mirrored(image, 4)[:, :3] == image).all()


def test_cropping_takes_evenly_or_by_detail() -> None:
    image = np.full((8, 12, 3), 100, dtype=np.uint8)
    image[5, 9] += 60  # only the crop at (4, 8) has any detail
    image[1, 1] += 30  # and less of it the one at (0, 0)
    assert Cropping(4, 6).of(image).shape == (6, 4, 4, 3)
    by_detail = Cropping(4, 2, "detail").of(image)
    assert (by_detail == cut(image, np.array([[0, 0], [4, 8]]), 4)).all()  # in reading order
    assert (Cropping(4, 1, "detail").of(image) == image[None, 4:8, 8:12]).all()
    assert (Cropping(4, 1, "even").of(image) == image[None, 2:6, 4:8]).all()
    assert Cropping(4, 3, "detail").of(image[:3, :2]).shape == (1, 4, 4, 3)


def test_detail_is_the_energy_of_the_laplacian() -> None:
    crop = np.zeros((5, 5, 3), dtype=np.uint8)
    crop[2, 2, 0] = 10
    assert detail(crop) == 40**2 + 4 * 10**2
    assert detail(np.full((5, 5, 3), 255, np.uint8)) == 0
    ramp = np.broadcast_to(np.arange(5, dtype=np.uint8)[:, None, None], (5, 5, 3))
    assert detail(ramp) == 0


def test_the_mean_of_logarithms_normalised() -> None:
    probabilities = np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8], [0.0, 1.0]])
    found = averaged(probabilities, np.array([2, 1, 1]))
    odds = np.sqrt(0.9 / 0.1 * 0.5 / 0.5)
    np.testing.assert_allclose(found[0], [odds / (1 + odds), 1 / (1 + odds)])
    np.testing.assert_allclose(found[1], [0.2, 0.8])
    np.testing.assert_allclose(found[2] * (1 + 1e-6), [1e-6, 1])
    np.testing.assert_allclose(found.sum(axis=1), 1)
    logits = np.random.default_rng(0).normal(0, 3, (4, 5))
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = np.exp(logits.mean(axis=0)) / np.exp(logits.mean(axis=0)).sum()
    np.testing.assert_allclose(averaged(softmax, np.array([4]))[0], expected, rtol=1e-4)
    assert averaged(probabilities, None) is probabilities
    assert averaged(np.zeros((0, 2)), np.array([], dtype=np.int64)).shape == (0, 2)


def test_whole_images_are_read_one_by_one(tmp_path: Path) -> None:
    images, expected = whole(tmp_path)
    assert len(images) == 4
    for found in (list(images), images[:], [images[np.int64(row)] for row in range(4)], list(images.reopened())):
        assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))
    some = images[np.array([3, 0])]
    assert np.array_equal(some[0], expected[3]) and np.array_equal(some[1], expected[0])
    with pytest.raises(IndexError):
        images[4]


def test_even_crops_are_read_as_an_array(tmp_path: Path) -> None:
    images, expected = whole(tmp_path)
    crops = even_crops(images, 4, 4)
    assert isinstance(crops, EvenCrops)
    all_at_once = np.concatenate([Cropping(4, 4).of(image) for image in expected])
    assert crops.shape == all_at_once.shape and len(crops) == len(all_at_once)
    assert crops.rows.tolist() == [0] * 4 + [1] + [2] * 3 + [3] * 2
    assert np.array_equal(crops[:], all_at_once)
    assert np.array_equal(crops[3:7], all_at_once[3:7])
    assert np.array_equal(crops[np.array([8, 0, 5])], all_at_once[[8, 0, 5]])
    array = np.zeros((3, 4, 4, 3), np.uint8)
    assert even_crops(array, 4, 4) is array and random_crops(array, 4) is array


def test_random_crops_reach_every_place_equally(tmp_path: Path) -> None:
    images, expected = whole(tmp_path)
    crops = random_crops(images, 4)
    assert isinstance(crops, RandomCrops) and crops.shape == (4, 4, 4, 3)
    draws = np.array([[0.0, 0.0], [0.999, 0.999], [0.5, 0.25]])
    first, last, between = crops.at(np.zeros(3, np.int64), draws)
    assert np.array_equal(first, expected[0][:4, :4])
    assert np.array_equal(last, expected[0][1:, 3:])
    assert np.array_equal(between, expected[0][1:5, 1:5])
    (small,) = crops.at(np.array([2]), np.array([[0.7, 0.999]]))
    assert np.array_equal(small, mirrored(expected[2], 4)[:, 5:])


def test_the_index_knows_the_image_of_each_crop(tmp_path: Path) -> None:
    images, expected = whole(tmp_path)
    rows = pd.DataFrame({"image_id": list("abcd"), "label": ["x", "y", "x", "y"], "group": range(4)})
    rows = rows.assign(generator=None, height=images.heights, width=images.widths)
    save_index("train", rows, ["x", "y"], tmp_path, whole=True)
    split = load_split("train", tmp_path)
    assert isinstance(split.images, WholeImages)
    assert all(np.array_equal(one, other) for one, other in zip(split.images, expected, strict=True))
    index = pd.read_parquet(tmp_path / "train.parquet")
    assert crop_rows(index, 4, 4).tolist() == EvenCrops(images, 4, 4).rows.tolist()
    assert crop_rows(index.drop(columns=["height", "width"]), 4, 4).tolist() == [0, 1, 2, 3]


def test_only_native_models_cut_images() -> None:
    squashed = Dataset(["a"], ["a"], 8, "squash", 100)
    assert cropping_of(squashed, Predict()) is None and "small" not in squashed.as_json()
    native = Dataset(["a"], ["a"], 8, "native", 100, "refuse")
    assert cropping_of(native, Predict(crops=5, crop_choice="detail")) == Cropping(8, 5, "detail")
    assert Dataset(**native.as_json()) == native
    assert native.refuses(7, 100) and not native.refuses(8, 8)


def test_crops_of_no_images() -> None:
    empty = Crops.of([], Cropping(4, 2))
    assert len(empty) == 0 and empty.pixels.shape == (0, 4, 4, 3)


def test_few_large_images_are_held_together() -> None:
    assert images_per_batch([1024], [1024]) == 5  # of 3 MiB each, in 16 MiB
    assert images_per_batch([10, 10_000], [10, 10_000]) == 1
    assert images_per_batch([], []) > 1000
