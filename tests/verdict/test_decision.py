"""Answers and their reasons, and the file that holds the decision."""

import numpy as np
import pytest

from fakeprint.errors import InputError
from fakeprint.files import write_json
from fakeprint.verdict.calibration import Raw, Scaled
from fakeprint.verdict.certificate import Certificate
from fakeprint.verdict.conformal import ConformalSets
from fakeprint.verdict.decision import Decision, Unknown, load_decision, scores

NAMES = ["real", "fake"]
CERTIFICATE = Certificate(0.93, 1250, 1000, 12, 0.0194, 0.02, 0.95)
DECISION = Decision(Raw(), CERTIFICATE, ConformalSets([0.2, 0.8], 0.1, [500, 500]), fitted_on={"model": "lda"})
CLAIM = "0.93, from which at most 2 % of answers are wrong (95 % confidence)"


def answer(decision, *row, **more):
    (found,) = decision.answers(np.array([row]), NAMES, **more)
    return found


def test_a_label_and_an_unsure_answer():
    sure, unsure = DECISION.answers(np.array([[0.96, 0.04], [0.19, 0.81]]), NAMES)
    assert (sure.answer, sure.label, sure.score, sure.classes) == ("label", 0, 0.96, [0])
    assert sure.reason == f"0.96 is at least {CLAIM}"
    assert (unsure.answer, unsure.label, unsure.score, unsure.classes) == ("unsure", 1, 0.81, [1])
    assert unsure.reason == f"0.81 is below {CLAIM}"
    assert unsure.probabilities.tolist() == [0.19, 0.81]


@pytest.mark.parametrize(
    ("score", "shown"), [(0.9299999, "0.92 is below"), (0.93, "0.93 is at least"), (0.9399, "0.93 is at least")]
)
def test_a_score_just_below_the_threshold_is_not_shown_as_the_threshold(score, shown):
    assert answer(DECISION, score, 1 - score).reason.startswith(f"{shown} 0.93")


def test_scores_are_shown_with_as_many_decimals_as_the_threshold():
    fine = Decision(Raw(), Certificate(0.9998, 1250, 600, 0, 0.005, 0.02, 0.95))
    assert answer(fine, 0.99975, 0.00025).reason.startswith("0.9997 is below 0.9998")


def test_a_threshold_of_zero_answers_any_score():
    every = Decision(Raw(), Certificate(0.0, 1250, 1250, 12, 0.0155, 0.02, 0.95))
    found = answer(every, 0.51, 0.49)
    assert (found.answer, found.reason) == ("label", "answered at any score: " + CLAIM.partition("which ")[2])
    assert every.certificate.line.startswith("any score: at most 2 % of answers are wrong (95 % confidence); 12 wrong")


def test_an_empty_set_and_a_full_one():
    assert answer(DECISION, 0.199, 0.79).classes == []
    assert answer(DECISION, 0.2, 0.8).classes == [0, 1]


def test_probabilities_are_calibrated_first():
    decision = Decision(Scaled("bias", [1.0, 1.0], [0.0, 3.0]), CERTIFICATE)
    found = answer(decision, 0.6, 0.4)
    assert found.label == 1  # a bias may change the label
    assert found.score == pytest.approx(0.4 * np.exp(3) / (0.6 + 0.4 * np.exp(3)))


def test_variants_that_disagree_make_it_unsure_whatever_the_score():
    decision = Decision(Raw(), CERTIFICATE, consistency=True)
    agree, disagree = np.array([[[0.9, 0.1], [0.6, 0.4]]]), np.array([[[0.9, 0.1], [0.4, 0.6]]])
    assert answer(decision, 0.99, 0.01, variants=agree).answer == "label"
    found = answer(decision, 0.99, 0.01, variants=disagree)
    assert (found.answer, found.label, found.reason) == ("unsure", 0, "a variant of the image is answered fake")
    with pytest.raises(ValueError, match="needs the probabilities of variants"):
        answer(decision, 0.99, 0.01)


