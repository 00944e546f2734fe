"""Training images: where they are, and what they look like on average."""

from pathlib import Path

import numpy as np
import pytest

from fakeprint import params
from fakeprint.data.arrays import WholeImages
from fakeprint.data.crops import RandomCrops
from fakeprint.errors import InputError
from fakeprint.training import images as training_images
from fakeprint.training.images import ChosenRows, DeviceImages, Images, placed
from tests.samples import DEMO


def images(first: int = 6, second: int = 4) -> Images:
    """Image i is filled with i, its label is i."""
    count = first + second
    filled = np.arange(count, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8)
    return Images([filled[:first], filled[first:]], np.arange(count))


def enabled(*names: str) -> params.Transforms:
    """The default transforms, these alone on, for every image."""
    transforms = params.load(DEMO).train.transforms.model_dump()
    for name, transform in transforms.items():
        transform |= {"enabled": name in names, "p": 1.0}
    return params.Transforms.model_validate(transforms)


def test_channel_statistics() -> None:
    rng = np.random.default_rng(0)
    parts = [rng.integers(0, 256, (count, 5, 5, 3), dtype=np.uint8) for count in (300, 7)]
    mean, std = Images(parts, np.zeros(307, np.int64)).channel_statistics()
    pixels = np.concatenate(parts) / 255
    np.testing.assert_allclose(mean, pixels.mean((0, 1, 2)))
    np.testing.assert_allclose(std, pixels.std((0, 1, 2)))


def test_channel_statistics_of_whole_images() -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (height, 9, 3), dtype=np.uint8) for height in (5, 30)]
    whole = WholeImages.of(np.concatenate([each.ravel() for each in pictures]), np.array([5, 30]), np.array([9, 9]))
    mean, std = Images([RandomCrops(whole, 4)], np.zeros(2, np.int64)).channel_statistics()
    pixels = np.concatenate([each.reshape(-1, 3) for each in pictures]) / 255
    np.testing.assert_allclose(mean, pixels.mean(0))
    np.testing.assert_allclose(std, pixels.std(0))


def test_crops_stay_on_the_cpu() -> None:
    whole = WholeImages.of(np.zeros(300, np.uint8), np.array([10]), np.array([10]))
    crops = Images([RandomCrops(whole, 8)], np.zeros(1, np.int64))
    held_out = images()
    assert placed(crops, held_out, "auto", [enabled()], "meta") == (crops, held_out)
    with pytest.raises(InputError, match=r"cut only on a CPU; set it to auto or cpu$"):
        placed(crops, images(), "device", [enabled()], "cpu")


def test_mapped_images_larger_than_a_chunk_are_copied_whole(tmp_path: Path) -> None:
    np.save(tmp_path / "many.npy", np.random.default_rng(0).integers(0, 256, (2050, 2, 2, 3), dtype=np.uint8))
    mapped = np.load(tmp_path / "many.npy", mmap_mode="r")
    on_device = Images([mapped, mapped[:3]], np.zeros(2053, np.int64)).on("cpu")
    np.testing.assert_array_equal(on_device.pixels.numpy(), np.concatenate([mapped, mapped[:3]]))


def test_chosen_rows_are_as_a_copy_of_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.save(tmp_path / "many.npy", rng.integers(0, 256, (1100, 2, 2, 3), dtype=np.uint8))
    mapped, rows = np.load(tmp_path / "many.npy", mmap_mode="r"), np.flatnonzero(rng.random(1100) < 0.97)
    chosen = Images([ChosenRows(mapped, rows), mapped[:3]], np.arange(len(rows) + 3))
    copied = Images([mapped[rows], mapped[:3]], chosen.labels)
    assert len(rows) > 1024 and chosen.parts[0].shape == copied.parts[0].shape
    order = rng.permutation(len(chosen))
    np.testing.assert_array_equal(chosen.take(order), copied.take(order))
    assert chosen.channel_statistics() == copied.channel_statistics()
    np.testing.assert_array_equal(chosen.originals().take(np.arange(len(rows))), mapped[rows])
    for augment_on in ("device", "cpu"):
        mine, other = (placed(each, each, augment_on, [enabled("flip")], "cpu")[0] for each in (chosen, copied))
        assert isinstance(mine, DeviceImages) == isinstance(other, DeviceImages) == (augment_on == "device")
        if isinstance(mine, DeviceImages) and isinstance(other, DeviceImages):
            np.testing.assert_array_equal(mine.pixels.numpy(), other.pixels.numpy())


@pytest.mark.slow
def test_where_images_are_augmented(monkeypatch: pytest.MonkeyPatch) -> None:
    # "meta" stands in for a GPU: tensors there have a shape and no memory.
    def on_device(augment_on: str, device: str, *names: str) -> list[bool]:
        both = placed(images(), images(2, 2), augment_on, [enabled(), enabled(*names)], device)
        return [isinstance(each, DeviceImages) for each in both]

    monkeypatch.setattr(training_images, "memory", lambda device: 14 * 8 * 8 * 3 * 2)
    assert on_device("auto", "meta", "flip") == on_device("device", "cpu") == [True, True]
    assert on_device("auto", "cpu") == on_device("cpu", "meta") == on_device("auto", "meta", "webp") == [False, False]
    monkeypatch.setattr(training_images, "memory", lambda device: 14 * 8 * 8 * 3 * 2 - 1)
    assert on_device("auto", "meta", "flip") == [False, False]


def test_why_images_cannot_be_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError) as raised:
        placed(images(), images(), "device", [enabled("flip", "webp")], "cpu")
    assert str(raised.value) == "train.augment_on: webp works only on a CPU; set it to auto or cpu"
    monkeypatch.setattr(training_images, "memory", lambda device: 2**29)
    huge = Images([np.broadcast_to(np.zeros(3, np.uint8), (2**21, 16, 16, 3))], np.zeros(2**21, np.int64))
    with pytest.raises(InputError) as raised:
        placed(huge, images(), "device", [enabled()], "cpu")
    assert str(raised.value) == (
        "train.augment_on: the images take 1.5 GiB, more than 50% of the 0.5 GiB of cpu; set it to auto or cpu"
    )
