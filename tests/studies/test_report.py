"""The page, the pictures and the numbers of a study that nobody ran."""

import io
import itertools
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from fakeprint.digests import md5
from fakeprint.errors import InputError
from fakeprint.studies import plots, report, tables
from fakeprint.studies.results import StudyResults
from fakeprint.studies.statistics import Statistics, analyse
from fakeprint.studies.study import BASELINE
from tests.studies.made_up import study

MODEL = "small_cnn"


@pytest.fixture(scope="module")
def results() -> StudyResults:
    """Three arms, one of them without seed 3 and another without any."""
    effects = {"no_flip": -0.6, "smooth": 0.5, "late": 0.1}
    missing = [("no_flip", 3), *(("late", seed) for seed in range(1, 9))]
    found = study(effects, range(1, 9), missing=missing, extras=True, margin=0.001, published="Flips help.")
    failed = {("no_flip", 3): "failed: out of memory"}
    return replace(
        found, name="flips", missing=failed, path=[BASELINE, "smooth"], preset="unibuc", overrides=("model.width=0.5",)
    )


@pytest.fixture(scope="module")
def statistics(results: StudyResults) -> Statistics:
    return analyse(results)


@pytest.fixture(scope="module")
def written_once(
    results: StudyResults, statistics: Statistics, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[Path]]:
    folder = tmp_path_factory.mktemp("written")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return folder, report.write(results, statistics)


