"""robustness: every model on degraded validation images, for `compare`, plots and MLflow; retrains nothing."""

from fakeprint import parallel, params
from fakeprint.data.arrays import load_dataset, load_split
from fakeprint.errors import one_line_errors
from fakeprint.evaluation import plots
from fakeprint.evaluation.champion import MODELS
from fakeprint.evaluation.predictions import MEMBERS, PREDICTIONS, load_predictions
from fakeprint.evaluation.robustness import CLEAN, FIGURES, HEAT, TABLE, robustness
from fakeprint.files import write_json, written
from fakeprint.models.ensemble_fits import cross_fit
from fakeprint.models.ensembles import Members, members_that_run, side_by_side
from fakeprint.robustness import Combined, answers, load_models


@one_line_errors
def main() -> None:
    settings = params.load()
    dataset, validation = load_dataset(), load_split("validation")
    wanted = settings.robustness.models or settings.run.models
    clean = {
        name: load_predictions(PREDICTIONS / f"{name}.parquet", dataset.classes, "validation").probabilities
        for name in wanted
    }
    probabilities = {CLEAN: clean}
    if settings.robustness.grid:
        ensembles = [name for name in wanted if name in settings.run.ensembles]
        members = {name: members_that_run(name, settings.ensembles[name], settings.run) for name in ensembles}
        below = [member for name in ensembles for member in members[name].names]
        singles = dict.fromkeys([*(name for name in wanted if name not in ensembles), *below])
        models = load_models(singles, settings.predict, MODELS)
        combined = {name: _combined(settings, name, members[name], dataset.classes) for name in ensembles}
        with parallel.backend(settings.run):
            probabilities |= answers(
                models, combined, validation.images, settings.robustness.grid, settings.seed, settings.run.workers
            )
    wanted_of = {cell: {name: of_all[name] for name in wanted} for cell, of_all in probabilities.items()}
    bins, confidence = settings.evaluate.calibration_bins, settings.compare.confidence
    table = robustness(wanted_of, validation.labels, validation.groups, dataset.names, bins, confidence, settings.seed)

    write_json(FIGURES, table.as_json())
    with written(TABLE) as partial:
        table.as_frame().to_csv(partial, index=False)
    with written(HEAT) as partial:
        plots.save(plots.robustness_picture(table, settings.title), partial)


def _combined(settings: params.Params, name: str, members: Members, classes: list[str]) -> Combined:
    """An ensemble's cross-fitted combination, by its members' predictions of the clean images."""
    loaded = [load_predictions(MEMBERS / f"{member}.parquet", classes, "validation") for member in members.names]
    probabilities = side_by_side([each.probabilities for each in loaded])
    on_clean = (probabilities, loaded[0].labels, loaded[0].groups, settings.seed)
    return Combined(members.names, cross_fit(name, settings.ensembles[name], members.weights, *on_clean))


if __name__ == "__main__":
    main()
