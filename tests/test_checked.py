"""`check`: what it tells DVC of weights files, and what it takes out of shared folders."""

import hashlib
import platform
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from fakeprint import checked, digests
from fakeprint.evaluation import predictions
from fakeprint.features import files as feature_files
from stages import check

ROOT = Path(__file__).parents[1]


@pytest.fixture
def content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The demo's params.yaml, which a test changes and `main` writes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/weights").mkdir(parents=True)
    found = YAML(typ="safe").load((ROOT / "presets/demo.yaml").read_text(encoding="utf-8"))
    found["run"]["networks"] = ["hist_cnn", "timm"]
    return found


def main(content: dict[str, Any]) -> None:
    with Path("params.yaml").open("w") as file:
        YAML(typ="safe").dump(content, file)
    check.main()


def outputs() -> dict[str, bytes]:
    found = {path.relative_to("data/checked").as_posix(): path for path in Path("data/checked").rglob("*")}
    return {name: path.read_bytes() for name, path in found.items() if path.is_file()}


@pytest.mark.slow
def test_other_weights_change_one_file_of_the_output(content: dict[str, Any]) -> None:
    content["models"]["timm"]["weights"] = "data/weights/net.pt"
    Path("data/weights/net.pt").write_bytes(b"a")
    main(content)
    before = outputs()
    assert before["models/timm"].decode().strip() == hashlib.sha256(b"a").hexdigest()
    assert before["models/hist_cnn"] == before["features/spectrum"] == b"no weights file\n"
    Path("data/weights/net.pt").write_bytes(b"b")
    main(content)
    after = outputs()
    assert {name for name in before | after if before.get(name) != after.get(name)} == {"models/timm"}


def test_an_edit_changes_nothing_that_stages_depend_on(content: dict[str, Any]) -> None:
    main(content)
    before = outputs()
    content["train"]["epochs"] = 5
    main(content)
    assert outputs() == before
    content["run"]["classifiers"] = ["lda"]
    content["run"]["ensembles"] = []
    main(content)
    assert {name for name in before if outputs()[name] != before[name]} == {"run.json"}


def test_missing_weights_are_one_line(content: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    Path("data/weights/file").touch()
    Path("data/weights/circle").symlink_to("circle")
    absent = "is not a file; copy the weights there, or set it to default or null"
    circle = "cannot be read (Too many levels of symbolic links)"
    for name, why in {"nte.pt": absent, "file/net.pt": absent, "circle": circle}.items():
        content["models"]["timm"]["weights"] = f"data/weights/{name}"
        with pytest.raises(SystemExit):
            main(content)
        assert capsys.readouterr().err.splitlines() == [f"error: models.timm.weights: data/weights/{name} {why}"]
        assert not Path("data/checked").exists()


def test_a_key_left_out_is_one_line(content: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    del content["train"]["clip"], content["train"]["ema"]
    with pytest.raises(SystemExit):
        main(content)
    line = (
        "error: params.yaml: train.clip is missing (default: 0.0); DVC does not see defaults, so add it, or run "
        "`fakeprint use params.yaml` to add what is missing from presets/demo.yaml (and 1 more)"
    )
    assert capsys.readouterr().err.splitlines() == [line]


def test_what_run_does_not_name_is_removed(content: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    names = [*content["run"]["classifiers"], "hist_cnn", "timm"]
    wanted = [f"data/features/{name}/train.npy" for name in content["run"]["features"]]
    wanted += [f"data/members/{name}.parquet" for name in names]
    wanted += [f"data/predictions/{name}.parquet" for name in [*names, "average"]]
    wanted += [f"data/evaluated/{name}.json" for name in [*names, "average"]]
    leftover = ["data/features/pixels/train.npy", "data/members/average.parquet", "data/predictions/three_cnn.parquet"]
    leftover += ["data/evaluated/three_cnn.json"]
    dead = f"data/features/.residual.999999999-1@{platform.node()}.partial/train.npy"
    own = [
        "data/features/mine.csv",
        "data/predictions/kept.parquet/a",
        "data/predictions/old/b",
        "data/members/My.parquet",
    ]
    for path in map(Path, [*wanted, *leftover, *own, dead, "data/features/.gitignore"]):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    main(content)
    folders = map(Path, ("data/features", "data/members", "data/predictions", "data/evaluated"))
    left = {path.as_posix() for folder in folders for path in folder.rglob("*") if path.is_file()}
    assert left == {*wanted, *own, "data/features/.gitignore"}
    printed = capsys.readouterr()
    assert printed.err.splitlines() == [
        f"warning: {path} is not written by any stage, but DVC hashes it; move it to another folder"
        for path in (own[0], own[3], "data/predictions/kept.parquet", "data/predictions/old")
    ]
    assert printed.out.splitlines() == [
        f"{path} was removed: it is not in `run`, and DVC would hash it"
        for path in ("data/features/pixels", *leftover[1:])
    ]


def test_the_folders_are_those_that_stages_write_into() -> None:
    assert (checked.FEATURES, checked.MEMBERS) == (feature_files.FEATURES, predictions.MEMBERS)
    assert digests.PREDICTIONS == predictions.PREDICTIONS


def test_pages_of_models_that_have_none_any_more_go(content: dict[str, Any]) -> None:
    content["explain"]["models"] = ["lda"]
    Path("data/evaluated").mkdir()
    for name in ("lda.json", "lda.explained.json", "knn.explained.json"):
        (Path("data/evaluated") / name).write_text("{}")
    main(content)
    assert sorted(path.name for path in Path("data/evaluated").iterdir()) == ["lda.explained.json", "lda.json"]
    content["explain"]["models"] = []
    main(content)
    assert [path.name for path in Path("data/evaluated").iterdir()] == ["lda.json"]


def test_verdicts_are_copied_for_validate(content: dict[str, Any]) -> None:
    main(content)
    assert outputs()["verdicts.csv"] == b""
    Path("data/verdicts").mkdir()
    Path("data/verdicts/mine.csv").write_bytes(b"image_id,verdict\n")
    content["validate"]["verdicts"] = "data/verdicts/mine.csv"
    main(content)
    assert outputs()["verdicts.csv"] == b"image_id,verdict\n"
