"""Order of images, the hardest pair, nearest rows, effects of feature sets, suspects: by hand and by brute force."""

from dataclasses import asdict

import numpy as np
import pytest

from fakeprint import params
from fakeprint.blocks import Rows
from fakeprint.data.arrays import Dataset
from fakeprint.explain.feature_sets import ClassifierParts, Mean, log_odds
from fakeprint.explain.nearest import nearest
from fakeprint.explain.order import HardestPair, hardest_pair, in_order
from fakeprint.explain.suspects import COLUMNS, out_of_fold, suspects
from fakeprint.features import extract_sets
from fakeprint.models.classifiers.files import FittedClassifier, describe
from fakeprint.models.classifiers.fitting import fit

SETS = {"rgb_hist": {"bins": 3}, "spectrum": {"bins": 4}}


def test_mistakes_come_first_then_the_least_certain() -> None:
    probabilities = np.array([[0.9, 0.1, 0.0], [0.4, 0.35, 0.25], [0.6, 0.3, 0.1], [0.7, 0.2, 0.1], [0.5, 0.5, 0.0]])
    labels = np.array([0, 0, 1, 1, -1])  # rows 2 and 3 are mistakes; 4 has no label, so it is none
    assert in_order(probabilities, labels).tolist() == [3, 2, 4, 1, 0]
    assert in_order(np.full((3, 2), 0.5), np.zeros(3, dtype=np.int64)).tolist() == [0, 1, 2]


def test_the_hardest_pair_is_the_one_with_the_largest_share() -> None:
    labels = np.repeat([0, 1, 2], [10, 10, 2])
    answers = labels.copy()
    answers[:3] = 1  # 3 of 10 and 10 images: 0.15
    answers[20] = 0  # 1 of 10 and 2: 0.083
    assert hardest_pair(labels, answers, 3) == HardestPair((0, 1), (10, 10), (3, 0))
    answers[21] = 1  # 1 of 12
    answers[20] = 1  # 2 of 12: 0.167
    assert hardest_pair(labels, answers, 3) == HardestPair((1, 2), (10, 2), (0, 2))
    assert hardest_pair(labels, labels, 3) is None
    assert hardest_pair(labels[:0], labels[:0], 3) is None


@pytest.mark.parametrize("size", [1, 7, 50])
def test_the_nearest_rows_are_those_of_brute_force(size: int) -> None:
    rng = np.random.default_rng(0)
    rows, queries = (rng.normal(size=(count, 5)).astype(np.float32) for count in (50, 9))
    rows[30] = rows[3]  # equally far from everything: the earlier one first
    distances, numbers = nearest((rows[start : start + size] for start in range(0, 50, size)), queries, 4)
    full = np.linalg.norm(queries[:, None].astype(np.float64) - rows[None], axis=2)
    expected = np.argsort(full, axis=1, kind="stable")[:, :4]
    assert numbers.tolist() == expected.tolist()
    np.testing.assert_allclose(distances, np.take_along_axis(full, expected, axis=1), rtol=1e-5)
    assert nearest(iter([rows[:2]]), queries, 4)[1].shape == (9, 2)


def pictures_of(labels: np.ndarray, seed: int) -> np.ndarray:
    """Noise whose colour depends on the class, and whose spectrum does not."""
    images = np.random.default_rng(seed).integers(0, 160, (len(labels), 24, 24, 3), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:, :, label % 3] += 80
    return images


@pytest.fixture(scope="module")
def parts() -> ClassifierParts:
    dataset = Dataset(["a", "b", "c"], ["a", "b", "c"], 24, "squash", 10**6)
    settings = params.Logistic(method="logistic", features=list(SETS), scale="standard", augmented=False, C=1.0)
    labels = np.arange(60) % 3
    x = extract_sets(SETS, pictures_of(labels, 1))
    model = fit(settings, x, labels, x, labels, seed=1)
    return ClassifierParts.of(FittedClassifier(model, describe("logistic", settings, model, SETS, asdict(dataset))))


