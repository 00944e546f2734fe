import json

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import norm
from sklearn.metrics import average_precision_score, balanced_accuracy_score, det_curve, roc_auc_score, roc_curve

from fakeprint.evaluation import detection
from fakeprint.evaluation.detection import AT_VALIDATION_THRESHOLD, CROSS_FITTED, RATES, Detector
from fakeprint.evaluation.predictions import Predictions
from fakeprint.folds import group_folds
from fakeprint.seeds import generator
from tests.samples import predictions


def images(fake, score, groups=None, generators=None):
    """score: probability of being fake."""
    fake, score = np.asarray(fake, dtype=bool), np.asarray(score, dtype=np.float64)
    log_odds = detection.fake_log_odds(np.stack([1 - score, score], axis=1), np.array([True, False]))
    groups = np.arange(len(fake)) if groups is None else np.asarray(groups)
    none = np.full(len(fake), None, dtype=object)
    return Detector(fake, log_odds, groups, none if generators is None else np.array(generators, dtype=object))


def drawn(real, fake, shift, rng, **more):
    """Scores of N(0, 1) for real and N(shift, 1) for fake images, as probabilities; 0.5 lies midway."""
    is_fake = np.arange(real + fake) >= real
    return images(is_fake, norm.cdf(rng.normal(size=real + fake) + shift * (is_fake - 0.5)), **more)


def rounded(detector):
    return images(detector.fake, np.round(expit(detector.log_odds), 1))


@pytest.mark.parametrize("seed", range(8))
def test_figures_are_scikit_learns_under_any_weights_with_ties_and_without(seed):
    rng = np.random.default_rng(seed)
    detector = drawn(*rng.integers(2, 60, 2), 1.0, rng)
    detector = (detector, rounded(detector), images(detector.fake, np.full(len(detector.fake), 0.3)))[seed % 3]
    weights = rng.integers(0, 4, (len(detector.fake), 5)).astype(float)
    weights[:, 0], weights[[0, -1]] = 1.0, 1.0
    figures = detection.weighted_figures(detector, None, weights)
    for column, of_each in enumerate(weights.T):
        fake_and_scores = (detector.fake, detector.log_odds)
        fpr, tpr, _ = roc_curve(*fake_and_scores, sample_weight=of_each, drop_intermediate=False)
        assert figures["auc"][column] == pytest.approx(roc_auc_score(*fake_and_scores, sample_weight=of_each))
        precision = average_precision_score(*fake_and_scores, sample_weight=of_each)
        assert figures["average_precision"][column] == pytest.approx(precision)
        balanced = balanced_accuracy_score(detector.fake, detector.log_odds >= 0, sample_weight=of_each)
        assert figures["balanced_accuracy"][column] == pytest.approx(balanced)
        for key, rate in RATES.items():
            assert figures[key][column] == pytest.approx(tpr[fpr <= rate + 1e-12].max())
        place = np.linspace(0, 1, 200_001)  # along the ROC curve, by FPR + TPR
        on_curve = np.interp(2 * place, fpr + tpr, fpr), np.interp(2 * place, fpr + tpr, 1 - tpr)
        nearest = np.abs(on_curve[0] - on_curve[1]).argmin()
        assert figures["eer"][column] == pytest.approx(on_curve[0][nearest], abs=1e-4)


def test_figures_agree_with_the_theory_of_gaussian_scores():
    detector = drawn(60_000, 30_000, 2.0, np.random.default_rng(0))
    result = detection.figures(detector, detection.decisions_at(detector, 0.0))
    assert result["auc"] == pytest.approx(norm.cdf(2 / np.sqrt(2)), abs=0.003)
    assert result["eer"] == pytest.approx(norm.cdf(-1), abs=0.004)
    assert result["balanced_accuracy"] == result[AT_VALIDATION_THRESHOLD] == pytest.approx(norm.cdf(1), abs=0.004)
    for key, rate in RATES.items():
        assert result[key] == pytest.approx(norm.sf(norm.isf(rate) - 2.0), abs=0.015)
    assert (result["real_images"], result["fake_images"]) == (60_000, 30_000)


