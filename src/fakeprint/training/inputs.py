"""What training reads: the images of the train split, with their stored copies, and those of the validation split."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from fakeprint.data.arrays import COPIES, COPIES_INDEX, Dataset, WholeImages, load_dataset, load_split
from fakeprint.data.crops import EvenCrops, even_crops, random_crops
from fakeprint.training.images import Images, Part


@dataclass(frozen=True)
class TrainingData:
    """The images of a training, and what all splits have in common."""

    images: Images
    validation: Images
    dataset: Dataset


def load_training_data(augmented: bool, crops: int) -> TrainingData:
    """Read the arrays, memory-mapped.

    augmented: with the stored copies of the train images. crops: per validation image, where images are kept whole;
    of a train image it is a random one in each epoch.
    """
    dataset, train = load_dataset(), load_split("train")
    parts: list[Part] = [random_crops(train.images, dataset.image_size)]
    labels = [train.labels]
    if augmented:
        parts.append(np.load(COPIES, mmap_mode="r"))
        labels.append(pd.read_parquet(COPIES_INDEX)["class"].to_numpy(dtype=np.int64))
    images = Images(parts, np.concatenate(labels))
    validation = load_split("validation")
    return TrainingData(
        images, held_out_images(validation.images, validation.labels, dataset.image_size, crops), dataset
    )


def held_out_images(images: np.ndarray | WholeImages, labels: np.ndarray, size: int, crops: int) -> Images:
    """What a training is validated on: the images, or where they are kept whole at most `crops` crops of each."""
    cropped = even_crops(images, size, crops)
    return Images([cropped], labels[cropped.rows] if isinstance(cropped, EvenCrops) else labels)
