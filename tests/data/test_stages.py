"""stages.validate and stages.prepare as `dvc repro` runs them."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from ruamel.yaml import YAML

from fakeprint import parallel, params
from fakeprint.data.arrays import load_dataset, load_split
from fakeprint.data.containers import tars
from fakeprint.data.decode import decode
from stages import prepare, validate
from tests.data.conftest import undrawn
from tests.samples import DEMO

COLUMNS = ["image_id", "split", "label", "path", "width", "height", "mode", "format", "bytes"]


@dataclass(frozen=True)
class Done:
    """How a run ended: exit code and the lines on stderr."""

    returncode: int
    stderr: str


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run stages' mains in an empty workspace whose params.yaml is the shipped one with some keys changed.

    Where pictures are not `drawn`, which takes most of the time, their files are empty.
    """

    def stages(
        *names: str,
        path: Path,
        where: str = "workspace",
        workers: int = 1,
        drawn: bool = False,
        **blocks: dict[str, Any],
    ) -> Done:
        if not drawn:
            undrawn(monkeypatch)
        workspace = tmp_path / where
        workspace.mkdir(exist_ok=True)
        content = YAML(typ="safe").load(DEMO.read_text(encoding="utf-8"))
        content["run"]["workers"] = workers
        content["data"] |= {"path": str(path), "title": "hand-made", **blocks.get("data", {})}
        content["validate"] |= blocks.get("validate", {})
        content["prepare"] |= {"image_size": 24, **blocks.get("prepare", {})}
        with (workspace / "params.yaml").open("w") as file:
            YAML(typ="safe").dump(content, file)
        monkeypatch.chdir(workspace)
        try:
            for name in names:
                {"validate": validate.main, "prepare": prepare.main}[name]()
        except SystemExit as error:
            return Done(int(error.code or 0), capsys.readouterr().err)
        return Done(0, capsys.readouterr().err)

    return stages


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "params.yaml"
    }


@pytest.mark.slow
def test_validate_and_prepare(csv_folder: Path, run: Callable[..., Any], tmp_path: Path) -> None:
    (csv_folder / "train" / "train03.png").write_bytes(b"")
    (csv_folder / "train" / "train04.png").unlink()
    test = csv_folder / "test" / "test01.png"
    test.write_bytes(test.read_bytes()[:200])
    (csv_folder / "validation" / "validation00.png").write_bytes((csv_folder / "train" / "train00.png").read_bytes())
    done = run("validate", "prepare", path=csv_folder, drawn=True, validate={"max_bad_fraction": 0.2})
    assert done.returncode == 0, done.stderr
    here = tmp_path / "workspace"

    figures = json.loads((here / "metrics/validate.json").read_text())
    assert figures["images"] == {"train": 10, "validation": 4, "test": 2}
    assert figures["set_aside"] == {
        "files": 3,
        "fraction": round(3 / 19, 6),
        "empty": 1,
        "missing": 1,
        "truncated": 1,
    }
    assert figures["duplicates"]["exact_pairs_across_splits"] == 1
    table = pd.read_csv(here / "reports/validate/set_aside.csv")
    assert table[["image_id", "split", "reason"]].to_numpy().tolist() == [
        ["train03", "train", "empty"],
        ["train04", "train", "missing"],
        ["test01", "test", "truncated"],
    ]
    pair = pd.read_csv(here / "reports/validate/duplicates.csv").iloc[0]
    assert (pair["kind"], pair["first_image_id"], pair["second_image_id"]) == ("exact", "train00", "validation00")
    for picture in ("class_counts", "samples", "channels", "sizes", "audits"):
        assert Image.open(here / f"reports/validate/{picture}.png").size > (300, 200)

    manifest = pd.read_parquet(here / "data/manifest.parquet")
    assert list(manifest.columns) == [
        "image_id",
        "split",
        "label",
        "generator",
        "path",
        "width",
        "height",
        "mode",
        "format",
        "bytes",
        "pixels",
        "group",
    ]
    assert manifest["image_id"].tolist()[:4] == ["train00", "train01", "train02", "train05"]
    train_pixels = np.concatenate(
        [decode((csv_folder / path).read_bytes(), 10**6).rgb for path in manifest["path"][:10]]
    ).reshape(-1, 3)
    for number, channel in enumerate(("red", "green", "blue")):
        channel_figures = figures["train_channels"][channel]
        assert abs(channel_figures["mean"] - train_pixels[:, number].mean()) < 1e-3
        assert abs(channel_figures["std"] - train_pixels[:, number].std()) < 1e-3

    split = load_split("train", here / "data/arrays")
    assert split.images.shape == (10, 24, 24, 3)
    assert split.images.dtype == np.uint8
    assert split.labels.tolist() == [0, 1, 0, 1, 0, 1, 0, 1, 0, 1]
    assert (np.concatenate(list(split.images)).reshape(-1, 3) == train_pixels).all()
    assert split.groups.tolist() == manifest["group"].tolist()[:10]
    assert split.generators.tolist() == [None] * 10
    assert load_split("test", here / "data/arrays").labels.tolist() == [-1, -1]
    assert load_dataset(here / "data/arrays").classes == ["a", "b"]


