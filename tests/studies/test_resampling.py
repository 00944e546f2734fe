import numpy as np
import pytest

from fakeprint.evaluation import bootstrap
from fakeprint.evaluation.predictions import Predictions
from fakeprint.studies import resampling
from fakeprint.studies.resampling import block_totals, blocks_of, identities, resampled, spread
from tests.studies.made_up import predictions_of


def sample(images=40, size=1, seed=0):
    return predictions_of(np.random.default_rng(seed).normal(1, 1, images), size=size)


def test_a_group_keeps_its_identity_whatever_its_number_and_place():
    first = sample(size=4)
    order = np.random.default_rng(1).permutation(len(first.labels))
    shuffled = Predictions(*(column[order] for column in vars(first).values()))
    renumbered = Predictions(*[*list(vars(shuffled).values())[:3], 100 - shuffled.groups, shuffled.generators])
    assert (identities(renumbered) == identities(first)[order]).all()
    assert len(np.unique(identities(first))) == 10


def test_a_few_groups_are_a_block_each_and_their_sums_those_of_the_groups():
    first = sample(size=4)
    blocks = blocks_of([first, first])
    assert blocks.count == 10
    ours = block_totals(first, blocks, 15)
    plain = bootstrap.totals_of(first.labels, first.probabilities, first.groups, 15)
    order = [blocks.of(first)[4 * group] for group in range(10)]
    for mine, expected in zip(vars(ours).values(), vars(plain).values(), strict=True):
        assert np.allclose(mine[..., order], expected)


def test_samples_that_share_some_images_share_their_blocks():
    """As seeds that draw new splits, and folds."""
    whole = sample(60)
    parts = [Predictions(*(column[rows] for column in vars(whole).values())) for rows in (slice(0, 40), slice(20, 60))]
    blocks = blocks_of(parts)
    assert blocks.count == 60
    assert (blocks.of(parts[0])[20:] == blocks.of(parts[1])[:20]).all()
    assert block_totals(parts[0], blocks, 15).loss.shape == (60,)


def test_many_groups_are_thrown_together(monkeypatch):
    monkeypatch.setattr(resampling, "BLOCKS", 16)
    large = sample(2000)
    blocks = blocks_of([large])
    assert blocks.count == 16
    sums = block_totals(large, blocks, 15)
    assert sums.actual.shape == (3, 16) and sums.actual.sum() == 2000
    assert sums.actual.sum(axis=0).min() > 80  # 125 expected


def test_the_spread_of_blocks_is_that_of_groups(monkeypatch):
    monkeypatch.setattr(resampling, "BLOCKS", 400)
    large = sample(6000, size=2)
    blocks = blocks_of([large])
    found = resampled({("a", 1): block_totals(large, blocks, 15)}, blocks.count, ["accuracy"], 7)
    of_groups = large.correct.reshape(-1, 2).mean(axis=1)
    expected = of_groups.std() / np.sqrt(len(of_groups))
    assert found["a", 1]["accuracy"].std() == pytest.approx(expected, rel=0.15)  # 4 standard errors of 400 blocks


def test_images_without_a_label_do_not_count():
    labelled = sample(30)
    half = Predictions(
        *[
            np.where(np.arange(30) < 15, labelled.labels, -1) if name == "labels" else column
            for name, column in vars(labelled).items()
        ]
    )
    blocks = blocks_of([half])
    assert blocks.count == 15 and block_totals(half, blocks, 15).actual.sum() == 15


def test_all_cells_see_the_same_draws():
    first = sample(50)
    blocks = blocks_of([first])
    totals = block_totals(first, blocks, 15)
    found = resampled({("a", 1): totals, ("b", 1): totals}, blocks.count, ["accuracy", "roc_auc"], 7)
    assert list(found["a", 1]) == ["accuracy"]  # the area under the ROC curve is no function of sums
    assert (found["a", 1]["accuracy"] == found["b", 1]["accuracy"]).all()
    assert found["a", 1]["accuracy"].std() > 0


def crossed(seeds, groups, of_seed, of_group, left, rng, resamples=400):
    """Differences of S seeds and their resamples, from a difference per seed and group with these deviations."""
    table = of_seed * rng.standard_normal((seeds, 1)) + of_group * rng.standard_normal((1, groups))
    table = table + left * rng.standard_normal((seeds, groups))
    drawn = rng.multinomial(groups, np.full(groups, 1 / groups), resamples).T
    return table.mean(axis=1), table @ drawn / groups


@pytest.mark.slow
@pytest.mark.parametrize(
    ("of_seed", "of_group", "left"), [(0.2, 0.0, 0.5), (0.0, 2.0, 0.5), (0.1, 1.0, 2.0), (0.0, 0.0, 2.0)]
)
def test_each_part_of_the_variance_counts_once(of_seed, of_group, left):
    """On average over many studies; the plain bootstrap would count the last part up to three times."""
    rng = np.random.default_rng(3)
    seeds, groups = 6, 100
    truth = of_seed**2 / seeds + of_group**2 / groups + left**2 / (seeds * groups)
    found = [
        spread(*crossed(seeds, groups, of_seed, of_group, left, rng), blocks=groups).error ** 2 for _ in range(400)
    ]
    assert truth * 0.9 < np.mean(found) < truth * 1.35  # a part that seems negative counts as 0, so a little too much


def test_the_degrees_of_freedom_are_those_of_what_dominates():
    rng = np.random.default_rng(4)
    few = spread(*crossed(5, 200, 1.0, 0.1, 0.1, rng), blocks=200)
    many = spread(*crossed(5, 200, 0.0, 1.0, 0.0, rng), blocks=200)
    assert few.freedom == pytest.approx(4, abs=0.1) and many.freedom > 100


def test_without_predictions_the_error_is_that_over_seeds():
    found = spread(np.array([0.01, 0.02, 0.03]))
    assert found.error == pytest.approx(0.01 / np.sqrt(3)) and found.freedom == 2


def test_folds_are_wider_for_their_overlap():
    values = np.array([0.01, 0.02, 0.03, 0.01, 0.02])
    assert spread(values, held_out=0.25).error == pytest.approx(np.sqrt((1 / 5 + 1 / 4) * values.var(ddof=1)))
