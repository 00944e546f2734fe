"""How well a score separates: by hand, against pytorch-ood and scikit-learn, and with intervals."""

import numpy as np
import pytest
import torch
from pytorch_ood.metrics import functional, oscr_score
from sklearn.metrics import average_precision_score, roc_auc_score

from fakeprint.verdict.separation import (
    Scored,
    chosen_threshold,
    cross_fitted_false_alarms,
    figures,
    known_threshold,
    weighted_figures,
    weighted_rates,
)


def scored(known: list[float], unknown: list[float], wrong: int = 0) -> Scored:
    """The first `wrong` known images are misclassified."""
    count = len(known) + len(unknown)
    correct = np.arange(count) >= wrong
    return Scored(np.arange(count) >= len(known), np.array([*known, *unknown]), correct, np.arange(count))


def of(each: Scored) -> dict[str, float]:
    found = weighted_figures(each, np.ones((len(each.scores), 1)))
    return {name: float(values[0]) for name, values in found.items()}


def test_by_hand() -> None:
    found = of(scored([1, 2, 3, 4], [3, 5], wrong=1))
    # pairs: 3 beats 1 and 2, ties with 3; 5 beats all four
    assert found["auroc"] == (2 + 0.5 + 4) / 8
    # as above without the misclassified image of score 1
    assert found["oscr"] == (1 + 0.5 + 3) / 8
    assert found["fpr_at_95_percent_tpr"] == 2 / 4  # both unknown images from 3 on, and with them 3 and 4
    assert found["found_at_5_percent_false_alarms"] == 1 / 2  # from 5 on
    # 5 is first (1 of 1), then 4, then both 3 (2 of 4)
    assert found["aupr_unknown"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 4)
    assert found["aupr_known"] == pytest.approx(0.25 * (1 + 1 + 3 / 4 + 4 / 5))


def test_extremes() -> None:
    assert of(scored([1, 2], [3, 4]))["auroc"] == 1
    assert of(scored([1, 2], [3, 4], wrong=1))["oscr"] == 0.5  # the accuracy
    assert of(scored([1, 1], [1, 1]))["auroc"] == 0.5
    assert of(scored([1, 1], [1, 1]))["found_at_5_percent_false_alarms"] == 0


@pytest.mark.parametrize("seed", range(5))
def test_against_pytorch_ood_and_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    unknown = rng.random(500) < 0.3
    scores = np.round(rng.normal(size=500) + unknown, 1)  # many are equal
    correct = rng.random(500) < 0.8
    found = of(Scored(unknown, scores, correct, np.arange(500)))
    values, labels = torch.tensor(scores), torch.tensor(np.where(unknown, -1, 0))
    assert found["auroc"] == pytest.approx(float(functional.auroc(values, labels)))
    assert found["auroc"] == pytest.approx(roc_auc_score(unknown, scores))
    assert found["fpr_at_95_percent_tpr"] == pytest.approx(float(functional.fpr_at_tpr(values, labels)))
    assert found["oscr"] == pytest.approx(oscr_score(values, torch.tensor(np.where(correct, 0, 1)), labels))
    assert found["aupr_unknown"] == pytest.approx(average_precision_score(unknown, scores))
    assert found["aupr_known"] == pytest.approx(average_precision_score(~unknown, -scores))
    # it joins the points of the curve by straight lines
    assert found["aupr_unknown"] == pytest.approx(float(functional.aupr(values, labels)), abs=0.02)
    assert found["aupr_known"] == pytest.approx(float(functional.aupr(values, labels, "id")), abs=0.02)


def test_a_weight_of_two_is_an_image_twice() -> None:
    each = scored([1, 2, 3, 4], [3, 5, 2], wrong=2)
    twice = each.at(np.array([0, 0, 1, 2, 3, 4, 5, 5, 6]))
    weights = np.array([2, 1, 1, 1, 1, 2, 1.0])[:, None]
    assert weighted_figures(each, weights) == pytest.approx(of(twice))
    rates = weighted_rates(each, 3.0, weights)
    assert (rates["found"][0], rates["false_alarms"][0]) == (3 / 4, 2 / 5)


@pytest.mark.slow
def test_intervals_hold_the_figures_and_narrow_with_images() -> None:
    rng = np.random.default_rng(0)

    def width(images: int) -> float:
        unknown = np.arange(images) % 4 == 0
        each = Scored(unknown, rng.normal(size=images) + unknown, rng.random(images) < 0.9, np.arange(images))
        values, intervals = figures(each, 0.5, 7, 0.95)
        assert set(values) == set(intervals)
        for name, (low, high) in intervals.items():
            assert low < values[name] < high
        return intervals["auroc"][1] - intervals["auroc"][0]

    assert width(2000) < 0.6 * width(200)


def test_images_of_one_group_count_as_one() -> None:
    rng = np.random.default_rng(0)
    unknown = np.arange(400) // 10 % 2 == 0
    scores, correct = np.repeat(rng.normal(size=40), 10) + unknown, np.ones(400, bool)
    single = figures(Scored(unknown, scores, correct, np.arange(400)), None, 7, 0.95)[1]["auroc"]
    grouped = figures(Scored(unknown, scores, correct, np.arange(400) // 10), None, 7, 0.95)[1]["auroc"]
    assert grouped[1] - grouped[0] > 2 * (single[1] - single[0])


def test_the_threshold_is_best_on_average_over_sets() -> None:
    assert chosen_threshold([scored([1, 2], [5, 6])]) == 3.5
    # 3.5 is perfect on the first and finds half of the second; 1.5 the other way round costs more alarms
    assert chosen_threshold([scored([1, 2, 3], [4, 5]), scored([0, 0, 0], [2, 6])]) == 3.5


def test_of_equal_thresholds_the_highest_and_none_where_nothing_is_gained() -> None:
    assert chosen_threshold([scored([1, 3], [2, 4])]) == 3.5  # as good as 1.5, with fewer alarms
    assert chosen_threshold([scored([2, 3], [1, 1])]) > 3


def test_a_threshold_above_which_few_known_images_lie() -> None:
    known = np.arange(1.0, 41.0)
    assert known_threshold(known, 0.05) == 38  # 39 and 40 are above it
    assert known_threshold(known[:19], 0.05) == 19  # one of 19 would be more than 5 %
    assert known_threshold(np.array([1.0, 2, 2, 2]), 0.5) == 2  # no threshold between equal scores
    assert known_threshold(known, 1.0) == 1


def test_the_share_called_unknown_is_kept_on_other_images() -> None:
    """Over many draws the false alarms of the threshold are near the share that was asked for, on new images too."""
    rng = np.random.default_rng(0)
    new, crossed = [], []
    for seed in range(200):
        scores = rng.gamma(2, size=400)
        new.append(np.mean(rng.gamma(2, size=2000) > known_threshold(scores, 0.05)))
        crossed.append(cross_fitted_false_alarms(scores, np.arange(400), 5, 0.05, seed))
    assert np.mean(new) == pytest.approx(0.05, abs=0.005)
    assert np.mean(crossed) == pytest.approx(0.05, abs=0.006)


def test_too_few_groups_to_cross_fit() -> None:
    with pytest.raises(ValueError, match="fewer groups than folds"):
        cross_fitted_false_alarms(np.arange(9.0), np.arange(9) // 3, 5, 0.05, 7)
