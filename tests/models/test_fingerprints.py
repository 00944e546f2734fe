"""The fingerprint classifier: correlations by hand, patterns found in noise, no residual correlated with itself."""

from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from fakeprint import blocks, params
from fakeprint.blocks import Rows
from fakeprint.data.arrays import Dataset
from fakeprint.errors import InputError
from fakeprint.models.classifiers.files import FittedClassifier, describe, load_classifier, save_classifier
from fakeprint.models.classifiers.fingerprints import FingerprintClassifier, class_sums, correlations
from fakeprint.models.classifiers.fitting import _folds, fit
from fakeprint.models.classifiers.linear import LinearMachine
from fakeprint.models.fit_reports import write_reports
from fakeprint.models.fit_reports.fingerprints import accuracy_by_images, as_planes
from fakeprint.params.classifiers import AnyClassifier
from fakeprint.params.validation import validated

SIDE = 12
OPTIONS = {"method": "fingerprint", "features": ["residual_image"], "scale": "none", "augmented": False, "C": 1.0}
SETTINGS = params.Fingerprint(**OPTIONS, folds=5)
CLASSES = ["a", "b", "c"]
DATASET = Dataset(CLASSES, ["A", "B", "C"], SIDE, "squash", 10**6)


def patterns_in_noise(count, seed, strength=0.25, classes=3):
    """A pattern per class, the same for every seed, in noise of deviation 1: x float32 (count, D), y, patterns."""
    patterns = strength * np.random.default_rng(99).choice([-1, 1], (classes, 3 * SIDE**2))
    y = np.arange(count) % classes
    x = patterns[y] + np.random.default_rng(seed).normal(size=(count, 3 * SIDE**2))
    return x.astype(np.float32), y, patterns


def fitted(x, y, settings=SETTINGS, groups=None):
    model = fit(settings, x, y, x, y, seed=3, groups=groups)
    description = describe("fingerprint", settings, model, {"residual_image": {}}, asdict(DATASET))
    return FittedClassifier(model, description)


def test_correlation_by_hand():
    pattern = np.array([[1, -1, 1, -1]], dtype=np.float32)
    rows = np.array([[3, -3, 3, -3], [8, 6, 8, 6], [-2, 2, -2, 2], [1, 1, -1, -1], [1, 0, 0, 0], [7, 7, 7, 7]])
    # (1 0 0 0) less its mean is (3 −1 −1 −1) / 4, of length √12 / 4; its product with (1 −1 1 −1) / 2 is 1 / 2.
    expected = [1, 1, -1, 0, 0.5 / (np.sqrt(12) / 4), 0]
    found = correlations(rows.astype(np.float32), pattern)
    assert found.shape == (6, 1) and found.dtype == np.float64
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-6)
    assert correlations(pattern, np.full((1, 4), 0.1))[0, 0] == 0


def test_a_pattern_in_noise_is_found():
    x, y, patterns = patterns_in_noise(600, 0)
    model = fitted(x, y).model[-1]
    # The mean of 200 rows has noise of deviation 1 / √200: its correlation with the pattern is 0.25 / √(0.25² + 1/200).
    found = np.diag(correlations(model.fingerprints_, patterns))
    np.testing.assert_allclose(found, 0.25 / np.sqrt(0.25**2 + 1 / 200), atol=0.02)
    fresh, truth, _ = patterns_in_noise(300, 1)
    assert np.mean(model.predict(fresh) == truth) > 0.97
    np.testing.assert_array_equal(model.counts_, [200, 200, 200])


