import json

import numpy as np
import pytest

from fakeprint.errors import InputError
from fakeprint.models.ensembles.combinations import (
    Learned,
    Stacked,
    WeightedAverage,
    load_ensemble,
    members_that_run,
    save_ensemble,
    without_idle,
)
from fakeprint.params import Average, Greedy, Run
from fakeprint.verdict.calibration import tempered

RUN = Run(features=[], classifiers=["lda", "knn"], networks=["hist_cnn"], ensembles=["average"])


def average(members, weights=()):
    return Average(method="average", members=list(members), weights=list(weights))


def stacked_by_hand():
    """Log-odds of member 1 plus twice those of member 2, and 0.5 for the first class."""
    return Stacked([[1.0, -1.0, 2.0, -2.0], [0.0, 0.0, 0.0, 0.0]], [0.5, 0.0])


def learned(members=2, classes=3):
    import torch

    from fakeprint.models.ensembles.learned import EnsembleHead

    torch.manual_seed(0)
    return Learned(EnsembleHead(members, classes).eval())


def test_equal_weights_are_the_mean():
    a, b = np.array([[0.8, 0.2], [0.4, 0.6]]), np.array([[0.6, 0.4], [0.0, 1.0]])
    mean = WeightedAverage([0.5, 0.5], [1.0, 1.0])
    assert mean(np.stack([a, b], axis=1)) == pytest.approx(np.array([[0.7, 0.3], [0.2, 0.8]]))


def test_weights_by_hand():
    a, b = np.array([[0.8, 0.2]]), np.array([[0.4, 0.6]])
    assert WeightedAverage([0.75, 0.25], [1, 1])(np.stack([a, b], axis=1)) == pytest.approx(np.array([[0.7, 0.3]]))


def test_a_temperature_of_two_takes_square_roots():
    assert tempered(np.array([[0.8, 0.2]]), 2) == pytest.approx(np.array([[2 / 3, 1 / 3]]))  # √0.8 : √0.2 = 2 : 1
    assert tempered(np.array([[1.0, 0.0]]), 1).tolist() == [[1.0, 0.0]]
    of_members = np.stack([np.array([[0.8, 0.2]]), np.array([[0.5, 0.5]])], axis=1)
    assert WeightedAverage([0.5, 0.5], [2, 1])(of_members) == pytest.approx(np.array([[7 / 12, 5 / 12]]))


def test_stacking_is_a_logistic_regression_of_log_probabilities():
    of_members = np.stack([np.array([[0.8, 0.2]]), np.array([[0.6, 0.4]])], axis=1)
    odds = (0.8 / 0.2) * (0.6 / 0.4) ** 2 * np.exp(0.5)
    assert stacked_by_hand()(of_members) == pytest.approx(np.array([[odds / (1 + odds), 1 / (1 + odds)]]))


@pytest.mark.parametrize(
    ("method", "make", "classes"),
    [
        ("average", lambda: WeightedAverage([0.25, 0.75], [1.0, 1.5]), 3),
        ("greedy", lambda: WeightedAverage([0.25, 0.75], [1.0, 1.0]), 3),
        ("stacking", stacked_by_hand, 2),
        ("learned", learned, 3),
    ],
)
def test_what_is_stored_answers_as_before(tmp_path, method, make, classes):
    combination = make()
    assert combination(np.empty((0, 2, classes))).shape == (0, classes)
    labels = [str(index) for index in range(classes)]
    about = {"name": "e", "method": method, "members": ["lda", "knn"], "dataset": {"classes": labels}}
    save_ensemble(tmp_path, about, combination)
    assert json.loads((tmp_path / "model.json").read_text())["kind"] == "ensemble"
    names, loaded = load_ensemble(tmp_path)
    of_members = np.random.default_rng(0).dirichlet(np.ones(classes), (5, 2))
    assert names == ["lda", "knn"]
    assert np.array_equal(loaded(of_members), combination(of_members))
    assert loaded(of_members).sum(axis=1) == pytest.approx(np.ones(5))


def test_whoever_reads_the_description_can_read_the_head(tmp_path):
    folder = tmp_path / "e"
    folder.mkdir()
    about = {"name": "e", "method": "learned", "members": ["lda", "knn"], "dataset": {"classes": ["a", "b", "c"]}}
    save_ensemble(folder, about, learned())
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1


