import numpy as np
import pytest

from fakeprint.evaluation import bootstrap, metrics
from fakeprint.evaluation.bootstrap import ranking, standard_errors, totals_of, weights

BINS = 7


def case(images=120, classes=4, seed=0):
    """Labels and probabilities with ties, as a k-NN gives; the last class is rare."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(classes, images, p=[0.4, 0.3, 0.27, 0.03])
    counts = rng.multinomial(9, np.full(classes, 1 / classes), images)
    counts[np.arange(images), labels] += 4
    return labels, counts / counts.sum(axis=1, keepdims=True)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_resample_has_the_figures_of_its_images(seed):
    """Against the same images written out, each as often as it was drawn; some resamples lack the rare class."""
    labels, probabilities = case(seed=seed)
    groups = np.arange(120) // 3
    totals = totals_of(labels, probabilities, groups, BINS)
    drawn = next(weights(40, seed))[:, :20]
    found = totals.weighted(drawn).figures()
    for column in range(20):
        rows = np.repeat(np.arange(120), drawn[groups, column].astype(int))
        report = metrics.class_report(labels[rows], probabilities[rows].argmax(axis=1), list("abcd"))
        whole = metrics.figures(labels[rows], probabilities[rows], list("abcd"), BINS)
        assert {name: values[column] for name, values in found.items()} == pytest.approx(
            {name: whole[name] for name in ("accuracy", "log_loss", "ece")}
            | {
                f"{average}_{key}": getattr(report, average)[key]
                for average in metrics.AVERAGES
                for key in report.macro
            }
        )
        areas = [ranking(labels == index, probabilities[:, index]).area(drawn[groups]) for index in range(4)]
        assert metrics.mean_of_defined(np.array(areas))[column] == pytest.approx(whole["roc_auc"])


def test_draws_are_with_replacement_and_the_same_however_many_are_held(monkeypatch):
    monkeypatch.setattr(bootstrap, "RESAMPLES", 300)
    drawn = np.concatenate(list(weights(50, 7)), axis=1)
    assert drawn.shape == (50, 300)
    assert (drawn.sum(axis=0) == 50).all()
    assert (drawn == 0).mean() == pytest.approx((1 - 1 / 50) ** 50, abs=0.01)
    assert drawn.var() == pytest.approx(1 - 1 / 50, abs=0.05)
    assert (np.concatenate(list(weights(50, 7)), axis=1) == drawn).all()
    assert (np.concatenate(list(weights(50, 8)), axis=1) != drawn).any()


def test_standard_errors_are_those_of_theory():
    labels, probabilities = case(600)
    errors = standard_errors(labels, probabilities, np.arange(600), BINS, 7)
    right = probabilities.argmax(axis=1) == labels
    assert errors["accuracy"] == pytest.approx(right.std(ddof=1) / np.sqrt(600), rel=0.06)
    losses = metrics.losses(labels, probabilities)
    assert errors["log_loss"] == pytest.approx(losses.std(ddof=1) / np.sqrt(600), rel=0.06)
    assert set(errors) > {"macro_f1", "ece", "roc_auc", "weighted_precision"}
    assert "roc_auc" not in standard_errors(labels, probabilities, np.arange(600), BINS, 7, areas=False)


def test_images_of_one_group_are_drawn_together():
    labels, probabilities = case(100)
    five_each = np.repeat(np.arange(100), 5)
    alone = standard_errors(labels, probabilities, np.arange(100), BINS, 7)
    together = standard_errors(labels[five_each], probabilities[five_each], five_each, BINS, 7)
    as_if_independent = standard_errors(labels[five_each], probabilities[five_each], np.arange(500), BINS, 7)
    assert together == pytest.approx(alone)  # copies are no new evidence
    assert as_if_independent["log_loss"] < 0.6 * alone["log_loss"]
