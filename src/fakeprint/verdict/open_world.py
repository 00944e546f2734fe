"""Each class in turn is unknown: one table for all scores of a model, and its pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fakeprint.files import written
from fakeprint.verdict.separation import FIGURES, RATES, Scored, chosen_threshold, figures

DATA, METRICS, REPORTS = Path("data/open_world"), Path("metrics/open_world"), Path("reports/open_world")
MEAN = "mean"  # the row of the mean over left-out classes


@dataclass(frozen=True)
class LeftOut:
    """A model that never saw one class, on all N validation images.

    number: index of the class that was left out. known: indices of the others, in the order of the logits' columns.
    logits: float (N, C − 1). scores: by name, float (N,), higher = more likely unknown.
    """

    number: int
    known: list[int]
    logits: np.ndarray
    scores: Mapping[str, np.ndarray]

    @property
    def predicted(self) -> np.ndarray:
        """The class among all C that each image is taken for, int (N,)."""
        return np.array(self.known)[self.logits.argmax(axis=1)]


def save_left_out(
    left_out: LeftOut, image_ids: np.ndarray, labels: np.ndarray, groups: np.ndarray, classes: list[str], path: Path
) -> None:
    """Write a row per validation image: image_id, label, group, score_NAME … and logit_CLASS ….

    Logits are log-probabilities where a model has no logits.
    """
    with written(path) as partial:
        pd.DataFrame(
            {
                "image_id": pd.array(image_ids, dtype="str"),
                "label": pd.array(np.array(classes, dtype=object)[labels], dtype="str"),
                "group": groups,
                **{f"score_{name}": scores for name, scores in left_out.scores.items()},
                **{f"logit_{classes[c]}": left_out.logits[:, place] for place, c in enumerate(left_out.known)},
            }
        ).to_parquet(partial)


def scored(left_out: LeftOut, score: str, labels: np.ndarray, groups: np.ndarray) -> Scored:
    """One score of all validation images, those of the left-out class as unknown ones."""
    unknown = labels == left_out.number
    return Scored(unknown, np.asarray(left_out.scores[score]), left_out.predicted == labels, groups)


def table(
    model: str,
    results: Sequence[LeftOut],
    labels: np.ndarray,
    groups: np.ndarray,
    names: Sequence[str],
    seed: int,
    confidence: float,
) -> pd.DataFrame:
    """A row per left-out class and score, and one of each score's mean over classes, which has no intervals.

    The threshold for a class is chosen on the results of the other left-out classes, without the images of this class,
    which are known images there.

    Columns: model, left_out, score, known_images, unknown_images, accuracy (on known images), threshold, and of
    `FIGURES` and `RATES` each FIGURE, FIGURE_low and FIGURE_high (NaN where there is none).

    results: one per left-out class, at least two. labels, groups: int (N,), of the validation images. names: of all
    classes. confidence: of the intervals.
    """
    rows: list[dict[str, Any]] = []
    for score in results[0].scores:
        of_class = {each.number: scored(each, score, labels, groups) for each in results}
        for number, one in of_class.items():
            others = [each.at(labels != number) for other, each in of_class.items() if other != number]
            threshold = chosen_threshold(others)
            values, intervals = figures(one, threshold, seed, confidence)
            counts = {"known_images": int(np.sum(~one.unknown)), "unknown_images": int(np.sum(one.unknown))}
            accuracy = float(np.mean(one.correct[~one.unknown]))
            head = {"model": model, "left_out": names[number], "score": score, **counts}
            rows.append({**head, "accuracy": accuracy, "threshold": threshold, **_with_bounds(values, intervals)})
        of_score = pd.DataFrame([row for row in rows if row["score"] == score])
        means = {name: float(of_score[name].mean()) for name in ("accuracy", *FIGURES, *RATES)}
        rows.append({"model": model, "left_out": MEAN, "score": score, **means})
    return pd.DataFrame(rows).astype({"known_images": "Int64", "unknown_images": "Int64"})


def _with_bounds(values: Mapping[str, float], intervals: Mapping[str, Any]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, value in values.items():
        low, high = intervals.get(name, (np.nan, np.nan))
        found |= {name: value, f"{name}_low": low, f"{name}_high": high}
    return found


def as_json(rows: pd.DataFrame) -> dict[str, Any]:
    """{class: {score: figures}} for `dvc metrics show`, the mean over classes first; what is NaN is left out."""
    content: dict[str, Any] = {}
    first = pd.concat([rows[rows["left_out"] == MEAN], rows[rows["left_out"] != MEAN]])
    for row in first.drop(columns="model").to_dict("records"):
        left_out, score = row.pop("left_out"), row.pop("score")
        kept = {name: _number(value) for name, value in row.items() if not pd.isna(value)}
        content.setdefault(str(left_out), {})[str(score)] = kept
    return content


def _number(value: Any) -> int | float:
    return int(value) if isinstance(value, int | np.integer) else float(value)