@pytest.mark.slow
def test_workers_and_archives_give_identical_arrays(
    tmp_path: Path,
    save: Callable[..., Path],
    pack: Callable[..., Path],
    run: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parallel, "SERIAL", 0)  # else so few images are all read in this process
    for number in range(200):
        save(tmp_path / "faces" / ("real", "fake")[number % 2] / f"{number}.bmp", number, 12)
    options: dict[str, Any] = {"data": {"layout": "folders"}, "prepare": {"image_size": 16}}
    for where, path, workers in (
        ("one", tmp_path / "faces", 1),
        ("two", tmp_path / "faces", 2),
        ("tar", pack(tmp_path / "faces", ".tar.gz"), 2),
    ):
        done = run("validate", "prepare", path=path, where=where, workers=workers, **options)
        assert done.returncode == 0, done.stderr
    one = digests(tmp_path / "one")
    assert digests(tmp_path / "two") == one
    packed = digests(tmp_path / "tar")
    assert {name for name in one if packed[name] != one[name]} == {"data/manifest.parquet"}  # member names
    splits = pd.read_parquet(tmp_path / "one/data/manifest.parquet").groupby(["split", "label"]).size()
    assert splits.tolist() == [10, 10, 80, 80, 10, 10]


@pytest.mark.slow
def test_one_pixel_changes_the_manifest(csv_folder: Path, save: Callable[..., Path], run: Callable[..., Any]) -> None:
    """What `prepare` depends on is the manifest alone: a change that keeps the file's length must show there."""
    path = csv_folder / "train" / "train00.bmp"
    save(path, 0)
    (csv_folder / "train" / "train00.png").unlink()
    assert run("validate", path=csv_folder).returncode == 0
    before = pd.read_parquet("data/manifest.parquet")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert run("validate", path=csv_folder).returncode == 0
    after = pd.read_parquet("data/manifest.parquet")
    assert (before["pixels"] != after["pixels"]).tolist() == [True] + [False] * 18
    assert before.drop(columns="pixels").equals(after.drop(columns="pixels"))


