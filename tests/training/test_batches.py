"""From images to batches: order, parts, augmentation, batches prepared ahead."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from fakeprint import params
from fakeprint.augment.drawing import Augmentation
from fakeprint.data.arrays import WholeImages
from fakeprint.data.crops import RandomCrops
from fakeprint.errors import InputError
from fakeprint.training.batches import (
    Batching,
    DeviceBatches,
    balanced_order,
    on_device,
    plain_batches,
    prefetch,
    to_device,
)
from fakeprint.training.images import Images
from tests.samples import DEMO
from tests.training.test_images import enabled, images


def augmentation(flip: float = 0.0) -> Augmentation:
    transforms = params.load(DEMO).train.transforms.model_dump()
    for transform in transforms.values():
        transform["enabled"] = False
    transforms["flip"] = {"enabled": True, "p": flip}
    return Augmentation(params.Transforms.model_validate(transforms), True)


def collected(threads: int, epoch: int, purpose: str = "train/x", batch_size: int = 3) -> list[list[int]]:
    with ThreadPoolExecutor(threads) as pool:
        batches = list(prefetch(Batching(batch_size, augmentation()).tasks(images(), 7, purpose, epoch), pool))
    for pictures, labels in batches:
        assert (pictures == labels[:, None, None, None]).all()  # each image kept its label
    return [labels.tolist() for _, labels in batches]


def test_an_epoch_shuffles_and_leaves_out_a_last_batch_that_is_not_full() -> None:
    batches = collected(1, 1)
    assert [len(batch) for batch in batches] == [3, 3, 3]
    assert len({row for batch in batches for row in batch}) == 9


@pytest.mark.slow
def test_order_depends_on_seed_purpose_and_epoch_alone() -> None:
    assert collected(1, 1) == collected(3, 1)
    assert collected(1, 1) != collected(1, 2)
    assert collected(1, 1) != collected(1, 1, "train/y")
    fives, threes = (np.concatenate(collected(1, 1, batch_size=size)) for size in (5, 3))
    assert fives[:9].tolist() == threes.tolist()


def test_augmentation_is_applied() -> None:
    rows = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    for flip, expected in ((1.0, rows[:, :, ::-1]), (0.0, rows)):
        (task,) = Batching(4, augmentation(flip)).tasks(Images([rows], np.arange(4)), 7, "train/x", 1)
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
    (task,) = Batching(40, augmentation(0.5), balanced=True).tasks(many, 7, "train/x", 1)
    batch, labels = task()
    rare = batch[labels == 1]
    assert len(rare) == 20
    flipped = (rare == pictures[:, :, ::-1]).all((1, 2, 3))
    assert 0 < flipped.sum() < 20


def test_the_parts_of_a_batch_are_the_batch() -> None:
    def batches(part: int = 0, parts: int = 1) -> list[tuple[np.ndarray, np.ndarray]]:
        tasks = Batching(4, augmentation(0.5)).tasks(images(), 7, "train/x", 1, part, parts)
        return [task() for task in tasks]

    for whole, first, second in zip(batches(), batches(0, 2), batches(1, 2), strict=True):
        for place in (0, 1):
            np.testing.assert_array_equal(whole[place][0::2], first[place])
            np.testing.assert_array_equal(whole[place][1::2], second[place])


def test_validation_sees_every_image_in_order() -> None:
    with ThreadPoolExecutor(2) as pool:
        batches = list(prefetch(plain_batches(images(), 4), pool))
    assert [labels.tolist() for _, labels in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_an_error_while_preparing_reaches_the_caller() -> None:
    def broken() -> tuple[np.ndarray, np.ndarray]:
        raise OSError("gone")

    with ThreadPoolExecutor(1) as pool, pytest.raises(OSError, match="gone"):
        list(prefetch([broken], pool))


def test_what_the_network_gets() -> None:
    inputs, labels = to_device((np.full((2, 8, 6, 3), 51, np.uint8), np.array([3, 1])), "cpu")
    assert (inputs.shape, inputs.dtype, labels.tolist()) == ((2, 3, 8, 6), torch.float32, [3, 1])
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(inputs, torch.full((2, 3, 8, 6), 0.2))


def as_arrays(batch: tuple[torch.Tensor, torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
    """What the network gets, in grey levels."""
    return (batch[0] * 255).round().permute(0, 2, 3, 1).numpy(), batch[1].numpy()


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("together", [1, 2, 100])
@pytest.mark.parametrize(("part", "parts", "size"), [(0, 1, 6), (1, 2, 3), (0, 4, 2), (3, 4, 1)])
def test_on_the_device_batches_hold_the_same(
    balanced: bool, together: int, part: int, parts: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fakeprint.training.batches.GROUP_BYTES", together * size * 16 * 16 * 3)
    rng = np.random.default_rng(0)
    pixels = [rng.integers(0, 256, (count, 16, 16, 3), dtype=np.uint8) for count in (13, 7)]
    on_host = Images(pixels, rng.integers(0, 3, 20))
    chosen = enabled("flip", "shift", "jpeg", "blur")
    chosen = chosen.model_copy(update={"flip": chosen.flip.model_copy(update={"p": 0.5})})
    batching = Batching(6, Augmentation(chosen, True), balanced=balanced)
    of_epoch = (7, "train/x", 2, part, parts)
    with ThreadPoolExecutor(2) as pool:
        expected = [as_arrays(batch) for batch in on_device(batching.tasks(on_host, *of_epoch), pool, "cpu")]
        placed = on_host.on("cpu")
        tasks = batching.tasks(placed, *of_epoch)
        got = [as_arrays(batch) for batch in on_device(tasks, pool, "cpu")]
    np.testing.assert_array_equal(placed.pixels.numpy(), np.concatenate(pixels))
    assert len(got) == 3 and isinstance(tasks[0](), DeviceBatches)
    assert len(tasks) == -(-3 // together)
    for first, second in zip(expected, got, strict=True):
        np.testing.assert_array_equal(first[0], second[0])
        np.testing.assert_array_equal(first[1], second[1])


def test_on_the_device_validation_sees_every_image_in_order() -> None:
    with ThreadPoolExecutor(1) as pool:
        given = list(on_device(plain_batches(images().on("cpu"), 4), pool, "cpu"))
    batches = [as_arrays(batch) for batch in given]
    assert [labels.tolist() for _, labels in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert all((pictures == labels[:, None, None, None]).all() for pictures, labels in batches)
    inputs, labels = given[0]
    assert (inputs.shape, inputs.dtype, labels.dtype) == ((4, 3, 8, 8), torch.float32, torch.int64)
    assert inputs.is_contiguous(memory_format=torch.channels_last)


def test_steps_and_too_few_images() -> None:
    batching = Batching(4, augmentation(), accumulate=2)
    assert [batching.steps(count) for count in (7, 8, 15, 16)] == [0, 1, 1, 2]
    batching.require_enough(8)
    with pytest.raises(InputError, match=r"^train\.accumulate: 2 batches of 4 are more than the 7 training images$"):
        batching.require_enough(7)
    with pytest.raises(InputError, match=r"^train\.batch_size: 4 is more than the 3 training images$"):
        batching.require_enough(3)


def cropped_images() -> Images:
    """Six whole images, whose pixels say where they are, and two of the size of a crop."""
    sides = np.array([(9, 12), (8, 8), (20, 9), (8, 30), (12, 12), (5, 9)])
    whole = [np.stack([*np.indices(pair), np.full(pair, number)], axis=2) for number, pair in enumerate(sides)]
    pixels = np.concatenate([image.astype(np.uint8).ravel() for image in whole])
    crops = RandomCrops(WholeImages.of(pixels, sides[:, 0], sides[:, 1]), 8)
    plain = np.full((2, 8, 8, 3), 200, np.uint8)
    return Images([crops, plain], np.arange(8))


def corners(epoch: int, batch_size: int, threads: int = 1) -> list[tuple[int, ...]]:
    """Of each image in the order of an epoch: its label, and the place of its crop."""
    batching = Batching(batch_size, augmentation())
    with ThreadPoolExecutor(threads) as pool:
        batches = list(prefetch(batching.tasks(cropped_images(), 7, "train/x", epoch), pool))
    return [
        (int(label), *crop[0, 0, :2].tolist())
        for crops, labels in batches
        for crop, label in zip(crops, labels, strict=True)
    ]


@pytest.mark.slow
def test_each_epoch_takes_a_crop_at_another_place() -> None:
    first, second = dict_of(corners(1, 2)), dict_of(corners(2, 2))
    assert len(first) == 8 and first != second
    assert first[1] == second[1] == (0, 0)  # as large as a crop
    assert first[6] == (200, 200)
    assert corners(1, 2) == corners(1, 4) == corners(1, 2, threads=3)
    places = {dict_of(corners(epoch, 8))[3] for epoch in range(1, 200)}
    assert places == {(0, left) for left in range(23)}


def dict_of(found: list[tuple[int, ...]]) -> dict[int, tuple[int, ...]]:
    return {label: tuple(place) for label, *place in found}


def test_an_image_that_comes_twice_is_cropped_at_two_places() -> None:
    images = cropped_images()
    twice = Images(images.parts, np.array([0, 0, 0, 1, 0, 0, 0, 0]))
    tasks = Batching(8, augmentation(), balanced=True).tasks(twice, 7, "train/x", 1)
    ((crops, labels),) = [task() for task in tasks]
    places = {tuple(crop[0, 0, :2].tolist()) for crop, label in zip(crops, labels, strict=True) if label == 1}
    assert (labels == 1).sum() == 4 and len(places) > 1


def test_random_crops_need_draws() -> None:
    with pytest.raises(ValueError, match="random crops need draws"):
        cropped_images().take(np.array([0]))
    assert cropped_images().cropped_at_random and not images().cropped_at_random
