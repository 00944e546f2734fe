"""Losses, against values worked out by hand."""

from typing import Any

import numpy as np
import pytest
import torch

from fakeprint import params
from fakeprint.errors import InputError
from fakeprint.training.images import Images
from fakeprint.training.losses import Criterion, Targets, class_weights
from fakeprint.training.recipe import build_recipe
from tests.samples import DEMO

# Probabilities of two classes: 0.8 and 0.2, then 0.5 and 0.5. Both images are of class 0.
LOGITS = torch.tensor([[0.8, 0.2], [0.5, 0.5]]).log()
ZEROS = Targets(torch.tensor([0, 0]))
FIRST, SECOND = -np.log(0.8), -np.log(0.5)


def criterion(**changes: Any) -> Criterion:
    """The loss of a training with these settings, of four images of which the last is of the second class."""
    settings = params.load(DEMO).network("three_cnn")
    settings = settings.model_copy(update={"train": settings.train.model_copy(update=changes)})
    images = Images([np.zeros((4, 16, 16, 3), np.uint8)], np.array([0, 0, 0, 1]))
    return build_recipe(settings, images, ["a", "b"], 7).phases[0].criterion


def test_cross_entropy_and_label_smoothing() -> None:
    assert criterion()(LOGITS, ZEROS).item() == pytest.approx((FIRST + SECOND) / 2)
    smoothed = (0.9 * FIRST + 0.1 * -np.log(0.2) + SECOND) / 2
    assert criterion(label_smoothing=0.2)(LOGITS, ZEROS).item() == pytest.approx(smoothed)


def test_focal_loss_weights_by_the_missing_probability() -> None:
    assert criterion(loss="focal", gamma=2.0)(LOGITS, ZEROS).item() == pytest.approx(
        (0.2**2 * FIRST + 0.5**2 * SECOND) / 2
    )
    assert criterion(loss="focal", gamma=0.0)(LOGITS, ZEROS).item() == pytest.approx((FIRST + SECOND) / 2)
    assert criterion(loss="cross_entropy", gamma=2.0)(LOGITS, ZEROS).item() == pytest.approx((FIRST + SECOND) / 2)


def test_focal_loss_has_a_gradient_where_it_is_sure() -> None:
    logits = torch.tensor([[200.0, -200.0]], requires_grad=True)
    criterion(loss="focal", gamma=0.5)(logits, Targets(torch.tensor([0]))).backward()
    assert logits.grad is not None and logits.grad.isfinite().all()


def test_hinge_loss_is_the_svms() -> None:
    # Of two classes: half of what the label's logit lacks of being 1 above the other.
    logits = torch.tensor([[2.0, 0.5], [0.2, 0.6], [0.1, 0.9]])
    labels = torch.tensor([0, 1, 0])
    lacking = [0.0, 1 - 0.4, 1 + 0.8]
    assert criterion(loss="hinge")(logits, Targets(labels)).item() == pytest.approx(sum(lacking) / 2 / 3)
    from sklearn.metrics import hinge_loss

    margins = (logits[:, 1] - logits[:, 0]).numpy()
    assert sum(lacking) / 3 == pytest.approx(hinge_loss(labels.numpy(), margins))
    # Three classes: the sum over the others, over three.
    three = Targets(torch.tensor([0]))
    assert criterion(loss="hinge")(torch.tensor([[1.0, 0.5, 0.8]]), three).item() == pytest.approx((0.5 + 0.8) / 3)


def test_hinge_loss_with_weights_and_mixed_labels() -> None:
    logits = torch.tensor([[0.2, 0.6]])
    of_first, of_second = (1 + 0.4) / 2, (1 - 0.4) / 2
    weighted = criterion(loss="hinge", class_weights={"b": 3.0})
    assert weighted(logits, Targets(torch.tensor([1]))).item() == pytest.approx(3 * of_second)
    mixed = Targets(torch.tensor([0]), torch.tensor([1]), 0.75)
    assert criterion(loss="hinge")(logits, mixed).item() == pytest.approx(0.75 * of_first + 0.25 * of_second)


def test_class_weights() -> None:
    labels = np.array([0, 0, 0, 1])
    assert class_weights("none", labels, ["a", "b"]) is None
    balanced = class_weights("balanced", labels, ["a", "b"])
    assert balanced is not None and balanced.tolist() == pytest.approx([4 / 6, 2.0])
    given = class_weights({"b": 3.0}, labels, ["a", "b"])
    assert given is not None and given.tolist() == [1.0, 3.0]
    for key in (4, "#1"):
        numbered = class_weights({key: 2.0}, labels, ["0", "4"])
        assert numbered is not None and numbered.tolist() == [1.0, 2.0]
    both = Targets(torch.tensor([0, 1]))
    assert criterion(class_weights={"b": 3.0})(LOGITS, both).item() == pytest.approx((FIRST + 3 * SECOND) / 2)


def test_a_weight_of_an_unknown_class() -> None:
    with pytest.raises(InputError, match=r"train\.class_weights: there is no class 'fake1'; did you mean 'fake'\?"):
        class_weights({"fake1": 2.0}, np.array([0]), ["real", "fake"])


def test_mixed_labels_share_loss_and_hits() -> None:
    mixed = Targets(torch.tensor([0, 0]), torch.tensor([1, 0]), 0.75)
    expected = (0.75 * FIRST + 0.25 * -np.log(0.2) + SECOND) / 2
    assert criterion()(LOGITS, mixed).item() == pytest.approx(expected)
    assert mixed.hits(torch.tensor([[0.0, 1.0], [1.0, 0.0]])).item() == pytest.approx(0.25 + 1.0)
    assert ZEROS.hits(torch.tensor([[0.0, 1.0], [1.0, 0.0]])).item() == 1