def test_damaged_and_foreign_files_are_one_line(tmp_path):
    about = {"name": "e", "method": "learned", "members": ["lda", "knn"], "dataset": {"classes": ["a", "b", "c"]}}
    save_ensemble(tmp_path, about, learned())
    head = tmp_path / "head.safetensors"
    head.write_bytes(head.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match=r"head\.safetensors does not match the model\.json beside it"):
        load_ensemble(tmp_path)
    save_ensemble(tmp_path, about, learned())
    described = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps(described | {"members": ["lda", "knn", "cnn"]}))
    with pytest.raises(InputError, match=r"head\.safetensors is not of the members and classes in the model\.json"):
        load_ensemble(tmp_path)
    head.unlink()
    with pytest.raises(InputError, match=r"head\.safetensors is missing: run `dvc repro`"):
        load_ensemble(tmp_path)
    (tmp_path / "model.json").write_text(
        '{"kind": "ensemble", "method": "average", "members": ["lda"], "weights": [1], "dataset": {"classes": []}}'
    )
    with pytest.raises(InputError, match=r"model\.json has no 'temperatures'; it was written by another version: run"):
        load_ensemble(tmp_path)
    (tmp_path / "model.json").write_text('{"kind": "ensemble", "method": "oracle", "members": []}')
    with pytest.raises(InputError, match=r"model\.json: the ensemble method 'oracle' is unknown: run `dvc repro`"):
        load_ensemble(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"members": []}, "members must be names of models beside it"),
        ({"members": ["lda", "../knn"]}, "members must be names of models beside it"),
        ({"members": ["lda", ".."]}, "members must be names of models beside it"),
        ({"members": None}, "is damaged"),
        ({"dataset": ["a", "b"]}, "is damaged"),
        ({"weights": [1.0]}, "weights must be 2 numbers"),
        ({"temperatures": [1.0, "x"]}, "temperatures must be 2 numbers"),
        ({"method": "stacking", "intercepts": [0, 0], "coefficients": [[1, 2], [3, 4]]}, "must be 2 × 4 numbers"),
        ({"method": "stacking", "intercepts": [0], "coefficients": [[1] * 4] * 2}, "intercepts must be 2 numbers"),
    ],
)
def test_numbers_that_do_not_fit_the_members_are_one_line(change, message, tmp_path):
    about = {"name": "e", "method": "average", "members": ["lda", "knn"], "dataset": {"classes": ["a", "b"]}}
    save_ensemble(tmp_path, about, WeightedAverage([0.5, 0.5], [1.0, 1.0]))
    path = tmp_path / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=rf"model\.json.*{message}"):
        load_ensemble(tmp_path)


def test_members_of_weight_zero_are_not_stored():
    names, left = without_idle(["lda", "knn", "cnn"], WeightedAverage([0.5, 0, 0.5], [1, 2, 3]))
    assert (names, left) == (["lda", "cnn"], WeightedAverage([0.5, 0.5], [1, 3]))
    assert without_idle(["lda", "knn"], stacked_by_hand()) == (["lda", "knn"], stacked_by_hand())


def test_weights_are_equal_where_params_name_none():
    members = members_that_run("average", average(["lda", "hist_cnn"]), RUN)
    assert members.names == ["lda", "hist_cnn"]
    assert members.weights == [0.5, 0.5]
    assert members.left_out == []


def test_a_member_that_does_not_run_is_left_out_and_the_other_weights_grow():
    members = members_that_run("average", average(["lda", "svm_rbf", "knn"], [1, 5, 3]), RUN)
    assert members.names == ["lda", "knn"]
    assert members.weights == [0.25, 0.75]
    assert members.left_out == ["svm_rbf"]


def test_methods_without_weights_leave_out_what_does_not_run_too():
    members = members_that_run("greedy", Greedy(method="greedy", members=["svm_rbf", "lda", "hist_cnn"]), RUN)
    assert (members.names, members.left_out) == (["lda", "hist_cnn"], ["svm_rbf"])


def test_none_left_says_how_to_go_on():
    with pytest.raises(InputError) as error:
        members_that_run("average", average(["svm_rbf", "three_cnn"]), RUN)
    assert str(error.value) == (
        "ensembles.average: no member runs (members: svm_rbf, three_cnn); add one to run.networks or run.classifiers, "
        "or remove average: -S 'run.ensembles=[]'"
    )


def test_only_members_of_weight_zero_left():
    with pytest.raises(InputError, match="no member with a weight above 0 runs"):
        members_that_run("average", average(["lda", "svm_rbf"], [0, 1]), RUN)
