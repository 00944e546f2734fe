import json
import shutil
import tracemalloc
import zipfile
from dataclasses import asdict

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from fakeprint import params
from fakeprint.blocks import Rows
from fakeprint.data.arrays import Dataset
from fakeprint.errors import InputError
from fakeprint.models.classifiers import CLASSIFIERS, skops_files
from fakeprint.models.classifiers.files import FittedClassifier, describe, load_classifier, save_classifier
from fakeprint.models.classifiers.fitting import CALIBRATION_FOLDS, _folds, fit
from fakeprint.models.classifiers.kernel_svm import KernelSVM, _gamma, _kernel_bytes
from fakeprint.models.classifiers.neighbours import BLOCK, plot_sweep, search
from fakeprint.models.classifiers.shrinkage_lda import ShrinkageLDA

DATASET = asdict(Dataset(["a", "b", "c"], ["a", "b", "c"], 32, "squash", 10**6))
SETTINGS = {
    "knn": params.KNN(method="knn", features=["x"], scale="none", augmented=False, k=[1, 3, 5], metrics=["l1", "l2"]),
    "logistic": params.Logistic(method="logistic", features=["x"], scale="standard", augmented=False, C=1),
    "svm_linear": params.LinearSVM(method="svm_linear", features=["x"], scale="sqrt_standard", augmented=False, C=0.1),
    "svm_rbf": params.RBFSVM(method="svm_rbf", features=["x"], scale="standard", augmented=False, C=10, gamma="scale"),
    "lda": params.LDA(method="lda", features=["x"], scale="sqrt", augmented=False, shrinkage="auto"),
    "boosting": params.Boosting(
        method="boosting", features=["x"], scale="none", augmented=False, iterations=15, lr=0.2, leaves=7
    ),
    "forest": params.Forest(method="forest", features=["x"], scale="none", augmented=False, trees=20),
    "fingerprint": params.Fingerprint(
        method="fingerprint", features=["residual_image"], scale="none", augmented=False, C=1, folds=5
    ),
}


def separable(count, seed):
    """Three classes, each strong in a pair of its own of six positive numbers: x float32 (count, 6), y (count,)."""
    rng = np.random.default_rng(seed)
    y = np.arange(count) % 3
    x = rng.gamma(2.0, 0.05, (count, 6))
    x[np.arange(count), 2 * y] += 0.6
    x[np.arange(count), 2 * y + 1] += 0.4
    return x.astype(np.float32), y


TRAIN, VALIDATION = separable(120, 0), separable(45, 1)


def fitted(method, workers=1, settings=None):
    settings = settings or SETTINGS[method]
    model = fit(settings, *TRAIN, *VALIDATION, seed=5, workers=workers)
    return FittedClassifier(model, describe(method, settings, model, {"x": {"bins": 2}}, DATASET))


def test_every_method_of_params_is_described_and_tested():
    assert set(CLASSIFIERS) == set(SETTINGS)


@pytest.mark.parametrize("method", SETTINGS)
def test_separates_and_comes_back_exactly(method, tmp_path):
    classifier = fitted(method)
    x, y = VALIDATION
    probabilities = classifier.probabilities(x)
    assert probabilities.shape == (45, 3) and probabilities.dtype == np.float64
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert np.mean(probabilities.argmax(axis=1) == y) >= 0.97

    save_classifier(tmp_path, classifier)
    loaded = load_classifier(tmp_path)
    np.testing.assert_array_equal(loaded.probabilities(x), probabilities)
    assert loaded.features == {"x": {"bins": 2}}
    assert loaded.description == {"kind": "classifier", **classifier.description}
    assert loaded.probabilities(x[:0]).shape == (0, 3)


@pytest.mark.parametrize("method", SETTINGS)
def test_same_seed_same_bytes_whatever_the_workers(method, tmp_path):
    for name, workers in (("one", 1), ("two", 2)):
        (tmp_path / name).mkdir()
        save_classifier(tmp_path / name, fitted(method, workers))
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "two").iterdir())
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


@pytest.mark.parametrize("count", [200, 2 * BLOCK + 3])
@pytest.mark.parametrize("metric", ["l1", "l2"])
def test_search_equals_brute_force(metric, count):
    rng = np.random.default_rng(2)
    rows, queries = rng.random((count, 16), dtype=np.float32), rng.random((50, 16), dtype=np.float32)
    distances, nearest = search(rows, queries, 7, metric)
    gaps = queries[:, None].astype(np.float64) - rows[None]
    exact = np.abs(gaps).sum(axis=2) if metric == "l1" else (gaps**2).sum(axis=2)
    order = np.argsort(exact, axis=1)[:, :7]
    np.testing.assert_array_equal(nearest, order)
    np.testing.assert_allclose(distances, np.take_along_axis(exact, order, axis=1), rtol=1e-5)


