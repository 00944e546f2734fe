"""The benchmark that compares two models: its rows by hand, and what it says where nothing can be compared."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.paired import compare, conditions_of, main
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
    rows = compare(conditions_of(str(tmp_path / "one")), conditions_of(f"{tmp_path / 'two'}:other"))
    assert [row.condition for row in rows] == ["clean", "jpeg", "clean, mean of both"]
    clean, jpeg, mean = rows
    assert (clean.images, clean.first, clean.second) == (9, pytest.approx(3 / 9), pytest.approx(8 / 9))
    assert (clean.only_first, clean.only_second, clean.p) == (0, 5, pytest.approx(2 / 2**5))
    assert clean.corrected == pytest.approx(4 / 2**5)
    assert (jpeg.only_first, jpeg.only_second, jpeg.p, jpeg.corrected) == (1, 0, 1.0, 1.0)
    # the second is surer, so the mean is wrong where the second is
    assert (mean.only_first, mean.only_second, mean.second, mean.corrected) == (0, 5, pytest.approx(8 / 9), None)


def test_other_images_are_refused(tmp_path: Path) -> None:
    one, other = {"clean": of(set())}, {"clean": predictions(LABELS, of(set()).probabilities, NAMES[::-1])}
    with pytest.raises(InputError, match="clean: the two models were scored on different images, labels or classes"):
        compare(one, other)


def test_the_command_prints_a_table_and_writes_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "[one]", "lda", {"clean": of({0}), "jpeg": of({0, 1})})
    save(tmp_path / "[one]", "svm", {"clean": of(set()), "jpeg": of({0})})
    monkeypatch.setattr(sys, "argv", ["paired", "[one]:lda", "[one]:svm", "--json", "rows.json"])
    main()
    printed = capsys.readouterr().out
    assert "first: [one]:lda" in printed
    assert "accuracy in % of 9 images" in printed
    assert "88.9" in printed
    rows = json.loads(Path("rows.json").read_text(encoding="utf-8"))
    assert [(row["condition"], row["only_second"]) for row in rows] == [
        ("clean", 1),
        ("jpeg", 1),
        ("clean, mean of both", 1),
    ]


def test_a_folder_without_results_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["paired", "nowhere", "nowhere"])
    with pytest.raises(SystemExit):
        main()
    assert "nowhere/data/calibrated/trace_net.parquet is missing: name a folder with results, or FOLDER:MODEL" in (
        capsys.readouterr().err
    )
