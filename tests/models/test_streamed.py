"""Classifiers that read their rows block by block: from files, in little memory, with scikit-learn's results."""

import os
import subprocess
import sys

import numpy as np
import pytest
from sklearn import ensemble
from sklearn.calibration import CalibratedClassifierCV
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from fakeprint import blocks
from fakeprint.blocks import Rows, remapped, write_rows
from fakeprint.errors import InputError
from fakeprint.models.classifiers import fitting, kernel_svm, linear
from fakeprint.models.classifiers.fitting import _folds, fit
from fakeprint.models.classifiers.kernel_svm import KernelSVM, NystroemSVM, drawn
from fakeprint.models.classifiers.linear import LinearMachine
from fakeprint.models.classifiers.shrinkage_lda import ShrinkageLDA
from tests.models.test_classifiers import SETTINGS, TRAIN, VALIDATION
from tests.samples import DEMO


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of a few rows, so that a test's rows take many."""
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 4 * 6 * 17)


def clouds(count, size, classes, seed=0):
    """Overlapping classes of correlated features far from zero: x float32 (count, size), y (count,)."""
    rng = np.random.default_rng(seed)
    y = np.arange(count) % classes
    x = rng.normal(size=(count, size)) @ rng.normal(size=(size, size)) / np.sqrt(size) + 5
    x[np.arange(count), y] += 1
    return x.astype(np.float32), y


def on_disk(folder, x, copies):
    """Two sets side by side, copies below the originals, in four files."""
    for part, rows in (("train", x[: len(x) - copies]), ("augmented", x[len(x) - copies :])):
        for name, columns in (("a", slice(0, 2)), ("b", slice(2, None))):
            np.save(folder / f"{name}_{part}.npy", rows[:, columns])
    train, augmented = (Rows((tuple(folder / f"{n}_{part}.npy" for n in "ab"),)) for part in ("train", "augmented"))
    return train.above(augmented)


def test_rows_are_read_from_files_in_any_order(tmp_path, small_blocks):
    x, _ = clouds(101, 6, 3)
    rows = on_disk(tmp_path, x, copies=40)
    assert rows.shape == (101, 6) and rows.block_rows == 17
    np.testing.assert_array_equal(rows.whole(), x)
    picked = np.random.default_rng(1).permutation(101)[:50]
    np.testing.assert_array_equal(rows.at(picked).at(np.arange(49, -1, -1)).whole(), x[picked][::-1])
    doubled = rows.then(np.negative).then(lambda block: 2 * block)
    for place, block in doubled.at(picked).blocks(7):
        assert len(block) <= 7
        np.testing.assert_array_equal(block, -2 * x[picked][place])
    assert rows.at(picked[:0]).whole().shape == (0, 6)


def test_blocks_are_copies_only_where_they_must_be(small_blocks):
    x = np.random.default_rng(0).random((50, 4), np.float32)
    before = x.copy()
    assert all(np.shares_memory(block, x) for _, block in Rows.of(x).blocks())
    doubled = Rows.of(x).then(lambda block: np.multiply(block, 2, out=block))
    np.testing.assert_array_equal(np.concatenate([block for _, block in doubled.blocks()]), 2 * before)
    np.testing.assert_array_equal(x, before)
    for rows in (Rows.of(x).at(np.arange(50)[::-1]), Rows.of(x).above(Rows.of(x)), Rows(((x, x),))):
        assert not any(np.shares_memory(block, x) for _, block in rows.blocks())


def test_a_file_of_another_length_is_not_written_in_silence(tmp_path):
    with pytest.raises(ValueError, match="6 of 9 numbers were written"):
        write_rows(tmp_path / "x.npy", (3, 3), iter([np.zeros((2, 3), np.float32)]))
    write_rows(tmp_path / "x.npy", (2, 3), iter([np.zeros((1, 3), np.float32), np.ones((1, 3), np.float32)]))
    np.save(tmp_path / "peer.npy", np.array([[0, 0, 0], [1, 1, 1]], np.float32))
    assert (tmp_path / "x.npy").read_bytes() == (tmp_path / "peer.npy").read_bytes()
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    again = remapped(mapped)
    assert again is not mapped and np.array_equal(again, mapped)
    assert remapped(mapped[1:]).tolist() == [[1, 1, 1]]
    np.save(tmp_path / "columns.npy", np.asfortranarray(mapped))
    assert remapped(np.load(tmp_path / "columns.npy", mmap_mode="r")).tolist() == mapped.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("method", SETTINGS)
def test_rows_on_disk_give_what_an_array_gives(method, tmp_path, small_blocks):
    x, y = TRAIN
    arguments = (y, *VALIDATION, 5, 1)
    in_memory = fit(SETTINGS[method], x, *arguments)
    from_disk = fit(SETTINGS[method], on_disk(tmp_path, x, copies=30), *arguments)
    np.testing.assert_array_equal(from_disk.predict_proba(VALIDATION[0]), in_memory.predict_proba(VALIDATION[0]))