def test_an_effect_is_the_change_of_log_odds_without_the_set(parts: ClassifierParts) -> None:
    labels = np.arange(9) % 3
    x, train = parts.features(pictures_of(labels, 2)), parts.features(pictures_of(np.arange(30) % 3, 1))
    mean = Mean()
    assert sum(len(block) for block in mean.of(iter([train[:20], train[20:]]))) == 30
    np.testing.assert_allclose(mean.value, train.mean(axis=0, dtype=np.float64))
    effects = parts.effects(x, labels, mean.value)
    assert parts.columns == {"rgb_hist": slice(0, 27), "spectrum": slice(27, 51)}
    for row, label in enumerate(labels):
        changed = x[row : row + 1].copy()
        changed[:, :27] = mean.value[:27]
        p, q = (parts.fitted.probabilities(each)[0, label] for each in (x[row : row + 1], changed))
        assert effects["rgb_hist"][row] == pytest.approx(np.log(p / (1 - p)) - np.log(q / (1 - q)), abs=1e-6)
    assert (effects["rgb_hist"] > 1).all()  # the colours hold the class
    assert np.abs(effects["spectrum"]).max() < effects["rgb_hist"].min()
    certain = np.array([[0.0, 1.0], [0.5, 0.5], [1.0, 0.0], [1.0, 1e-9]])
    expected = [np.log(0.05), 0, -np.log(0.05), -np.log(0.05)]
    assert log_odds(certain, np.zeros(4, dtype=np.int64), 0.05).tolist() == pytest.approx(expected)
    exact = log_odds(np.array([[1.0, 1e-60]]), np.array([0]))  # 1 − p is rounded away, the other class is not
    assert exact.tolist() == pytest.approx([60 * np.log(10)])
    voting = {**parts.fitted.description, "settings": {"method": "knn"}, "chosen": {"k": 5}}
    assert ClassifierParts(FittedClassifier(parts.fitted.model, voting), (24, 24, 3)).floor == 0.1
    assert parts.floor == 1e-300


def test_scaled_features_are_those_that_the_classifier_gets(parts: ClassifierParts) -> None:
    x = parts.features(pictures_of(np.arange(6) % 3, 3))
    classifier = parts.fitted.model.named_steps["classify"]
    np.testing.assert_allclose(
        classifier.predict_proba(parts.standardised(parts.rooted(x))), parts.probabilities(x), atol=1e-6
    )


def test_means_are_of_what_the_classifier_sees(parts: ClassifierParts) -> None:
    """Of square roots, where its block says so."""
    described = parts.fitted.description
    settings = {**described["settings"], "scale": "sqrt_standard"}
    rooting = ClassifierParts.of(FittedClassifier(parts.fitted.model, {**described, "settings": settings}))
    x = np.array([[4.0, -9.0, 0.0]], np.float32)
    assert rooting.rooted(x).tolist() == [[2, -3, 0]] and rooting.unrooted(rooting.rooted(x)).tolist() == x.tolist()
    assert parts.rooted(x).tolist() == parts.unrooted(x).tolist() == x.tolist()


def test_wrong_labels_are_suspected() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], 40)
    probabilities = np.full((120, 3), 0.05)
    probabilities[np.arange(120), truth] = 0.9
    probabilities += rng.uniform(0, 0.02, (120, 3))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    labels = truth.copy()
    labels[[5, 50]] = [2, 0]
    labels[7] = -1  # unknown: never suspected
    probabilities[7] = [0.05, 0.9, 0.05]
    ids = np.array([f"i{number}" for number in range(120)], dtype=object)
    table = suspects("validation", ids, labels, probabilities, ["x", "y", "z"])
    assert list(table.columns) == COLUMNS
    assert sorted(table[["image_id", "label", "suggested"]].to_numpy().tolist()) == [
        ["i5", "z", "x"],
        ["i50", "x", "y"],
    ]
    assert table["quality"].is_monotonic_increasing and set(table["verdict"]) == {""}
    assert table["quality"].tolist() == pytest.approx(sorted(probabilities[[5, 50], [2, 0]]), abs=1e-6)
    # a class without labelled images, and no labels at all
    few = (truth < 2) & (labels >= 0)
    assert len(suspects("validation", ids[few], truth[few], probabilities[few], ["x", "y", "z"])) == 0
    assert list(suspects("validation", ids, np.full(120, -1), probabilities, ["x", "y", "z"]).columns) == COLUMNS


def test_out_of_fold_probabilities_come_from_other_groups(parts: ClassifierParts) -> None:
    """Each pair of twins has labels that disagree with its colours: a fit that saw a twin would repeat its label."""
    labels = np.arange(60) % 3
    images = pictures_of(labels, 4)
    images[1::20] = images[0::20]  # twins of images 0, 20 and 40
    labels[1::20] = labels[0::20] = (labels[0::20] + 1) % 3
    groups = np.arange(60)
    groups[1::20] = groups[0::20]
    settings = params.KNN(method="knn", features=list(SETS), scale="none", augmented=False, k=[1], metrics=["l1"])
    rows = Rows.of(extract_sets(SETS, images))
    probabilities = out_of_fold(parts.fitted, settings, rows, labels, groups, 3, seed=0, workers=1)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    twins = np.sort(np.concatenate([np.arange(0, 60, 20), np.arange(1, 60, 20)]))
    assert (probabilities[twins].argmax(axis=1) != labels[twins]).all()
    apart = out_of_fold(parts.fitted, settings, rows, labels, np.arange(60), 3, seed=0, workers=1)
    assert (apart[twins].argmax(axis=1) == labels[twins]).any()
