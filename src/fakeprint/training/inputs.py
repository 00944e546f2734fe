"""What training reads: the images of the train split, with their stored copies, and those of the validation split."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from fakeprint.data.arrays import COPIES, COPIES_INDEX, Dataset, load_dataset, load_split
from fakeprint.training.images import Images


@dataclass(frozen=True)
class TrainingData:
    """The images of a training, and what all splits have in common."""

    images: Images
    validation: Images
    dataset: Dataset


def load_training_data(augmented: bool) -> TrainingData:
    """Read the arrays, memory-mapped. augmented: with the stored copies of the train images."""
    train, validation = load_split("train"), load_split("validation")
    parts, labels = [train.images], [train.labels]
    if augmented:
        parts.append(np.load(COPIES, mmap_mode="r"))
        labels.append(pd.read_parquet(COPIES_INDEX)["class"].to_numpy(dtype=np.int64))
    images = Images(parts, np.concatenate(labels))
    return TrainingData(images, Images([validation.images], validation.labels), load_dataset())
