from collections.abc import Callable

import cv2
import imagehash
import numpy as np
import pandas as pd
from PIL import Image

from fakeprint.data.checks import duplicate_figures, duplicates, duplicates_table, grouped, shortcut_audit
from fakeprint.data.decode import Facts
from fakeprint.data.scan import perceptual_hash, scan_image


def found_in(pictures: list[np.ndarray], bits: int = 4) -> set[tuple[int, int, bool]]:
    scans = [scan_image(cv2.imencode(".png", picture[:, :, ::-1])[1].tobytes(), 0, 10**6) for picture in pictures]
    pairs = duplicates(
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
    pairs = duplicates(pixels, hashes, thumbnails, 1)
    assert duplicate_figures(pairs, rows) == {
        "exact_pairs": 2,
        "exact_pairs_across_splits": 1,
        "exact_pairs_of_two_labels": 1,
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
    assert duplicates(pixels, hashes, thumbnails, 0).exact.all()
    groups = grouped(pairs, 5)
    assert groups[0] == groups[2] == groups[3] != groups[1] == groups[4]


def facts(length: int = 1000, form: str = "PNG", metadata: tuple[str, ...] = ()) -> Facts:
    return Facts(form, length, 64, 64, "RGB", (0, 0), metadata)


def test_a_planted_shortcut_is_found_and_named() -> None:
    rng = np.random.default_rng(0)
    labels = np.array(["real", "fake"] * 150, dtype=object)
    lengths = rng.integers(900, 1100, 300)
    leaky = [
        facts(int(length), metadata=("exif",) if label == "real" and place % 10 else ())
        for place, (length, label) in enumerate(zip(lengths, labels, strict=True))
    ]
    audit = shortcut_audit(leaky, labels, 7)
    assert audit.accuracy > 0.8
    assert next(iter(audit.by_fact)) == "metadata"
    assert audit.significant
    clean = shortcut_audit([facts(int(length)) for length in lengths], labels, 7)
    assert abs(clean.accuracy - 0.5) < 0.1
    assert not clean.significant


def test_identical_containers_give_chance() -> None:
    audit = shortcut_audit([facts()] * 40, np.array(["0", "1", "2", "3"] * 10, dtype=object), 7)
    assert (audit.accuracy, audit.chance, audit.by_fact) == (0.25, 0.25, {})


def test_unbalanced_classes_do_not_look_like_a_shortcut() -> None:
    rng = np.random.default_rng(1)
    labels = np.array(["rare"] * 40 + ["common"] * 360, dtype=object)
    audit = shortcut_audit([facts(int(length)) for length in rng.integers(900, 1100, 400)], labels, 7)
    assert audit.chance == 0.5
    assert not audit.significant
