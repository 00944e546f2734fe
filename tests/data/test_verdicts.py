"""Verdicts on labels: `check` copies the file, `validate` applies it, and says what it changed."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ruamel.yaml import YAML

from fakeprint.data.manifest import load_manifest
from fakeprint.data.verdicts import REASON
from stages import check, validate
from tests.data.conftest import undrawn
from tests.samples import DEMO

NAME = "data/verdicts/mine.csv"
Rows = list[dict[str, str]]


@pytest.fixture
def run(
    csv_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Run `check` and `validate` with these verdicts; returns what they print on stderr."""
    undrawn(monkeypatch)

    def stages(rows: Rows | str | None, **data: Any) -> str:
        workspace = tmp_path / "workspace"
        (workspace / "data/weights").mkdir(parents=True, exist_ok=True)
        monkeypatch.chdir(workspace)
        content = YAML(typ="safe").load(DEMO.read_text(encoding="utf-8"))
        content["run"]["workers"] = 1
        content["data"] |= {"path": str(csv_folder), "title": "hand-made", **data}
        content["validate"] |= {"verdicts": None if rows is None else NAME, "max_bad_fraction": 0.5}
        with Path("params.yaml").open("w") as file:
            YAML(typ="safe").dump(content, file)
        if rows is not None:
            Path(NAME).parent.mkdir(exist_ok=True)
            write(Path(NAME), rows)
        try:
            check.main()
            validate.main()
        except SystemExit:
            pass
        return capsys.readouterr().err

    return stages


def write(path: Path, rows: Rows | str) -> None:
    if isinstance(rows, str):
        path.write_text(rows)
        return
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def verdict(image_id: str, verdict: str, split: str = "train") -> dict[str, str]:
    """A line of suspects.csv."""
    return {
        "image_id": image_id,
        "split": split,
        "label": "not read",
        "suggested": "not read",
        "quality": "0.1",
        "verdict": verdict,
    }


def labels() -> dict[str, str | None]:
    table = load_manifest()
    return dict(zip(table["image_id"], table["label"], strict=True))


def figures() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path("metrics/validate.json").read_text())
    return found


@pytest.mark.slow
def test_images_are_dropped_and_relabelled(run: Callable[..., str]) -> None:
    run(None)
    before = labels()
    assert "verdicts" not in figures()
    other = next(label for label in sorted(filter(None, before.values())) if label != before["train01"])
    rows = [
        verdict("train00", "drop"),
        verdict("train01", other),
        verdict("train02", " keep "),
        verdict("train03", ""),  # nobody has judged it
        verdict("validation00", "drop", "validation"),
        verdict("train04", str(before["train04"])),  # the label that it has
    ]
    errors = run(rows)
    assert "error" not in errors
    after = labels()
    assert set(before) - set(after) == {"train00", "validation00"}
    assert {name: label for name, label in after.items() if label != before[name]} == {"train01": other}
    assert figures()["verdicts"] == {
        "kept": 2,
        "dropped": 2,
        "relabelled": 1,
        "unused": 0,
        "changes": {"train00": "drop", "train01": f"{before['train01']} → {other}", "validation00": "drop"},
    }
    assert figures()["set_aside"][REASON] == 2
    aside = pd.read_csv("reports/validate/set_aside.csv")
    assert aside[["image_id", "split", "reason"]].to_numpy().tolist() == [
        ["train00", "train", REASON],
        ["validation00", "validation", REASON],
    ]
    assert "set aside" in errors


@pytest.mark.slow
def test_dropped_images_do_not_count_as_bad_files(run: Callable[..., str]) -> None:
    """`max_bad_fraction` is about files that cannot be used."""
    run(None)
    many = [verdict(name, "drop") for name in labels() if name.startswith("validation")]
    assert "error" not in run(many[:-2])


@pytest.mark.slow
def test_an_image_that_is_not_used_is_counted(run: Callable[..., str], csv_folder: Path) -> None:
    (csv_folder / "train/train05.png").write_bytes(b"no picture")
    assert "error" not in run([verdict("train05", "drop")])
    assert figures()["verdicts"] == {"kept": 0, "dropped": 0, "relabelled": 0, "unused": 1, "changes": {}}


@pytest.mark.slow
def test_a_split_that_the_source_lacks_is_no_obstacle(run: Callable[..., str], csv_folder: Path) -> None:
    """suspects.csv names the split that `validate` put the image into; the source may call all of them train."""
    (csv_folder / "validation.csv").unlink()
    assert "error" not in run([verdict("train00", "drop", "validation")], validation_fraction=0.4)
    assert figures()["verdicts"]["dropped"] == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([verdict("train99", "drop")], "the source has no image 'train99'; correct or remove its line"),
        (
            [verdict("train00", "dorp")],
            "image 'train00': the verdict 'dorp' is neither keep, drop nor a label; did you mean 'drop'?",
        ),
        ([verdict("train00", "drop"), verdict("train00", "keep")], "image 'train00' has two verdicts; keep one"),
        ([verdict("test00", "drop", "test")], "image 'test00' has no label to judge; remove its line"),
        (
            "image_id,label\ntrain00,0\n",
            "has no column 'verdict' (its columns: image_id, label); copy the suspects.csv that `explain` writes, and "
            "fill in its column verdict",
        ),
        ("", "cannot be read as CSV: No columns to parse from file"),
    ],
)
def test_a_verdict_that_cannot_be_is_one_line(run: Callable[..., str], rows: Rows | str, message: str) -> None:
    joint = " " if isinstance(rows, str) else ": "
    assert run(rows).splitlines()[-1] == f"error: validate.verdicts: {NAME}{joint}{message}"
    assert not Path("data/manifest.parquet").exists()


@pytest.mark.slow
def test_an_id_in_two_splits_needs_the_split(run: Callable[..., str], csv_folder: Path) -> None:
    with (csv_folder / "validation.csv").open("a") as file:
        file.write("train00,a\n")
    (csv_folder / "validation/train00.png").write_bytes((csv_folder / "validation/validation00.png").read_bytes())
    assert run([verdict("train00", "keep", "")]).splitlines()[-1] == (
        f"error: validate.verdicts: {NAME}: image 'train00' is in several splits (train, validation); name one in the "
        "column split"
    )
    assert "error" not in run([verdict("train00", "drop", "validation")])
    table = load_manifest()
    assert table.loc[table["image_id"] == "train00", "split"].tolist() == ["train"]


@pytest.mark.slow
def test_a_class_must_keep_an_image(run: Callable[..., str]) -> None:
    run(None)
    gone = labels()["train00"]
    all_of_it = [
        verdict(name, "drop") for name, label in labels().items() if label == gone and name.startswith("train")
    ]
    Path("data/manifest.parquet").unlink()
    assert run(all_of_it).splitlines()[-1] == (
        f"error: validate.verdicts: {NAME} leaves 1 class(es) without train images: {gone}"
    )


@pytest.mark.slow
def test_the_file_must_exist(run: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    run([verdict("train00", "keep")])
    Path(NAME).unlink()
    with pytest.raises(SystemExit):
        check.main()
    assert capsys.readouterr().err == (
        f"error: validate.verdicts: {NAME} cannot be read (No such file or directory); copy the table there, or set it "
        "to null\n"
    )
