import numpy as np
import pytest

from fakeprint import params
from fakeprint.errors import InputError
from fakeprint.models.ensembles.combinations import WeightedAverage
from fakeprint.models.ensembles.fitting import _held_out, cross_fit, fit, greedy_weights
from fakeprint.verdict.calibration import temperature, tempered

MEMBERS = ["a", "b"]
AVERAGE = params.Average(method="average", members=MEMBERS, calibrate=True, folds=3)
GREEDY = params.Greedy(method="greedy", members=MEMBERS, rounds=5, folds=3, calibrate=False)
STACKING = params.Stacking(method="stacking", members=MEMBERS, C=1.0, folds=3)
LEARNED = params.Learned(method="learned", members=MEMBERS, epochs=3, lr=0.01, batch_size=8, folds=3)


def images(count=60, classes=3, seed=0):
    """Labels, and two members: one right four times in five, one that guesses."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    good = np.where(rng.random(count) < 0.8, labels, rng.integers(0, classes, count))
    of_members = np.full((count, 2, classes), 0.1)
    of_members[np.arange(count), 0, good] = 1.0
    of_members[:, 1] = rng.random((count, classes)) + 0.5
    return of_members / of_members.sum(axis=2, keepdims=True), labels


def alone(labels):
    """Groups of images that stand alone."""
    return np.arange(len(labels))


def test_temperature_corrects_an_overconfident_model():
    right = np.array([[0.99, 0.01]] * 3 + [[0.01, 0.99]])  # 99 % sure, right in three of four
    found = temperature(right, np.array([0, 0, 0, 0]))
    assert found == pytest.approx(np.log(99) / np.log(3), abs=0.01)
    assert tempered(right, found)[0] == pytest.approx([0.75, 0.25], abs=0.001)


def test_greedy_takes_the_better_of_two_and_then_what_helps_it():
    labels = np.array([0, 0, 0, 0])
    a = np.array([[0.9, 0.1]] * 3 + [[0.1, 0.9]])
    b = np.array([[0.4, 0.6]] * 3 + [[0.95, 0.05]])
    of_members = np.stack([a, b], axis=1)
    assert greedy_weights(of_members, labels, 1, "accuracy") == [1.0, 0.0]
    assert greedy_weights(of_members, labels, 2, "accuracy") == [
        0.5,
        0.5,
    ]  # (0.9 + 0.4) / 2 and (0.1 + 0.95) / 2 are right
    # −log loss · 4 of a alone: 3 ln 0.9 + ln 0.1 = −2.62; of both: 3 ln 0.65 + ln 0.525 = −1.94; of a twice and b:
    # 3 ln 0.7333 + ln 0.3833 = −1.89; of a three times and b: 3 ln 0.775 + ln 0.3125 = −1.93, so three rounds are best
    assert greedy_weights(of_members, labels, 4, "log_loss") == pytest.approx([2 / 3, 1 / 3])


def test_greedy_with_equal_members_takes_the_first():
    of_members = np.repeat(images()[0][:, :1], 2, axis=1)
    assert greedy_weights(of_members, images()[1], 5, "accuracy") == [1.0, 0.0]


def test_an_average_without_calibration_is_the_same_for_each_fold():
    of_members, labels = images(6)
    plain = params.Average(method="average", members=MEMBERS, weights=[3, 1])
    everywhere = fit("e", plain, [0.75, 0.25], of_members, labels, alone(labels), 1)
    assert everywhere == WeightedAverage([0.75, 0.25], [1.0, 1.0])
    assert np.array_equal(
        cross_fit("e", plain, [0.75, 0.25], of_members, labels, alone(labels), 1)(of_members), everywhere(of_members)
    )


@pytest.mark.parametrize("settings", [AVERAGE, GREEDY, STACKING, LEARNED], ids=lambda each: each.method)
def test_an_image_is_answered_by_a_fit_without_it(settings):
    of_members, labels = images()
    crossed = cross_fit("e", settings, [0.5, 0.5], of_members, labels, alone(labels), 1)
    assert np.bincount(crossed.fold).tolist() == [20, 20, 20]
    before = crossed(of_members)
    others = labels.copy()
    held_out = crossed.fold == 1
    others[held_out] = (labels[held_out] + 1) % 3  # wrong labels of fold 1 ...
    seen = (of_members[~held_out], others[~held_out], alone(labels[~held_out]))
    refitted = fit("e", settings, [0.5, 0.5], *seen, 1, fold=1)
    assert np.array_equal(before[held_out], refitted(of_members[held_out]))  # ... do not reach its own answers
    assert before.sum(axis=1) == pytest.approx(np.ones(60))
    assert np.array_equal(
        before, cross_fit("e", settings, [0.5, 0.5], of_members, labels, alone(labels), 1)(of_members)
    )


@pytest.mark.parametrize("settings", [AVERAGE, GREEDY, STACKING, LEARNED], ids=lambda each: each.method)
def test_copies_count_as_images_and_stay_in_the_fold_of_theirs(settings):
    of_members, labels = images()
    copies = [images(seed=seed)[0] for seed in (1, 2)]
    crossed = cross_fit("e", settings, [0.5, 0.5], of_members, labels, alone(labels), 1, copies)
    seen = crossed.fold != 1
    groups = np.flatnonzero(seen)
    rows = [each[seen] for each in (of_members, *copies)]
    refitted = fit(
        "e", settings, [0.5, 0.5], np.concatenate(rows), np.tile(labels[seen], 3), np.tile(groups, 3), 1, fold=1
    )
    assert np.array_equal(crossed(of_members)[~seen], refitted(of_members[~seen]))  # no copy of these was seen
    without = cross_fit("e", settings, [0.5, 0.5], of_members, labels, alone(labels), 1)
    assert np.array_equal(without.fold, crossed.fold)
    assert not np.array_equal(crossed(of_members), without(of_members))


def test_a_member_that_fails_on_degraded_images_loses_its_weight():
    labels = np.arange(300) % 3
    sure, right = np.full((300, 3), 0.01), labels.copy()
    sure[np.arange(300), right] = 0.98
    good = images(300)[0][:, 0]
    lost = np.roll(sure, 1, axis=1)  # as sure as on clean images, and wrong
    clean, copies = np.stack([sure, good], axis=1), np.stack([lost, good], axis=1)
    for settings in (STACKING, GREEDY):
        alone_fitted = fit("e", settings, [0.5, 0.5], clean, labels, alone(labels), 1)
        with_copies = fit("e", settings, [0.5, 0.5], clean, labels, alone(labels), 1, [copies, copies])
        assert np.mean(alone_fitted(copies).argmax(1) == labels) < 0.3
        assert np.mean(with_copies(copies).argmax(1) == labels) > 0.7


def test_a_group_is_never_answered_by_a_fit_that_saw_one_of_it():
    of_members, labels = images(240)
    groups = np.random.default_rng(2).integers(0, 50, 240)  # of several classes each
    fold = cross_fit("e", STACKING, [], of_members, labels, groups, 1).fold
    assert all(len(set(fold[groups == group])) == 1 for group in set(groups))
    assert np.abs(np.bincount(fold) - 80).max() <= 5


@pytest.mark.parametrize("share", [0.001, 0.2, 0.9])
def test_whole_groups_are_held_out(share):
    groups = np.arange(120) // 4
    held_out = _held_out(groups, share, np.random.default_rng(3))
    assert set(held_out.reshape(-1, 4).sum(axis=1)) == {0, 4}
    assert held_out.sum() == max(4, round(share * 120))


def test_a_group_that_is_larger_than_the_share_is_not_held_out():
    groups = np.repeat([0, 1, 2, 3], [70, 20, 7, 3])
    for seed in range(10):
        assert _held_out(groups, 0.2, np.random.default_rng(seed)).sum() in (10, 20)
    assert _held_out(groups, 0.01, np.random.default_rng(0)).sum() == 3  # none fits: the smallest


@pytest.mark.parametrize("settings", [GREEDY, STACKING], ids=lambda each: each.method)
def test_fitting_prefers_the_better_member(settings):
    of_members, labels = images(300)
    combination = fit("e", settings, [0.5, 0.5], of_members, labels, alone(labels), 1)
    fresh, truth = images(300, seed=1)
    assert np.mean(combination(fresh).argmax(1) == truth) >= np.mean(fresh[:, 0].argmax(1) == truth) - 0.01
    assert np.mean(combination(fresh).argmax(1) == truth) > np.mean(fresh[:, 1].argmax(1) == truth) + 0.3


@pytest.mark.slow
def test_learned_follows_its_recipe(monkeypatch):
    import torch

    labels = np.arange(150) % 3
    of_members = np.full((150, 2, 3), 0.28)
    of_members[np.arange(150), :, (labels + 1) % 3] = (
        0.44  # both members take each class for the next: it can be learned
    )
    rates = []
    step = torch.optim.lr_scheduler.ReduceLROnPlateau.step

    def observed(scheduler, accuracy):
        step(scheduler, accuracy)
        rates.append(scheduler.optimizer.param_groups[0]["lr"])

    monkeypatch.setattr(torch.optim.lr_scheduler.ReduceLROnPlateau, "step", observed)

    def loss(**changes):
        rates.clear()
        head = fit("e", LEARNED.model_copy(update=changes), [], of_members, labels, alone(labels), 1)
        return -np.log(head(of_members)[np.arange(150), labels]).mean()

    assert loss(epochs=8, early_stopping=0) < loss(epochs=1) - 0.1
    still = {"epochs": 6, "lr": 1e-9, "patience": 1}
    loss(**still, factor=0.5, early_stopping=0)
    assert rates == [1e-9, 1e-9, 5e-10, 5e-10, 2.5e-10, 2.5e-10]
    loss(**still, early_stopping=2)
    assert len(rates) == 3
    as_it_is = loss()
    assert as_it_is == loss()
    changes = {
        "batch_size": 4,
        "lr": 0.02,
        "weight_decay": 1.0,
        "label_smoothing": 0.5,
        "dropout": 0.0,
        "held_out": 0.5,
    }
    assert all(loss(**{key: value}) != as_it_is for key, value in changes.items())


def test_stacking_of_two_classes_and_of_a_class_that_validation_lacks():
    of_members, labels = images(40, classes=2)
    combination = fit("e", STACKING, [], of_members, labels, alone(labels), 1)
    assert np.mean(combination(of_members).argmax(1) == labels) > 0.7
    of_members, labels = images(60)
    seen = labels > 0
    combination = fit("e", STACKING, [], of_members[seen], labels[seen], alone(labels[seen]), 1)
    assert combination(of_members)[:, 0].max() == 0
    assert np.mean(combination(of_members[seen]).argmax(1) == labels[seen]) > 0.7


@pytest.mark.parametrize(("count", "fix"), [(8, "set it to 2"), (4, "remove e: -S 'run.ensembles=[]'")])
def test_too_few_images_for_the_folds_say_how_to_go_on(count, fix):
    of_members, labels = images(count)
    with pytest.raises(InputError) as error:
        cross_fit("e", AVERAGE, [0.5, 0.5], of_members, labels, alone(labels), 1)
    assert str(error.value).startswith(
        "ensembles.e.folds: 3 folds need at least 3 groups of validation images per class"
    )
    assert str(error.value).endswith(fix)


def test_a_learned_ensemble_of_one_group_is_one_line():
    """All would be kept held_out, and the network would answer as it was drawn, without having learned anything."""
    rng, labels = np.random.default_rng(0), np.arange(20) % 2
    members, two_groups = rng.dirichlet(np.ones(2), (20, 2)), np.repeat([0, 1], 10)
    settings = LEARNED.model_copy(update={"folds": 2})
    with pytest.raises(InputError, match=r"^ensembles.learned: .* all images are one group"):
        cross_fit("learned", settings, [1, 1], members, labels, two_groups, 7)
