"""prepare: every image of the manifest as RGB, of one size or of its own, in one array and one index per split."""

from fakeprint import parallel, params
from fakeprint.data.arrays import Dataset, save_dataset
from fakeprint.data.containers import open_container
from fakeprint.data.manifest import load_manifest
from fakeprint.data.preparation import write_splits
from fakeprint.data.sources import class_names, classes_of
from fakeprint.data.splits import require_validation, with_folds
from fakeprint.errors import one_line_errors


@one_line_errors
def main() -> None:
    settings = params.load()
    data, prepare = settings.data, settings.prepare
    manifest = with_folds(load_manifest(), prepare, settings.calibrate.on == "fold", settings.seed)
    require_validation(manifest)
    classes = classes_of(manifest.loc[manifest["split"] == "train", "label"])
    small = prepare.small if prepare.resize == "native" else None
    dataset = Dataset(classes, class_names(data, classes), prepare.image_size, prepare.resize, data.max_pixels, small)
    container = open_container(data.path)
    with parallel.backend(settings.run):
        write_splits(manifest, container, dataset, settings.run.workers)
    save_dataset(dataset)


if __name__ == "__main__":
    main()
