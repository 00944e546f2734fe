"""Which epoch is kept and when training stops, for accuracies given by hand."""

import math

from fakeprint.training.selection import Selection, best_epoch

ACCURACIES = [0.3, 0.5, 0.5, 0.4, 0.2]


def test_early_stopping() -> None:
    stops = [Selection(patience=3).stops(ACCURACIES[:epoch]) for epoch in range(6)]
    assert stops == [False, False, False, False, False, True]  # three epochs after the second
    assert not any(Selection(patience=0).stops([0.9] + [0.1] * epochs) for epochs in range(50))


def test_the_kept_epoch() -> None:
    assert best_epoch(ACCURACIES) == 2
    assert best_epoch([math.nan, 0.3, math.nan, 0.4, math.nan]) == 4  # of those that were validated
    assert Selection("best").kept_epoch(ACCURACIES) == 2
    assert Selection("last").kept_epoch(ACCURACIES) == 5