@pytest.mark.parametrize("shrinkage", ["auto", 0.2])
def test_lda_in_blocks_equals_scikit_learn(shrinkage, small_blocks):
    x, y = clouds(600, 30, 4)
    peer = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage).fit(x.astype(np.float64), y)
    ours = ShrinkageLDA(shrinkage).fit(x, y)
    np.testing.assert_allclose(ours.predict_proba(x), peer.predict_proba(x.astype(np.float64)), atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, 4])
def test_logistic_regression_equals_scikit_learn(classes, small_blocks):
    x, y = clouds(400, 20, classes)
    peer = LogisticRegression(C=0.3, max_iter=10_000, tol=1e-9).fit(x.astype(np.float64), y)
    ours = LinearMachine("log", 0.3).fit(x, y)
    np.testing.assert_allclose(ours.predict_proba(x), peer.predict_proba(x), atol=3e-4)


@pytest.mark.parametrize("classes", [2, 4])
def test_linear_svm_equals_scikit_learn(classes, small_blocks):
    x, y = clouds(400, 20, classes)
    folds = _folds(y, np.arange(len(y)), seed=3)
    machine = LinearSVC(C=0.05, max_iter=1_000_000, tol=1e-9, dual=False)
    peer = CalibratedClassifierCV(machine, cv=folds, ensemble=False).fit(x.astype(np.float64), y)
    ours = LinearMachine("squared_hinge", 0.05).fit(x, y, folds)
    np.testing.assert_allclose(ours.coef_, peer.calibrated_classifiers_[0].estimator.coef_, atol=1e-4)
    np.testing.assert_allclose(ours.predict_proba(x), peer.predict_proba(x), atol=3e-4)


def test_more_columns_than_a_square_matrix_bears_give_the_same(monkeypatch):
    x, y = clouds(200, 20, 3)
    coupled = LinearMachine("log", 0.3).fit(x, y)
    monkeypatch.setattr(linear, "MOST_COUPLED", 10)
    np.testing.assert_allclose(
        LinearMachine("log", 0.3).fit(x, y).predict_proba(x), coupled.predict_proba(x), atol=5e-3
    )


def test_all_rows_as_components_are_nearly_the_exact_machine():
    x, y = clouds(300, 8, 3)
    train, held_out = np.arange(240), np.arange(240, 300)
    folds = _folds(y[train], train, seed=3)
    exact = KernelSVM(C=3, gamma="scale").fit(x[train], y[train], folds)
    nearly = NystroemSVM(C=3, gamma="scale", components=240, random_state=1).fit(x[train], y[train], folds)
    few = NystroemSVM(C=3, gamma="scale", components=6, random_state=1).fit(x[train], y[train], folds)
    right = [np.mean(each.predict(x[held_out]) == y[held_out]) for each in (exact, nearly, few)]
    assert abs(right[1] - right[0]) < 0.08
    assert few.map_.components_.shape == (6, 8)
    assert np.abs(nearly.predict_proba(x[held_out]) - exact.predict_proba(x[held_out])).mean() < 0.1


def test_a_binary_kernel_svm_answers_for_both_classes():
    x, y = clouds(120, 6, 2)
    folds = _folds(y, np.arange(120), seed=3)
    for machine in (KernelSVM(C=3), NystroemSVM(C=3, components=40)):
        probabilities = machine.fit(x, y, folds).predict_proba(x)
        assert probabilities.shape == (120, 2)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1)
        assert np.mean(machine.predict(x) == y) > 0.8


@pytest.mark.parametrize(
    ("approximation", "rows", "chosen"),
    [("auto", 100, KernelSVM), ("auto", 99, NystroemSVM), ("exact", 99, KernelSVM), ("nystroem", 100, NystroemSVM)],
)
def test_svm_rbf_is_approximated_above_a_number_of_rows(approximation, rows, chosen, monkeypatch, capsys):
    monkeypatch.setattr(kernel_svm, "EXACT_ROWS", rows)
    settings = SETTINGS["svm_rbf"].model_copy(update={"approximation": approximation, "components": 50})
    x, y = clouds(100, 6, 3)
    model = fit(settings, x, y, x, y, seed=0)
    assert isinstance(model.named_steps["classify"], chosen)
    line = "svm_rbf: 100 train rows, approximated by 50 of them (approximation: nystroem)\n"
    assert capsys.readouterr().out == (line if chosen is NystroemSVM else "")


def test_svm_rbf_is_approximated_where_its_matrices_do_not_fit(monkeypatch, capsys):
    x, y = clouds(100, 6, 3)
    monkeypatch.setattr(kernel_svm, "MEMORY", kernel_svm._kernel_bytes(np.bincount(y)) - 1)
    settings = SETTINGS["svm_rbf"].model_copy(update={"approximation": "auto", "components": 50})
    assert isinstance(fit(settings, x, y, x, y, seed=0).named_steps["classify"], NystroemSVM)
    with pytest.raises(InputError, match="set approximation: auto or nystroem"):
        fit(settings.model_copy(update={"approximation": "exact"}), x, y, x, y, seed=0)


