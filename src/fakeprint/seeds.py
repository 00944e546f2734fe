"""One seed in params.yaml, split by purpose, so that adding a model does not change another's random numbers."""

import zlib

import numpy as np


def sequence(seed: int, purpose: str, *keys: int) -> np.random.SeedSequence:
    """An independent `numpy.random.SeedSequence` for this purpose (`"augment"`, `"train/hist_cnn"`) and keys."""
    return np.random.SeedSequence(seed, spawn_key=(zlib.crc32(purpose.encode()), *keys))


def generator(seed: int, purpose: str, *keys: int) -> np.random.Generator:
    """A NumPy generator for this purpose and these keys, for example a row and a copy number."""
    return np.random.default_rng(sequence(seed, purpose, *keys))


def integer(seed: int, purpose: str, *keys: int) -> int:
    """A seed in [0, 2³¹) for libraries that want an int (torch, scikit-learn)."""
    return int(sequence(seed, purpose, *keys).generate_state(1)[0] >> 1)