def test_an_image_far_from_all_classes_is_unknown():
    decision = Decision(Raw(), CERTIFICATE, unknown=Unknown("distance", 2.5))
    found = answer(decision, 0.99, 0.01, unknown_scores=np.array([3.0]))
    assert (found.answer, found.label, found.reason) == ("unknown", 0, "distance 3 is above 2.5")
    assert answer(decision, 0.99, 0.01, unknown_scores=np.array([2.5])).answer == "label"
    with pytest.raises(ValueError, match="needs the score distance"):
        answer(decision, 0.99, 0.01)


def test_an_image_that_no_class_is_likely_for_is_unknown():
    """ln(0.4 / 0.6), the log-odds of a probability of 0.6, is the threshold; the score is computed here."""
    decision = Decision(Raw(), CERTIFICATE, unknown=Unknown("max_probability", np.log(0.4 / 0.6), 0.04))
    found = answer(decision, 0.45, 0.55)
    assert (found.answer, found.label) == ("unknown", 1)
    assert found.reason == "0.55 is below 0.6, as for few images of known classes"
    assert answer(decision, 0.35, 0.65).answer == "unsure"
    assert answer(decision, 0.04, 0.96).answer == "label"
    sharper = Decision(Scaled("temperature", [3.0, 3.0], [0.0, 0.0]), CERTIFICATE, unknown=decision.unknown)
    assert answer(sharper, 0.42, 0.58).answer == "unsure"  # calibrated: 0.72
    assert Decision.from_json(decision.as_json()).unknown == decision.unknown


def test_without_a_certified_threshold_there_is_a_label_and_the_reason_says_so():
    decision = Decision(Raw(), Certificate(None, 25, 0, 0, 1.0, 0.02, 0.95))
    found = answer(decision, 0.5, 0.5)
    assert (found.answer, found.label) == ("label", 0)
    assert found.reason == "the most probable class; no threshold is certified: not certifiable with 25 images"
    assert decision.answered(np.array([[0.5, 0.5]])).all()


def test_which_images_are_answered():
    probabilities = np.array([[0.95, 0.05], [0.95, 0.05], [0.9, 0.1]])
    consistent = np.array([True, False, True])
    assert DECISION.answered(probabilities).tolist() == [True, True, False]
    assert DECISION.answered(probabilities, consistent).tolist() == [True, False, False]
    assert scores(probabilities, consistent).tolist() == [0.95, -1.0, 0.9]
    none = Decision(Raw(), Certificate(None, 25, 0, 0, 1.0, 0.02, 0.95), consistency=True)
    assert none.answered(probabilities, consistent).tolist() == [True, False, True]


def test_no_images():
    assert DECISION.answers(np.zeros((0, 2)), NAMES) == []


OTHER = Decision(Scaled("bias", [2.0, 2.0], [1.0, -1.0]), CERTIFICATE, None, True, Unknown("energy", -3.5))


@pytest.mark.parametrize("decision", [DECISION, OTHER])
def test_a_decision_survives_its_file(tmp_path, decision):
    write_json(tmp_path / "decision.json", decision.as_json())
    assert load_decision(tmp_path) == decision


def test_a_model_s_own_calibration_where_nothing_is_decided(tmp_path):
    assert load_decision(tmp_path / "lda") == Decision(Raw())
    fitted = Scaled("temperature", [2.0, 2.0], [0.0, 0.0])
    write_json(tmp_path / "calibration/lda.json", {"calibration": fitted.as_json(), "on": "validation", "images": 9})
    assert load_decision(tmp_path / "lda") == Decision(fitted)
    write_json(tmp_path / "calibration/lda.json", {"on": "validation"})
    with pytest.raises(
        InputError, match=r"calibration/lda\.json is damaged or of another version \(no 'calibration'\)"
    ):
        load_decision(tmp_path / "lda")
