"""features: one feature set of the train and validation images and of the train copies, row by row as the arrays."""

import sys

import numpy as np

from fakeprint import parallel, params
from fakeprint.data.arrays import COPIES, load_split
from fakeprint.data.crops import even_crops
from fakeprint.errors import one_line_errors
from fakeprint.features import write_features


@one_line_errors
def main() -> None:
    name = sys.argv[1]
    settings = params.load()
    options = getattr(settings.features, name).model_dump()
    size, crops = settings.prepare.image_size, settings.prepare.train_crops
    images = {split: even_crops(load_split(split).images, size, crops) for split in ("train", "validation")}
    images["augmented"] = np.load(COPIES, mmap_mode="r")
    with parallel.backend(settings.run):
        write_features(name, options, images, settings.run.workers)


if __name__ == "__main__":
    main()
