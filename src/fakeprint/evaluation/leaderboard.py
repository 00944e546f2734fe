"""All models side by side: order, intervals, paired tests against the champion, recall a class."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from fakeprint.evaluation import metrics
from fakeprint.evaluation.intervals import holm, mcnemar, wilson
from fakeprint.evaluation.predictions import Predictions
from fakeprint.evaluation.robustness import Robustness, Worst


@dataclass(frozen=True)
class Standing:
    """One model on the leaderboard.

    accuracy with its interval low–high, macro_f1, recall (a class; NaN for a class without images): in [0, 1].
    log_loss: in nats. p_holm: McNemar's p-value against the champion, Holm-corrected; None for the champion itself.
    worst: the degradation that costs it most, None where none was tried.
    """

    name: str
    accuracy: float
    low: float
    high: float
    macro_f1: float
    log_loss: float
    p_holm: float | None
    recall: list[float]
    worst: Worst | None = None


@dataclass(frozen=True)
class Leaderboard:
    """Standings, best first; names of the classes, number of validation images, confidence of the intervals."""

    standings: list[Standing]
    names: list[str]
    images: int
    confidence: float

    @property
    def champion(self) -> Standing:
        """The best model."""
        return self.standings[0]

    @property
    def degraded(self) -> bool:
        """Whether any model was tried on degraded images."""
        return any(row.worst for row in self.standings)

    def as_json(self) -> dict[str, Any]:
        """For `dvc metrics show`: nested dicts of numbers."""
        return {
            "champion": self.champion.name,
            "images": self.images,
            "models": {
                row.name: {
                    "accuracy": row.accuracy,
                    "low": row.low,
                    "high": row.high,
                    "macro_f1": row.macro_f1,
                    "log_loss": row.log_loss,
                    **({} if row.p_holm is None else {"p_holm": row.p_holm}),
                    **({"worst": vars(row.worst)} if row.worst else {}),
                }
                for row in self.standings
            },
        }

    def rows(self) -> list[list[str]]:
        """The figures as text, one list a model in the order of `header`."""
        return [
            [
                row.name,
                f"{100 * row.accuracy:.2f} %",
                f"{100 * row.low:.1f} – {100 * row.high:.1f} %",
                *([_worst_text(row.worst)] if self.degraded else []),
                f"{row.macro_f1:.4f}",
                f"{row.log_loss:.4f}",
                "champion" if row.p_holm is None else p_text(row.p_holm),
            ]
            for row in self.standings
        ]

    def header(self) -> list[str]:
        """The columns of `rows`."""
        interval = f"{100 * self.confidence:g} % interval"
        worst = ["worst degraded"] * self.degraded
        return ["model", "accuracy", interval, *worst, "macro F1", "log loss", "p (Holm)"]

    def recall_rows(self) -> list[list[str]]:
        """Recall of each class as text, one list a model."""
        return [
            [row.name, *("–" if np.isnan(share) else f"{100 * share:.1f} %" for share in row.recall)]
            for row in self.standings
        ]

    def as_table(self, title: str) -> Table:
        """The leaderboard for the terminal. title: of the data."""
        caption = f"{self.images} validation images; p: McNemar, Holm-corrected"
        narrow: dict[str, Any] = {"box": box.SIMPLE_HEAD, "padding": (0, 1, 0, 0), "pad_edge": False}  # 80 columns
        table = Table(title=f"Leaderboard: {title}", caption=caption, **narrow)
        table.add_column("model", no_wrap=True)
        for heading in self.header()[1:]:
            table.add_column(heading, justify="right", overflow="fold")
        for place, row in enumerate(self.rows()):
            table.add_row(
                *(cell.replace(" (", "\n(").replace(" – ", "–") for cell in row), style="bold" if place == 0 else None
            )
        return table

    def as_markdown(self, title: str) -> str:
        """The leaderboard and the recall table in Markdown. title: of the data."""
        return "\n".join(
            [
                f"# Leaderboard: {title}",
                "",
                f"{self.images} validation images. Intervals: Wilson, {100 * self.confidence:g} %. "
                "p: exact McNemar test of the model against the champion on the same images, Holm-corrected for "
                f"{len(self.standings) - 1} comparisons. The champion was picked on these images, so its own figure is "
                "a little too good; models with a large p are not told apart from it."
                + " Worst degraded: the accuracy on the degradation that costs the model most."
                * self.degraded,
                "",
                *_markdown_table(self.header(), self.rows()),
                "",
                "## Recall a class",
                "",
                *_markdown_table(["model", *self.names], self.recall_rows()),
                "",
            ]
        )


def _worst_text(worst: Worst | None) -> str:
    return f"{100 * worst.accuracy:.2f} % ({worst.cell})" if worst else "–"


def p_text(p: float) -> str:
    """A p-value to read."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _markdown_table(header: list[str], rows: list[list[str]]) -> list[str]:
    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    rule = "| --- |" + " ---: |" * (len(header) - 1)
    return [line(header), rule, *map(line, rows)]


def compare(
    models: dict[str, Predictions], names: list[str], confidence: float, robustness: Robustness | None = None
) -> Leaderboard:
    """Rank models by validation accuracy; equal ones by log loss, then by name.

    models: labelled predictions a model, all of the same images in the same order, at least one model and one image.
    names: of the classes. robustness: where given, each model's worst degradation stands beside its accuracy.
    """
    scored = sorted((-_accuracy(said), _log_loss(said), name) for name, said in models.items())
    order = [name for _, _, name in scored]
    champion = models[order[0]]
    against = holm(np.array([mcnemar(models[name].correct, champion.correct) for name in order[1:]]))
    p_values = [None, *map(float, against)]
    standings = [
        replace(
            _standing(name, models[name], names, confidence, p), worst=robustness.worst(name) if robustness else None
        )
        for name, p in zip(order, p_values, strict=True)
    ]
    return Leaderboard(standings, names, len(champion.labels), confidence)


def _accuracy(said: Predictions) -> float:
    return metrics.accuracy(said.labels, said.predicted)


def _log_loss(said: Predictions) -> float:
    return metrics.log_loss(said.labels, said.probabilities)


def _standing(name: str, said: Predictions, names: list[str], confidence: float, p: float | None) -> Standing:
    report = metrics.class_report(said.labels, said.predicted, names)
    low, high = wilson(int(said.correct.sum()), len(said.labels), confidence)
    recall = [float(share) for share in report.table["recall"]]
    return Standing(name, report.accuracy, low, high, report.macro["f1"], _log_loss(said), p, recall)
