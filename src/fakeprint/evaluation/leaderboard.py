"""The leaderboard: models in order, metrics with intervals, paired tests against the champion, recall per class."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from fakeprint.evaluation.detection import detector_of
from fakeprint.evaluation.detection_intervals import area_with_interval
from fakeprint.evaluation.intervals import Interval, against_any, against_one
from fakeprint.evaluation.predictions import Predictions
from fakeprint.evaluation.robustness import Robustness, Worst
from fakeprint.evaluation.scores import Scores, scored

OTHERS = {"macro_f1": "macro F1", "log_loss": "log loss"}
BINS = 15  # of the calibration error, which the leaderboard does not show


@dataclass(frozen=True)
class Standing:
    """One model on the leaderboard.

    scores: on validation; they decide the order. test: on test, None if no test image is labelled.
    p_holm: p-value of the test against the champion, Holm-corrected; None for the champion itself. worst: the
    degradation with its lowest accuracy, None if none was tried. area: AUC of real against fake, on the split of the
    p-values, and its interval or None; None if that split does not have images of both.
    """

    name: str
    scores: Scores
    p_holm: float | None
    test: Scores | None = None
    worst: Worst | None = None
    area: tuple[float, Interval | None] | None = None

    @property
    def accuracy(self) -> float:
        """On validation, in [0, 1]; `low` and `high` are its interval."""
        return float(self.scores.figures["accuracy"])

    @property
    def low(self) -> float:
        """Lower bound of the accuracy."""
        return float(self.scores.intervals["accuracy"][0])

    @property
    def high(self) -> float:
        """Upper bound of the accuracy."""
        return float(self.scores.intervals["accuracy"][1])

    @property
    def recall(self) -> list[float]:
        """Per class on validation; NaN for a class without images."""
        return [float(share) for share in self.scores.report.table["recall"]]

    @property
    def recall_intervals(self) -> list[Interval | None]:
        """Per class, None for a class without images."""
        bounds = self.scores.report.intervals
        return [bounds.get((name, "recall")) for name in self.scores.report.table.index]


@dataclass(frozen=True)
class Leaderboard:
    """The models' standings, best on validation first.

    names: of the classes. confidence: of the intervals. images, test_images: numbers of labelled images of validation
    and test; test_images is 0 if none is labelled. grouped: whether a group has several images, so that intervals and
    tests are for groups.
    """

    standings: list[Standing]
    names: list[str]
    images: int
    confidence: float
    test_images: int = 0
    grouped: bool = False

    @property
    def champion(self) -> Standing:
        """The best model."""
        return self.standings[0]

    @property
    def degraded(self) -> bool:
        """Whether any model was evaluated on degraded images."""
        return any(row.worst for row in self.standings)

    @property
    def detecting(self) -> bool:
        """Whether some classes are real, so that models are evaluated as detectors too."""
        return any(row.area for row in self.standings)

    @property
    def compared_on(self) -> str:
        """The split on which the p-values are computed."""
        return "test" if self.test_images else "validation"

    def as_json(self) -> dict[str, Any]:
        """For `dvc metrics show`: nested dicts of numbers, and pairs under `intervals`, which it ignores."""
        return {
            "champion": self.champion.name,
            "images": self.images,
            **({"test_images": self.test_images} if self.test_images else {}),
            "compared_on": self.compared_on,
            "confidence": self.confidence,
            "models": {
                row.name: {
                    **_main_figures(row.scores),
                    **({} if row.p_holm is None else {"p_holm": row.p_holm}),
                    **({"test": _main_figures(row.test)} if row.test else {}),
                    **({"worst": row.worst.as_json()} if row.worst else {}),
                    **({"detection": _area_figures(*row.area)} if row.area else {}),
                }
                for row in self.standings
            },
        }

    def rows(self) -> list[list[str]]:
        """Accuracies, with intervals in brackets, and p-values as text: one list per model in the order of `header`."""
        return [
            [
                row.name,
                _accuracy_text(row.scores),
                *([_accuracy_text(row.test)] if row.test else []),
                *([_worst_text(row.worst)] if self.degraded else []),
                *([_area_text(row.area)] if self.detecting else []),
                "champion" if row.p_holm is None else p_text(row.p_holm),
            ]
            for row in self.standings
        ]

    def header(self) -> list[str]:
        """The columns of `rows`."""
        test = ["test accuracy"] if self.test_images else []
        worst = ["worst degraded"] * self.degraded
        area = ["test AUC real/fake" if self.test_images else "AUC real/fake"] * self.detecting
        return ["model", "accuracy", *test, *worst, *area, "p (Holm)"]

    def other_rows(self) -> list[list[str]]:
        """Macro F1 and log loss with intervals as text, of validation and then of test, one list per model."""
        return [
            [
                row.name,
                *(_with_interval(each, name) for each in (row.scores, row.test) if each for name in OTHERS),
            ]
            for row in self.standings
        ]

    def recall_rows(self) -> list[list[str]]:
        """Recall of each class on validation as text, one list per model."""
        return [
            [row.name, *(_recall_text(*pair) for pair in zip(row.recall, row.recall_intervals, strict=True))]
            for row in self.standings
        ]

    def as_table(self, title: str) -> Table:
        """The leaderboard for the terminal. title: of the data."""
        on_test = f", {self.test_images} test images" if self.test_images else ""
        caption = (
            f"{self.images} validation images{on_test}; in brackets: {100 * self.confidence:g} % intervals\n"
            f"order: validation; p against the champion, on {self.compared_on}, Holm-corrected"
        )
        narrow: dict[str, Any] = {
            "box": box.SIMPLE_HEAD,
            "padding": (0, 1, 0, 0),
            "pad_edge": False,
            "min_width": 72,
        }  # of 80
        table = Table(title=f"Leaderboard: {title}", caption=caption, **narrow)
        table.add_column("model", no_wrap=True)
        for heading in self.header()[1:]:
            table.add_column(heading, justify="right", overflow="fold")
        for place, row in enumerate(self.rows()):
            table.add_row(*(re.sub(r" (?=\()|, ", "\n", cell) for cell in row), style="bold" if place == 0 else None)
        return table

    def as_markdown(self, title: str) -> str:
        """The leaderboard and the tables of the other figures in Markdown. title: of the data."""
        of_test = [f"test {heading}" for heading in OTHERS.values()] if self.test_images else []
        return "\n".join(
            [
                f"# Leaderboard: {title}",
                "",
                self._explained(),
                "",
                *_markdown_table(self.header(), self.rows()),
                "",
                "## Macro F1 and log loss",
                "",
                *_markdown_table(["model", *OTHERS.values(), *of_test], self.other_rows()),
                "",
                "## Recall per class on validation",
                "",
                *_markdown_table(["model", *self.names], self.recall_rows()),
                "",
            ]
        )

    def _explained(self) -> str:
        """The text that explains the table's figures, intervals and p-values."""
        of_test = f" and {self.test_images} labelled test images" if self.test_images else ""
        grouped = ", computed over groups, since images of a group are not independent" * self.grouped
        text = (
            f"{self.images} validation images{of_test}. Order and champion are by validation accuracy. In brackets: "
            f"{100 * self.confidence:g} % intervals, Wilson's for proportions, bootstrap for the other "
            f"figures{grouped}."
        )
        if len(self.standings) > 1:
            text += self._tests_explained()
        if self.degraded:
            text += (
                " Worst degraded: the lowest validation accuracy over the degradations; since it is the lowest of "
                "several figures, it is slightly too low."
            )
        if self.detecting:
            text += f" AUC real/fake: area under the ROC curve of the {self.compared_on} images as real or fake."
        return text

    def _tests_explained(self) -> str:
        others = len(self.standings) - 1
        pairs = others * (others + 1) // 2
        test = "exact McNemar test" + " (sign-flip test where groups hold several images)" * self.grouped
        text = f" p: {test} of the model against the champion on the {self.compared_on} images, Holm-corrected for "
        if self.test_images:
            text += (
                f"{others} comparison{'s' * (others > 1)}. Nothing was chosen on test: its figures are reported once. "
                "The champion was selected by its validation accuracy, which is therefore slightly too high; its test "
                "accuracy is not."
            )
        else:
            text += (
                f"{f'all {pairs} pairs' if pairs > 1 else 'the one pair'} of models, because the champion was selected "
                "on these images. For the same reason its own accuracy is slightly too high. The same is true for a "
                "network whose epoch, or a k-NN whose k, was chosen on them; the p-values do not correct for that."
            )
        return text + " A large p means that this number of images does not separate the model from the champion."


