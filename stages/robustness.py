"""robustness: every model on degraded validation images, for `compare`, plots and MLflow; retrains nothing."""

from fakeprint import parallel, params
from fakeprint.data.arrays import load_dataset, load_split
from fakeprint.errors import one_line_errors
from fakeprint.evaluation import plots
from fakeprint.evaluation.champion import MODELS
from fakeprint.evaluation.predictions import load_predictions
from fakeprint.evaluation.robustness import CLEAN, FIGURES, HEAT, TABLE, robustness
from fakeprint.files import write_csv, write_figure, write_json
from fakeprint.robustness import load_ensembles, load_models, predict_degraded


@one_line_errors
def main() -> None:
    settings = params.load()
    dataset, validation = load_dataset(), load_split("validation")
    names, grid = settings.robustness.models or settings.run.models, settings.robustness.grid
    clean = {name: load_predictions(name, dataset.classes, "validation").probabilities for name in names}
    probabilities = {CLEAN: clean}
    if grid:
        ensembles = load_ensembles(names, settings, dataset.classes)
        members = [member for ensemble in ensembles.values() for member in ensemble.members]
        singles = dict.fromkeys([*(name for name in names if name not in ensembles), *members])
        models = load_models(singles, settings.predict, MODELS)
        with parallel.backend(settings.run):
            probabilities |= predict_degraded(
                models, ensembles, validation.images, grid, settings.seed, settings.run.workers
            )
    of_names = {cell: {name: of_all[name] for name in names} for cell, of_all in probabilities.items()}
    bins, confidence = settings.evaluate.calibration_bins, settings.compare.confidence
    table = robustness(of_names, validation.labels, validation.groups, dataset.names, bins, confidence, settings.seed)

    write_json(FIGURES, table.as_json())
    write_csv(TABLE, table.as_frame())
    write_figure(HEAT, plots.robustness_picture(table, settings.title))


if __name__ == "__main__":
    main()
