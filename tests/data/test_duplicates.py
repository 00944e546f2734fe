from collections.abc import Callable

import cv2
import imagehash
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fakeprint.data import duplicates
from fakeprint.data.duplicates import duplicate_figures, duplicates_table, find_duplicates, grouped
from fakeprint.data.scan import perceptual_hash, scan_image


def found_in(pictures: list[np.ndarray], bits: int = 4) -> set[tuple[int, int, bool]]:
    scans = [scan_image(cv2.imencode(".png", picture[:, :, ::-1])[1].tobytes(), 0, 10**6) for picture in pictures]
    pairs = find_duplicates(
        np.array([scan.pixels for scan in scans], dtype="V16"),
        np.frombuffer(b"".join(scan.phash for scan in scans), dtype=np.uint8).reshape(-1, 8),
        np.stack([scan.thumbnail for scan in scans]),
        bits,
    )
    return set(zip(pairs.first.tolist(), pairs.second.tolist(), pairs.exact.tolist(), strict=True))


def test_the_hash_is_imagehash_phash(draw: Callable[..., np.ndarray]) -> None:
    for number in range(30):
        picture = Image.fromarray(draw(number, 20 + 3 * number))
        assert perceptual_hash(picture) == np.packbits(imagehash.phash(picture).hash).tobytes()


