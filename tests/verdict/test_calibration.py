import json

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression

from fakeprint import params
from fakeprint.errors import InputError
from fakeprint.verdict import calibration
from fakeprint.verdict.calibration import Raw, Scaled, cross_fit, feasible, fit, require_every_class

METHODS = ("none", "temperature", "bias", "vector", "venn_abers")


def block(method="temperature", **more):
    return params.Calibrate(method=method, **more)


def drawn(images, temperature=1.0, bias=(0.0, 0.0, 0.0), seed=0):
    """Probabilities that are wrong by a temperature and a bias, and labels drawn from the right ones."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.standard_normal((images, 3))
    right = softmax(logits, axis=1)
    labels = (rng.random((images, 1)) > right.cumsum(axis=1)).sum(axis=1)
    return softmax(temperature * (logits - np.array(bias)), axis=1), labels, right


@pytest.mark.parametrize("method", ["temperature", "bias", "vector"])
def test_a_temperature_is_found_again(method):
    probabilities, labels, right = drawn(20_000, temperature=2.5)
    fitted = fit(block(method), probabilities, labels)
    assert fitted.scale == pytest.approx([0.4] * 3, abs=0.02)
    assert fitted.bias == pytest.approx([0] * 3, abs=0.05)
    assert np.abs(fitted(probabilities) - right).max() < 0.03


def test_a_bias_is_found_again_and_changes_labels():
    probabilities, labels, _ = drawn(20_000, temperature=0.5, bias=(0.8, -0.2, -0.6))
    fitted = fit(block("bias"), probabilities, labels)
    assert fitted.scale == pytest.approx([2] * 3, abs=0.08)
    assert fitted.bias == pytest.approx([0.8, -0.2, -0.6], abs=0.08)
    assert sum(fitted.bias) == pytest.approx(0, abs=1e-9)
    assert np.mean(fitted(probabilities).argmax(1) == labels) > np.mean(probabilities.argmax(1) == labels) + 0.01


def test_vector_scaling_is_scikit_learns_logistic_regression_of_own_logits():
    """A diagonal multinomial regression has no counterpart there; its log loss must lie between these two."""
    probabilities, labels, _ = drawn(2_000, temperature=0.7, bias=(0.5, 0, -0.5))
    logits = np.log(probabilities)

    def loss(p):
        return -np.log(p[np.arange(len(labels)), labels]).mean()

    full = LogisticRegression(C=1e6, max_iter=5000).fit(logits, labels).predict_proba(logits)
    vector, bias, temperature = (loss(fit(block(m), probabilities, labels)(probabilities)) for m in METHODS[3:0:-1])
    assert loss(full) - 1e-6 <= vector <= bias + 1e-9 <= temperature + 2e-9 < loss(probabilities)


def test_by_hand():
    scaled = Scaled("temperature", [0.5, 0.5], [0.0, 0.0])
    assert scaled(np.array([[0.8, 0.2]])) == pytest.approx(np.array([[2 / 3, 1 / 3]]))  # √0.8 : √0.2 = 2 : 1
    biased = Scaled("bias", [1.0, 1.0], [np.log(2), -np.log(2)])
    assert biased(np.array([[0.5, 0.5]])) == pytest.approx(np.array([[0.8, 0.2]]))  # 4 : 1
    assert np.array_equal(Raw()(np.array([[1.0, 0.0]])), [[1, 0]])


def test_temperature_keeps_the_order_of_classes():
    probabilities, labels, _ = drawn(500, temperature=1.2)
    fitted = fit(block(), probabilities, labels)
    assert np.array_equal(fitted(probabilities).argsort(axis=1), probabilities.argsort(axis=1))


@pytest.mark.parametrize("method", METHODS)
def test_rows_are_distributions_and_json_keeps_them(method):
    probabilities, labels, _ = drawn(300)
    probabilities[:3] = np.eye(3)  # as a k-NN gives them
    fitted = fit(block(method), probabilities, labels)
    answers = fitted(probabilities)
    assert answers.shape == (300, 3) and answers.min() >= 0
    assert answers.sum(axis=1) == pytest.approx(np.ones(300))
    again = calibration.load(json.loads(json.dumps(fitted.as_json())))
    np.testing.assert_array_equal(again(probabilities), answers)
    assert fitted(probabilities[:0]).shape == (0, 3)


def test_venn_abers_repairs_what_a_temperature_cannot():
    """Probabilities squeezed by a curve of no such family; the library leaves NumPy's warnings as they were."""
    rng = np.random.default_rng(1)
    right = rng.uniform(0.02, 0.98, 4_000)
    labels = (rng.random(4_000) < right).astype(int)
    squeezed = np.where(right < 0.5, 0.4 + 0.1 * right, 0.55 + 0.3 * (right - 0.5))
    probabilities = np.stack([1 - squeezed, squeezed], axis=1)
    before = np.geterr()
    errors = {
        method: np.abs(fit(block(method), probabilities, labels)(probabilities)[:, 1] - right).mean()
        for method in ("temperature", "venn_abers")
    }
    assert np.geterr() == before
    assert errors["venn_abers"] < 0.03 < errors["temperature"]