def test_fingerprints_are_the_class_means_and_the_regression_s_rows_are_held_out():
    x, y, _ = patterns_in_noise(90, 0)
    groups = np.arange(90) // 3
    folds = _folds(y, groups, 3, 5)
    ours = FingerprintClassifier(C=0.5).fit(x, y, folds)
    scores = np.empty((90, 3))
    for train, held_out in folds:
        means = np.stack([x[train][y[train] == each].mean(axis=0, dtype=np.float64) for each in range(3)])
        scores[held_out] = np.stack([[np.corrcoef(row, mean)[0, 1] for mean in means] for row in x[held_out]])
    whole = np.stack([x[y == each].mean(axis=0, dtype=np.float64) for each in range(3)])
    np.testing.assert_allclose(ours.fingerprints_, whole, atol=1e-6)
    mean, scale = scores.mean(axis=0), scores.std(axis=0)
    regression = LinearMachine("log", 0.5).fit(((scores - mean) / scale).astype(np.float32), y)
    fresh = patterns_in_noise(30, 1)[0]
    new = np.stack([[np.corrcoef(row, mean)[0, 1] for mean in whole] for row in fresh])
    expected = regression.predict_proba(((new - mean) / scale).astype(np.float32))
    # The scores are rounded to float32, and the solver stops at a tolerance: 2e-5 was seen with AVX-512.
    np.testing.assert_allclose(ours.predict_proba(fresh), expected, atol=1e-4)


def test_noise_without_a_pattern_gives_even_probabilities():
    """A residual in its own class's mean correlates with it: 1 / √40 here. Groups keep copies out of it, too."""
    x, y, _ = patterns_in_noise(120, 0, strength=0)
    fresh = patterns_in_noise(300, 1, strength=0)[0]
    own = correlations(x, fitted(x, y).model[-1].fingerprints_)
    assert np.mean(own.argmax(axis=1) == y) > 0.9
    copies, of_copies = np.repeat(x, 3, axis=0), np.repeat(y, 3)

    def confidence(x, y, groups):
        return fitted(x, y, groups=groups).probabilities(fresh).max(axis=1).mean()

    together = np.repeat(np.arange(120), 3)
    assert confidence(x, y, None) < 0.5
    assert confidence(copies, of_copies, together) < 0.5
    assert confidence(copies, of_copies, None) > 0.7


def test_groups_lie_in_one_fold():
    y, groups = np.arange(90) % 3, np.arange(90) // 6
    for train, held_out in _folds(y, groups, 1, 10):
        assert not set(groups[train]) & set(groups[held_out])
        assert set(y[train]) == {0, 1, 2}


def test_two_classes_and_constant_images():
    x, y, _ = patterns_in_noise(80, 0, classes=2)
    x[5] = 4
    model = fit(SETTINGS, x, y, x, y, seed=0)
    probabilities = model.predict_proba(np.zeros((2, x.shape[1]), np.float32))
    assert probabilities.shape == (2, 2) and np.isfinite(probabilities).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert np.isfinite(fit(SETTINGS, np.zeros_like(x), y, x, y, seed=0).predict_proba(x)).all()


def test_it_comes_back_from_disk(tmp_path):
    x, y, _ = patterns_in_noise(90, 0)
    classifier = fitted(x, y)
    save_classifier(tmp_path, classifier)
    fresh = patterns_in_noise(30, 1)[0]
    np.testing.assert_allclose(
        load_classifier(tmp_path).probabilities(fresh), classifier.probabilities(fresh), atol=1e-6
    )


def test_square_roots_are_taken_before_the_mean():
    x, y, _ = patterns_in_noise(90, 0)
    settings = SETTINGS.model_copy(update={"scale": "sqrt"})
    roots = np.sign(x) * np.sqrt(np.abs(x))
    np.testing.assert_allclose(
        fitted(x, y, settings).probabilities(x), fitted(roots, y).probabilities(roots), atol=1e-6
    )


def test_sums_are_read_block_by_block(tmp_path, monkeypatch):
    """From float16 files, a few rows at a time; rows with a negative number are left out."""
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 4 * 3 * SIDE**2 * 7)
    x = patterns_in_noise(50, 0)[0].astype(np.float16)
    np.save(tmp_path / "x.npy", x)
    rows = Rows(((tmp_path / "x.npy",),))
    sizes = [len(block) for _, block in rows.blocks()]
    assert sizes == [7] * 7 + [1]
    of = np.arange(50) % 4 - 1
    sums, counts = class_sums(rows, of, 3)
    np.testing.assert_array_equal(counts, [13, 12, 12])
    expected = np.stack([x[of == number].astype(np.float64).sum(axis=0) for number in range(3)])
    np.testing.assert_allclose(sums, expected, atol=1e-12)


