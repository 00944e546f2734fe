"""How often the p-values of a leaderboard claim a difference between models that are equally good.

Each model is right on 93 % of 1,250 images. The errors of two models are correlated, as those of good models are
(latent correlation 0.6: both are wrong on some 2 % of the images). In each of many simulated leaderboards, the champion
is picked by accuracy and the others are tested against it. Any p below 0.05 is a false claim.

Three rules are compared. `all pairs` and `test split` are what Fakeprint prints, without and with labelled test images.
`naive` applies Holm only to the comparisons with the champion, on the images on which it was picked. The rows compare
the first two with the claimed 5 %, and with the naive rule. `python -m benchmarks.family_wise_error [--json FILE]`
"""

from collections.abc import Callable

import numpy as np
from scipy.stats import norm

from benchmarks.table import Row, json_option, report, row
from fakeprint import seeds
from fakeprint.evaluation.intervals import against_any, against_one

IMAGES, ACCURACY, CORRELATION, LEVEL = 1_250, 0.93, 0.6, 0.05
MODELS = (9, 11, 13)
LEADERBOARDS = 10_000
FRAMES = 5  # images per group, in the rows with groups

Rule = Callable[[np.ndarray, np.ndarray, np.ndarray], float]


def equal_models(models: int, rng: np.random.Generator, frames: int = 1) -> np.ndarray:
    """Which images each model is right on, bool (models, IMAGES).

    frames: images per group; they share half of the variance.
    """

    def noise(rows: int) -> np.ndarray:
        own = rng.standard_normal((rows, IMAGES))
        if frames == 1:
            return own
        shared = np.repeat(rng.standard_normal((rows, IMAGES // frames)), frames, axis=1)
        return np.sqrt(0.5) * own + np.sqrt(0.5) * shared

    skill = np.sqrt(CORRELATION) * noise(1) + np.sqrt(1 - CORRELATION) * noise(models)
    return np.asarray(skill < norm.ppf(ACCURACY))


def all_pairs(validation: np.ndarray, test: np.ndarray, groups: np.ndarray) -> float:
    """The smallest p-value that a leaderboard without labelled test images prints."""
    champion = int(validation.sum(axis=1).argmax())
    return float(np.delete(against_any(validation, groups)[champion], champion).min())


def on_test(validation: np.ndarray, test: np.ndarray, groups: np.ndarray) -> float:
    """The smallest p-value that a leaderboard with labelled test images prints."""
    champion = int(validation.sum(axis=1).argmax())
    return float(np.delete(against_one(test, groups, champion), champion).min())


def naive(validation: np.ndarray, test: np.ndarray, groups: np.ndarray) -> float:
    """The smallest p-value if it is ignored that the champion was picked on the same images."""
    champion = int(validation.sum(axis=1).argmax())
    return float(np.delete(against_one(validation, groups, champion), champion).min())


def family_wise_errors(rules: list[Rule], models: int, leaderboards: int, frames: int = 1) -> list[float]:
    """Share of leaderboards of equal models on which each rule claims a difference. Seeded."""
    rng = seeds.generator(7, "family_wise_error", models, frames)
    groups = np.arange(IMAGES) // frames
    false = np.zeros(len(rules))
    for _ in range(leaderboards):
        validation, test = equal_models(models, rng, frames), equal_models(models, rng, frames)
        false += [rule(validation, test, groups) < LEVEL for rule in rules]
    return [float(share) for share in false / leaderboards]


def rows_of(models: int, leaderboards: int, frames: int = 1) -> list[Row]:
    """Each printed rule compared with the claimed level and with the naive rule."""
    kind = f"{models} equal models" + f", groups of {frames}" * (frames > 1)
    *printed, wrong = family_wise_errors([all_pairs, on_test, naive], models, leaderboards, frames)
    rows = []
    for name, share in zip(("all pairs", "test split"), printed, strict=True):
        share = max(share, 1 / leaderboards)  # none seen is no proof of none
        rows.append(row(f"{kind}, {name} (5 % claimed)", share, LEVEL, "share", "lower", 1.0))
        rows.append(row(f"{kind}, {name} (naive)", share, wrong, "share", "lower", None))
    return rows


def main() -> None:
    json_path = json_option(__doc__)
    rows = [each for models in MODELS for each in rows_of(models, LEADERBOARDS)]
    rows += rows_of(MODELS[0], LEADERBOARDS // 10, FRAMES)
    report(rows, "False claims of a difference (ours), and the claimed level or the naive rule (peer)", json_path)


if __name__ == "__main__":
    main()