def test_knn_equals_scikit_learn():
    classifier = fitted("knn")
    chosen = classifier.description["chosen"]
    for metric, name in (("l1", "manhattan"), ("l2", "euclidean")):
        for k in SETTINGS["knn"].k:
            peer = KNeighborsClassifier(k, metric=name, algorithm="brute").fit(*TRAIN)
            accuracy = peer.score(*VALIDATION)
            sweep = classifier.model.sweep.query("metric == @metric and k == @k")
            assert sweep["accuracy"].item() == accuracy
            if (metric, k) == (chosen["metric"], chosen["k"]):
                np.testing.assert_array_equal(
                    classifier.probabilities(VALIDATION[0]), peer.predict_proba(VALIDATION[0])
                )


def test_knn_chooses_by_validation_accuracy():
    # One mislabelled neighbour beside each query: k = 1 is always wrong, k = 3 always right, l1 and l2 alike.
    x = np.array([[0, 0], [0.2, 0], [-0.2, 0], [9, 0], [9.2, 0], [8.8, 0]], dtype=np.float32)
    y = np.array([1, 0, 0, 0, 1, 1])
    queries, truth = np.array([[0, 0], [9, 0]], dtype=np.float32), np.array([0, 1])
    settings = SETTINGS["knn"].model_copy(update={"k": [3, 1], "metrics": ["l2", "l1"]})
    model = fit(settings, x, y, queries, truth, seed=0)
    assert (model.metric, model.k) == ("l2", 3)
    assert model.sweep.to_dict("list") == {
        "metric": ["l2", "l2", "l1", "l1"],
        "k": [1, 3, 1, 3],
        "accuracy": [0, 1, 0, 1],
    }
    np.testing.assert_allclose(model.predict_proba(queries), [[2 / 3, 1 / 3], [1 / 3, 2 / 3]])


def test_knn_ties_go_to_the_earlier_row_and_the_lower_class():
    rows = np.array([[1.0], [-1.0], [1.0], [5.0]], dtype=np.float32)
    _, nearest = search(rows, np.zeros((1, 1), dtype=np.float32), 2, "l1")
    assert nearest.tolist() == [[0, 1]]
    settings = SETTINGS["knn"].model_copy(update={"k": [2], "metrics": ["l1"]})
    model = fit(settings, rows, np.array([1, 0, 1, 1]), rows[:1], np.array([1]), seed=0)
    votes = model.predict_proba(np.zeros((1, 1)))
    assert votes.tolist() == [[0.5, 0.5]] and votes.argmax() == 0


def test_knn_scales_with_train_figures():
    settings = SETTINGS["knn"].model_copy(update={"scale": "standard", "k": [3], "metrics": ["l2"]})
    classifier = fitted("knn", settings=settings)
    scaler = StandardScaler().fit(TRAIN[0])
    peer = KNeighborsClassifier(3).fit(scaler.transform(TRAIN[0]), TRAIN[1])
    expected = peer.predict_proba(scaler.transform(VALIDATION[0]))
    np.testing.assert_array_equal(classifier.probabilities(VALIDATION[0]), expected)


@pytest.mark.slow
def test_knn_curve_is_drawn(tmp_path):
    model = fitted("knn").model
    for name in ("one.png", "two.png"):
        plot_sweep(model.sweep, tmp_path / name, "k-NN on x: a test")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_sqrt_standard_equals_scaling_by_hand():
    settings = params.Logistic(method="logistic", features=["x"], scale="sqrt_standard", augmented=False, C=0.5)
    roots = [np.sqrt(each[0].astype(np.float64)) for each in (TRAIN, VALIDATION)]
    scaler = StandardScaler().fit(roots[0])
    peer = LogisticRegression(C=0.5, max_iter=5000, tol=1e-8).fit(scaler.transform(roots[0]), TRAIN[1])
    expected = peer.predict_proba(scaler.transform(roots[1]))
    np.testing.assert_allclose(fitted("logistic", settings=settings).probabilities(VALIDATION[0]), expected, atol=1e-4)