def test_accuracy_over_the_number_of_images():
    """Strong patterns: two images are enough for one in five, all of them for nearly every image."""
    x, y, _ = patterns_in_noise(3 * 90, 0)
    keep = np.flatnonzero((y != 2) | (np.arange(len(y)) < 60))  # 90, 90 and 20 images
    x, y = x[keep], y[keep]
    fresh, truth, _ = patterns_in_noise(300, 1)
    curve = accuracy_by_images((Rows.of(x), y), (Rows.of(fresh), truth), seed=0)
    assert list(curve.columns) == ["images_per_class", "correct", "images", "accuracy"]
    assert curve["images_per_class"].tolist() == [2, 4, 8, 16, 32, 64, 90]
    means = np.stack([x[y == each].mean(axis=0) for each in range(3)])
    right = int(np.sum(correlations(fresh, means).argmax(axis=1) == truth))
    assert curve["correct"].tolist()[-1] == right and right / 300 > 0.85
    assert curve["accuracy"][0] < curve["accuracy"][3] < curve["accuracy"][6]
    again = accuracy_by_images((Rows.of(x), y), (Rows.of(fresh), truth), seed=0)
    pd.testing.assert_frame_equal(curve, again)


@pytest.mark.slow
def test_reports_are_the_same_bytes_each_time(tmp_path):
    x, y, _ = patterns_in_noise(90, 0)
    fresh, truth, _ = patterns_in_noise(30, 1)
    classifier = fitted(x, y)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_reports(tmp_path / name, classifier, (Rows.of(x), y), (Rows.of(fresh), truth), seed=1)
    names = [f"fingerprint_{number}.png" for number in range(3)] + ["peaks.csv"]
    names += [f"{table}.{kind}" for table in ("images_per_class", "similarity") for kind in ("csv", "png")]
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == sorted(names)
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    similarity = pd.read_csv(tmp_path / "one/similarity.csv", index_col="class")
    expected = np.corrcoef(classifier.model[-1].fingerprints_)
    np.testing.assert_allclose(similarity.to_numpy(), expected, atol=1e-5)
    assert list(similarity.columns) == list(similarity.index) == CLASSES


def test_a_row_is_one_square_plane_or_three():
    for side in (8, 12, 48, 49):
        for channels in (1, 3):
            assert as_planes(np.zeros(channels * side**2)).shape == (channels, side, side)


@pytest.mark.slow
def test_without_labelled_validation_images_there_is_no_curve(tmp_path):
    x, y, _ = patterns_in_noise(90, 0)
    write_reports(tmp_path, fitted(x, y), (Rows.of(x), y), (Rows.of(x[:0]), y[:0]), seed=1)
    assert not (tmp_path / "images_per_class.csv").exists() and (tmp_path / "similarity.png").exists()


def test_too_few_images_is_one_line():
    x, y, _ = patterns_in_noise(9, 0)
    keep = [0, 1, 2, 3, 4, 6, 7]
    message = (
        r"^class index 2: fewer than the 3 groups of train images \(near duplicates are one\) this classifier needs$"
    )
    with pytest.raises(InputError, match=message):
        fit(SETTINGS, x[keep], y[keep], x, y, seed=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": ["hsv_hist"]}, "features[0]: input should be 'residual_image', not 'hsv_hist'"),
        ({"features": []}, "features: should not be empty"),
        ({"scale": "standard"}, "scale: input should be 'none' or 'sqrt', not 'standard'"),
        ({"folds": 1}, "folds: input should be greater than or equal to 2, not 1"),
        ({"C": 0}, "C: input should be greater than 0, not 0"),
        ({"fold": 3}, "fold is not a parameter; did you mean 'folds'?"),
    ],
)
def test_wrong_settings_are_one_line(change, message):
    class One(params.Block):
        fingerprint: AnyClassifier

    with pytest.raises(InputError) as error:
        validated(One, {"fingerprint": OPTIONS | change}, prefix="classifiers", name="params.yaml")
    assert str(error.value) == f"params.yaml: classifiers.fingerprint.{message}"