def test_planted_duplicates_are_found(draw: Callable[..., np.ndarray]) -> None:
    pictures = [draw(number, 64) for number in range(40)]
    jpeg = cv2.imdecode(cv2.imencode(".jpg", pictures[3], [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_COLOR)
    smaller = cv2.resize(pictures[7], (48, 48), interpolation=cv2.INTER_AREA)
    brighter = np.clip(pictures[9].astype(int) + 6, 0, 255).astype(np.uint8)
    planted = [*pictures, pictures[5], jpeg, smaller, brighter]
    assert found_in(planted) == {(5, 40, True), (3, 41, False), (7, 42, False), (9, 43, False)}


def test_flat_and_dark_pictures_are_no_duplicates_of_each_other() -> None:
    flat = [np.full((32, 32, 3), (value, 128, 255 - value), dtype=np.uint8) for value in range(0, 256, 5)]
    stars = []
    for number in range(30):
        dark = np.zeros((32, 32, 3), dtype=np.uint8)
        dark[number, (7 * number) % 32] = 255
        stars.append(dark)
    assert found_in(flat) == set()
    black, nearly = np.zeros((32, 32, 3), dtype=np.uint8), np.full((32, 32, 3), (1, 0, 1), dtype=np.uint8)
    assert found_in([black, nearly + np.uint8(7), nearly]) == {(0, 2, False)}
    assert found_in([255 - black, nearly + np.uint8(7), 255 - nearly]) == {(0, 2, False)}
    assert len(found_in(stars)) == 0
    assert found_in([flat[0], flat[0].copy(), flat[0] + np.uint8(0)]) == {(0, 1, True), (0, 2, True)}


def test_the_same_layout_in_other_colours_is_no_duplicate(draw: Callable[..., np.ndarray]) -> None:
    picture = draw(1, 64)
    grey = np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    assert found_in([picture, grey]) == set()


def test_duplicate_figures_and_table(draw: Callable[..., np.ndarray]) -> None:
    pixels = np.array([b"a" * 16, b"b" * 16, b"a" * 16, b"a" * 16, b"c" * 16], dtype="V16")
    hashes = np.array([[0] * 8, [255] * 8, [0] * 8, [0] * 8, [255] * 7 + [254]], dtype=np.uint8)
    thumbnails = np.stack([draw(0, 16), draw(1, 16), draw(0, 16), draw(0, 16), draw(1, 16)])
    rows = pd.DataFrame(
        {
            "image_id": list("vwxyz"),
            "split": ["train", "train", "train", "validation", "test"],
            "label": ["0", "0", "1", "0", None],
            "path": list("VWXYZ"),
        }
    )
    pairs = find_duplicates(pixels, hashes, thumbnails, 1)
    assert duplicate_figures(pairs, rows) == {
        "exact_pairs": 3,
        "exact_pairs_across_splits": 2,
        "exact_pairs_of_two_labels": 2,
        "near_pairs": 1,
        "near_pairs_across_splits": 1,
        "near_pairs_of_two_labels": 0,
    }
    table = duplicates_table(pairs, rows)
    assert table[["kind", "bits", "first_image_id", "second_image_id"]].to_numpy().tolist() == [
        ["exact", 0, "v", "y"],
        ["near", 1, "w", "z"],
        ["exact", 0, "v", "x"],
    ]
    assert find_duplicates(pixels, hashes, thumbnails, 0).exact.all()
    groups = grouped(pairs, 5)
    assert groups[0] == groups[2] == groups[3] != groups[1] == groups[4]


def contents(count: int) -> np.ndarray:
    """Digests of as many different pixels."""
    return np.frombuffer(np.random.default_rng(count).bytes(16 * count), dtype="V16")


def all_pairs_compared(phashes: np.ndarray, thumbnails: np.ndarray, most_bits: int) -> np.ndarray:
    """The clusters, by the definition: every pair of pictures that are not flat."""
    bits = np.unpackbits(phashes, axis=1).astype(int)
    values = thumbnails.reshape(len(thumbnails), -1, 3).astype(float)
    colours = values.mean(axis=1)
    values = (values - colours[:, None]).reshape(len(values), -1)
    contrast = np.sqrt((values**2).mean(axis=1))
    first, second = np.triu_indices(len(values), 1)
    near = (bits[first] != bits[second]).sum(axis=1) <= most_bits
    near &= np.abs(colours[first] - colours[second]).max(axis=1) <= 40
    first, second = first[near], second[near]
    apart = np.sqrt(((values[first] - values[second]) ** 2).mean(axis=1))
    alike = apart <= np.maximum(2, 0.2 * np.minimum(contrast[first], contrast[second]))
    nothing = np.zeros(alike.sum(), dtype=np.int64)
    return grouped(duplicates.Pairs(first[alike], second[alike], nothing), len(values))


@pytest.mark.parametrize("most_bits", [0, 1, 4, 9])  # bands of the hash to 7 bits, all hashes above
def test_the_clusters_are_those_of_comparing_all_pairs(most_bits: int) -> None:
    rng = np.random.default_rng(most_bits)
    scene = rng.integers(0, 60, 250)
    scenes = rng.integers(60, 190, (60, 16, 16, 3)) + rng.integers(-20, 20, (60, 1, 1, 3))
    noise = rng.choice([1, 5, 12], 250)[:, None, None, None] * rng.standard_normal((250, 16, 16, 3))
    thumbnails = np.clip(scenes[scene] + noise, 0, 255).astype(np.uint8)
    layouts = rng.integers(0, 2, (40, 64))  # some scenes share one
    flipped = rng.random((250, 64)) < rng.choice([0, 0.01, 0.05], 250)[:, None]
    phashes = np.packbits((layouts[scene % 40] ^ flipped).astype(np.uint8), axis=1)
    pairs = find_duplicates(contents(250), phashes, thumbnails, most_bits)
    expected = all_pairs_compared(phashes, thumbnails, most_bits)
    assert pairs.complete
    assert 70 < len(set(expected)) < 240
    assert len(set(zip(grouped(pairs, 250), expected, strict=True))) == len(set(expected)) == 250 - len(pairs.first)
    assert len(set(pairs.second)) == len(pairs.second)


def test_a_hundred_thousand_flat_pictures_take_memory_for_the_pictures_alone() -> None:
    count = 100_000
    thumbnails = np.full((count, 2, 2, 3), 130, dtype=np.uint8)
    pairs = find_duplicates(contents(count), np.zeros((count, 8), dtype=np.uint8), thumbnails, 4)
    assert (len(pairs.first), set(pairs.first.tolist()), pairs.complete) == (count - 1, {0}, True)
    rows = pd.DataFrame({"split": ["train", "test"] * (count // 2), "label": ["a", None] * (count // 2)})
    figures = duplicate_figures(pairs, rows)
    assert figures["near_pairs"] == count * (count - 1) // 2
    assert figures["near_pairs_across_splits"] == count**2 // 4
    assert figures["near_pairs_of_two_labels"] == figures["exact_pairs"] == 0


def test_the_search_is_bounded_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    unlike = rng.integers(0, 256, (700, 16, 16, 3), dtype=np.uint8)
    unlike[699] = unlike[0]
    one_hash = np.tile(np.arange(8, dtype=np.uint8), (700, 1))
    pairs = find_duplicates(contents(700), one_hash, unlike, 4)
    assert (pairs.first.tolist(), pairs.second.tolist(), pairs.complete) == ([0], [699], False)  # equal brightness
    some = one_hash[:200].copy()
    some[:, 0] = np.arange(200) % 4  # four hashes within two bits, fifty pictures each
    assert not find_duplicates(contents(200), some, unlike[:200], 4).complete
    assert find_duplicates(contents(200), some, unlike[:200], 0).complete
    monkeypatch.setattr(duplicates, "CARRIED", 50)
    assert not find_duplicates(contents(200), some, unlike[:200], 4).complete
    monkeypatch.setattr(duplicates, "COMPARED", 200)
    assert find_duplicates(contents(200), some, unlike[:200], 4).complete
