"""A decision made from validation and checked on clean, degraded and test images; its pictures."""

import numpy as np
import pytest
from PIL import Image
from scipy.special import logit

from fakeprint import params
from fakeprint.files import write_figure
from fakeprint.verdict import conformal
from fakeprint.verdict.calibration import Raw
from fakeprint.verdict.deciding import TEST, VALIDATION, Images, check, check_all, curves, decide, figures
from fakeprint.verdict.decision import Unknown
from fakeprint.verdict.decision_plots import pictures
from fakeprint.verdict.largest_probability import max_probability, of_probabilities
from fakeprint.verdict.selective import area
from tests.samples import predictions

SETTINGS = params.Decide(max_error=0.05)
FITTED_ON = {"data": "a test", "split": VALIDATION, "model": "lda"}


def images(count, seed, errors=0.0):
    """Predictions of two classes that are right as often as they say, then wrong for a share of the sure ones too."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    score = 1 - 0.5 * rng.random(count) ** 3
    right = (rng.random(count) < score) & (rng.random(count) >= errors)
    named = np.where(right, labels, 1 - labels)
    return Images(predictions(labels, np.where(np.eye(2)[named] == 1, score[:, None], 1 - score[:, None])))


@pytest.fixture
def decided():
    every = {
        VALIDATION: images(1500, 1),
        "jpeg_50": images(1500, 2, 0.3),
        "noise": images(1500, 3),
        TEST: images(40, 4),
    }
    return decide(SETTINGS, Raw(), every[VALIDATION], FITTED_ON, seed=7), every


def test_the_certificate_is_of_validation_and_says_what_it_was_fitted_on(decided):
    decision, _ = decided
    assert 0.5 < decision.certificate.threshold < 1
    assert decision.certificate.bound <= 0.05
    assert decision.fitted_on == {**FITTED_ON, "images": 1500, "groups": 1500}
    assert decision.sets.error == SETTINGS.set_error


def test_each_set_of_images_says_whether_it_holds(decided):
    decision, every = decided
    checked = check_all(decision, every, 0.95, seed=7)
    assert {name: each.outcome for name, each in checked.items()} == {
        VALIDATION: "holds",
        "jpeg_50": "does not hold",
        "noise": "holds",
        TEST: "cannot tell",
    }
    certified = checked[VALIDATION]
    assert certified.bounds[1] == decision.certificate.bound
    assert certified.selected.coverage.share == decision.certificate.answered / 1500
    broken = checked["jpeg_50"]
    assert broken.bounds[0] > 0.05 and broken.selected.error.share > 0.2
    assert broken.area == area(
        every["jpeg_50"].predictions.probabilities.max(axis=1), every["jpeg_50"].predictions.correct
    )
    nobody = check(decision, Images(predictions(np.array([0, 1]), np.full((2, 2), 0.5))), 0.95, seed=7)
    assert (nobody.outcome, nobody.selected.error.share) == ("no answers", None)


def test_sets_of_validation_are_scored_by_thresholds_chosen_without_them(decided):
    decision, every = decided
    known = every[VALIDATION].predictions
    crossed = conformal.cross_fitted(known.probabilities, known.labels, known.groups, 0.1, seed=7)
    hits = crossed[np.arange(1500), known.labels]
    assert check_all(decision, every, 0.95, seed=7)[VALIDATION].sets.coverage.share == hits.mean()
    own = check(decision, every["noise"], 0.95, seed=7).sets.coverage.share
    assert own == decision.sets(every["noise"].predictions.probabilities)[
        np.arange(1500), every["noise"].predictions.labels
    ].mean()  # fmt: skip


def test_variants_that_disagree_are_not_answered_and_count_for_no_threshold():
    sure = images(1500, 1)
    disagree = ~sure.predictions.correct  # as well as variants can tell
    consistent = Images(sure.predictions, ~disagree)
    decision = decide(SETTINGS.model_copy(update={"consistency": True}), Raw(), consistent, FITTED_ON, seed=7)
    assert (decision.certificate.threshold, decision.certificate.errors) == (0, 0)
    assert decision.certificate.answered == np.count_nonzero(~disagree)
    checked = check(decision, consistent, 0.95, seed=7)
    assert checked.selected.error.share == 0
    assert checked.selected.coverage.share == pytest.approx(1 - disagree.mean())
    without = decide(SETTINGS, Raw(), consistent, FITTED_ON, seed=7)
    assert without.certificate.threshold > 0.5


def test_figures_and_curves(decided):
    decision, every = decided
    content = figures(decision, check_all(decision, every, 0.95, seed=7), ["real", "fake"])
    assert content["model"] == "lda"
    assert content["certificate"]["line"] == decision.certificate.line
    jpeg = content["images"]["jpeg_50"]
    assert jpeg["outcome"] == "does not hold"
    assert set(jpeg["classes"]) == set(jpeg["sets"]["classes"]) == {"real", "fake"}
    assert jpeg["error"]["low"] < jpeg["error"]["share"] < jpeg["error"]["high"]
    table = curves(every, decision)
    assert list(table.columns) == ["images", "score", "coverage", "risk"]
    assert list(table["images"].unique()) == list(every)
    last = table.groupby("images", sort=False)["coverage"].last()
    assert (last == 1).all()


def test_few_images_of_known_classes_are_called_unknown_and_none_that_the_certificate_answers():
    known = images(1500, 1)
    decision = decide(SETTINGS.model_copy(update={"unknown": "max_probability"}), Raw(), known, FITTED_ON, seed=7)
    assert decision.unknown.score == "max_probability"
    assert decision.unknown.false_alarms == pytest.approx(0.05, abs=0.01)
    answers = decision.answers(known.predictions.probabilities, ["real", "fake"])
    kinds = np.array([each.answer for each in answers])
    assert 0.04 < np.mean(kinds == "unknown") <= 0.05
    scores = np.array([each.score for each in answers])
    assert scores[kinds == "unknown"].max() < scores[kinds == "unsure"].min()
    assert scores[kinds == "unsure"].max() < decision.threshold <= scores[kinds == "label"].min()
    content = figures(decision, check_all(decision, {VALIDATION: known}, 0.95, seed=7), ["real", "fake"])
    assert content["unknown"] == vars(decision.unknown)
    assert content["images"][VALIDATION]["unknown"] == pytest.approx(np.mean(kinds == "unknown"), abs=1e-6)
    assert content["images"][VALIDATION]["coverage"]["share"] == pytest.approx(np.mean(kinds == "label"), abs=1e-6)


def test_false_alarms_are_those_of_the_stored_threshold():
    """Where the certificate answers nearly all images, hardly any is called unknown."""
    known = images(1500, 1)
    lenient = SETTINGS.model_copy(update={"unknown": "max_probability", "max_error": 0.45})
    decision = decide(lenient, Raw(), known, FITTED_ON, seed=7)
    answers = decision.answers(known.predictions.probabilities, ["real", "fake"])
    assert decision.unknown.false_alarms == np.mean([each.answer == "unknown" for each in answers]) == 0


def test_a_probability_that_equals_the_certificates_is_never_unknown_however_it_is_rounded():
    """Shares of trees or neighbours are multiples of 0.01, so that many images lie on the threshold itself."""
    shares = np.arange(0.35, 1.0, 0.01)
    each = np.stack([shares, *[(1 - shares) / 4] * 4], axis=1)
    scored = max_probability(of_probabilities(each))
    above = [score > -logit(share) for score, share in zip(scored, shares, strict=True)]
    assert any(above)  # by the last bit
    for share, row in zip(shares, each, strict=True):
        assert not Unknown("max_probability", float(-logit(share))).calls(max_probability(of_probabilities(row[None])))


def test_images_called_unknown_are_not_answered_where_nothing_is_certified():
    known = images(150, 1)
    strict = params.Decide(max_error=0.0001, unknown="max_probability")
    decision = decide(strict, Raw(), known, FITTED_ON, seed=7)
    assert decision.certificate.threshold is None
    checked = check_all(decision, {VALIDATION: known}, 0.95, seed=7)[VALIDATION]
    kinds = [each.answer for each in decision.answers(known.predictions.probabilities, ["real", "fake"])]
    assert kinds.count("unknown") > 0
    assert checked.unknown == pytest.approx(kinds.count("unknown") / 150)
    assert checked.selected.coverage.share == pytest.approx(kinds.count("label") / 150)


def test_a_certificate_that_answers_nearly_all_leaves_few_to_be_unknown():
    known = images(1500, 1)
    lenient = params.Decide(max_error=0.4, unknown="max_probability")
    decision = decide(lenient, Raw(), known, FITTED_ON, seed=7)
    answers = decision.answers(known.predictions.probabilities, ["real", "fake"])
    assert {each.answer for each in answers if each.score >= decision.threshold} == {"label"}
    assert np.mean([each.answer == "unknown" for each in answers]) < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("certified", [True, False])
def test_every_picture_is_drawn_and_the_same_twice(tmp_path, decided, certified):
    decision, every = decided
    if not certified:
        every = {name: images(30, seed) for seed, name in enumerate((VALIDATION, "jpeg_50"))}
        decision = decide(SETTINGS, Raw(), every[VALIDATION], FITTED_ON, seed=7)
        assert decision.certificate.threshold is None
    checked, table = check_all(decision, every, 0.95, seed=7), curves(every, decision)
    written = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        for name, figure in pictures(decision, checked, table, ["real", "fake"], "lda on a test").items():
            write_figure(folder / f"{name}.png", figure)
        written.append(sorted(folder.iterdir()))
    assert [path.stem for path in written[0]] == ["classes", "images", "risk_coverage", "sets"]
    for one, two in zip(*written, strict=True):
        assert one.read_bytes() == two.read_bytes()
        with Image.open(one) as picture:
            assert min(picture.size) > 200


def test_pictures_say_where_the_promise_does_not_hold(decided):
    decision, every = decided
    checked, table = check_all(decision, every, 0.95, seed=7), curves(every, decision)
    drawn = pictures(decision, checked, table, ["real", "fake"], "lda on a test")
    right = drawn["images"].axes[1]
    said = [text.get_text() for text in right.texts]
    assert said[:4] == ["certified here", "does not hold", "holds", "cannot tell"]
    ends = [line.get_xdata()[1] for line in right.lines if len(line.get_xdata()) == 2][:4]
    assert ends == pytest.approx([each.bounds[1] for each in checked.values()])