@pytest.mark.parametrize("shrinkage", ["auto", 0.0, 0.3])
def test_lda_equals_scikit_learn(shrinkage):
    (x, y), queries = TRAIN, VALIDATION[0].astype(np.float64)
    x = np.column_stack([x, x[:, 0] * x[:, 1], np.random.default_rng(0).normal(size=(len(x), 3))]).astype(np.float64)
    queries = np.column_stack([queries, queries[:, 0] * queries[:, 1], np.ones((len(queries), 3))])
    peer = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage).fit(x[:-7], y[:-7])
    ours = ShrinkageLDA(shrinkage).fit(x[:-7], y[:-7])
    np.testing.assert_allclose(ours.coef_, peer.coef_, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(ours.predict_proba(queries), peer.predict_proba(queries), atol=1e-4)
    np.testing.assert_array_equal(ours.predict(queries), peer.predict(queries))


def test_lda_bears_a_constant_feature():
    x = np.column_stack([TRAIN[0], np.full(len(TRAIN[0]), 0.25)]).astype(np.float64)
    assert np.mean(ShrinkageLDA().fit(x, TRAIN[1]).predict(x) == TRAIN[1]) > 0.97


@pytest.mark.parametrize(("shrinkage", "remedy"), [("auto", "a number above 0"), (0.0, "auto, or higher")])
def test_a_singular_covariance_is_one_line(shrinkage, remedy):
    with pytest.raises(InputError, match=rf"covariance of 2 features from 6 train rows is singular .*to {remedy}$"):
        ShrinkageLDA(shrinkage).fit(np.ones((6, 2), np.float32), np.arange(6) % 2)


def test_lda_refuses_what_does_not_fit_in_memory():
    x = np.broadcast_to(np.float32(0), (4, 49_152))
    with pytest.raises(InputError, match="the covariance of 49,152 features would take 48 GB, more than the 12 GB"):
        ShrinkageLDA().fit(x, np.array([0, 1, 0, 1]))


@pytest.mark.parametrize("value", [0.0, 0.1, 3.3])
def test_a_kernel_of_equal_numbers_has_a_width(value):
    assert _gamma(Rows.of(np.full((300, 50), value, np.float32)), "scale") == 1


def test_kernel_svm_equals_scikit_learn():
    (x, y), queries = TRAIN, VALIDATION[0].astype(np.float64)
    x, folds = x.astype(np.float64), _folds(y, np.arange(len(y)), seed=5)
    peer = CalibratedClassifierCV(SVC(C=3, gamma=0.5), cv=folds, ensemble=False).fit(x, y)
    ours = KernelSVM(C=3, gamma=0.5).fit(x, y, folds)
    # libsvm stops at a gap of 1e-3: float32 kernels move its end point by less than that.
    np.testing.assert_allclose(ours.predict_proba(queries), peer.predict_proba(queries), atol=1e-4)
    np.testing.assert_array_equal(ours.predict(queries), peer.predict(queries))
    assert len(ours.support_rows_) < len(x)


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
def test_the_linear_svm_minimises_the_requested_loss(loss):
    from sklearn.svm import LinearSVC

    x, y = separable(60, 0)
    x = np.asarray(x, dtype=np.float64) + 3 * np.random.default_rng(1).standard_normal(x.shape)  # no longer separable
    settings = params.LinearSVM(method="svm_linear", features=["x"], scale="none", augmented=False, C=0.1, loss=loss)
    pipeline = fit(settings, x, y, x, y, 7, 1)
    machine = pipeline["classify"]
    peer = LinearSVC(C=0.1, loss=loss, max_iter=200_000, random_state=7, tol=1e-6).fit(x, y)
    other = LinearSVC(C=0.1, loss="hinge" if loss != "hinge" else "squared_hinge", max_iter=20_000).fit(x, y)
    np.testing.assert_allclose(machine.coef_, peer.coef_, atol=2e-3)
    assert not np.allclose(machine.coef_, other.coef_, atol=0.01)
    assert machine.predict_proba(x).sum(axis=1) == pytest.approx(1)


def test_a_hinge_that_does_not_fit_in_memory_is_refused(monkeypatch):
    monkeypatch.setattr("fakeprint.models.classifiers.fitting.MEMORY", 24 * 2 * 50)
    (x, y), common = separable(60, 0), {"features": ["x"], "scale": "none", "augmented": False, "C": 0.1}
    settings = params.LinearSVM(method="svm_linear", loss="hinge", **common)
    columns = np.asarray(x, dtype=np.float32)[:, :2]
    message = (
        rf"^classifiers: svm_linear with loss: hinge cannot hold {len(x)} rows of 2 features, at most 50; set loss: "
        "squared_hinge, which reads blocks, or data.per_class$"
    )
    with pytest.raises(InputError, match=message):
        fit(settings, columns, y, columns, y, 7, 1)


@pytest.mark.parametrize("tile", [7, 2048])  # rows of a block: several, and one that is not full
@pytest.mark.parametrize("classes", [2, 4])
def test_decisions_are_those_of_scikit_learns_svc(classes, tile, monkeypatch):
    monkeypatch.setattr("fakeprint.models.classifiers.kernel_svm.TILE", tile)
    rng = np.random.default_rng(3)
    y = rng.permutation(np.repeat(np.arange(classes), [30, 20, 25, 15][:classes]))
    x = (rng.standard_normal((len(y), 6)) + 0.5 * y[:, None]).astype(np.float32)
    queries = rng.standard_normal((40, 6)).astype(np.float32)
    peer = SVC(C=3, gamma=0.2, tol=1e-6).fit(x, y)
    ours = KernelSVM(C=3, gamma=0.2, n_jobs=2).fit(x, y, _folds(y, np.arange(len(y)), seed=1))
    expected = peer.decision_function(queries)
    decisions = ours._decisions(queries)
    np.testing.assert_allclose(decisions[:, 0] if classes == 2 else decisions, expected, atol=3e-3)
    assert np.std(expected) > 0.1
    np.testing.assert_array_equal(ours.support_, np.unique(peer.support_))


@pytest.mark.parametrize(
    ("per_class", "refused"),
    [
        ([16_500, 16_500], None),
        ([16_600, 16_600], "33,200 train rows (copies included) would take 12.1 GB"),
        ([14_600] * 5, None),
        ([14_700] * 5, "73,500 train rows (copies included) would take 12.1 GB"),
        ([30_000, 10_000, 1], "40,001 train rows (copies included) would take 18.0 GB"),
    ],
)
def test_kernel_svm_refuses_what_does_not_fit_in_memory(per_class, refused, monkeypatch):
    class Began(Exception):
        pass

    monkeypatch.setattr("fakeprint.models.classifiers.kernel_svm._gamma", lambda *_: (_ for _ in ()).throw(Began))
    y = np.repeat(np.arange(len(per_class)), per_class)
    end = ", more than the 12 GB allowed; set approximation: auto or nystroem"
    with pytest.raises(InputError if refused else Began) as caught:
        KernelSVM().fit(np.zeros((len(y), 1), np.float32), y, [])
    if refused:
        assert str(caught.value) == f"svm_rbf: the kernel matrices of {refused}{end}"


@pytest.mark.slow
@pytest.mark.parametrize("per_class", [[500, 500], [600] * 5, [600, 300, 100]])
def test_kernel_svm_takes_as_much_memory_as_it_reckons_with(per_class, monkeypatch):
    monkeypatch.setattr("fakeprint.models.classifiers.kernel_svm.TILE", 20)
    y = np.repeat(np.arange(len(per_class)), per_class)
    x = np.random.default_rng(2).standard_normal((len(y), 3)).astype(np.float32)
    folds = _folds(y, np.arange(len(y)), seed=1)
    KernelSVM(gamma=0.1).fit(
        x[::50], y[::50], _folds(y[::50], np.arange(len(y[::50])), seed=1)
    )  # what is imported or cached by the first fit
    tracemalloc.start()
    KernelSVM(gamma=0.1).fit(x, y, folds)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak == pytest.approx(_kernel_bytes(np.array(per_class)), rel=0.05)


def test_kernel_svm_refuses_numbers_that_are_not_finite():
    x, y = separable(60, 0)
    x = np.asarray(x, np.float32)
    machine = KernelSVM(gamma=0.1).fit(x, y, _folds(y, np.arange(len(y)), seed=1))
    with pytest.raises(ValueError, match="contains NaN"):
        machine.predict(np.full_like(x[:1], np.nan))


def test_copies_stay_with_their_originals_in_calibration():
    y = np.arange(30) % 3
    parents = np.concatenate([np.arange(30), np.arange(30), np.arange(30)])
    folds = _folds(np.concatenate([y, y, y]), parents, seed=1)
    assert len(folds) == CALIBRATION_FOLDS
    for train, held_out in folds:
        assert not set(parents[train]) & set(parents[held_out])
        assert len(train) + len(held_out) == 90
    assert sorted(np.concatenate([held_out for _, held_out in folds])) == list(range(90))


def test_no_fold_of_calibration_takes_a_class_away(monkeypatch):
    """Every class has three groups or more, but groups of several classes, once dealt out, put one into one fold."""
    y = np.array([0, 4, 1, 1, 2, 4, 3, 2, 0, 1, 1, 4, 3, 3, 0, 4, 2, 2, 3, 2, 3])
    groups = np.array([5, 1, 1, 2, 2, 2, 0, 3, 1, 2, 0, 5, 4, 0, 4, 3, 6, 1, 0, 4, 3])
    x = np.random.default_rng(0).normal(size=(21, 3)).astype(np.float32)
    model = fit(SETTINGS["svm_rbf"], x, y, x, y, 28, 1, groups)
    assert model.predict_proba(x).shape == (21, 5)
    monkeypatch.setattr("fakeprint.models.classifiers.fitting.CALIBRATION_DRAWS", 1)
    with pytest.raises(
        InputError, match=r"^calibration: one fold would hold all images of a class, because groups of train images"
    ):
        fit(SETTINGS["svm_rbf"], x, y, x, y, 28, 1, groups)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["svm_linear", "svm_rbf"])
