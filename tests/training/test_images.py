"""The way of the training images: order, parts, batches prepared ahead."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from fakeprint import params
from fakeprint.errors import InputError
from fakeprint.training import images as training_images
from fakeprint.training.images import (
    Augmentation,
    BatchThere,
    Images,
    ImagesThere,
    ahead,
    balanced_order,
    memory,
    placed,
    plain_batches,
    to_device,
    training_batches,
)


def images(first: int = 6, second: int = 4) -> Images:
    """Image i is filled with i, its label is i."""
    count = first + second
    filled = np.arange(count, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8)
    return Images([filled[:first], filled[first:]], np.arange(count))


def augmentation(flip: float = 0.0) -> Augmentation:
    transforms = params.load().train.transforms.model_dump()
    for transform in transforms.values():
        transform["enabled"] = False
    transforms["flip"] = {"enabled": True, "p": flip}
    return Augmentation(params.Transforms.model_validate(transforms), True)


def collected(threads: int, epoch: int, purpose: str = "train/x", batch_size: int = 3) -> list[list[int]]:
    with ThreadPoolExecutor(threads) as pool:
        batches = list(ahead(training_batches(images(), augmentation(), batch_size, 7, purpose, epoch), pool))
    for pictures, labels in batches:
        assert (pictures == labels[:, None, None, None]).all()  # each image kept its label
    return [labels.tolist() for _, labels in batches]


def test_an_epoch_shuffles_and_leaves_out_what_fills_no_batch() -> None:
    batches = collected(1, 1)
    assert [len(batch) for batch in batches] == [3, 3, 3]
    assert len({row for batch in batches for row in batch}) == 9


def test_order_depends_on_seed_purpose_and_epoch_alone() -> None:
    assert collected(1, 1) == collected(3, 1)
    assert collected(1, 1) != collected(1, 2)
    assert collected(1, 1) != collected(1, 1, "train/y")
    fives, threes = (np.concatenate(collected(1, 1, batch_size=size)) for size in (5, 3))
    assert fives[:9].tolist() == threes.tolist()


def test_augmentation_is_applied() -> None:
    rows = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    for flip, expected in ((1.0, rows[:, :, ::-1]), (0.0, rows)):
        (task,) = training_batches(Images([rows], np.arange(4)), augmentation(flip), 4, 7, "train/x", 1)
        pictures, labels = task()
        np.testing.assert_array_equal(pictures, expected[labels])


def test_balanced_sampling_shows_each_class_equally_often() -> None:
    labels = np.array([0] * 20 + [1] * 3 + [2] * 7)
    order = balanced_order(labels, np.random.default_rng(0))
    assert np.bincount(labels[order]).tolist() == [10, 10, 10]
    times = np.bincount(order, minlength=30)
    assert times[:20].max() == 1  # ten of the twenty
    assert sorted(times[20:23]) == [3, 3, 4] and set(times[23:]) == {1, 2}
    assert not np.array_equal(order, balanced_order(labels, np.random.default_rng(1)))


def test_an_image_that_comes_twice_is_augmented_anew() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3), dtype=np.uint8)
    many = Images([np.concatenate([np.zeros((39, 8, 8, 3), np.uint8), pictures])], np.array([0] * 39 + [1]))
    (task,) = training_batches(many, augmentation(0.5), 40, 7, "train/x", 1, balanced=True)
    batch, labels = task()
    rare = batch[labels == 1]
    assert len(rare) == 20
    flipped = (rare == pictures[:, :, ::-1]).all((1, 2, 3))
    assert 0 < flipped.sum() < 20


def test_parts_of_a_batch_make_it_up() -> None:
    def batches(part: int = 0, parts: int = 1) -> list[tuple[np.ndarray, np.ndarray]]:
        return [
            task() for task in training_batches(images(), augmentation(0.5), 4, 7, "train/x", 1, False, part, parts)
        ]

    for whole, first, second in zip(batches(), batches(0, 2), batches(1, 2), strict=True):
        for place in (0, 1):
            np.testing.assert_array_equal(whole[place][0::2], first[place])
            np.testing.assert_array_equal(whole[place][1::2], second[place])


def test_validation_sees_every_image_in_order() -> None:
    with ThreadPoolExecutor(2) as pool:
        batches = list(ahead(plain_batches(images(), 4), pool))
    assert [labels.tolist() for _, labels in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_an_error_while_preparing_reaches_the_caller() -> None:
    def broken() -> tuple[np.ndarray, np.ndarray]:
        raise OSError("gone")

    with ThreadPoolExecutor(1) as pool, pytest.raises(OSError, match="gone"):
        list(ahead([broken], pool))


def test_what_the_network_gets() -> None:
    inputs, labels = to_device((np.full((2, 8, 6, 3), 51, np.uint8), np.array([3, 1])), "cpu")
    assert (inputs.shape, inputs.dtype, labels.tolist()) == ((2, 3, 8, 6), torch.float32, [3, 1])
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(inputs, torch.full((2, 3, 8, 6), 0.2))


def test_channel_statistics() -> None:
    rng = np.random.default_rng(0)
    parts = [rng.integers(0, 256, (count, 5, 5, 3), dtype=np.uint8) for count in (300, 7)]
    mean, std = Images(parts, np.zeros(307, np.int64)).channel_statistics()
    together = np.concatenate(parts) / 255
    np.testing.assert_allclose(mean, together.mean((0, 1, 2)))
    np.testing.assert_allclose(std, together.std((0, 1, 2)))


def train_settings(augment_on: str, *enabled: str) -> params.Train:
    """The defaults, these transforms alone on, for every image."""
    train = params.load().train.model_dump()
    for name, transform in train["transforms"].items():
        transform |= {"enabled": name in enabled, "p": 1.0}
    return params.Train.model_validate({**train, "augment_on": augment_on})


def on_device(given: Images, *enabled: str) -> ImagesThere:
    there, _ = placed(given, images(), [train_settings("device", *enabled)], "cpu")
    assert isinstance(there, ImagesThere)
    return there


def as_arrays(batch: tuple[torch.Tensor, torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
    """What the network gets, in grey levels."""
    return (batch[0] * 255).round().permute(0, 2, 3, 1).numpy(), batch[1].numpy()


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize(("part", "parts"), [(0, 1), (1, 2)])
def test_on_the_device_batches_hold_the_same(balanced: bool, part: int, parts: int) -> None:
    rng = np.random.default_rng(0)
    pixels = [rng.integers(0, 256, (count, 16, 16, 3), dtype=np.uint8) for count in (13, 7)]
    here = Images(pixels, rng.integers(0, 3, 20))
    train = train_settings("device", "flip", "shift", "jpeg", "blur")
    transforms = train.transforms.model_copy(update={"flip": train.transforms.flip.model_copy(update={"p": 0.5})})
    rest = (Augmentation(transforms, True), 6, 7, "train/x", 2, balanced, part, parts)
    with ThreadPoolExecutor(2) as pool:
        expected = [as_arrays(to_device(batch, "cpu")) for batch in ahead(training_batches(here, *rest), pool)]
        tasks = training_batches(on_device(here), *rest)
        got = [as_arrays(to_device(batch, "cpu")) for batch in ahead(tasks, pool)]
    assert len(got) == 3 and isinstance(tasks[0](), BatchThere)
    for first, second in zip(expected, got, strict=True):
        np.testing.assert_array_equal(first[0], second[0])
        np.testing.assert_array_equal(first[1], second[1])


def test_on_the_device_validation_sees_every_image_in_order() -> None:
    batches = [as_arrays(to_device(task(), "cpu")) for task in plain_batches(on_device(images()), 4)]
    assert [labels.tolist() for _, labels in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert all((pictures == labels[:, None, None, None]).all() for pictures, labels in batches)
    inputs, labels = to_device(plain_batches(on_device(images()), 4)[0](), "cpu")
    assert (inputs.shape, inputs.dtype, labels.dtype) == ((4, 3, 8, 8), torch.float32, torch.int64)
    assert inputs.is_contiguous(memory_format=torch.channels_last)


def test_mapped_images_larger_than_a_piece_lie_on_the_device_whole(tmp_path: Path) -> None:
    np.save(tmp_path / "many.npy", np.random.default_rng(0).integers(0, 256, (2050, 2, 2, 3), dtype=np.uint8))
    mapped = np.load(tmp_path / "many.npy", mmap_mode="r")
    there = Images([mapped, mapped[:3]], np.zeros(2053, np.int64)).on("cpu")
    np.testing.assert_array_equal(there.pixels.numpy(), np.concatenate([mapped, mapped[:3]]))


def test_where_images_are_augmented(monkeypatch: pytest.MonkeyPatch) -> None:
    # "meta" stands in for a GPU: tensors there have a shape and no memory.
    def there(augment_on: str, device: str, *enabled: str) -> list[bool]:
        both = placed(images(), images(2, 2), [train_settings(augment_on), train_settings("auto", *enabled)], device)
        return [isinstance(each, ImagesThere) for each in both]

    monkeypatch.setattr(training_images, "memory", lambda device: 14 * 8 * 8 * 3 * 2)
    assert there("auto", "meta", "flip") == there("device", "cpu") == [True, True]
    assert there("auto", "cpu") == there("cpu", "meta") == there("auto", "meta", "webp") == [False, False]
    monkeypatch.setattr(training_images, "memory", lambda device: 14 * 8 * 8 * 3 * 2 - 1)
    assert there("auto", "meta", "flip") == [False, False]


def test_what_keeps_images_from_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError) as raised:
        on_device(images(), "flip", "webp")
    assert str(raised.value) == "train.augment_on: webp is done on a CPU alone; set it to auto or cpu"
    monkeypatch.setattr(training_images, "memory", lambda device: 2**29)
    huge = Images([np.broadcast_to(np.zeros(3, np.uint8), (2**21, 16, 16, 3))], np.zeros(2**21, np.int64))
    with pytest.raises(InputError) as raised:
        on_device(huge)
    assert str(raised.value) == (
        "train.augment_on: the images take 1.5 GiB, more than 50% of the 0.5 GiB that cpu has; set it to auto or cpu"
    )


def test_a_cpu_has_memory() -> None:
    assert memory("cpu") > 2**28
