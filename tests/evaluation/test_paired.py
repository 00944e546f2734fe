"""The benchmark that compares two models: its rows by hand, and what it says where nothing can be compared."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.paired import accuracy_of_mean, compare, conditions_of, main
from fakeprint.errors import InputError
from fakeprint.evaluation.predictions import CALIBRATED, Predictions, save_predictions
from tests.samples import predictions

LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, -1])
NAMES = [f"{number}.png" for number in range(10)]


def of(wrong: set[int], confidence: float = 0.6) -> Predictions:
    """A model that is wrong on these images, each time with this confidence."""
    answers = np.array([label ^ (number in wrong) if label >= 0 else 0 for number, label in enumerate(LABELS)])
    probabilities = np.where(answers[:, None] == np.arange(2), confidence, 1 - confidence)
    return predictions(LABELS, probabilities, NAMES)


def save(folder: Path, name: str, conditions: dict[str, Predictions]) -> None:
    for condition, found in conditions.items():
        of_condition = folder / CALIBRATED if condition == "clean" else folder / CALIBRATED / "degraded" / condition
        save_predictions(name, ["a", "b"], {"validation": found}, of_condition)


def test_rows_by_hand(tmp_path: Path) -> None:
    save(tmp_path / "one", "trace_net", {"clean": of({0, 1, 2, 3, 4, 5}), "blur": of(set()), "jpeg": of({1})})
    save(tmp_path / "two", "other", {"clean": of({5}, 0.9), "jpeg": of({1, 2}), "noise": of(set())})
    first, second = conditions_of(str(tmp_path / "one")), conditions_of(f"{tmp_path / 'two'}:other")
    clean, jpeg = compare(first, second)
    assert (clean.condition, clean.images) == ("clean", 9)
    assert (clean.first, clean.second) == (pytest.approx(3 / 9), pytest.approx(8 / 9))
    assert (clean.only_first, clean.only_second, clean.p) == (0, 5, pytest.approx(2 / 2**5))
    assert clean.corrected == pytest.approx(4 / 2**5)
    assert (jpeg.condition, jpeg.only_first, jpeg.only_second, jpeg.p, jpeg.corrected) == ("jpeg", 1, 0, 1.0, 1.0)
    assert accuracy_of_mean(first["clean"], second["clean"]) == pytest.approx(8 / 9)  # the second is surer


def test_images_of_one_group_are_not_counted_as_independent() -> None:
    """Ten images that only the second has right: alone 2 / 2¹⁰, in two groups 2 / 2²."""
    labels, answers = np.zeros(10, dtype=int), np.tile([0.9, 0.1], (10, 1))
    right = predictions(labels, answers, NAMES)
    wrong = replace(right, probabilities=answers[:, ::-1])
    for groups, p in ((np.arange(10), 2 / 2**10), (np.arange(10) // 5, 2 / 2**2)):
        one, other = ({"clean": replace(each, groups=groups)} for each in (wrong, right))
        (row,) = compare(one, other)
        assert (row.only_second, row.p) == (10, pytest.approx(p))


@pytest.mark.parametrize(
    "change",
    [
        {"image_ids": np.array(NAMES[::-1], dtype=object)},
        {"labels": 1 - LABELS},
        {"groups": np.zeros(10, dtype=int)},
        {"probabilities": np.full((10, 3), 1 / 3)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_other_images_are_refused(change: dict) -> None:
    same = of(set())
    with pytest.raises(InputError, match="clean: the two models were scored on different images, labels, groups or"):
        compare({"clean": same}, {"clean": replace(same, **change)})


@pytest.mark.parametrize("name", ["[one]", "a:b"])
def test_the_command_prints_a_table_and_writes_the_rows(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    save(tmp_path / name, "trace_net", {"clean": of({0}), "jpeg": of({0, 1})})
    save(tmp_path / name, "svm", {"clean": of(set()), "noise": of({0}), "jpeg": of({0})})
    monkeypatch.setattr(sys, "argv", ["paired", name, f"{name}:svm", "--json", "rows.json"])
    main()
    printed = capsys.readouterr().out
    for part in (f"second: {name}:svm", "accuracy in % of 9 images", " 88.9 ", "only one was scored on it: noise"):
        assert part in printed
    assert "mean of both on clean images: 100.0 %" in printed
    content = json.loads(Path("rows.json").read_text(encoding="utf-8"))
    assert (content["first"], content["second"]) == (name, f"{name}:svm")
    assert [(row["condition"], row["only_second"]) for row in content["rows"]] == [("clean", 1), ("jpeg", 1)]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (("seed: 7 ", "seed: 8 "), r"noisy: the two folders degrade images differently: .*, seed 7, and .*, seed 8"),
        (
            ("jpeg: 50, blur: 1", "blur: 1, jpeg: 50"),
            r"jpeg: .* differently: \{'jpeg': 50, 'blur': 1\}, .*\{'blur': 1, 'jpeg",
        ),
        (
            ("robustness:\n  grid:", "other:\n  grid:"),
            r"jpeg: .* differently: \{'jpeg': 50, 'blur': 1\}, .* and \{\}, seed 7",
        ),
        (("robustness:\n  grid:", "robustness:\nother:\n  grid:"), r"jpeg: .* differently: .* and \{\}, seed 7"),
        (("noise: 2}", "noise: 3}"), r"noisy: .* differently: \{'noise': 2\}, seed 7, and \{'noise': 3\}, seed 7"),
    ],
)
def test_other_degradations_of_the_same_name_are_refused(
    change: tuple[str, str],
    found: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    content = "seed: 7 # a comment\nrobustness:\n  grid: {jpeg: {jpeg: 50, blur: 1}, noisy: {noise: 2}}\n"
    for name in ("one", "two"):
        save(tmp_path / name, "trace_net", {"clean": of({0}), "jpeg": of({0, 1}), "noisy": of({0, 1})})
        (tmp_path / name / "params.yaml").write_text(content)
    monkeypatch.setattr(sys, "argv", ["paired", str(tmp_path / "one"), str(tmp_path / "two")])
    main()
    (tmp_path / "two/params.yaml").write_text(content.replace(*change))
    with pytest.raises(SystemExit):
        main()
    assert re.search(found, " ".join(capsys.readouterr().err.split()))


@pytest.mark.parametrize("given", ["nowhere", "nowhere:", ":lda"])
def test_a_folder_without_results_is_named(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["paired", given, given])
    with pytest.raises(SystemExit):
        main()
    assert "parquet is missing: name a folder with results, or FOLDER:MODEL" in capsys.readouterr().err


def test_images_without_labels_are_refused(tmp_path: Path) -> None:
    save(tmp_path, "lda", {"clean": replace(of(set()), labels=np.full(10, -1))})
    with pytest.raises(InputError, match=r"lda\.parquet holds no labelled validation images"):
        conditions_of(f"{tmp_path}:lda")
