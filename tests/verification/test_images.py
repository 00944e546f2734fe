"""Which images `verify` finds in a source: those that the pipeline's own stages find."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from ruamel.yaml import YAML

from fakeprint import params
from fakeprint.data import report
from fakeprint.data.arrays import Dataset, Split, load_dataset, save_dataset
from fakeprint.errors import InputError
from fakeprint.verification.card import source_of
from fakeprint.verification.images import ArrayImages, Image, digest_of, of_arrays
from fakeprint.verification.source_images import of_source
from stages import prepare, validate
from tests.commands.test_predict import picture
from tests.samples import DEMO

LAYOUTS = {
    "split_off": ("folders", {"data.validation_fraction": 0.25, "data.test_fraction": 0.1}),
    "own_split": ("folders", {"data.per_class": {"validation": 2}}),
    "fold": ("folders", {"prepare.fold": 1, "prepare.folds": 3}),
    "drop": ("folders", {"validate.on_leak": "drop"}),
}


def draw(root: Path, own: bool) -> None:
    """Class folders with twelve images each, 24×20; `own` with a validation split of four, one of them in train too."""
    for split, count in {"train": 12, "validation": 4}.items() if own else {"": 12}.items():
        for label in range(3):
            folder = root / split / f"class{label}"
            folder.mkdir(parents=True)
            for row in range(count):
                seed = 1000 * label + row + 100 * (split == "validation" and row > 0)
                Pillow.fromarray(picture(label, seed)).resize((24, 20)).save(folder / f"{row}.png")


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYOUTS)
def test_the_images_are_those_of_the_pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    layout, keys = LAYOUTS[name]
    draw(tmp_path / "source", own=name != "split_off")
    content: dict[str, Any] = YAML(typ="safe").load(DEMO.read_text(encoding="utf-8"))
    content["run"]["workers"] = 1
    content["data"] |= {"path": str(tmp_path / "source"), "layout": layout, "title": "drawn"}
    content["prepare"] |= {"image_size": 16}
    for key, value in keys.items():
        block, _, last = key.partition(".")
        content[block][last] = value
    (tmp_path / "workspace").mkdir()
    monkeypatch.chdir(tmp_path / "workspace")
    with Path("params.yaml").open("w") as file:
        YAML(typ="safe").dump(content, file)
    monkeypatch.setattr(report, "write_figure", lambda place, *_: place.touch())
    validate.main()
    prepare.main()
    settings, dataset = params.load(), load_dataset()
    source = source_of(settings.seed, settings.data, settings.validate_, settings.prepare)
    arrays = of_arrays(Path("data/arrays"), "drawn", source, dataset)
    found = of_source(tmp_path / "source", "drawn", source, dataset, 1, "card.json")
    assert found.source == source
    assert digest_of(found, dataset) == digest_of(arrays, dataset)
    assert len(found) == len(arrays) == {"split_off": 9, "own_split": 6, "fold": 11, "drop": 12}[name]
    other = of_source(tmp_path / "source", "drawn", {**source, "seed": 8}, dataset, 1, "card.json")
    same = digest_of(other, dataset)[0].pixels == digest_of(found, dataset)[0].pixels
    assert same == (name == "drop")  # the seed draws the others


def test_a_digest_depends_on_pixels_labels_and_ids_and_not_on_the_order() -> None:
    dataset = replace(_dataset(), classes=["a", "b"], names=["a", "b"])
    images = [Image(f"i{row}", row % 2, picture(0, row)) for row in range(4)]
    digest, unreadable = digest_of(images, dataset)
    assert (digest.images, unreadable) == (4, [])
    assert digest_of(images[::-1], dataset)[0] == digest
    one_pixel = picture(0, 0)
    one_pixel[3, 4, 1] ^= 1
    for other, changed in (
        (Image("i0", 0, one_pixel), {"pixels", "labels"}),
        (Image("i0", 1, picture(0, 0)), {"labels"}),
        (Image("j0", 0, picture(0, 0)), {"ids"}),
    ):
        found = digest_of([other, *images[1:]], dataset)[0]
        assert {key for key, value in vars(found).items() if value != vars(digest)[key]} == changed
    without, unreadable = digest_of([Image("i0", 0, "truncated"), *images[1:]], dataset)
    assert (without.images, unreadable) == (3, [("i0", "truncated")])


def test_swapped_labels_of_two_images_change_the_digest() -> None:
    dataset = replace(_dataset(), classes=["a", "b"], names=["a", "b"])
    first, second = picture(0, 1), picture(0, 2)
    digest = digest_of([Image("1", 0, first), Image("2", 1, second)], dataset)[0]
    swapped = digest_of([Image("1", 1, first), Image("2", 0, second)], dataset)[0]
    assert (digest.pixels, digest.ids) == (swapped.pixels, swapped.ids)
    assert digest.labels != swapped.labels


def test_arrays_of_another_size_are_refused(tmp_path: Path) -> None:
    save_dataset(_dataset(), tmp_path)
    with pytest.raises(InputError, match=r"was prepared with other image size than the model's: run `dvc repro`, or"):
        of_arrays(tmp_path, "drawn", {}, replace(_dataset(), image_size=32))


def _dataset() -> Dataset:
    return Dataset(["0", "1"], ["0", "1"], 24, "squash", 10**6)


def test_array_images_keep_ids_labels_and_pixels() -> None:
    pixels = np.stack([picture(0, row) for row in range(2)])
    ids, none = np.array(["x", "y"], dtype=object), np.array([None, None], dtype=object)
    split = Split(pixels, ids, np.array([1, 0]), np.arange(2), none)
    images = list(ArrayImages(split, "drawn", {}))
    assert [(image.image_id, image.label) for image in images] == [("x", 1), ("y", 0)]
    assert all(np.array_equal(image.pixels, pixels[row]) for row, image in enumerate(images))
