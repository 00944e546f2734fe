"""Tables behind `dvc plots show`: ROC, reliability and confusion of all models on validation, one long table each."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from fakeprint.evaluation import metrics
from fakeprint.evaluation.predictions import Predictions

GRID = np.linspace(0, 1, 101)  # false positive rates at which the ROC curves of the classes are averaged
DIGITS = 6


def roc_table(models: Mapping[str, Predictions]) -> pd.DataFrame:
    """The ROC curve of every model: columns model, false_positive_rate and true_positive_rate, in [0, 1].

    The mean over classes of the curves of one class against the rest, as `metrics.roc_auc` is the mean of their areas;
    a class without images, or with all of them, is left out. models: labelled predictions by name.
    """
    return _stacked({name: _macro_roc(predictions) for name, predictions in models.items()})


def _macro_roc(predictions: Predictions) -> pd.DataFrame:
    from sklearn.metrics import roc_curve  # takes a second to import

    curves = []
    for index in range(predictions.probabilities.shape[1]):
        positive = predictions.labels == index
        if 0 < np.count_nonzero(positive) < len(positive):
            false, true, _ = roc_curve(positive, predictions.probabilities[:, index])
            curves.append(np.interp(GRID, false, true))
    if not curves:
        return pd.DataFrame({"false_positive_rate": [], "true_positive_rate": []})
    mean = np.mean(curves, axis=0)
    # The curve rises at 0 from (0, 0) to the true positive rate that no false positive costs.
    return pd.DataFrame({"false_positive_rate": [0.0, *GRID], "true_positive_rate": [0.0, *mean]})


def reliability_table(models: Mapping[str, Predictions], bins: int) -> pd.DataFrame:
    """Accuracy over confidence of every model: columns model, confidence, accuracy and images, one row per bin.

    Bins without images are left out. models: labelled predictions by name. bins: of equal width in [0, 1].
    """
    tables = {}
    for name, predictions in models.items():
        table = metrics.reliability(predictions.labels, predictions.probabilities, bins)
        tables[name] = table.loc[table["images"] > 0, ["confidence", "accuracy", "images"]]
    return _stacked(tables)


def confusion_table(models: Mapping[str, Predictions], names: list[str]) -> pd.DataFrame:
    """The confusion matrix of every model: columns model, actual, predicted, images and share (of the actual class).

    One row per pair of classes; share is empty for a class without images. names: of the classes.
    """
    tables = {}
    for name, predictions in models.items():
        counts = metrics.confusion(predictions.labels, predictions.predicted, len(names))
        actual, predicted = (np.array(names, dtype=object)[place] for place in np.indices(counts.shape))
        columns = {"actual": actual, "predicted": predicted, "images": counts, "share": metrics.row_shares(counts)}
        tables[name] = pd.DataFrame({column: values.ravel() for column, values in columns.items()})
    return _stacked(tables)


def _stacked(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One table below the other, with the model's name in the first column; figures rounded to `DIGITS`."""
    return pd.concat([table.assign(model=name)[["model", *table]] for name, table in tables.items()]).round(DIGITS)
