from pathlib import Path

import pytest
from PIL import Image

from fakeprint.data.real_classes import real_classes
from fakeprint.data.sources import open_source
from fakeprint.errors import InputError
from fakeprint.params import Data


def listed(requested: list[str | int], classes: list[str]) -> list[int]:
    return real_classes(requested, classes, classes)


@pytest.mark.parametrize(
    ("classes", "real"),
    [
        (["FAKE", "REAL"], [1]),
        (["Fake", "Real", "real"], [1, 2]),
        (["ai", "nature"], [1]),
        (["AI", "Nature"], [1]),
        (["0_real", "1_fake"], [0]),
        (["nature photographs", "unreal"], []),
        (["StyleGAN", "surreal"], []),
        (["Real", "real"], []),
    ],
)
def test_without_a_list_a_class_named_real_is_real(classes: list[str], real: list[int]) -> None:
    assert real_classes(None, classes, classes) == real


def test_a_class_shown_as_real_is_real() -> None:
    assert real_classes(None, ["0", "1", "2"], ["Real", "StyleGAN", "2"]) == [0]


def test_the_list_is_taken_before_names() -> None:
    assert listed(["camera", "scan"], ["camera", "real", "scan"]) == [0, 2]
    assert listed([2], ["0", "1", "2"]) == [2]
    assert listed([], ["fake", "real"]) == []


def test_a_list_that_does_not_fit_is_one_line() -> None:
    with pytest.raises(InputError, match=r"^data.real_classes: the source has no class 'rael'; did you mean 'real'\?$"):
        listed(["rael"], ["fake", "real"])
    with pytest.raises(InputError, match=r"^data.real_classes lists all classes of the source; remove those"):
        listed(["real", "fake", "real"], ["fake", "real"])


def test_a_source_is_refused_before_its_images_are_read(tmp_path: Path) -> None:
    for label in ("fake", "real"):
        (tmp_path / "train" / label).mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(tmp_path / "train" / label / "0.png")
    with pytest.raises(InputError, match=r"data.real_classes: the source has no class 'rael'"):
        open_source(Data(title="t", path=str(tmp_path), layout="folders", real_classes=["rael"]))