def test_extremes():
    def figures_of(fake, score):
        return detection.figures(images(fake, score), None)

    perfect = figures_of([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9])
    assert perfect["auc"] == perfect["average_precision"] == perfect["tpr_at_1_percent_fpr"] == 1
    assert perfect["eer"] == 0
    reversed_ = figures_of([1, 1, 0, 0], [0.1, 0.2, 0.8, 0.9])
    assert (reversed_["auc"], reversed_["eer"], reversed_["tpr_at_5_percent_fpr"]) == (0, 1, 0)
    constant = figures_of([1, 1, 0, 0], [0.3] * 4)
    assert (constant["auc"], constant["eer"], constant["tpr_at_5_percent_fpr"]) == (0.5, 0.5, 0)
    # 50 real images: at 1 % none may be taken for fake, at 5 % two of them.
    few = figures_of([0] * 50 + [1] * 4, [*np.linspace(0, 0.5, 48), 0.7, 0.8, 0.6, 0.75, 0.85, 0.9])
    assert few["tpr_at_1_percent_fpr"] == 0.5
    assert few["tpr_at_5_percent_fpr"] == 1.0


def test_curves_hold_scikit_learns_detection_errors():
    detector = drawn(40, 60, 1.0, np.random.default_rng(3))
    (curve,) = detection.curves(detector, "all")
    fpr, fnr, _ = det_curve(detector.fake, detector.log_odds)
    assert len(fpr) > 10
    # scikit-learn leaves the ends out where one of the errors stays 0, and keeps corners that lie on a line.
    assert np.interp(fpr + 1 - fnr, curve.fpr + curve.tpr, curve.fpr) == pytest.approx(fpr)


# --- images


def three_classes(labels, generators=None):
    """Classes real, StyleGAN, SD3; every image's probabilities 0.5, 0.3, 0.2."""
    of_labels = predictions(np.asarray(labels, dtype=np.int64), np.tile([0.5, 0.3, 0.2], (len(labels), 1)))
    if generators is None:
        return of_labels
    named = np.array(generators, dtype=object)
    return Predictions(of_labels.image_ids, of_labels.labels, of_labels.probabilities, of_labels.groups, named)


NAMES = ["real", "StyleGAN", "SD3"]


def test_the_score_is_the_sum_of_the_fake_classes_and_unlabelled_images_stay_out():
    detector = detection.detector_of(three_classes([0, 2, -1, 1]), [0], NAMES)
    assert detector.fake.tolist() == [False, True, True]
    assert detector.log_odds.tolist() == [0.0] * 3


def test_log_odds_tell_apart_what_a_probability_rounds_to_1_and_not_what_rounding_parts():
    is_real = np.array([True, False, False])
    sure = np.array([[1e-20, 1.0, 0.0], [1e-30, 0.5, 0.5], [0.0, 0.5, 0.5], [1.0, 2e-20, 1e-20], [1.0, 0.0, 0.0]])
    expected = [20 * np.log(10), 30 * np.log(10), 1000, np.log(3e-20), -1000]
    assert detection.fake_log_odds(sure, is_real) == pytest.approx(expected)
    alike = detection.fake_log_odds(np.array([[0.7, 0.1, 0.2], [0.7, 0.3, 0.0]]), is_real)
    assert alike[0] == alike[1]  # 0.1 + 0.2 is not 0.3


@pytest.mark.parametrize("labels", [[0, 0], [1, 2], [-1, -1], []])
def test_one_kind_of_images_alone_tells_nothing(labels):
    assert detection.detector_of(three_classes(labels), [0], NAMES) is None


def test_generators_are_those_of_the_source_else_the_fake_classes():
    labels = [0, 1, 2, 1]
    assert detection.detector_of(three_classes(labels), [0], NAMES).names == ["SD3", "StyleGAN"]
    named = detection.detector_of(three_classes(labels, [None, "v2", None, "v3"]), [0], NAMES)
    assert named.names == ["v2", "v3"]
    assert detection.detector_of(three_classes([0, 1]), [0, 2], NAMES).names == []


def test_a_generator_stands_against_its_own_real_images_where_it_has_some():
    fake, names = [0, 0, 0, 1, 1, 1], ["ADM", "ADM", "VQDM", "ADM", "VQDM", "Glide"]
    detector = images(fake, [0.1, 0.6, 0.2, 0.9, 0.4, 0.7], generators=names)
    result = detection.figures(detector, None)["generators"]
    assert [result[name]["real_images"] for name in ("ADM", "Glide", "VQDM")] == [2, 3, 1]
    assert [result[name]["balanced_accuracy"] for name in ("ADM", "Glide", "VQDM")] == pytest.approx([0.75, 5 / 6, 0.5])
    assert [result[name]["recall"] for name in ("ADM", "Glide", "VQDM")] == [1, 1, 0]


