import numpy as np
import pytest

from fakeprint.errors import InputError
from fakeprint.models.ensembles import combine, members_that_run
from fakeprint.params import Ensemble, Run

RUN = Run(features=[], classifiers=["lda", "knn"], networks=["hist_cnn"], ensembles=["average"])


def average(members, weights=()):
    return Ensemble(method="average", members=list(members), weights=list(weights))


def test_equal_weights_are_the_mean():
    a, b = np.array([[0.8, 0.2], [0.4, 0.6]]), np.array([[0.6, 0.4], [0.0, 1.0]])
    assert combine([a, b], [0.5, 0.5]) == pytest.approx(np.array([[0.7, 0.3], [0.2, 0.8]]))


def test_weights_by_hand():
    a, b = np.array([[0.8, 0.2]]), np.array([[0.4, 0.6]])
    assert combine([a, b], [0.75, 0.25]) == pytest.approx(np.array([[0.7, 0.3]]))


def test_no_images_give_no_rows():
    assert combine([np.empty((0, 3))] * 2, [0.5, 0.5]).shape == (0, 3)


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


def test_none_left_says_how_to_go_on():
    with pytest.raises(InputError) as error:
        members_that_run("average", average(["svm_rbf", "three_cnn"]), RUN)
    assert str(error.value) == (
        "ensembles.average: no member runs (members: svm_rbf, three_cnn); name one in run.networks or run.classifiers, "
        "or take average out: -S 'run.ensembles=[]'"
    )


def test_only_members_of_weight_zero_left():
    with pytest.raises(InputError, match="no member with a weight above 0 runs"):
        members_that_run("average", average(["lda", "svm_rbf"], [0, 1]), RUN)
