import numpy as np
import pytest
from crepes import ConformalClassifier

from fakeprint.verdict.conformal import ConformalSets, cross_fitted, fit, set_figures


def of_class(values, other=0.0):
    """Probabilities of one class, whose images these are, beside another class."""
    values = np.array(values)
    return np.stack([values, np.full(len(values), other)], axis=1)


def test_thresholds_by_hand():
    """Of 9 images 0.2 · 10 = 2: the second lowest; of 3, too few for a promise of 0.2, none: the class is always in."""
    probabilities = np.concatenate([of_class(np.arange(1, 10) / 10), of_class([0.4] * 3, 0.6)])
    found = fit(probabilities, np.repeat([0, 1], [9, 3]), np.arange(12), 0.2, seed=1)
    assert found == ConformalSets([0.2, 0.0], 0.2, [9, 3])
    assert found(np.array([[0.2, 0.8], [0.19, 0.81]])).tolist() == [[True, True], [False, True]]


@pytest.mark.parametrize(("images", "place"), [(29, 3), (28, 2), (9, 1), (8, 0)])
def test_the_quantile_counts_one_more_image(images, place):
    """⌊0.1 (n + 1)⌋, where rounding must not lose the 3 of 0.1 · 30."""
    values = np.linspace(0.1, 0.9, images)
    least = fit(of_class(values), np.zeros(images, dtype=int), np.arange(images), 0.1, seed=1).least[0]
    assert least == (values[place - 1] if place else 0)


def test_a_class_without_images_is_in_every_set():
    found = fit(of_class([0.9] * 30), np.zeros(30, dtype=int), np.arange(30), 0.1, seed=1)
    assert (found.least[1], found.images) == (0, [30, 0])


def test_sets_are_those_of_crepes():
    rng = np.random.default_rng(4)
    labels, new = rng.integers(0, 3, 211), rng.dirichlet([1, 1, 1], 500)
    known = rng.dirichlet([1, 1, 1], 211)
    ours = fit(known, labels, np.arange(211), 0.13, seed=1)(new)
    for number in range(3):
        theirs = ConformalClassifier().fit(1 - known[labels == number, number])
        sets = theirs.predict_set(1 - new[:, [number]], confidence=0.87, smoothing=False)
        assert ours[:, number].tolist() == (sets[:, 0] == 1).tolist()
    assert 0.3 < ours.mean() < 0.95


def test_a_group_counts_once():
    probabilities, labels = of_class(np.repeat(np.arange(1, 10) / 10, 5)), np.zeros(45, dtype=int)
    found = fit(probabilities, labels, np.repeat(np.arange(9), 5), 0.2, seed=1)
    assert (found.images, found.least[0]) == ([9, 0], 0.2)


def test_figures_by_hand():
    sets = np.array([[1, 0], [1, 1], [0, 0], [0, 1], [1, 0]], dtype=bool)
    found = set_figures(sets, np.array([0, 0, 0, 1, 1]), np.arange(5), 0.95)
    assert (found.coverage.share, found.size, found.empty.share) == (0.6, 1.0, 0.2)
    assert [each.share for each in found.class_coverage] == [pytest.approx(2 / 3), 0.5]
    assert found.class_size == [1.0, 1.0]
    assert [each.share for each in found.class_empty] == [pytest.approx(1 / 3), 0.0]
    content = found.as_json(["a", "b"])
    assert content["classes"]["a"]["coverage"]["images"] == 3
    assert content["mean_size"] == 1.0


def test_sets_of_the_fit_s_own_images_are_by_thresholds_chosen_without_them():
    """The image with the lowest probability of its class is missed, whichever fold it is in; a copy of it is not."""
    values = np.append(np.linspace(0.5, 0.9, 60), 0.01)
    probabilities, labels = of_class(values), np.zeros(61, dtype=int)
    alone = cross_fitted(probabilities, labels, np.arange(61), 0.03, seed=1)
    assert not alone[-1, 0]
    assert fit(probabilities, labels, np.arange(61), 0.03, seed=1).least[0] == 0.01  # so that by itself it is in


def test_groups_are_not_divided_between_folds():
    """Two images of a group: if one were used to choose the threshold of the other, both would be in."""
    values = np.append(np.linspace(0.5, 0.9, 60), [0.01, 0.01])
    groups = np.append(np.arange(60), [60, 60])
    found = cross_fitted(of_class(values), np.zeros(62, dtype=int), groups, 0.03, seed=1)
    assert not found[-2:, 0].any()


def test_sets_survive_json():
    found = fit(of_class([0.9] * 30), np.zeros(30, dtype=int), np.arange(30), 0.1, seed=1)
    assert ConformalSets(**found.as_json()) == found
