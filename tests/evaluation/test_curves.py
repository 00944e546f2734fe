import numpy as np
import pytest
from sklearn.metrics import auc

from fakeprint.evaluation import metrics
from fakeprint.evaluation.curves import confusion_table, reliability_table, roc_table
from tests.samples import predictions

RNG = np.random.default_rng(3)
LABELS = np.arange(90) % 3
SHARP = predictions(LABELS, RNG.dirichlet(np.ones(3), 90) * 0.4 + 0.6 * np.eye(3)[LABELS])
BLUNT = predictions(LABELS, RNG.dirichlet(np.ones(3), 90))
MODELS = {"sharp": SHARP, "blunt": BLUNT}


def test_the_area_under_each_curve_is_the_roc_auc():
    table = roc_table(MODELS)
    assert list(table.columns) == ["model", "false_positive_rate", "true_positive_rate"]
    assert list(table["model"].unique()) == ["sharp", "blunt"]
    for name, of_model in table.groupby("model"):
        expected = metrics.roc_auc(LABELS, MODELS[name].probabilities)
        area = auc(of_model["false_positive_rate"], of_model["true_positive_rate"])
        assert area == pytest.approx(expected, abs=0.01)
        assert of_model.iloc[0, 1:].tolist() == [0, 0] and of_model.iloc[-1, 1:].tolist() == [1, 1]


def test_a_split_of_one_class_has_no_curve():
    assert roc_table({"one": predictions(np.zeros(4, dtype=int), np.full((4, 2), 0.5))}).empty


def test_reliability_has_the_bins_with_images():
    table = reliability_table(MODELS, 10)
    assert table.groupby("model")["images"].sum().to_dict() == {"sharp": 90, "blunt": 90}
    assert (table["images"] > 0).all() and table.notna().all(axis=None)
    bins = metrics.reliability(LABELS, SHARP.probabilities, 10).dropna()
    of_sharp = table[table["model"] == "sharp"]
    np.testing.assert_allclose(of_sharp["accuracy"], bins["accuracy"], atol=1e-6)
    np.testing.assert_allclose(of_sharp["confidence"], bins["confidence"], atol=1e-6)


def test_confusion_has_every_pair_of_classes():
    table = confusion_table({"sharp": predictions(np.array([0, 0, 1]), np.eye(3)[[0, 2, 1]])}, ["a", "b", "c"])
    counts = table.pivot(index="actual", columns="predicted", values="images")
    assert counts.to_numpy().tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]
    shares = table.set_index(["actual", "predicted"])["share"]
    assert shares["a"].tolist() == [0.5, 0, 0.5] and shares["c"].isna().all()
    assert set(table["model"]) == {"sharp"}
