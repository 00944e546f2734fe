"""Scores of unknown images: cases computed by hand, and pytorch-ood's results."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pytorch_ood.detector import KNN, EnergyBased, MaxLogit, MaxSoftmax
from pytorch_ood.detector import Mahalanobis as OracleMahalanobis
from scipy.special import expit

from fakeprint.blocks import Rows
from fakeprint.errors import InputError
from fakeprint.verdict import unknown
from fakeprint.verdict.largest_probability import max_probability, of_probabilities
from fakeprint.verdict.unknown import Mahalanobis, Outputs, UnknownScore, scores_of

RNG = np.random.default_rng(3)
LOGITS = RNG.normal(0, 4, (40, 5))
SCALES = np.array([0.1, 1, 5, 20, 3, 0.5])
LABELS = np.arange(3000) % 3
TRAIN = (RNG.normal(size=(3000, 6)) * SCALES + 2 * SCALES * np.eye(6)[LABELS]).astype(np.float32)
QUERIES = (RNG.normal(size=(60, 6)) * SCALES * 2).astype(np.float32)


def test_scores_of_logits_by_hand() -> None:
    logits = np.log([[0.7, 0.2, 0.1], [1.0, 1.0, 2.0]])
    assert max_probability(logits) == pytest.approx([np.log(3 / 7), 0.0])
    assert unknown.max_logit(logits) == pytest.approx([-np.log(0.7), -np.log(2.0)])
    assert unknown.energy(logits) == pytest.approx([0.0, -np.log(4.0)])


@pytest.mark.parametrize(
    ("name", "oracle"), [("max_probability", MaxSoftmax), ("max_logit", MaxLogit), ("energy", EnergyBased)]
)
def test_scores_of_logits_are_those_of_pytorch_ood(name: str, oracle: type) -> None:
    expected = oracle.score(torch.tensor(LOGITS)).numpy()
    found = UnknownScore.fit(name).score(Outputs(LOGITS))
    assert (-expit(-found) if name == "max_probability" else found) == pytest.approx(expected)


def test_large_logits_do_not_overflow() -> None:
    logits = np.array([[1e4, 0.0]])
    assert max_probability(logits) == pytest.approx([-1e4])
    assert unknown.energy(logits) == pytest.approx([-1e4])


def test_probabilities_that_round_to_1_keep_their_order() -> None:
    probabilities = np.array([[1.0, 1e-20], [1.0, 1e-30], [1.0, 0.0]])
    scores = max_probability(of_probabilities(probabilities))
    assert scores[:2] == pytest.approx(np.log([1e-20, 1e-30]))
    assert np.isfinite(scores).all() and (np.diff(scores) < 0).all()


def test_mahalanobis_by_hand() -> None:
    """Two classes at ±3 along x, variances 4 and 1 within: no shrinkage to speak of with so many images."""
    labels = np.arange(200_000) % 2
    noise = np.random.default_rng(0).normal(size=(200_000, 2)) * [2, 1]
    centres = np.array([[-3.0, 0.0], [3.0, 0.0]])
    fitted = Mahalanobis.fit((centres[labels] + noise).astype(np.float32), labels)
    distances = fitted.distances(np.array([[3, 0], [3, 2], [5, 0], [0, 0]], np.float32))
    assert distances == pytest.approx([0, 4, 1, 9 / 4], abs=0.05)


def test_mahalanobis_orders_as_pytorch_ood_where_images_are_many() -> None:
    """It divides by nothing and shrinks nothing: a constant factor and a small difference."""
    oracle = OracleMahalanobis(None).fit_features(torch.tensor(TRAIN), torch.tensor(LABELS))
    expected = oracle.predict_features(torch.tensor(QUERIES)).numpy() * 2 * len(TRAIN)
    found = UnknownScore.fit("mahalanobis", Outputs(TRAIN, TRAIN), LABELS).score(Outputs(QUERIES, QUERIES))
    assert found == pytest.approx(expected, rel=0.05)


def test_mahalanobis_with_fewer_images_than_features_and_a_constant_feature() -> None:
    x = RNG.normal(size=(12, 30)).astype(np.float32)
    x[:, 4] = 1
    found = Mahalanobis.fit(x, np.arange(12) % 2).distances(x)
    assert np.isfinite(found).all() and (found >= 0).all()


def test_neighbours_are_those_of_pytorch_ood() -> None:
    oracle = KNN(None, k=9).fit_features(torch.tensor(TRAIN), torch.tensor(LABELS))
    expected = oracle.predict_features(torch.tensor(QUERIES)).numpy()
    found = UnknownScore.fit("neighbours", Outputs(TRAIN, TRAIN), LABELS, k=9).score(Outputs(QUERIES, QUERIES))
    assert found == pytest.approx(expected, abs=1e-5)


def test_neighbours_by_hand() -> None:
    train = np.array([[2, 0], [0, 1], [-5, 0]], np.float32)
    query = Outputs(np.zeros((1, 2)), np.array([[7, 0]], np.float32))
    distances = [UnknownScore.fit("neighbours", Outputs(train, train), LABELS[:3], k).score(query) for k in (1, 2, 3)]
    assert np.ravel(distances) == pytest.approx([0, np.sqrt(2), 2])


@pytest.mark.slow
def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = scores_of(Outputs(TRAIN, TRAIN), LABELS, Outputs(QUERIES, QUERIES), k=5)
    monkeypatch.setattr("fakeprint.blocks.BLOCK_ROWS", 7)
    monkeypatch.setattr(unknown, "QUERIES", 4)
    parts = scores_of(Outputs(TRAIN, Rows.of(TRAIN)), LABELS, Outputs(QUERIES, Rows.of(QUERIES)), k=5)
    assert list(whole) == list(unknown.SCORES)
    for name, scores in whole.items():
        assert parts[name] == pytest.approx(scores, rel=1e-4)


def test_log_probabilities_have_no_energy() -> None:
    assert Outputs(LOGITS, has_logits=False).scores == ("max_probability",)
    assert Outputs(LOGITS, QUERIES, has_logits=False).scores == ("max_probability", "mahalanobis", "neighbours")


@pytest.mark.parametrize("name", unknown.SCORES)
def test_a_score_is_stored_and_loaded(name: str, tmp_path: Path) -> None:
    fitted = UnknownScore.fit(name, Outputs(TRAIN, TRAIN), LABELS, k=3)
    folder = tmp_path / "champion"
    folder.mkdir()
    folder.chmod(0o755)
    fitted.save_arrays(folder / "unknown.safetensors")
    assert [path.stat().st_mode & 0o777 for path in folder.iterdir()] == [0o644] * (name in unknown.OF_FEATURES)
    loaded = unknown.load(fitted.as_json(), folder / "unknown.safetensors")
    outputs = Outputs(LOGITS, QUERIES[:40])
    assert (loaded.score(outputs) == fitted.score(outputs)).all()


def test_messages(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'max_logits' is not a score of unknown images; did you mean 'max_logit'\?"):
        UnknownScore.fit("max_logits")
    with pytest.raises(InputError, match="the score neighbours needs the features of the train images"):
        UnknownScore.fit("neighbours", Outputs(LOGITS), np.zeros(40, int))
    few = Outputs(TRAIN[:5], TRAIN[:5])
    with pytest.raises(InputError, match=r"open_world\.neighbours is 50, more than the 5 train images; lower it"):
        UnknownScore.fit("neighbours", few, LABELS[:5])
    with pytest.raises(InputError, match="does not hold the score mahalanobis"):
        unknown.load({"score": "mahalanobis"}, tmp_path / "missing.safetensors")