def test_drawn_rows_keep_the_classes_shares():
    y = np.repeat([0, 1, 2], [70, 28, 2])
    rows = drawn(y, 50, seed=0)
    assert np.bincount(y[rows]).tolist() == [35, 14, 1]
    assert sorted(set(rows)) == rows.tolist()
    assert not np.array_equal(rows, drawn(y, 50, seed=1))
    assert len(drawn(y, 100, seed=0)) == 100


def histograms(rows):
    """Two histograms of 30 bins side by side, each of which sums to 1: no column is free of the others."""
    bins = np.random.default_rng(0).random((rows, 2, 30))
    x = (bins / bins.sum(axis=2, keepdims=True)).reshape(rows, 60).astype(np.float32)
    return x, np.arange(rows) % 5


@pytest.mark.parametrize("loss", ["log", "squared_hinge"])
def test_a_large_c_on_columns_that_depend_on_each_other(loss):
    x, y = histograms(4000)
    weak, strong = (LinearMachine(loss, C).fit(x, y) for C in (1e4, 1e8))
    assert np.mean(strong.decision_function(x).argmax(axis=1) == y) >= (
        np.mean(weak.decision_function(x).argmax(axis=1) == y) - 0.02
    )


def test_a_machine_that_stops_before_its_minimum_says_so(monkeypatch, capsys):
    LinearMachine().fit(*TRAIN)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(linear, "MOST_PASSES", 2)
    LinearMachine().fit(*TRAIN)
    printed = "warning: log did not converge in 2 passes; scale the features or lower C\n"
    assert capsys.readouterr().err == printed


def test_lda_of_columns_that_depend_on_each_other_wants_shrinkage():
    x, y = histograms(400)
    assert np.isfinite(ShrinkageLDA("auto").fit(x, y).predict_proba(x)).all()
    with pytest.raises(
        InputError, match=r"^lda: with shrinkage: 0\.0, the covariance of 60 features .* auto, or higher$"
    ):
        ShrinkageLDA(0.0).fit(x, y)


@pytest.mark.parametrize(("method", "most"), [("boosting", 50), ("forest", 112)])
def test_trees_take_as_many_rows_as_fit_and_say_so(method, most, monkeypatch, capsys):
    monkeypatch.setattr(fitting, "MEMORY", 50 * 6 * 9)
    x, y = TRAIN
    seen = []
    builder = {"boosting": "HistGradientBoostingClassifier", "forest": "RandomForestClassifier"}[method]
    kind = getattr(ensemble, builder)
    whole = kind.fit
    monkeypatch.setattr(kind, "fit", lambda self, x, y: seen.append(len(x)) or whole(self, x, y))
    fit(SETTINGS[method], x, y, *VALIDATION, seed=0)
    taken = sum(int(most * each / 120) for each in np.bincount(y))
    assert seen == [taken] and taken <= most
    printed = capsys.readouterr().out
    assert printed == f"{method}: fitted on {taken} of 120 train rows, drawn by class (as many as 0 GB hold)\n"
    fit(SETTINGS[method].model_copy(update={"rows": 30}), x, y, *VALIDATION, seed=0)
    assert seen == [taken, 30]
    with pytest.raises(
        InputError,
        match=rf"{method} cannot hold 120 rows of 6 features in memory; set rows to at most {most}, or to null",
    ):
        fit(SETTINGS[method].model_copy(update={"rows": 10**6}), x, y, *VALIDATION, seed=0)
    monkeypatch.setattr(fitting, "MEMORY", 120 * 6 * 9)  # all that there are fit, however many may come
    fit(SETTINGS[method].model_copy(update={"rows": 10**6}), x, y, *VALIDATION, seed=0)
    assert seen == [taken, 30, 120]


PEAK = """
import resource, sys
from pathlib import Path
import numpy as np
from fakeprint import blocks, params
from fakeprint.models.classifiers.fitting import fit
blocks.BLOCK_BYTES = 2**21
rows = blocks.Rows(((Path(sys.argv[1]),),))
y = np.arange(len(rows)) % 2
changes = {"components": 20, "approximation": "nystroem"}
for method in sys.argv[3:]:
    settings = params.load(sys.argv[2]).classifiers[method].model_copy(update=changes)
    for n in (100, len(rows)):
        fit(settings, rows.at(np.arange(n)), y[:n], rows.at(np.arange(9)), y[:9], 0)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rows(tmp_path):
    """A process of its own fits 50 MB of features in a good half of what they take."""
    generator = np.random.default_rng(0)
    write_rows(tmp_path / "x.npy", (50_000, 250), (generator.random((10_000, 250), np.float32) for _ in range(5)))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-c", PEAK, str(tmp_path / "x.npy"), str(DEMO), "lda", "svm_rbf"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    few, lda, few_again, svm = (int(line) for line in done.stdout.split("\n") if line.isdigit())
    assert lda - few < 30e6 and svm - few_again < 30e6
