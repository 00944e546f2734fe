"""augment: copies of train images, stored; validation and test images are never touched."""

from fakeprint import parallel, params
from fakeprint.augment.offline import make_copies
from fakeprint.data.arrays import load_split
from fakeprint.errors import one_line_errors


@one_line_errors
def main() -> None:
    settings = params.load()
    side, workers = settings.prepare.image_size, settings.run.workers
    with parallel.backend(settings.run):
        make_copies(load_split("train"), settings.augment, settings.seed, workers, side)


if __name__ == "__main__":
    main()
