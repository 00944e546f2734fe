"""open_world NAME: one model fitted anew without each class; how well each score tells that class's images apart."""

import sys

from fakeprint import params
from fakeprint.data.arrays import load_dataset, load_index
from fakeprint.errors import one_line_errors
from fakeprint.files import write_csv, write_figure, write_json, written_folder
from fakeprint.refits.leave_one_out import leave_one_out
from fakeprint.verdict.open_world import DATA, METRICS, REPORTS, as_json, table
from fakeprint.verdict.open_world_plots import curves_picture, heat_picture


@one_line_errors
def main() -> None:
    name = sys.argv[1]
    settings = params.load()
    index = load_index("validation")
    labels, groups, names = index["class"].to_numpy(), index["group"].to_numpy(), load_dataset().names
    with written_folder(DATA / name) as folder:
        results, finished = leave_one_out(settings, name, folder)
    rows = table(name, results, labels, groups, names, settings.seed, settings.compare.confidence)

    write_json(METRICS / f"{name}.json", as_json(rows))
    write_csv(METRICS / f"{name}.csv", rows)
    title = f"{name} on {settings.title}"
    write_figure(REPORTS / name / "heat.png", heat_picture(rows, title))
    write_figure(REPORTS / name / "curves.png", curves_picture(results, labels, names, title))
    for forget in finished:
        forget()


if __name__ == "__main__":
    main()
