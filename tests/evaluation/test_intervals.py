import numpy as np
import pytest

from fakeprint.evaluation.intervals import holm, mcnemar, wilson


def test_wilson_against_published_values():
    # Newcombe 1998, table I, method 3.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


def test_more_confidence_is_a_wider_interval():
    low_99, high_99 = wilson(90, 100, 0.99)
    low_90, high_90 = wilson(90, 100, 0.90)
    assert low_99 < low_90 < 0.9 < high_90 < high_99


def test_mcnemar_by_hand():
    # 5 images only a gets right, 1 only b: 2 · (C(6,0) + C(6,1)) / 2⁶ = 14 / 64. Where they agree does not count.
    a = np.array([True] * 5 + [False] + [True] * 7 + [False] * 2)
    b = np.array([False] * 5 + [True] + [True] * 7 + [False] * 2)
    assert mcnemar(a, b) == pytest.approx(14 / 64)
    assert mcnemar(b, a) == pytest.approx(14 / 64)


def test_mcnemar_of_equal_models_is_one():
    right = np.array([True, False, True])
    assert mcnemar(right, right) == 1


def test_holm_by_hand():
    # Sorted 0.01, 0.02, 0.03, 0.5 times 4, 3, 2, 1: 0.04, 0.06, 0.06, 0.5.
    assert holm(np.array([0.03, 0.01, 0.5, 0.02])) == pytest.approx([0.06, 0.04, 0.5, 0.06])


def test_holm_never_exceeds_one_nor_falls():
    assert holm(np.array([0.9, 0.4, 0.8])) == pytest.approx([1.0, 1.0, 1.0])
    assert holm(np.array([])).tolist() == []
