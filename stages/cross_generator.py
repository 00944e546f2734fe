"""cross_generator NAME: does a detector of one generator, of this kind of model, find another's images?"""

import sys

import pandas as pd

from fakeprint import params
from fakeprint.data.arrays import load_dataset, load_index
from fakeprint.data.real_classes import real_classes
from fakeprint.errors import one_line_errors
from fakeprint.evaluation.cross_generator import DATA, METRICS, REPORTS, as_json, require_images, sources, table
from fakeprint.evaluation.cross_generator_plots import NAMES, heat_picture
from fakeprint.files import write_csv, write_figure, write_json, written
from fakeprint.refits.cross_generator import detectors, images_of


@one_line_errors
def main() -> None:
    name = sys.argv[1]
    settings = params.load()
    dataset, index = load_dataset(), load_index("validation")
    train, validation = images_of("train"), images_of("validation")
    found = sources(train, real_classes(settings.data.real_classes, dataset.classes, dataset.names), dataset.names)
    require_images(found, {"train": train, "validation": validation})
    log_odds, finished = detectors(settings, name, found)
    groups = index["group"].to_numpy()
    rows = table(name, log_odds, found, validation, groups, settings.seed, settings.compare.confidence)

    with written(DATA / f"{name}.parquet") as partial:
        columns = {f"{pair.anchor} | {pair.other}": scores for pair, scores in log_odds.items()}
        pd.DataFrame({"image_id": index["image_id"], **columns}).to_parquet(partial)
    write_json(METRICS / f"{name}.json", as_json(rows))
    write_csv(METRICS / f"{name}.csv", rows)
    for figure in NAMES:
        picture = heat_picture(rows, figure, f"{name} on {settings.title}")
        write_figure(REPORTS / name / f"{figure}.png", picture)
    for forget in finished:
        forget()


if __name__ == "__main__":
    main()