def _main_figures(scores: Scores) -> dict[str, Any]:
    low, high = scores.intervals["accuracy"]
    return {
        "accuracy": scores.figures["accuracy"],
        "low": low,
        "high": high,
        **{name: scores.figures[name] for name in OTHERS},
        "intervals": {name: list(scores.intervals[name]) for name in OTHERS if name in scores.intervals},
    }


def _accuracy_text(scores: Scores) -> str:
    low, high = scores.intervals["accuracy"]
    return f"{100 * scores.figures['accuracy']:.2f} % ({100 * low:.1f}–{100 * high:.1f})"


def _with_interval(scores: Scores, name: str) -> str:
    pair = scores.intervals.get(name)
    return f"{scores.figures[name]:.4f}" + (f" ({pair[0]:.3f}–{pair[1]:.3f})" if pair else "")


def _recall_text(share: float, pair: Interval | None) -> str:
    if pair is None:
        return "–"
    return f"{100 * share:.1f} % ({100 * pair[0]:.0f}–{100 * pair[1]:.0f})"


def _worst_text(worst: Worst | None) -> str:
    if worst is None:
        return "–"
    bounds = " ({:.1f}–{:.1f})".format(*(100 * bound for bound in worst.interval)) if worst.interval else ""
    return f"{100 * worst.accuracy:.2f} %{bounds}, {worst.cell}"