def test_cross_fitting_shows_no_image_its_own_label():
    """Groups stay whole, every image is calibrated by a fit without it, and the folds are the same for every model."""
    probabilities, labels, _ = drawn(200, temperature=2)
    groups = np.arange(200) // 2
    crossed = cross_fit(block(), probabilities, labels, groups, 7)
    assert all(len(set(crossed.fold[groups == group])) == 1 for group in range(100))
    assert set(crossed.fold) == set(range(5))
    for number in range(5):
        alone = fit(block(), probabilities[crossed.fold != number], labels[crossed.fold != number])
        mine = crossed.fold == number
        np.testing.assert_array_equal(crossed(probabilities)[mine], alone(probabilities[mine]))
    assert np.array_equal(cross_fit(block(), probabilities[:, ::-1], labels, groups, 7).fold, crossed.fold)
    assert len(cross_fit(block("none"), probabilities, labels, groups, 7).calibrations) == 1


def test_cross_fitted_venn_abers_does_not_learn_noise():
    """Fitted on the images themselves it lowers the log loss of pure noise; cross-fitted it must not."""
    rng = np.random.default_rng(3)
    probabilities, labels = rng.dirichlet([1, 1], 400), rng.integers(0, 2, 400)
    own = fit(block("venn_abers"), probabilities, labels)(probabilities)
    crossed = cross_fit(block("venn_abers"), probabilities, labels, np.arange(400), 7)(probabilities)
    assert calibration.log_loss(own, labels) < np.log(2) < calibration.log_loss(crossed, labels)


def test_few_images_lower_the_folds_or_switch_calibration_off():
    labels = np.array([0] * 6 + [1] * 3)
    assert feasible(block(), np.arange(10) % 2, np.arange(10)) == (block(), None)
    fewer, warning = feasible(block(), labels, np.arange(9))
    assert (fewer.method, fewer.folds) == ("temperature", 3)
    assert warning.startswith("3 folds instead of 5: one class has only 3 group(s) of images to calibrate on")
    off, warning = feasible(block(), labels, np.array([0, 1, 2, 3, 4, 5, 6, 6, 6]))
    assert off.method == "none"
    assert warning.startswith("probabilities are not calibrated: one class has only 1 group(s)")
    assert feasible(block("none"), labels[:1], np.arange(1)) == (block("none"), None)


def test_methods_with_a_part_per_class_need_images_of_each():
    labels = np.array([0, 0, 2])
    require_every_class(block(), labels, ["a", "b", "c"])
    for method in ("bias", "vector", "venn_abers"):
        with pytest.raises(InputError) as error:
            require_every_class(block(method), labels, ["a", "b", "c"])
        assert str(error.value) == (
            f"calibrate.method: {method} needs images of every class, and there are none of b; use temperature"
        )


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="unknown calibration method: spline"):
        calibration.load({"method": "spline"})


@pytest.mark.slow
def test_a_fit_on_few_images_does_less_harm_than_good():
    """Over 200 draws of 250 images: the cross-fitted temperature lowers the log loss that new images have."""
    gains = []
    for seed in range(200):
        probabilities, labels, _ = drawn(250, temperature=1.6, seed=seed)
        others, actual, _ = drawn(2_000, temperature=1.6, seed=1_000 + seed)
        fitted = fit(block(), probabilities, labels)
        crossed = cross_fit(block(), probabilities, labels, np.arange(250), 7)(probabilities)
        gains.append(
            (
                calibration.log_loss(others, actual) - calibration.log_loss(fitted(others), actual),
                calibration.log_loss(crossed, labels) - calibration.log_loss(fitted(others), actual),
            )
        )
    better, optimism = np.array(gains).T
    assert np.mean(better > 0) > 0.99
    assert abs(optimism.mean()) < 3 * optimism.std() / np.sqrt(200)  # cross-fitted figures are those of new images


def test_the_gradient_is_that_of_the_loss(monkeypatch):
    """Of scale and bias, against differences: a wrong one would still converge, but elsewhere or slowly."""
    import scipy.optimize

    captured = {}
    whole = scipy.optimize.minimize

    def spy(loss, start, **more):
        captured["loss"] = loss
        return whole(loss, start, **more)

    monkeypatch.setattr(scipy.optimize, "minimize", spy)
    probabilities, labels, _ = drawn(100)
    fit(block("vector"), probabilities, labels)
    at = np.array([0.7, 1.2, 0.9, 0.1, -0.3, 0.2])
    error = scipy.optimize.check_grad(lambda x: captured["loss"](x)[0], lambda x: captured["loss"](x)[1], at)
    assert error < 1e-6
    scaled = log_softmax(np.log(probabilities) * at[:3] + at[3:], axis=1)
    assert captured["loss"](at)[0] == pytest.approx(-scaled[np.arange(100), labels].mean())