def test_calibration_is_not_fooled_by_duplicates(method):
    # Noise, each row four times: a machine knows the copies of what it was fitted on, and nothing of other rows.
    rng = np.random.default_rng(0)
    x, y = np.repeat(rng.random((60, 40), dtype=np.float32), 4, axis=0), np.repeat(np.arange(60) % 3, 4)
    fresh = rng.random((300, 40), dtype=np.float32)
    settings = SETTINGS[method].model_copy(update={"C": 10})

    def confidence(groups):
        model = fit(settings, x, y, x, y, seed=0, workers=1, groups=groups)
        fitted = FittedClassifier(model, describe(method, settings, model, {}, DATASET))
        return fitted.probabilities(fresh).max(axis=1).mean()

    assert confidence(np.arange(240) // 4) < confidence(None) - 0.15


@pytest.mark.parametrize(
    ("method", "rows", "message"),
    [
        ("knn", [0, 1, 2, 3], r"^classifiers: k = 5 is more than the 4 train images; lower k$"),
        (
            "svm_rbf",
            [0, 1, 2, 3, 4, 6, 7, 9, 10],
            r"^class index 2: fewer than the 3 groups of train images \(near dup",
        ),
        ("lda", [0, 3, 6], r"^the train images have 1 class\(es\); a classifier needs at least 2$"),
        ("forest", [0, 2, 3], r"^class index 1: fewer than the 1 train image this classifier needs$"),
    ],
)
def test_too_few_images_is_one_line(method, rows, message):
    with pytest.raises(InputError, match=message):
        fit(SETTINGS[method], TRAIN[0][rows], TRAIN[1][rows], *VALIDATION, seed=0)


@pytest.mark.parametrize("method", ["lda", "forest", "svm_rbf"])
def test_a_class_that_no_train_image_has_is_named(method):
    rows = np.flatnonzero(TRAIN[1] < 2)
    with pytest.raises(InputError, match=r"^class dalle: fewer than the \d .*train image"):
        fit(SETTINGS[method], TRAIN[0][rows], TRAIN[1][rows], *VALIDATION, seed=0, classes=["a", "b", "dalle"])


def test_knn_without_validation_is_one_line():
    with pytest.raises(InputError, match="k-NN chooses k by validation accuracy, but there are no labelled validation"):
        fit(SETTINGS["knn"], *TRAIN, VALIDATION[0][:0], VALIDATION[1][:0], seed=0)


def foreign_function(x):
    return x


def test_foreign_types_are_refused(tmp_path):
    save_classifier(tmp_path, fitted("lda"))
    foreign = Pipeline([("do", FunctionTransformer(foreign_function))]).fit(TRAIN[0])
    skops_files.skops.io.dump(foreign, tmp_path / "classifier.skops")
    with pytest.raises(
        InputError,
        match=r"classifier.skops was not loaded, because .*foreign_function; load only models that you trust$",
    ):
        load_classifier(tmp_path)


def test_a_file_of_another_version_is_one_line(tmp_path, monkeypatch):
    save_classifier(tmp_path, fitted("lda"))
    renamed = [name.replace("ShrinkageLDA", "FormerLDA") for name in skops_files.TRUSTED]
    monkeypatch.setattr(skops_files, "TRUSTED", tuple(renamed))
    with pytest.raises(
        InputError,
        match=r"holds types that this version of Fakeprint does not know \(.*ShrinkageLDA\): .*; fit it again with",
    ):
        load_classifier(tmp_path)


NUMBERS = {  # of each method, an array that the answer is computed with
    "logistic": "coef_",
    "svm_linear": "intercept_",
    "svm_rbf": "coefficients_",
    "lda": "coef_",
    "fingerprint": "fingerprints_",
}


@pytest.mark.parametrize("damage", ["shape", "nan", "missing"])
@pytest.mark.parametrize("method", NUMBERS)
def test_numbers_that_do_not_fit_together_are_refused(method, damage, tmp_path):
    wrong = fitted(method)
    estimator = wrong.model.named_steps["classify"]
    numbers = getattr(estimator, NUMBERS[method])
    if damage == "missing":
        delattr(estimator, NUMBERS[method])
    else:
        setattr(estimator, NUMBERS[method], numbers[:-1] if damage == "shape" else np.full_like(numbers, np.nan))
    save_classifier(tmp_path, wrong)
    with pytest.raises(
        InputError,
        match=r"classifier\.skops does not fit the model\.json beside it, or its parts do not .*: run `dvc repro`,",
    ):
        load_classifier(tmp_path)


@pytest.mark.parametrize("method", SETTINGS)
def test_a_model_of_other_classes_than_its_description_is_refused(method, tmp_path):
    save_classifier(tmp_path, fitted(method))
    path = tmp_path / "model.json"
    description = json.loads(path.read_text())
    description["dataset"]["classes"] = ["a", "b"]
    path.write_text(json.dumps(description))
    with pytest.raises(
        InputError, match=r"do not fit together: run `dvc repro`, or take it .* `dvc checkout --force`$"
    ):
        load_classifier(tmp_path)


@pytest.mark.parametrize("count", [0, 2**40])
def test_a_number_of_features_that_no_memory_holds_is_refused_before_memory_is_taken(count, tmp_path, monkeypatch):
    wrong = fitted("lda")
    wrong.model.named_steps["classify"].n_features_in_ = count
    save_classifier(tmp_path, wrong)
    answers = []
    monkeypatch.setattr(Pipeline, "predict_proba", lambda self, x: answers.append(x))
    monkeypatch.setattr(skops_files.np, "zeros", lambda *arguments: answers.append(arguments))
    with pytest.raises(InputError, match=r"classifier\.skops does not fit the model\.json beside it"):
        load_classifier(tmp_path)
    assert answers == []


@pytest.mark.parametrize("name", ["mean_", "scale_"])
@pytest.mark.parametrize("method", ["boosting", "forest"])
def test_a_damaged_scaling_is_refused_where_trees_would_hide_it(method, name, tmp_path):
    wrong = fitted(method, settings=SETTINGS[method].model_copy(update={"scale": "standard"}))
    save_classifier(tmp_path, wrong)
    load_classifier(tmp_path)
    getattr(wrong.model.named_steps["scale"], name)[2] = np.nan
    save_classifier(tmp_path, wrong)
    with pytest.raises(InputError, match=r"classifier\.skops does not fit the model\.json beside it"):
        load_classifier(tmp_path)


@pytest.mark.parametrize("method", ["lda", "knn", "fingerprint"])
def test_features_of_another_number_are_one_line(method):
    with pytest.raises(
        InputError, match=rf"^{method} takes 6 features, but the sets in its model\.json give 5: run `dvc"
    ):
        fitted(method).probabilities(VALIDATION[0][:, :5])


KNN_DAMAGES = {
    "fewer rows": ("neighbours", lambda array: array[:-1]),
    "rows that are not finite": ("neighbours", lambda array: np.where(array > 0.5, np.nan, array)),
    "rows of another type": ("neighbours", lambda array: array.astype(np.float64)),
    "one axis": ("neighbours", lambda array: array[:, 0]),
    "fewer labels": ("labels", lambda array: array[:-1]),
    "words": ("labels", lambda array: array.astype(str)),
    "a class without rows": ("labels", lambda array: np.minimum(array, 1)),
    "no scale": ("scaling", lambda array: array[:1]),
    "a mean that is not finite": ("scaling", lambda array: np.stack([array[0] * np.nan, array[1]])),
    "a scale of 0": ("scaling", lambda array: np.stack([array[0], array[1] * 0])),
}


@pytest.mark.parametrize("damage", KNN_DAMAGES)
def test_knn_arrays_that_do_not_fit_together_are_refused(damage, tmp_path):
    save_classifier(tmp_path, fitted("knn"))
    load_classifier(tmp_path)
    name, change = KNN_DAMAGES[damage]
    np.save(tmp_path / f"{name}.npy", change(np.load(tmp_path / f"{name}.npy")))
    with pytest.raises(
        InputError, match=r"do not fit its model\.json, or do not fit together: run `dvc repro`, or take"
    ):
        load_classifier(tmp_path)


@pytest.mark.parametrize(
    "chosen",
    [{"metric": ["l1"], "k": 3}, {"metric": "l3", "k": 3}, {"metric": "l1", "k": True}, {"metric": "l1", "k": 121}],
)
def test_a_k_or_distance_that_knn_does_not_have_is_one_line(chosen, tmp_path):
    save_classifier(tmp_path, fitted("knn"))
    path = tmp_path / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chosen": chosen}))
    with pytest.raises(
        InputError, match=r"model\.json: chosen\.metric must be l1 or l2, and chosen\.k 1 to 120: run `dvc"
    ):
        load_classifier(tmp_path)


@pytest.mark.parametrize("method", ["forest", "boosting"])
@pytest.mark.parametrize("damage", ["child", "loop", "feature"])
def test_a_tree_that_leads_out_of_its_arrays_is_refused(method, damage, tmp_path):
    wrong = fitted(method)
    if method == "forest":
        tree = wrong.model.named_steps["classify"].estimators_[0].tree_
        left, feature = tree.children_left, tree.feature
    else:
        nodes = wrong.model.named_steps["classify"]._predictors[0][0].nodes
        left, feature = nodes["left"], nodes["feature_idx"]
    save_classifier(tmp_path, wrong)
    load_classifier(tmp_path)
    if damage == "feature":
        feature[0] = 6  # there are 0 to 5
    else:
        left[0] = 10**6 if damage == "child" else 0
    save_classifier(tmp_path, wrong)
    with pytest.raises(InputError, match=r"classifier\.skops holds a damaged tree: run `dvc repro`"):
        load_classifier(tmp_path)


def test_a_forest_of_single_leaves_comes_back(tmp_path):
    model = fitted("forest")
    model.model.named_steps["classify"].set_params(max_depth=None)
    forest = RandomForestClassifier(3, max_leaf_nodes=None, min_samples_split=1000).fit(*TRAIN)
    model.model.steps[-1] = ("classify", forest)
    save_classifier(tmp_path, model)
    loaded = load_classifier(tmp_path)
    np.testing.assert_array_equal(loaded.probabilities(VALIDATION[0]), model.probabilities(VALIDATION[0]))


@pytest.mark.parametrize("hidden", ["tree", "calibrated", "inside"])
def test_trees_in_places_where_no_classifier_has_them_are_refused(hidden, tmp_path):
    save_classifier(tmp_path, fitted("lda"))
    tree = DecisionTreeClassifier(max_depth=2).fit(*TRAIN)
    places = {
        "tree": tree,
        "calibrated": CalibratedClassifierCV(RandomForestClassifier(2), cv=2).fit(*TRAIN),
        "inside": Pipeline([("again", RandomForestClassifier(2).fit(*TRAIN))]),
    }
    skops_files.skops.io.dump(Pipeline([("classify", places[hidden])]), tmp_path / "classifier.skops")
    with pytest.raises(InputError, match=r"classifier\.skops holds a damaged tree"):
        load_classifier(tmp_path)
    rewrite(tmp_path / "classifier.skops", rename_trees)  # skops makes a tree of it all the same
    with pytest.raises(InputError, match=r"classifier\.skops holds a damaged tree"):
        load_classifier(tmp_path)


def rewrite(path, change):
    """Rewrite the schema of a file of skops; change: called with each of its objects."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    left = [schema := json.loads(content["schema.json"])]
    while left:
        node = left.pop()
        if isinstance(node, dict):
            change(node)
        left += [each for each in (node.values() if isinstance(node, dict) else node) if isinstance(each, dict | list)]
    with zipfile.ZipFile(path, "w") as archive:
        for name, each in content.items():
            archive.writestr(name, json.dumps(schema) if name == "schema.json" else each)


def rename_trees(node):
    if node.get("__loader__") == "TreeNode":
        node |= {"__class__": "LabelEncoder", "__module__": "sklearn.preprocessing._label"}


def test_a_tree_that_is_named_twice_hides_no_other(tmp_path):
    """Two members of the forest are one object, with a sound tree; the other tree of the file is in that object."""
    model = fitted("forest")
    first, second, *_ = model.model.named_steps["classify"].estimators_
    first.hidden_ = second
    model.model.named_steps["classify"].estimators_ = [first, first]
    save_classifier(tmp_path, model)
    with pytest.raises(InputError, match=r"classifier\.skops holds a damaged tree"):
        load_classifier(tmp_path)


@pytest.mark.parametrize(
    "change",
    [{"settings": None}, {"settings": {"method": "lda"}}, {"features": []}, {"dataset": {}}, {"chosen": None}],
    ids=["settings", "scale", "features", "dataset", "chosen"],
)
def test_a_description_that_lacks_something_is_one_line(change, tmp_path):
    save_classifier(tmp_path, fitted("knn"))
    path = tmp_path / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(
        InputError,
        match=r"model\.json does not describe (a classifier of this version|what the model learned from): run",
    ):
        load_classifier(tmp_path)


def test_what_is_no_pipeline_is_refused(tmp_path):
    save_classifier(tmp_path, fitted("lda"))
    skops_files.skops.io.dump(StandardScaler().fit(TRAIN[0]), tmp_path / "classifier.skops")
    with pytest.raises(
        InputError, match=r"classifier.skops holds a StandardScaler, not a scikit-learn Pipeline: run `dvc"
    ):
        load_classifier(tmp_path)


def test_damaged_and_missing_files_are_one_line(tmp_path):
    save_classifier(tmp_path, fitted("lda"))
    path = tmp_path / "classifier.skops"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(
        InputError, match=r"^[^\n]*classifier.skops is not a classifier that skops can read \([^\n]+\): run"
    ):
        load_classifier(tmp_path)
    path.unlink()
    with pytest.raises(InputError, match=r"classifier.skops cannot be read \(No such file or directory\): run `dvc"):
        load_classifier(tmp_path)
    (tmp_path / "model.json").write_text('{"kind": "network"}')
    with pytest.raises(
        InputError, match=r"model.json does not describe a classifier: run `dvc repro`, or `dvc checkout --force"
    ):
        load_classifier(tmp_path)
    (tmp_path / "model.json").unlink()
    with pytest.raises(InputError, match=r"model.json is missing: run `dvc repro` or `dvc checkout "):
        load_classifier(tmp_path)


def test_knn_arrays_are_never_unpickled(tmp_path):
    save_classifier(tmp_path, fitted("knn"))
    shutil.copy(tmp_path / "labels.npy", tmp_path / "kept.npy")
    np.save(tmp_path / "labels.npy", np.array([foreign_function], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"does not hold a complete k-NN classifier \(.*allow_pickle=False.*\)"):
        load_classifier(tmp_path)
    shutil.move(tmp_path / "kept.npy", tmp_path / "labels.npy")
    (tmp_path / "scaling.npy").unlink()
    with pytest.raises(InputError, match=r"does not hold a complete k-NN classifier \(.+\): run `dvc repro`"):
        load_classifier(tmp_path)
    (tmp_path / "scaling.npy").touch()
    with pytest.raises(InputError, match=r"does not hold a complete k-NN classifier \(.+\): run `dvc repro`"):
        load_classifier(tmp_path)
    np.savez(tmp_path / "scaling.npz", mean=np.zeros(6))
    shutil.move(tmp_path / "scaling.npz", tmp_path / "scaling.npy")
    with pytest.raises(InputError, match=r"do not fit its model\.json, or do not fit together: run `dvc repro`"):
        load_classifier(tmp_path)


def test_skops_file_holds_no_dates_or_addresses(tmp_path):
    save_classifier(tmp_path, fitted("forest"))
    with zipfile.ZipFile(tmp_path / "classifier.skops") as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        arrays = [name for name in archive.namelist() if name.endswith(".npy")]
        assert sorted(arrays) == sorted(f"{number}.npy" for number in range(len(arrays)))


def test_large_arrays_are_stored_as_they_are_and_small_ones_are_compressed(tmp_path, monkeypatch):
    monkeypatch.setattr("fakeprint.models.classifiers.skops_files.LARGE", 500)
    saved = fitted("svm_rbf")
    save_classifier(tmp_path, saved)
    with zipfile.ZipFile(tmp_path / "classifier.skops") as archive:
        arrays = [member for member in archive.infolist() if member.filename.endswith(".npy")]
    methods = {(member.file_size >= 500, member.compress_type) for member in arrays}
    assert methods == {(True, zipfile.ZIP_STORED), (False, zipfile.ZIP_DEFLATED)}
    np.testing.assert_array_equal(
        load_classifier(tmp_path).probabilities(VALIDATION[0]), saved.probabilities(VALIDATION[0])
    )
