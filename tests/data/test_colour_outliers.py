"""Images whose colours are far from the others'."""

import numpy as np

from fakeprint.data.colour_outliers import LIMIT, colour_scores


def sums_of(images: np.ndarray) -> np.ndarray:
    values = images.reshape(len(images), -1, 3).astype(np.int64)
    return np.stack([values.sum(axis=1), (values**2).sum(axis=1)], axis=1)


def test_a_red_and_a_flat_image_are_outliers_and_noise_is_not() -> None:
    rng = np.random.default_rng(0)
    images = rng.normal(120, 30, (200, 16, 16, 3)).clip(0, 255).astype(np.uint8)
    images[7, ..., 0] = 250
    images[9] = 120
    scores = colour_scores(sums_of(images), np.full(200, 256))
    assert set(np.flatnonzero(scores > LIMIT)) >= {7, 9}
    assert (scores > LIMIT).sum() < 10
    assert set(np.argsort(-scores)[:2]) == {7, 9}


def test_equal_images_have_no_outliers() -> None:
    images = np.full((5, 4, 4, 3), 9, dtype=np.uint8)
    assert colour_scores(sums_of(images), np.full(5, 16)).tolist() == [0.0] * 5