def _area_figures(area: float, pair: Interval | None) -> dict[str, Any]:
    return {"auc": area, "intervals": {"auc": pair} if pair else {}}


def _area_text(area: tuple[float, Interval | None] | None) -> str:
    if area is None:
        return "–"
    value, pair = area
    return f"{value:.4f}" + (f" ({pair[0]:.3f}–{pair[1]:.3f})" if pair else "")


def p_text(p: float) -> str:
    """A p-value as text."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _markdown_table(header: list[str], rows: list[list[str]]) -> list[str]:
    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    rule = "| --- |" + " ---: |" * (len(header) - 1)
    return [line(header), rule, *map(line, rows)]


def compare(
    models: dict[str, Predictions],
    names: list[str],
    confidence: float,
    robustness: Robustness | None = None,
    test: dict[str, Predictions] | None = None,
    seed: int = 0,
    real: Sequence[int] = (),
) -> Leaderboard:
    """Rank models by validation accuracy, ties by log loss, then by name. The first is the champion.

    The others are tested against it: on test if that is labelled, since nothing was chosen on it, as M − 1 comparisons;
    otherwise on validation, on which the champion was selected, as part of the family of all pairs.

    models: labelled predictions of validation by model, of the same images in the same order, at least one model and
    one image. names: of the classes. robustness: for each model's worst degradation. test: the same models' predictions
    of the test split; unlabelled images are left out. seed: params.seed. real: indices of the real classes; if there
    are any, each model gets an AUC as a detector.
    """

    def scores_of(predictions: Predictions) -> Scores:
        return scored(predictions, names, BINS, confidence, seed, areas=False)

    def area_of(predictions: Predictions) -> tuple[float, Interval | None] | None:
        detector = detector_of(predictions, real, names) if real else None
        return area_with_interval(detector, seed, confidence) if detector else None

    on_validation = {name: scores_of(predictions) for name, predictions in models.items()}
    order = sorted(models, key=lambda name: _rank(name, on_validation[name]))
    labelled = {name: (test or {})[name].labelled for name in order if test}
    has_test = any(len(predictions.labels) for predictions in labelled.values())
    tested = labelled if has_test else models
    correct, groups = np.array([tested[name].correct for name in order]), tested[order[0]].groups
    p_values = against_one(correct, groups, 0) if has_test else against_any(correct, groups)[0]
    standings = [
        Standing(
            name,
            on_validation[name],
            float(p) if name != order[0] else None,
            scores_of(labelled[name]) if has_test else None,
            robustness.worst(name) if robustness else None,
            area_of(tested[name]),
        )
        for name, p in zip(order, p_values, strict=True)
    ]
    images, test_images = len(models[order[0]].labels), len(groups) if has_test else 0
    return Leaderboard(
        standings, names, images, confidence, test_images, _any_shared(models.values(), labelled.values())
    )


def _rank(name: str, scores: Scores) -> tuple[float, float, str]:
    return -scores.figures["accuracy"], scores.figures["log_loss"], name


def _any_shared(*splits: Iterable[Predictions]) -> bool:
    """Whether any two images are of one group."""
    return any(len(np.unique(each.groups)) < len(each.groups) for split in splits for each in split)