def test_figures_of_generators_are_those_of_their_images_alone_and_the_mean_counts_each_once():
    rng = np.random.default_rng(5)
    detector = drawn(50, 90, 1.0, rng, generators=[None] * 50 + ["a"] * 60 + ["b"] * 30)
    result = detection.figures(detector, None)
    for name in ("a", "b"):
        of = (detector.generators == name) | ~detector.fake
        alone = detection.figures(images(detector.fake[of], expit(detector.log_odds[of])), None)
        for key in ("auc", "average_precision", "eer", "balanced_accuracy", *RATES):
            assert result["generators"][name][key] == pytest.approx(alone[key])
    for key, mean in result["generator_mean"].items():
        assert mean == pytest.approx(np.mean([result["generators"][name][key] for name in ("a", "b")]))
    assert detector.names == ["a", "b"]


# --- the threshold


def test_the_best_threshold_lies_between_images_and_near_a_half():
    def best(fake, probabilities):
        return expit(detection.best_threshold(np.array(fake, dtype=bool), logit(probabilities)))

    assert best([0, 0, 1, 1], [0.1, 0.2, 0.6, 0.9]) == pytest.approx(0.4)
    assert best([1, 1, 0, 0], [0.1, 0.2, 0.6, 0.9]) == 0.0  # worse than chance: all are fake
    assert best([0, 0, 1, 1], [0.7] * 4) == 0.0
    # As good between 0.2 and 0.3 as between 0.8 and 0.9, with one error each.
    assert best([0, 1, 0, 1], [0.2, 0.3, 0.8, 0.9]) == pytest.approx(0.25)
    assert best([0, 1, 0, 1], [0.2, 0.3, 0.6, 0.7]) == pytest.approx(0.65)
    sure = detection.best_threshold(np.array([False, True]), np.array([50.0, 60.0]))  # both are 1 as probabilities
    assert sure == 55
    assert detection.best_threshold(np.array([False, True]), np.array([logit(0.8), 1000.0])) == pytest.approx(
        logit(0.9)
    )


@pytest.mark.slow
def test_on_validation_the_threshold_is_cross_fitted_and_does_not_flatter():
    """Scores that say nothing: the threshold that fits them best seems to be right, one fitted elsewhere is not."""
    rng = np.random.default_rng(0)
    crossed, fitted = [], []
    for _ in range(60):
        detector = drawn(30, 30, 0.0, rng)
        decisions = detection.decisions_on_validation(detector, 7)
        crossed.append(detection.figures(detector, decisions)[CROSS_FITTED])
        same = detection.decisions_at(detector, decisions.threshold)
        fitted.append(detection.figures(detector, same)[AT_VALIDATION_THRESHOLD])
    assert np.mean(fitted) > 0.55
    assert np.mean(crossed) == pytest.approx(0.5, abs=0.02)


def test_folds_of_cross_fitting_keep_groups_together():
    """Two images of each group, one real and one fake, at a place of the group's own: only its twin tells it apart."""
    place = np.random.default_rng(0).permutation(40) / 40
    detector = images(np.repeat([0, 1], 40), np.concatenate([place, place]), groups=np.tile(np.arange(40), 2))
    decisions = detection.decisions_on_validation(detector, 7)
    fold = group_folds(detector.fake, detector.groups, detection.FOLDS, generator(7, "evaluate/detection/folds"))
    assert (fold[:40] == fold[40:]).all()
    assert np.bincount(fold).tolist() == [16] * 5
    assert (decisions.predicted_fake[:40] == decisions.predicted_fake[40:]).all()


def test_without_groups_to_divide_nothing_is_cross_fitted():
    one_group = images([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9], groups=[0, 0, 1, 2])
    assert detection.decisions_on_validation(one_group, 7) is None
    result = detection.figures(one_group, None)
    assert "validation_threshold" not in result
    assert CROSS_FITTED not in result


def test_the_threshold_of_validation_decides_other_images():
    decisions = detection.decisions_at(images([0, 1, 1], [0.3, 0.4, 0.35]), logit(0.32))
    result = detection.figures(images([0, 1, 1], [0.3, 0.4, 0.35]), decisions)
    assert result[AT_VALIDATION_THRESHOLD] == 1
    assert result["validation_threshold"] == pytest.approx({"probability": 0.32, "log_odds": logit(0.32)})
    assert result["balanced_accuracy"] == 0.5
    json.dumps(result, allow_nan=False)