@pytest.mark.slow
def test_what_is_left_out_is_counted_and_reported(
    csv_folder: Path, tmp_path: Path, save: Callable[..., Path], run: Callable[..., Any]
) -> None:
    (csv_folder / "sample_submission.csv").write_text("image_id,label\ntest00,a\n")
    for name in ("train/new.png", "extra/more.png"):
        save(csv_folder / name, 90)
    (csv_folder / "readme.txt").write_text("hello")
    done = run("validate", path=csv_folder)
    assert "warning: 2 image(s) are in no csv and are not used\n" in done.stderr
    assert "warning: 1 other file(s) of the source are not used\n" in done.stderr
    not_taken = json.loads(Path("metrics/validate.json").read_text())["not_taken"]
    assert not_taken == {"images_outside_splits": 0, "images_in_no_table": 2, "other_files": 1}
    for number in range(24):
        save(tmp_path / "folders" / ("train", "test")[number // 16] / "ab"[number % 2] / f"{number}.png", number)
    for number, name in enumerate(["c/1.png", "c/deep/2.png", "d/3.png", "4.png"]):
        save(tmp_path / "folders" / name, 50 + number)
    done = run("validate", path=tmp_path / "folders", data={"layout": "folders"})
    assert (
        "warning: 4 image(s) are outside the splits' folders and are not used: . (1), c (2), d (1); move them into a "
        "class folder of a split if they belong to the data\n"
    ) in done.stderr
    not_taken = json.loads(Path("metrics/validate.json").read_text())["not_taken"]
    assert not_taken == {"images_outside_splits": 4, "images_in_no_table": 0, "other_files": 0}


def test_the_form_asks_for_the_sampled_test_images(csv_folder: Path, run: Callable[..., Any]) -> None:
    ids = ["test02", "test01", "test00"]
    (csv_folder / "test.csv").write_text("image_id,label\n" + "".join(f"{name},a\n" for name in ids[::-1]))
    (csv_folder / "sample_submission.csv").write_text("label,image_id\n" + "".join(f"x,{name}\n" for name in ids))
    sampled = {"per_class": {"test": 2}}
    assert run("validate", path=csv_folder, data=sampled).returncode == 0
    form, manifest = pd.read_csv("data/submission_form.csv"), pd.read_parquet("data/manifest.parquet")
    used = set(manifest.loc[manifest["split"] == "test", "image_id"])
    assert len(used) == 2
    assert form["image_id"].tolist() == [name for name in ids if name in used]
    for name in ids:  # broken files stay in the form, so that `submit` names them
        (csv_folder / f"test/{name}.png").write_bytes(b"")
    assert run("validate", path=csv_folder, data=sampled, validate={"max_bad_fraction": 0.5}).returncode == 0
    assert pd.read_csv("data/submission_form.csv").equals(form)


def test_test_images_of_a_sample_submission_are_the_test_split(csv_folder: Path, run: Callable[..., Any]) -> None:
    (csv_folder / "test.csv").unlink()
    sample = "image_id,label\ntest02,a\ntest00,a\ntest01,a\n"
    (csv_folder / "sample_submission.csv").write_text(sample)
    done = run("validate", path=csv_folder)
    assert done.returncode == 0, done.stderr
    assert "no test split" not in done.stderr
    assert Path("data/submission_form.csv").read_text() == sample
    manifest = pd.read_parquet("data/manifest.parquet")
    tests = manifest[manifest["split"] == "test"]
    assert tests["image_id"].tolist() == ["test02", "test00", "test01"]
    assert tests["label"].isna().all()
    assert (manifest["split"] == "train").sum() == 12


def test_the_form_of_class_folders_is_their_test_images(
    tmp_path: Path, save: Callable[..., Path], run: Callable[..., Any]
) -> None:
    for number in range(24):
        save(tmp_path / "source" / ("train", "test")[number // 16] / "ab"[number % 2] / f"{number}.png", number)
    (tmp_path / "source/test.csv").write_text("name\nstray\n")
    done = run("validate", path=tmp_path / "source", data={"layout": "folders"})
    assert done.returncode == 0, done.stderr
    assert "warning: 1 other file(s) of the source are not used\n" in done.stderr
    asked = pd.read_csv("data/submission_form.csv")["image_id"].tolist()
    assert sorted(asked) == sorted(f"test/{'ab'[number % 2]}/{number}.png" for number in range(16, 24))


@pytest.mark.slow
def test_a_compressed_tar_is_gone_through_four_times(
    csv_folder: Path, pack: Callable[..., Path], run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Listed with its tables, decoded, sample pictures; and once for the arrays of all splits."""
    (csv_folder / "sample_submission.csv").write_text("image_id,label\ntest00,a\n")
    archive = pack(csv_folder, ".tar.gz")
    opened: list[str] = []
    real = tars._unpacked
    monkeypatch.setattr(tars, "_unpacked", lambda file: (opened.append(stage), real(file))[1])
    for stage in ("validate", "prepare"):
        done = run(stage, path=archive)
        assert done.returncode == 0, done.stderr
    assert opened == ["validate"] * 3 + ["prepare"]


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["", ".zip", ".tar", ".tar.gz"])
def test_what_changed_since_validate_is_named_and_nothing_is_written(
    csv_folder: Path, pack: Callable[..., Path], run: Callable[..., Any], tmp_path: Path, suffix: str
) -> None:
    source = pack(csv_folder, suffix) if suffix else csv_folder
    assert run("validate", path=source).returncode == 0
    (csv_folder / "validation" / "validation01.png").unlink()
    (csv_folder / "test" / "test00.png").write_bytes(b"")
    if suffix:
        pack(csv_folder, suffix)
    done = run("prepare", path=source)
    assert done.returncode == 1
    top = "top/" if suffix else ""
    assert done.stderr.splitlines()[-1].endswith(
        f"2 file(s) changed since validate: {top}validation/validation01.png, {top}test/test00.png; run "
        "`dvc repro --force validate`"
    )
    assert not list((tmp_path / "workspace/data/arrays").iterdir())


@pytest.mark.slow
def test_a_damaged_archive_stops_prepare_in_one_line(
    csv_folder: Path, pack: Callable[..., Path], run: Callable[..., Any]
) -> None:
    archive = pack(csv_folder, ".tar.gz")
    assert run("validate", path=archive).returncode == 0
    archive.write_bytes(archive.read_bytes()[:-2000])
    done = run("prepare", path=archive)
    assert done.returncode == 1
    assert "cannot be read as an archive (" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_too_many_bad_files_stop_the_run(csv_folder: Path, run: Callable[..., Any], tmp_path: Path) -> None:
    for number in (2, 5):
        (csv_folder / "train" / f"train{number:02}.png").write_bytes(b"this is no image at all, but some text")
    done = run("validate", path=csv_folder)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "error: 2 of 19 files cannot be used (2 not an image): train02, train05; more than validate.max_bad_fraction "
        "(0.02) allows; all are in reports/validate/set_aside.csv"
    )
    assert "Traceback" not in done.stderr
    assert len(pd.read_csv(tmp_path / "workspace/reports/validate/set_aside.csv")) == 2
    assert not (tmp_path / "workspace/data/manifest.parquet").exists()


def test_a_class_without_usable_images(csv_folder: Path, run: Callable[..., Any]) -> None:
    for number in range(1, 12, 2):
        (csv_folder / "train" / f"train{number:02}.png").write_bytes(b"")
    done = run("validate", path=csv_folder, validate={"max_bad_fraction": 1.0})
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "error: 1 class(es) have no usable train image left: b; see reports/validate/set_aside.csv"
    )


def test_a_validation_split_without_usable_images(csv_folder: Path, run: Callable[..., Any], tmp_path: Path) -> None:
    for file in (csv_folder / "validation").iterdir():
        file.write_bytes(b"")
    assert run("validate", path=csv_folder, validate={"max_bad_fraction": 1.0}).returncode == 0
    done = run("prepare", path=csv_folder)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "error: no validation image is left: all were set aside (reports/validate/set_aside.csv), dropped as leaks or "
        "by a verdict; without them nothing can be evaluated"
    )
    assert len(pd.read_csv(tmp_path / "workspace/reports/validate/set_aside.csv")) == 4
    replaced = run("prepare", path=csv_folder, prepare={"fold": 0, "folds": 3})
    assert replaced.returncode == 0  # a fold of train is the validation split


@pytest.mark.slow
@pytest.mark.parametrize("on_shortcut", ["warn", "stop"])
def test_a_planted_shortcut(
    tmp_path: Path, save: Callable[..., Path], run: Callable[..., Any], on_shortcut: str
) -> None:
    for number in range(80):
        save(tmp_path / "source" / f"c{number % 2}" / f"{number}{('.bmp', '.tif')[number % 2]}", number, 16)
    done = run("validate", path=tmp_path / "source", data={"layout": "folders"}, validate={"on_shortcut": on_shortcut})
    assert done.returncode == (on_shortcut == "stop")
    assert done.stderr.splitlines()[-1] == (
        f"{'error' if on_shortcut == 'stop' else 'warning'}: container facts alone identify the class with an accuracy "
        "of 1.000 (chance 0.500; an excess of 1.00, above validate.max_shortcut_excess, 0.25), mainly format (1.000); "
        "save all images in the same way before training"
    )
    assert (tmp_path / "workspace/data/manifest.parquet").exists() == (on_shortcut == "warn")


def with_videos(csv_folder: Path) -> None:
    """train00 as validation00, and one video in train01, train03 and validation01; test.csv has no such column."""
    (csv_folder / "validation/validation00.png").write_bytes((csv_folder / "train/train00.png").read_bytes())
    for split in ("train", "validation"):
        header, *lines = (csv_folder / f"{split}.csv").read_text().split()
        videos = ["film" if line[:-2] in ("train01", "train03", "validation01") else "" for line in lines]
        lines = [f"{line},{video}" for line, video in zip(lines, videos, strict=True)]
        (csv_folder / f"{split}.csv").write_text("\n".join([f"{header},video", *lines]) + "\n")


@pytest.mark.slow
@pytest.mark.parametrize("on_leak", ["warn", "stop", "drop"])
def test_leaks_between_the_sources_own_splits(
    csv_folder: Path, run: Callable[..., Any], tmp_path: Path, on_leak: str
) -> None:
    with_videos(csv_folder)
    # An unlabelled test image is held out as well.
    (csv_folder / "test/test02.png").write_bytes((csv_folder / "validation/validation03.png").read_bytes())
    options: dict[str, Any] = {"data": {"group_column": "video"}, "validate": {"on_leak": on_leak}}
    done = run("validate", path=csv_folder, **options)
    here = tmp_path / "workspace"
    table = pd.read_csv(here / "reports/validate/leaks.csv")
    assert table[["image_id", "reason", "held_out"]].to_numpy().tolist() == [
        ["train00", "exact duplicate", "validation"],
        ["train01", "same video", "validation"],
        ["train03", "same video", "validation"],
        ["validation03", "exact duplicate", "test"],
    ]
    line = "4 image(s) of train and validation {} (2 exact duplicate, 2 same video), see reports/validate/leaks.csv"
    line_starts = {
        "warn": "warning: " + line.format("share a group with held-out images"),
        "stop": "error: " + line.format("share a group with held-out images"),
        "drop": "warning: " + line.format("were dropped because their group also has held-out images"),
    }
    assert any(each.startswith(line_starts[on_leak]) for each in done.stderr.splitlines()), done.stderr
    assert done.returncode == (on_leak == "stop")
    assert (here / "data/manifest.parquet").exists() == (on_leak != "stop")
    if on_leak == "stop":
        return
    figures = json.loads((here / "metrics/validate.json").read_text())
    dropped = 4 if on_leak == "drop" else 0
    counted = {"images": 4, "groups": 3, "dropped": dropped, "exact duplicate": 2, "same video": 2}
    assert figures["leaks"] == counted
    assert figures["duplicates"]["exact_pairs_across_splits"] == 2
    manifest = pd.read_parquet(here / "data/manifest.parquet")
    assert len(manifest) == 19 - dropped
    assert (set(table["image_id"]) & set(manifest["image_id"]) == set()) == (on_leak == "drop")
    assert (manifest.groupby("group")["split"].nunique().max() == 1) == (on_leak == "drop")


def test_dropped_leaks_may_not_cost_a_class(csv_folder: Path, run: Callable[..., Any]) -> None:
    for split in ("train", "validation"):
        header, *lines = (csv_folder / f"{split}.csv").read_text().split()
        lines = [f"{line},{'film' if line.endswith('b') else ''}" for line in lines]
        (csv_folder / f"{split}.csv").write_text("\n".join([f"{header},video", *lines]) + "\n")
    done = run("validate", path=csv_folder, data={"group_column": "video"}, validate={"on_leak": "drop"})
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "error: validate.on_leak: drop leaves 1 class(es) without train images: b; all of them are duplicates of "
        "validation or test images, or share a group with some"
    )


@pytest.mark.slow
def test_groups_and_generators_reach_the_arrays(
    tmp_path: Path, save: Callable[..., Path], run: Callable[..., Any]
) -> None:
    root = tmp_path / "source"
    lines = ["image_id,label,prompt,model"]
    for number in range(40):  # a prompt for each pair of a photograph and a fake; class b is one group more
        save(root / "train" / f"{number}.png", number)
        lines.append(f"{number},{('real', 'fake')[number % 2]},p{number // 2},{('', 'sd', '', 'gan')[number % 4]}")
    for number in range(40, 44):
        save(root / "train" / f"{number}.png", number)
        lines.append(f"{number},b,series,gan")
    (root / "train.csv").write_text("\n".join(lines))
    columns = {"group_column": "prompt", "generator_column": "model", "test_fraction": 0}
    done = run("validate", "prepare", path=root, data=columns)
    assert done.returncode == 0, done.stderr
    assert (
        "warning: validation has no image of 1 class(es): b; there are too few groups (near duplicates, " in done.stderr
    )
    here = tmp_path / "workspace"
    train, validation = (load_split(split, here / "data/arrays") for split in ("train", "validation"))
    assert not set(train.groups) & set(validation.groups)
    assert np.bincount(validation.labels, minlength=3).tolist() == [0, 2, 2]
    assert len(set(validation.groups)) == 2
    for split in (train, validation):
        wanted = ["gan" if int(each) >= 40 else (None, "sd", None, "gan")[int(each) % 4] for each in split.image_ids]
        assert split.generators.tolist() == wanted
    figures = json.loads((here / "metrics/validate.json").read_text())["split_off"]
    assert figures == {"validation": {"requested": 0.1, "reached": {"b": 0.0, "fake": 0.1, "real": 0.1}}}
    done = run("prepare", path=root, data=columns, prepare={"fold": 0, "folds": 5})
    assert done.returncode == 1
    assert "prepare.folds: class b has only 1 groups (" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("on_trace", ["note", "warn", "stop"])
def test_jpegs_saved_again_as_png_are_identified_by_their_pixels(
    tmp_path: Path, draw: Callable[..., np.ndarray], run: Callable[..., Any], on_trace: str
) -> None:
    for number in range(80):
        path = tmp_path / "source" / f"c{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(draw(number, 48))
        if number % 2:
            picture.save(tmp_path / "once.jpg", quality=75)
            picture = Image.open(tmp_path / "once.jpg").convert("RGB")
        picture.save(path, compress_level=0)  # so that file lengths do not tell
    limits = {"on_shortcut": "stop", "on_trace": on_trace}
    done = run("validate", path=tmp_path / "source", data={"layout": "folders"}, validate=limits)
    assert done.returncode == (on_trace == "stop")
    line = done.stderr.splitlines()[-1]
    kind = {"note": "note", "warn": "warning", "stop": "error"}[on_trace]
    assert line.startswith(f"{kind}: traces of compression and scaling in the pixels identify the class with an ")
    assert line.endswith("; they may come from the generators, or from how each class was saved and scaled")
    if on_trace != "stop":
        figures = json.loads((tmp_path / "workspace/metrics/validate.json").read_text())
        assert figures["shortcut"] == {
            "accuracy": 0.5,
            "chance": 0.5,
            "excess": 0.0,
            "p_value": 1.0,
            "found": False,
            "by_fact": {},
        }
        assert figures["traces"]["found"]
        assert figures["traces"]["p_value"] == 0.005
        assert set(figures["traces"]["by_fact"]) == {"block_grid", "compression", "interpolation"}
        assert figures["duplicates"]["search_complete"]


@pytest.mark.slow
def test_a_fold_of_train_stands_in_for_validation(csv_folder: Path, run: Callable[..., Any], tmp_path: Path) -> None:
    fold = {"fold": 1, "folds": 3}
    done = run("validate", "prepare", path=csv_folder, prepare=fold)
    assert done.returncode == 0, done.stderr
    here = tmp_path / "workspace"
    train, held_out = (load_split(split, here / "data/arrays") for split in ("train", "validation"))
    assert sorted([*train.image_ids, *held_out.image_ids]) == [f"train{number:02}" for number in range(12)]
    assert np.bincount(train.labels).tolist() == [4, 4]
    assert np.bincount(held_out.labels).tolist() == [2, 2]
    assert len(load_split("test", here / "data/arrays").images) == 3
    settings = params.load(here / "params.yaml")
    assert settings.title == "hand-made, fold 1 of 3 of train"


@pytest.mark.slow
def test_prepare_says_what_is_missing_or_changed(csv_folder: Path, run: Callable[..., Any]) -> None:
    done = run("prepare", path=csv_folder)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "error: data/manifest.parquet is missing: run `dvc repro validate` first"
    assert run("validate", path=csv_folder).returncode == 0
    (csv_folder / "train" / "train00.png").unlink()
    done = run("prepare", path=csv_folder)
    assert done.returncode == 1
    assert "1 file(s) changed since validate: train/train00.png; run" in done.stderr.splitlines()[-1]