@pytest.fixture
def written(written_once: tuple[Path, list[Path]], monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The report's files, in the current folder."""
    folder, files = written_once
    monkeypatch.chdir(folder)
    return files


@pytest.fixture(scope="module")
def page(results: StudyResults, statistics: Statistics) -> str:
    return report.as_markdown(results, statistics, [f"forest-{MODEL}"])


def test_the_page_says_what_was_requested_and_run(page: str) -> None:
    assert page.startswith("# flips\n\nDoes it help?\n\n**Published:** Flips help.\n")
    assert (
        "`presets/unibuc.yaml` on made-up images; seeds 1, 2, 3, 4, 5, 6, 7, 8, which draw the training anew." in page
    )
    assert "\n**Not as in the preset**, in all arms: `model.width=0.5`.\n" in page
    assert "| no_flip | `model.dropout: -0.6` |" in page and "| baseline | nothing |" in page


def test_the_table_has_a_row_per_arm(page: str, results: StudyResults, statistics: Statistics) -> None:
    rows = {row[0]: row for row in tables.main_rows(results, statistics, MODEL)}
    assert list(rows) == [BASELINE, "no_flip", "smooth", "late"]
    assert rows[BASELINE][3:] == ["–", "–", "compared to"]
    values = [cell.figures[MODEL]["accuracy"] for cell in results.of_arm("no_flip").values()]
    assert rows["no_flip"][1:3] == ["7 of 8", f"{100 * np.mean(values):.2f} ± {100 * np.std(values, ddof=1):.2f} %"]
    assert rows["late"][1:] == ["0 of 8", "–", "–", "–", "not run"]
    assert rows["smooth"][5] == "better" and re.fullmatch(
        r"\+\d+\.\d\d \(\+\d+\.\d\d to \+\d+\.\d\d\)", rows["smooth"][3]
    )
    for row in rows.values():
        assert "| " + " | ".join(row) + " |" in page


def test_verdicts_are_in_words_with_their_reasons(page: str) -> None:
    assert re.search(r"- \*\*smooth\*\*: better than baseline\. \+[^)]+\) points, p = 0\.0\d\d\.", page)
    assert "- **no\\_flip**: worse than baseline. −" in page
    assert "Compared on the 7 seeds that both arms have, of 8." in page
    assert "- **late**: not compared, since no seed of both arms is complete." in page


def how_to_read(results: StudyResults, over_replicates_alone: tuple[str, ...] = ()) -> str:
    statistics = analyse(results)
    comparisons = {
        key: replace(each, over_images=False) if key[2] in over_replicates_alone else each
        for key, each in statistics.comparisons.items()
    }
    page = report.as_markdown(results, replace(statistics, comparisons=comparisons), [])
    return page.split("## How to read it")[1]


def test_the_page_says_what_the_intervals_cover() -> None:
    results = study({"smooth": 0.5}, range(1, 5))
    assert "95 % intervals cover other seeds and other images. p:" in how_to_read(results)
    some = how_to_read(results, ("log_loss", "ece"))
    assert "cover other seeds and other images (those of log loss, calibration error (ECE): other seeds alone)." in some
    assert "95 % intervals cover other seeds alone. p:" in how_to_read(results, tuple(results.study.metrics))


@pytest.mark.parametrize(
    ("about", "test"),
    [
        ({"test": "t"}, "Student's t test over seeds and of the interval"),
        ({}, "the exact Wilcoxon signed-rank test over seeds and of the interval"),
        ({"folds": True}, "Student's t test over folds, corrected for their overlapping train splits (Nadeau & Bengio"),
    ],
)
def test_the_page_names_the_test(about: dict[str, Any], test: str) -> None:
    assert f"p: the larger value of {test}" in how_to_read(study({"smooth": 0.5}, range(4), **about))


def test_missing_cells_are_listed_with_the_reason(page: str) -> None:
    assert "- no\\_flip: seed 3: failed: out of memory" in page
    assert "- late: seeds 1, 2, 3, 4, 5, 6, 7, 8: not run" in page


def test_robustness_calibration_and_cost_stand_beside_accuracy(page: str) -> None:
    header = next(line for line in page.splitlines() if "seconds per cell" in line)
    assert "calibration error (ECE)" in header and "worst degraded accuracy" in header
    row = next(line for line in page.splitlines() if line.startswith("| smooth |") and "messenger" in line)
    assert row.endswith("%, messenger | 105 |")  # mean of 70, 80, …, 140 seconds


def test_the_page_has_no_paths_of_this_machine(page: str, written: list[Path]) -> None:
    for text in (page, *(file.read_text() for file in written if file.suffix in (".json", ".csv"))):
        assert str(Path.cwd()) not in text and "/home" not in text and "/tmp" not in text


def test_all_files_are_written(written: list[Path]) -> None:
    pictures = [f"docs/studies/flips/{kind}-{MODEL}.png" for kind in ("forest", "path", "curves", "heat")]
    numbers = ["metrics/studies/flips.json", "metrics/studies/flips/cells.csv", "metrics/studies/flips/curves.csv"]
    assert [file.as_posix() for file in written] == ["docs/studies/flips.md", *pictures, *numbers]
    page = written[0].read_text()
    for picture in pictures:
        assert f"](flips/{Path(picture).name})" in page and Path(picture).read_bytes()[:4] == b"\x89PNG"


@pytest.mark.slow
def test_the_same_results_give_the_same_bytes(
    results: StudyResults, written: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {file: md5(file) for file in written}
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs/studies/flips").mkdir(parents=True)
    Path("docs/studies/flips/old.png").write_text("of an arm that is gone")
    assert {file: md5(file) for file in report.write(results)} == before
    assert not Path("docs/studies/flips/old.png").exists()


def test_the_seconds_are_in_the_page_alone(results: StudyResults, statistics: Statistics) -> None:
    """They differ from run to run; `dvc metrics diff` would show them as a change."""
    slower = replace(results, cells=[replace(cell, seconds=1000.0) for cell in results.cells])
    assert "| 1,000 |" in report.as_markdown(slower, statistics, [])
    assert tables.as_json(slower, statistics) == tables.as_json(results, statistics)
    assert tables.cells_table(slower).equals(tables.cells_table(results))


def test_the_numbers_are_those_of_the_statistics(written: list[Path], statistics: Statistics) -> None:
    content = json.loads(Path("metrics/studies/flips.json").read_text())
    comparison = statistics.comparisons["smooth", MODEL, "accuracy"]
    found = content["models"][MODEL]["smooth"]["accuracy"]
    assert found["n"] == found["n_compared"] == 8 and found["verdict"] == "better"
    assert (found["low"], found["high"]) == pytest.approx(comparison.interval, abs=1e-6)
    assert found["difference"] == pytest.approx(comparison.difference, abs=1e-6)
    assert content["missing_cells"] == 9 and content["comparisons"] == 3
    assert content["models"][MODEL]["late"]["accuracy"] == {"n": 0, "verdict": "not run"}
    cells = pd.read_csv("metrics/studies/flips/cells.csv")
    assert len(cells) == 23 and list(cells.columns[:4]) == ["arm", "replicate", "model", "key"]
    curves = pd.read_csv("metrics/studies/flips/curves.csv")
    assert len(curves) == 3 * 8 and set(curves["replicates"]) == {7, 8}


def test_the_terminals_table_fits_into_80_columns(results: StudyResults, statistics: Statistics) -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(tables.as_table(results, statistics, MODEL))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80
    assert "no_flip" in text and "7 of 8" in text and "better" in text and "…" not in text


def test_a_study_without_results_is_one_line(results: StudyResults) -> None:
    with pytest.raises(InputError) as error:
        report.write(replace(results, cells=[]))
    assert str(error.value) == (
        "flips: no cell is complete yet; run them with `fakeprint study run studies/flips.yaml`"
    )


def test_long_names_stay_different() -> None:
    names = [f"train.transforms.{name}.enabled=true, models.hist_cnn.bins={bins}" for name in "ab" for bins in (8, 16)]
    short = plots.short_names(names, 40)
    assert short[names[0]] == "a.enabled=true, hist_cnn.bins=8"
    tight = plots.short_names([f"{'long ' * 10}{number}{' words' * 10}" for number in range(12)], 22)
    assert len(set(tight.values())) == 12 and max(map(len, tight.values())) <= 22


def texts(figure) -> list[str]:
    axes = figure.axes[0]
    return [text.get_text() for text in [*axes.texts, *axes.get_yticklabels(), axes.title]]


def test_the_forest_has_a_dot_per_seed_and_the_verdicts(results: StudyResults, statistics: Statistics) -> None:
    figure = plots.forest_picture(results, statistics, MODEL)
    dots = {len(line.get_xdata()) for line in figure.axes[0].lines if line.get_marker() == "o"}
    assert dots == {0, 7, 8}
    shown = texts(figure)
    assert "better" in shown and "not run" in shown and "no_flip (7 of 8)" in shown


@pytest.mark.slow
def test_labels_of_many_arms_with_long_names_do_not_overlap() -> None:
    """`write_figure` cuts at the drawn content, so nothing can be outside the picture."""
    rng = np.random.default_rng(0)
    effects = {f"train.transforms.number_{arm}.strength={arm}, x=[{arm}]": rng.normal(0, 0.2) for arm in range(20)}
    found = study(effects, images=60, extras=True)
    statistics = analyse(found)
    for figure in (
        plots.forest_picture(found, statistics, MODEL),
        plots.curves_picture(found, MODEL),
        plots.heat_picture(found, MODEL),
        plots.path_picture(replace(found, path=[BASELINE, *effects]), statistics, MODEL),
    ):
        assert figure is not None
        figure.canvas.draw()
        for axes in figure.axes[:1]:
            labels = [label.get_window_extent() for label in axes.get_yticklabels() if label.get_text()]
            for upper, lower in itertools.pairwise(labels):
                assert not upper.overlaps(lower)
    titles = [axes.title.get_window_extent() for axes in plots_of(found)]
    for left, right in itertools.pairwise(titles):
        assert not left.overlaps(right)


def plots_of(found: StudyResults):
    figure = plots.curves_picture(found, MODEL)
    assert figure is not None
    figure.canvas.draw()
    return [axes for axes in figure.axes if axes.get_title()]


def test_curves_are_of_all_arms(results: StudyResults) -> None:
    figure = plots.curves_picture(results, MODEL)
    legend = figure.axes[0].get_legend()
    assert legend
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == ["no_flip (7 of 8)", "smooth", BASELINE]  # late has none
    assert plots.curves_picture(replace(results, cells=[replace(c, curves={}) for c in results.cells]), MODEL) is None


def test_curves_join_the_epochs_that_were_validated(results: StudyResults) -> None:
    def thinned(curve: pd.DataFrame) -> pd.DataFrame:
        return curve.assign(validation_accuracy=curve["validation_accuracy"].where(curve["epoch"] % 2 == 0))

    cells = [
        replace(cell, curves={name: thinned(each) for name, each in cell.curves.items()}) for cell in results.cells
    ]
    epochs = tables.curves_table(replace(results, cells=cells))["epoch"]
    assert set(epochs) == {epoch for epoch in tables.curves_table(results)["epoch"] if epoch % 2 == 0}
    (axes, *_) = plots.curves_picture(replace(results, cells=cells), MODEL).axes
    for line in axes.lines:
        assert len(line.get_xdata()) > 1 and not (line.get_xdata() % 2).any()
        assert np.isfinite(line.get_ydata()).all()


def test_the_heat_map_has_arms_and_degradations(results: StudyResults) -> None:
    axes = plots.heat_picture(results, MODEL).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["clean", "blur_1", "jpeg_75", "messenger"]
    assert {label.get_text() for label in axes.get_yticklabels()} == {BASELINE, "no_flip (7 of 8)", "smooth"}
    assert plots.heat_picture(replace(results, cells=[replace(c, degraded={}) for c in results.cells]), MODEL) is None


def test_the_waterfall_goes_from_first_to_last(results: StudyResults, statistics: Statistics) -> None:
    figure = plots.path_picture(results, statistics, MODEL)
    shown = texts(figure)
    mean = statistics.summaries["smooth", MODEL, "accuracy"].mean
    assert any(text.startswith(f"{100 * mean:.2f} %   +") for text in shown)
    figure.draw_without_rendering()
    (first,) = figure.axes[0].lines[0].get_xdata()
    low, high = figure.axes[0].get_xlim()
    assert low < first - 0.02 * (high - low) and first + 0.02 * (high - low) < high  # the first mark is not cut


def test_an_arm_on_a_path_is_named_by_its_last_step(results: StudyResults) -> None:
    changes = {"smooth": {"a": [1]}, "smooth + late": {"a": [1], "b": True}, "late": {"b": True}}
    found = replace(results, path=[BASELINE, "smooth", "smooth + late"], arms={BASELINE: {}, **changes})
    assert list(tables.shown_names(found).values()) == [BASELINE, "smooth", "… + late", "late"]
    assert "| smooth + late | those of the line above, `b: true` |\n| late | `b: true` |" in "\n".join(
        report._what_was_run(found)
    )


def test_the_steps_of_a_path_are_named_by_what_they_add(results: StudyResults) -> None:
    path = [BASELINE, "smooth", "smooth + late", "another"]
    names = tables.step_names(replace(results, path=path))
    assert list(names) == path and list(names.values()) == [BASELINE, "+ smooth", "+ late", "another"]
