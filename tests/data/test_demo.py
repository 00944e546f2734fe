import contextlib
import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fakeprint import seeds
from fakeprint.data import demo

SOURCE = Path(__file__).parents[2] / "src"
TEXT = (SOURCE.parent / "data/demo/params.yaml").read_text(encoding="utf-8")
SMALL = re.sub(r"train: \d+", "train: 25", re.sub(r"(validation|test): \d+", r"\1: 10", TEXT))
DRAW = demo.Draw(size=64, train=25, validation=10, test=10, strength=(1, 1), habits=0, noise=(0, 0))


def drawn(folder: Path, text: str = SMALL) -> tuple[object, str]:
    """Exit code and stderr of `python -m fakeprint.data.demo` in the folder, called in this process."""
    folder.mkdir()
    (folder / "params.yaml").write_text(text, encoding="utf-8")
    with contextlib.chdir(folder), contextlib.redirect_stderr(io.StringIO()) as errors:
        try:
            demo.main()
        except SystemExit as stopped:
            return stopped.code, errors.getvalue()
    return 0, errors.getvalue()


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "a"
    code, errors = drawn(folder)
    assert code == 0, errors
    return folder / "images"


@pytest.mark.slow
def test_layout_and_sizes(images: Path) -> None:
    names = sorted(path.name for path in images.iterdir())
    assert names == [
        "sample_submission.csv", "test", "test.csv", "train", "train.csv", "validation", "validation.csv"
    ]  # fmt: skip
    for split, count in {"train": 25, "validation": 10, "test": 10}.items():
        table = pd.read_csv(images / f"{split}.csv", dtype=str)
        assert sorted(f"{i}.png" for i in table["image_id"]) == sorted(p.name for p in (images / split).iterdir())
        assert len(table) == count
        assert ("label" in table) == (split != "test")
        for path in (images / split).iterdir():
            with Image.open(path) as opened:
                assert (opened.size, opened.mode, opened.format) == ((64, 64), "RGB", "PNG")
    sample = pd.read_csv(images / "sample_submission.csv", dtype=str)
    assert sample["image_id"].tolist() == pd.read_csv(images / "test.csv", dtype=str)["image_id"].tolist()
    assert list(sample.columns) == ["image_id", "label"]


def test_classes_are_balanced(images: Path) -> None:
    for split, each in {"train": 5, "validation": 2}.items():
        counts = pd.read_csv(images / f"{split}.csv")["label"].value_counts()
        assert counts.to_dict() == dict.fromkeys(demo.DECODERS, each)


def test_file_length_says_nothing(images: Path) -> None:
    assert len({path.stat().st_size for path in images.rglob("*.png")}) == 1


@pytest.mark.slow
def test_same_seed_same_bytes_other_seed_others(images: Path, tmp_path: Path) -> None:
    assert drawn(tmp_path / "again")[0] == 0
    assert drawn(tmp_path / "other", SMALL.replace("seed: 7", "seed: 8"))[0] == 0
    first, again, other = (
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*.png")}
        for root in (images, tmp_path / "again/images", tmp_path / "other/images")
    )
    assert first == again
    assert all(first[name] != other[name] for name in first)


def test_scenes_do_not_depend_on_the_class() -> None:
    untouched = DRAW.model_copy(update={"strength": (0.0, 0.0)})
    for number in range(4):
        pictures = [demo.image(7, untouched, number, decoder) for decoder in demo.DECODERS]
        assert all(np.array_equal(picture, pictures[0]) for picture in pictures)
    assert len({demo.image(7, untouched, number, "nearest_conv").tobytes() for number in range(4)}) == 4


@pytest.mark.parametrize("decoder", list(demo.DECODERS))
def test_a_decoder_leaves_a_fingerprint_but_the_picture_stays(decoder: str) -> None:
    untouched = DRAW.model_copy(update={"strength": (0.0, 0.0)})
    before, after = (demo.image(7, draw, 3, decoder).astype(int) for draw in (untouched, DRAW))
    assert 0 < np.abs(after - before).mean() < 8
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.98


@pytest.mark.slow
def test_transposed_convolution_leaves_a_checkerboard_and_nearest_none() -> None:
    def phases(decoder: str) -> float:
        """How far the means of the four phases of 2×2 cells lie apart, grey levels, over 20 scenes."""
        pictures = np.stack([demo.image(7, DRAW, number, decoder) for number in range(20)]).astype(float)
        means = [pictures[:, row::2, column::2].mean((0, 1, 2)) for row in (0, 1) for column in (0, 1)]
        return float(np.ptp(means, axis=0).max())

    assert phases("transposed_conv") > 5
    assert phases("nearest_conv") < 1


def test_block_latent_is_coded_in_blocks() -> None:
    scene = demo.scene(64, seeds.generator(7, "demo/scene", 0))
    changed = scene.copy()
    changed[24:32, 40:48] += 0.2
    learned = demo.weights(7, "block_latent")
    rng = np.random.default_rng(0)
    difference = demo.DECODERS["block_latent"](changed, learned, rng) - demo.DECODERS["block_latent"](
        scene, learned, rng
    )
    rows, columns = np.nonzero(np.abs(difference).max(-1) > 1e-6)
    assert 20 <= rows.min() <= 24 and 31 <= rows.max() <= 35  # the block and the smoothing over its borders
    assert 36 <= columns.min() <= 40 and 47 <= columns.max() <= 51


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "  habits:",
            "  habit: 1\n  habits:",
            "data/demo/params.yaml: draw.habit is not a parameter; did you mean 'habits'?",
        ),
        ("size: 64", "size: 60", "draw.size: input should be a multiple of 8, not 60"),
        ("noise: [1.0, 3.5]", "noise: [3, 1]", "the lower bound of noise, 3.0, is above its upper bound, 1.0"),
    ],
)
def test_bad_parameters_get_one_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in SMALL
    code, errors = drawn(tmp_path / "a", SMALL.replace(old, new))
    assert code == 1
    assert message in errors and errors.count("\n") == 1
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["params.yaml"]
